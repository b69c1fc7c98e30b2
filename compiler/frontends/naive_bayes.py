"""Naive Bayes: a sum of log likelihoods for each class, of which the largest wins; their shares are probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB

from .. import ir
from .builder import Builder, Frontend, Predictions
from .classes import kind, labels_of, shares


def gaussian_nb(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """log P(c) - sum of log(2 pi var) / 2 - sum of (x - mean)^2 / var / 2."""
    columns = builder.finite(columns)
    n_classes, n_columns = estimator.theta_.shape
    squares: list[ir.Ref] = []
    bias = np.zeros(n_classes)
    with np.errstate(all="ignore"):
        weights = -0.5 / np.asarray(estimator.var_, dtype=np.float64)
        for c in range(n_classes):
            distance = builder.add(ir.Standardize(columns, estimator.theta_[c], np.ones(n_columns)))
            squares += builder.add(ir.Multiply(distance + distance))
            # Trained on float32, both logarithms are of that type.
            bias[c] = float(np.log(estimator.class_prior_[c]))
            bias[c] += float(-0.5 * np.sum(np.log(2.0 * np.pi * estimator.var_[c])))
    _require_finite(builder, "var_smoothing", weights, bias)
    # Each class sees its own squares only.
    own = np.kron(np.eye(n_classes), np.ones(n_columns)) * weights.ravel()
    return _classified(estimator, builder, builder.add(ir.Affine(tuple(squares), own, bias)))


def multinomial_nb(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """log P(c) + x · log P(column | c)."""
    columns = builder.finite(columns)
    return _linear(estimator, columns, builder, estimator.feature_log_prob_, estimator.class_log_prior_)


def complement_nb(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """x · the weights of the complement of c; the prior counts only where there is one class."""
    prior = estimator.class_log_prior_
    bias = prior if len(prior) == 1 else np.zeros(len(prior))
    return _linear(estimator, builder.finite(columns), builder, estimator.feature_log_prob_, bias)


def bernoulli_nb(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """log P(c) + sum of log P(column | c) where x is 1, log(1 - P(column | c)) where it is 0; linear in between."""
    columns = builder.finite(columns)
    if estimator.binarize is not None:
        columns = builder.add(ir.Step(columns, threshold=float(estimator.binarize)))
    present = estimator.feature_log_prob_
    with np.errstate(all="ignore"):
        absent = np.log(1 - np.exp(present))
        weights, bias = present - absent, estimator.class_log_prior_ + absent.sum(axis=1)
    return _linear(estimator, columns, builder, weights, bias)


def _linear(
    estimator: Any, columns: ir.Block, builder: Builder, weights: npt.NDArray[Any], bias: npt.NDArray[Any]
) -> Predictions:
    _require_finite(builder, "alpha", weights, bias)
    scores = builder.add(ir.Affine(columns, weights, bias))
    return _classified(estimator, builder, scores)


def _classified(estimator: Any, builder: Builder, joint: ir.Block) -> Predictions:
    """The first of the classes whose joint log likelihood is the largest."""
    names = labels_of(estimator, builder)
    return Predictions(kind(names), builder.add(ir.ArgMax(joint)), names, proba=shares(builder, joint))


def categorical_nb(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """log P(c) + sum of log P(category | c), where the category is the whole part of x.

    scikit-learn truncates x, and raises for a category that was not known in training.
    """
    prior = estimator.class_log_prior_
    _require_finite(builder, "alpha", prior, *estimator.feature_log_prob_)
    terms: list[ir.Ref] = []
    for column, table in zip(columns, estimator.feature_log_prob_, strict=True):
        low, high = float(np.nextafter(-1.0, 0.0)), float(np.nextafter(table.shape[1], 0.0))
        terms += _by_category(builder, builder.add(ir.Check((column,), low, high)), table.T)
    scores = builder.add(ir.Affine(tuple(terms), np.tile(np.eye(len(prior)), len(columns)), prior))
    return _classified(estimator, builder, scores)


def _by_category(builder: Builder, column: ir.Block, table: npt.NDArray[np.float64]) -> ir.Block:
    """Row trunc(x) of `table` (categories, classes), for an x above -1 and below the number of categories."""
    if _is_code(builder, column[0]):
        return builder.add(ir.Lookup(column, table, np.zeros(table.shape[1])))
    return builder.add(ir.Piecewise(column, np.arange(1.0, len(table)), np.zeros(len(table)), table[:, :, np.newaxis]))


def _is_code(builder: Builder, ref: ir.Ref) -> bool:
    """Whether an encoder made the column: then it holds whole numbers, and SQL can name the categories."""
    node = builder.nodes[ref.node]
    while isinstance(node, ir.Check):
        ref = node.inputs[ref.column]
        node = builder.nodes[ref.node]
    return isinstance(node, ir.Codes)


def _require_finite(builder: Builder, option: str, *logarithms: npt.NDArray[Any]) -> None:
    if not all(np.isfinite(values).all() for values in logarithms):
        builder.refuse(
            "one of its probabilities is 0 or 1, and has no finite logarithm", f"train with {option} and priors above 0"
        )


FRONTENDS: dict[type, Frontend] = {
    GaussianNB: gaussian_nb,
    BernoulliNB: bernoulli_nb,
    MultinomialNB: multinomial_nb,
    ComplementNB: complement_nb,
    CategoricalNB: categorical_nb,
}

NOTES: dict[type, str] = {
    GaussianNB: "a variance or prior of 0 is refused",
    BernoulliNB: "alpha=0 is refused where a probability becomes 0 or 1",
    MultinomialNB: "alpha=0 is refused where a probability becomes 0",
    ComplementNB: "alpha=0 is refused where a probability becomes 0",
    CategoricalNB: "alpha=0 is refused where a probability becomes 0; unknown categories give NULL, as they raise",
}
