"""Sums that refuse rows for their columns, on real servers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgscore.compiler import ir
from pgscore.compiler.artifact import Strategy
from pgscore.compiler.backends import numpy as reference
from pgscore.compiler.build import build, default_parameters, simplified
from pgscore.compiler.fact import EXP_HIGH
from pgscore.compiler.facts import with_overflow_checks
from pgscore.compiler.ir import Method, ModelKind, Output, Program
from tests.support import programs, sqlrun
from tests.support.databases import copied
from tests.support.programs import N, block, inputs, program

BOTH = (Strategy.SQL, Strategy.PLPGSQL)


@pytest.fixture(scope="module", params=["server15", "server18"])
def connection(request: pytest.FixtureRequest) -> Iterator[Any]:
    with copied(request.getfixturevalue(request.param)) as dsn:
        connection = psycopg2.connect(dsn)
        yield connection
        connection.close()


def classifier(*nodes: ir.Node, n: int = 3) -> Program:
    """`nodes`, the last of which gives the decision, as a logistic regression with all its functions."""
    at = n + len(nodes)
    outputs = (
        Output(Method.PREDICT, block(at + 2, 1), ("no", "yes")),
        Output(Method.PREDICT_PROBA, (*block(at + 1, 1), *block(at, 1))),
        Output(Method.DECISION_FUNCTION, block(at - 1, 1)),
    )
    ends = (
        ir.Sigmoid(block(at - 1, 1)),
        ir.Affine(block(at, 1), np.array([[-1.0]]), np.ones(1)),
        ir.Step(block(at - 1, 1)),
    )
    return program([N] * n, *nodes, *ends, outputs=outputs, kind=ModelKind.BINARY_CLASSIFIER)


def linear(weights: Sequence[float], bias: float, *, imputed: bool = False) -> Program:
    n = len(weights)
    check = ir.Check(inputs(n), -ir.FINITE, ir.FINITE, missing=imputed)
    columns, fill = block(n, n), ()
    if imputed:
        columns, fill = block(n + 1, n), (ir.Impute(columns, np.full(n, 0.25)),)
    return classifier(check, *fill, ir.Affine(columns, np.array([weights]), np.array([bias])), n=n)


@pytest.mark.parametrize("imputed", [False, True])
def test_a_linear_model_reads_each_column_once_and_guards_its_sum(imputed: bool) -> None:
    p = linear([0.5, -2.0, 3.0], 0.1, imputed=imputed)
    artifact = build(p, default_parameters(p), strategy=Strategy.SQL)
    bodies = {f.suffix: f.body.render(["x0", "x1", "x2"].__getitem__) for f in artifact.functions}
    assert {suffix: body.count("x1") for suffix, body in bodies.items()} == {"": 1, "label": 1, "proba": 2}
    assert not any("WHEN x" in body or "abs(" in body for body in bodies.values())


def test_the_exponential_of_a_sum_reads_each_column_once() -> None:
    check, affine = linear([0.5, -2.0, 3.0], 0.1).nodes[3:5]
    limit = ir.Check(block(4, 1), -ir.FINITE, EXP_HIGH, own=True)
    result = Output(Method.PREDICT, block(6, 1))
    nodes = (check, affine, limit, ir.Elementwise(block(5, 1), ir.Op.EXP))
    p = program([N] * 3, *nodes, outputs=(result,), kind=ModelKind.REGRESSOR)
    body = build(p, default_parameters(p), strategy=Strategy.SQL).functions[0].body
    assert body.render(["x0", "x1", "x2"].__getitem__).count("x1") == 1


hard = st.none() | st.floats() | st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 1e-310, 1e300, math.inf, math.nan])
hard_rows = st.lists(st.tuples(hard, hard, hard), min_size=1, max_size=40)
weights = st.floats(-1e6, 1e6).filter(lambda w: w == 0 or abs(w) > 1e-6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(weights=st.tuples(weights, weights, weights), bias=st.floats(-1e6, 1e6), imputed=st.booleans(), rows=hard_rows)
def test_a_sum_refuses_the_rows_that_its_columns_would(
    connection: Any, weights: tuple[float, ...], bias: float, imputed: bool, rows: list[tuple[float | None, ...]]
) -> None:
    """NULL, NaN and infinities as before; huge numbers where the sum itself leaves the doubles; nothing raises."""
    p = linear(weights, bias, imputed=imputed)
    columns = {f"x{i}": [row[i] for row in rows] for i in range(3)}
    arrays = programs.as_arrays(p, columns)
    by_sql = with_overflow_checks(simplified(p, default_parameters(p)), default_parameters(p))
    with np.errstate(all="ignore"):
        size = np.abs(np.nan_to_num(np.stack(list(arrays.values()))) * np.array(weights)[:, np.newaxis]).sum(axis=0)
    want = {method: values.tolist() for method, values in reference.evaluate(by_sql, arrays).items()}
    for strategy in BOTH:
        artifact = build(p, default_parameters(p), strategy=strategy)
        got = sqlrun.run(connection, artifact, columns)
        connection.rollback()
        for row, scale in enumerate(size.tolist()):
            (_, probability), (decision,), (label,) = (
                want[m][row] for m in (Method.PREDICT_PROBA, Method.DECISION_FUNCTION, Method.PREDICT)
            )
            if decision != decision:
                assert [got[suffix][row] for suffix in ("", "label", "proba")] == [None, None, None]
                continue
            assert got["proba"][row] == [pytest.approx(1 - probability, abs=1e-9), pytest.approx(probability, abs=1e-9)]
            assert got[""][row] == pytest.approx(probability, rel=1e-6, abs=1e-300) or scale > 1e6
            tie = abs(decision) <= max(1e-290, 1e-12 * (scale + abs(bias)))
            assert (got["label"][row] == "yes") is bool(label) or tie


def test_a_tie_stays_a_tie(connection: Any) -> None:
    """Columns lifted off 0 against underflow leave nothing behind in a sum that is 0."""
    p = linear([0.5, 0.25, 0.25, 0.125, 0.125], 0.0)
    rows = [(1.0, -2.0, 0.0, 0.0, 0.0), (0.0,) * 5, (0.0, 3.0, -3.0, 4.0, -4.0), (5e-324, 0.0, 0.0, 0.0, 0.0)]
    columns = {f"x{i}": [row[i] for row in rows] for i in range(5)}
    for strategy in BOTH:
        artifact = build(p, default_parameters(p), strategy=strategy)
        got = sqlrun.run(connection, artifact, columns)
        connection.rollback()
        assert got["label"] == ["no"] * 4
        assert got[""] == [0.5] * 4
