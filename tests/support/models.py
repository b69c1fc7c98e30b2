"""Small fitted models of every estimator that pgscore compiles, for tests that run over all of them.

`EXAMPLES` maps each estimator class to its examples, by name: `EXAMPLES[StandardScaler]["default"]()` fits one. Its
`frame` holds rows to score: some of the training rows, then hard ones (missing, huge, tiny, infinite, unseen).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pandas as pd
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    ElasticNet,
    Lasso,
    LinearRegression,
    LogisticRegression,
    Ridge,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)

from .boosting_models import BOOSTING_EXAMPLES
from .cluster_models import CLUSTER_EXAMPLES
from .customers import EVERYTHING, NUMBERS, NUMBERS_MISSING, TEXTS_MISSING, customers, example, rows_to_score
from .ensemble_models import ENSEMBLE_EXAMPLES
from .example import Example
from .linear_models import LINEAR_EXAMPLES
from .neural_models import NEURAL_EXAMPLES
from .onnx_models import ONNX_EXAMPLES
from .point_models import POINT_EXAMPLES
from .preprocessing_models import PREPROCESSING_EXAMPLES
from .probability_models import PROBABILITY_EXAMPLES
from .reduction_models import REDUCTION_EXAMPLES
from .tree_models import TREE_EXAMPLES


def _none_for_missing() -> Example:
    train = customers()[["payment", "contract"]]
    train = train.where(train.notna(), None)
    model = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(train)
    rows = rows_to_score(train.dropna(), 5)
    return Example(model, pd.concat([train.iloc[:25], rows], ignore_index=True), exact=True)


def churn_pipeline(model: Any, *, scale: bool = True) -> Pipeline:
    """Imputing, scaling and one-hot encoding in front of `model`, as a churn model has it."""
    numbers = Pipeline([("imputer", SimpleImputer(strategy="median")), ("scaler", StandardScaler() if scale else None)])
    texts = Pipeline(
        [("imputer", SimpleImputer(strategy="most_frequent")), ("onehot", OneHotEncoder(handle_unknown="ignore"))]
    )
    return Pipeline(
        [
            ("prep", ColumnTransformer([("num", numbers, NUMBERS_MISSING), ("cat", texts, TEXTS_MISSING)])),
            ("model", model),
        ]
    )


def _scaled(model: Any) -> Pipeline:
    return Pipeline([("scale", StandardScaler()), ("model", model)])


_MIXED = ColumnTransformer(
    [
        ("scaled", StandardScaler(), ["monthly", "tenure"]),
        ("codes", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["city"]),
        ("gone", "drop", ["contract"]),
        ("same", "passthrough", [0]),
        ("onehot", OneHotEncoder(handle_unknown="ignore"), lambda _: ["payment"]),
    ],
    remainder=SimpleImputer(add_indicator=True),
    transformer_weights={"scaled": 0.3, "remainder": 2.0},
)

EXAMPLES: dict[type | str, dict[str, Callable[[], Example]]] = {
    Pipeline: {
        "churn": example(churn_pipeline(LogisticRegression(max_iter=500)), EVERYTHING, "churn"),
        "tiers": example(churn_pipeline(LogisticRegression(max_iter=500)), EVERYTHING, "tier"),
        "amount": example(churn_pipeline(Ridge()), EVERYTHING, "amount"),
        "segments": example(churn_pipeline(KMeans(3, n_init=1, random_state=0)), EVERYTHING),
        "passthrough": example(
            Pipeline([("nothing", "passthrough"), ("scale", StandardScaler()), ("none", None)]),
            NUMBERS_MISSING,
            exact=True,
        ),
        "nested": example(Pipeline([("first", MinMaxScaler()), ("rest", _scaled(Ridge()))]), NUMBERS, "amount"),
    },
    ColumnTransformer: {
        "mixed": example(_MIXED, EVERYTHING, exact=True),
        "remainder-passthrough": example(
            ColumnTransformer([("city", OneHotEncoder(), ["city"])], remainder="passthrough", sparse_threshold=0),
            [*NUMBERS_MISSING, "city"],
            exact=True,
        ),
        "mask-and-slice": example(
            ColumnTransformer(
                [
                    ("mask", MinMaxScaler(), [False, True, True]),
                    ("slice", "passthrough", slice(0, 2)),
                    ("empty", "drop", []),
                ]
            ),
            NUMBERS_MISSING,
            exact=True,
            arrays=True,
        ),
    },
    FeatureUnion: {
        "weights": example(
            FeatureUnion(
                [("std", StandardScaler()), ("gone", "drop"), ("same", "passthrough"), ("abs", MaxAbsScaler())],
                transformer_weights={"abs": 0.1, "same": -3.0},
            ),
            NUMBERS_MISSING,
            exact=True,
        ),
    },
    StandardScaler: {
        "default": example(StandardScaler(), NUMBERS_MISSING, exact=True),
        "no-mean": example(StandardScaler(with_mean=False), NUMBERS_MISSING, exact=True, arrays=True),
    },
    MinMaxScaler: {
        "default": example(MinMaxScaler(), NUMBERS_MISSING, exact=True),
        "clip": example(MinMaxScaler((-1, 3), clip=True), NUMBERS_MISSING, exact=True),
    },
    MaxAbsScaler: {"default": example(MaxAbsScaler(), NUMBERS_MISSING, exact=True)},
    RobustScaler: {"unit-variance": example(RobustScaler(unit_variance=True), NUMBERS_MISSING, exact=True)},
    OneHotEncoder: {
        "text": example(OneHotEncoder(), TEXTS_MISSING, exact=True),
        "ignore-drop": example(OneHotEncoder(handle_unknown="ignore", drop="first"), TEXTS_MISSING, exact=True),
        "infrequent": example(
            OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=12, sparse_output=False),
            TEXTS_MISSING,
            exact=True,
        ),
        "numbers": example(OneHotEncoder(handle_unknown="ignore"), ["visits", "senior"], exact=True),
        "none": _none_for_missing,
    },
    OrdinalEncoder: {
        "text": example(OrdinalEncoder(), TEXTS_MISSING, exact=True),
        "unknown": example(
            OrdinalEncoder(
                handle_unknown="use_encoded_value", unknown_value=-2, encoded_missing_value=-1, max_categories=3
            ),
            [*TEXTS_MISSING, "visits"],
            exact=True,
        ),
    },
    LinearRegression: {"default": example(LinearRegression(), NUMBERS, "amount")},
    Ridge: {"no-intercept": example(Ridge(fit_intercept=False), NUMBERS, "amount", arrays=True)},
    Lasso: {"default": example(Lasso(alpha=0.5), NUMBERS, "amount")},
    ElasticNet: {"default": example(ElasticNet(alpha=0.5), NUMBERS, "amount")},
    SGDRegressor: {"default": example(_scaled(SGDRegressor(random_state=0)), NUMBERS, "amount")},
    LogisticRegression: {
        "binary": example(LogisticRegression(), NUMBERS, "churn"),
        "multinomial": example(LogisticRegression(max_iter=500), NUMBERS, "tier"),
        "int": example(LogisticRegression(max_iter=500), NUMBERS, "level"),
        "bool": example(LogisticRegression(solver="liblinear"), NUMBERS, "flag", arrays=True),
        "float": example(LogisticRegression(max_iter=500), NUMBERS, "grade"),
    },
    SGDClassifier: {
        "hinge": example(_scaled(SGDClassifier(random_state=0)), NUMBERS, "churn"),
        "hinge-multiclass": example(_scaled(SGDClassifier(random_state=0)), NUMBERS, "tier"),
        "log-loss": example(_scaled(SGDClassifier(loss="log_loss", random_state=0)), NUMBERS, "tier"),
        "huber": example(_scaled(SGDClassifier(loss="modified_huber", random_state=0)), NUMBERS, "level"),
        "huber-binary": example(_scaled(SGDClassifier(loss="modified_huber", random_state=0)), NUMBERS, "flag"),
    },
    KMeans: {"default": example(KMeans(4, n_init=1, random_state=0), NUMBERS)},
    MiniBatchKMeans: {"default": example(MiniBatchKMeans(3, n_init=1, random_state=0), NUMBERS, arrays=True)},
    **PREPROCESSING_EXAMPLES,
    **LINEAR_EXAMPLES,
    **PROBABILITY_EXAMPLES,
    **TREE_EXAMPLES,
    **POINT_EXAMPLES,
    **ENSEMBLE_EXAMPLES,
    **BOOSTING_EXAMPLES,
    **CLUSTER_EXAMPLES,
    **NEURAL_EXAMPLES,
    **ONNX_EXAMPLES,
    **REDUCTION_EXAMPLES,
}
"""By class, then by what is special about the example. The class occurs in the model, alone or as a step."""


@cache
def all_examples() -> dict[str, Callable[[], Example]]:
    """Every example by a readable id such as `StandardScaler-default`; a process fits each one once."""
    return {f"{short_name(cls)}-{name}": cache(make) for cls, group in EXAMPLES.items() for name, make in group.items()}


def short_name(key: type | str) -> str:
    """The name of a class, or of one given by its dotted name."""
    return key.rpartition(".")[2] if isinstance(key, str) else key.__name__
