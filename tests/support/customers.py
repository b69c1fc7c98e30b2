"""A small table of customers to train example models on, and rows that are hard to score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from .example import Example

NUMBERS = ["tenure", "monthly"]
NUMBERS_MISSING = [*NUMBERS, "total"]
TEXTS = ["contract", "city"]
TEXTS_MISSING = [*TEXTS, "payment"]
EVERYTHING = [*NUMBERS_MISSING, *TEXTS_MISSING]
HARD_NUMBERS = (np.nan, 0.0, -1.0, 1e300, -1e300, 1e-300, -1e-300, 1e39, -1e39, np.inf, -np.inf)
HARD_TEXTS = (None, "", "never seen", 'it\'s \\ "odd" – ünïcode', "monthly ")


@cache
def customers() -> pd.DataFrame:
    """90 customers: numbers (`total` and `visits` with gaps), text (`payment` with gaps), and targets.

    Targets: `amount`, and classes as text of two (`churn`) and three (`tier`) kinds, int, bool and float.
    """
    rng = np.random.default_rng(7)
    n = 90
    tenure = rng.integers(0, 72, n).astype(float)
    monthly = np.round(rng.normal(65, 30, n), 2)
    frame = pd.DataFrame(
        {
            "tenure": tenure,
            "monthly": monthly,
            "total": np.where(rng.random(n) < 0.15, np.nan, tenure * monthly + rng.normal(0, 1, n)),
            "visits": np.where(rng.random(n) < 0.2, np.nan, rng.poisson(2, n)),
            "senior": rng.random(n) < 0.3,
            "contract": rng.choice(["monthly", "one year", "two years"], n, p=[0.6, 0.25, 0.15]),
            "city": rng.choice(["Paris", "Oslo", "Łódź", "O'Fallon", "Back\\slash"], n, p=[0.5, 0.3, 0.1, 0.05, 0.05]),
            "payment": rng.choice(["card", "cash", "cheque", None], n, p=[0.5, 0.2, 0.1, 0.2]),
        }
    )
    risk = 0.04 * monthly - 0.08 * tenure + rng.normal(0, 1, n)
    level = np.digitize(risk, [-1.5, 0.8])
    frame["amount"] = 3.0 + 0.5 * monthly - 0.2 * tenure + rng.normal(0, 1, n)
    frame["churn"] = np.where(risk > 0, "yes", "no")
    frame["tier"] = np.array(["gold", "silver", "bronze"])[level]
    frame["level"] = level * 10 - 5
    frame["flag"] = risk > 0
    frame["grade"] = level * 2.0
    # pandas 3 has a type of its own for text, pandas 2 has objects: these are what both can hold.
    return frame.astype(dict.fromkeys([*TEXTS_MISSING, "churn", "tier"], object))


def rows_to_score(train: pd.DataFrame, n_rows: int = 25) -> pd.DataFrame:
    """The first rows of `train`, then its first complete row with one hard value at a time. Doubles and objects."""
    train = train.astype({name: float for name in train if train[name].dtype != object})
    base = train.dropna().iloc[:1]
    hard = []
    for name in train:
        for value in HARD_TEXTS if train[name].dtype == object else HARD_NUMBERS:
            row = base.copy()
            row[name] = pd.Series([value], index=row.index, dtype=train[name].dtype)
            hard.append(row)
    return pd.concat([train.iloc[:n_rows], *hard], ignore_index=True)


def example(
    estimator: Any, columns: Sequence[str], target: str | None = None, *, exact: bool = False, arrays: bool = False
) -> Callable[[], Example]:
    """Fits `estimator` on `columns` of the customers when called. With `arrays` it does not learn column names."""

    def make() -> Example:
        train = customers()[list(columns)]
        y = None if target is None else customers()[target].to_numpy()
        estimator.fit(train.to_numpy() if arrays else train, y)
        return Example(estimator, rows_to_score(train), exact)

    return make
