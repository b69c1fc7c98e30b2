"""Estimators without a frontend, through skl2onnx: measured, or refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import skl2onnx
from skl2onnx.sklapi import CastTransformer
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.cluster import DBSCAN
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.utils.validation import validate_data

from pgscore.compiler import ir
from pgscore.compiler.artifact import Strategy
from pgscore.compiler.backends.numpy import evaluate
from pgscore.compiler.build import build, default_parameters
from pgscore.compiler.frontends import FRONTENDS, to_program
from pgscore.compiler.frontends.builder import Builder
from pgscore.compiler.frontends.fallback import LIMIT, through_skl2onnx
from pgscore.errors import UnsupportedError

RNG = np.random.default_rng(2)
X = RNG.normal(size=(120, 3))
LABELS = np.array(["a", "b", "c"])[(X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)]


class Plus(TransformerMixin, BaseEstimator):
    """x + 1 for the user, and x + 1 + `error` for skl2onnx; takes missing values if `missing`."""

    def __init__(self, error: float = 0.0, missing: bool = False, lossy: bool = False) -> None:
        self.error = error
        self.missing = missing
        self.lossy = lossy

    def fit(self, X: Any, y: object = None) -> Plus:  # noqa: ARG002
        validate_data(self, X, ensure_all_finite="allow-nan" if self.missing else True)
        return self

    def transform(self, X: Any) -> Any:
        X = validate_data(self, X, reset=False, ensure_all_finite="allow-nan" if self.missing else True)
        return X + 1.0


class Rule(ClassifierMixin, BaseEstimator):
    """A label without scores: whether the first column is positive."""

    def fit(self, X: Any, y: Any) -> Rule:
        self.classes_ = np.unique(y)
        validate_data(self, X)
        return self

    def predict(self, X: Any) -> Any:
        return self.classes_[(validate_data(self, X, reset=False)[:, 0] > 0).astype(int)]


class Unknown(RegressorMixin, BaseEstimator):
    def fit(self, X: Any, y: Any) -> Unknown:  # noqa: ARG002
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X: Any) -> Any:
        return X[:, 0]


class MyForest(RandomForestRegressor):
    pass


def _shape(operator: Any) -> None:
    operator.outputs[0].type = type(operator.inputs[0].type)([None, operator.inputs[0].type.shape[1]])


def _plus(scope: Any, operator: Any, container: Any) -> None:
    from skl2onnx.algebra.onnx_ops import OnnxAdd, OnnxIsNaN, OnnxWhere

    x, estimator = operator.inputs[0], operator.raw_operator
    dtype = np.float64 if "Double" in type(x.type).__name__ else np.float32
    one = np.array([1.0 + estimator.error], dtype=dtype)
    if estimator.lossy:
        zero = np.array([0.0], dtype=dtype)
        OnnxAdd(
            OnnxWhere(OnnxIsNaN(x, op_version=18), zero, x, op_version=18), one, op_version=18,
            output_names=operator.outputs[:1],
        ).add_to(scope, container)  # fmt: skip
        return
    OnnxAdd(x, one, op_version=18, output_names=operator.outputs[:1]).add_to(scope, container)


@pytest.fixture(autouse=True, scope="module")
def converter() -> None:
    """A converter of the user's own, as skl2onnx documents them."""
    skl2onnx.update_registered_converter(Plus, "TestPlus", _shape, _plus, overwrite=True)


def through(estimator: Any, n: int = 3) -> ir.Program:
    builder = Builder([f"x{index}" for index in range(n)], FRONTENDS)
    return builder.finish(through_skl2onnx(estimator, builder.inputs, builder))


def answers(program: ir.Program, rows: Any) -> dict[ir.Method, Any]:
    return evaluate(program, {f"x{index}": rows[:, index] for index in range(rows.shape[1])})


def test_a_converter_of_the_users_own_in_a_pipeline() -> None:
    model = Pipeline([("plus", Plus()), ("scale", StandardScaler()), ("model", LogisticRegression())]).fit(X, LABELS)
    program = to_program(model)
    np.testing.assert_allclose(answers(program, X)[ir.Method.PREDICT_PROBA], model.predict_proba(X), rtol=1e-12)
    assert program.tolerance == ir.TOLERANCE
    assert program.approximation == "Plus goes through skl2onnx: measured difference 0.0e+00"
    artifact = build(program, default_parameters(program))
    assert (artifact.strategy, artifact.approximation) == (Strategy.ONNX, program.approximation)
    with pytest.raises(UnsupportedError, match="Plus has no form in SQL and goes through skl2onnx; run it as ONNX"):
        build(program, default_parameters(program), strategy=Strategy.SQL)


def test_a_classifier_with_probabilities() -> None:
    model = GaussianNB().fit(X, LABELS)
    program = through(model)
    found = answers(program, X)
    np.testing.assert_allclose(found[ir.Method.PREDICT_PROBA], model.predict_proba(X), rtol=1e-9)
    assert [program.outputs[0].labels[int(i)] for i in found[ir.Method.PREDICT][:, 0]] == model.predict(X).tolist()  # type: ignore[index]


@pytest.mark.parametrize("labels", [[4, 9], [False, True]])
def test_labels_that_are_no_text(labels: list[Any]) -> None:
    model = LogisticRegression().fit(X, np.array(labels)[(X[:, 0] > 0).astype(int)])
    program = through(model)
    assert program.outputs[0].labels == tuple(labels)
    found = answers(program, X)[ir.Method.PREDICT][:, 0]
    assert [labels[int(index)] for index in found] == model.predict(X).tolist()


def test_the_measured_difference_sets_the_tolerance() -> None:
    program = through(Plus(error=1e-8).fit(X))
    assert 1e-9 < program.tolerance <= LIMIT
    assert "measured difference" in program.approximation


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (Plus(error=1e-3), r"its answers through skl2onnx differ by \d\.\de-0\d on made-up rows"),
        (RandomForestRegressor(3, random_state=0), "its answers through skl2onnx differ by"),
        (Plus(missing=True, lossy=True), "its answers through skl2onnx give other labels or no numbers"),
        (Unknown(), "skl2onnx has no converter for it"),
        (MyForest(2), "skl2onnx has no converter for it"),
        (Rule(), "skl2onnx has no converter for it"),
    ],
)
def test_what_is_refused(estimator: Any, message: str) -> None:
    target = LABELS if isinstance(estimator, Rule) else X[:, 0]
    with pytest.raises(UnsupportedError, match=f"has no exact form in SQL, and {message}"):
        through(estimator.fit(X, target))


def test_the_reason_of_the_family_stands_first() -> None:
    builder = Builder(["x0", "x1", "x2"], {}, {Plus: ("it is a toy", "buy a real one")})
    with pytest.raises(UnsupportedError, match=r"step model: it is a toy, and its answers .*; buy a real one"):
        builder.convert(Plus(error=1.0).fit(X), builder.inputs)
    builder = Builder(["x0", "x1", "x2"], {}, {Plus: ("it is a toy", "buy a real one")})
    assert builder.finish(builder.convert(Plus().fit(X), builder.inputs)).tolerance == ir.TOLERANCE


@pytest.mark.parametrize("missing", [False, True])
def test_rows_are_refused_as_the_estimator_refuses_them(missing: bool) -> None:
    program = through(Plus(missing=missing).fit(X))
    rows = np.array([[1.0, 2.0, 3.0], [np.nan, 2.0, 3.0], [np.inf, 2.0, 3.0]])
    found = answers(program, rows)[ir.Method.TRANSFORM]
    np.testing.assert_array_equal(found[0], [2.0, 3.0, 4.0])
    np.testing.assert_array_equal(found[1], [np.nan, 3.0, 4.0] if missing else [np.nan] * 3)
    assert np.isnan(found[2]).all()


def test_a_pipeline_with_text_is_refused() -> None:
    rows = np.array([["a", "b"], ["b", "a"], ["a", "a"]], dtype=object)
    model = Pipeline([("plus", Unknown())]).fit(rows, [1, 2, 3])
    with pytest.raises(UnsupportedError, match=r"it does not take rows of ordinary numbers|no converter"):
        to_program(model)
    builder = Builder(["city"], FRONTENDS)
    encoder = OneHotEncoder(sparse_output=False).fit(rows[:, :1])
    builder.transform(encoder, builder.inputs)
    with pytest.raises(UnsupportedError, match="a way through ONNX is for numbers only"):
        through_skl2onnx(Plus().fit(X[:, :1]), builder.inputs, builder)


def test_a_step_that_gives_float32_says_so() -> None:
    """scikit-learn computes on in float32, and the nodes in double."""
    model = Pipeline([("cast", CastTransformer()), ("model", LogisticRegression())]).fit(X, LABELS)
    program = to_program(model)
    assert program.tolerance == LIMIT
    assert program.approximation.endswith("what follows computes in the float32 that it gives")
    np.testing.assert_allclose(answers(program, X)[ir.Method.PREDICT_PROBA], model.predict_proba(X), rtol=LIMIT)


def test_an_estimator_that_does_not_count_its_columns() -> None:
    with pytest.raises(UnsupportedError, match="CastTransformer does not tell how many columns it takes"):
        to_program(CastTransformer().fit(X))


def test_a_clusterer_of_its_training_rows_alone() -> None:
    with pytest.raises(UnsupportedError, match="DBSCAN neither predicts nor transforms new rows; use a clusterer that"):
        to_program(DBSCAN().fit(X))


def test_what_is_not_fitted() -> None:
    with pytest.raises(UnsupportedError, match="Plus is not fitted"):
        through(Plus())


def test_control_flow_is_refused_by_name() -> None:
    from sklearn.neighbors import KNeighborsRegressor

    with pytest.raises(UnsupportedError, match="Scan has a graph within"):
        through(KNeighborsRegressor().fit(X, X[:, 0]))


def test_a_support_vector_machine_of_floats_says_its_figure() -> None:
    try:
        program = through(SVC().fit(X, LABELS))
    except UnsupportedError as error:
        assert "through skl2onnx" in str(error) or "by skl2onnx" in str(error)  # noqa: PT017
    else:
        assert program.tolerance <= LIMIT
