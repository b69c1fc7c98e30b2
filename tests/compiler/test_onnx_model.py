"""ONNX files: what is refused when one is loaded, and the model that the graph is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pandas as pd
import pytest
from onnx import TensorProto, helper
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pgscore.compiler.artifact import Strategy
from pgscore.compiler.backends.numpy import evaluate
from pgscore.compiler.backends.onnx import export
from pgscore.compiler.backends.onnx_session import session
from pgscore.compiler.build import build, default_parameters
from pgscore.compiler.frontends import to_program
from pgscore.compiler.ir import ModelKind
from pgscore.compiler.load import load_model
from pgscore.compiler.onnx_model import OnnxModel
from pgscore.compiler.oracle import Oracle
from pgscore.errors import ModelFileError, UnsupportedError
from tests.support.onnx_models import converted

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 3))
LABELS = np.array(["a", "b", "c"])[(X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)]
HEAD = '<ir_version: 8, opset_import: ["" : 18, "ai.onnx.ml" : 3]>'


def parsed(text: str) -> Any:
    return onnx.parser.parse_model(f"{HEAD}\n{text}")


def model(text: str) -> OnnxModel:
    return OnnxModel(parsed(text).SerializeToString())


PLAIN = "graph (float[rows, 2] x) => (float[rows, 2] y) { y = Neg(x) }"


# Hostile and damaged files.


def _changed(change: Callable[[Any], object]) -> bytes:
    content = parsed(PLAIN)
    change(content)
    return bytes(content.SerializeToString())


def _external(content: Any) -> None:
    tensor = content.graph.initializer.add(name="w", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def _external_attribute(content: Any) -> None:
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    tensor.external_data.add(key="location", value="other.bin")
    content.graph.node.append(helper.make_node("Constant", [], ["unused"], value=tensor))


def _domain(content: Any) -> None:
    content.graph.node[0].domain = "com.evil"


def _function(content: Any) -> None:
    node = helper.make_node("Neg", ["a"], ["b"])
    content.functions.append(helper.make_function("", "Mine", ["a"], ["b"], [node], content.opset_import))


def _if(content: Any) -> None:
    branch = helper.make_graph([], "branch", [], [])
    content.graph.node.append(helper.make_node("If", ["x"], ["z"], then_branch=branch, else_branch=branch))


def _sparse(content: Any) -> None:
    content.graph.sparse_initializer.add()


def _trees(labels: list[str], ids: list[int], *, post: str = "NONE", base: list[float] | None = None) -> bytes:
    names, weights = "[" + ", ".join(f'"{label}"' for label in labels) + "]", "[0.2, 0.7]"
    more = f", base_values = {base}" if base else ""
    return bytes(
        parsed(f"""graph (float[rows, 1] x) => (string[rows] l, float[rows, {len(labels)}] y) {{
        l, y = ai.onnx.ml.TreeEnsembleClassifier <classlabels_strings = {names}, nodes_treeids = [0, 0, 0],
            nodes_nodeids = [0, 1, 2], nodes_featureids = [0, 0, 0], nodes_values = [1.1, 0.0, 0.0],
            nodes_modes = ["BRANCH_LEQ", "LEAF", "LEAF"], nodes_truenodeids = [1, 0, 0],
            nodes_falsenodeids = [2, 0, 0], class_treeids = [0, 0], class_nodeids = [1, 2], class_ids = {ids},
            class_weights = {weights}, post_transform = "{post}"{more}> (x) }}""").SerializeToString()
    )


HOSTILE: dict[str, tuple[bytes, str]] = {
    "truncated": (parsed(PLAIN).SerializeToString()[:-9], "no ONNX model, or a damaged one|no valid ONNX model"),
    "not a model": (b"\x08\x08\x12", "no ONNX model, or a damaged one"),
    "external data": (_changed(_external), "in other files"),
    "external data in an attribute": (_changed(_external_attribute), "in other files"),
    "unknown domain": (_changed(_domain), "'com.evil', which is no standard one"),
    "unknown opset": (_changed(lambda m: m.opset_import.add(domain="com.evil", version=1)), "no standard one"),
    "too new": (_changed(lambda m: m.opset_import.add(domain="", version=99)), "written for ai.onnx 99"),
    "functions": (_changed(_function), "functions of its own"),
    "training": (_changed(lambda m: m.training_info.add()), "training information"),
    "sparse": (_changed(_sparse), "sparse tensors"),
    "If": (_changed(_if), r"operator If has a graph within"),
    "invalid": (_changed(lambda m: m.graph.node[0].input.append("y")), "no valid ONNX model"),
    "random": (
        parsed("graph (float[rows, 2] x) => (float[rows, 2] y) { y = RandomNormalLike(x) }").SerializeToString(),
        "RandomNormalLike gives another answer each time",
    ),
    "no columns": (
        parsed("graph (float[rows, k] x) => (float[rows, k] y) { y = Neg(x) }").SerializeToString(),
        "does not say how many columns",
    ),
    "a fixed batch": (
        parsed("graph (float[4, 2] x) => (float[4, 2] y) { y = Neg(x) }").SerializeToString(),
        "takes 4 rows at once",
    ),
    "an image": (
        parsed("graph (float[rows, 2, 2] x) => (float[rows, 2, 2] y) { y = Neg(x) }").SerializeToString(),
        "no table",
    ),
    "int8": (
        parsed("graph (int8[rows, 2] x) => (int8[rows, 2] y) { y = Neg(x) }").SerializeToString(),
        "holds int8; export it with",
    ),
    "one answer for all rows, row by row": (
        parsed("graph (float[rows, 2] x) => (float[rows, 2] y) <int64[1] a = {0}>"
               "{ m = ReduceMean(x, a) y = Sub(x, m) }").SerializeToString(),
        "depends on the other rows of a call",
    ),
    "softmax over the rows": (
        parsed("graph (double[rows, 2] x) => (double[rows, 2] y) { y = Softmax <axis = 0> (x) }").SerializeToString(),
        "depends on the other rows of a call",
    ),
    "a label of several columns": (
        parsed("graph (double[rows, 2] x) => (bool[rows, 2] l, double[rows, 2] s) <double t = {0.3}>"
               "{ l = Greater(x, t) s = Neg(x) }").SerializeToString(),
        "its label 'l' has several columns",
    ),
    "an ensemble of one class": (_trees(["only"], [0, 0]), "fewer than two classes, which ends onnxruntime's process"),
    "PROBIT of two classes": (_trees(["a", "b"], [1, 1], post="PROBIT"), "PROBIT for two classes"),
    "one base value of two classes": (_trees(["a", "b"], [0, 1], base=[0.5]), "one base value for two classes"),
    "one answer for all rows": (
        parsed("graph (float[rows, 2] x) => (float[1, 2] y) { y = ReduceSum(x) }").SerializeToString(),
        "no table with a row for each row",
    ),
    "label without classes": (
        parsed("graph (float[rows, 2] x) => (int64[rows, 2] l, float[rows, 2] y)"
               "{ l = Cast <to = 7> (x) y = Neg(x) }").SerializeToString(),
        "classes of its label 'l' cannot be read",
    ),
    "several outputs": (
        parsed("graph (float[rows, 2] x) => (int64[rows, 2] l, float[rows, 2] y, float[rows, 2] z)"
               "{ l = Cast <to = 7> (x) y = Neg(x) z = Neg(x) }").SerializeToString(),
        "its outputs are 'l', 'y', 'z'",
    ),
    "one name twice": (
        parsed("graph (float[rows, 2] x, float[rows, 1] x_0) => (float[rows, 2] y) { y = Add(x, x_0) }")
        .SerializeToString(),
        "two of its input columns have one name",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_refused_when_it_is_loaded(tmp_path: Path, name: str) -> None:
    content, message = HOSTILE[name]
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=message) as caught:
        load_model(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_prefix_of_a_file_is_refused_by_name(tmp_path: Path) -> None:
    content = converted(LinearRegression().fit(X, X[:, 0]), 3)
    path = tmp_path / "model.onnx"
    for size in range(1, len(content), 7):
        path.write_bytes(content[:size])
        with pytest.raises(ModelFileError):
            load_model(path)


# What is loaded.


@pytest.mark.parametrize("name", ["model.onnx", "model", "model.bin"])
def test_the_content_decides_and_no_trust_is_needed(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(converted(LogisticRegression().fit(X, LABELS), 3))
    loaded = load_model(path)
    assert loaded.format == "onnx"
    assert loaded.description.startswith("ONNX graph(MatMul, Add, ArgMax")
    assert {"onnx", "onnxruntime"} <= set(loaded.libraries)
    assert loaded.estimator.classes_.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("labels", [LABELS, (X[:, 0] > 0).astype(int), (X[:, 0] > 0).astype(int) * 7 - 2])
def test_a_classifier(labels: Any, zipmap: bool) -> None:
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, labels)
    got = OnnxModel(converted(estimator, 3, options=None if zipmap else {"zipmap": False}))
    assert got.feature_names_in_.tolist() == ["X_0", "X_1", "X_2"]
    assert got.classes_.tolist() == estimator.classes_.tolist()
    assert got.predict(X).tolist() == estimator.predict(X).tolist()
    np.testing.assert_allclose(got.predict_proba(X), estimator.predict_proba(X), rtol=1e-10)  # onnxruntime's Sigmoid
    assert not hasattr(got, "decision_function")
    assert not hasattr(got, "transform")
    assert to_program(got).kind is (
        ModelKind.BINARY_CLASSIFIER if len(set(labels)) == 2 else ModelKind.MULTICLASS_CLASSIFIER
    )


def test_a_regressor_and_a_transformer() -> None:
    regressor = OnnxModel(converted(LinearRegression().fit(X, X[:, 0] * 2), 3))
    np.testing.assert_allclose(regressor.predict(X), X[:, 0] * 2, rtol=1e-9, atol=1e-12)
    assert to_program(regressor).kind is ModelKind.REGRESSOR
    scaler = StandardScaler().fit(X)
    transformer = OnnxModel(converted(scaler, 3))
    np.testing.assert_allclose(transformer.transform(X), scaler.transform(X), rtol=1e-12)
    assert to_program(transformer).kind is ModelKind.TRANSFORMER


def test_scores_that_are_no_probabilities_are_decisions() -> None:
    got = model(
        """graph (double[rows, 2] x) => (int64[rows] label, double[rows, 2] s)
        <int64[2] classes = {3, 5}>
        { s = Neg(x) index = ArgMax <axis = 1, keepdims = 0> (s) label = Gather(classes, index) }"""
    )
    assert got.predict(np.array([[1.0, 0.0], [0.0, 1.0]])).tolist() == [5, 3]
    np.testing.assert_array_equal(got.decision_function(X[:, :2]), -X[:, :2])
    assert not hasattr(got, "predict_proba")


def test_columns_have_the_names_of_their_tensors() -> None:
    got = model(
        """graph (double[rows, 1] age, int64[rows] visits, double[rows, 2] more) => (double[rows, 4] y)
        <int64[1] axis = {1}>
        { n = Cast <to = 11> (visits) v = Unsqueeze(n, axis) y = Concat <axis = 1> (age, v, more) }"""
    )
    assert got.feature_names_in_.tolist() == ["age", "visits", "more_0", "more_1"]
    frame = pd.DataFrame({"more_1": [4.0], "visits": [2], "age": [1.5], "more_0": [3.0]})
    assert got.transform(frame).tolist() == [[1.5, 2.0, 3.0, 4.0]]


def test_the_names_that_pgscore_wrote_into_a_graph() -> None:
    frame = pd.DataFrame(X, columns=["tenure", "monthly", "total"])
    content = export(to_program(LogisticRegression().fit(frame, LABELS)))
    assert OnnxModel(content).feature_names_in_.tolist() == ["tenure", "monthly", "total"]
    damaged = onnx.load_from_string(content)
    for entry in damaged.metadata_props:
        if entry.key == "features":
            entry.value = json.dumps(["tenure", "monthly"])
    assert OnnxModel(damaged.SerializeToString()).feature_names_in_.tolist() == [
        "features_0",
        "features_1",
        "features_2",
    ]


# Which rows it takes.


def test_missing_values_where_the_graph_has_an_answer() -> None:
    rows = X.copy()
    rows[::3, 0] = np.nan
    trees = make_pipeline(SimpleImputer(), RandomForestClassifier(3, max_depth=3, random_state=0)).fit(rows, LABELS)
    assert OnnxModel(converted(trees, 3, single=True)).takes_missing == (True, True, True)
    linear = OnnxModel(converted(LogisticRegression().fit(X, LABELS), 3))
    assert linear.takes_missing == (False, False, False)
    with pytest.raises(ValueError, match="X does not take all of the rows"):
        linear.predict(np.array([[1.0, np.nan, 0.0]]))


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e39])
def test_numbers_that_float32_cannot_hold_are_refused(value: float) -> None:
    single = model(PLAIN)
    assert single.transform(np.array([[1e30, 2.0]])).shape == (1, 2)
    with pytest.raises(ValueError, match="x does not take all of the rows"):
        single.transform(np.array([[1.0, value]]))


@pytest.mark.parametrize("value", [0.5, np.nan, 2.0**60])
def test_a_whole_tensor_takes_whole_numbers(value: float) -> None:
    got = model("graph (int64[rows, 2] x) => (int64[rows, 2] y) { y = Neg(x) }")
    assert got.transform(np.array([[3.0, -4.0]])).tolist() == [[-3.0, 4.0]]
    with pytest.raises(ValueError, match="x does not take all of the rows"):
        got.transform(np.array([[1.0, value]]))


def test_the_oracle_asks_it_with_arrays() -> None:
    got = model(PLAIN)
    program = to_program(got)
    artifact = build(program, default_parameters(program))
    answers = Oracle(got, artifact.parameters, artifact.functions).answers(
        {"x_0": [1.0, None, 1e300], "x_1": [2.0, 2.0, 2.0]}
    )[""]
    assert answers == [[-1.0, -2.0], [None, -2.0], None]


# Where it can run.

UNKNOWN = "graph (float[rows, 2] x) => (float[rows, 2] y) { y = Erf(x) }"


def test_an_operator_without_a_form_in_sql_is_left_to_onnx() -> None:
    program = to_program(model(UNKNOWN))
    assert build(program, default_parameters(program)).strategy is Strategy.ONNX
    for strategy in (Strategy.SQL, Strategy.PLPGSQL):
        with pytest.raises(UnsupportedError, match=r"\(Erf: it has no form in SQL\); run it as ONNX"):
            build(program, default_parameters(program), strategy=strategy)
    with pytest.raises(UnsupportedError, match="pgscore install --plpython"):
        build(program, default_parameters(program), available=frozenset({Strategy.SQL, Strategy.PLPGSQL}))


def test_a_row_that_is_refused_does_not_reach_an_operator_that_raises() -> None:
    """Binarizer raises for NaN, which would end a query, or the batch of a refresh."""
    program = to_program(model("graph (float[rows, 2] x) => (float[rows, 2] y) { y = ai.onnx.ml.Binarizer(x) }"))
    graph = build(program, default_parameters(program), strategy=Strategy.ONNX).onnx
    assert graph is not None
    rows = np.array([[1.0, -1.0], [np.nan, 1.0], [np.inf, 1.0]])
    (got,) = session(graph.content).run(None, {"features": rows})
    np.testing.assert_array_equal(got, [[1.0, 0.0], [np.nan, np.nan], [np.nan, np.nan]])


def test_several_flags_are_numbers() -> None:
    got = model("graph (float[rows, 2] x) => (bool[rows, 2] y) <float t = {0.3}> { y = Greater(x, t) }")
    assert got.transform(np.array([[0.0, 1.0]])).tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize("joined", [False, True])
def test_encoders_that_raise_for_what_they_do_not_know(joined: bool) -> None:
    """Each column is tried with texts that its own encoder knows, whichever way they come there."""
    first, second = ("city", "plan")
    ways = """both = Concat <axis = 1> (city, plan) first = ai.onnx.ml.ArrayFeatureExtractor(both, zero)
              back = Identity(both) second = Gather <axis = 1> (back, one)"""
    if joined:
        first, second = "first", "second"
    got = model(f"""graph (string[rows, 1] city, string[rows, 1] plan) => (float[rows, 4] y)
        <int64[1] zero = {{0}}, int64[1] one = {{1}}> {{
        {ways if joined else ""}
        a = ai.onnx.ml.OneHotEncoder <cats_strings = ["Oslo", "it's"], zeros = 0> ({first})
        b = ai.onnx.ml.OneHotEncoder <cats_strings = ["basic", "pro"], zeros = 0> ({second})
        c = Flatten(a) d = Flatten(b) y = Concat <axis = 1> (c, d) }}""")
    rows = np.array([["it's", "pro"], ["Oslo", "basic"]], dtype=object)
    assert got.transform(rows).tolist() == [[0, 1, 0, 1], [1, 0, 1, 0]]
    with pytest.raises(ValueError, match="onnxruntime refuses the rows"):
        got.transform(np.array([["pro", "pro"]], dtype=object))
    program = to_program(got)
    found = evaluate(program, {"city": np.append(rows[:, 0], "pro"), "plan": np.append(rows[:, 1], "pro")})
    np.testing.assert_array_equal(next(iter(found.values())), [[0, 1, 0, 1], [1, 0, 1, 0], [np.nan] * 4])


def test_text_needs_nodes() -> None:
    text = """graph (string[rows, 1] city, float[rows, 1] x) => (float[rows, 3] y) {
        hot = ai.onnx.ml.OneHotEncoder <cats_strings = ["Oslo", "it's"]> (city)
        flat = Flatten(hot)
        z = %s(x)
        y = Concat <axis = 1> (flat, z)
    }"""
    got = model(text % "Neg")
    assert got.transform(np.array([["it's", 2.0], ["else", 3.0]], dtype=object)).tolist() == [[0, 1, -2], [0, 0, -3]]
    program = to_program(got)
    artifact = build(program, default_parameters(program))
    assert artifact.strategy is Strategy.SQL
    assert build(program, default_parameters(program), strategy=Strategy.ONNX).onnx is not None
    with pytest.raises(UnsupportedError, match=r"reads text \(city\).*Erf"):
        to_program(model(text % "Erf"))
