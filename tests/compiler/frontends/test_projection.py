"""Projections that ask nothing of the target: random ones, pooled features, kernels' features and centring."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.cluster import FeatureAgglomeration
from sklearn.kernel_approximation import AdditiveChi2Sampler, PolynomialCountSketch, RBFSampler, SkewedChi2Sampler
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KernelCenterer, MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.random_projection import GaussianRandomProjection, SparseRandomProjection

from pgscore.compiler.frontends import to_program
from pgscore.compiler.frontends.projection import REFUSED
from pgscore.errors import UnsupportedError

from ...support.customers import NUMBERS, customers, rows_to_score
from ...support.example import readable
from .parity import assert_parity

THREE = ["tenure", "monthly", "level"]


@pytest.mark.parametrize(
    "model",
    [
        GaussianRandomProjection(2, random_state=0),
        SparseRandomProjection(4, random_state=0),
        SparseRandomProjection(2, density=1.0, dense_output=True, random_state=0),
        FeatureAgglomeration(2),
        FeatureAgglomeration(1),
        FeatureAgglomeration(2, pooling_func=np.max),
        FeatureAgglomeration(2, pooling_func=np.min),
        FeatureAgglomeration(2, pooling_func=np.sum),
        FeatureAgglomeration(None, distance_threshold=1.0),
    ],
    ids=readable,
)
def test_projections(model: Any) -> None:
    """What cancels has fewer digits: numbers of up to 100 are compared to within their last place."""
    train = customers()[THREE]
    assert_parity(clone(model).fit(train), rows_to_score(train, 90), atol=1e-13)


@pytest.mark.parametrize("pool", [np.median, np.std, lambda x, axis: x.max(axis=axis)])
def test_other_pools_are_refused(pool: Any) -> None:
    with pytest.raises(UnsupportedError, match="pooling_func"):
        to_program(FeatureAgglomeration(2, pooling_func=pool).fit(customers()[THREE]))


@pytest.mark.parametrize(
    "model",
    [
        RBFSampler(gamma=0.1, n_components=6, random_state=0),
        RBFSampler(gamma="scale", n_components=1, random_state=0),
        GaussianRandomProjection(3, random_state=0),
        SparseRandomProjection(3, random_state=0),
        SparseRandomProjection(3, dense_output=True, random_state=0),
    ],
    ids=readable,
)
def test_sparse_rows(model: Any) -> None:
    train = customers()[["contract", "city"]]
    steps = [OneHotEncoder(handle_unknown="ignore"), clone(model), StandardScaler(with_mean=False), Ridge()]
    assert_parity(make_pipeline(*steps).fit(train, customers()["amount"]), rows_to_score(train, 40))


@pytest.mark.parametrize("gamma", [0.1, 1.0, "scale"])
@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler()], ids=readable)
def test_random_cosines(gamma: Any, scaler: Any) -> None:
    train = customers()[NUMBERS]
    sampler = RBFSampler(gamma=gamma, n_components=8, random_state=0)
    assert_parity(make_pipeline(clone(scaler), sampler).fit(train), rows_to_score(train, 90), atol=1e-14)


@pytest.mark.parametrize("skewedness", [0.5, 1.0, 100.0])
def test_skewed_chi2(skewedness: float) -> None:
    """Rows at and below -skewedness are refused."""
    train = customers()[NUMBERS].clip(lower=0)
    model = SkewedChi2Sampler(skewedness=skewedness, n_components=8, random_state=0).fit(train)
    rows = pd.concat([rows_to_score(train, 90), train.iloc[:4].assign(tenure=[-skewedness, -99.0, -0.49, 0.0])])
    assert_parity(model, rows, atol=1e-14)


@pytest.mark.parametrize(("steps", "interval"), [(1, None), (2, None), (3, None), (1, 0.3), (4, 0.25)])
def test_additive_chi2(steps: int, interval: float | None) -> None:
    """0 gives 0, and rows below it are refused."""
    train = customers()[NUMBERS].clip(lower=0)
    model = AdditiveChi2Sampler(sample_steps=steps, sample_interval=interval).fit(train)
    rows = pd.concat([rows_to_score(train, 90), train.iloc[:3].assign(tenure=[0.0, -0.0, -1e-300])])
    assert_parity(model, rows, atol=1e-14)


def test_additive_chi2_of_sparse_rows() -> None:
    train = customers()[["contract", "city"]]
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), AdditiveChi2Sampler(), Ridge())
    assert_parity(model.fit(train, customers()["amount"]), rows_to_score(train, 40))


@pytest.mark.parametrize("n", [1, 8])
def test_a_centred_kernel(n: int) -> None:
    points = customers()[NUMBERS].to_numpy() / 50
    kernel = pd.DataFrame(points @ points[:n].T, columns=[f"k{i}" for i in range(n)])
    assert_parity(KernelCenterer().fit(kernel.iloc[:n]), rows_to_score(kernel, 90), atol=1e-14)


def test_count_sketches_are_refused() -> None:
    assert PolynomialCountSketch in REFUSED
    with pytest.raises(UnsupportedError):
        to_program(PolynomialCountSketch(n_components=8, random_state=0).fit(customers()[NUMBERS]))
