"""Classifiers of several targets: the labels of each, and the class that each one's probabilities choose."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np

from .. import ir
from .builder import Builder, Predictions
from .classes import labels

Targets = tuple[tuple[ir.Label, ...], ...]


def target_labels_of(estimator: Any, builder: Builder) -> Targets:
    """The labels of each target of a fitted classifier; refuses labels of mixed kinds by name."""
    try:
        return tuple(labels(np.asarray(classes)) for classes in estimator.classes_)
    except ValueError:
        builder.refuse("its class labels are of several kinds", "use labels that are all text, numbers or booleans")


def from_probas(builder: Builder, targets: Targets, proba: ir.Block) -> Predictions:
    """The first of the largest probabilities of each target; `proba` has those of all targets, one after the other."""
    ends = np.cumsum([0, *map(len, targets)]).tolist()
    chosen = [builder.add(ir.ArgMax(proba[start:end])) for start, end in pairwise(ends)]
    return of_targets(targets, chosen, proba=proba)


def of_targets(
    targets: Targets, predict: Iterable[ir.Block], proba: ir.Block | None = None, decision: ir.Block | None = None
) -> Predictions:
    """Predictions of one class index for each target."""
    columns = side_by_side(predict)
    return Predictions(ir.ModelKind.MULTI_OUTPUT_CLASSIFIER, columns, proba=proba, decision=decision, targets=targets)


def side_by_side(blocks: Iterable[ir.Block]) -> ir.Block:
    """The columns of all blocks."""
    return tuple(ref for block in blocks for ref in block)
