"""Projections that ask nothing of the target: random ones, pooled features, and random features of a kernel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.cluster import FeatureAgglomeration
from sklearn.kernel_approximation import AdditiveChi2Sampler, PolynomialCountSketch, RBFSampler, SkewedChi2Sampler
from sklearn.preprocessing import KernelCenterer
from sklearn.random_projection import GaussianRandomProjection, SparseRandomProjection

from .. import ir
from .answers import scaled
from .builder import Builder, Frontend
from .sparsity import refuse_stored_zeros

HUGE_ANGLE = 1e30
SMALLEST = math.ulp(0.0)


def random_projection(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """C x, with C the random components."""
    components = estimator.components_
    weights = np.asarray(components.toarray() if issparse(components) else components)
    return builder.add(ir.Affine(builder.finite(columns), weights, np.zeros(len(weights))))


def feature_agglomeration(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """The features of each cluster pooled into one: their mean, sum, largest or smallest."""
    columns = builder.finite(columns)
    pool, labels = estimator.pooling_func, estimator.labels_
    clusters = np.unique(labels)
    reductions = {np.max: ir.Reduction.MAX, np.min: ir.Reduction.MIN}
    if pool in reductions:
        members = [tuple(columns[i] for i in np.flatnonzero(labels == cluster)) for cluster in clusters]
        return tuple(ref for block in members for ref in builder.add(ir.Reduce(block, reductions[pool])))
    if pool not in (np.mean, np.sum):
        builder.refuse("its pooling_func calls Python", "use np.mean, np.sum, np.max or np.min")
    membership = (labels == clusters[:, np.newaxis]).astype(np.float64)
    sums = builder.add(ir.Affine(columns, membership, np.zeros(len(clusters))))
    if pool is np.sum:
        return sums
    return builder.add(ir.Standardize(sums, np.zeros(len(clusters)), membership.sum(axis=1)))


def rbf_sampler(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """sqrt(2 / n) cos(W x + offset), for n random directions W."""
    return _random_cosines(estimator, builder.finite(columns), (2.0 / estimator.n_components) ** 0.5, builder)


def skewed_chi2_sampler(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """sqrt(2 / n) cos(W log(x + skewedness) + offset); x is above -skewedness."""
    skewedness = float(estimator.skewedness)
    lowest = float(np.nextafter(-skewedness, np.inf))
    columns = builder.add(ir.Check(columns, lowest, ir.FINITE))
    shifted = builder.add(ir.MultiplyAdd(columns, np.ones(len(columns)), np.full(len(columns), skewedness)))
    logarithms = builder.add(ir.Elementwise(shifted, ir.Op.LOG))
    return _random_cosines(estimator, logarithms, math.sqrt(2.0) / math.sqrt(estimator.n_components), builder)


def additive_chi2_sampler(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """sqrt(c x), then sqrt(2 c x / cosh(π j c)) times cos and sin of j c log(x) for each further step j.

    c is the sampling interval, and x at least 0. All features of 0 are 0: its logarithm, of the smallest double
    instead, is multiplied by 0.
    """
    refuse_stored_zeros(builder)
    n = len(columns)
    if builder.are_whole(columns):
        builder.refuse("it cuts the fractions off where it is given whole numbers", "encode with dtype=float64")
    columns = builder.add(ir.Check(columns, 0.0, ir.FINITE))
    interval = {1: 0.8, 2: 0.5, 3: 0.4}.get(estimator.sample_steps, estimator.sample_interval)
    interval = float(interval if estimator.sample_interval is None else estimator.sample_interval)
    parts = builder.add(ir.Elementwise(scaled(builder, columns, interval), ir.Op.SQRT))
    logarithms = builder.add(ir.Elementwise(builder.add(ir.Clip(columns, SMALLEST, np.inf)), ir.Op.LOG))
    angle, doubled = scaled(builder, logarithms, interval), scaled(builder, columns, 2 * interval)
    for j in range(1, estimator.sample_steps):
        divisor = np.full(n, np.cosh(np.pi * j * interval))
        factor = builder.add(ir.Elementwise(builder.add(ir.Standardize(doubled, np.zeros(n), divisor)), ir.Op.SQRT))
        angles = scaled(builder, angle, float(j))
        for op in (ir.Op.COS, ir.Op.SIN):
            parts += builder.add(ir.Multiply(factor + builder.add(ir.Elementwise(angles, op))))
    return parts


def kernel_centerer(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """k less the mean of the training kernel's column, less the mean of k itself, plus the mean of all."""
    columns, n = builder.finite(columns), len(columns)
    total = builder.add(ir.Affine(columns, np.ones((1, n)), np.zeros(1)))
    mean = builder.add(ir.Standardize(total, np.zeros(1), np.full(1, float(n))))
    centred = builder.add(ir.Standardize(columns, estimator.K_fit_rows_, np.ones(n)))
    weights = np.hstack([np.eye(n), np.full((n, 1), -1.0)])
    return builder.add(ir.Affine(centred + mean, weights, np.full(n, float(estimator.K_fit_all_))))


def _random_cosines(estimator: Any, columns: ir.Block, factor: float, builder: Builder) -> ir.Block:
    # An angle beyond 1e16 has no digits left, and its cosine is chance. Where that is beyond doubt the row is refused.
    angles = builder.add(ir.Affine(columns, estimator.random_weights_.T, estimator.random_offset_))
    angles = builder.finite(angles, limit=HUGE_ANGLE, own=True)
    return scaled(builder, builder.add(ir.Elementwise(angles, ir.Op.COS)), factor)


FRONTENDS: dict[type, Frontend] = {
    GaussianRandomProjection: random_projection,
    SparseRandomProjection: random_projection,
    FeatureAgglomeration: feature_agglomeration,
    RBFSampler: rbf_sampler,
    SkewedChi2Sampler: skewed_chi2_sampler,
    AdditiveChi2Sampler: additive_chi2_sampler,
    KernelCenterer: kernel_centerer,
}

NOTES: dict[type, str] = {
    AdditiveChi2Sampler: "SQL gives 0 for numbers below 1e-307, of which the model takes a root: scale, or use ONNX; "
    "of nothing but whole numbers the model itself cuts the fractions off, and the gate refuses it: make them floats",
    FeatureAgglomeration: "pooling_func may be np.mean, np.sum, np.max or np.min",
    RBFSampler: "columns in the millions leave its cosines few digits: scale them first; angles beyond 1e30 are NULL",
}

REFUSED: dict[type, tuple[str, str]] = {
    PolynomialCountSketch: (
        "where its numbers should be 0 they are rounding noise of a Fourier transform",
        "use PolynomialFeatures",
    ),
}
