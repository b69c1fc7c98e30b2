"""Decompositions: whitening, centres, float32, degenerate columns, and those that are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.decomposition import (
    NMF,
    PCA,
    DictionaryLearning,
    FactorAnalysis,
    FastICA,
    IncrementalPCA,
    MiniBatchDictionaryLearning,
    MiniBatchSparsePCA,
    SparseCoder,
    SparsePCA,
    TruncatedSVD,
)
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from pgscore.compiler.frontends import to_program
from pgscore.compiler.frontends.decomposition import FRONTENDS, REFUSED
from pgscore.errors import UnsupportedError

from ...support.customers import NUMBERS, customers, rows_to_score
from .parity import assert_parity

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
THREE = ["tenure", "monthly", "level"]
THRESHOLD: dict[str, Any] = {"transform_algorithm": "threshold", "max_iter": 3, "random_state": 0}
MODELS = [
    PCA(),
    PCA(1),
    PCA(0.5, whiten=True),
    PCA(2, whiten=True, svd_solver="randomized", random_state=0),
    IncrementalPCA(2),
    IncrementalPCA(3, whiten=True, batch_size=20),
    TruncatedSVD(1, random_state=0),
    TruncatedSVD(2, algorithm="arpack", random_state=0),
    FactorAnalysis(1),
    FactorAnalysis(2, svd_method="lapack", rotation="varimax"),
    FastICA(2, random_state=0),
    FastICA(3, whiten="arbitrary-variance", algorithm="deflation", random_state=0),
    FastICA(whiten=False, random_state=0),
    SparsePCA(2, ridge_alpha=0.5, random_state=0),
    SparsePCA(5, random_state=0),
    MiniBatchSparsePCA(2, random_state=0),
    DictionaryLearning(2, **THRESHOLD),
    DictionaryLearning(2, transform_alpha=20.0, split_sign=True, **THRESHOLD),
    DictionaryLearning(2, alpha=30.0, positive_code=True, fit_algorithm="cd", **THRESHOLD),
    DictionaryLearning(2, positive_code=True, split_sign=True, fit_algorithm="cd", **THRESHOLD),
    MiniBatchDictionaryLearning(4, **THRESHOLD),
    SparseCoder(np.array([[0.6, 0.8, 0], [0.8, -0.6, 0]]), transform_algorithm="threshold", transform_alpha=9.0),
    SparseCoder(np.eye(3), transform_algorithm="threshold", split_sign=True),
]


def test_each_estimator_is_tried() -> None:
    assert {type(model) for model in MODELS} == set(FRONTENDS)


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_components(model: Any) -> None:
    """What cancels has fewer digits: numbers of up to 100 are compared to within their last place."""
    train = customers()[THREE]
    assert_parity(clone(model).fit(train), rows_to_score(train, 90), atol=1e-13)


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_components_of_scaled_rows(model: Any) -> None:
    train = customers()[THREE]
    assert_parity(make_pipeline(StandardScaler(), clone(model)).fit(train), rows_to_score(train, 90), atol=1e-13)


@pytest.mark.parametrize(
    "model", [PCA(2), PCA(2, whiten=True), IncrementalPCA(2), FactorAnalysis(2), FastICA(2, random_state=0)], ids=str
)
def test_trained_on_float32(model: Any) -> None:
    train = customers()[THREE]
    assert_parity(clone(model).fit(train.astype(np.float32)), rows_to_score(train, 90), atol=1e-13)


@pytest.mark.parametrize("model", [SparsePCA(2, random_state=0), MiniBatchSparsePCA(2, random_state=0)], ids=str)
def test_sparse_components_of_float32_are_refused(model: Any) -> None:
    """scikit-learn solves for each row in float32."""
    model = clone(model).fit(customers()[THREE].astype(np.float32))
    assert model.transform(customers()[THREE]).dtype == np.float32
    with pytest.raises(UnsupportedError, match="float32"):
        to_program(model)


@pytest.mark.parametrize("model", [PCA(whiten=True), TruncatedSVD(1), FactorAnalysis(1), SparsePCA(1)], ids=str)
def test_a_constant_column(model: Any) -> None:
    train = customers()[NUMBERS].assign(monthly=5.0)
    assert_parity(clone(model).fit(train), rows_to_score(train, 30), atol=1e-13)


def test_a_single_column() -> None:
    train = customers()[["monthly"]]
    for model in (PCA(), FactorAnalysis(), FastICA(random_state=0)):
        assert_parity(model.fit(train), rows_to_score(train, 30), atol=1e-13)


@pytest.mark.parametrize(
    "model", [TruncatedSVD(2, random_state=0), PCA(2, svd_solver="arpack"), IncrementalPCA(2)], ids=str
)
def test_sparse_rows_become_dense(model: Any) -> None:
    """A scaler behind them divides, as it does with arrays."""
    train = customers()[["contract", "city"]]
    steps = [OneHotEncoder(handle_unknown="ignore"), clone(model), StandardScaler(), Ridge()]
    assert_parity(make_pipeline(*steps).fit(train, customers()["amount"]), rows_to_score(train, 40))


def test_wide_rows() -> None:
    rng = np.random.default_rng(0)
    train = pd.DataFrame(rng.normal(size=(60, 200)), columns=[f"f{i}" for i in range(200)])
    assert_parity(PCA(10, whiten=True).fit(train), train, atol=1e-13)


@pytest.mark.parametrize("algorithm", ["omp", "lasso_lars", "lasso_cd", "lars"])
def test_codes_that_solve_a_problem_are_refused(algorithm: str) -> None:
    model = DictionaryLearning(2, transform_algorithm=algorithm, max_iter=2, random_state=0)
    with pytest.raises(UnsupportedError, match=algorithm):
        to_program(model.fit(customers()[THREE]))


def test_iterations_are_refused() -> None:
    train = customers()[["tenure"]]
    assert NMF in REFUSED
    with pytest.raises(UnsupportedError):
        to_program(NMF(1, max_iter=5).fit(train))


def test_components_that_are_not_finite_are_refused() -> None:
    model = PCA().fit(customers()[NUMBERS])
    model.components_ = np.full((2, 2), np.inf)
    with pytest.raises(UnsupportedError, match="not finite"):
        to_program(model)
