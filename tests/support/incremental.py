"""Shorthands for the tests of incremental refresh jobs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pgscore.procedures.connection import connect
from pgscore.procedures.refresh import run_job

from .refreshing import churn_job, fetch


def incremental(connection: Any, **options: Any) -> None:
    """The job `daily`, which has run once."""
    churn_job(connection, mode="incremental", **options)
    run_job(connection, "daily")


def truth(connection: Any, source: str = "customers", version: int = 1) -> None:
    """The target is what the version's own function gives for each row."""
    call = f"score.churn_v{version}(tenure => r.tenure, charge => r.charge, plan => r.plan)"
    wrong = fetch(
        connection,
        f"""
        (SELECT id, {call}, {version} FROM {source} AS r
         EXCEPT ALL SELECT id, score, model_version FROM scores)
        UNION ALL
        (SELECT id, score, model_version FROM scores
         EXCEPT ALL SELECT id, {call}, {version} FROM {source} AS r)
        """,
    )
    assert wrong == []


def queued(connection: Any) -> list[Any]:
    """The keys in the queue; None for everything."""
    ((number,),) = fetch(connection, "SELECT job_id FROM pgscore.jobs")
    taken = f"SELECT k FROM pgscore.queue_{number} LEFT JOIN LATERAL unnest(k1) AS k ON true"
    return sorted((key for (key,) in fetch(connection, taken)), key=str)


@contextmanager
def another(connection: Any) -> Iterator[Any]:
    second = connect(connection.dsn)
    try:
        yield second
    finally:
        second.close()
