"""The reference for the nearest points, in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import ir
from ..ir import Metric
from .kernel_functions import added

Values = npt.NDArray[Any]


def neighbors(node: ir.Neighbors, x: Values) -> Values:
    """The means over each row's neighbours: (n_rows, width)."""
    ranks = _ranks(node, x)
    columns = []
    for value, fallback in zip(node.values.T, node.fallback, strict=True):
        near, found, distance = _nearest(node, ranks, ~np.isnan(value))
        weight = _weights(node, found, distance)
        # 0 / 0 is NaN: no neighbour has any weight.
        mean = np.where(weight > 0, weight * value[near], 0.0).sum(axis=1) / weight.sum(axis=1)
        columns.append(np.where(found.any(axis=1), mean, fallback))
    means = np.column_stack(columns)
    if node.fill:
        return np.where(np.isnan(x), means, x)
    if not len(node.reach):
        return means
    near, found, distance = _nearest(node, ranks, ~np.isnan(node.values[:, 0]))
    reached = np.where(found, np.maximum(distance, node.reach[near]), 0.0).sum(axis=1) / found.sum(axis=1)
    return np.column_stack([means, reached])


def _ranks(node: ir.Neighbors, x: Values) -> Values:
    """What orders points as their distance does: for most metrics a power of it. NaN where it is missing."""
    match node.metric:
        case Metric.EUCLIDEAN:
            return added(x, node.points, np.square)
        case Metric.MANHATTAN:
            return added(x, node.points, np.abs)
        case Metric.MINKOWSKI:
            return added(x, node.points, lambda t: np.abs(t) ** node.power)
        case Metric.CHEBYSHEV:
            return np.asarray(np.abs(x[:, np.newaxis, :] - node.points).max(axis=2))
        case Metric.NAN_EUCLIDEAN:
            both = (~np.isnan(x)).astype(float) @ (~np.isnan(node.points)).astype(float).T
            total = added(x, node.points, lambda t: np.where(np.isnan(t), 0.0, t * t))
            ranks = total / both * x.shape[1]
            return np.where((both > 0) & np.isfinite(ranks), ranks, np.nan)


def _nearest(node: ir.Neighbors, ranks: Values, donors: Values) -> tuple[Values, Values, Values]:
    """For each row candidates, (n_rows, n_candidates): numbers of points, which of them are neighbours, distances."""
    ranks = np.where(donors, ranks, np.nan)
    if node.count:
        near = np.argsort(ranks, axis=1, kind="stable")[:, : node.count]
        ranks = np.take_along_axis(ranks, near, axis=1)
        found = ~np.isnan(ranks)
    else:
        near = np.tile(np.arange(len(node.points)), (len(ranks), 1))
        found = ranks <= node.radius_rank
    lost = np.isinf(ranks)
    distance = np.where(lost, node.far, ranks ** (1 / node.rank_power))
    if node.rank_power == 2:
        distance = np.where(lost, node.far, np.sqrt(ranks))
    return np.where(lost, node.beyond, near), found, distance


def _weights(node: ir.Neighbors, found: Values, distance: Values) -> Values:
    if not node.by_distance:
        return found.astype(float)
    weight = 1 / distance
    at_point = np.isinf(weight) & found
    weight = np.where(at_point.any(axis=1, keepdims=True), at_point, weight)
    return np.where(found, weight, 0.0)
