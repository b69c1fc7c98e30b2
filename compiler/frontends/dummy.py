"""DummyClassifier and DummyRegressor, whose answer is the same for every row, whatever it holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.dummy import DummyClassifier, DummyRegressor

from .. import ir
from .builder import Builder, Frontend, Predictions
from .classes import kind, labels


def dummy_regressor(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """constant_, for each target."""
    constants = estimator.constant_.ravel()
    if len(constants) != estimator.n_outputs_:
        builder.refuse(f"it has {len(constants)} constants for {estimator.n_outputs_} targets", "give each its own")
    return Predictions(ir.ModelKind.REGRESSOR, _constant(builder, columns, constants))


def dummy_classifier(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The most frequent class, or the constant one; its probability is 1, with `prior` all have theirs."""
    strategy = estimator._strategy
    if strategy in {"stratified", "uniform"}:
        builder.refuse(f"strategy={strategy!r} answers at random", "use strategy='prior'")
    several = estimator.n_outputs_ > 1
    classes = estimator.classes_ if several else [estimator.classes_]
    priors = estimator.class_prior_ if several else [estimator.class_prior_]
    if strategy == "constant" and np.ndim(estimator.constant) > 1:
        builder.refuse("its constant is a matrix, which has no probabilities", "give a list of constants")
    constants = np.ravel(estimator.constant) if strategy == "constant" else [None] * len(classes)
    targets = tuple(_labels(builder, names) for names in classes)
    indices, shares = [], []
    for names, prior, constant in zip(targets, priors, constants, strict=True):
        index = int(np.argmax(prior)) if constant is None else _position(builder, names, constant)
        indices.append(index)
        shares.append(np.asarray(prior) if strategy == "prior" else np.eye(len(names))[index])
    predict, proba = _constant(builder, columns, np.array(indices)), _constant(builder, columns, np.concatenate(shares))
    if several:
        return Predictions(ir.ModelKind.MULTI_OUTPUT_CLASSIFIER, predict, proba=proba, targets=targets)
    return Predictions(kind(targets[0]), predict, targets[0], proba=proba)


def _labels(builder: Builder, classes: npt.NDArray[np.generic]) -> tuple[ir.Label, ...]:
    try:
        return labels(classes)
    except ValueError:
        builder.refuse("its class labels are of several kinds", "use labels that are all text, numbers or booleans")


def _position(builder: Builder, names: tuple[ir.Label, ...], constant: Any) -> int:
    """The class that the constant is. scikit-learn answers with the constant as it was given."""
    value = constant.item() if isinstance(constant, np.generic) else constant
    if type(value) is not type(names[0]):
        builder.refuse(
            f"its constant {value!r} is no {type(names[0]).__name__}, as its classes are",
            "give the constant as it stands in the target",
        )
    return names.index(value)


def _constant(builder: Builder, columns: ir.Block, values: npt.NDArray[Any]) -> ir.Block:
    """The values for every row. The first column is read, and counts for nothing: functions are called for rows."""
    if not columns:
        builder.refuse("it was trained without a column", "train it on the table that it is meant for")
    values = np.asarray(values, dtype=np.float64)
    if not np.isfinite(values).all():
        builder.refuse("what it predicts is not finite", "train it on finite targets")
    return builder.add(ir.Affine(builder.add(ir.IsMissing(columns[:1])), np.zeros((len(values), 1)), values))


FRONTENDS: dict[type, Frontend] = {
    DummyClassifier: dummy_classifier,
    DummyRegressor: dummy_regressor,
}

NOTES: dict[type, str] = {
    DummyClassifier: "random strategies are refused; it reads its first column, which holds numbers, and ignores it",
    DummyRegressor: "it reads its first column, which holds numbers, and ignores it",
}
