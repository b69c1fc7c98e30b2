"""Linear classifiers and SGDOneClassSVM: one affine map, then what each makes of its decision."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.linear_model import (
    LogisticRegression,
    LogisticRegressionCV,
    PassiveAggressiveClassifier,
    Perceptron,
    RidgeClassifier,
    RidgeClassifierCV,
    SGDClassifier,
    SGDOneClassSVM,
)
from sklearn.svm import LinearSVC

from .. import ir
from .builder import Builder, Frontend, Predictions
from .classes import from_decision, labels_of, to_divide, with_complement
from .linear import affine, linear_map


def linear_classifier(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The sign of the decision for two classes, the first largest decision for more."""
    return from_decision(builder, labels_of_several(estimator, builder), affine(estimator, columns, builder))


def ridge_classifier(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """As the others; trained on several yes-or-no targets at once, the sign of each one's decision."""
    if not estimator._label_binarizer.y_type_.startswith("multilabel"):
        return linear_classifier(estimator, columns, builder)
    decision = affine(estimator, columns, builder)
    targets = ((0, 1),) * len(decision)
    kind = ir.ModelKind.MULTI_OUTPUT_CLASSIFIER
    return Predictions(kind, builder.add(ir.Step(decision)), decision=decision, targets=targets)


def logistic_regression(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """Sigmoid for two classes, softmax for more; every solver predicts alike."""
    labels = labels_of_several(estimator, builder)
    decision = affine(estimator, columns, builder)
    if len(decision) == 1:
        proba = with_complement(builder, builder.add(ir.Sigmoid(decision)))
    else:
        proba = builder.add(ir.Softmax(decision))
    return from_decision(builder, labels, decision, proba)


def sgd_classifier(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """One against the rest. Probabilities exist for two of the losses; for several classes they are normalised."""
    labels = labels_of(estimator, builder)
    decision = affine(estimator, columns, builder)
    if estimator.loss == "log_loss":
        each = builder.add(ir.Sigmoid(decision))
    elif estimator.loss == "modified_huber":
        clipped = builder.add(ir.Clip(decision, -1.0, 1.0))
        each = builder.add(ir.Standardize(clipped, np.full(len(decision), -1.0), np.full(len(decision), 2.0)))
    else:
        return from_decision(builder, labels, decision)
    if len(decision) == 1:
        proba = with_complement(builder, each)
    else:
        proba = builder.add(ir.Normalize(to_divide(builder, each)))
    return from_decision(builder, labels, decision, proba)


def sgd_one_class_svm(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """coef_ · x - offset_, which is at least 0 for an inlier."""
    decision = linear_map(builder, builder.finite(columns), estimator.coef_, -estimator.offset_)
    predict = builder.add(ir.Step(decision, inclusive=True))
    return Predictions(ir.ModelKind.OUTLIER_DETECTOR, predict, (-1, 1), decision=decision)


def labels_of_several(estimator: Any, builder: Builder) -> tuple[ir.Label, ...]:
    """The labels; refuses a lone one, for which scikit-learn raises where the decision is above 0."""
    labels = labels_of(estimator, builder)
    if len(labels) == 1:
        builder.refuse("it has learned one class only", "train it on at least two classes")
    return labels


FRONTENDS: dict[type, Frontend] = {
    LogisticRegression: logistic_regression,
    LogisticRegressionCV: logistic_regression,
    RidgeClassifier: ridge_classifier,
    RidgeClassifierCV: ridge_classifier,
    SGDClassifier: sgd_classifier,
    Perceptron: linear_classifier,
    PassiveAggressiveClassifier: linear_classifier,
    LinearSVC: linear_classifier,
    SGDOneClassSVM: sgd_one_class_svm,
}

NOTES: dict[type, str] = {
    RidgeClassifier: "several yes-or-no targets give an array",
    RidgeClassifierCV: "several yes-or-no targets give an array",
}
