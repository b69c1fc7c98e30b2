"""Wrappers around one estimator: searches, thresholds, transformed targets, frozen and self-trained ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sklearn.compose import TransformedTargetRegressor
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - makes an import below possible
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import (
    FixedThresholdClassifier,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.semi_supervised import SelfTrainingClassifier

from .. import ir
from ..ir import Method
from . import compose
from .answers import from_float32, response, scaled
from .builder import Builder, Frontend, Predictions
from .inverses import inverse
from .parts import SEARCHES


def search(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block | Predictions:
    """The best estimator, trained on all rows."""
    if not hasattr(estimator, "best_estimator_"):
        builder.refuse("it was not refitted (refit=False)", "fit the best parameters, and compile that model")
    return compose.wrapped(builder, "best_estimator", estimator.best_estimator_, columns)


def frozen(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block | Predictions:
    """The estimator inside."""
    return compose.wrapped(builder, "estimator", estimator.estimator, columns)


def self_training_classifier(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block | Predictions:
    """The classifier of the last round."""
    return compose.wrapped(builder, "estimator", estimator.estimator_, columns)


def fixed_threshold_classifier(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The positive class where its score reaches the threshold; probabilities and decisions are the classifier's."""
    return _thresholded(estimator, columns, builder, estimator.threshold, estimator.pos_label)


def tuned_threshold_classifier(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """As with a fixed threshold, with the best one of the search."""
    positive = estimator._curve_scorer._get_pos_label()
    return _thresholded(estimator, columns, builder, estimator.best_threshold_, positive)


def _thresholded(
    estimator: Any, columns: ir.Block, builder: Builder, threshold: float | str, positive: object
) -> Predictions:
    answer = compose.predictions(builder, "estimator", estimator.estimator_, columns)
    name = estimator.response_method
    methods = [Method.PREDICT_PROBA, Method.DECISION_FUNCTION] if name == "auto" else [Method(name)]
    method, block = response(builder, estimator.estimator_, answer, methods)
    if threshold == "auto":
        threshold = 0.5 if method is Method.PREDICT_PROBA else 0.0
    limit = float(threshold)
    is_first = positive is not None and positive == estimator.classes_[0]
    if method is Method.PREDICT_PROBA:
        score = block[:1] if is_first else block[1:]
    else:
        score = scaled(builder, block, -1.0) if is_first else block
    step = ir.Step(score, limit, inclusive=True)
    if is_first:  # The second class, where the score of the first one stays below the threshold.
        step = ir.Step(scaled(builder, score, -1.0), -limit)
    return replace(answer, predict=builder.add(step), transform=None)


def transformed_target_regressor(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """What the regressor predicts, transformed back."""
    answer = compose.predictions(builder, "regressor", estimator.regressor_, columns)
    start = len(builder.nodes)
    with builder.step("transformer"):
        predict = inverse(estimator.transformer_, answer.predict, builder)
    from_float32(builder, answer.predict, start)
    return Predictions(ir.ModelKind.REGRESSOR, predict)


FRONTENDS: dict[type, Frontend] = {
    **dict.fromkeys(SEARCHES, search),
    FrozenEstimator: frozen,
    SelfTrainingClassifier: self_training_classifier,
    FixedThresholdClassifier: fixed_threshold_classifier,
    TunedThresholdClassifierCV: tuned_threshold_classifier,
    TransformedTargetRegressor: transformed_target_regressor,
}
NOTES: dict[type, str] = {
    **dict.fromkeys(SEARCHES, "refit=False is refused"),
    **dict.fromkeys(
        (RandomizedSearchCV, HalvingRandomSearchCV),
        "refit=False is refused; with distributions of scipy a skops file needs trust: save its best_estimator_",
    ),
    TransformedTargetRegressor: "func and inverse_func of numpy and scipy, or a transformer whose inverse is known",
}
