"""Incremental refresh jobs: each kind of write queues its keys, and a run scores those and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from pgscore.compiler.artifact import Strategy
from pgscore.errors import NotFoundError, PgscoreError, RefusedError, SignatureError
from pgscore.procedures.connection import connect
from pgscore.procedures.install import install
from pgscore.procedures.lifecycle import promote
from pgscore.procedures.refresh import create_job, drop_job, run_job, status

from ..support.refreshing import (
    N,
    churn_job,
    churn_model,
    connection,
    connection15,
    connection18,
    counts,
    deployed,
    fetch,
    run,
)

__all__ = ["connection", "connection15", "connection18"]


def incremental(connection: Any, **options: Any) -> None:
    """The job `daily`, which has run once."""
    churn_job(connection, mode="incremental", **options)
    run_job(connection, "daily")


def truth(connection: Any, source: str = "customers", version: int = 1) -> None:
    """The target is what the version's own function gives for each row."""
    wrong = fetch(
        connection,
        f"""
        (SELECT id, score.churn_v{version}(r.*), {version} FROM {source} AS r
         EXCEPT ALL SELECT id, score, model_version FROM scores)
        UNION ALL
        (SELECT id, score, model_version FROM scores
         EXCEPT ALL SELECT id, score.churn_v{version}(r.*), {version} FROM {source} AS r)
        """,
    )
    assert wrong == []


def queued(connection: Any) -> list[Any]:
    """The keys in the queue; None for everything."""
    ((number,),) = fetch(connection, "SELECT job_id FROM pgscore.jobs")
    return sorted((key for (key,) in fetch(connection, f"SELECT k1 FROM pgscore.queue_{number}")), key=str)


@contextmanager
def another(connection: Any) -> Iterator[Any]:
    second = connect(connection.dsn)
    try:
        yield second
    finally:
        second.close()


# What writers do.

WRITES = {
    "an insert": ("INSERT INTO customers VALUES ('n', 9001, 1, 2, 'a'), ('n', 9002, 1, 2, 'a')", [9001, 9002]),
    "an update": ("UPDATE customers SET tenure = tenure + 1 WHERE id < 3", [0, 1, 2]),
    "an update of no value": ("UPDATE customers SET tenure = tenure WHERE id < 3", []),
    "an update to null": ("UPDATE customers SET charge = NULL WHERE id IN (0, 1, 2)", [1, 2]),
    "an update of a column that no version reads": ("UPDATE customers SET region = 'x' WHERE id < 3", []),
    "a changed key": ("UPDATE customers SET id = 9001 WHERE id = 1", [1, 9001]),
    "keys that change places": ("UPDATE customers SET id = 3 - id WHERE id IN (1, 2)", [1, 2]),
    "a delete": ("DELETE FROM customers WHERE id IN (5, 6)", [5, 6]),
    "nothing": ("DELETE FROM customers WHERE id = -1", []),
    "a truncate": ("TRUNCATE customers", [None]),
    "an upsert": (
        "INSERT INTO customers VALUES ('south', 0, 1, 2, 'a'), ('n', 9001, 1, 2, 'a')"
        " ON CONFLICT (region, id) DO UPDATE SET tenure = -1",
        [0, 9001],
    ),
    "a merge": (
        "MERGE INTO customers AS c USING (VALUES ('south', 0), ('north', 1), ('n', 9001)) AS n (region, id)"
        " ON (c.region, c.id) = (n.region, n.id)"
        " WHEN MATCHED AND n.id = 0 THEN DELETE"
        " WHEN MATCHED THEN UPDATE SET tenure = -1"
        " WHEN NOT MATCHED THEN INSERT VALUES (n.region, n.id, 1, 2, 'a')",
        [0, 1, 9001],
    ),
    "a savepoint that is rolled back": (
        "DELETE FROM customers WHERE id = 5; SAVEPOINT s; DELETE FROM customers WHERE id = 6; ROLLBACK TO s;"
        " DELETE FROM customers WHERE id = 7",
        [5, 7],
    ),
    "a rollback": ("DELETE FROM customers WHERE id = 5; ROLLBACK", []),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_write_queues_its_keys(connection: Any, write: str) -> None:
    incremental(connection)
    before = dict(fetch(connection, "SELECT id, scored_at FROM scores"))
    statement, expected = WRITES[write]
    run(connection, statement)
    assert queued(connection) == sorted(expected, key=str)
    assert [(job.state, job.queued) for job in status(connection)] == [
        ("behind" if expected else "fresh", len(expected))
    ]
    result = run_job(connection, "daily")
    assert result.rows <= len(expected)
    truth(connection)
    after = dict(fetch(connection, "SELECT id, scored_at FROM scores"))
    assert {key for key in before if after.get(key) != before[key]} <= (
        set(before) if None in expected else set(expected)
    )
    assert queued(connection) == []
    assert [job.state for job in status(connection)] == ["fresh"]


def test_a_copy(connection: Any) -> None:
    incremental(connection)
    with connection, connection.cursor() as cursor:
        from io import StringIO

        cursor.copy_expert("COPY customers FROM STDIN (FORMAT csv)", StringIO("n,9001,1,2,a\nn,9002,,,\n"))
    assert queued(connection) == [9001, 9002]
    assert counts(run_job(connection, "daily")) == (2, 2, 0, 0)
    truth(connection)
