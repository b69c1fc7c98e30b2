"""Mixtures of Gaussians: GaussianMixture and BayesianGaussianMixture, of each type of covariance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import digamma
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.mixture._gaussian_mixture import _compute_log_det_cholesky

from .. import ir
from .builder import Builder, Frontend, Predictions
from .classes import shares


def mixture(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The component of the largest weighted log density, and each component's share of the density.

    A log density is a constant of the component less half the squared distance from its mean, in units of its
    covariance. Distances are written as scikit-learn writes them, since they lose the same digits so: rotated and then
    squared for covariances "full" and "tied", expanded into x² and x for "diag" and "spherical".
    """
    columns = builder.finite(columns)
    means, cholesky = np.asarray(estimator.means_), np.asarray(estimator.precisions_cholesky_)
    with np.errstate(divide="ignore"):
        constants = _constants(estimator)
    if not all(np.isfinite(values).all() for values in (constants, means, cholesky)):
        builder.refuse("a component has no weight or no width", "train with fewer components or a larger reg_covar")
    n_components, n_features = means.shape
    if estimator.covariance_type in ("full", "tied"):
        rotations = np.broadcast_to(cholesky, (n_components, n_features, n_features))
        centers = np.array([mean @ rotation for mean, rotation in zip(means, rotations, strict=True)])
        rotated = builder.add(ir.Affine(columns, np.vstack([r.T for r in rotations]), -centers.ravel()))
        squares = builder.add(ir.Multiply(rotated + rotated))
        halves = np.kron(np.eye(n_components), np.full(n_features, -0.5))
        densities = builder.add(ir.Affine(squares, halves, constants))
    else:
        precisions = np.broadcast_to(cholesky.reshape(n_components, -1) ** 2, means.shape)
        squares = builder.add(ir.Multiply(columns + columns))
        constants = constants - 0.5 * (means**2 * precisions).sum(axis=1)
        weights = np.hstack([means * precisions, -0.5 * precisions])
        densities = builder.add(ir.Affine(columns + squares, weights, constants))
    cluster = builder.add(ir.ArgMax(densities))
    return Predictions(ir.ModelKind.CLUSTERER, cluster, proba=shares(builder, densities))


def _constants(estimator: Any) -> ir.FloatArray:
    """The weighted log density of each component at its mean (n_components)."""
    n_features = estimator.means_.shape[1]
    log_det = _compute_log_det_cholesky(estimator.precisions_cholesky_, estimator.covariance_type, n_features)
    constants: ir.FloatArray = estimator._estimate_log_weights() + log_det - 0.5 * n_features * math.log(2 * math.pi)
    if not isinstance(estimator, BayesianGaussianMixture):
        return constants
    # What it believes of precisions and means (Bishop 2006, formulas 10.64 and 10.65).
    freedom = estimator.degrees_of_freedom_
    digammas = digamma(0.5 * (freedom - np.arange(n_features)[:, np.newaxis])).sum(axis=0)
    log_lambda = n_features * math.log(2.0) + digammas
    constants += 0.5 * (log_lambda - n_features / estimator.mean_precision_ - n_features * np.log(freedom))
    return constants


FRONTENDS: dict[type, Frontend] = {
    GaussianMixture: mixture,
    BayesianGaussianMixture: mixture,
}
