"""Decompositions whose `transform` is a closed form, mostly one affine map.

Those that solve an optimisation problem for each row are refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import linalg
from sklearn.decomposition import (
    NMF,
    PCA,
    DictionaryLearning,
    FactorAnalysis,
    FastICA,
    IncrementalPCA,
    LatentDirichletAllocation,
    MiniBatchDictionaryLearning,
    MiniBatchNMF,
    MiniBatchSparsePCA,
    SparseCoder,
    SparsePCA,
    TruncatedSVD,
)
from sklearn.linear_model import ridge_regression

from .. import ir
from .builder import Builder, Frontend


def pca(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """C x - C m, with C the components and m the mean; divided by the components' deviations if `whiten`."""
    components = estimator.components_
    # In float32 where the model is: so is its own.
    center = (estimator.mean_.reshape(1, -1) @ components.T).ravel()
    projected = _projected(columns, components, -center, builder)
    if not estimator.whiten:
        return projected
    scale = np.sqrt(estimator.explained_variance_)
    scale = np.maximum(scale, np.finfo(scale.dtype).eps)
    return builder.add(ir.Standardize(projected, np.zeros(len(scale)), scale))


def truncated_svd(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """C x, with C the components."""
    return _projected(columns, estimator.components_, np.zeros(len(estimator.components_)), builder)


def factor_analysis(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """The expected factors (Bishop 2006, formula 12.66)."""
    components = estimator.components_
    loadings = components / estimator.noise_variance_
    covariance = linalg.inv(np.eye(len(components)) + loadings @ components.T)
    return _centred(columns, estimator.mean_, covariance.T @ loadings, builder)


def fast_ica(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """W (x - m), with W the unmixing matrix; without the mean where `whiten` is False."""
    if not estimator.whiten:
        return truncated_svd(estimator, columns, builder)
    return _centred(columns, estimator.mean_, estimator.components_, builder)


def sparse_pca(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """The ridge regression of x - m on the components: linear in x, so that its answer to unit rows says it all."""
    if estimator.components_.dtype != np.float64:
        builder.refuse("trained on float32, it rounds each row to float32 and solves in it", "train on float64")
    unit_rows = np.eye(len(columns))
    weights = ridge_regression(estimator.components_.T, unit_rows, estimator.ridge_alpha, solver="cholesky")
    return _centred(columns, estimator.mean_, weights.T, builder)


def dictionary_learning(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """The products of x and the atoms, moved towards 0 by alpha and no further: transform_algorithm="threshold"."""
    if estimator.transform_algorithm != "threshold":
        builder.refuse(
            f"transform_algorithm={estimator.transform_algorithm!r} solves a problem for each row",
            'train with transform_algorithm="threshold", or with a PCA',
        )
    atoms = np.asarray(estimator.dictionary if isinstance(estimator, SparseCoder) else estimator.components_)
    alpha = getattr(estimator, "alpha", None) if estimator.transform_alpha is None else estimator.transform_alpha
    alpha = 1.0 if alpha is None else alpha
    beyond = _projected(columns, np.vstack([atoms, -atoms]), np.full(2 * len(atoms), -float(alpha)), builder)
    sides = builder.add(ir.Clip(beyond, 0.0, np.inf))
    above, below = sides[: len(atoms)], sides[len(atoms) :]
    if estimator.positive_code:
        return above + (builder.add(ir.Constant((), np.zeros(len(atoms)))) if estimator.split_sign else ())
    if estimator.split_sign:
        return sides
    identity = np.eye(len(atoms))
    return builder.add(ir.Affine(above + below, np.hstack([identity, -identity]), np.zeros(len(atoms))))


def _projected(columns: ir.Block, weights: ir.FloatArray, bias: ir.FloatArray, builder: Builder) -> ir.Block:
    if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
        builder.refuse("its components are not finite", "train again on columns that vary")
    return builder.add(ir.Affine(builder.finite(columns), weights, bias))


def _centred(columns: ir.Block, mean: ir.FloatArray, weights: ir.FloatArray, builder: Builder) -> ir.Block:
    """weights (x - mean): the difference first, as scikit-learn computes it."""
    centred = builder.add(ir.Standardize(builder.finite(columns), mean, np.ones(len(columns))))
    return _projected(centred, weights, np.zeros(len(weights)), builder)


FRONTENDS: dict[type, Frontend] = {
    PCA: pca,
    IncrementalPCA: pca,
    TruncatedSVD: truncated_svd,
    FactorAnalysis: factor_analysis,
    FastICA: fast_ica,
    SparsePCA: sparse_pca,
    MiniBatchSparsePCA: sparse_pca,
    DictionaryLearning: dictionary_learning,
    MiniBatchDictionaryLearning: dictionary_learning,
    SparseCoder: dictionary_learning,
}

NOTES: dict[type, str] = {
    DictionaryLearning: 'transform_algorithm="threshold" alone',
    MiniBatchDictionaryLearning: 'transform_algorithm="threshold" alone',
    SparseCoder: 'transform_algorithm="threshold" alone',
}

_ITERATES = "its transform iterates over all rows of a call until they converge", "use PCA or TruncatedSVD in its place"

REFUSED: dict[type, tuple[str, str]] = {
    NMF: _ITERATES,
    MiniBatchNMF: _ITERATES,
    LatentDirichletAllocation: _ITERATES,
}
