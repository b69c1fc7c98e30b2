"""The other ways to score the same rows: what teams run today, and the best that can be done outside the server."""

from __future__ import annotations

import contextlib
import copy
import io
import sysconfig
from functools import cache
from importlib.util import find_spec
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import joblib
import numpy as np
import pandas as pd
import psycopg2
import pyarrow as pa
from sklearn.pipeline import make_pipeline

from .cases import BATCH, Case, Job, Query, query
from .data import numbers_and_texts
from .models import Subject
from .servers import Place


def peers(place: Place, subject: Subject) -> tuple[list[Case], list[str]]:
    """The cases, and what is left out and why."""
    cases: list[Case] = [naive_etl(place, subject), best_etl(place, subject)]
    left_out = []
    if subject.recipe.orbital:
        left_out.append(f"orbital: {subject.recipe.orbital}")
    elif find_spec("orbital") is None:
        left_out.append("orbital: not installed; it is in the dependency group bench")
    else:
        cases.extend(orbital_sql(place, subject))
    if place.plpython:
        try:
            cases.extend(hand_written(place, subject))
        except psycopg2.Error as error:
            left_out.append(f"joblib in PL/Python: {str(error).splitlines()[0]}")
    return cases, left_out


def naive_etl(place: Place, subject: Subject) -> Job:
    """psycopg2: fetch all rows, predict, COPY the scores back."""
    columns = ", ".join(subject.columns)

    def run(table: str) -> None:
        with contextlib.closing(psycopg2.connect(place.dsn)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT id, {columns} FROM {table}")  # noqa: S608
            rows = pd.DataFrame(cursor.fetchall(), columns=["id", *subject.columns])
            scores = subject.score(rows[subject.columns])
            lines = "\n".join(f"{key},{score!r}" for key, score in zip(rows.id, scores.tolist(), strict=True))
            cursor.execute(f"TRUNCATE {_target('naive', subject, table)}")
            copied = f"COPY {_target('naive', subject, table)} FROM STDIN (FORMAT csv)"
            cursor.copy_expert(copied, io.StringIO(lines))

    def prepare(table: str) -> None:
        place.alone(
            f"CREATE TABLE IF NOT EXISTS {_target('naive', subject, table)} (id bigint PRIMARY KEY, score float8)"
        )

    return Job("naive ETL", run, lambda table: _target("naive", subject, table), prepare)


def best_etl(place: Place, subject: Subject) -> Job:
    """ADBC: Arrow both ways, predict on all cores, a new table with a key in place of the old one."""
    columns = ", ".join(subject.columns)
    numbers, texts = numbers_and_texts(subject.columns, subject.data.x)

    def features(rows: pa.Table) -> Any:
        if texts:
            return rows.select(subject.columns).to_pandas().astype(dict.fromkeys(texts, object))
        return np.column_stack([rows[name].to_numpy() for name in numbers])

    def run(table: str) -> None:
        target = _target("best", subject, table)
        with contextlib.closing(adbc.connect(place.dsn)) as connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT id, {columns} FROM {table}")  # noqa: S608
            rows = cursor.fetch_arrow_table()
            scored = pa.table({"id": rows["id"], "score": np.asarray(subject.score(features(rows)), dtype=float)})
            cursor.adbc_ingest(f"{target}_new", scored, mode="create")
            cursor.execute(f"ALTER TABLE {target}_new ADD PRIMARY KEY (id)")
            cursor.execute(f"DROP TABLE IF EXISTS {target}")
            cursor.execute(f"ALTER TABLE {target}_new RENAME TO {target}")
            connection.commit()

    return Job("best ETL", run, lambda table: _target("best", subject, table), _nothing)


def orbital_sql(place: Place, subject: Subject) -> list[Case]:
    """orbital's SQL, as a query and into a new table. It rounds thresholds and leaves to single precision."""
    import orbital
    from orbital import types

    _, texts = numbers_and_texts(subject.columns, subject.data.x)
    kinds = {name: types.StringColumnType() if name in texts else types.DoubleColumnType() for name in subject.columns}
    steps = subject.model if hasattr(subject.model, "steps") else make_pipeline(subject.model)
    parsed = orbital.parse_pipeline(steps, features=kinds)
    parsed.features["id"] = types.Int64ColumnType()
    chosen = orbital.ResultsProjection(["id"])

    @cache
    def select(table: str) -> str:
        text = orbital.export_sql(table, parsed, dialect="postgres", projection=chosen)
        return f'SELECT id, "output_probability.1" AS score FROM ({text}) AS o'  # noqa: S608

    def run(table: str) -> None:
        target = _target("orbital", subject, table)
        with contextlib.closing(place.connect()) as connection, connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE TABLE {target}_new AS {select(table)}")
            cursor.execute(f"ALTER TABLE {target}_new ADD PRIMARY KEY (id)")
            cursor.execute(f"DROP TABLE IF EXISTS {target}")
            cursor.execute(f"ALTER TABLE {target}_new RENAME TO {target}")

    job = Job("orbital, new table", run, lambda table: _target("orbital", subject, table), _nothing, exact=False)
    return [query("orbital", select, exact=False), job]


_LOAD = """
if {name!r} not in GD:
    import sys, warnings
    sys.path.insert(0, {packages!r})
    import joblib, numpy, pandas
    warnings.filterwarnings("ignore")
    GD[{name!r}] = joblib.load({file!r})
    GD["numpy"], GD["pandas"] = numpy, pandas
"""
_FRAME = """
frame = GD["pandas"].DataFrame(rows, columns={numbers!r}, dtype=float)
for place, column in enumerate({texts!r}):
    frame[column] = [row[place] for row in words]
scores = GD[{name!r}].predict{proba}(frame)
"""
_ARRAY = """
scores = GD[{name!r}].predict{proba}(GD["numpy"].array(rows, dtype=float))
"""
_FUNCTIONS = (
    # suffix, result, where the rows come from, what is given back
    ("", "float8", "[numbers], [texts]", "float(scores{column}[0])"),
    ("_batch", "float8[]", "numbers, texts", "scores{column}.tolist()"),
)


def hand_written(place: Place, subject: Subject) -> list[Query]:
    """PL/Python functions that load a joblib file, for one row and for an array of rows."""
    name = f"{subject.slug}_joblib"
    file = place.folder / f"{name}.joblib"
    joblib.dump(_with_one_thread(subject.model), file)
    file.chmod(0o644)
    numbers, texts = numbers_and_texts(subject.columns, subject.data.x)
    proba, column = ("_proba", "[:, 1]") if hasattr(subject.model, "predict_proba") else ("", "")
    given = {"name": name, "file": str(file), "packages": sysconfig.get_path("purelib"), "proba": proba}
    score = (_LOAD + (_FRAME if texts else _ARRAY)).format(**given, numbers=numbers, texts=texts)
    for suffix, result, rows, answer in _FUNCTIONS:
        place.alone(
            f"CREATE FUNCTION {name}{suffix}(numbers float8[], texts text[]) RETURNS {result}"
            " LANGUAGE plpython3u IMMUTABLE PARALLEL SAFE AS"
            f" $body$\nrows, words = {rows}\n{score}\nreturn {answer.format(column=column)}\n$body$"
        )
    row = f"ARRAY[{', '.join(numbers)}]::float8[], ARRAY[{', '.join(texts)}]::text[]"
    several = f"array_agg(ARRAY[{', '.join(numbers)}]::float8[])"
    texts_of_several = f"array_agg(ARRAY[{', '.join(texts)}]::text[])" if texts else "NULL"

    def by_row(table: str) -> str:
        return f"SELECT id, {name}({row}) AS score FROM {table}"  # noqa: S608

    def batches(table: str) -> str:
        return (
            "SELECT u.id, u.score FROM (SELECT array_agg(id) AS ids,"  # noqa: S608
            f" {name}_batch({several}, {texts_of_several}) AS scores FROM {table} GROUP BY id / {BATCH}) AS b"
            " CROSS JOIN LATERAL unnest(b.ids, b.scores) AS u (id, score)"
        )

    place.alone(f"{by_row(subject.data.name)} LIMIT 1")  # raises where the server cannot import our packages
    return [query("joblib in PL/Python", by_row), query("joblib in PL/Python, batches", batches, single=False)]


def _with_one_thread(model: Any) -> Any:
    """A copy that predicts with one thread: a server process uses the core it runs on."""
    copied = copy.deepcopy(model)
    return copied.set_params(n_jobs=1) if hasattr(copied, "n_jobs") else copied


def _target(way: str, subject: Subject, table: str) -> str:
    return f"{subject.slug}_{way}_of_{table}"


def _nothing(_: str) -> None:
    """Before a run."""
