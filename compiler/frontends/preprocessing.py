"""Scalers, Normalizer and Binarizer, operation by operation in scikit-learn's order: trees behind see every bit."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.preprocessing import Binarizer, MaxAbsScaler, MinMaxScaler, Normalizer, RobustScaler, StandardScaler

from .. import ir
from ..ir import Op
from .builder import Builder, Frontend


def standard_scaler(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """(x - mean_) / scale_."""
    columns = builder.finite(columns, missing=True)
    center = estimator.mean_ if estimator.with_mean else None
    return _scaled(builder, columns, center, estimator.scale_ if estimator.with_std else None)


def robust_scaler(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """(x - center_) / scale_; `unit_variance` is part of scale_."""
    columns = builder.finite(columns, missing=True)
    center = estimator.center_ if estimator.with_centering else None
    return _scaled(builder, columns, center, estimator.scale_ if estimator.with_scaling else None)


def max_abs_scaler(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """x / scale_, clipped to [-1, 1] if `clip`."""
    columns = builder.finite(columns, missing=True)
    scaled = _scaled(builder, columns, None, estimator.scale_)
    return builder.add(ir.Clip(scaled, -1.0, 1.0)) if estimator.clip else scaled


def min_max_scaler(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """x * scale_ + min_, clipped to feature_range if `clip`."""
    columns = builder.finite(columns, missing=True)
    empty = _always_missing(builder, estimator.scale_, estimator.min_)
    scale, offset = _filled(estimator.scale_, empty, 1.0), _filled(estimator.min_, empty, 0.0)
    scaled = _with_gaps(builder, builder.add(ir.MultiplyAdd(columns, scale, offset)), empty)
    if not estimator.clip:
        return scaled
    low, high = estimator.feature_range
    return builder.add(ir.Clip(scaled, float(low), float(high)))


def _scaled(builder: Builder, columns: ir.Block, center: ir.FloatArray | None, scale: ir.FloatArray | None) -> ir.Block:
    if center is None and scale is None:
        return columns
    center = np.zeros(len(columns)) if center is None else center
    scale = np.ones(len(columns)) if scale is None else scale
    empty = _always_missing(builder, center, scale)
    center, scale = _filled(center, empty, 0.0), _filled(scale, empty, 1.0)
    if not scale.all():
        builder.refuse("it divides by 0", "with unit_variance=True keep 0 and 100 out of quantile_range")
    if builder.sparse:
        scaled = builder.add(ir.MultiplyAdd(columns, 1 / scale, np.zeros(len(columns))))
    else:
        scaled = builder.add(ir.Standardize(columns, center, scale))
    return _with_gaps(builder, scaled, empty)


def _always_missing(builder: Builder, *statistics: ir.FloatArray) -> ir.BoolArray:
    """The columns of which training saw no value: their statistics are NaN, and so is what is scaled by them."""
    if any(np.isinf(s).any() for s in statistics):
        builder.refuse("it learned a value that is not finite", "leave out columns of huge numbers")
    empty: ir.BoolArray = np.any([np.isnan(s) for s in statistics], axis=0)
    return empty


def _filled(statistics: ir.FloatArray, empty: ir.BoolArray, value: float) -> ir.FloatArray:
    """The statistics in their own type, which is float32 after training on float32."""
    filled = statistics.copy()
    filled[empty] = value
    return filled


def _with_gaps(builder: Builder, columns: ir.Block, empty: ir.BoolArray) -> ir.Block:
    if not empty.any():
        return columns
    (gap,) = builder.add(ir.Constant((), np.full(1, np.nan)))
    return tuple(gap if is_empty else ref for ref, is_empty in zip(columns, empty.tolist(), strict=True))


def normalizer(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """Each row divided by its norm. One that is next to 0 counts as 1; in a sparse matrix, one that is 0."""
    columns = builder.finite(columns)
    if estimator.norm == "l2":
        squares = builder.add(ir.Multiply(columns + columns))
        norm = builder.add(ir.Elementwise(_total(squares, builder), Op.SQRT))
    else:
        sizes = builder.add(ir.Elementwise(columns, Op.ABS))
        norm = _total(sizes, builder) if estimator.norm == "l1" else builder.add(ir.Reduce(sizes))
    one = builder.add(ir.Constant((), np.ones(1)))
    if builder.sparse:
        norm = builder.add(ir.Select(norm + norm + one))
    else:
        least = 10 * float(np.finfo(np.float64).eps)
        enough = builder.add(ir.Step(norm, least, inclusive=True))
        norm = builder.add(ir.Select(enough + builder.add(ir.Clip(norm, least, ir.FINITE)) + one))
    return builder.add(ir.Divide(columns + norm * len(columns)))


def _total(columns: ir.Block, builder: Builder) -> ir.Block:
    return builder.add(ir.Affine(columns, np.ones((1, len(columns))), np.zeros(1)))


def binarizer(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """1 where x is above the threshold, else 0. Of a sparse matrix, no threshold is below 0."""
    return builder.add(ir.Step(builder.finite(columns), float(estimator.threshold)))


FRONTENDS: dict[type, Frontend] = {
    StandardScaler: standard_scaler,
    MinMaxScaler: min_max_scaler,
    MaxAbsScaler: max_abs_scaler,
    RobustScaler: robust_scaler,
    Normalizer: normalizer,
    Binarizer: binarizer,
}
