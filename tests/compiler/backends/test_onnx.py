"""Hand-built programs through onnxruntime, held against the reference interpreter row by row."""

from __future__ import annotations

import json
import math

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier, RandomForestRegressor

from pgscore.compiler import ir
from pgscore.compiler.backends import numpy as reference
from pgscore.compiler.backends import onnx as backend
from pgscore.compiler.ir import Column, Dtype, Method, ModelKind, Output, Program, Ref

from ...support import programs
from ...support.point_programs import POINT_PROGRAMS

Values = npt.NDArray[np.float64]

TINY = np.nextafter(0.0, 1.0)
ADVERSARIAL = np.array([
    0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.0, 3.0, 255.0, math.pi, -745.2, -708.5, -40.0, 36.9, 709.5, 710.0,
    1e300, -1e300, 1e-300, -1e-300, TINY, -TINY, ir.FINITE, -ir.FINITE, math.inf, -math.inf, math.nan,
    ir.FLOAT32_LIMIT, np.nextafter(ir.FLOAT32_LIMIT, math.inf), np.nextafter(1.5, 2), np.nextafter(1.5, 1),
])  # fmt: skip


def session(program: Program) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(backend.export(program), options, providers=["CPUExecutionProvider"])


def run(program: Program, features: Values) -> Values:
    outputs: Values = session(program).run(["outputs"], {"features": features})[0]
    return outputs


def expected(program: Program, columns: dict[str, Values]) -> Values:
    """The reference's answers, side by side; NaN instead of infinities, which SQL gives as NULL too."""
    outputs = np.concatenate(list(reference.evaluate(program, columns).values()), axis=1)
    return np.where(np.isinf(outputs), np.nan, outputs)


def over_numbers(n_columns: int, *nodes: ir.Node, outputs: tuple[Output, ...] = ()) -> Program:
    """A program of `nodes` over columns x0, x1, …; its output is all of the last node unless `outputs` says."""
    inputs = tuple(ir.Input((), index) for index in range(n_columns))
    last = n_columns + len(nodes) - 1
    outputs = outputs or (Output(Method.TRANSFORM, block(last, nodes[-1].width)),)
    columns = tuple(Column(f"x{index}", Dtype.NUMBER) for index in range(n_columns))
    return Program(ModelKind.TRANSFORMER, columns, inputs + nodes, outputs)


def block(node: int, width: int) -> ir.Block:
    return tuple(Ref(node, column) for column in range(width))


def inputs(n_columns: int) -> ir.Block:
    return tuple(Ref(index, 0) for index in range(n_columns))


def by_column(x: Values) -> dict[str, Values]:
    return {f"x{index}": x[:, index] for index in range(x.shape[1])}


def adversarial(n_columns: int, rows: int = 4000) -> Values:
    """Each adversarial value in each column, next to random others."""
    rng = np.random.default_rng(n_columns)
    x = rng.choice(ADVERSARIAL, size=(rows, n_columns))
    ordinary = rng.random(x.shape) < 0.5
    return np.where(ordinary, rng.normal(scale=3, size=x.shape), x)


def forest(**changes: object) -> ir.Forest:
    """Three trees over two columns: a split on each, a categorical split, and a single leaf."""
    arrays: dict[str, object] = {
        "roots": [0, 5, 8],
        "feature": [0, 1, -1, -1, -1, 1, -1, -1, -1],
        "threshold": [1.5, -1.0, 0, 0, 0, 0, 0, 0, 0],
        "left": [1, 2, 0, 0, 0, 6, 0, 0, 0],
        "right": [4, 3, 0, 0, 0, 7, 0, 0, 0],
        "missing_left": [True, False, False, False, False, True, False, False, False],
        "value": [[0], [0], [0.1], [0.2], [0.7], [0], [0.3], [1e-17], [-0.05]],
        "output": [0, 0, 0],
        "category_set": [-1, -1, -1, -1, -1, 0, -1, -1, -1],
        "category_sets": ((0.0, 3.0, 255.0, 0.5, -1.0),),
    }
    return ir.Forest(**(arrays | changes))  # type: ignore[arg-type]


WIDE = forest(value=np.arange(36.0).reshape(9, 4) / 7, output=[-1, -1, -1])
TWO = forest(value=np.arange(18.0).reshape(9, 2) / 7, output=[-1, 1, -1])
EACH = forest(output=[2, 0, 2])

EXACT: dict[str, Program] = {
    "Input": over_numbers(2, ir.Check(inputs(2), missing=True, low=-9, high=9)),
    "Constant": over_numbers(1, ir.Constant((), np.array([1.5, math.nan]))),
    "Constant beside a column": over_numbers(
        1, ir.Constant((), np.array([2.0])), outputs=(Output(Method.TRANSFORM, (Ref(1, 0), Ref(0, 0))),)
    ),
    "Check": over_numbers(2, ir.Check(inputs(2), low=-ir.FLOAT32_LIMIT, high=ir.FLOAT32_LIMIT)),
    "Check, missing": over_numbers(2, ir.Check(inputs(2), low=-ir.FINITE, high=ir.FINITE, missing=True)),
    "Check of nothing": over_numbers(1, ir.Check((), low=0, high=1), outputs=(Output(Method.TRANSFORM, (Ref(0, 0),)),)),
    "Impute": over_numbers(2, ir.Impute(inputs(2), np.array([7.0, -1.0]))),
    "IsMissing": over_numbers(2, ir.IsMissing(inputs(2))),
    "Codes": over_numbers(1, ir.Codes(inputs(1), (3.0, 0.0, 1.5, -1e300, 255.0), missing=2.0, unknown=-1.0)),
    "Codes, missing": over_numbers(1, ir.Codes(inputs(1), (1.0, 0.5), missing=math.nan, unknown=math.nan)),
    "Codes, no category": over_numbers(1, ir.Codes(inputs(1), (), missing=0.0, unknown=-1.0)),
    "OneHot": over_numbers(1, ir.OneHot(inputs(1), ((0.0,), (1.0,), (-1.0,)))),
    "OneHot, groups": over_numbers(1, ir.OneHot(inputs(1), ((0.0, 3.0, 1.0), (), (2.0,), (3.0, -1.0)))),
    "Lookup": over_numbers(
        1, ir.Lookup(inputs(1), np.array([[1.0, math.nan], [3.0, 0.1], [5.0, 6.0]]), np.array([-7.0, math.nan]))
    ),
    "Clip": over_numbers(2, ir.Clip(inputs(2), -1.0, 1.5)),
    "Step": over_numbers(1, ir.Step(inputs(1), 1.5)),
    "Step, inclusive": over_numbers(1, ir.Step(inputs(1), 1.5, inclusive=True)),
    "ArgMax": over_numbers(3, ir.Check(inputs(3), low=-1e300, high=1e300), ir.ArgMax(block(3, 3))),
    "Trees": over_numbers(2, ir.Trees(inputs(2), forest(), np.array([0.25]))),
    "Trees, base 0": over_numbers(2, ir.Trees(inputs(2), forest(), np.zeros(1))),
    "Trees, an output each": over_numbers(2, ir.Trees(inputs(2), EACH, np.array([0.1, 0.0, 0.3]))),
    "Trees, rows of values": over_numbers(2, ir.Trees(inputs(2), WIDE, np.array([0.0, 0.1, 0.2, 1e9]))),
    "Trees, two outputs": over_numbers(2, ir.Trees(inputs(2), TWO, np.array([0.1, 0.0]))),
    "Trees, only leaves": over_numbers(2, ir.Trees(inputs(2), forest(roots=[3, 4, 8]), np.array([1.0]))),
    "Trees, none": over_numbers(2, ir.Trees(inputs(2), forest(roots=[], output=[]), np.array([1.0, 2.0]))),
    "columns of several nodes": over_numbers(
        3,
        ir.Clip((Ref(2, 0), Ref(0, 0)), -1.0, 1.0),
        ir.IsMissing((Ref(1, 0), Ref(3, 1), Ref(3, 1))),
        outputs=(
            Output(Method.TRANSFORM, (Ref(4, 2), Ref(0, 0), Ref(3, 1), Ref(3, 0), Ref(4, 0), Ref(2, 0))),
            Output(Method.PREDICT, (Ref(3, 0),)),
        ),
    ),
}
"""Programs that give the very doubles of the reference."""

_W = np.array([[0.5, -2.0, 3.0], [1e-3, 0.0, 1e10]])

ARITHMETIC: dict[str, Program] = {
    "Standardize": over_numbers(2, ir.Standardize(inputs(2), np.array([0.1, -3.0]), np.array([3.0, 1e-10]))),
    "MultiplyAdd": over_numbers(2, ir.MultiplyAdd(inputs(2), np.array([0.1, 1e10]), np.array([1 / 3, -7.0]))),
    "Affine": over_numbers(3, ir.Affine(inputs(3), _W, np.array([0.1, -0.2]))),
    "Elementwise": over_numbers(1, ir.Elementwise(inputs(1), ir.Op.EXP)),
}
"""Programs that refuse a row whose result is beyond a double, where the reference gives an infinity."""

SMOOTH: dict[str, Program] = {
    "Affine of nothing": over_numbers(1, ir.Affine((), np.zeros((2, 0)), np.array([0.1, -0.2]))),
    "Sigmoid": over_numbers(1, ir.Sigmoid(inputs(1))),
    "Softmax": over_numbers(3, ir.Check(inputs(3), low=-ir.FINITE, high=ir.FINITE), ir.Softmax(block(3, 3))),
    "Normalize": over_numbers(3, ir.Check(inputs(3), low=0, high=1e300), ir.Normalize(block(3, 3))),
}


@pytest.mark.parametrize("name", EXACT)
def test_bit_equal_with_the_reference(name: str) -> None:
    program = EXACT[name]
    x = adversarial(len(program.columns))
    got = run(program, x[:, [ref.node for ref in program.features()]])
    np.testing.assert_array_equal(got, expected(program, by_column(x)))


@pytest.mark.parametrize("name", SMOOTH)
def test_equal_with_the_reference(name: str) -> None:
    program = SMOOTH[name]
    x = adversarial(len(program.columns))
    got = run(program, x[:, [ref.node for ref in program.features()]])
    np.testing.assert_allclose(got, expected(program, by_column(x)), rtol=1e-14, atol=1e-322)


@pytest.mark.parametrize("name", ARITHMETIC)
def test_overflow_refuses_the_row(name: str) -> None:
    program = ARITHMETIC[name]
    x = adversarial(len(program.columns))
    outputs = np.concatenate(list(reference.evaluate(program, by_column(x)).values()), axis=1)
    outputs[np.isinf(outputs).any(axis=1)] = np.nan
    assert np.isnan(outputs).any()
    assert not np.isnan(outputs).all()
    np.testing.assert_allclose(run(program, x), outputs, rtol=1e-14, atol=1e-322)


OF_NUMBERS = {name: p for name, p in programs.ALL.items() if not any(p.text_nodes())} | {
    f"{kind.__name__}-{name}": p for kind, group in programs.ONLY_ONNX.items() for name, p in group.items()
}


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_the_programs_of_all_backends(name: str) -> None:
    program = OF_NUMBERS[name]
    columns = programs.hard_columns(program)
    arrays = programs.as_arrays(program, columns)
    x = np.column_stack([np.asarray(arrays[column.name], dtype=np.float64) for column in program.columns])
    got = run(program, x[:, [ref.node for ref in program.features()]])
    # onnxruntime's sine rounds to 0 next to a multiple of pi.
    floor = 1e-15 if "sin" in name else 1e-300
    np.testing.assert_allclose(got, programs.expected(program, columns), rtol=1e-13, atol=floor)


def test_every_kind_of_node_is_exported_or_left_to_sql() -> None:
    cases = (EXACT, ARITHMETIC, SMOOTH, OF_NUMBERS)
    covered = {type(node) for programs in cases for p in programs.values() for node in p.nodes}
    assert set(backend.EXPORTERS) | {ir.Input, ir.FillText} == set(ir.NODE_KINDS)
    assert covered | set(POINT_PROGRAMS) == set(ir.NODE_KINDS) - {ir.FillText}


@pytest.mark.parametrize("name", ["Check", "Trees, rows of values", "columns of several nodes"])
def test_one_row_gives_what_a_batch_gives(name: str) -> None:
    program = EXACT[name]
    x = adversarial(len(program.columns), rows=200)
    scorer = session(program)
    batch = scorer.run(None, {"features": x})[0]
    rows = [scorer.run(None, {"features": x[i : i + 1]})[0] for i in range(len(x))]
    np.testing.assert_array_equal(np.vstack(rows), batch)
    assert scorer.run(None, {"features": x[:0]})[0].shape == batch[:0].shape


def test_a_refused_row_takes_nothing_with_it() -> None:
    """The refusal reaches outputs that do not depend on the checked column, and no other row."""
    program = over_numbers(
        2,
        ir.Check((Ref(0, 0),), low=0.0, high=1.0),
        outputs=(Output(Method.TRANSFORM, (Ref(2, 0),)), Output(Method.PREDICT, (Ref(1, 0),))),
    )
    got = run(program, np.array([[0.5, 8.0], [2.0, 8.0], [np.nan, 8.0], [1.0, np.nan]]))
    np.testing.assert_array_equal(got, [[0.5, 8.0], [np.nan, np.nan], [np.nan, np.nan], [1.0, np.nan]])


def test_text_enters_as_the_numbers_that_sql_makes_of_it() -> None:
    text, number = Column("plan", Dtype.TEXT), Column("age", Dtype.NUMBER)
    program = Program(
        ModelKind.TRANSFORMER,
        (text, number),
        (
            ir.Input((), 0, Dtype.TEXT),
            ir.Input((), 1),
            ir.FillText((Ref(0, 0),), ("basic",)),
            ir.Codes((Ref(2, 0),), ("basic", "gold"), unknown=-1.0),
            ir.OneHot((Ref(3, 0),), ((0.0,), (1.0,))),
            ir.IsMissing((Ref(0, 0),)),
        ),
        (Output(Method.TRANSFORM, (*block(4, 2), Ref(5, 0), Ref(1, 0))),),
    )
    columns = {"plan": np.array(["gold", None, "basic", "?"], dtype=object), "age": np.array([1.0, 2.0, np.nan, 4.0])}
    assert program.features() == (Ref(1, 0), Ref(3, 0), Ref(5, 0))
    features = np.array([[1.0, 1.0, 0.0], [2.0, 0.0, 1.0], [np.nan, 0.0, 0.0], [4.0, -1.0, 0.0]])
    want = reference.evaluate(program, columns)[Method.TRANSFORM]
    np.testing.assert_array_equal(run(program, features), want)
    metadata = {
        entry.key: json.loads(entry.value) for entry in onnx.load_from_string(backend.export(program)).metadata_props
    }
    assert metadata["features"] == ["age", "plan → FillText → Codes", "plan → IsMissing"]
    assert metadata["outputs"] == [{"method": "transform", "columns": 4, "labels": None}]


@pytest.mark.parametrize("name", [*EXACT, *ARITHMETIC, *SMOOTH])
def test_graphs_are_valid_and_keep_to_known_domains(name: str) -> None:
    model = onnx.load_from_string(backend.export((EXACT | ARITHMETIC | SMOOTH)[name]))
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx.ml"}
    assert (model.ir_version, model.opset_import[0].version) == (backend.IR_VERSION, backend.OPSET)


def of_sklearn(model: RandomForestClassifier | RandomForestRegressor) -> Program:
    """A forest's program, written by hand: sum of the leaves' values, divided by the number of trees.

    Its inputs are float32 numbers, so that thresholds need no moving.
    """
    parts: dict[str, list[Values]] = {}
    roots, first = [], 0
    for estimator in model.estimators_:
        tree = estimator.tree_
        leaf = tree.children_left < 0
        part = {
            "feature": np.where(leaf, -1, tree.feature),
            "threshold": tree.threshold,
            "left": np.where(leaf, 0, tree.children_left + first),
            "right": np.where(leaf, 0, tree.children_right + first),
            "missing_left": tree.missing_go_to_left.astype(bool),
            "value": tree.value[:, 0, :],
        }
        for key, array in part.items():
            parts.setdefault(key, []).append(array)
        roots.append(first)
        first += tree.node_count
    arrays = {key: np.concatenate(arrays) for key, arrays in parts.items()}
    n, width, d = len(roots), arrays["value"].shape[1], model.n_features_in_
    trees = ir.Trees(
        inputs(d),
        ir.Forest(roots=roots, output=np.full(n, -1), category_set=np.full(first, -1), **arrays),
        np.zeros(width),
    )  # type: ignore[arg-type]
    mean = ir.Standardize(block(d, width), np.zeros(width), np.full(width, float(n)))
    if width == 1:
        return over_numbers(d, trees, mean, outputs=(Output(Method.PREDICT, block(d + 1, 1)),))
    label = ir.ArgMax(block(d + 1, width))
    outputs = (Output(Method.PREDICT, block(d + 2, 1)), Output(Method.PREDICT_PROBA, block(d + 1, width)))
    return over_numbers(d, trees, mean, label, outputs=outputs)


def training_rows(n: int, classes: int, missing: bool) -> tuple[Values, Values]:
    rng = np.random.default_rng(7)
    x = rng.normal(size=(n, 6)).astype(np.float32).astype(np.float64)
    x[:, 5] = rng.integers(0, 3, size=n)
    y = np.round(x[:, 0] * x[:, 1] + x[:, 5] + rng.normal(size=n)).astype(int) % classes
    if missing:
        x[rng.random(x.shape) < 0.15] = np.nan
    return x, y


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("trees", [12, 20])
@pytest.mark.parametrize("kind", [RandomForestClassifier, ExtraTreesClassifier])
def test_forests_are_bit_equal_with_sklearn(kind: type, trees: int, classes: int, missing: bool) -> None:
    """Few trees and shallow ones: many rows are on a tie of two classes, which another order of the sum would break."""
    x, y = training_rows(4000, classes, missing)
    model = kind(n_estimators=trees, max_depth=3, random_state=0).fit(x, y)
    got, proba = run(of_sklearn(model), x), model.predict_proba(x)
    if classes == 2 and trees == 20:  # the first class gets what the second one leaves (onnx_shares.py)
        np.testing.assert_allclose(got[:, 1], proba[:, 0], rtol=0, atol=1e-15)
        proba[:, 0] = got[:, 1]
    np.testing.assert_array_equal(got[:, 1:], proba)
    np.testing.assert_array_equal(model.classes_[got[:, 0].astype(int)], model.predict(x))


def test_regression_forest_is_bit_equal_with_sklearn() -> None:
    x, y = training_rows(2000, 50, missing=True)
    model = RandomForestRegressor(n_estimators=30, random_state=0).fit(x, y / 7)
    np.testing.assert_array_equal(run(of_sklearn(model), x)[:, 0], model.predict(x))


def test_a_large_forest_makes_a_compact_graph() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5000, 10)).astype(np.float32).astype(np.float64)
    y = (x[:, 0] * x[:, 1] + rng.normal(size=5000) > 0).astype(int)
    program = of_sklearn(RandomForestClassifier(n_estimators=100, max_depth=10, random_state=0).fit(x, y))
    assert len(backend.export(program)) < 3e6


def test_columns_that_stand_together_are_copied_at_once() -> None:
    """Gather copies number by number, and takes longer than what most graphs compute."""

    def copies(inputs: ir.Block) -> list[str]:
        total = ir.Affine(inputs, np.ones((1, len(inputs))), np.zeros(1))
        graph = onnx.load_from_string(backend.export(over_numbers(12, all_of_them, total))).graph
        return [node.op_type for node in graph.node if node.op_type in {"Gather", "Slice", "Concat"}]

    all_of_them = ir.Check(tuple(Ref(index, 0) for index in range(12)), -9.0, 9.0)
    refs = block(12, 12)
    assert copies(refs) == []
    assert copies(refs[2:9]) == ["Slice"]
    assert copies(refs[7:] + refs[:5]) == ["Slice", "Slice", "Concat"]
    assert copies(refs[::-1]) == ["Gather"]
    assert copies(refs[::2]) == ["Gather"]
    numbers = tuple(Ref(index, 0) for index in range(4))
    squares = over_numbers(4, ir.Affine(numbers, np.eye(4), np.ones(4)), ir.Multiply(block(4, 4) * 2))
    kinds = {node.op_type for node in onnx.load_from_string(backend.export(squares)).graph.node}
    assert not kinds & {"Gather", "Slice", "Concat"}


def test_a_very_deep_tree() -> None:
    """A chain: each split sends one row more to its leaf, the rest deeper."""
    depth = 3000
    splits, leaves = np.arange(depth), np.arange(depth, 2 * depth + 1)
    chain = ir.Forest(
        roots=np.array([0]),
        feature=np.append(np.zeros(depth), np.full(depth + 1, -1)),
        threshold=np.append(splits, np.zeros(depth + 1)),
        left=np.append(leaves[:-1], np.zeros(depth + 1)),
        right=np.append(splits[1:], [2 * depth, *np.zeros(depth + 1)]),
        missing_left=np.zeros(2 * depth + 1, dtype=bool),
        value=np.append(np.zeros(depth), np.arange(depth + 1))[:, np.newaxis] / 3,
        output=np.array([0]),
        category_set=np.full(2 * depth + 1, -1),
    )
    x = np.array([[-1.0], [0.5], [1000.0], [depth - 1.5], [1e300], [np.nan]])
    want = np.array([0, 1, 1000, depth - 1, depth, depth]) / 3
    np.testing.assert_array_equal(run(over_numbers(1, ir.Trees(inputs(1), chain, np.zeros(1))), x)[:, 0], want)
