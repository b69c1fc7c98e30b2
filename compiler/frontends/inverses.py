"""What `inverse_transform` of a fitted transformer computes: TransformedTargetRegressor ends with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from .. import ir
from .builder import Builder
from .functions import inverse_function
from .power import inverse_power
from .quantile import inverse_quantile

Inverse = Callable[[Any, ir.Block, Builder], ir.Block]
"""(fitted transformer, the columns it gave, builder) -> the columns it was given."""


def inverse(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """`estimator.inverse_transform` of dense columns; refuses a transformer whose inverse is unknown, by name."""
    function = INVERSES.get(type(estimator))
    if function is None:
        known = ", ".join(cls.__name__ for cls in INVERSES)
        builder.refuse(f"{type(estimator).__name__}.inverse_transform has no exact form in SQL", f"use one of {known}")
    return function(estimator, columns, builder)


def _standard_scaler(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    scale = estimator.scale_ if estimator.with_std else None
    return _unscaled(builder, columns, scale, estimator.mean_ if estimator.with_mean else None)


def _robust_scaler(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    scale = estimator.scale_ if estimator.with_scaling else None
    return _unscaled(builder, columns, scale, estimator.center_ if estimator.with_centering else None)


def _max_abs_scaler(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    return _unscaled(builder, columns, estimator.scale_, None)


def _min_max_scaler(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """`clip` has no part in it."""
    columns = builder.finite(columns, missing=True)
    _require_finite(builder, estimator.min_, estimator.scale_)
    return builder.add(ir.Standardize(columns, estimator.min_, estimator.scale_))


def _unscaled(
    builder: Builder, columns: ir.Block, scale: ir.FloatArray | None, center: ir.FloatArray | None
) -> ir.Block:
    """x * scale + center."""
    columns = builder.finite(columns, missing=True)
    scale = np.ones(len(columns)) if scale is None else scale
    center = np.zeros(len(columns)) if center is None else center
    _require_finite(builder, scale, center)
    return builder.add(ir.MultiplyAdd(columns, scale, center))


def _require_finite(builder: Builder, *statistics: ir.FloatArray) -> None:
    if not all(np.isfinite(s).all() for s in statistics):
        builder.refuse("it learned a value that is not finite", "train on values of ordinary size")


def _pipeline(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """The steps backwards."""
    for name, step in reversed(estimator.steps):
        if step is not None and not isinstance(step, str):
            with builder.step(name):
                columns = inverse(step, columns, builder)
    return columns


INVERSES: dict[type, Inverse] = {
    StandardScaler: _standard_scaler,
    MinMaxScaler: _min_max_scaler,
    MaxAbsScaler: _max_abs_scaler,
    RobustScaler: _robust_scaler,
    PowerTransformer: inverse_power,
    QuantileTransformer: inverse_quantile,
    FunctionTransformer: inverse_function,
    Pipeline: _pipeline,
}
