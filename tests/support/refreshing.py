"""A table of customers, models of it, and shorthands, for the tests of refresh jobs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg2
import pytest
from psycopg2.extras import execute_values
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from pgscore.compiler.load import LoadedModel
from pgscore.procedures.connection import connect
from pgscore.procedures.deploy import deploy
from pgscore.procedures.refresh import RunResult, create_job

from .databases import copied, template
from .servers import Server

NUMBERS = ["tenure", "charge"]
N = 3000


def customers() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    frame = pd.DataFrame(
        {"tenure": rng.integers(0, 70, N), "charge": rng.normal(50, 20, N), "plan": rng.choice(["a", "b's", "c"], N)}
    )
    frame.loc[::50, "charge"] = np.nan
    return frame


@cache
def churn_model(**options: Any) -> Any:
    """Takes missing numbers and unseen plans."""
    frame = customers()
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    steps = make_column_transformer((numbers, NUMBERS), (OneHotEncoder(handle_unknown="ignore"), ["plan"]))
    return make_pipeline(steps, LogisticRegression(**options)).fit(frame, frame.tenure < 20)


@cache
def tier_model() -> Any:
    """Text labels of three classes."""
    frame = customers()
    tier = np.select([frame.tenure < 20, frame.tenure < 50], ["new", "it's"], "old")
    return DecisionTreeClassifier(max_depth=4, random_state=0).fit(frame[NUMBERS], tier)


def fill(connection: Any) -> None:
    """Table customers, its key not in the order of its rows on disk; models churn (version 2 is not live) and tier."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE customers"
            " (region text, id integer, tenure integer, charge float8, plan text, PRIMARY KEY (region, id))"
        )
        rows = [
            ("north" if i % 2 else "south", i, int(t), None if c != c else c, p)
            for i, (t, c, p) in enumerate(customers().itertuples(index=False))
        ]
        execute_values(cursor, "INSERT INTO customers VALUES %s", rows[::-1])
    deployed(connection, churn_model())
    deployed(connection, churn_model(C=0.01))
    deployed(connection, tier_model(), name="tier")


@pytest.fixture
def connection(server: Server) -> Iterator[Any]:
    yield from opened(server)


@pytest.fixture
def connection15(server15: Server) -> Iterator[Any]:
    yield from opened(server15)


@pytest.fixture
def connection18(server18: Server) -> Iterator[Any]:
    yield from opened(server18)


@pytest.fixture(scope="module")
def untouched(server18: Server) -> Iterator[Any]:
    """For tests that must change nothing."""
    yield from opened(server18)


@pytest.fixture
def analyst(connection: Any) -> Iterator[Any]:
    """A connection of a plain user, who may score, read customers, and create tables in a schema of their own."""
    run(
        connection,
        """
        DROP ROLE IF EXISTS refresh_analyst;
        CREATE ROLE refresh_analyst LOGIN;
        GRANT pgscore_scorer TO refresh_analyst;
        GRANT SELECT ON customers TO refresh_analyst;
        CREATE SCHEMA lab AUTHORIZATION refresh_analyst
        """,
    )
    parameters = connection.get_dsn_parameters()
    other = psycopg2.connect(**{**parameters, "user": "refresh_analyst"})
    yield other
    other.close()
    run(connection, "DROP OWNED BY refresh_analyst CASCADE; DROP ROLE refresh_analyst")


def opened(server: Server) -> Iterator[Any]:
    with copied(server, template(server, "pgscore_refresh", fill, template(server))) as dsn:
        connection = connect(dsn)
        yield connection
        connection.close()


def deployed(connection: Any, model: Any, name: str = "churn", table: str = "customers", **options: Any) -> Any:
    deploy(
        connection, LoadedModel(model, Path("m.skops"), "skops", "00", {}, "a model"), name=name, table=table, **options
    )
    return model


def churn_job(connection: Any, **options: Any) -> None:
    """A job `daily` of model churn into public.scores."""
    given = {"model": "churn", "source": "customers", "keys": ["id"], "target": "scores", **options}
    create_job(connection, "daily", **given)


def fetch(connection: Any, query: str) -> list[tuple[Any, ...]]:
    with connection, connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def run(connection: Any, statement: str) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)


def counts(result: RunResult) -> tuple[int, int, int, int]:
    return result.rows, result.inserted, result.updated, result.deleted
