"""Voting and stacking: different members on the same columns. Nothing is checked before the members see a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.ensemble import StackingClassifier, StackingRegressor, VotingClassifier, VotingRegressor

from .. import ir
from ..ir import Method
from . import compose
from .answers import (
    class_number,
    divided,
    from_float32,
    looked_up,
    mean,
    ordered_sum,
    response,
    same_width,
    scaled,
    values,
)
from .builder import Builder, Frontend, Predictions
from .classes import from_proba, kind, labels_of
from .parts import members
from .targets import side_by_side

_UNROLLED, _ONE_ROW = 8, 1e-6
"""From this many members on, numpy adds the answers for a single row in eight strands."""


def voting_classifier(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """Soft: the weighted mean of the probabilities. Hard: the class with most votes, the first one on a tie."""
    names = labels_of(estimator, builder)
    weights = estimator._weights_not_none
    answers = [(m, compose.predictions(builder, name, m, columns)) for name, m in members(estimator)]
    if estimator.voting == "soft":
        probas = [response(builder, m, answer, [Method.PREDICT_PROBA])[1] for m, answer in answers]
        proba = _mean(builder, same_width(builder, probas), weights)
        flat = side_by_side(probas) if estimator.flatten_transform else None
        return replace(from_proba(builder, names, proba), transform=flat)
    if weights is not None and min(weights) < 0:
        builder.refuse("it weighs a vote negatively", "use weights that are 0 or more")
    factors = [1.0] * len(answers) if weights is None else weights
    # Members were trained on the numbers of the classes.
    votes = [
        looked_up(builder, class_number(builder, answer, range(len(names))), np.eye(len(names)) * factor)
        for (_, answer), factor in zip(answers, factors, strict=True)
    ]
    label = builder.add(ir.ArgMax(ordered_sum(builder, votes)))
    transform = side_by_side(values(builder, answer) for _, answer in answers)
    return Predictions(kind(names), label, names, transform=transform)


def voting_regressor(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The weighted mean of what the members predict."""
    answers = [compose.predictions(builder, name, m, columns).predict for name, m in members(estimator)]
    if len(answers) >= _UNROLLED and estimator._weights_not_none is None and builder.all_in_float32(answers):
        builder.approximate(_ONE_ROW, "its members answer in float32, which numpy adds up in another order for one row")
    predict = _mean(builder, same_width(builder, answers), estimator._weights_not_none)
    return Predictions(ir.ModelKind.REGRESSOR, predict, transform=side_by_side(answers))


def _mean(builder: Builder, blocks: Sequence[ir.Block], weights: Sequence[float] | None) -> ir.Block:
    """numpy.average of the blocks."""
    if weights is None:
        return mean(builder, blocks, len(blocks))
    total = float(np.sum(np.asarray(weights, dtype=np.float64)))
    if not total:
        builder.refuse("its weights add up to 0", "use weights that do not")
    weighted = [scaled(builder, block, float(weight)) for block, weight in zip(blocks, weights, strict=True)]
    return divided(builder, ordered_sum(builder, weighted), total)


def stacking_classifier(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The final estimator, trained on the numbers of the classes, on what the members answer."""
    names = labels_of(estimator, builder)
    final = _stacked(estimator, columns, builder, drop_first=len(names) == 2)
    if final.labels is None or any(type(label) is not int for label in final.labels):
        builder.refuse("its final estimator has other classes than itself", "let it train its final estimator")
    labels = tuple(names[int(label)] for label in final.labels)
    return replace(final, kind=kind(labels), labels=labels)


def stacking_regressor(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The final estimator on what the members predict."""
    return _stacked(estimator, columns, builder, drop_first=False)


def _stacked(estimator: Any, columns: ir.Block, builder: Builder, *, drop_first: bool) -> Predictions:
    """The answers of the final estimator; their `transform` is what it reads.

    With `drop_first` the first of two probabilities is left out: it is the complement of the other.
    """
    blocks = []
    for (name, member), method in zip(members(estimator), map(Method, estimator.stack_method_), strict=True):
        answer = compose.predictions(builder, name, member, columns)
        with builder.step(name):
            if answer.targets is not None:
                builder.refuse("a member predicts several targets", "train one model for each target")
            _, block = response(builder, member, answer, [method])
            if method is Method.PREDICT:
                block = values(builder, answer)
            blocks.append(block[1:] if method is Method.PREDICT_PROBA and drop_first else block)
    read = side_by_side(blocks) + (columns if estimator.passthrough else ())
    sparse = builder.sparse and estimator.passthrough
    start = len(builder.nodes)
    final = compose.predictions(builder, "final_estimator", estimator.final_estimator_, read, sparse=sparse)
    from_float32(builder, read, start)
    return replace(final, transform=read)


FRONTENDS: dict[type, Frontend] = {
    VotingClassifier: voting_classifier,
    VotingRegressor: voting_regressor,
    StackingClassifier: stacking_classifier,
    StackingRegressor: stacking_regressor,
}
NOTES: dict[type, str] = {
    VotingClassifier: "negative weights in hard voting are refused, and flatten_transform=False within a pipeline",
    StackingClassifier: "several targets are refused",
}
