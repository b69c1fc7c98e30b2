"""Programs as SQL on real servers, held against the reference interpreter row by row."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgscore.compiler import ir
from pgscore.compiler.artifact import Artifact, Parameter, SqlType, Strategy
from pgscore.compiler.backends.sql_nodes import NODES
from pgscore.compiler.build import build, default_parameters
from pgscore.compiler.ir import Dtype, Method, ModelKind, Output, Program, Ref
from pgscore.compiler.node_facts import FACTS
from tests.support import programs, sqlrun
from tests.support.databases import copied
from tests.support.point_programs import strategies
from tests.support.programs import N, T, block, inputs, program

INEXACT = ("Softmax", "Sigmoid", "Elementwise", "Piecewise", "Multiply-sq", "Normalize", "Affine", "Check-computed")
"""Programs whose exponentials or sums may differ in the last digits."""
BOTH = (Strategy.SQL, Strategy.PLPGSQL)


@pytest.fixture(scope="module", params=["server15", "server18"])
def connection(request: pytest.FixtureRequest) -> Iterator[Any]:
    with copied(request.getfixturevalue(request.param)) as dsn:
        connection = psycopg2.connect(dsn)
        yield connection
        connection.close()


def answers(
    connection: Any,
    p: Program,
    columns: Mapping[str, Sequence[object]],
    strategy: Strategy,
    parameters: Sequence[Parameter] = (),
) -> list[Any]:
    """What the main function gives; it must be in the language of the strategy."""
    artifact = build(p, parameters or default_parameters(p), strategy=strategy)
    assert artifact.functions[0].language == strategy.value
    try:
        return sqlrun.run(connection, artifact, columns)[""]
    finally:
        connection.rollback()


def assert_same(p: Program, columns: Mapping[str, Sequence[object]], got: Sequence[Any], tolerance: float) -> None:
    want = programs.expected(p, columns)
    assert len(got) == len(want) > 0
    for row, (found, wanted) in enumerate(zip(got, want, strict=True)):
        where = f"row {row}: { {name: values[row] for name, values in columns.items()} }"
        if found is None:
            assert np.isnan(wanted).all() or programs.too_large(columns, row), where
            continue
        found_array = np.array([math.nan if v is None else float(v) for v in np.atleast_1d(found)])
        np.testing.assert_allclose(found_array, wanted, rtol=tolerance, atol=1e-290, err_msg=where)


def test_every_kind_of_node_is_rendered_and_analysed() -> None:
    assert set(NODES) == set(ir.NODE_KINDS)
    assert set(FACTS) | {ir.Input, ir.Check} == set(ir.NODE_KINDS)
    assert set(programs.PROGRAMS) | set(programs.ONLY_ONNX) == set(ir.NODE_KINDS)


@pytest.mark.parametrize("name", programs.ALL)
def test_each_node_gives_what_the_reference_gives(connection: Any, name: str) -> None:
    p = programs.ALL[name]
    columns = programs.hard_columns(p)
    exact = not name.startswith(
        (
            *("Kernel", "Neighbors", "CouplePairwise", "Softmax", "Sigmoid", "Elementwise", "Piecewise"),
            *("Multiply-squared", "Normalize", "Affine", "Check-computed"),
        )
    )
    found = [answers(connection, p, columns, strategy) for strategy in strategies(p)]
    for got in found:
        assert_same(p, columns, got, 0 if exact else 1e-13)
    if exact:
        assert found[0] == found[-1]


@pytest.mark.parametrize("type_", [SqlType.INTEGER, SqlType.BIGINT, SqlType.BOOLEAN])
@pytest.mark.parametrize("name", [n for n, p in programs.ALL.items() if all(c.dtype is N for c in p.columns)])
def test_whole_numbers_and_booleans_give_what_their_doubles_give(connection: Any, name: str, type_: SqlType) -> None:
    p = programs.ALL[name]
    rng = np.random.default_rng(1)
    options: list[Any] = [None, True, False]
    if type_ is not SqlType.BOOLEAN:
        options = [None, 0, 1, 2, 3, -40, 255, -(2**31), 2**31 - 1]
    if type_ is SqlType.BIGINT:
        options += [2**53 + 1, -(2**63), 2**63 - 1]
    columns = {c.name: [options[i] for i in rng.integers(0, len(options), 60)] for c in p.columns}
    parameters = [Parameter(c.name, type_) for c in p.columns]
    for strategy in strategies(p):
        assert_same(p, columns, answers(connection, p, columns, strategy, parameters), 1e-13)


def regressor(columns: Sequence[Dtype], *nodes: ir.Node) -> Program:
    result = Output(Method.PREDICT, block(len(columns) + len(nodes) - 1, 1))
    return program(columns, *nodes, outputs=(result,), kind=ModelKind.REGRESSOR)


def logistic(weights: Sequence[float], bias: float, center: Sequence[float], scale: Sequence[float]) -> Program:
    n = len(weights)
    return regressor(
        [N] * n,
        ir.Check(inputs(n), -ir.FINITE, ir.FINITE),
        ir.Standardize(block(n, n), np.array(center), np.array(scale)),
        ir.Affine(block(n + 1, n), np.array([weights]), np.array([bias])),
        ir.Sigmoid(block(n + 2, 1)),
    )


magnitudes = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e30, max_value=1e30)
scales = st.floats(min_value=1e-200, max_value=1e200)
rows = st.lists(st.tuples(st.floats(), st.floats()), min_size=1, max_size=40)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(weights=st.tuples(magnitudes, magnitudes), bias=magnitudes, center=st.tuples(magnitudes, magnitudes),
       scale=st.tuples(scales, scales), rows=rows)  # fmt: skip
def test_no_row_and_no_model_raises(  # noqa: PLR0917 - drawn by name
    connection: Any, weights: Any, bias: float, center: Any, scale: Any, rows: list[tuple[float, float]]
) -> None:
    p = logistic(weights, bias, center, scale)
    columns = {"x0": [a for a, _ in rows], "x1": [b for _, b in rows]}
    inline = answers(connection, p, columns, Strategy.SQL)
    assert inline == answers(connection, p, columns, Strategy.PLPGSQL)
    for value in inline:
        assert value is None or 0 <= value <= 1


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(factors=st.tuples(magnitudes, scales), rows=rows)
def test_scaled_columns_are_exact_unless_they_are_tiny(
    connection: Any, factors: tuple[float, float], rows: list[tuple[float, float]]
) -> None:
    p = program([N, N], ir.Standardize(inputs(2), np.array([factors[0], 0.0]), np.array([factors[1], 3.0])))
    columns = {"x0": [a for a, _ in rows], "x1": [b for _, b in rows]}
    for strategy in BOTH:
        got = answers(connection, p, columns, strategy)
        for row, (found, wanted) in enumerate(zip(got, programs.expected(p, columns), strict=True)):
            if found is not None:
                assert [v is None for v in found] == np.isnan(wanted).tolist()
                for x, a, b in zip(rows[row], found, wanted, strict=True):
                    assert a is None or a == b or abs(x) < 2.0**-846 or abs(a - b) < 1e-290
            else:
                assert not all(abs(v) < 1e90 for v in rows[row])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), max_size=20))
def test_any_text_finds_its_own_category(connection: Any, values: list[str]) -> None:
    categories = tuple(dict.fromkeys(values)) + tuple(f"c{i}" for i in range(40))
    p = program([T], ir.Codes(inputs(1), categories, missing=math.nan))
    columns = {"x0": [*values, *(v.upper() for v in values), "c7", None]}
    for strategy in BOTH:
        assert_same(p, columns, answers(connection, p, columns, strategy), 0)


def test_a_category_with_nul_matches_nothing(connection: Any) -> None:
    p = program([T], ir.Codes(inputs(1), ("a\0", "a")))
    assert answers(connection, p, {"x0": ["a", "a\\0"]}, Strategy.SQL) == [[1.0], [-1.0]]


def explained(connection: Any, call: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE t (x0 float8, x1 float8)")
        cursor.execute(f"EXPLAIN (VERBOSE, COSTS OFF) SELECT {call} FROM t")
        return "\n".join(row[0] for row in cursor.fetchall())


def test_an_expression_is_inlined_and_a_block_is_not(connection: Any) -> None:
    p = logistic([0.5, -2.0], 0.1, [1.0, 2.0], [3.0, 4.0])
    for strategy in BOTH:
        sqlrun.create(connection, build(p, default_parameters(p), strategy=strategy))
        plan = explained(connection, "scratch.model(x0, x1)")
        connection.rollback()
        assert ("scratch.model" in plan) is (strategy is Strategy.PLPGSQL)


def test_a_logistic_regression_reads_like_its_formula() -> None:
    p = regressor(
        [N, T],
        ir.Check((Ref(0, 0),), -ir.FINITE, ir.FINITE),
        ir.Codes((Ref(1, 0),), ("basic", "it's")),
        ir.OneHot(block(3, 1), ((0.0,), (1.0,))),
        ir.Affine((Ref(2, 0), *block(4, 2)), np.array([[0.12, -0.5, 1.25]]), np.array([0.693])),
        ir.Sigmoid(block(5, 1)),
    )
    parameters = [Parameter("x0", SqlType.INTEGER), Parameter("x1", SqlType.TEXT)]
    body = build(p, parameters, strategy=Strategy.SQL).functions[0].body
    assert (
        body.render(["tenure", "plan"].__getitem__)
        == """\
'1.0'::float8 / ('1.0'::float8 + exp(float8smaller(float8larger(- (
  '0.693'::float8
  + tenure::float8 * '0.12'::float8
  + CASE plan
    WHEN 'basic' THEN '-0.5'::float8
    WHEN 'it''s' THEN '1.25'::float8
    ELSE '0.0'::float8
  END
), '-708.0'::float8), '708.0'::float8)))"""
    )


def test_variables_and_parameters_have_different_names(connection: Any) -> None:
    nodes = (
        ir.Trees(inputs(2), programs.forest(), np.array([0.5, 0.0])),
        ir.Softmax(block(2, 2)),
        ir.ArgMax(block(3, 2)),
    )
    plain = program([N, N], *nodes, outputs=(Output(Method.TRANSFORM, (*block(3, 2), *block(4, 1))),))
    names = [line.split()[0] for line in _body(plain).split("BEGIN")[0].splitlines()[1:] if line.strip()]
    assert len(names) > 6
    for pair in zip(names, [*names[1:], names[0].upper()], strict=True):
        columns = tuple(ir.Column(name, N) for name in pair)
        renamed = Program(plain.kind, columns, plain.nodes, plain.outputs)
        rows = dict(zip(pair, programs.hard_columns(plain, 20).values(), strict=True))
        got = answers(connection, renamed, rows, Strategy.PLPGSQL)
        assert got == answers(connection, renamed, rows, Strategy.SQL) or _close(got, renamed, rows)


def _body(p: Program) -> str:
    return build(p, default_parameters(p), strategy=Strategy.PLPGSQL).functions[0].body.text


def _close(got: Sequence[Any], p: Program, rows: Mapping[str, Sequence[object]]) -> bool:
    assert_same(p, rows, got, 1e-13)
    return True


def chain(depth: int, *, right: bool) -> ir.Forest:
    """One tree that peels off one leaf at each level."""
    at = np.arange(depth)
    leaf, next_ = 2 * at + 1, np.append(2 * at[1:], 2 * depth)
    n = 2 * depth + 1
    feature, threshold = np.full(n, -1), np.zeros(n)
    left, right_ = np.full(n, -1), np.full(n, -1)
    feature[2 * at], threshold[2 * at] = 0, at if right else -at
    left[2 * at], right_[2 * at] = (leaf, next_) if right else (next_, leaf)
    values = np.arange(n, dtype=float).reshape(-1, 1)
    none = np.zeros(n, dtype=bool)
    return ir.Forest(np.array([0]), feature, threshold, left, right_, none, values, np.array([-1]), np.full(n, -1))


@pytest.mark.parametrize("right", [True, False])
def test_a_tree_may_be_as_deep_as_it_likes(connection: Any, right: bool) -> None:
    p = regressor([N], ir.Trees(inputs(1), chain(6000, right=right), np.zeros(1)))
    columns = {"x0": [-1e9, -5999.5, -3.5, 0.0, 17.5, 5999.0, 1e9, None, math.nan]}
    for strategy in BOTH:
        assert_same(p, columns, answers(connection, p, columns, strategy), 0)


def random_forest(n_trees: int, depth: int, n_columns: int, seed: int = 0) -> ir.Forest:
    """Complete trees with random splits and leaves."""
    rng = np.random.default_rng(seed)
    size = 2 ** (depth + 1) - 1
    inner = np.arange(size) < 2**depth - 1
    at = np.arange(n_trees * size)
    inner = np.tile(inner, n_trees)
    base = np.repeat(np.arange(n_trees) * size, size)
    return ir.Forest(
        np.arange(n_trees) * size,
        np.where(inner, rng.integers(0, n_columns, len(at)), -1),
        np.where(inner, rng.normal(size=len(at)), 0),
        np.where(inner, base + 2 * (at - base) + 1, -1),
        np.where(inner, base + 2 * (at - base) + 2, -1),
        rng.random(len(at)) < 0.5,
        rng.random((len(at), 2)),
        np.full(n_trees, -1),
        np.full(len(at), -1),
    )


def test_sums_of_many_trees_are_bit_equal(connection: Any) -> None:
    """1,200 trees: beyond what PostgreSQL's stack takes in one sum, and in the order in which numpy adds."""
    p = program([N, N], ir.Trees(inputs(2), random_forest(1200, 2, 2), np.zeros(2)))
    columns = programs.hard_columns(p, 30)
    got = answers(connection, p, columns, Strategy.PLPGSQL)
    assert_same(p, columns, got, 0)
    few = program([N, N], ir.Trees(inputs(2), random_forest(900, 1, 2), np.zeros(2)))
    assert_same(few, columns, answers(connection, few, columns, Strategy.SQL), 0)


def test_a_large_forest_renders_whole() -> None:
    p = regressor([N] * 20, ir.Trees(inputs(20), random_forest(100, 9, 20), np.zeros(2)[:1].repeat(2)))
    artifact = build(p, default_parameters(p), strategy=Strategy.PLPGSQL)
    assert artifact.functions[0].body.text.count("WHEN") > 40_000


def wide(n: int) -> Artifact:
    p = regressor(
        [N] * n,
        ir.Check(inputs(n), -ir.FINITE, ir.FINITE),
        ir.Affine(block(n, n), np.arange(1.0, n + 1).reshape(1, n) / 8, np.array([1.0])),
    )
    return build(p, default_parameters(p))


def test_beyond_100_columns_the_body_reads_fields_of_a_row(connection: Any) -> None:
    n = 1200
    columns = {f"x{i}": [1.0, float(i), None if i == 700 else 1.0] for i in range(n)}
    got = sqlrun.run(connection, wide(n), columns)[""]
    connection.rollback()
    weights = np.arange(1, n + 1) / 8
    assert got == [1 + weights.sum(), 1 + (weights * np.arange(n)).sum(), None]


@pytest.mark.parametrize(
    ("labels", "result"),
    [(("no", "it's"), "text"), ((3, -7), "bigint"), ((False, True), "boolean"), ((0.5, -1.0), "double precision")],
)
@pytest.mark.parametrize("chooser", ["step", "argmax", "constant"])
def test_labels_have_the_type_of_the_classes(
    connection: Any, labels: tuple[ir.Label, ...], result: str, chooser: str
) -> None:
    nodes: dict[str, ir.Node] = {
        "step": ir.Step((Ref(0, 0),)),
        "argmax": ir.ArgMax(inputs(2)),
        "constant": ir.Constant((), np.array([1.0])),
    }
    output = Output(Method.PREDICT, block(3, 1), labels)
    check = ir.Check(inputs(2), -9.0, 9.0)
    p = program([N, N], check, nodes[chooser], outputs=(output,), kind=ModelKind.MULTICLASS_CLASSIFIER)
    want = {"step": [1, 0, None], "argmax": [0, 0, None], "constant": [1, 1, None]}[chooser]
    for strategy in BOTH:
        artifact = build(p, default_parameters(p), strategy=strategy)
        assert {f.result for f in artifact.functions} == {result}
        got = sqlrun.run(connection, artifact, {"x0": [1.0, 0.0, None], "x1": [0.5, 0.0, 1.0]})
        connection.rollback()
        assert got[""] == got["label"] == [None if i is None else labels[i] for i in want]


def test_a_model_without_columns_gives_its_constant(connection: Any) -> None:
    p = regressor([], ir.Constant((), np.array([2.5])))
    assert answers(connection, p, {}, Strategy.SQL) == [2.5]


def test_ten_thousand_categories_are_searched_not_tried_one_by_one(connection: Any) -> None:
    names = tuple(f"city {i}" for i in range(10_000)) + tuple(f"Łódź {i}" for i in range(100))
    rng = np.random.default_rng(0)
    p = regressor(
        [T],
        ir.FillText(inputs(1), ("city 17",)),
        ir.Codes(block(1, 1), names),
        ir.OneHot(block(2, 1), tuple((float(i),) for i in range(len(names)))),
        ir.Affine(block(3, len(names)), rng.normal(size=(1, len(names))), np.array([0.5])),
    )
    columns = {"x0": [*names[::37], None, "unseen", "city", "", "zzz", "Łódź"]}
    artifact = build(p, default_parameters(p), available=frozenset({Strategy.SQL, Strategy.PLPGSQL}))
    assert artifact.strategy is Strategy.PLPGSQL
    sqlrun.create(connection, artifact)
    got = sqlrun.evaluate(connection, artifact, columns)[""]
    connection.rollback()
    assert_same(p, columns, got, 1e-13)
    assert artifact.functions[0].body.text.count('COLLATE "C" <') > 10_000 / 16
