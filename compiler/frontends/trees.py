"""Single trees and forests of scikit-learn's `tree` module: DecisionTree*, ExtraTree*, RandomForest*, ExtraTrees*.

A row is rounded to float32 and compared with a float64 threshold: see float32.py. Rows beyond float32 are refused. A
missing value goes its learned way, or with most rows where training saw none; in sparse rows compose.py refuses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor
from sklearn.utils import get_tags

from .. import ir
from .builder import Builder, Frontend, Predictions
from .classes import from_proba, labels_of
from .float32 import float32_threshold


def tree(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """One tree: its leaf's value or class probabilities are the answer."""
    return _mean_of(estimator, [estimator], columns, builder)


def forest(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The trees' answers added in order, from zero, and then divided by their number: scikit-learn's own rounding."""
    return _mean_of(estimator, estimator.estimators_, columns, builder)


def _mean_of(estimator: Any, trees: Sequence[Any], columns: ir.Block, builder: Builder) -> Predictions:
    if estimator.n_outputs_ > 1:
        builder.refuse("it predicts several outputs", "train one model for each output")
    width = estimator.n_classes_ if is_classifier(estimator) else 1
    missing = get_tags(trees[0]).input_tags.allow_nan
    rows = builder.finite(columns, missing=missing, limit=ir.FLOAT32_LIMIT)
    arrays = [t.tree_ for t in trees]
    nodes = stack(arrays, [a.value[:, 0, :width] for a in arrays], np.full(len(arrays), -1), builder)
    answer = builder.add(ir.Trees(rows, nodes, np.zeros(width)))
    if len(arrays) > 1:
        answer = builder.add(ir.Standardize(answer, np.zeros(width), np.full(width, float(len(arrays)))))
    if is_classifier(estimator):
        return from_proba(builder, labels_of(estimator, builder), answer)
    return Predictions(ir.ModelKind.REGRESSOR, answer)


def stack(trees: Sequence[Any], values: Sequence[ir.FloatArray], output: ir.IntArray, builder: Builder) -> ir.Forest:
    """Fitted `tree_` objects, one below the other; a leaf adds its row of `values` (one array for each tree).

    `output` is the output column of each tree, -1 for all columns, as in `ir.Forest`.
    """
    sizes = [t.node_count for t in trees]
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    offset = np.repeat(roots, sizes)
    left = np.concatenate([t.children_left for t in trees])
    leaf = left < 0
    value = np.where(leaf[:, np.newaxis], np.concatenate(values), 0.0)
    if not np.isfinite(value).all():
        builder.refuse("a leaf holds a value that is not finite", "train it on targets and weights of ordinary size")
    return ir.Forest(
        roots=roots,
        feature=np.where(leaf, -1, np.concatenate([t.feature for t in trees])),
        threshold=np.where(leaf, 0.0, float32_threshold(np.concatenate([t.threshold for t in trees]))),
        left=np.where(leaf, -1, left + offset),
        right=np.where(leaf, -1, np.concatenate([t.children_right for t in trees]) + offset),
        missing_left=~leaf & np.concatenate([t.missing_go_to_left for t in trees]).astype(bool),
        value=value,
        output=output,
        category_set=np.full(len(leaf), -1),
    )


FRONTENDS: dict[type, Frontend] = {
    DecisionTreeClassifier: tree,
    DecisionTreeRegressor: tree,
    ExtraTreeClassifier: tree,
    ExtraTreeRegressor: tree,
    RandomForestClassifier: forest,
    RandomForestRegressor: forest,
    ExtraTreesClassifier: forest,
    ExtraTreesRegressor: forest,
}
