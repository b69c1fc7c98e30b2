"""Discriminant analysis: Gaussian classes, with one covariance for all of them or one for each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis

from .. import ir
from .builder import Builder, Frontend, Predictions
from .classes import kind, labels_of
from .linear import linear_map
from .linear_classifiers import logistic_regression


def linear_discriminant(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """As logistic regression; as a step in the middle, x on the axes that separate the classes best."""
    result = logistic_regression(estimator, columns, builder)
    if estimator.solver == "lsqr":
        return result  # this solver finds no axes
    columns = builder.finite(columns)
    if estimator.solver == "svd":
        columns = builder.add(ir.Standardize(columns, estimator.xbar_, np.ones(len(columns))))
    axes = estimator.scalings_[:, : estimator._max_components]
    return replace(result, transform=linear_map(builder, columns, axes.T, 0.0))


def quadratic_discriminant(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """log P(c) less half of the squared Mahalanobis distance to the mean and of the log determinant, for each class.

    The decision of two classes is the difference of theirs.
    """
    labels = labels_of(estimator, builder)
    columns = builder.finite(columns)
    squares: list[ir.Ref] = []
    owner: list[int] = []
    for c, (mean, rotation, scaling) in enumerate(
        zip(estimator.means_, estimator.rotations_, estimator.scalings_, strict=True)
    ):
        centred = builder.add(ir.Standardize(columns, mean, np.ones(len(columns))))
        whitened = linear_map(builder, centred, (rotation * scaling**-0.5).T, 0.0)
        squares += builder.add(ir.Multiply(whitened + whitened))
        owner += [c] * len(whitened)
    with np.errstate(all="ignore"):
        bias = np.log(estimator.priors_) - 0.5 * np.array([float(np.sum(np.log(s))) for s in estimator.scalings_])
    weights = np.where(np.array(owner) == np.arange(len(labels))[:, np.newaxis], -0.5, 0.0)
    scores = linear_map(builder, tuple(squares), weights, bias)
    decision = builder.add(ir.Affine(scores, np.array([[-1.0, 1.0]]), np.zeros(1))) if len(labels) == 2 else scores
    proba = builder.add(ir.Softmax(scores))
    return Predictions(kind(labels), builder.add(ir.ArgMax(scores)), labels, proba=proba, decision=decision)


FRONTENDS: dict[type, Frontend] = {
    LinearDiscriminantAnalysis: linear_discriminant,
    QuadraticDiscriminantAnalysis: quadratic_discriminant,
}

NOTES: dict[type, str] = {
    QuadraticDiscriminantAnalysis: "a prior of 0 is refused",
    LinearDiscriminantAnalysis: "a prior of 0 is refused",
}
