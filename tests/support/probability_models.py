"""Small fitted naive Bayes and discriminant models, isotonic regressions, and dummies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.isotonic import IsotonicRegression
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

from .customers import NUMBERS, TEXTS, customers, example, rows_to_score
from .example import Example


def _counts(model: Any, target: str) -> Callable[[], Example]:
    """Fitted to small counts, and asked for categories that are unknown, negative, and between two whole numbers."""
    rng = np.random.default_rng(5)
    train = pd.DataFrame(rng.poisson(1.5, (90, 3)).astype(float), columns=["calls", "visits", "orders"])
    odd = train.iloc[[0] * 6].assign(calls=(-0.5, 0.999, 1.7, 30, 5e18, -1e-9))
    rows = pd.concat([rows_to_score(train), odd], ignore_index=True)
    return lambda: Example(model.fit(train, customers()[target]), rows)


def _line(outside: str) -> Callable[[], Example]:
    """Fitted to an array, and asked for values on, beside, between and beyond the thresholds."""
    x, y = customers()["monthly"].round(), customers()["amount"]

    def make() -> Example:
        model = IsotonicRegression(out_of_bounds=outside).fit(x.to_numpy(), y)
        ends = model.X_thresholds_
        values = np.concatenate([ends, np.nextafter(ends, np.inf), np.nextafter(ends, -np.inf), ends[:-1] + 0.25])
        train = pd.DataFrame({"monthly": values})
        return Example(model, rows_to_score(train, len(train)), exact=True)

    return make


_CODES = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)

PROBABILITY_EXAMPLES: dict[type, dict[str, Callable[[], Example]]] = {
    GaussianNB: {"binary": example(GaussianNB(), NUMBERS, "churn"), "three": example(GaussianNB(), NUMBERS, "tier")},
    BernoulliNB: {"default": _counts(BernoulliNB(binarize=1.0), "tier")},
    MultinomialNB: {"default": _counts(MultinomialNB(), "tier")},
    ComplementNB: {"default": _counts(ComplementNB(norm=True), "level")},
    CategoricalNB: {
        "counts": _counts(CategoricalNB(min_categories=9), "tier"),
        "text": example(Pipeline([("codes", _CODES), ("model", CategoricalNB())]), TEXTS, "churn"),
    },
    LinearDiscriminantAnalysis: {
        "binary": example(LinearDiscriminantAnalysis(), NUMBERS, "churn"),
        "three": example(LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"), NUMBERS, "tier"),
    },
    QuadraticDiscriminantAnalysis: {
        "binary": example(QuadraticDiscriminantAnalysis(), NUMBERS, "churn"),
        "three": example(QuadraticDiscriminantAnalysis(reg_param=0.1), NUMBERS, "tier"),
    },
    IsotonicRegression: {"nan": _line("nan"), "raise": _line("raise")},
    DummyClassifier: {
        "prior": example(DummyClassifier(), NUMBERS, "tier", exact=True),
        "constant": example(DummyClassifier(strategy="constant", constant="yes"), NUMBERS, "churn", exact=True),
    },
    DummyRegressor: {"median": example(DummyRegressor(strategy="median"), NUMBERS, "amount", exact=True)},
}
