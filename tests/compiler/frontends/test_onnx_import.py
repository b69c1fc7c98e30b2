"""Exported graphs in nodes: the graph's own answers, by onnxruntime, against the reference interpreter's."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx.parser
import pytest
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from pgscore.compiler import ir
from pgscore.compiler.backends.numpy import evaluate
from pgscore.compiler.backends.onnx import export
from pgscore.compiler.frontends import onnx_files, to_program
from pgscore.compiler.onnx_model import OnnxModel
from tests.support.models import all_examples
from tests.support.onnx_models import converted

RNG = np.random.default_rng(1)
X = RNG.normal(size=(150, 3))
BINARY = (X[:, 0] > 0).astype(int)
THREE = np.array(["a", "b", "c"])[BINARY + (X[:, 1] > 0.5)]
AMOUNT = 3 + X[:, 0] * 2 - X[:, 2]
HEAD = '<ir_version: 10, opset_import: ["" : 18, "ai.onnx.ml" : 3]>'

MODELS: dict[str, tuple[Any, Any]] = {
    "logistic": (LogisticRegression(), THREE),
    "logistic-binary": (LogisticRegression(), BINARY),
    "scaled": (make_pipeline(StandardScaler(), LogisticRegression()), BINARY),
    "network": (MLPClassifier((4,), max_iter=30, random_state=0), THREE),
    "network-tanh": (MLPRegressor(hidden_layer_sizes=(4,), activation="tanh", max_iter=30, random_state=0), AMOUNT),
    "linear": (LinearRegression(), AMOUNT),
    "ranges": (make_pipeline(MinMaxScaler(clip=True), LinearRegression()), AMOUNT),
    "forest": (RandomForestClassifier(4, max_depth=3, random_state=0), THREE),
    "forest-binary": (RandomForestClassifier(4, max_depth=3, random_state=0), BINARY),
    "forest-mean": (RandomForestRegressor(4, max_depth=3, random_state=0), AMOUNT),
    "tree": (DecisionTreeRegressor(max_depth=3, random_state=0), AMOUNT),
    "boosted": (GradientBoostingClassifier(n_estimators=3, max_depth=2), BINARY),
    "boosted-multi": (GradientBoostingClassifier(n_estimators=3, max_depth=2), THREE),
    "scaler": (StandardScaler(), None),
    "l2": (Normalizer("l2"), None),
    "l1": (Normalizer("l1"), None),
}


def assert_same(model: OnnxModel, rows: Any) -> ir.Program:
    """Every method of the model equals its program's answers; returns the program."""
    program = to_program(model)
    columns = {column.name: rows[:, index] for index, column in enumerate(program.columns)}
    found = evaluate(program, columns)
    for output in program.outputs:
        want = np.asarray(getattr(model, output.method.value)(rows))
        got = found[output.method]
        if output.labels is not None:
            assert [output.labels[int(index)] for index in got[:, 0]] == want.tolist()
        else:
            floor = 1e-3 * float(np.median(np.abs(want)))
            np.testing.assert_allclose(
                got, want.reshape(got.shape), rtol=program.tolerance, atol=program.tolerance * floor
            )
    return program


def is_opaque(program: ir.Program) -> bool:
    return any(isinstance(node, ir.Subgraph) for node in program.nodes)


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_exported_models_become_nodes(name: str, single: bool) -> None:
    estimator, target = MODELS[name]
    model = OnnxModel(converted(estimator.fit(X, target), 3, single=single))
    program = assert_same(model, X)
    assert not is_opaque(program)
    assert program.as_is is not None
    assert is_opaque(program.as_is)
    if not single and "forest" not in name and "boosted" not in name:
        assert (program.tolerance, program.approximation) == (ir.TOLERANCE, "")
    if program.tolerance > ir.TOLERANCE:
        assert program.tolerance in onnx_files.SINGLE
        assert program.approximation == "the graph computes in float32, SQL in double"


def test_a_single_tree_of_floats_is_exact() -> None:
    """float32(x) <= t, on the thresholds and right beside them."""
    model = OnnxModel(converted(DecisionTreeRegressor(max_depth=4, random_state=0).fit(X, AMOUNT), 3, single=True))
    program = to_program(model)
    assert program.tolerance == ir.TOLERANCE
    (trees,) = [node for node in program.nodes if isinstance(node, ir.Trees)]
    edges = trees.forest.threshold[trees.forest.feature >= 0]
    values = np.concatenate([edges, np.nextafter(edges, np.inf), np.nextafter(edges, -np.inf), [np.nan]])
    rows = np.array([[a, b, 0.1] for a in values for b in values])
    got = evaluate(program, {f"X_{index}": rows[:, index] for index in range(3)})[ir.Method.PREDICT][:, 0]
    np.testing.assert_array_equal(got, model.predict(rows))


def test_trees_behind_arithmetic_in_float32_stay_a_graph() -> None:
    estimator = make_pipeline(StandardScaler(), RandomForestClassifier(3, max_depth=3, random_state=0)).fit(X, THREE)
    program = assert_same(OnnxModel(converted(estimator, 3, single=True)), X)
    (part,) = [node for node in program.nodes if isinstance(node, ir.Subgraph)]
    assert "trees read numbers that were computed in float32" in part.reason
    assert program.tolerance == ir.TOLERANCE


def test_an_imputer_in_front_of_trees() -> None:
    rows = X.copy()
    rows[RNG.random(rows.shape) < 0.2] = np.nan
    estimator = make_pipeline(SimpleImputer(), RandomForestClassifier(3, max_depth=3, random_state=0)).fit(rows, THREE)
    program = assert_same(OnnxModel(converted(estimator, 3, single=True)), rows)
    assert not is_opaque(program)


OPERATORS = {
    "sums": "a = Add(x, c) b = Sub(c, a) d = Mul(b, x) e = Sub(d, x) y = Div(e, c)",
    "columns": "i, j = Split <axis = 1, num_outputs = 2> (x) k = Mul(i, j) y = Concat <axis = -1> (k, j, i)",
    "chosen": "y = Gather <axis = 1> (x, two)",
    "matrix": "a = Gemm <alpha = 0.5, beta = 2.0, transB = 1> (x, w, c) y = MatMul(a, w)",
    "curves": "a = Abs(x) b = Sqrt(a) g = Floor(b) d = Tanh(b) e = Exp(d) f = Neg(e) h = Sigmoid(f) y = Add(h, g)",
    "rows": "a = ReduceSum(x, one) b = ReduceMax(x, one) d = ReduceMean(x, one) y = Concat <axis = 1> (a, b, d)",
    "least": "a = ArgMin <axis = 1> (x) b = Cast <to = 11> (a) y = Concat <axis = 1> (b, x)",
    "share": "a = ReduceL2(x, one) y = Div(x, a)",
    "softmax": "y = Softmax <axis = 1> (x)",
    "clipped": "a = Clip(x, low, high) y = Relu(a)",
    "square": "y = Pow(x, high)",
    "choice": "a = Greater(x, c) b = LessOrEqual(x, low) d = Or(a, b) e = Not(b) f = And(d, e) n = Neg(x)"
    " g = Where(f, x, n) h = Cast <to = 11> (d) y = Add(g, h)",
    "beside": "a = ReduceMin(x, one) b = Less(a, x) y = Where(b, x, c)",
    "filled": "m = IsNaN(x) z = Where(m, c, x) y = Neg(z)",
    "shapes": "a = Unsqueeze(x, two) b = Flatten(a) s = Slice(b, zero, one, one) y = Sub(b, s)",
}


TAKES_MISSING = {"chosen", "filled", "beside"}
"""No comparison with what is missing is true."""


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name: str, single: bool) -> None:
    kind = "float" if single else "double"
    body = OPERATORS[name].replace("to = 11", "to = 1") if single else OPERATORS[name]
    text = f"""{HEAD} graph ({kind}[rows, 2] x) => ({kind}[rows, 1] sum)
    <int64[1] zero = {{0}}, int64[1] one = {{1}}, int64[1] two = {{2}}, {kind}[1, 2] c = {{0.25, -1.5}},
     {kind}[2, 2] w = {{1.5, -2.0, 0.25, 3.0}}, {kind} low = {{-0.5}}, {kind} high = {{2.0}}>
    {{ {body.replace("Gather <axis = 1> (x, two)", "Gather <axis = 1> (x, one)")} sum = ReduceSum(y, one) }}"""
    model = OnnxModel(onnx.parser.parse_model(text).SerializeToString())
    program = assert_same(model, X[:, :2])
    if not single:
        assert not is_opaque(program) or name in TAKES_MISSING
        assert program.tolerance == ir.TOLERANCE
    if name in TAKES_MISSING:
        assert model.takes_missing[0]


@pytest.mark.parametrize("mode", ["LEQ", "LT", "GTE", "GT"])
@pytest.mark.parametrize("tracks", [0, 1])
@pytest.mark.parametrize("single", [False, True])
def test_the_ways_to_split(mode: str, tracks: int, single: bool) -> None:
    kind = "float" if single else "double"
    text = f"""{HEAD} graph ({kind}[rows, 1] x) => (float[rows, 1] y) {{
        y = ai.onnx.ml.TreeEnsembleRegressor <n_targets = 1, nodes_treeids = [0, 0, 0], nodes_nodeids = [0, 1, 2],
            nodes_featureids = [0, 0, 0], nodes_values = [1.1, 0.0, 0.0],
            nodes_modes = ["BRANCH_{mode}", "LEAF", "LEAF"],
            nodes_truenodeids = [1, 0, 0], nodes_falsenodeids = [2, 0, 0],
            nodes_missing_value_tracks_true = [{tracks}, 0, 0], target_treeids = [0, 0], target_nodeids = [1, 2],
            target_ids = [0, 0], target_weights = [1.0, 2.0]> (x)
    }}"""
    model = OnnxModel(onnx.parser.parse_model(text).SerializeToString())
    program = to_program(model)
    assert not is_opaque(program)
    at = [1.1, float(np.float32(1.1)), 1.0, 2.0, np.nan]
    rows = np.array([[v] for t in at for v in (t, np.nextafter(t, 9), np.nextafter(t, -9))])
    got = evaluate(program, {"x": rows[:, 0]})[ir.Method.PREDICT][:, 0]
    np.testing.assert_array_equal(got, model.predict(rows))


def imported(text: str) -> tuple[OnnxModel, ir.Program]:
    model = OnnxModel(onnx.parser.parse_model(HEAD + text).SerializeToString())
    return model, to_program(model)


@pytest.mark.parametrize("operator", ["Floor", "Ceil", "Round", "Sign", "Log", "Sin", "Cos"])
def test_functions_to_warm_float32_round_first(operator: str) -> None:
    """The floor of 2.9999999999999996 is 3 where it is read as float32, and the sine of 1e20 is that of its float32."""
    model, program = imported(f"graph (float[rows, 1] x) => (float[rows, 1] y) {{ y = {operator}(x) }}")
    assert not is_opaque(program)
    x = np.array([2.9999999999999996, 3.0000000000000004, 0.5000000000000001, 1e-30, 0.1, 77777.123456789, 1e20])
    got = evaluate(program, {"x": x})[ir.Method.PREDICT][:, 0]
    np.testing.assert_allclose(got, model.predict(x[:, np.newaxis]), rtol=1e-5)
    tiny = np.array([1e-300])
    if operator == "Log":
        assert np.isnan(evaluate(program, {"x": tiny})[ir.Method.PREDICT]).all()
    else:
        assert evaluate(program, {"x": tiny})[ir.Method.PREDICT][0, 0] == model.predict(tiny[:, np.newaxis])[0]


@pytest.mark.parametrize(
    "body",
    [
        "b = Greater(i, j) y = Where(b, i, two)",
        "b = LessOrEqual(i, j) y = Where(b, two, j)",
        "x = Concat <axis = 1> (i, j) a = ArgMax <axis = 1> (x) b = Cast <to = 1> (a) y = Add(b, i)",
    ],
)
def test_columns_of_float32_are_compared_as_such(body: str) -> None:
    """0.1 and the next double are one float32: neither is greater."""
    model, program = imported(
        f"""graph (float[rows, 1] i, float[rows, 1] j) => (float[rows, 1] y)
        <float[1] two = {{2.0}}, float zero = {{0.0}}>
        {{ {body.replace("y =", "z =")} n = Mul(i, zero) m = Mul(j, zero) o = Add(n, m) y = Add(z, o) }}"""
    )
    assert not is_opaque(program)
    rows = np.array([[0.1, np.nextafter(0.1, 1)], [np.nextafter(0.1, 1), 0.1], [0.1, 0.2], [0.2, 0.1]])
    got = evaluate(program, {"i": rows[:, 0], "j": rows[:, 1]})[ir.Method.PREDICT][:, 0]
    np.testing.assert_allclose(got, model.predict(rows), rtol=1e-6)


@pytest.mark.parametrize("kind", ["float", "double"])
@pytest.mark.parametrize("operator", ["Floor", "Round", "Sign"])
def test_what_jumps_reads_no_sums(kind: str, operator: str) -> None:
    """0.1 + 0.2 may be 0.3 or the next number, by the order of a sum: its floor times ten would jump."""
    _, program = imported(
        f"""graph ({kind}[rows, 2] x) => ({kind}[rows, 1] y) <{kind}[2, 1] w = {{10.0, 20.0}}>
        {{ s = MatMul(x, w) y = {operator}(s) }}"""
    )
    assert is_opaque(program)


@pytest.mark.parametrize("body", ["y = Identity(x)", "y = Gather <axis = 1> (x, i)", "y = Concat <axis = 1> (x, x)"])
def test_numbers_of_float32_come_out_as_float32(body: str) -> None:
    model, program = imported(f"graph (float[rows, 2] x) => (float[rows, k] y) <int64[2] i = {{1, 1}}> {{ {body} }}")
    assert not is_opaque(program)
    rows = np.array([[0.1, 1e-50], [np.nan, 16777217.0], [1 / 3, -1e-40]])
    got = evaluate(program, {"x_0": rows[:, 0], "x_1": rows[:, 1]})[ir.Method.TRANSFORM]
    np.testing.assert_array_equal(got, model.transform(rows)[:, : got.shape[1]])


def test_whole_numbers_beyond_the_doubles_are_refused() -> None:
    """int64 wraps around there: -2^53 times 2^31 - 1 is 2^53."""
    model, program = imported("graph (int64[rows, 1] n, int64[rows, 1] d) => (int64[rows, 1] y) { y = Mul(n, d) }")
    rows = np.array([[3.0, -5.0], [-(2.0**53), 2.0**31 - 1], [2.0**53, 2.0**53]])
    got = evaluate(program, {"n": rows[:, 0], "d": rows[:, 1]})[ir.Method.PREDICT][:, 0]
    assert model.predict(rows[:1])[0] == got[0] == -15
    assert np.isnan(got[1:]).all()


def test_whole_numbers_are_compared_at_any_size() -> None:
    model, program = imported(
        "graph (int64[rows, 1] n, int64[rows, 1] d) => (int64[rows, 1] y) { b = Less(n, d) y = Where(b, n, d) }"
    )
    rows = np.array([[2.0**53, -(2.0**53)], [-(2.0**53), 2.0**53 - 1], [2.0**53 - 1, 2.0**53]])
    got = evaluate(program, {"n": rows[:, 0], "d": rows[:, 1]})[ir.Method.PREDICT][:, 0]
    np.testing.assert_array_equal(got, model.predict(rows))


@pytest.mark.parametrize(
    "body",
    [
        "y = Softmax(x)",
        "n = ReduceL2(x, one) y = Div(x, n)",
        'y = ai.onnx.ml.Normalizer <norm = "L2"> (x)',
        'y = ai.onnx.ml.Normalizer <norm = "L1"> (x)',
        "l, y = ai.onnx.ml.LinearClassifier <coefficients = [9.0, 9.0, 1.0, 9.0], intercepts = [0.0, 0.0],"
        ' classlabels_ints = [0, 1], post_transform = "SOFTMAX"> (x)',
    ],
)
def test_where_float32_overflows_no_number_is_made_up(body: str) -> None:
    """The graph has NaN or 0 there, where doubles would go on."""
    _, program = imported(f"graph (float[rows, 2] x) => (float[rows, 2] y) <int64[1] one = {{1}}> {{ {body} }}")
    assert not is_opaque(program)
    values = list(evaluate(program, {"x_0": np.array([3e38, 1.0]), "x_1": np.array([3e38, 2.0])}).values())
    if "Softmax(x)" in body:  # nothing overflows
        assert np.isfinite(values[0]).all()
    else:
        assert np.isnan(values[0][0]).all()
        assert np.isfinite(values[0][1]).all()


def test_the_tolerance_holds_for_whole_numbers_of_any_size() -> None:
    """Of a sigmoid in float32, 1 - p has few digits; 0 and 1 alone would not show it."""
    model, program = imported(
        """graph (int64[rows, 3] n) => (int64[rows] label, float[rows, 2] p)
        { x = Cast <to = 1> (n) label, p = ai.onnx.ml.LinearClassifier
            <coefficients = [-1.2, 0.3, 0.1, 1.2, -0.3, -0.1], intercepts = [-0.2, 0.2], classlabels_ints = [0, 1],
             post_transform = "LOGISTIC"> (x) }"""
    )
    rows = RNG.integers(-8, 9, (200, 3)).astype(np.float64)
    want = model.predict_proba(rows)
    got = evaluate(program, {f"n_{index}": rows[:, index] for index in range(3)})[ir.Method.PREDICT_PROBA]
    floor = 1e-3 * float(np.median(want))
    assert (np.abs(got - want) / np.maximum(np.maximum(got, want), floor)).max() <= program.tolerance


def test_tables_of_whole_numbers_and_of_text() -> None:
    text = (
        HEAD
        + """graph (int64[rows, 1] n, string[rows, 1] s) => (float[rows, 4] y) {
        a = ai.onnx.ml.LabelEncoder <keys_int64s = [3, 5], values_floats = [0.5, 1.5], default_float = -1.0> (n)
        b = ai.onnx.ml.LabelEncoder <keys_strings = ["u", "v"], values_floats = [2.0, 4.0], default_float = 9.0> (s)
        c = ai.onnx.ml.OneHotEncoder <cats_int64s = [3, 7], zeros = 1> (n)
        d = Flatten(c)
        y = Concat <axis = 1> (a, b, d)
    }"""
    )
    model = OnnxModel(onnx.parser.parse_model(text).SerializeToString())
    rows = np.array([[3, "u"], [5, "v"], [7, "else"], [4, ""]], dtype=object)
    program = to_program(model)
    got = evaluate(program, {"n": rows[:, 0].astype(float), "s": rows[:, 1]})[ir.Method.TRANSFORM]
    np.testing.assert_array_equal(got, model.transform(rows))
    refused = evaluate(program, {"n": np.array([3.5, np.nan, 3.0]), "s": np.array(["u", "u", None], dtype=object)})
    assert np.isnan(refused[ir.Method.TRANSFORM]).all()


ROUND_TRIP = {"StandardScaler", "LogisticRegression", "DecisionTreeRegressor", "Ridge", "KMeans"}


@pytest.mark.parametrize("name", [name for name in all_examples() if name.split("-")[0] in ROUND_TRIP])
def test_what_pgscore_exports_comes_back(name: str) -> None:
    """The same answers and the same refusals, within the digits of the program itself."""
    example = all_examples()[name]()
    program = to_program(example.estimator)
    back = to_program(OnnxModel(export(program)))
    assert not is_opaque(back)
    assert back.kind is program.kind
    assert [column.name for column in back.columns] == [column.name for column in program.columns]
    names = [str(name) for name in example.frame.columns]
    given = {
        c.name: example.frame.iloc[:, names.index(c.name) if c.name in names else int(c.name[1:])].to_numpy(np.float64)
        for c in program.columns
    }
    want, got = evaluate(program, given), evaluate(back, given)
    for output in program.outputs:
        np.testing.assert_allclose(got[output.method], want[output.method], rtol=1e-12, atol=1e-300)
