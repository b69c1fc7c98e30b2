"""MLPClassifier and MLPRegressor: affine layers with an activation between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from .. import ir
from .builder import Builder, Frontend, Predictions
from .classes import from_proba, kind, labels_of, with_complement


def mlp_classifier(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """A probability above 0.5 says yes, of two classes or of each label; of more classes the first largest wins.

    The probabilities of a model of labels are those that each label holds: one column for each, as scikit-learn gives.
    """
    outputs = _network(estimator, columns, builder)
    names = labels_of(estimator, builder)
    if estimator.out_activation_ == "softmax":
        return from_proba(builder, names, outputs)
    if estimator._label_binarizer.y_type_.startswith("multilabel"):
        held = builder.add(ir.Step(outputs, 0.5))
        targets = ((0, 1),) * len(outputs)
        return Predictions(ir.ModelKind.MULTI_OUTPUT_CLASSIFIER, held, proba=outputs, targets=targets)
    proba = with_complement(builder, outputs)
    # A model of one class has probabilities of two, and answers with the one.
    predict = builder.add(ir.Step(outputs, 0.5) if len(names) == 2 else ir.ArgMax(outputs))
    return Predictions(kind(names), predict, names, proba=proba)


def mlp_regressor(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The outputs of the last layer, one for each target; with loss="poisson" their exponentials."""
    return Predictions(ir.ModelKind.REGRESSOR, _network(estimator, columns, builder))


def _network(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """Layer by layer. Weights learned in float32 meet rows of doubles, so all of it is computed in doubles."""
    values = builder.finite(columns)
    activations = [estimator.activation] * (estimator.n_layers_ - 2) + [estimator.out_activation_]
    for weights, bias, activation in zip(estimator.coefs_, estimator.intercepts_, activations, strict=True):
        if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
            builder.refuse("its weights are not finite", "train again; the fit has diverged")
        values = _activated(activation, builder.add(ir.Affine(values, weights.T, bias)), builder)
    return values


def _activated(activation: str, values: ir.Block, builder: Builder) -> ir.Block:
    if activation == "identity":
        return values
    if activation not in ACTIVATIONS:
        builder.refuse(f"activation={activation!r} is not known", f"use identity, {', '.join(ACTIVATIONS)}")
    return builder.add(ACTIVATIONS[activation](values))


ACTIVATIONS: dict[str, Callable[[ir.Block], ir.Node]] = {
    "relu": lambda values: ir.Clip(values, 0.0, np.inf),
    "tanh": lambda values: ir.Elementwise(values, ir.Op.TANH),
    "logistic": ir.Sigmoid,
    "softmax": ir.Softmax,
    "exp": lambda values: ir.Elementwise(values, ir.Op.EXP),
}
"""Of hidden layers and of the last one; "identity" is no node."""

FRONTENDS: dict[type, Frontend] = {
    MLPClassifier: mlp_classifier,
    MLPRegressor: mlp_regressor,
}

NOTES: dict[type, str] = {
    MLPClassifier: "of several labels, `proba` has the probability of each label",
}
