"""Mixtures of Gaussians: GaussianMixture and BayesianGaussianMixture, of each type of covariance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import digamma
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.mixture._gaussian_mixture import _compute_log_det_cholesky

from .. import ir
from .builder import Builder, Frontend, Predictions
from .classes import shares
from .kernel_forms import LIKELY_TOLERANCE


def mixture(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The component of the largest weighted log density, and each component's share of the density.

    A log density is a constant of the component less half the squared distance from its mean, in units of its
    covariance. Distances are written as scikit-learn writes them, since they lose the same digits so: rotated and then
    squared for covariances "full" and "tied", expanded into x² and x for "diag" and "spherical". What a mixture trained
    on float32 computes of its own numbers alone is of that type, as there; what it adds to a row's is of doubles.
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
        own = cholesky.reshape(n_components, -1) ** 2
        precisions = np.broadcast_to(own, means.shape)
        squares = builder.add(ir.Multiply(columns + columns))
        if estimator.covariance_type == "diag":
            at_zero, pull = (means**2 * precisions).sum(axis=1), means * precisions
        else:
            at_zero, pull = (means**2).sum(axis=1) * own[:, 0], means.astype(np.float64) * precisions
        _say_digits(at_zero, builder)
        constants = constants - 0.5 * at_zero.astype(np.float64)
        weights = np.hstack([pull, -0.5 * precisions])
        densities = builder.add(ir.Affine(columns + squares, weights, constants))
    cluster = builder.add(ir.ArgMax(densities))
    return Predictions(ir.ModelKind.CLUSTERER, cluster, proba=shares(builder, densities))


def _constants(estimator: Any) -> ir.FloatArray:
    """The weighted log density of each component at its mean (n_components)."""
    n_features = estimator.means_.shape[1]
    log_det = _compute_log_det_cholesky(estimator.precisions_cholesky_, estimator.covariance_type, n_features)
    at_mean = np.asarray(log_det, dtype=np.float64) - 0.5 * n_features * math.log(2 * math.pi)
    constants: ir.FloatArray = at_mean + estimator._estimate_log_weights()
    if not isinstance(estimator, BayesianGaussianMixture):
        return constants
    # What it believes of precisions and means (Bishop 2006, formulas 10.64 and 10.65).
    freedom = estimator.degrees_of_freedom_
    digammas = digamma(0.5 * (freedom - np.arange(n_features)[:, np.newaxis])).sum(axis=0)
    log_lambda = n_features * math.log(2.0) + digammas
    constants += 0.5 * (log_lambda - n_features / estimator.mean_precision_ - n_features * np.log(freedom))
    return constants


def _say_digits(at_zero: npt.NDArray[np.floating[Any]], builder: Builder) -> None:
    """Says how many digits are left where x² and x cancel: next to a mean far from 0, in units of its spread."""
    lost = 8 * float(np.finfo(np.float64).eps) * float(np.max(at_zero))
    if ir.TOLERANCE < lost <= LIKELY_TOLERANCE:
        builder.approximate(lost, "a column lies so far from 0, in units of its spread, that digits cancel")


FRONTENDS: dict[type, Frontend] = {
    GaussianMixture: mixture,
    BayesianGaussianMixture: mixture,
}
