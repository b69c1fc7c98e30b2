"""What the members of an ensemble answer, as the ensemble reads it: class numbers, values, scores, and their sums."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from .. import ir
from ..ir import Method
from .builder import Builder, Predictions

SCORES = (Method.DECISION_FUNCTION, Method.PREDICT_PROBA)
"""What most of scikit-learn asks a member for: the first one that it has."""

_SINGLE = 1e-4
"""What is left of float32's 7 digits where the terms of a sum cancel to a thousandth."""


def response(
    builder: Builder, member: Any, predictions: Predictions, methods: Sequence[Method]
) -> tuple[Method, ir.Block]:
    """The first method that the member has, and its columns. Refuses one that it has and that has no exact form."""
    name = type(member).__name__
    method = next((method for method in methods if hasattr(member, method.value)), None)
    if method is None:
        names = " or ".join(method.value for method in methods)
        builder.refuse(f"{name} has no {names}", "use another estimator in its place")
    columns = {
        Method.PREDICT: predictions.predict,
        Method.PREDICT_PROBA: predictions.proba,
        Method.DECISION_FUNCTION: predictions.decision,
    }[method]
    if columns is None:
        builder.refuse(f"{name}.{method.value} has no exact form in SQL", "use another estimator in its place")
    return method, columns


def class_number(builder: Builder, predictions: Predictions, classes: Sequence[ir.Label]) -> ir.Block:
    """The position among `classes` of the label that a member predicts; refuses a member with other labels."""
    labels = one_label(builder, predictions)
    missing = [label for label in labels if label not in classes]
    if missing:
        builder.refuse(f"a member predicts {missing[0]!r}, which is no class of the whole", "train it on these classes")
    return _translated(builder, predictions.predict, [float(classes.index(label)) for label in labels])


def values(builder: Builder, predictions: Predictions) -> ir.Block:
    """What a member's `predict` gives, as numbers: its labels, if it is a classifier."""
    if predictions.labels is None and predictions.targets is None:
        return predictions.predict
    labels = one_label(builder, predictions)
    if any(isinstance(label, str) for label in labels):
        builder.refuse("a member predicts text where numbers are read", "train it on classes that are numbers")
    return _translated(builder, predictions.predict, [float(label) for label in labels])


def one_label(builder: Builder, predictions: Predictions) -> tuple[ir.Label, ...]:
    """The labels of a classifier of one target; refuses any other member."""
    if predictions.labels is None:
        builder.refuse("a member is no classifier of one target", "use a classifier in its place")
    return predictions.labels


def same_width(builder: Builder, blocks: Sequence[ir.Block]) -> Sequence[ir.Block]:
    """The blocks; refuses members that differ in their number of classes."""
    if len({len(block) for block in blocks}) > 1:
        builder.refuse("its members have learned different numbers of classes", "train each on rows of every class")
    return blocks


def ordered_sum(builder: Builder, blocks: Iterable[ir.Block], *, single: bool = False) -> ir.Block:
    """The blocks added column by column, one after the other: scikit-learn's rounding, on which a tie may hang.

    Sums of two terms round the same everywhere; one sum of all terms may be added up in any order. With `single` each
    sum is rounded to float32.
    """

    def plus(total: ir.Block, block: ir.Block) -> ir.Block:
        one = np.eye(len(total))
        result = builder.add(ir.Affine(total + block, np.hstack([one, one]), np.zeros(len(total))))
        return in_float32(builder, result) if single else result

    return reduce(plus, blocks)


def mean(builder: Builder, blocks: Sequence[ir.Block], divisor: float) -> ir.Block:
    """The ordered sum over the divisor, in float32 where all blocks are."""
    single = builder.all_in_float32(blocks)
    quotient = divided(builder, ordered_sum(builder, blocks, single=single), divisor)
    return builder.given_in_float32(in_float32(builder, quotient)) if single else quotient


def from_float32(builder: Builder, block: ir.Block, start: int) -> None:
    """Says that the nodes from `start` on compute from `block` in float32, if they do more than compare it."""
    if not builder.all_in_float32([block]):
        return
    known = set(block)
    for position, node in enumerate(builder.nodes[start:], start):
        if known.isdisjoint(node.inputs):
            continue
        if isinstance(node, ir.Check):
            known.update(ir.Ref(position, column) for column in range(node.width))
        elif not isinstance(node, ir.Trees):
            builder.approximate(_SINGLE, "it computes in float32, as its members answer in it")
            return


def in_float32(builder: Builder, block: ir.Block) -> ir.Block:
    """Each column rounded to float32."""
    return builder.add(ir.Elementwise(block, ir.Op.FLOAT32))


def divided(builder: Builder, block: ir.Block, divisor: float) -> ir.Block:
    """Each column over the divisor."""
    return builder.add(ir.Standardize(block, np.zeros(len(block)), np.full(len(block), divisor)))


def scaled(builder: Builder, block: ir.Block, factor: float) -> ir.Block:
    """Each column times the factor."""
    return builder.add(ir.MultiplyAdd(block, np.full(len(block), factor), np.zeros(len(block))))


def looked_up(builder: Builder, number: ir.Block, table: ir.FloatArray) -> ir.Block:
    """The row of `table` for a class number."""
    return builder.add(ir.Lookup(number, table, np.zeros(table.shape[1])))


def _translated(builder: Builder, number: ir.Block, wanted: list[float]) -> ir.Block:
    if wanted == list(range(len(wanted))):
        return number
    return looked_up(builder, number, np.array(wanted)[:, np.newaxis])
