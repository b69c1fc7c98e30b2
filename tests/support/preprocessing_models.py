"""Example models of the preprocessing that reshapes, bends, bins and fills columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import scipy.special
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, MissingIndicator, SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    LabelBinarizer,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    SplineTransformer,
    TargetEncoder,
)

from .customers import NUMBERS, NUMBERS_MISSING, TEXTS_MISSING, customers, example, rows_to_score
from .example import Example


def marked(imputer: Any, columns: list[str], marker: Any, *behind: Any) -> Callable[[], Example]:
    """An example whose training data has `marker` where a value is missing."""

    def make() -> Example:
        train = customers()[columns].fillna(marker)
        return Example(make_pipeline(imputer, *behind).fit(train), rows_to_score(train), exact=True)

    return make


def positive(transformer: Any, *, missing: bool = True) -> Callable[[], Example]:
    """An example trained on numbers above 0."""

    def make() -> Example:
        train = customers()[NUMBERS_MISSING if missing else NUMBERS].abs() + 1
        return Example(transformer.fit(train), rows_to_score(train))

    return make


def _spline_regression() -> Example:
    """Splines, a sparse matrix, and a linear model: what they are made for."""
    train = customers()[NUMBERS]
    model = make_pipeline(
        SplineTransformer(4, knots="quantile", extrapolation="linear", sparse_output=True, include_bias=False), Ridge()
    )
    return Example(model.fit(train, customers()["amount"]), rows_to_score(train))


def _labels(column: str, *, unknown: bool = True, **options: Any) -> Example:
    """Labels alone, and where it may be an unknown one: beside two known labels it would bring a column."""
    labels = customers()[column].to_numpy()[:25].astype(object)
    rows = [*labels, *(["never seen"] if unknown else [])]
    return Example(LabelBinarizer(**options).fit(labels), pd.DataFrame({"x0": rows}, dtype=object), exact=True)


PREPROCESSING_EXAMPLES: dict[type, dict[str, Callable[[], Example]]] = {
    Normalizer: {"l2": example(Normalizer(), NUMBERS)},
    Binarizer: {"threshold": example(Binarizer(threshold=40), NUMBERS, exact=True)},
    PolynomialFeatures: {"cubes": example(PolynomialFeatures((2, 3), include_bias=True), NUMBERS, exact=True)},
    SplineTransformer: {
        "linear": _spline_regression,
        "periodic": example(
            SplineTransformer(5, extrapolation="periodic", handle_missing="zeros"), ["tenure", "total"]
        ),
    },
    KBinsDiscretizer: {"onehot": example(KBinsDiscretizer(3, quantile_method="linear"), NUMBERS, exact=True)},
    PowerTransformer: {
        "yeo-johnson": example(PowerTransformer(), NUMBERS_MISSING),
        "box-cox": positive(PowerTransformer("box-cox", standardize=False)),
    },
    QuantileTransformer: {
        "uniform": example(QuantileTransformer(n_quantiles=7), NUMBERS_MISSING),
        "normal": example(QuantileTransformer(n_quantiles=5, output_distribution="normal"), NUMBERS_MISSING),
    },
    FunctionTransformer: {
        "identity": example(FunctionTransformer(), NUMBERS, exact=True),
        "log1p": positive(make_pipeline(FunctionTransformer(np.log1p), FunctionTransformer(np.sqrt, validate=True)),
                          missing=False),
        "expit": example(FunctionTransformer(scipy.special.expit), NUMBERS_MISSING),
    },
    TargetEncoder: {
        "binary": example(TargetEncoder(), TEXTS_MISSING, "churn", exact=True),
        "multiclass": example(TargetEncoder(), [*TEXTS_MISSING, "visits"], "tier", exact=True),
    },
    LabelBinarizer: {
        "tiers": lambda: _labels("tier"),
        "two": lambda: _labels("churn", unknown=False, neg_label=-1),
    },
    MissingIndicator: {"default": example(MissingIndicator(), NUMBERS_MISSING, exact=True)},
    SimpleImputer: {
        "mean": example(SimpleImputer(), NUMBERS_MISSING, exact=True),
        "indicator": example(
            SimpleImputer(strategy="median", add_indicator=True), [*NUMBERS_MISSING, "visits"], exact=True, arrays=True
        ),
        "text": example(
            Pipeline([("fill", SimpleImputer(strategy="constant", fill_value="none")), ("codes", OrdinalEncoder())]),
            TEXTS_MISSING,
            exact=True,
        ),
        "marked-numbers": marked(SimpleImputer(missing_values=-1, add_indicator=True), NUMBERS_MISSING, -1.0),
        "marked-text": marked(
            SimpleImputer(missing_values="?", strategy="most_frequent"), TEXTS_MISSING, "?",
            OneHotEncoder(handle_unknown="ignore"),
        ),
    },
    KNNImputer: {"default": example(KNNImputer(n_neighbors=3, add_indicator=True), ["monthly", "total", "amount"])},
    IterativeImputer: {
        "default": example(IterativeImputer(max_iter=2, min_value=0, add_indicator=True), [*NUMBERS_MISSING, "visits"])
    },
}  # fmt: skip
