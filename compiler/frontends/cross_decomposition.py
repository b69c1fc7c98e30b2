"""Partial least squares and canonical correlation: an affine map of centred columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.cross_decomposition import CCA, PLSSVD, PLSCanonical, PLSRegression

from .. import ir
from .builder import Builder, Frontend, Predictions
from .linear import linear_map


def pls(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """coef_ · (x - mean) + intercept_, for each target; as a step in the middle, the scores of x."""
    columns = builder.finite(columns)
    centred = builder.add(ir.Standardize(columns, estimator._x_mean, np.ones(len(columns))))
    predict = linear_map(builder, centred, estimator.coef_, estimator.intercept_)
    return Predictions(
        ir.ModelKind.REGRESSOR, predict, transform=_scores(estimator, columns, estimator.x_rotations_, builder)
    )


def pls_svd(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """The scores of x alone."""
    return _scores(estimator, builder.finite(columns), estimator.x_weights_, builder)


def _scores(estimator: Any, columns: ir.Block, rotation: ir.FloatArray, builder: Builder) -> ir.Block:
    """((x - mean) / std) · rotation, with rotation (inputs, components)."""
    scaled = builder.add(ir.Standardize(columns, estimator._x_mean, estimator._x_std))
    return linear_map(builder, scaled, rotation.T, 0.0)


FRONTENDS: dict[type, Frontend] = {
    PLSRegression: pls,
    PLSCanonical: pls,
    CCA: pls,
    PLSSVD: pls_svd,
}
