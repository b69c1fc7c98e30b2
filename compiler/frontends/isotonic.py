"""IsotonicRegression: straight lines between the thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.isotonic import IsotonicRegression

from .. import ir
from .builder import Builder, Frontend, Predictions


def isotonic_regression(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """Interpolation as numpy.interp computes it; outside the thresholds NaN, the nearest end, or a refused row."""
    x, y = estimator.X_thresholds_, estimator.y_thresholds_
    if x.dtype != np.float64 or y.dtype != np.float64:
        builder.refuse(f"trained on {x.dtype.name}, it predicts in {x.dtype.name}", "train on float64")
    columns = builder.finite(columns)
    outside = estimator.out_of_bounds if len(x) > 1 else "clip"  # a lone threshold answers for every x
    if outside == "raise":
        columns = builder.add(ir.Check(columns, low=float(x[0]), high=float(x[-1])))
    line = _interpolate(builder, columns, x, y)
    if outside == "nan":
        nothing = builder.add(ir.Constant((), np.array([np.nan])))
        above_first = builder.add(ir.Step(columns, threshold=float(x[0]), inclusive=True))
        above_last = builder.add(ir.Step(columns, threshold=float(x[-1])))
        line = builder.add(ir.Select(above_first + line + nothing))
        line = builder.add(ir.Select(above_last + nothing + line))
    return Predictions(ir.ModelKind.REGRESSOR, line, transform=line)


def _interpolate(
    builder: Builder, column: ir.Block, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
) -> ir.Block:
    """y[i] + slope[i] (t - x[i]) from threshold i to the next one; beyond the ends the value there."""
    with np.errstate(all="ignore"):
        slope = np.diff(y) / np.diff(x)
    if not (np.isfinite(slope).all() and np.isfinite(y).all()):
        builder.refuse("its slope overflows a double between two thresholds", "round x before training")
    # One piece below the first threshold, one from each threshold on.
    coefficients = np.zeros((len(x) + 1, 1, 2))
    coefficients[:, 0, 0] = np.concatenate([y[:1], y])
    coefficients[1:-1, 0, 1] = slope
    return builder.add(ir.Piecewise(column, x, np.concatenate([x[:1], x]), coefficients))


FRONTENDS: dict[type, Frontend] = {IsotonicRegression: isotonic_regression}

NOTES: dict[type, str] = {IsotonicRegression: "its column is called x0; training on float32 is refused"}
