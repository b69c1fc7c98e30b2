"""Single trees and forests of scikit-learn's `tree` module: DecisionTree*, ExtraTree*, RandomForest*, ExtraTrees*.

A row is rounded to float32 and compared with a float64 threshold: see float32.py. Rows beyond float32 are refused. A
missing value goes its learned way, or with most rows where training saw none; in sparse rows it is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    RandomTreesEmbedding,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor
from sklearn.utils import get_tags

from .. import ir
from .builder import Builder, Frontend, Predictions
from .classes import from_proba, labels_of
from .float32 import float32_threshold
from .targets import from_probas, target_labels_of

SINGLE = (DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor)


def tree(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """One tree: its leaf's values or class probabilities are the answer."""
    return _mean_of(estimator, [estimator], columns, builder)


def forest(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The trees' answers added in order, from zero, and then divided by their number: scikit-learn's own rounding."""
    return _mean_of(estimator, estimator.estimators_, columns, builder)


def random_trees_embedding(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """One column for each leaf of each tree: 1 where the row falls into it. Every leaf has seen a training row."""
    arrays = [t.tree_ for t in estimator.estimators_]
    values = [np.arange(a.node_count, dtype=np.float64)[:, np.newaxis] for a in arrays]
    nodes = stack(arrays, values, np.arange(len(arrays)), builder)
    rows = accepted_rows(estimator.estimators_[0], columns, builder)
    leaves = builder.add(ir.Trees(rows, nodes, np.zeros(len(arrays))))
    categories = estimator.one_hot_encoder_.categories_
    return tuple(
        ref
        for leaf, numbers in zip(leaves, categories, strict=True)
        for ref in builder.add(ir.OneHot((leaf,), tuple((float(number),) for number in numbers)))
    )


def _mean_of(estimator: Any, trees: Sequence[Any], columns: ir.Block, builder: Builder) -> Predictions:
    rows = accepted_rows(trees[0], columns, builder)
    arrays = [t.tree_ for t in trees]
    nodes = stack(arrays, [leaf_values(t) for t in trees], np.full(len(arrays), -1), builder)
    width = nodes.value.shape[1]
    answer = builder.add(ir.Trees(rows, nodes, np.zeros(width)))
    if len(arrays) > 1:
        answer = builder.add(ir.Standardize(answer, np.zeros(width), np.full(width, float(len(arrays)))))
    if not is_classifier(estimator):
        return Predictions(ir.ModelKind.REGRESSOR, answer)
    if estimator.n_outputs_ == 1:
        return from_proba(builder, labels_of(estimator, builder), answer)
    return from_probas(builder, target_labels_of(estimator, builder), answer)


def accepted_rows(tree: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """The columns, with rows refused where the tree refuses them."""
    missing = get_tags(tree).input_tags.allow_nan and not builder.sparse
    return builder.finite(columns, missing=missing, limit=ir.FLOAT32_LIMIT)


def leaf_values(tree: Any) -> ir.FloatArray:
    """(n_nodes, width): the numbers that a fitted tree predicts, or the class probabilities, of all targets."""
    value = tree.tree_.value
    widths = np.atleast_1d(tree.n_classes_) if is_classifier(tree) else [1] * tree.n_outputs_
    return np.hstack([value[:, target, :width] for target, width in enumerate(widths)])


def stack(
    trees: Sequence[Any],
    values: Sequence[ir.FloatArray],
    output: ir.IntArray,
    builder: Builder,
    features: Sequence[ir.IntArray] | None = None,
) -> ir.Forest:
    """Fitted `tree_` objects, one below the other; a leaf adds its row of `values` (one array for each tree).

    `output` is the output column of each tree, -1 for all columns, as in `ir.Forest`. Where trees saw a part of the
    columns only, `features` has the numbers of those for each tree.
    """
    sizes = [t.node_count for t in trees]
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    offset = np.repeat(roots, sizes)
    left = np.concatenate([t.children_left for t in trees])
    leaf = left < 0
    value = np.where(leaf[:, np.newaxis], np.concatenate(values), 0.0)
    if not np.isfinite(value).all():
        builder.refuse("a leaf holds a value that is not finite", "train it on targets and weights of ordinary size")
    feature = np.concatenate([t.feature for t in trees])
    if features is not None:
        feature = np.concatenate([f[np.maximum(t.feature, 0)] for f, t in zip(features, trees, strict=True)])
    return ir.Forest(
        roots=roots,
        feature=np.where(leaf, -1, feature),
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
    RandomTreesEmbedding: random_trees_embedding,
}
