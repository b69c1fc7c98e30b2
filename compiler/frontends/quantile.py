"""QuantileTransformer: the mean of two interpolations between its quantiles, then the normal quantile if asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.special import ndtri
from sklearn.preprocessing import QuantileTransformer

from .. import ir
from ..doubles import last
from ..ir import FINITE, Op
from .builder import Builder, Frontend
from .gaps import around_gaps
from .sparsity import refuse_stored_zeros

NEAR = 1e-7
"""BOUNDS_THRESHOLD of scikit-learn: with a normal output, what is so near to an end of the quantiles counts as it."""


def quantile_transformer(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """Interpolates upwards and downwards between the quantiles, which differ where a quantile is repeated.

    Of a sparse matrix only the values that are not 0 are transformed, and none is below 0 unless
    `ignore_implicit_zeros`.
    """
    refuse_stored_zeros(builder)
    low = 0.0 if builder.sparse and not estimator.ignore_implicit_zeros else -FINITE
    columns = builder.add(ir.Check(columns, low=low, high=FINITE, missing=True))
    normal = estimator.output_distribution == "normal"
    result: list[ir.Ref] = []
    for column, quantiles in zip(columns, _quantiles(estimator, builder), strict=True):
        bend = partial(_forward, builder, quantiles=quantiles, references=estimator.references_, normal=normal)
        curve = around_gaps((column,), builder, bend)
        result += builder.add(ir.Select((column, *curve, column))) if builder.sparse else curve
    return tuple(result)


def inverse_quantile(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """QuantileTransformer.inverse_transform: from probabilities back to quantiles."""
    columns = builder.finite(columns, missing=True)
    normal = estimator.output_distribution == "normal"
    if normal:
        columns = builder.add(ir.Elementwise(columns, Op.NORMAL_CDF))
    result: list[ir.Ref] = []
    for column, quantiles in zip(columns, _quantiles(estimator, builder), strict=True):
        lines = interpolation(estimator.references_, quantiles)
        if normal:
            lines = lines.level(*_ends(0.0, 1.0), quantiles[0], quantiles[-1])
        result += lines.of(builder, column)
    return tuple(result)


@dataclass(frozen=True)
class Lines:
    """A piecewise linear function: on piece i, `start[i]` + `slope[i]` (x - `origin[i]`); `knots` separate pieces."""

    knots: ir.FloatArray
    origin: ir.FloatArray
    start: ir.FloatArray
    slope: ir.FloatArray

    def of(self, builder: Builder, column: ir.Ref) -> ir.Block:
        """The function of a column."""
        coefficients = np.stack([self.start, self.slope], axis=1)[:, np.newaxis, :]
        return builder.add(ir.Piecewise((column,), self.knots, self.origin, coefficients))

    def level(self, low: float, high: float, below: float, above: float) -> Lines:
        """The same, but `below` for x < low and `above` for x >= high; low < high."""
        inside = (self.knots > low) & (self.knots < high)
        first = int(np.searchsorted(self.knots, low, side="right"))
        pieces = [first, *(np.flatnonzero(inside) + 1).tolist()]
        return Lines(
            np.concatenate([[low], self.knots[inside], [high]]),
            np.concatenate([[0.0], self.origin[pieces], [0.0]]),
            np.concatenate([[below], self.start[pieces], [above]]),
            np.concatenate([[0.0], self.slope[pieces], [0.0]]),
        )


def interpolation(x: ir.FloatArray, y: ir.FloatArray) -> Lines:
    """numpy.interp: between neighbouring points, from the lower one on; level outside. x may repeat itself."""
    knots, first, count = np.unique(x, return_index=True, return_counts=True)
    at = first + count - 1  # of equal points the last one counts from there on, and the first one up to there
    slope = (y[first[1:]] - y[at[:-1]]) / np.diff(knots)
    return Lines(
        knots,
        np.concatenate([[0.0], knots]),
        np.concatenate([y[:1], y[at]]),
        np.concatenate([[0.0], slope, [0.0]]),
    )


def _quantiles(estimator: Any, builder: Builder) -> ir.FloatArray:
    """The quantiles of each column."""
    quantiles: ir.FloatArray = np.asarray(estimator.quantiles_, dtype=np.float64).T
    if not np.isfinite(quantiles).all():
        builder.refuse("a quantile is not finite", "leave out columns that are always missing")
    return quantiles


def _forward(
    builder: Builder, block: ir.Block, *, quantiles: ir.FloatArray, references: ir.FloatArray, normal: bool
) -> ir.Block:
    (column,) = block
    if normal:
        (low, high), top = _ends(quantiles[0], quantiles[-1]), 1.0
    else:  # the ends themselves are 0 and 1, however often they are repeated
        low, high, top = _after(quantiles[0]), float(quantiles[-1]), float(references[-1])
    if low >= high:  # a constant column
        step = Lines(np.array([low]), np.zeros(2), np.array([0.0, top]), np.zeros(2))
        mean = step.of(builder, column)
    else:
        upwards = interpolation(quantiles, references).level(low, high, 0.0, top)
        downwards = interpolation(-quantiles[::-1], -references[::-1]).level(_after(-high), _after(-low), -top, 0.0)
        (opposite,) = builder.add(ir.Elementwise((column,), Op.NEGATIVE))
        both = upwards.of(builder, column) + downwards.of(builder, opposite)
        mean = builder.add(ir.Affine(both, np.array([[0.5, -0.5]]), np.zeros(1)))
    if not normal:
        return mean
    outer = NEAR - np.spacing(1)
    quantile = builder.add(ir.Elementwise(mean, Op.NORMAL_QUANTILE))
    return builder.add(ir.Clip(quantile, float(ndtri(outer)), float(ndtri(1 - outer))))


def _after(x: float) -> float:
    """The next double."""
    return float(np.nextafter(x, np.inf))


def _ends(low: float, high: float) -> tuple[float, float]:
    """Where x - NEAR < low holds no more, and where x + NEAR > high begins to hold, as doubles round."""
    return _first_not(lambda x: x - NEAR < low), _first_not(lambda x: x + NEAR <= high)


def _first_not(holds: Callable[[float], bool]) -> float:
    """The smallest double where a condition that holds at first holds no more."""
    end = last(holds)
    return -FINITE if end is None else _after(end)


FRONTENDS: dict[type, Frontend] = {
    QuantileTransformer: quantile_transformer,
}
