"""Names and values that try to be more than text, a model that reads and gives them, and the table of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from pgscore.compiler.load import LoadedModel

from .tiny import loaded, query

NAMES = [
    '"; DROP TABLE customers; --',
    "$$",
    "$body$ $body1$",
    "%s %(x)s",
    "{} {0}",
    ":x",
    ":'x' :\"x\" :{?x}",
    "\\",
    "\n\\q\n",
    "\n\\.\n",
    "@TABLE@ @MODEL@",
    "it's /* not */ -- so",
    "begin",
    "end",
    "r",
    "hostile_v1",
    "é" * 31 + "x",
]
"""The last has 63 bytes, PostgreSQL's limit."""

TEXTS = {"begin": NAMES[:6], ":x": NAMES[4:10], "\n\\q\n": NAMES[7:13]}
"""Columns of text, and their categories; the others hold numbers."""


def quoted(name: str) -> str:
    """The identifier, by another hand than pgscore's."""
    return '"' + name.replace('"', '""') + '"'


SCHEMA = quoted(NAMES[0])
TABLE = f"{SCHEMA}.{quoted(NAMES[8])}"


def frame() -> pd.DataFrame:
    """60 rows."""
    rng = np.random.default_rng(0)
    return pd.DataFrame({name: rng.choice(TEXTS[name], 60) if name in TEXTS else rng.normal(size=60) for name in NAMES})


def model() -> LoadedModel:
    """A classifier of five classes, with labels from NAMES."""
    encode = ColumnTransformer([("texts", OneHotEncoder(handle_unknown="ignore"), [*TEXTS])], remainder="passthrough")
    pipeline = Pipeline([("encode", encode), ("model", LogisticRegression())])
    return loaded(pipeline.fit(frame(), np.random.default_rng(1).choice(NAMES[6:11], 60)))


def make_table(connection: Any) -> None:
    """Creates and fills TABLE, with the number of each row as its key `it's id`."""
    columns = ", ".join(f"{quoted(name)} {'text' if name in TEXTS else 'float8'}" for name in NAMES)
    query(connection, f"CREATE SCHEMA {SCHEMA}")
    rows = [[*row, number] for number, row in enumerate(frame().values.tolist())]
    fill(connection, rows, TABLE, f"{columns}, {KEY} integer")


KEY = quoted("it's id %s :x \\")


def fill(connection: Any, rows: Sequence[Sequence[object]], table: str, columns: str) -> None:
    """Creates a table and inserts the rows."""
    with connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {table} ({columns})")
        marks = ", ".join(["%s"] * len(rows[0]))
        cursor.executemany(f"INSERT INTO {table.replace('%', '%%')} VALUES ({marks})", rows)
