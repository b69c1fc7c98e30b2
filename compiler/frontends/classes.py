"""What classifiers of every family share: their labels, and the way from scores to a class."""

from __future__ import annotations

import math
import sys

import numpy as np
import numpy.typing as npt

from .. import ir
from .builder import Builder, Predictions

EXPIT_LOW = -math.log(sys.float_info.max)
"""Below it scipy.special.expit is 0."""


def labels(classes: npt.NDArray[np.generic]) -> tuple[ir.Label, ...]:
    """`classes_` as Python scalars. Raises ValueError unless all are of one kind: text, bool, int or float."""
    scalars = [value.item() if isinstance(value, np.generic) else value for value in classes]
    for kind in (str, bool, int, float):
        if all(type(value) is kind for value in scalars):
            return tuple(scalars)
    raise ValueError("class labels are of several kinds")


def labels_of(estimator: object, builder: Builder) -> tuple[ir.Label, ...]:
    """The labels of a fitted classifier; refuses several targets and labels of mixed kinds by name."""
    classes = getattr(estimator, "classes_", None)
    if not isinstance(classes, np.ndarray) or classes.ndim != 1:
        builder.refuse("it has more than one target", "train one model for each target")
    try:
        return labels(classes)
    except ValueError:
        builder.refuse("its class labels are of several kinds", "use labels that are all text, numbers or booleans")


def kind(names: tuple[ir.Label, ...]) -> ir.ModelKind:
    """Two classes are binary; one class alone counts as multiclass, whose main function gives the label."""
    return ir.ModelKind.BINARY_CLASSIFIER if len(names) == 2 else ir.ModelKind.MULTICLASS_CLASSIFIER


def with_complement(builder: Builder, positive: ir.Block) -> ir.Block:
    """[1 - p, p], the first computed from the second as scikit-learn does."""
    return builder.add(ir.Affine(positive, np.array([[-1.0]]), np.array([1.0]))) + positive


def to_divide(builder: Builder, probabilities: ir.Block) -> ir.Block:
    """Probabilities whose sum divides them, where each logistic function is 0 as soon as scipy.special.expit says 0.

    That is where exp(-x) is no double. A node Sigmoid goes on to smaller numbers, or ends at the least one: of no
    account, but where all of them are so small.
    """
    found: list[ir.Ref] = []
    for ref in probabilities:
        node = builder.nodes[ref.node]
        if not isinstance(node, ir.Sigmoid):
            found.append(ref)
            continue
        some = builder.add(ir.Step((node.inputs[ref.column],), EXPIT_LOW, inclusive=True))
        found += builder.add(ir.Select((*some, ref, *builder.add(ir.Constant((), np.zeros(1))))))
    return tuple(found)


def from_proba(builder: Builder, names: tuple[ir.Label, ...], proba: ir.Block) -> Predictions:
    """A classifier whose label is the first of the largest probabilities, as forests and boosted trees choose it."""
    return Predictions(kind(names), builder.add(ir.ArgMax(proba)), names, proba=proba)


def shares(builder: Builder, logarithms: ir.Block) -> ir.Block:
    """exp(l_j - log Σ exp(l_i)): probabilities from log likelihoods as scipy.special.logsumexp leads to them.

    Far from all components that loses digits which a Softmax would keep; where several densities are equal there, each
    share is 1.
    """
    n = len(logarithms)
    top = builder.add(ir.Reduce(logarithms))

    def less(subtracted: ir.Block) -> ir.Block:
        """Each of the logarithms, as rounded, less a number. The bound holds anyway: it tells SQL of no overflow."""
        weights = np.hstack([np.eye(n), np.full((n, 1), -1.0)])
        differences = builder.add(ir.Affine(logarithms + subtracted, weights, np.zeros(n), kept=True))
        return builder.add(ir.Clip(differences, -np.inf, 0.0))

    terms = builder.add(ir.Elementwise(less(top), ir.Op.EXP))
    sum_of_terms = builder.add(ir.Affine(terms, np.ones((1, n)), np.zeros(1)))
    rest = builder.add(ir.Elementwise(builder.add(ir.Clip(sum_of_terms, 1.0, float(n))), ir.Op.LOG))
    total = builder.add(ir.Affine(rest + top, np.ones((1, 2)), np.zeros(1)))
    return builder.add(ir.Elementwise(less(total), ir.Op.EXP))


def votes_and_confidence(builder: Builder, votes: ir.Block, sums: ir.Block) -> ir.Block:
    """Votes plus s / (3 (|s| + 1)) for each class, s the sum of its confidences (sklearn.utils.multiclass)."""
    n = len(votes)
    sizes = builder.add(ir.MultiplyAdd(builder.add(ir.Elementwise(sums, ir.Op.ABS)), np.ones(n), np.ones(n)))
    divisors = builder.add(ir.MultiplyAdd(sizes, np.full(n, 3.0), np.zeros(n)))
    shares = builder.add(ir.Divide(sums + divisors))
    return builder.add(ir.Affine(votes + shares, np.hstack([np.eye(n), np.eye(n)]), np.zeros(n)))


def from_decision(
    builder: Builder, names: tuple[ir.Label, ...], decision: ir.Block, proba: ir.Block | None = None
) -> Predictions:
    """A classifier whose label follows `decision_function`: `> 0` where it is one column, else the first largest."""
    predict = builder.add(ir.Step(decision) if len(decision) == 1 else ir.ArgMax(decision))
    return Predictions(kind(names), predict, names, proba=proba, decision=decision)
