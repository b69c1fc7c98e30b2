"""One classifier of several classes made of binary ones: one against the rest, one against one, output codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier

from .. import ir
from ..ir import Method
from . import compose
from .answers import SCORES, response, values
from .builder import Builder, Frontend, Predictions
from .classes import kind, labels_of, to_divide, votes_and_confidence, with_complement
from .parts import is_constant
from .targets import of_targets, side_by_side


def one_vs_rest_classifier(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The class of the highest score, or each class whose score is high enough where a row has several labels.

    One member alone tells two classes apart. Probabilities are the members' over their sum, and 0 where that is 0.
    """
    members = estimator.estimators_
    answers = [_answers(builder, member, columns) for member in members]
    pairs = list(zip(members, answers, strict=True))
    scores = side_by_side(_score(builder, member, answer) for member, answer in pairs)
    proba = decision = None
    if all(hasattr(member, Method.PREDICT_PROBA.value) for member in members):
        proba = side_by_side(response(builder, m, answer, [Method.PREDICT_PROBA])[1][1:] for m, answer in pairs)
        if len(members) == 1:
            proba = with_complement(builder, proba)  # which add up to 1
        elif not estimator.multilabel_:
            proba = to_divide(builder, proba)
            total = builder.add(ir.Affine(proba, np.ones((1, len(proba))), np.zeros(1)))
            proba = builder.add(ir.Divide(proba + total * len(proba)))
    if all(hasattr(member, Method.DECISION_FUNCTION.value) for member in members):
        decision = side_by_side(response(builder, m, answer, [Method.DECISION_FUNCTION])[1] for m, answer in pairs)
    if estimator.multilabel_:
        flags = [builder.add(ir.Step((score,), _threshold(members[0]))) for score in scores]
        return of_targets(((0, 1),) * len(flags), flags, proba=proba, decision=decision)
    names = labels_of(estimator, builder)
    chosen = ir.Step(scores, _threshold(members[0])) if len(scores) == 1 else ir.ArgMax(scores)
    return Predictions(kind(names), builder.add(chosen), names, proba=proba, decision=decision)


def one_vs_one_classifier(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """Each pair's member votes for one class of the two; ties go to the class that its members are surer of.

    The score of a class is of its votes and the sum of the members' confidence in it.
    """
    names = labels_of(estimator, builder)
    if estimator.pairwise_indices_ is not None:
        builder.refuse("its members read a matrix of distances", "use a kernel or metric that is computed from columns")
    members, n = estimator.estimators_, len(names)
    if any(is_regressor(member) for member in members):
        builder.refuse("its members are regressors", "use classifiers")
    answers = [compose.predictions(builder, "estimator", member, columns) for member in members]
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    # +1 where the pair's member says its second class, -1 where its first one; in the order of scikit-learn's sum.
    signs = np.array([[float(c == j) - float(c == i) for i, j in pairs] for c in range(n)])
    votes = builder.add(
        ir.Affine(side_by_side(values(builder, a) for a in answers), signs, (signs < 0).sum(axis=1).astype(float))
    )
    confidences = side_by_side(_score(builder, m, a) for m, a in zip(members, answers, strict=True))
    sums = _sums_in_order(builder, confidences, signs)
    decision = votes_and_confidence(builder, votes, sums)
    if n == 2:
        label = builder.add(ir.Step(decision[1:], _threshold(members[0])))
        return Predictions(kind(names), label, names, decision=decision[1:])
    return Predictions(kind(names), builder.add(ir.ArgMax(decision)), names, decision=decision)


def output_code_classifier(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The class whose code is nearest to the members' scores, the first one on a tie.

    The squared distance is (|x|^2 - 2 x·code) + |code|^2, as ArgKmin adds it: far away all codes are equally near.
    """
    names = labels_of(estimator, builder)
    members = estimator.estimators_
    scores = side_by_side(_score(builder, member, _answers(builder, member, columns)) for member in members)
    codes, n = estimator.code_book_, len(names)
    squares = builder.add(ir.Multiply(scores + scores))
    size = builder.add(ir.Affine(squares, np.ones((1, len(squares))), np.zeros(1)))
    products = builder.add(ir.Affine(scores, 2 * codes, np.zeros(n)))
    nearer = builder.add(ir.Affine(products + size, np.hstack([np.eye(n), np.full((n, 1), -1.0)]), np.zeros(n)))
    nearness = builder.add(ir.MultiplyAdd(nearer, np.ones(n), -np.square(codes).sum(axis=1)))
    return Predictions(kind(names), builder.add(ir.ArgMax(nearness)), names)


def _answers(builder: Builder, member: Any, columns: ir.Block) -> Predictions:
    """What a member answers, also one that saw a single class in training: 1 if it is in every row, else 0 (or -1)."""
    if not is_constant(member):
        return compose.predictions(builder, "estimator", member, columns)
    (label,) = np.asarray(member.y_, dtype=np.float64)
    score, no, yes = (builder.add(ir.Constant((), np.full(1, value))) for value in (label, 1 - label, label))
    return Predictions(ir.ModelKind.REGRESSOR, score, proba=no + yes, decision=score)


def _score(builder: Builder, member: Any, answer: Predictions) -> ir.Block:
    """How sure a member is of its second class: one column. Regressors say it themselves."""
    if is_regressor(member):
        return answer.predict
    method, block = response(builder, member, answer, SCORES)
    return block[1:2] if method is Method.PREDICT_PROBA else block


def _threshold(member: Any) -> float:
    """The score beyond which a binary member says yes."""
    return 0.0 if hasattr(member, Method.DECISION_FUNCTION.value) and is_classifier(member) else 0.5


def _sums_in_order(builder: Builder, columns: ir.Block, signs: ir.FloatArray) -> ir.Block:
    """`signs` times the columns, added one after the other: a tie between classes hangs on the rounding."""
    n = len(signs)
    terms: Sequence[ir.IntArray] = [np.flatnonzero(row) for row in signs]
    total: ir.Block = ()
    for k in range(len(terms[0])):
        step = np.zeros_like(signs)
        for c in range(n):
            step[c, terms[c][k]] = signs[c, terms[c][k]]
        before = np.eye(n) if total else np.zeros((n, 0))
        total = builder.add(ir.Affine(total + columns, np.hstack([before, step]), np.zeros(n)))
    return total


FRONTENDS: dict[type, Frontend] = {
    OneVsRestClassifier: one_vs_rest_classifier,
    OneVsOneClassifier: one_vs_one_classifier,
    OutputCodeClassifier: output_code_classifier,
}
NOTES: dict[type, str] = {OneVsOneClassifier: "precomputed kernels and regressors as members are refused"}
