"""Small fitted linear models: regressors, classifiers and partial least squares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.cross_decomposition import CCA, PLSSVD, PLSCanonical, PLSRegression
from sklearn.linear_model import (
    ARDRegression,
    BayesianRidge,
    ElasticNetCV,
    GammaRegressor,
    HuberRegressor,
    Lars,
    LarsCV,
    LassoCV,
    LassoLars,
    LassoLarsCV,
    LassoLarsIC,
    LogisticRegressionCV,
    MultiTaskElasticNet,
    MultiTaskElasticNetCV,
    MultiTaskLasso,
    MultiTaskLassoCV,
    OrthogonalMatchingPursuit,
    OrthogonalMatchingPursuitCV,
    PassiveAggressiveClassifier,
    PassiveAggressiveRegressor,
    Perceptron,
    PoissonRegressor,
    QuantileRegressor,
    RANSACRegressor,
    RidgeClassifier,
    RidgeClassifierCV,
    RidgeCV,
    SGDOneClassSVM,
    TheilSenRegressor,
    TweedieRegressor,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC, LinearSVR

from .customers import NUMBERS, customers, example, rows_to_score
from .example import Example

_SEED = {"random_state": 0}
_FOLDS: dict[str, Any] = {"alphas": 3, "cv": 3}


def _scaled(model: Any) -> Pipeline:
    return Pipeline([("scale", StandardScaler()), ("model", model)])


def _amount(model: Any) -> Callable[[], Example]:
    return example(model, NUMBERS, "amount")


def _positive(model: Any) -> Callable[[], Example]:
    """Fitted to amounts above 0."""
    train = customers()[NUMBERS]
    return lambda: Example(_scaled(model).fit(train, customers()["amount"].clip(lower=1.0)), rows_to_score(train))


def _several(model: Any) -> Callable[[], Example]:
    """Fitted to two targets."""
    train = customers()[NUMBERS]
    return lambda: Example(model.fit(train, customers()[["amount", "level"]]), rows_to_score(train))


def _yes_or_no(model: Any) -> Callable[[], Example]:
    """Fitted to two targets that are 0 or 1."""
    train, frame = customers()[NUMBERS], customers()
    targets = np.column_stack([frame["flag"], frame["tier"] == "gold"]).astype(int)
    return lambda: Example(model.fit(train, targets), rows_to_score(train))


LINEAR_EXAMPLES: dict[type, dict[str, Callable[[], Example]]] = {
    RidgeCV: {"several": _several(RidgeCV())},
    LassoCV: {"default": _amount(LassoCV(**_FOLDS))},
    ElasticNetCV: {"default": _amount(ElasticNetCV(**_FOLDS))},
    MultiTaskLasso: {"default": _several(MultiTaskLasso(0.1))},
    MultiTaskLassoCV: {"default": _several(MultiTaskLassoCV(**_FOLDS))},
    MultiTaskElasticNet: {"default": _several(MultiTaskElasticNet(0.1))},
    MultiTaskElasticNetCV: {"default": _several(MultiTaskElasticNetCV(**_FOLDS))},
    Lars: {"default": _amount(Lars())},
    LarsCV: {"default": _amount(LarsCV(cv=3))},
    LassoLars: {"default": _amount(LassoLars(0.1))},
    LassoLarsCV: {"default": _amount(LassoLarsCV(cv=3))},
    LassoLarsIC: {"default": _amount(LassoLarsIC())},
    OrthogonalMatchingPursuit: {"default": _amount(OrthogonalMatchingPursuit(n_nonzero_coefs=1))},
    OrthogonalMatchingPursuitCV: {"default": _amount(OrthogonalMatchingPursuitCV(cv=3))},
    BayesianRidge: {"default": _amount(BayesianRidge())},
    ARDRegression: {"default": _amount(ARDRegression())},
    HuberRegressor: {"default": _amount(HuberRegressor(max_iter=1000))},
    TheilSenRegressor: {"default": _amount(TheilSenRegressor(max_subpopulation=100, **_SEED))},
    RANSACRegressor: {"default": _amount(RANSACRegressor(min_samples=30, **_SEED))},
    QuantileRegressor: {"default": _amount(QuantileRegressor(alpha=0.1))},
    PoissonRegressor: {"default": _positive(PoissonRegressor())},
    GammaRegressor: {"default": _positive(GammaRegressor())},
    TweedieRegressor: {
        "log": _positive(TweedieRegressor(power=1.5)),
        "identity": _positive(TweedieRegressor(power=0)),
    },
    PassiveAggressiveRegressor: {"default": _amount(_scaled(PassiveAggressiveRegressor(**_SEED)))},
    LinearSVR: {"default": _amount(_scaled(LinearSVR(**_SEED)))},
    LogisticRegressionCV: {
        "default": example(
            _scaled(LogisticRegressionCV(Cs=2, cv=2, l1_ratios=(0,), use_legacy_attributes=False)), NUMBERS, "tier"
        )
    },
    RidgeClassifier: {
        "binary": example(RidgeClassifier(), NUMBERS, "churn"),
        "several": _yes_or_no(RidgeClassifier()),
    },
    RidgeClassifierCV: {"default": example(RidgeClassifierCV(), NUMBERS, "tier")},
    Perceptron: {"default": example(_scaled(Perceptron(**_SEED)), NUMBERS, "level")},
    PassiveAggressiveClassifier: {
        "default": example(_scaled(PassiveAggressiveClassifier(**_SEED)), NUMBERS, "flag"),
    },
    LinearSVC: {"default": example(_scaled(LinearSVC(**_SEED)), NUMBERS, "tier")},
    SGDOneClassSVM: {"default": example(_scaled(SGDOneClassSVM(**_SEED)), NUMBERS)},
    PLSRegression: {"default": _several(PLSRegression())},
    PLSCanonical: {"default": _several(PLSCanonical(n_components=1))},
    CCA: {"default": _several(CCA(n_components=1))},
    PLSSVD: {"default": _several(PLSSVD())},
}
