"""A table of customers, models of it, and a way to hold any copy of a model's artifact against the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from psycopg2.extras import execute_values
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from pgscore.compiler.artifact import Artifact, Function, Strategy, Template
from pgscore.compiler.build import build
from pgscore.compiler.frontends import to_program
from pgscore.compiler.oracle import Oracle
from pgscore.procedures.binding import Binding, bind
from pgscore.procedures.connection import connect
from pgscore.procedures.functions import VersionPlan
from pgscore.procedures.plan import apply
from pgscore.procedures.verify import ParityReport, gate

COLUMNS = ("tenure", "charge", "plan", "senior")
NUMBERS = ["tenure", "charge"]


def customers(n: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "tenure": rng.integers(0, 70, n),
            "charge": rng.normal(50, 20, n),
            "plan": rng.choice(["basic", "gold", "it's"], n),
            "senior": rng.random(n) < 0.4,
        }
    )


def target(frame: pd.DataFrame) -> Any:
    short = (frame.tenure < 20) & (frame.charge > 40)
    return np.where(short | (frame.plan == "gold") & (frame.tenure > 50), "yes", "no")


@contextmanager
def filled(dsn: str) -> Iterator[Any]:
    """A connection to the database, with the table in it."""
    connection = connect(dsn)
    try:
        fill(connection)
        yield connection
    finally:
        connection.close()


def fill(connection: Any, frame: pd.DataFrame | None = None) -> None:
    frame = customers() if frame is None else frame
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE customers (id integer PRIMARY KEY, tenure integer, charge float8, plan text, senior boolean)"
        )
        rows = [
            (i, *(v.item() if hasattr(v, "item") else v for v in row)) for i, row in enumerate(frame.values.tolist())
        ]
        if rows:
            execute_values(cursor, "INSERT INTO customers VALUES %s", rows)


@dataclass(frozen=True)
class Deployed:
    """A model, its artifact, and a way to hold any copy of the artifact against the model."""

    connection: Any
    model: Any
    artifact: Artifact
    binding: Binding

    def gate(self, artifact: Artifact, **options: Any) -> tuple[ParityReport, str]:
        """Creates the functions, holds them against the model, and takes them back."""
        apply(self.connection, VersionPlan("m", 1, artifact, self.binding).statements())
        oracle = Oracle(self.model, artifact.parameters, artifact.functions, artifact.strategy)
        try:
            return gate(
                self.connection, artifact, name="m", version=1, table=self.binding.table, oracle=oracle, **options
            )
        finally:
            self.connection.rollback()


def compiled(connection: Any, model: Any, strategy: Strategy = Strategy.SQL, table: str = "customers") -> Deployed:
    program = to_program(model)
    binding = bind(connection, program.columns, table)
    connection.commit()
    return Deployed(connection, model, build(program, binding.parameters, strategy=strategy), binding)


def changed(artifact: Artifact, suffix: str, change: Callable[[str], str]) -> Artifact:
    """The artifact with another body of one function."""

    def copy(function: Function) -> Function:
        if function.suffix != suffix:
            return function
        body = Template(change(function.body.text))
        assert body != function.body
        return replace(function, body=body)

    return replace(artifact, functions=tuple(copy(function) for function in artifact.functions))


def linear_model() -> Any:
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    steps = make_column_transformer(
        (numbers, NUMBERS), (OneHotEncoder(handle_unknown="ignore"), ["plan"]), ("passthrough", ["senior"])
    )
    frame = customers()
    return make_pipeline(steps, LogisticRegression()).fit(frame, target(frame))


def tree_model() -> Any:
    frame = customers()
    return DecisionTreeRegressor(max_depth=4).fit(frame[NUMBERS], frame.charge + (frame.tenure % 17) * 9)
