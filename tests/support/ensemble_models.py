"""Small fitted ensembles and wrappers: models made of other models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomTreesEmbedding,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - makes the next import possible
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
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
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from .customers import NUMBERS, NUMBERS_MISSING, customers, example, rows_to_score
from .example import Example

SEED: dict[str, Any] = {"random_state": 0}
FEW: dict[str, Any] = {"n_estimators": 4, **SEED}


def flags() -> np.ndarray[Any, np.dtype[np.int64]]:
    """Two targets of the customers, 0 or 1."""
    return np.column_stack([customers()["flag"], customers()["level"] > 0]).astype(int)


def labelled(estimator: Any, columns: Sequence[str], targets: Any, *, exact: bool = False) -> Callable[[], Example]:
    """Fits `estimator` to targets that are no column of the customers."""

    def make() -> Example:
        train = customers()[list(columns)]
        return Example(estimator.fit(train, targets), rows_to_score(train), exact)

    return make


def small_forest() -> RandomForestClassifier:
    return RandomForestClassifier(3, max_depth=2, **SEED)


def scaled(model: Any) -> Pipeline:
    """Steps of which the first one knows no names."""
    return Pipeline([("nothing", "passthrough"), ("scale", StandardScaler()), ("model", model)])


def _voters() -> list[tuple[str, Any]]:
    tree = DecisionTreeClassifier(max_depth=2, **SEED)
    return [("linear", LogisticRegression()), ("gone", "drop"), ("tree", tree), ("forest", small_forest())]


def _frozen() -> FrozenEstimator:
    return FrozenEstimator(scaled(LogisticRegression()).fit(customers()[NUMBERS], customers()["churn"]))


def _pairs() -> list[tuple[str, Any]]:
    return [("linear", Ridge()), ("tree", DecisionTreeRegressor(max_depth=2, **SEED))]


def _searched(search: type, **options: Any) -> Any:
    return search(scaled(LogisticRegression()), {"model__C": [0.1, 1.0]}, cv=2, **options)


_SOME_UNKNOWN = np.where(np.arange(90) % 3 == 0, -1, customers()["flag"].astype(int))

ENSEMBLE_EXAMPLES: dict[type, dict[str, Callable[[], Example]]] = {
    RandomTreesEmbedding: {
        "default": example(RandomTreesEmbedding(3, max_depth=2, **SEED), NUMBERS_MISSING, exact=True)
    },
    IsolationForest: {
        "default": example(IsolationForest(**FEW, max_samples=20), NUMBERS_MISSING),
        "contamination": example(
            IsolationForest(**FEW, max_samples=20, max_features=0.5, contamination=0.1), NUMBERS_MISSING, arrays=True
        ),
    },
    AdaBoostClassifier: {
        "two": example(AdaBoostClassifier(**FEW), NUMBERS, "churn"),
        "three": example(AdaBoostClassifier(LogisticRegression(), **FEW), NUMBERS, "tier"),
    },
    AdaBoostRegressor: {
        "default": example(AdaBoostRegressor(DecisionTreeRegressor(max_depth=2), **FEW), NUMBERS, "amount", exact=True),
    },
    BaggingClassifier: {
        "trees": example(BaggingClassifier(**FEW, max_features=0.7), NUMBERS_MISSING, "tier", exact=True),
        "votes": example(BaggingClassifier(scaled(LinearSVC()), **FEW), NUMBERS, "level"),
    },
    BaggingRegressor: {"linear": example(BaggingRegressor(LinearRegression(), **FEW), NUMBERS, "amount")},
    VotingClassifier: {
        "soft": example(VotingClassifier(_voters(), voting="soft", weights=[1, 2, 3, 0.5]), NUMBERS, "churn"),
        "hard": example(VotingClassifier(_voters()), NUMBERS, "tier"),
    },
    VotingRegressor: {"weights": example(VotingRegressor(_pairs(), weights=[1, 3]), NUMBERS, "amount")},
    StackingClassifier: {
        "two": example(StackingClassifier(_voters(), cv=2), NUMBERS, "churn"),
        "three": example(
            StackingClassifier([*_voters(), ("svc", LinearSVC())], small_forest(), cv=2, passthrough=True),
            NUMBERS,
            "tier",
        ),
    },
    StackingRegressor: {"default": example(StackingRegressor(_pairs(), cv=2), NUMBERS, "amount")},
    MultiOutputRegressor: {
        "default": labelled(MultiOutputRegressor(Ridge()), NUMBERS, customers()[["amount", "level"]].to_numpy())
    },
    MultiOutputClassifier: {
        "text": labelled(
            MultiOutputClassifier(LogisticRegression()), NUMBERS, customers()[["churn", "tier"]].to_numpy()
        )
    },
    RegressorChain: {
        "order": labelled(RegressorChain(Ridge(), order=[1, 0]), NUMBERS, customers()[["amount", "level"]].to_numpy())
    },
    ClassifierChain: {
        "proba": labelled(
            ClassifierChain(LogisticRegression(), order=[1, 0], chain_method="predict_proba"), NUMBERS, flags()
        )
    },
    OneVsRestClassifier: {
        "three": example(OneVsRestClassifier(LogisticRegression()), NUMBERS, "tier"),
        "labels": labelled(OneVsRestClassifier(LogisticRegression()), NUMBERS, flags()),
    },
    OneVsOneClassifier: {"three": example(OneVsOneClassifier(LinearSVC()), NUMBERS, "tier")},
    OutputCodeClassifier: {
        "three": example(OutputCodeClassifier(LogisticRegression(), code_size=2, **SEED), NUMBERS, "level")
    },
    CalibratedClassifierCV: {
        "sigmoid": example(CalibratedClassifierCV(scaled(LinearSVC()), cv=2), NUMBERS, "tier"),
        "isotonic": example(CalibratedClassifierCV(small_forest(), method="isotonic", cv=2), NUMBERS, "churn"),
        "frozen": example(CalibratedClassifierCV(_frozen()), NUMBERS, "churn"),
        "temperature": example(CalibratedClassifierCV(small_forest(), method="temperature", cv=2), NUMBERS, "tier"),
    },
    FixedThresholdClassifier: {
        "first": example(
            FixedThresholdClassifier(scaled(LogisticRegression()), threshold=0.3, pos_label="no"), NUMBERS, "churn"
        )
    },
    TunedThresholdClassifierCV: {
        "default": example(TunedThresholdClassifierCV(LogisticRegression(), cv=2), NUMBERS, "flag")
    },
    TransformedTargetRegressor: {
        "log": labelled(
            TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1),
            NUMBERS,
            customers()["amount"].abs(),
        ),
    },
    GridSearchCV: {"default": example(_searched(GridSearchCV), NUMBERS, "churn")},
    RandomizedSearchCV: {"default": example(_searched(RandomizedSearchCV, n_iter=1, **SEED), NUMBERS, "churn")},
    HalvingGridSearchCV: {"default": example(_searched(HalvingGridSearchCV, **SEED), NUMBERS, "churn")},
    HalvingRandomSearchCV: {"default": example(_searched(HalvingRandomSearchCV, **SEED), NUMBERS, "churn")},
    FrozenEstimator: {
        "transformer": example(
            make_pipeline(FrozenEstimator(StandardScaler().fit(customers()[NUMBERS])), Ridge()), NUMBERS, "amount"
        )
    },
    SelfTrainingClassifier: {"default": labelled(SelfTrainingClassifier(LogisticRegression()), NUMBERS, _SOME_UNKNOWN)},
}
"""By class; see tests/support/models.py."""
