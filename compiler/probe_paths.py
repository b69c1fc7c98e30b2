"""Rows that reach the splits of a model's trees and lie on and right above their thresholds, for the parity gate.

A value on a threshold tells nothing unless the row gets to that split: each path gives, besides it, values for the
other columns on the way from the root.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from . import ir
from .probes import origin
from .values import evenly

MAX_SPLITS = 300
"""Splits of all trees for which rows are made, evenly picked."""


def paths(program: ir.Program) -> tuple[Mapping[str, float], ...]:
    """Partial rows, each by the names of the columns that it sets."""
    found: list[Mapping[str, float]] = []
    trees = [node for node in program.nodes if isinstance(node, ir.Trees)]
    for node in trees:
        forest = _Splits.of(node.forest)
        splits = np.flatnonzero((node.forest.feature >= 0) & (node.forest.category_set < 0))
        for at in evenly(splits.tolist(), MAX_SPLITS // len(trees) + 1):
            found += _rows(program, node, forest, at)
    return tuple(found)


@dataclass(frozen=True)
class _Splits:
    """A forest as lists, which Python reads ten times as quickly as arrays; `parent` is -1 for roots."""

    feature: list[int]
    threshold: list[float]
    by_category: list[bool]
    parent: list[int]
    is_left: list[bool]

    @classmethod
    def of(cls, forest: ir.Forest) -> _Splits:
        parent = np.full(len(forest.feature), -1)
        is_left = np.zeros(len(forest.feature), dtype=bool)
        inner = np.flatnonzero(forest.feature >= 0)
        parent[forest.left[inner]] = inner
        parent[forest.right[inner]] = inner
        is_left[forest.left[inner]] = True
        arrays = (forest.feature, forest.threshold, forest.category_set >= 0, parent, is_left)
        return cls(*(array.tolist() for array in arrays))


def _rows(program: ir.Program, node: ir.Trees, forest: _Splits, at: int) -> Iterator[Mapping[str, float]]:
    """The rows for one split; none where a column on the way is no scaled input, or no value gets there."""
    bounds: dict[int, tuple[float, float]] = {}
    child = at
    while (parent := forest.parent[child]) >= 0:
        if forest.by_category[parent]:
            return
        feature, threshold = forest.feature[parent], forest.threshold[parent]
        low, high = bounds.get(feature, (-math.inf, math.inf))
        bounds[feature] = (low, min(high, threshold)) if forest.is_left[child] else (max(low, threshold), high)
        child = parent
    own, threshold = forest.feature[at], forest.threshold[at]
    low, high = bounds.pop(own, (-math.inf, math.inf))
    above = math.nextafter(threshold, math.inf)
    inside = [value for value in (threshold, above) if low < value <= high and math.isfinite(value)]
    way: dict[str, float] = {}
    for feature, (least, most) in bounds.items():
        value = _between(least, most)
        column, mapped = origin(program, node.inputs[feature], np.array([] if value is None else [value]))
        if value is None or column is None:
            return
        way[program.columns[column].name] = float(mapped[len(mapped) // 2])
    column, mapped = origin(program, node.inputs[own], np.array(inside))
    if column is not None and program.columns[column].name not in way:
        yield from ({**way, program.columns[column].name: float(value)} for value in mapped)


def _between(low: float, high: float) -> float | None:
    """A number above `low` and at most `high`, away from both where there is room."""
    if math.isinf(low) and math.isinf(high):
        return 0.0
    if math.isinf(low):
        return high - max(1.0, abs(high)) * 1e-3
    if math.isinf(high):
        return low + max(1.0, abs(low)) * 1e-3
    middle = low + (high - low) / 2
    return middle if low < middle <= high else high if low < high else None
