"""Thresholds of trees that compare float32(x) <= t, moved so that x <= t' decides every row alike.

scikit-learn's trees (not its histogram boosting) round each row to float32 and compare that with a float64 threshold.
A cast in SQL raises an error beyond float32, and ONNX's classic tree operators round the threshold as well. Rounding to
float32 never falls as x grows, so the doubles whose float32 is at most t are exactly those up to a largest one, t'.
"""

from __future__ import annotations

import numpy as np

from ..ir import FloatArray

_BEYOND = 2.0**128
"""Where the next float32 after the largest would lie; rounding to infinity begins halfway to it."""


def float32_threshold(t: FloatArray) -> FloatArray:
    """The largest double t' with float32(t') <= t, for each threshold: float32(x) <= t if and only if x <= t'.

    Let f be the largest float32 that is at most t, and g the next one. The doubles that round to f or below end at the
    midpoint of f and g, which a double holds exactly (25 bits): the midpoint itself belongs to them if the tie goes
    to f, the one with the even mantissa, and else they end one double below. It holds for infinite thresholds too:
    infinity stays, and a threshold below every finite float32 is passed by what rounds to minus infinity.
    """
    t = np.asarray(t, dtype=np.float64)
    with np.errstate(over="ignore"):
        nearest = t.astype(np.float32)
        below = np.where(nearest > t, np.nextafter(nearest, np.float32(-np.inf)), nearest)
        above = np.nextafter(below, np.float32(np.inf))
        low, high = (np.clip(side.astype(np.float64), -_BEYOND, _BEYOND) for side in (below, above))
        middle = low + (high - low) / 2
        last = np.where(middle.astype(np.float32) <= below, middle, np.nextafter(middle, -np.inf))
    return np.where(t == np.inf, np.inf, last)


def float32_below(t: FloatArray) -> FloatArray:
    """The largest double t' with float32(t') < t, for each threshold that is a float32: XGBoost compares this way."""
    return float32_threshold(np.nextafter(np.asarray(t, dtype=np.float32), np.float32(-np.inf)))
