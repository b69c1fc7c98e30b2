"""Answers from the stored points that lie nearest."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from ..values import FloatArray, frozen
from .base import Node


class Metric(Enum):
    """How far two points are apart, with t the differences of their coordinates, added up in order.

    NAN_EUCLIDEAN leaves out the coordinates that either point lacks, and scales up by the share of those left; it is
    missing where none is left. Only this metric takes missing inputs and points with missing coordinates.
    """

    EUCLIDEAN = "the square root of sum t²"
    MANHATTAN = "sum |t|"
    CHEBYSHEV = "max |t|"
    MINKOWSKI = "(sum |t|^power)^(1 / power)"
    NAN_EUCLIDEAN = "the square root of sum t² * n / (number of coordinates that both have)"


@dataclass(frozen=True, eq=False)
class Neighbors(Node):
    """Means of `values` (n_points, n_values) over the `points` (n_points, n_inputs) that are nearest to the row.

    Those are the `count` nearest ones, of equal distances the first in the order of `points`; or, with count 0, all
    within `radius`, itself included. Output j is the mean of column j of `values`, each weighted by 1 / distance where
    `by_distance` (points at distance 0 then count alone, and alike), else alike.

    A point whose value j is NaN is no neighbour for output j: the nearest others are taken, as many as there are. Nor
    is a point at a missing distance. Without any neighbour the output is `fallback[j]` (n_values). Where a distance
    exceeds the doubles, the point `beyond` stands in for the neighbour, at the distance `far`, as in scikit-learn's
    heaps; for NAN_EUCLIDEAN it counts as missing. Where all weights are 0, the output is NaN.

    With `reach` (n_points) one more column follows: the mean, alike, of max(distance, reach of the neighbour), over
    the neighbours for the first column of `values`; it may be infinite. With `fill`, n_values is n_inputs, and output
    j is input j wherever that is present (KNNImputer).

    No sum here rounds beyond the order of additions, but neighbours are chosen by the rounded distance.
    """

    points: FloatArray
    values: FloatArray
    count: int = 0
    radius: float = math.nan
    metric: Metric = Metric.EUCLIDEAN
    power: float = 2.0
    by_distance: bool = False
    fallback: FloatArray = field(default_factory=lambda: np.zeros(0))
    reach: FloatArray = field(default_factory=lambda: np.zeros(0))
    beyond: int = 0
    far: float = math.inf
    fill: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", frozen(self.points, ndim=2))
        object.__setattr__(self, "values", frozen(self.values, ndim=2))
        fallback = self.fallback if len(self.fallback) else np.full(self.values.shape[1], math.nan)
        object.__setattr__(self, "fallback", frozen(fallback, ndim=1))
        object.__setattr__(self, "reach", frozen(self.reach, ndim=1))
        missing = self.metric is Metric.NAN_EUCLIDEAN
        self._require(len(self.points) > 0 and len(self.inputs) > 0, "has points with coordinates")
        self._require(self.points.shape == (len(self.values), len(self.inputs)), "points are (n_points, n_inputs)")
        finite = np.isfinite(self.points).all() and np.isfinite(self.values).all()
        self._require(bool(missing or finite), "only NAN_EUCLIDEAN knows missing numbers")
        self._require(not np.isinf(self.points).any() and not np.isinf(self.values).any(), "its numbers are finite")
        self._require(float(np.nanmax(np.abs(self.points), initial=0.0)) <= FARTHEST, "coordinates are at most 1e150")
        self._require(float(np.nanmax(np.abs(self.values), initial=0.0)) <= FARTHEST, "values are at most 1e150")
        self._require(len(self.fallback) == self.values.shape[1], "one fallback for each column of values")
        self._require(len(self.reach) in (0, len(self.points)), "one reach for each point, or none")
        self._require(self.count > 0 or self.radius >= 0, "takes a number of neighbours or a radius")
        self._require(self.count <= len(self.points), "no more neighbours than points")
        self._require(self.power > 0, "power is above 0")
        self._require(not (len(self.reach) and self.by_distance), "a mean reach is not weighted")
        self._require(not self.fill or self.values.shape == self.points.shape, "fills one value for each input")

    @property
    def width(self) -> int:
        return int(self.values.shape[1]) + bool(len(self.reach))

    @property
    def rank_power(self) -> float:
        """Points are compared by this power of their distance, which costs no root."""
        if self.metric in {Metric.EUCLIDEAN, Metric.NAN_EUCLIDEAN}:
            return 2.0
        return self.power if self.metric is Metric.MINKOWSKI else 1.0

    @property
    def radius_rank(self) -> float:
        """The largest rank of a neighbour within `radius`."""
        return float(np.float64(self.radius) ** self.rank_power)


FARTHEST = 1e150
"""The largest coordinate of a stored point: squares of differences between points are doubles."""
