"""CalibratedClassifierCV: each member's score through a curve that was fitted to rows it has not seen."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV

from .. import ir
from ..ir import Method
from . import compose
from .answers import SCORES, divided, ordered_sum, response
from .builder import Builder, Frontend, Predictions
from .classes import from_proba, labels, labels_of, to_divide, with_complement

TINY = 1e-12
"""What temperature scaling adds to a probability before it takes the logarithm."""


def calibrated_classifier(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The mean of the calibrated members' probabilities."""
    names = labels_of(estimator, builder)
    probas = [_calibrated(builder, member, columns, names) for member in estimator.calibrated_classifiers_]
    return from_proba(builder, names, divided(builder, ordered_sum(builder, probas), len(probas)))


def _calibrated(builder: Builder, pair: Any, columns: ir.Block, names: tuple[ir.Label, ...]) -> ir.Block:
    """The probabilities of one member, in the order of `names`."""
    answer = compose.predictions(builder, "estimator", pair.estimator, columns)
    method, scores = response(builder, pair.estimator, answer, SCORES)
    if method is Method.PREDICT_PROBA and len(answer.labels or ()) == 2:
        scores = scores[1:]
    if pair.method == "temperature":
        cooled = _cooled(builder, scores, method, float(pair.calibrators[0].beta_))
        if len(cooled) != len(names):
            builder.refuse("a member has not seen every class", "train each on rows of every class")
        return cooled
    (zero,) = builder.add(ir.Constant((), np.zeros(1)))
    proba = dict.fromkeys(names, zero)
    # With two classes there is one score, of the second one.
    known = names[1:] if len(names) == 2 else labels(pair.estimator.classes_)
    for name, score, calibrator in zip(known, scores, pair.calibrators, strict=False):
        (proba[name],) = _curve(builder, pair.method, calibrator, (score,))
    if len(names) > 2:
        return builder.add(ir.Normalize(to_divide(builder, tuple(proba.values()))))
    first, second = with_complement(builder, (proba[names[1]],))
    if pair.method == "isotonic":  # interpolation may end a rounding above 1
        (second,) = builder.add(ir.Clip((second,), low=-1.0, high=1.0))
    return first, second


def _curve(builder: Builder, method: str, calibrator: Any, score: ir.Block) -> ir.Block:
    """Isotonic, or Platt's 1 / (1 + exp(a x + b))."""
    if method == "isotonic":
        return builder.predictions(calibrator, score).predict
    a, b = float(calibrator.a_), float(calibrator.b_)
    return builder.add(ir.Sigmoid(builder.add(ir.MultiplyAdd(score, np.full(1, -a), np.full(1, -b)))))


def _cooled(builder: Builder, scores: ir.Block, method: Method, beta: float) -> ir.Block:
    """Softmax of the scores over the temperature 1 / beta; of the logarithms of probabilities."""
    if len(scores) == 1 and method is Method.PREDICT_PROBA:
        scores = with_complement(builder, scores)
    if method is Method.PREDICT_PROBA:
        moved = builder.add(ir.MultiplyAdd(scores, np.ones(len(scores)), np.full(len(scores), TINY)))
        scores = builder.add(ir.Elementwise(moved, ir.Op.LOG))
    elif len(scores) == 1:
        scores = builder.add(ir.Affine(scores, np.array([[-1.0], [1.0]]), np.zeros(2)))
    size = np.full(len(scores), beta)
    return builder.add(ir.Softmax(builder.add(ir.MultiplyAdd(scores, size, np.zeros(len(scores))))))


FRONTENDS: dict[type, Frontend] = {CalibratedClassifierCV: calibrated_classifier}
