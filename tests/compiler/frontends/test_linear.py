"""Linear regressors: every estimator, one target and several, links, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import (
    ARDRegression,
    BayesianRidge,
    ElasticNet,
    ElasticNetCV,
    GammaRegressor,
    HuberRegressor,
    Lars,
    LarsCV,
    Lasso,
    LassoCV,
    LassoLars,
    LassoLarsCV,
    LassoLarsIC,
    LinearRegression,
    MultiTaskElasticNet,
    MultiTaskElasticNetCV,
    MultiTaskLasso,
    MultiTaskLassoCV,
    OrthogonalMatchingPursuit,
    OrthogonalMatchingPursuitCV,
    PassiveAggressiveRegressor,
    PoissonRegressor,
    QuantileRegressor,
    RANSACRegressor,
    Ridge,
    RidgeCV,
    SGDRegressor,
    TheilSenRegressor,
    TweedieRegressor,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVR
from sklearn.tree import DecisionTreeRegressor

from pgscore.compiler import ir
from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError

from ...support.customers import NUMBERS, TEXTS, customers, rows_to_score
from .parity import assert_parity

SEED = {"random_state": 0}
MULTI_TASK = [
    MultiTaskLasso(0.1),
    MultiTaskElasticNet(0.1),
    MultiTaskLassoCV(alphas=3, cv=2),
    MultiTaskElasticNetCV(alphas=3, cv=2),
]


def train() -> pd.DataFrame:
    frame = customers()[NUMBERS]
    return (frame - frame.mean()) / frame.std()


def targets() -> pd.DataFrame:
    return pd.DataFrame({"amount": customers()["amount"], "level": customers()["level"], "tenure": train()["tenure"]})


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize(
    "model",
    [
        LinearRegression(),
        LinearRegression(positive=True),
        Ridge(2.0),
        Ridge(solver="sag", **SEED),
        Ridge(positive=True),
        RidgeCV(),
        Lasso(0.1),
        Lasso(0.1, positive=True),
        Lasso(1e3),
        LassoCV(alphas=5, cv=3),
        ElasticNet(0.1),
        ElasticNetCV(alphas=5, cv=3),
        Lars(),
        LarsCV(cv=3),
        LassoLars(0.1),
        LassoLars(0.1, positive=True),
        LassoLarsCV(cv=3),
        LassoLarsIC(noise_variance=1.0),
        OrthogonalMatchingPursuit(n_nonzero_coefs=1),
        OrthogonalMatchingPursuitCV(cv=3),
        BayesianRidge(),
        ARDRegression(),
        HuberRegressor(),
        TheilSenRegressor(max_subpopulation=200, **SEED),
        QuantileRegressor(quantile=0.8, alpha=0.1),
        SGDRegressor(**SEED),
        SGDRegressor(average=True, loss="huber", **SEED),
        PassiveAggressiveRegressor(**SEED),
        LinearSVR(**SEED),
        PoissonRegressor(),
        GammaRegressor(alpha=0.1),
        TweedieRegressor(power=1.5),
        TweedieRegressor(power=0, link="log"),
        TweedieRegressor(power=0, alpha=0.1),
        TweedieRegressor(power=1.0, link="identity"),
    ],
    ids=str,
)
def test_regressors(model: Any, intercept: bool) -> None:
    target = customers()["amount"].clip(lower=1.0)
    program = assert_parity(model.set_params(fit_intercept=intercept).fit(train(), target), rows_to_score(train()))
    assert program.kind is ir.ModelKind.REGRESSOR


@pytest.mark.parametrize("model", [LinearRegression(), Ridge(), Lasso(), ElasticNet(), Lars()], ids=str)
def test_one_target_in_a_column_of_its_own(model: Any) -> None:
    assert_parity(model.fit(train(), customers()[["amount"]]), rows_to_score(train()))


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize(
    "model",
    [
        LinearRegression(),
        Ridge([0.5, 1.0, 2.0]),
        RidgeCV(alpha_per_target=True),
        Lasso(0.1),
        ElasticNet(0.1),
        Lars(),
        LassoLars(0.1),
        OrthogonalMatchingPursuit(n_nonzero_coefs=1),
        *MULTI_TASK,
    ],
    ids=str,
)
def test_several_targets(model: Any, intercept: bool) -> None:
    program = assert_parity(
        model.set_params(fit_intercept=intercept).fit(train(), targets()), rows_to_score(train()), atol=1e-14
    )
    assert len(program.outputs[0].columns) == 3


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_coefficients_learned_in_other_types(dtype: Any) -> None:
    frame = (train() * 10).astype(dtype)
    for model in (LinearRegression(), BayesianRidge(), PoissonRegressor(), HuberRegressor()):
        assert_parity(model.fit(frame, customers()["amount"].clip(lower=1.0)), rows_to_score(frame.astype(float)))


def test_a_constant_column_a_single_column_and_many() -> None:
    rng = np.random.default_rng(0)
    wide = pd.DataFrame(rng.standard_t(2, (90, 200)), columns=[f"c{i}" for i in range(200)])
    few = (train().assign(same=4.0), train()[["monthly"]])
    for frame, rows in (*((frame, rows_to_score(frame)) for frame in few), (wide, wide)):
        for model in (LinearRegression(), Ridge(), Lasso(0.5), BayesianRidge()):
            assert_parity(model.fit(frame, customers()["amount"]), rows, atol=1e-13)


def test_sparse_coefficients() -> None:
    model = SGDRegressor(penalty="l1", **SEED).fit(train(), customers()["amount"]).sparsify()
    assert_parity(model, rows_to_score(train()))


def test_sparse_columns() -> None:
    frame = customers()[TEXTS]
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), ElasticNet(0.01)).fit(frame, customers()["amount"])
    assert_parity(model, rows_to_score(frame))


@pytest.mark.parametrize(
    "inner",
    [None, Ridge(), DecisionTreeRegressor(max_depth=3), make_pipeline(StandardScaler(), Lasso(0.1))],
    ids=str,
)
def test_ransac_predicts_with_its_estimator(inner: Any) -> None:
    model = RANSACRegressor(inner, min_samples=30, **SEED).fit(train(), customers()["amount"])
    assert_parity(model, rows_to_score(train()))


def test_ransac_takes_missing_values_where_its_estimator_does() -> None:
    frame = customers()[["total", "monthly"]]
    model = RANSACRegressor(DecisionTreeRegressor(max_depth=3), min_samples=30, **SEED)
    model.fit(frame.to_numpy(), customers()["amount"])
    program = assert_parity(model, rows_to_score(frame))
    assert [column.name for column in program.columns] == ["x0", "x1"]


def test_ransac_of_several_targets() -> None:
    model = RANSACRegressor(min_samples=30, residual_threshold=9.0, **SEED).fit(train(), targets())
    assert_parity(model, rows_to_score(train()), atol=1e-14)


def test_ransac_names_the_part_that_is_refused() -> None:
    model = RANSACRegressor(min_samples=30, **SEED).fit(train(), customers()["amount"])
    model.estimator_ = SVC().fit(train(), customers()["churn"])
    with pytest.raises(UnsupportedError, match="estimator_: SVC"):
        to_program(model)


def test_coefficients_that_diverged_are_refused() -> None:
    model = LinearRegression().fit(train(), customers()["amount"])
    model.coef_[0] = np.inf
    with pytest.raises(UnsupportedError, match="not finite"):
        to_program(model)


def test_unknown_links_are_refused() -> None:
    class Link:
        pass

    model = PoissonRegressor().fit(train(), customers()["amount"].clip(lower=1.0))
    model._base_loss.link = Link()
    with pytest.raises(UnsupportedError, match="link Link is unknown"):
        to_program(model)


def test_a_subclass_is_refused() -> None:
    class Mine(Ridge):  # type: ignore[misc]
        pass

    with pytest.raises(UnsupportedError, match="Mine"):
        to_program(Mine().fit(train(), customers()["amount"]))
