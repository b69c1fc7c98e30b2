"""Outlier detectors made of trees: IsolationForest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.ensemble import IsolationForest

from .. import ir
from .builder import Builder, Frontend, Predictions
from .trees import stack

OUTLIER, INLIER = -1, 1


def isolation_forest(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """-2^(-d / c) - offset_: d is the sum of the path lengths in all trees, c what it is on average.

    No row is refused: infinities and numbers beyond float32 go the way of the largest ones. The label follows d itself,
    against the sum at which the score meets the offset, so that no rounding of the power can flip it.
    """
    paths = zip(estimator._decision_path_lengths, estimator._average_path_length_per_tree, strict=True)
    lengths = [(depth + rest - 1.0)[:, np.newaxis] for depth, rest in paths]
    average = len(lengths) * _average_path_length(estimator._max_samples)
    if average == 0:
        builder.refuse("each of its trees has seen one row only", "train it with max_samples of 2 or more")
    every = np.arange(len(columns))
    subsets = [every if len(f) == len(every) else f for f in estimator.estimators_features_]
    forest = stack([t.tree_ for t in estimator.estimators_], lengths, np.full(len(lengths), -1), builder, subsets)
    if builder.sparse:
        # There a missing value is compared like a number, and is at most no threshold.
        forest = replace(forest, missing_left=np.zeros_like(forest.missing_left))
    total = builder.add(ir.Trees(columns, forest, np.zeros(1)))
    exponent = builder.add(ir.Standardize(total, np.zeros(1), np.full(1, -average)))
    score = builder.add(ir.Elementwise(exponent, ir.Op.EXP2))
    offset = float(estimator.offset_)
    decision = builder.add(ir.MultiplyAdd(score, np.full(1, -1.0), np.full(1, -offset)))
    first = _first(lambda d: bool(-np.power(2.0, -(d / average)) - offset >= 0), float(sum(map(np.max, lengths))))
    label = builder.add(ir.Step(total, first, inclusive=True))
    return Predictions(ir.ModelKind.OUTLIER_DETECTOR, label, (OUTLIER, INLIER), decision=decision)


def _average_path_length(n: int) -> float:
    """Of an unsuccessful search in a binary search tree of n rows: equation (1) of Liu, Ting and Zhou (2008)."""
    if n <= 2:
        return float(n == 2)
    return float(2.0 * (np.log(n - 1.0) + np.euler_gamma) - 2.0 * (n - 1.0) / n)


def _first(holds: Callable[[np.float64], bool], high: float) -> float:
    """The smallest double >= 0 where `holds`, which holds from some point on; beyond `high` where it does not there."""
    low, end = np.array([0.0, 2 * high + 1]).view(np.int64).tolist()
    while low < end:
        middle = (low + end) // 2
        if holds(np.int64(middle).view(np.float64)):
            end = middle
        else:
            low = middle + 1
    return float(np.int64(low).view(np.float64))


FRONTENDS: dict[type, Frontend] = {IsolationForest: isolation_forest}
