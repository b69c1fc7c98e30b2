"""Linear classifiers: every solver, loss and kind of label; SGDOneClassSVM."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import (
    LogisticRegression,
    LogisticRegressionCV,
    PassiveAggressiveClassifier,
    Perceptron,
    RidgeClassifier,
    RidgeClassifierCV,
    SGDClassifier,
    SGDOneClassSVM,
)
from sklearn.svm import LinearSVC

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
TARGETS = ["churn", "flag", "tier", "level", "grade", "ten"]
SEED = {"random_state": 0}


def train() -> pd.DataFrame:
    frame = customers()[NUMBERS]
    return (frame - frame.mean()) / frame.std()


def target(name: str) -> Any:
    """A target of the customers, or ten classes."""
    if name == "ten":
        return pd.qcut(customers()["amount"], 10, labels=False)
    return customers()[name]


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize(
    "options", [{}, {"solver": "newton-cg"}, {"solver": "saga", "l1_ratio": 1.0, "C": 0.5}, {"fit_intercept": False}]
)
def test_logistic_regression(name: str, options: dict[str, Any]) -> None:
    model = LogisticRegression(**options, max_iter=5000).fit(train(), target(name))
    program = assert_parity(model, rows_to_score(train()), atol=1e-15)
    labels = program.outputs[0].labels
    assert labels is not None
    assert list(labels) == model.classes_.tolist()
    assert {type(label) for label in labels} == {type(model.classes_.tolist()[0])}


@pytest.mark.parametrize("name", ["churn", "flag"])
def test_logistic_regression_by_liblinear(name: str) -> None:
    model = LogisticRegression(solver="liblinear", class_weight="balanced").fit(train(), target(name))
    program = assert_parity(model, rows_to_score(train()), atol=1e-15)
    assert program.kind is ir.ModelKind.BINARY_CLASSIFIER


@pytest.mark.parametrize("name", ["churn", "level"])
@pytest.mark.parametrize("legacy", [True, False])
def test_logistic_regression_with_cross_validation(name: str, legacy: bool) -> None:
    model = LogisticRegressionCV(Cs=2, cv=2, l1_ratios=(0,), use_legacy_attributes=legacy)
    assert_parity(model.fit(train(), target(name)), rows_to_score(train()), atol=1e-15)


@pytest.mark.parametrize("name", ["churn", "tier"])
@pytest.mark.parametrize("loss", LOSSES)
def test_sgd_classifier(loss: str, name: str) -> None:
    model = SGDClassifier(loss=loss, max_iter=20, tol=None, **SEED).fit(train(), target(name))
    program = assert_parity(model, rows_to_score(train()), atol=1e-15)
    assert (program.output(ir.Method.PREDICT_PROBA) is not None) == (loss in {"log_loss", "modified_huber"})


@pytest.mark.parametrize("loss", ["log_loss", "modified_huber"])
def test_probabilities_are_uniform_where_every_class_has_none(loss: str) -> None:
    model = SGDClassifier(loss=loss, **SEED).fit(train(), target("tier"))
    model.coef_ = np.zeros_like(model.coef_)
    model.intercept_ = np.full(3, -1e4)
    program = assert_parity(model, rows_to_score(train()))
    row = {name: np.zeros(1) for name in NUMBERS}
    assert evaluate(program, row)[ir.Method.PREDICT_PROBA].tolist() == [[1 / 3] * 3]


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize(
    "model",
    [
        RidgeClassifier(),
        RidgeClassifier(fit_intercept=False, class_weight="balanced"),
        RidgeClassifierCV(),
        Perceptron(**SEED),
        Perceptron(penalty="l1", fit_intercept=False, **SEED),
        PassiveAggressiveClassifier(**SEED),
        LinearSVC(**SEED),
        LinearSVC(multi_class="crammer_singer", **SEED),
        LinearSVC(fit_intercept=False, penalty="l1", dual=False),
    ],
    ids=str,
)
def test_classifiers_without_probabilities(model: Any, name: str) -> None:
    program = assert_parity(model.fit(train(), target(name)), rows_to_score(train()), atol=1e-15)
    assert program.output(ir.Method.PREDICT_PROBA) is None


@pytest.mark.parametrize("model", [RidgeClassifier(), RidgeClassifierCV()], ids=str)
def test_several_targets_at_once(model: Any) -> None:
    answers = np.column_stack([target("flag"), target("churn") == "no", target("tier") == "gold"]).astype(int)
    program = assert_parity(model.fit(train(), answers), rows_to_score(train()))
    assert program.kind is ir.ModelKind.MULTI_OUTPUT_CLASSIFIER
    assert program.outputs[0].targets == ((0, 1),) * 3


@pytest.mark.parametrize("options", [{}, {"nu": 0.1, "fit_intercept": False}, {"average": True, "nu": 1.0}], ids=str)
def test_sgd_one_class_svm(options: dict[str, Any]) -> None:
    model = SGDOneClassSVM(**options, **SEED).fit(train())
    program = assert_parity(model, rows_to_score(train()))
    assert program.kind is ir.ModelKind.OUTLIER_DETECTOR
    assert program.outputs[0].labels == (-1, 1)


def test_an_outlier_detector_takes_a_decision_of_zero_for_an_inlier() -> None:
    model = SGDOneClassSVM(**SEED).fit(train())
    model.coef_, model.offset_ = np.array([1.0, 1.0]), np.array([2.0])
    rows = pd.DataFrame([[1.0, 1.0], [1.0, np.nextafter(1, 0)], [1.0, np.nextafter(1, 2)]], columns=NUMBERS)
    assert_parity(model, rows)


def test_a_decision_of_zero_is_the_first_class() -> None:
    model = LogisticRegression().fit(train(), target("churn"))
    model.coef_, model.intercept_ = np.array([[1.0, -1.0]]), np.zeros(1)
    rows = pd.DataFrame([[2.0, 2.0], [0.0, 0.0], [2.0, 1.0], [1.0, np.nextafter(1, 2)]], columns=NUMBERS)
    assert_parity(model, rows)


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_coefficients_learned_in_other_types(dtype: Any) -> None:
    frame = (train() * 10).astype(dtype)
    for model in (LogisticRegression(), RidgeClassifier(), LinearSVC()):
        assert_parity(model.fit(frame, target("tier")), rows_to_score(frame.astype(float)), atol=1e-15)


@pytest.mark.parametrize(
    "model", [SGDClassifier(penalty="l1", **SEED), Perceptron(**SEED), LinearSVC(**SEED), LogisticRegression()], ids=str
)
@pytest.mark.parametrize("name", ["churn", "tier"])
def test_sparse_coefficients(model: Any, name: str) -> None:
    assert_parity(model.fit(train(), target(name)).sparsify(), rows_to_score(train()), atol=1e-15)


@pytest.mark.parametrize("model", [RidgeClassifier(), RidgeClassifierCV()], ids=str)
def test_one_class_alone_is_refused(model: Any) -> None:
    with pytest.raises(UnsupportedError, match="one class"):
        to_program(model.fit(train(), ["only"] * len(train())))


def test_labels_of_mixed_kinds_are_refused() -> None:
    model = LogisticRegression().fit(train(), target("churn"))
    model.classes_ = np.array(["no", 1], dtype=object)
    with pytest.raises(UnsupportedError, match="several kinds"):
        to_program(model)


def test_coefficients_that_diverged_are_refused() -> None:
    model = Perceptron().fit(train(), target("churn"))
    model.coef_[0] = np.nan
    with pytest.raises(UnsupportedError, match="not finite"):
        to_program(model)
