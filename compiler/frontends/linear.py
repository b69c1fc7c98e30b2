"""Linear regressors: one affine map for each target, and behind it the inverse link of a generalised linear model."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn._loss.link import IdentityLink, LogLink
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
from sklearn.svm import LinearSVR

from .. import ir
from ..fact import EXP_HIGH
from .builder import Builder, Frontend, Predictions


def linear_regressor(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """coef_ · x + intercept_, for each target; every way of fitting them predicts alike."""
    return Predictions(ir.ModelKind.REGRESSOR, affine(estimator, columns, builder))


def generalized_linear(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The inverse of the link, which is the logarithm or the identity, of coef_ · x + intercept_.

    A row whose mean overflows a double is refused, as by all arithmetic; scikit-learn says infinity.
    """
    raw = affine(estimator, columns, builder)
    link = estimator._base_loss.link
    if isinstance(link, LogLink):
        raw = builder.add(ir.Check(raw, low=-ir.FINITE, high=EXP_HIGH, own=True))
        return Predictions(ir.ModelKind.REGRESSOR, builder.add(ir.Elementwise(raw, ir.Op.EXP)))
    if not isinstance(link, IdentityLink):
        builder.refuse(f"its link {type(link).__name__} is unknown", "use the link 'log' or 'identity'")
    return Predictions(ir.ModelKind.REGRESSOR, raw)


def ransac(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """What `estimator_` predicts, the regressor fitted on the inliers. It alone says which rows it refuses."""
    with builder.step("estimator_"):
        inner = builder.predictions(estimator.estimator_, columns)
        if inner.kind is not ir.ModelKind.REGRESSOR:
            builder.refuse(f"{type(estimator.estimator_).__name__} is no regressor", "use a regressor")
    return Predictions(ir.ModelKind.REGRESSOR, inner.predict)


def affine(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """coef_ · x + intercept_; refuses the rows that scikit-learn refuses."""
    return linear_map(builder, builder.finite(columns), estimator.coef_, estimator.intercept_)


def linear_map(builder: Builder, columns: ir.Block, coef: Any, intercept: Any) -> ir.Block:
    """coef · x + intercept, where coef is (outputs, inputs), or (inputs) for one output, dense or sparse."""
    dense = coef.toarray() if issparse(coef) else coef  # sparsify() makes it sparse
    weights = np.atleast_2d(np.asarray(dense, dtype=np.float64))
    bias = np.broadcast_to(np.asarray(intercept, dtype=np.float64).ravel(), len(weights))
    if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
        builder.refuse("its coefficients are not finite", "train again; the fit has diverged")
    if dense.dtype == np.float32 and builder.has_small_whole(columns):
        builder.refuse("it computes in float32 on small whole numbers", "make the encoder before it give dtype=float64")
    return builder.add(ir.Affine(columns, weights, bias))


FRONTENDS: dict[type, Frontend] = {
    LinearRegression: linear_regressor,
    Ridge: linear_regressor,
    RidgeCV: linear_regressor,
    Lasso: linear_regressor,
    LassoCV: linear_regressor,
    ElasticNet: linear_regressor,
    ElasticNetCV: linear_regressor,
    MultiTaskLasso: linear_regressor,
    MultiTaskLassoCV: linear_regressor,
    MultiTaskElasticNet: linear_regressor,
    MultiTaskElasticNetCV: linear_regressor,
    Lars: linear_regressor,
    LarsCV: linear_regressor,
    LassoLars: linear_regressor,
    LassoLarsCV: linear_regressor,
    LassoLarsIC: linear_regressor,
    OrthogonalMatchingPursuit: linear_regressor,
    OrthogonalMatchingPursuitCV: linear_regressor,
    BayesianRidge: linear_regressor,
    ARDRegression: linear_regressor,
    HuberRegressor: linear_regressor,
    TheilSenRegressor: linear_regressor,
    RANSACRegressor: ransac,
    QuantileRegressor: linear_regressor,
    PoissonRegressor: generalized_linear,
    GammaRegressor: generalized_linear,
    TweedieRegressor: generalized_linear,
    SGDRegressor: linear_regressor,
    PassiveAggressiveRegressor: linear_regressor,
    LinearSVR: linear_regressor,
}

NOTES: dict[type, str] = {
    BayesianRidge: "the mean; `return_std` is not compiled",
    ARDRegression: "the mean; `return_std` is not compiled",
    RANSACRegressor: "with any regressor that is in this table",
}
