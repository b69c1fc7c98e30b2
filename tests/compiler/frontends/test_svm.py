"""Support vector machines against libsvm's own answers."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM

from pgscore.compiler import ir
from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError
from tests.support.customers import NUMBERS, customers, rows_to_score

from .parity import assert_parity


def fitted(model: Any, target: str | None = None, columns: list[str] | None = None) -> Any:
    frame = customers()[columns or NUMBERS]
    y = None if target is None else customers()[target].to_numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make_pipeline(StandardScaler(), model).fit(frame, y)


@pytest.mark.parametrize("target", ["churn", "tier", "level", "flag", "grade"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"decision_function_shape": "ovo", "C": 0.3},
        {"kernel": "poly", "degree": 2, "coef0": 1.0},
        {"kernel": "sigmoid", "gamma": "auto"},
        {"kernel": "linear", "class_weight": "balanced"},
        {"probability": True, "random_state": 0},
    ],
)
def test_classifiers(target: str, options: dict[str, Any]) -> None:
    assert_parity(fitted(SVC(**options), target), rows_to_score(customers()[NUMBERS]), rtol=1e-10)


@pytest.mark.parametrize("shape", ["ovr", "ovo"])
def test_nu_classifiers(shape: str) -> None:
    model = fitted(NuSVC(nu=0.15, decision_function_shape=shape, probability=True, random_state=0), "tier")
    assert_parity(model, rows_to_score(customers()[NUMBERS]), rtol=1e-10)


def test_ties_broken_by_the_decision() -> None:
    model = fitted(SVC(break_ties=True, gamma=5.0), "tier")
    assert_parity(model, rows_to_score(customers()[NUMBERS]), rtol=1e-10)
    with pytest.raises(UnsupportedError, match="break_ties"):
        to_program(fitted(SVC(break_ties=True, decision_function_shape="ovo"), "tier"))


def test_ten_classes_and_their_probabilities() -> None:
    rng = np.random.default_rng(0)
    x = pd.DataFrame(rng.normal(size=(150, 3)), columns=["a", "b", "c"])
    model = SVC(probability=True, random_state=0).fit(x, np.arange(150) % 10)
    assert_parity(model, x, rtol=1e-10)


def test_trained_on_a_sparse_matrix() -> None:
    frame = customers()[["city", "contract"]]
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), SVC()).fit(frame, customers()["tier"])
    assert_parity(model, rows_to_score(frame), rtol=1e-11)


@pytest.mark.parametrize(
    "model",
    [SVR(), SVR(kernel="poly"), SVR(kernel="linear", C=5.0), NuSVR(nu=0.3), NuSVR(kernel="sigmoid", gamma=0.1)],
)
def test_regressors(model: Any) -> None:
    assert_parity(fitted(model, "amount"), rows_to_score(customers()[NUMBERS]), rtol=1e-11)


def test_a_regressor_without_support_vectors() -> None:
    assert_parity(fitted(SVR(epsilon=1e4), "amount"), rows_to_score(customers()[NUMBERS]))


def test_one_column_that_is_constant() -> None:
    frame = pd.DataFrame({"a": np.ones(20)})
    assert_parity(SVC(gamma="auto").fit(frame, np.arange(20) % 2), frame)


@pytest.mark.parametrize("kernel", ["rbf", "linear", "poly"])
def test_one_class(kernel: str) -> None:
    assert_parity(fitted(OneClassSVM(kernel=kernel, nu=0.2)), rows_to_score(customers()[NUMBERS]), rtol=1e-9)


def test_kernels_that_are_not_computed_from_columns_are_refused() -> None:
    x, y = customers()[NUMBERS], customers()["churn"]
    with pytest.raises(UnsupportedError, match="computed beforehand"):
        to_program(SVC(kernel="precomputed").fit(x @ x.T, y))
    with pytest.raises(UnsupportedError, match="a function of Python"):
        to_program(SVC(kernel=lambda a, b: a @ b.T).fit(x.to_numpy(), y))
    with pytest.raises(UnsupportedError, match="its gamma is 0"):
        to_program(SVC(gamma=0.0).fit(x, y))


def test_a_class_without_weight_is_refused() -> None:
    x, y = customers()[NUMBERS], customers()["tier"]
    with pytest.raises(UnsupportedError, match="no row of any weight"):
        to_program(SVC().fit(x, y, sample_weight=(y != "gold").to_numpy(float)))


def test_a_model_says_how_many_digits_it_keeps() -> None:
    """Far from 0, large coefficients of either sign cancel; libsvm adds them in another order than the program."""
    rng = np.random.default_rng(0)
    near = rng.normal(size=(60, 2))
    flag = near[:, 0] + near[:, 1] / 1000 > 0
    assert to_program(SVC(kernel="linear", C=1e3).fit(near, flag)).tolerance == ir.TOLERANCE
    model = SVC(kernel="linear", C=1e3, max_iter=100_000).fit(near + 1000, flag)
    program = assert_parity(model, pd.DataFrame(near + 1000))
    assert ir.TOLERANCE < program.tolerance < 1e-5
    assert "cancel" in program.approximation
