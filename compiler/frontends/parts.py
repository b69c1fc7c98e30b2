"""The fitted parts of composites: pipelines, ensembles, searches, wrappers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - makes the next import possible
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor, RegressorChain
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.semi_supervised import SelfTrainingClassifier

Parts = list[tuple[str, Any]]

SEARCHES = (GridSearchCV, RandomizedSearchCV, HalvingGridSearchCV, HalvingRandomSearchCV)
OF_ONE_KIND = (
    *(BaggingClassifier, BaggingRegressor, AdaBoostClassifier, AdaBoostRegressor),
    *(OneVsRestClassifier, OneVsOneClassifier, OutputCodeClassifier),
    *(MultiOutputClassifier, MultiOutputRegressor, ClassifierChain, RegressorChain),
)
"""Ensembles whose members are copies of one estimator. The first one stands for all of them."""


def parts(estimator: Any) -> Parts | None:
    """The named parts of a composite, fitted, by the names that error messages give them; None for any other estimator.

    Parts may be "passthrough", "drop" or None where scikit-learn has these. A composite that is not fitted has none.
    """
    find = _FINDERS.get(type(estimator))
    try:
        return find(estimator) if find else None
    except (AttributeError, IndexError):
        return []


def members(estimator: Any) -> Parts:
    """The parts that predict from the composite's own columns: all but the one that a stack ends with."""
    found = parts(estimator) or []
    return found[:-1] if isinstance(estimator, StackingClassifier | StackingRegressor) else found


def _of_one_kind(estimator: Any) -> Parts:
    """OneVsRestClassifier has a constant instead of a member where a class is in every row, or in none."""
    fitted = estimator.estimators_
    return [("estimator", next((m for m in fitted if not is_constant(m)), fitted[0]))]


def is_constant(member: Any) -> bool:
    """Whether it is what scikit-learn's multiclass module puts in place of a classifier that saw one class."""
    return type(member).__name__ == "_ConstantPredictor"


def _named(estimator: Any) -> Parts:
    return [(name, part) for name, part in estimator.named_estimators_.items() if not isinstance(part, str)]


def _stack(estimator: Any) -> Parts:
    return [*_named(estimator), ("final_estimator", estimator.final_estimator_)]


_FINDERS: Mapping[type, Callable[[Any], Parts]] = {
    Pipeline: lambda e: list(e.steps),
    FeatureUnion: lambda e: list(e.transformer_list),
    ColumnTransformer: lambda e: [(name, part) for name, part, _ in e.transformers_],
    FrozenEstimator: lambda e: [("estimator", e.estimator)],
    TransformedTargetRegressor: lambda e: [("regressor", e.regressor_)],
    CalibratedClassifierCV: lambda e: [("estimator", e.calibrated_classifiers_[0].estimator)],
    VotingClassifier: _named,
    VotingRegressor: _named,
    StackingClassifier: _stack,
    StackingRegressor: _stack,
    **{search: lambda e: [("best_estimator", e.best_estimator_)] for search in SEARCHES},
    **{
        wrapper: lambda e: [("estimator", e.estimator_)]
        for wrapper in (FixedThresholdClassifier, TunedThresholdClassifierCV, SelfTrainingClassifier)
    },
    **dict.fromkeys(OF_ONE_KIND, _of_one_kind),
}
