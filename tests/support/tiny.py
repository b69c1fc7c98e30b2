"""Tiny models and the table they score, for tests about the database and not about models."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from pgscore.compiler.costs import DEFAULTS
from pgscore.compiler.factorisation import Factorisation
from pgscore.compiler.load import LoadedModel, describe
from pgscore.procedures.connection import connect

ROWS = [
    (1, 1, 29.5, "basic"),
    (2, 24, 80.25, "full"),
    (3, 60, 19.75, "basic"),
    (4, 3, 99.0, "none"),
    (5, 12, 55.5, "full"),
]
CUSTOMERS = "CREATE TABLE public.customers (id integer PRIMARY KEY, tenure integer, monthly numeric(8,2), plan text)"
FRAME = pd.DataFrame(ROWS, columns=["id", "tenure", "monthly", "plan"])
NUMBERS = ["tenure", "monthly"]
THREE_WAYS = replace(DEFAULTS, planning=2000.0, inline=100.0, plpgsql=1000.0, onnx_call=0.0, onnx=0.0)
"""The costs of a server where a small model is inlined in queries, and the rest is left to ONNX."""
SLOW_PLANS = replace(DEFAULTS, planning=2000.0)
"""Those of one where each plan of an inlined body costs two milliseconds."""


def loaded(estimator: Any) -> LoadedModel:
    """The model as `load_model` would give it."""
    digest = hashlib.sha256(repr(estimator).encode()).hexdigest()
    return LoadedModel(estimator, Path("model.skops"), "skops", digest, {"scikit-learn": "1.9"}, describe(estimator))


def classifier(weight: float = 1.0) -> LoadedModel:
    """A binary classifier of two numbers, with integer classes; `weight` makes versions differ."""
    return loaded(LogisticRegression(C=weight).fit(FRAME[NUMBERS], [1, 0, 0, 1, 1]))


def regressor() -> LoadedModel:
    """A regressor of the same two numbers: its functions are fewer."""
    return loaded(LinearRegression().fit(FRAME[NUMBERS], [10.0, 20.5, 30.0, 5.0, 9.0]))


def labeller() -> LoadedModel:
    """A classifier of three classes: its main function gives text."""
    return loaded(LogisticRegression().fit(FRAME[NUMBERS], ["low", "mid", "high", "low", "mid"]))


def mixed() -> LoadedModel:
    """A binary classifier of two numbers and a text."""
    encode = ColumnTransformer([("plan", OneHotEncoder(handle_unknown="ignore"), ["plan"])], remainder="passthrough")
    pipeline = Pipeline([("encode", encode), ("model", LogisticRegression(max_iter=1000))])
    return loaded(pipeline.fit(FRAME[["plan", *NUMBERS]], [1, 0, 0, 1, 1]))


def recommender(scale: float = 1.0) -> LoadedModel:
    """Scores tenures for customers by two factors."""
    ids, tenures = FRAME.id.to_numpy(), FRAME.tenure.to_numpy()
    factors = np.column_stack([np.arange(1.0, 6.0), np.ones(5)])
    return loaded(Factorisation("NMF", ids, tenures, scale * factors, factors, "id", "tenure"))


@contextmanager
def opened(dsn: str) -> Iterator[Any]:
    """A connection, closed at the end."""
    connection = connect(dsn)
    try:
        yield connection
    finally:
        connection.close()


def query(connection: Any, text: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
    """The rows of a query, or [] for a statement without; committed."""
    with connection, connection.cursor() as cursor:
        cursor.execute(text, values or None)
        return cursor.fetchall() if cursor.description else []


def value(connection: Any, text: str, values: tuple[object, ...] = ()) -> Any:
    """The single value of a query."""
    [(found,)] = query(connection, text, values)
    return found


def make_customers(connection: Any) -> None:
    """Creates and fills public.customers."""
    with connection, connection.cursor() as cursor:
        cursor.execute(CUSTOMERS)
        cursor.executemany("INSERT INTO public.customers VALUES (%s, %s, %s, %s)", ROWS)
