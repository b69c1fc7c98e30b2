"""A shop to try commands on: customers, a deployed churn model, a refresh job; and files of models, good and bad."""

from __future__ import annotations

import contextlib
import io
import pickle
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import psycopg2
import pytest
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.semi_supervised import LabelSpreading

from pgscore.cli import run
from tests.support.databases import copied
from tests.support.servers import Server


@dataclass(frozen=True)
class Outcome:
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str


def pgscore(*arguments: object) -> Outcome:
    """Runs a command in this process."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(argument) for argument in arguments])
    for stream in (out, err):
        stream.flush()
        stream.seek(0)
    assert sys.stdout is not out
    return Outcome(code, out.buffer.read().decode(errors="replace"), err.read())


def customers() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    frame = pd.DataFrame(
        {
            "customer_id": np.arange(1, 121),
            "tenure": rng.integers(0, 72, 120),
            "charges": rng.uniform(18, 120, 120).round(2),
            "plan": rng.choice(["basic", "plus", "pro"], 120),
        }
    )
    frame.loc[::17, "charges"] = np.nan
    return frame


def target(frame: pd.DataFrame) -> pd.Series:
    return pd.Series(np.where((frame.tenure < 20) ^ (frame.plan == "pro"), "yes", "no"))


def pipeline(final: object) -> object:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    prepare = ColumnTransformer(
        [("numbers", numbers, ["tenure", "charges"]), ("plan", OneHotEncoder(handle_unknown="ignore"), ["plan"])]
    )
    return make_pipeline(prepare, final)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with logistic.skops, forest.skops, unsupported.skops, pickle.pkl and text.skops."""
    folder = tmp_path_factory.mktemp("models")
    frame = customers()
    x, y = frame.drop(columns="customer_id"), target(frame)
    models = {
        "logistic": LogisticRegression(),
        "forest": RandomForestClassifier(n_estimators=5, max_depth=4, random_state=0),
        "unsupported": LabelSpreading(),
    }
    for name, model in models.items():
        skops.io.dump(pipeline(model).fit(x, y), folder / f"{name}.skops")
    (folder / "pickle.pkl").write_bytes(pickle.dumps(pipeline(LogisticRegression()).fit(x, y)))
    (folder / "text.skops").write_text("I am no model\n")
    return folder


@pytest.fixture(scope="session")
def shop_template(server18: Server, files: Path) -> Iterator[str]:
    """The database that `shop` copies: customers, pgscore, model churn in version 1 (live) and 2, job churn_daily."""
    with copied(server18) as dsn:
        frame = customers()
        with contextlib.closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(
                "CREATE TABLE customers (customer_id int PRIMARY KEY, tenure int, charges float8, plan text)"
            )
            cursor.copy_expert(
                "COPY customers FROM STDIN (FORMAT csv)", io.StringIO(frame.to_csv(index=False, header=False))
            )
        for command in (
            ["install"],
            ["deploy", files / "logistic.skops", "--as", "churn", "--table", "customers"],
            ["deploy", files / "forest.skops", "--as", "churn", "--table", "customers"],
            ["refresh", "create", "churn_daily", *JOB],
            ["refresh", "run", "churn_daily"],
        ):
            outcome = pgscore(*command, "--dsn", dsn)
            assert outcome.code == 0, outcome.err
        yield dsn


@pytest.fixture
def shop(server18: Server, shop_template: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A copy of the shop of its own; PGSCORE_DSN points to it."""
    name = psycopg2.extensions.parse_dsn(shop_template)["dbname"]
    with copied(server18, name) as dsn:
        monkeypatch.setenv("PGSCORE_DSN", dsn)
        yield dsn


JOB = ("--model", "churn", "--from", "customers", "--key", "customer_id", "--into", "churn_scores")

CATALOGS = (
    "pg_class",
    "pg_proc",
    "pg_namespace",
    "pg_type",
    "pg_attribute",
    "pg_constraint",
    "pg_trigger",
    "pg_authid",
)


def state(dsn: str) -> dict[str, list[tuple[object, ...]]]:
    """Everything that a command could change: the versions of all rows in the catalogs and in all users' tables."""
    with contextlib.closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
            "WHERE relkind = 'r' AND nspname <> 'information_schema' AND nspname !~ '^pg_' ORDER BY 1"
        )
        found = {}
        for table in [*CATALOGS, *(name for (name,) in cursor.fetchall())]:
            cursor.execute(f"SELECT ctid::text, xmin::text FROM {table} ORDER BY 1")
            found[table] = cursor.fetchall()
    return found
