"""Linear models: one affine map, then what each classifier makes of its decision."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.linear_model import (
    ElasticNet,
    Lasso,
    LinearRegression,
    LogisticRegression,
    Ridge,
    SGDClassifier,
    SGDRegressor,
)

from .. import ir
from .builder import Builder, Frontend, Predictions
from .classes import from_decision, labels_of


def linear_regressor(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """coef_ · x + intercept_, for one target."""
    if estimator.coef_.ndim == 2 and estimator.coef_.shape[0] != 1:
        builder.refuse("it has more than one target", "train one model for each target")
    return Predictions(ir.ModelKind.REGRESSOR, _affine(estimator, columns, builder))


def logistic_regression(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """Sigmoid for two classes, softmax for more; every solver predicts alike."""
    labels = labels_of(estimator, builder)
    decision = _affine(estimator, columns, builder)
    if len(decision) == 1:
        proba = _with_complement(builder, builder.add(ir.Sigmoid(decision)))
    else:
        proba = builder.add(ir.Softmax(decision))
    return from_decision(builder, labels, decision, proba)


def sgd_classifier(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """One against the rest. Probabilities exist for two of the losses; for several classes they are normalised."""
    labels = labels_of(estimator, builder)
    decision = _affine(estimator, columns, builder)
    if estimator.loss == "log_loss":
        each = builder.add(ir.Sigmoid(decision))
    elif estimator.loss == "modified_huber":
        clipped = builder.add(ir.Clip(decision, -1.0, 1.0))
        each = builder.add(ir.Standardize(clipped, np.full(len(decision), -1.0), np.full(len(decision), 2.0)))
    else:
        return from_decision(builder, labels, decision)
    proba = _with_complement(builder, each) if len(decision) == 1 else builder.add(ir.Normalize(each))
    return from_decision(builder, labels, decision, proba)


def _affine(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    coef = estimator.coef_.toarray() if issparse(estimator.coef_) else estimator.coef_  # after sparsify()
    weights = np.atleast_2d(np.asarray(coef, dtype=np.float64))
    bias = np.broadcast_to(np.asarray(estimator.intercept_, dtype=np.float64).ravel(), len(weights))
    if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
        builder.refuse("its coefficients are not finite", "train again; the fit has diverged")
    return builder.add(ir.Affine(builder.finite(columns), weights, bias))


def _with_complement(builder: Builder, positive: ir.Block) -> ir.Block:
    """[1 - p, p], the first computed from the second as scikit-learn does."""
    return builder.add(ir.Affine(positive, np.array([[-1.0]]), np.array([1.0]))) + positive


FRONTENDS: dict[type, Frontend] = {
    LinearRegression: linear_regressor,
    Ridge: linear_regressor,
    Lasso: linear_regressor,
    ElasticNet: linear_regressor,
    SGDRegressor: linear_regressor,
    LogisticRegression: logistic_regression,
    SGDClassifier: sgd_classifier,
}
