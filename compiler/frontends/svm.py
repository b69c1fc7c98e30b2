"""Support vector machines of libsvm: SVC, NuSVC, SVR, NuSVR, OneClassSVM. Each is a sum of kernels.

libsvm decides between two classes for each pair of classes, and takes votes; `decision_function` adds what the pairs
are sure of. Probabilities are Platt's for each pair, and for all classes what libsvm's iteration makes of them.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from sklearn.metrics.pairwise import pairwise_kernels
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM

from .. import ir
from ..ir import kernels
from .builder import Builder, Frontend, Predictions
from .classes import kind, labels_of, votes_and_confidence
from .kernel_forms import KNOWN_ROWS, add, dense, pairwise, say_digits

LEAST_PROBABILITY = 1e-7
"""libsvm clips the probabilities of pairs."""


def classifier(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The class with the most votes of all pairs, the first one on a tie; or, with `break_ties`, the best decision."""
    names = labels_of(estimator, builder)
    n = len(names)
    if len(estimator.n_support_) != n:
        builder.refuse("one of its classes had no row of any weight", "train it on the classes that have weight")
    if estimator.break_ties and estimator.decision_function_shape == "ovo":
        builder.refuse("break_ties with decision_function_shape='ovo' has no predict", "leave out one of the two")
    pairs = _pairs(estimator, columns, builder)
    proba = _probabilities(estimator, pairs, builder) if hasattr(estimator, "predict_proba") else None
    if n == 2:
        decision = builder.add(ir.MultiplyAdd(pairs, -np.ones(1), np.zeros(1)))
        label = builder.add(ir.Step(decision, inclusive=True))
        return Predictions(kind(names), label, names, proba=proba, decision=decision)
    decision = pairs
    if estimator.decision_function_shape == "ovr":
        decision = _one_vs_rest(pairs, n, builder)
    votes = _votes(builder.add(ir.Step(pairs)), n, builder)
    label = builder.add(ir.ArgMax(decision if estimator.break_ties else votes))
    return Predictions(kind(names), label, names, proba=proba, decision=decision)


def regressor(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The weighted sum of kernels, plus the intercept."""
    answer = _decision(estimator, columns, builder)
    _say_digits(estimator, dense(estimator._dual_coef_), builder)
    return Predictions(ir.ModelKind.REGRESSOR, answer)


def one_class(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """An inlier where the sum is above 0."""
    decision = _decision(estimator, columns, builder)
    label = builder.add(ir.Step(decision))
    return Predictions(ir.ModelKind.OUTLIER_DETECTOR, label, labels=(-1, 1), decision=decision)


def _form(estimator: Any, builder: Builder) -> kernels.Form:
    if estimator.kernel not in {"linear", "rbf", "poly", "sigmoid"}:
        shown = "computed beforehand" if estimator.kernel == "precomputed" else "a function of Python"
        builder.refuse(f"its kernel is {shown}", "use linear, rbf, poly or sigmoid")
    params = {"gamma": estimator._gamma, "coef0": estimator.coef0, "degree": estimator.degree}
    return pairwise(estimator.kernel, params, estimator.n_features_in_, builder)


def _decision(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    form = _form(estimator, builder)
    return add(builder, columns, form, estimator.support_vectors_, estimator._dual_coef_, estimator._intercept_)


def _pairs(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """One column for each pair of classes i < j, in order: above 0 for class i.

    Row j - 1 of the dual coefficients of class i's support vectors, and row i of those of class j, belong to the pair.
    """
    dual, n = dense(estimator._dual_coef_), len(estimator.classes_)
    vectors = [slice(start, end) for start, end in itertools.pairwise(np.cumsum([0, *estimator._n_support]))]
    weights = np.zeros((n * (n - 1) // 2, dual.shape[1]))
    for row, (i, j) in enumerate(itertools.combinations(range(n), 2)):
        weights[row, vectors[i]] = dual[j - 1, vectors[i]]
        weights[row, vectors[j]] = dual[i, vectors[j]]
    form = _form(estimator, builder)
    _say_digits(estimator, weights, builder)
    return add(builder, columns, form, estimator.support_vectors_, weights, estimator._intercept_)


def _say_digits(estimator: Any, weights: ir.FloatArray, builder: Builder) -> None:
    """Says how many digits its decisions about the support vectors keep. Those of OneClassSVM lie at 0 on purpose.

    Where none are left, its labels may still be right, and the gate judges them.
    """
    vectors = estimator.support_vectors_
    if not len(dense(vectors)):
        return
    params = {"gamma": estimator._gamma, "coef0": estimator.coef0, "degree": estimator.degree}
    known = pairwise_kernels(vectors[:KNOWN_ROWS], vectors, metric=estimator.kernel, filter_params=True, **params)
    say_digits(builder, known, weights, np.asarray(estimator._intercept_, dtype=float), advice=None)


def _signs(n: int) -> ir.FloatArray:
    """(n classes, pairs): 1 for the first class of a pair, -1 for the second."""
    pairs = list(itertools.combinations(range(n), 2))
    return np.array([[float(c == i) - float(c == j) for i, j in pairs] for c in range(n)])


def _votes(first: ir.Block, n: int, builder: Builder) -> ir.Block:
    """The votes for each class, where `first` says of each pair whether its first class wins."""
    signs = _signs(n)
    return builder.add(ir.Affine(first, signs, (signs < 0).sum(axis=1).astype(float)))


def _one_vs_rest(pairs: ir.Block, n: int, builder: Builder) -> ir.Block:
    """The votes and the sum of the decisions for each class; a pair at 0 is its first one's."""
    votes = _votes(builder.add(ir.Step(pairs, inclusive=True)), n, builder)
    sums = builder.add(ir.Affine(pairs, _signs(n), np.zeros(n)))
    return votes_and_confidence(builder, votes, sums)


def _probabilities(estimator: Any, pairs: ir.Block, builder: Builder) -> ir.Block:
    """Platt's sigmoid of each pair, coupled."""
    slopes, offsets = np.asarray(estimator._probA, dtype=float), np.asarray(estimator._probB, dtype=float)
    if not len(slopes) == len(offsets) == len(pairs):
        builder.refuse("it was trained without probabilities", "train it with probability=True")
    each = builder.add(ir.Sigmoid(builder.add(ir.MultiplyAdd(pairs, -slopes, -offsets))))
    clipped = builder.add(ir.Clip(each, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY))
    return builder.add(ir.CouplePairwise(clipped))


FRONTENDS: dict[type, Frontend] = {
    SVC: classifier,
    NuSVC: classifier,
    SVR: regressor,
    NuSVR: regressor,
    OneClassSVM: one_class,
}

_KERNELS = "kernels that are precomputed or functions are refused"
NOTES: dict[type, str] = {
    SVC: f"{_KERNELS}; with probability=True in plpgsql or ONNX only",
    NuSVC: f"{_KERNELS}; with probability=True in plpgsql or ONNX only",
    SVR: _KERNELS,
    NuSVR: _KERNELS,
    OneClassSVM: _KERNELS,
}
