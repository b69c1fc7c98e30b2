"""CatBoost: its estimators, from the model as JSON.

A value is rounded to float32 and compared with a float32 border; each tree adds in double, in order. Every number is
taken, and a missing one counts as less or more than all others. Categories are refused: a model keeps hashes of them.
"""

from __future__ import annotations

import json
import math
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .. import ir
from . import boosting
from .builder import Builder, Frontend, Predictions
from .classes import kind
from .float32 import float32_threshold


def raw(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """CatBoost and CatBoostRanker answer with the sum of the trees."""
    return boosting.regressor(_sums(_model(estimator, builder), columns, builder))


def regressor(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The sum; its exponential for the losses with a logarithm as link."""
    sums = _sums(_model(estimator, builder), columns, builder)
    predicted = estimator._get_default_prediction_type()
    if predicted == "Exponent":
        return boosting.regressor(builder.add(ir.Elementwise(sums, ir.Op.EXP)))
    if predicted == "RMSEWithUncertainty":  # the mean, and the variance
        twice = builder.add(ir.MultiplyAdd(sums[1:], np.full(1, 2.0), np.zeros(1)))
        return boosting.regressor(sums[:1] + builder.add(ir.Elementwise(twice, ir.Op.EXP)))
    if predicted != "RawFormulaVal":
        builder.refuse(f"pgscore does not know what it predicts, {predicted}", "use a loss of one target")
    return boosting.regressor(sums)


def classifier(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The class by the sum of the trees, on which a threshold of probability is moved."""
    model = _model(estimator, builder)
    loss = model["model_info"]["params"]["loss_function"]["type"]
    if loss.startswith("Multi") and loss not in ("MultiClass", "MultiClassOneVsAll"):
        builder.refuse("it has several labels at once", "train one model for each label")
    sums = _sums(model, columns, builder)
    answers = builder.add(ir.Softmax(sums) if loss == "MultiClass" else ir.Sigmoid(sums))
    names, proba = boosting.classifier(estimator, answers, builder)
    if len(sums) == 1:
        threshold = estimator.get_probability_threshold()
        chosen = builder.add(ir.Step(sums, -math.log(1 / threshold - 1)))
    else:
        chosen = builder.add(ir.ArgMax(sums))
    return Predictions(kind(names), chosen, names, proba=proba)


def _model(estimator: Any, builder: Builder) -> Any:
    """The model as JSON; refuses what it computes from other than numbers."""
    for what, indices in (
        ("categories", estimator.get_cat_feature_indices()),
        ("text", estimator.get_text_feature_indices()),
        ("embeddings", estimator.get_embedding_feature_indices()),
    ):
        if len(indices):
            builder.refuse(
                f"it takes {what}, of which the model keeps only hashes or dictionaries of its own",
                "encode them before CatBoost, in a ColumnTransformer",
            )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.json")
        estimator.save_model(str(path), format="json")
        return json.loads(path.read_text())


def _sums(model: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """Scale times the trees' sum, plus bias: one for each class or target."""
    scale, bias = model["scale_and_bias"]
    given = model["oblivious_trees"] if "oblivious_trees" in model else model["trees"]
    parts = [_oblivious(t, len(bias)) if "oblivious_trees" in model else _binary(t, len(bias)) for t in given]
    features = model["features_info"].get("float_features", [])
    columns_of = np.array([f["flat_feature_index"] for f in features], dtype=np.int64)
    is_above = np.array([f["nan_value_treatment"] == "AsTrue" for f in features], dtype=bool)
    feature = np.concatenate([p[0] for p in parts]) if parts else np.zeros(0, np.int64)
    leaf = feature < 0
    border, value, left, right = (
        np.concatenate([p[i] for p in parts]) if parts else np.zeros((0, len(bias)) if i == 2 else 0)
        for i in range(1, 5)
    )
    if not np.isfinite(value).all():
        builder.refuse("a leaf holds a value that is not finite", "train it on targets and weights of ordinary size")
    forest = boosting.trees(
        [len(p[0]) for p in parts],
        feature=np.where(leaf, boosting.LEAF, columns_of[feature] if len(columns_of) else boosting.LEAF),
        threshold=float32_threshold(border.astype(np.float32)),
        left=left.astype(np.int64),
        right=right.astype(np.int64),
        missing_left=~leaf & ~(is_above[feature] if len(is_above) else leaf),
        value=value,
        output=np.full(len(parts), -1),
    )
    total = builder.add(ir.Trees(columns, forest, np.zeros(len(bias))))
    if scale == 1 and not any(bias):
        return total
    return builder.add(ir.MultiplyAdd(total, np.full(len(bias), float(scale)), np.array(bias, dtype=np.float64)))


Arrays = tuple[ir.IntArray, ir.FloatArray, ir.FloatArray, ir.IntArray, ir.IntArray]
"""Of one tree, for each node: feature (-1: leaf), border, values, and the children where x is at most it or above."""


def _oblivious(tree: Any, width: int) -> Arrays:
    """A tree that asks the same on all nodes of a level; bit l of a leaf's number is the answer on level l."""
    splits = tree["splits"] or []
    level, left, right = _levels(len(splits))
    values = np.array(tree["leaf_values"], dtype=np.float64).reshape(-1, width)
    features = np.array([*(s["float_feature_index"] for s in splits), -1], dtype=np.int64)
    borders = np.array([*(s["border"] for s in splits), 0.0], dtype=np.float64)
    value = np.vstack([np.zeros((len(level) - len(values), width)), values])
    return features[level], borders[level], value, left, right


@cache
def _levels(depth: int) -> tuple[ir.IntArray, ir.IntArray, ir.IntArray]:
    """For each node of a full tree its level and its children. Node i of level l has the number 2^l - 1 + i."""
    level = np.repeat(np.arange(depth + 1), 2 ** np.arange(depth + 1))
    width = 2**level
    left = np.arange(len(level)) + width
    return level, left, left + width


def _binary(tree: Any, width: int) -> Arrays:
    """A tree of any shape."""
    feature: list[int] = []
    border: list[float] = []
    value: list[Any] = []
    children: tuple[dict[int, int], dict[int, int]] = ({}, {})
    stack: list[tuple[Any, dict[int, int], int]] = [(tree, {}, 0)]
    while stack:
        node, side, parent = stack.pop()
        at = side[parent] = len(feature)
        split = node.get("split")
        feature.append(split["float_feature_index"] if split else -1)
        border.append(split["border"] if split else 0.0)
        value.append(np.zeros(width) if split else np.broadcast_to(node["value"], width))
        if split:
            stack += [(node["right"], children[1], at), (node["left"], children[0], at)]
    left, right = (np.array([side.get(at, -1) for at in range(len(feature))], dtype=np.int64) for side in children)
    return np.array(feature, dtype=np.int64), np.array(border), np.array(value), left, right


FRONTENDS: dict[type | str, Frontend] = {
    "catboost.core.CatBoostClassifier": classifier,
    "catboost.core.CatBoostRegressor": regressor,
    "catboost.core.CatBoostRanker": raw,
    "catboost.core.CatBoost": raw,
}

NOTES: dict[type | str, str] = dict.fromkeys(
    FRONTENDS, "categorical, text and embedding features are refused: the model keeps hashes of categories"
)
