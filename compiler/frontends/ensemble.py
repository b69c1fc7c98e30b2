"""AdaBoost and bagging. Where all members are trees, they are one forest whose leaves hold what a member adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.ensemble import AdaBoostClassifier, AdaBoostRegressor, BaggingClassifier, BaggingRegressor

from .. import ir
from ..ir import Method
from . import compose
from .answers import class_number, divided, looked_up, mean, ordered_sum, response, same_width, scaled
from .builder import Builder, Frontend, Predictions
from .classes import from_decision, from_proba, kind, labels_of, with_complement
from .trees import SINGLE, accepted_rows, leaf_values, stack


def ada_boost_classifier(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """SAMME: a member adds its weight to the class that it predicts, and takes a share of it from each other class."""
    names = labels_of(estimator, builder)
    columns = builder.finite(columns)
    members, n = estimator.estimators_, len(names)
    if n == 1:
        nothing = builder.add(ir.Constant((), np.zeros(1)))
        sure = builder.add(ir.Constant((), np.ones(1)))
        return Predictions(kind(names), nothing, names, proba=sure, decision=nothing)
    # Of two classes the second one's sum is the first one's with the other sign, and stands for both.
    table = np.array([[-1.0], [1.0]]) if n == 2 else np.where(np.eye(n), 1.0, -1 / (n - 1))
    tables = [table * weight for weight in estimator.estimator_weights_[: len(members)]]
    total = float(estimator.estimator_weights_.sum())
    if not total:
        builder.refuse("its members have no weight", "train it on members that are better than chance")
    if _are_trees(members):
        columns = accepted_rows(members[0], columns, builder)
        leaves = [table[leaf_values(m).argmax(axis=1)] for m, table in zip(members, tables, strict=True)]
        forest = stack([m.tree_ for m in members], leaves, np.full(len(members), -1), builder)
        votes = builder.add(ir.Trees(columns, forest, np.zeros(table.shape[1])))
    else:
        answers = [compose.predictions(builder, "estimator", m, columns) for m in members]
        numbers = [class_number(builder, answer, names) for answer in answers]
        votes = ordered_sum(builder, [looked_up(builder, i, t) for i, t in zip(numbers, tables, strict=True)])
    decision = divided(builder, votes, total)
    if n == 2:
        decision = scaled(builder, decision, 2.0)
        return from_decision(builder, names, decision, with_complement(builder, builder.add(ir.Sigmoid(decision))))
    return from_decision(builder, names, decision, builder.add(ir.Softmax(divided(builder, decision, n - 1))))


def ada_boost_regressor(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The median of what the members predict, each counted with its weight."""
    columns = builder.finite(columns)
    members = estimator.estimators_
    if _are_trees(members):
        columns = accepted_rows(members[0], columns, builder)
        forest = stack([m.tree_ for m in members], list(map(leaf_values, members)), np.arange(len(members)), builder)
        values = builder.add(ir.Trees(columns, forest, np.zeros(len(members))))
    else:
        answers = [compose.predictions(builder, "estimator", m, columns) for m in members]
        values = tuple(ref for answer in answers for ref in answer.predict)
    if len(members) > 1:
        values = builder.add(ir.WeightedMedian(values, estimator.estimator_weights_[: len(members)]))
    return Predictions(ir.ModelKind.REGRESSOR, values)


def bagging_classifier(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The mean of the members' probabilities; a member that has none gives its vote instead."""
    names = labels_of(estimator, builder)
    members = estimator.estimators_
    if _are_trees(members):
        values = [_at_classes(leaf_values(m), m.classes_, len(names)) for m in members]
        return from_proba(builder, names, _mean_of_trees(estimator, columns, builder, values))
    answers = [
        compose.predictions(builder, "estimator", m, tuple(columns[j] for j in features))
        for m, features in zip(members, estimator.estimators_features_, strict=True)
    ]
    probas = [_proba(builder, m, answer, len(names)) for m, answer in zip(members, answers, strict=True)]
    result = from_proba(builder, names, divided(builder, ordered_sum(builder, probas), estimator.n_estimators))
    if not hasattr(estimator, Method.DECISION_FUNCTION.value):
        return result
    pairs = zip(members, answers, strict=True)
    decisions = same_width(builder, [response(builder, m, p, [Method.DECISION_FUNCTION])[1] for m, p in pairs])
    return replace(result, decision=divided(builder, ordered_sum(builder, decisions), estimator.n_estimators))


def bagging_regressor(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The mean of what the members predict."""
    members = estimator.estimators_
    if _are_trees(members):
        trees = _mean_of_trees(estimator, columns, builder, list(map(leaf_values, members)))
        return Predictions(ir.ModelKind.REGRESSOR, trees)
    answers = [
        compose.predictions(builder, "estimator", m, tuple(columns[j] for j in features)).predict
        for m, features in zip(members, estimator.estimators_features_, strict=True)
    ]
    return Predictions(ir.ModelKind.REGRESSOR, mean(builder, answers, estimator.n_estimators))


def _are_trees(members: Sequence[Any]) -> bool:
    return all(type(member) in SINGLE for member in members)


def _mean_of_trees(estimator: Any, columns: ir.Block, builder: Builder, values: Sequence[ir.FloatArray]) -> ir.Block:
    """Trees that each see some of the columns; the columns that none of them sees may hold anything."""
    members, subsets = estimator.estimators_, estimator.estimators_features_
    used = np.unique(np.concatenate(subsets))
    rows = accepted_rows(members[0], tuple(columns[j] for j in used), builder)
    features = [np.searchsorted(used, subset) for subset in subsets]
    forest = stack([m.tree_ for m in members], values, np.full(len(members), -1), builder, features)
    total = builder.add(ir.Trees(rows, forest, np.zeros(forest.value.shape[1])))
    return divided(builder, total, estimator.n_estimators)


def _at_classes(values: ir.FloatArray, classes: ir.IntArray, n_classes: int) -> ir.FloatArray:
    """The probabilities of a member that saw some of the classes only, which it knows by number: 0 for the others."""
    spread = np.zeros((len(values), n_classes))
    spread[:, classes] = values
    return spread


def _proba(builder: Builder, member: Any, answer: Predictions, n_classes: int) -> ir.Block:
    """What the member adds to each class."""
    numbers = class_number(builder, answer, range(n_classes))
    if not hasattr(member, Method.PREDICT_PROBA.value):
        return looked_up(builder, numbers, np.eye(n_classes))
    _, proba = response(builder, member, answer, [Method.PREDICT_PROBA])
    if len(proba) == n_classes:
        return proba
    (zero,) = builder.add(ir.Constant((), np.zeros(1)))
    known = dict(zip(answer.labels or (), proba, strict=True))
    return tuple(known.get(number, zero) for number in range(n_classes))


FRONTENDS: dict[type, Frontend] = {
    AdaBoostClassifier: ada_boost_classifier,
    AdaBoostRegressor: ada_boost_regressor,
    BaggingClassifier: bagging_classifier,
    BaggingRegressor: bagging_regressor,
}

NOTES: dict[type, str] = {
    AdaBoostClassifier: "members read numbers only",
    AdaBoostRegressor: "members read numbers only; more than 16 of them need plpgsql or ONNX",
    BaggingClassifier: "sums of n_jobs > 1 are added as with n_jobs=1",
    BaggingRegressor: "sums of n_jobs > 1 are added as with n_jobs=1",
}
