"""Mixtures of Gaussians: each type of covariance, few and many components, rows far from all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pgscore.compiler import ir
from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError

from ...support.customers import NUMBERS, customers, rows_to_score
from .parity import assert_parity

COVARIANCES = ["full", "tied", "diag", "spherical"]
RTOL = {"full": 1e-12, "tied": 1e-12, "diag": 1e-11, "spherical": 1e-11}
"""Distances expanded into x² and x lose digits, about (x / width)² units in the last place: the model's own do."""


@pytest.mark.parametrize("covariance", COVARIANCES)
@pytest.mark.parametrize("cls", [GaussianMixture, BayesianGaussianMixture])
@pytest.mark.parametrize("n_components", [1, 2, 6])
def test_mixtures(cls: Any, covariance: str, n_components: int) -> None:
    train = customers()[NUMBERS]
    model = cls(n_components=n_components, covariance_type=covariance, random_state=0, reg_covar=1e-3).fit(train)
    program = assert_parity(model, rows_to_score(train, 90), rtol=RTOL[covariance])
    assert program.kind is ir.ModelKind.CLUSTERER
    assert [output.method for output in program.outputs] == [ir.Method.PREDICT, ir.Method.PREDICT_PROBA]


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_scaled_rows(covariance: str) -> None:
    train = customers()[NUMBERS]
    model = make_pipeline(StandardScaler(), GaussianMixture(3, covariance_type=covariance, random_state=0)).fit(train)
    assert_parity(model, rows_to_score(train, 90))


@pytest.mark.parametrize("prior", ["dirichlet_process", "dirichlet_distribution"])
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_priors(prior: str, covariance: str) -> None:
    train = customers()[["monthly", "level", "tenure"]]
    model = BayesianGaussianMixture(
        n_components=4,
        covariance_type=covariance,
        weight_concentration_prior_type=prior,
        weight_concentration_prior=0.7,
        mean_precision_prior=0.3,
        degrees_of_freedom_prior=5.5,
        reg_covar=1e-2,
        random_state=0,
    ).fit(train)
    assert_parity(model, rows_to_score(train, 90))


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_degenerate_columns(covariance: str) -> None:
    constant = customers()[NUMBERS].assign(monthly=5.0)
    for train in (constant, constant[["tenure"]]):
        model = GaussianMixture(2, covariance_type=covariance, reg_covar=0.1, random_state=0).fit(train)
        assert_parity(model, rows_to_score(train, 30))


@pytest.mark.parametrize("covariance", COVARIANCES)
@pytest.mark.parametrize("cls", [GaussianMixture, BayesianGaussianMixture])
def test_trained_on_float32(cls: Any, covariance: str) -> None:
    train = customers()[NUMBERS].to_numpy(np.float32)
    model = cls(n_components=3, covariance_type=covariance, random_state=0, reg_covar=1e-3).fit(train)
    assert_parity(model, rows_to_score(customers()[NUMBERS], 90), rtol=RTOL[covariance])


@pytest.mark.parametrize("covariance", ["diag", "spherical"])
def test_digits_that_cancel_are_said(covariance: str) -> None:
    train = customers()[NUMBERS].assign(monthly=5.0)
    for level, said in ((0.0, False), (50_000.0, True)):
        moved = train + level
        model = GaussianMixture(2, covariance_type=covariance, reg_covar=1.0, random_state=0).fit(moved)
        program = assert_parity(model, moved.iloc[:60])
        assert bool(program.approximation) is said
        assert (program.tolerance > ir.TOLERANCE) is said


def test_a_component_without_weight_is_refused() -> None:
    model = GaussianMixture(2, random_state=0).fit(customers()[NUMBERS])
    model.weights_ = np.array([1.0, 0.0])
    with pytest.raises(UnsupportedError, match="no weight"):
        to_program(model)
