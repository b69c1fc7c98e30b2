"""Several targets, one member for each: MultiOutput* side by side, and chains in which a member reads those before."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor, RegressorChain

from .. import ir
from ..ir import Method
from . import compose
from .answers import one_label, response, values
from .builder import Builder, Frontend, Predictions
from .targets import of_targets, side_by_side


def multi_output_regressor(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """What each member predicts."""
    answers = [compose.predictions(builder, "estimator", m, columns).predict for m in estimator.estimators_]
    return Predictions(ir.ModelKind.REGRESSOR, side_by_side(answers))


def multi_output_classifier(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The class that each member predicts, and the probabilities of each."""
    members = estimator.estimators_
    answers = [compose.predictions(builder, "estimator", m, columns) for m in members]
    proba = None
    if hasattr(estimator, Method.PREDICT_PROBA.value):
        pairs = zip(members, answers, strict=True)
        proba = side_by_side(response(builder, m, answer, [Method.PREDICT_PROBA])[1] for m, answer in pairs)
    targets = tuple(one_label(builder, answer) for answer in answers)
    return of_targets(targets, [answer.predict for answer in answers], proba=proba)


def regressor_chain(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """What each member predicts from the columns and the predictions of the members before it."""
    return Predictions(
        ir.ModelKind.REGRESSOR, _in_order(estimator, _chain(estimator, columns, builder), Method.PREDICT, builder)
    )


def classifier_chain(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """As a chain of regressors; members hand on what `chain_method_` says. Labels are given as floating-point numbers.

    The probability and the decision of a target are those of its second class; scikit-learn has none for three.
    """
    answers = _chain(estimator, columns, builder)
    binary = all(len(one_label(builder, answer)) == 2 for answer in answers)
    scores = {
        method: _in_order(estimator, answers, method, builder)
        for method in (Method.PREDICT_PROBA, Method.DECISION_FUNCTION)
        if binary and hasattr(estimator, method.value)
    }
    order = np.argsort(estimator.order_)
    return of_targets(
        tuple(tuple(map(float, one_label(builder, answers[i]))) for i in order),
        [answers[i].predict for i in order],
        proba=scores.get(Method.PREDICT_PROBA),
        decision=scores.get(Method.DECISION_FUNCTION),
    )


def _chain(estimator: Any, columns: ir.Block, builder: Builder) -> list[Predictions]:
    """The answers of each member, in the order of the chain."""
    method = getattr(estimator, "chain_method_", Method.PREDICT.value)
    if method not in {m.value for m in Method}:
        builder.refuse(f"chain_method={method!r} has no exact form in SQL", "use chain_method='predict_proba'")
    columns = builder.finite(columns)
    answers: list[Predictions] = []
    for member in estimator.estimators_:
        answers.append(compose.predictions(builder, "estimator", member, columns))
        columns += _one_column(builder, member, answers[-1], Method(method))
    return answers


def _one_column(builder: Builder, member: Any, answer: Predictions, method: Method) -> ir.Block:
    """What a member of a chain gives by this method: a label, or the score of the second of two classes."""
    if method is Method.PREDICT:
        return values(builder, answer)
    _, block = response(builder, member, answer, [method])
    if len(one_label(builder, answer)) != 2:
        builder.refuse(f"{method.value} of a target that has not two classes", "use targets of two classes")
    return block[-1:]


def _in_order(estimator: Any, answers: list[Predictions], method: Method, builder: Builder) -> ir.Block:
    """A column of each member, in the order of the targets."""
    pairs = zip(estimator.estimators_, answers, strict=True)
    blocks = [_one_column(builder, member, answer, method) for member, answer in pairs]
    return side_by_side(blocks[i] for i in np.argsort(estimator.order_))


FRONTENDS: dict[type, Frontend] = {
    MultiOutputRegressor: multi_output_regressor,
    MultiOutputClassifier: multi_output_classifier,
    RegressorChain: regressor_chain,
    ClassifierChain: classifier_chain,
}
NOTES: dict[type, str] = {
    MultiOutputClassifier: "the labels of all targets are of one type",
    ClassifierChain: "labels are numbers, chain_method is not predict_log_proba",
}
