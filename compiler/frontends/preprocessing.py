"""Scalers and SimpleImputer, operation by operation in scikit-learn's order: a tree that follows sees every bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from .. import ir
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
    _require_finite(builder, estimator.scale_, estimator.min_)
    scaled = builder.add(ir.MultiplyAdd(columns, estimator.scale_, estimator.min_))
    if not estimator.clip:
        return scaled
    low, high = estimator.feature_range
    return builder.add(ir.Clip(scaled, float(low), float(high)))


def _scaled(builder: Builder, columns: ir.Block, center: ir.FloatArray | None, scale: ir.FloatArray | None) -> ir.Block:
    if center is None and scale is None:
        return columns
    center = np.zeros(len(columns)) if center is None else center
    scale = np.ones(len(columns)) if scale is None else scale
    _require_finite(builder, center, scale)
    if builder.sparse:
        return builder.add(ir.MultiplyAdd(columns, 1 / scale, np.zeros(len(columns))))
    return builder.add(ir.Standardize(columns, center, scale))


def _require_finite(builder: Builder, *statistics: ir.FloatArray) -> None:
    if not all(np.isfinite(s).all() for s in statistics):
        builder.refuse("it learned a value that is not finite", "leave out columns that are always missing or huge")


def simple_imputer(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """Fills in `statistics_`; columns without any (all missing in training) are dropped; indicators come last.

    Text and numbers may stand side by side in a column-wise table of objects: the fill value says which a column is.
    """
    none = estimator.missing_values is None
    if not none and estimator.missing_values == estimator.missing_values:
        builder.refuse(
            f"missing_values={estimator.missing_values!r} marks missing values by a value of the data",
            "replace it by NaN (NULL in the table) and train with missing_values=np.nan",
        )
    objects = estimator._fit_dtype.kind == "O"
    if not objects:
        columns = builder.finite(columns, missing=True)
    fills = _fills(estimator, builder)
    texts = [i for i, fill in fills.items() if isinstance(fill, str)]
    numbers = [i for i in fills if i not in set(texts)]
    filled: dict[int, ir.Ref] = {}
    if texts:
        block = builder.add(ir.FillText(tuple(columns[i] for i in texts), tuple(str(fills[i]) for i in texts)))
        filled.update(zip(texts, block, strict=True))
    if numbers:
        fill = np.array([fills[i] for i in numbers], dtype=np.float64)
        filled.update(zip(numbers, builder.add(ir.Impute(tuple(columns[i] for i in numbers), fill)), strict=True))
    for ref in columns:
        builder.learned_missing(ref, none=none)
        if objects:
            builder.learned_objects(ref)
    result = tuple(filled[i] for i in fills)
    if estimator.indicator_ is None or not len(estimator.indicator_.features_):
        return result
    return result + builder.add(ir.IsMissing(tuple(columns[i] for i in estimator.indicator_.features_)))


def _fills(estimator: Any, builder: Builder) -> dict[int, str | float]:
    """Each column that is kept, with its fill value as scikit-learn rounds it to the type of the training data."""
    statistics: npt.NDArray[Any] = estimator.statistics_
    kept = [i for i, value in enumerate(statistics) if estimator.keep_empty_features or value == value]
    fills: dict[int, str | float] = {}
    for i, value in zip(kept, statistics[kept].astype(estimator._fill_dtype), strict=True):
        if isinstance(value, str):
            fills[i] = str(value)
        elif isinstance(value, (int, float, np.number, np.bool_)) and not np.isinf(value):
            fills[i] = float(value)
        else:
            builder.refuse(f"it fills in {value!r}, neither text nor a finite number", "fill in one of the two")
    return fills


FRONTENDS: dict[type, Frontend] = {
    StandardScaler: standard_scaler,
    MinMaxScaler: min_max_scaler,
    MaxAbsScaler: max_abs_scaler,
    RobustScaler: robust_scaler,
    SimpleImputer: simple_imputer,
}
