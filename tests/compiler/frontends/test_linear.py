"""Linear models: every solver, loss and kind of label."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import (
    ElasticNet,
    Lasso,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    Ridge,
    SGDClassifier,
    SGDRegressor,
)

from pgscore.compiler import ir
from pgscore.compiler.backends.numpy import evaluate
from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError

from ...support.customers import NUMBERS, customers, rows_to_score
from .parity import assert_parity

LOSSES = [
    "hinge",
    "log_loss",
    "modified_huber",
    "squared_hinge",
    "perceptron",
    "squared_error",
    "huber",
    "epsilon_insensitive",
    "squared_epsilon_insensitive",
]
TARGETS = ["churn", "flag", "tier", "level", "grade"]


def train() -> pd.DataFrame:
    frame = customers()[NUMBERS]
    return (frame - frame.mean()) / frame.std()


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize(
    "model",
    [
        LinearRegression(),
        LinearRegression(positive=True),
        Ridge(2.0),
        Ridge(solver="sag", random_state=0),
        Lasso(0.1),
        ElasticNet(0.1),
        SGDRegressor(random_state=0),
        SGDRegressor(average=True, loss="huber", random_state=0),
    ],
    ids=str,
)
def test_regressors(model: Any, intercept: bool) -> None:
    model.set_params(fit_intercept=intercept).fit(train(), customers()["amount"])
    program = assert_parity(model, rows_to_score(train()))
    assert program.kind is ir.ModelKind.REGRESSOR


@pytest.mark.parametrize("model", [LinearRegression(), Ridge(), Lasso(), ElasticNet()], ids=str)
def test_one_target_in_a_column_of_its_own(model: Any) -> None:
    assert_parity(model.fit(train(), customers()[["amount"]]), rows_to_score(train()))


@pytest.mark.parametrize("model", [LinearRegression(), Ridge(), Lasso(), ElasticNet()], ids=str)
def test_several_targets_are_refused(model: Any) -> None:
    model.fit(train(), customers()[["amount", "level"]])
    with pytest.raises(UnsupportedError, match="more than one target"):
        to_program(model)


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_coefficients_learned_in_other_types(dtype: Any) -> None:
    frame = (train() * 10).astype(dtype)
    assert_parity(LinearRegression().fit(frame, customers()["amount"]), rows_to_score(frame.astype(float)))
    model = LogisticRegression().fit(frame, customers()["tier"])
    assert_parity(model, rows_to_score(frame.astype(float)), atol=1e-15)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    "options", [{}, {"solver": "newton-cg"}, {"solver": "saga", "l1_ratio": 1.0, "C": 0.5}, {"fit_intercept": False}]
)
def test_logistic_regression(target: str, options: dict[str, Any]) -> None:
    model = LogisticRegression(**options, max_iter=5000).fit(train(), customers()[target])
    program = assert_parity(model, rows_to_score(train()), atol=1e-15)
    labels = program.outputs[0].labels
    assert labels is not None
    assert list(labels) == model.classes_.tolist()
    assert {type(label) for label in labels} == {type(model.classes_.tolist()[0])}


@pytest.mark.parametrize("target", ["churn", "flag"])
def test_logistic_regression_by_liblinear(target: str) -> None:
    model = LogisticRegression(solver="liblinear", class_weight="balanced").fit(train(), customers()[target])
    program = assert_parity(model, rows_to_score(train()), atol=1e-15)
    assert program.kind is ir.ModelKind.BINARY_CLASSIFIER


@pytest.mark.parametrize("target", ["churn", "tier"])
@pytest.mark.parametrize("loss", LOSSES)
def test_sgd_classifier(loss: str, target: str) -> None:
    model = SGDClassifier(loss=loss, random_state=0, max_iter=20, tol=None).fit(train(), customers()[target])
    program = assert_parity(model, rows_to_score(train()), atol=1e-15)
    assert (program.output(ir.Method.PREDICT_PROBA) is not None) == (loss in {"log_loss", "modified_huber"})


@pytest.mark.parametrize("loss", ["log_loss", "modified_huber"])
def test_probabilities_are_uniform_where_every_class_has_none(loss: str) -> None:
    model = SGDClassifier(loss=loss, random_state=0).fit(train(), customers()["tier"])
    model.coef_ = np.zeros_like(model.coef_)
    model.intercept_ = np.full(3, -1e4)
    program = assert_parity(model, rows_to_score(train()))
    row = {name: np.zeros(1) for name in NUMBERS}
    assert evaluate(program, row)[ir.Method.PREDICT_PROBA].tolist() == [[1 / 3] * 3]


def test_a_decision_of_zero_is_the_first_class() -> None:
    model = LogisticRegression().fit(train(), customers()["churn"])
    model.coef_, model.intercept_ = np.array([[1.0, -1.0]]), np.zeros(1)
    rows = pd.DataFrame([[2.0, 2.0], [0.0, 0.0], [2.0, 1.0], [1.0, np.nextafter(1, 2)]], columns=NUMBERS)
    assert_parity(model, rows)


def test_sparse_coefficients() -> None:
    model = SGDClassifier(penalty="l1", random_state=0).fit(train(), customers()["tier"]).sparsify()
    assert_parity(model, rows_to_score(train()))


def test_coefficients_that_diverged_are_refused() -> None:
    model = LinearRegression().fit(train(), customers()["amount"])
    model.coef_[0] = np.inf
    with pytest.raises(UnsupportedError, match="not finite"):
        to_program(model)


def test_labels_of_mixed_kinds_are_refused() -> None:
    model = LogisticRegression().fit(train(), customers()["churn"])
    model.classes_ = np.array(["no", 1], dtype=object)
    with pytest.raises(UnsupportedError, match="several kinds"):
        to_program(model)


def test_relatives_without_a_frontend_are_refused() -> None:
    model = LogisticRegressionCV(Cs=2, cv=2, l1_ratios=(0,), use_legacy_attributes=False).fit(
        train(), customers()["churn"]
    )
    with pytest.raises(UnsupportedError, match="LogisticRegressionCV"):
        to_program(model)
