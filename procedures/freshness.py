"""What is declared about the freshness of prediction tables, and what is measured (sql/36_freshness.sql)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pgscore.errors import PgscoreError, RefusedError

from .catalog import read
from .connection import Connection, pinned, transaction
from .refresh import RunResult, find_job, never_began, run_job


@dataclass(frozen=True)
class RunRecord:
    """One run of a job as it was written down; of a failed one only the error is known."""

    job: str
    run_id: int
    state: str
    version: int | None
    started_at: datetime
    seconds: float
    rows_per_second: float | None
    rows: int | None
    inserted: int | None
    updated: int | None
    deleted: int | None
    refused: int | None
    error: str | None
    by: str
    written: str | None
    because: str | None


@dataclass(frozen=True)
class PredictionAges:
    """How long ago the rows of a job's target got their score, and the key of the oldest; None in an empty table."""

    rows: int
    p50: timedelta | None
    p95: timedelta | None
    max: timedelta | None
    oldest_key: Mapping[str, Any] | None


@dataclass(frozen=True)
class RunCounts:
    """How many runs of a job are written down."""

    job: str
    done: int
    failed: int


@dataclass(frozen=True)
class DueRun:
    """What came of a job that was due: its result, or why there is none. `running`: another run of it goes on."""

    job: str
    result: RunResult | None
    error: str | None = None
    running: bool = False


def set_schedule(connection: Connection, job: str, target_lag: timedelta | None, every: timedelta | None) -> None:
    """Declares how old a job's predictions may become, and how long after a run began the next is due; None: nothing.

    Raises NotFoundError, RightsError, and SignatureError for a length that is not positive.
    """
    with transaction(connection) as cursor, pinned(cursor):
        cursor.execute("SELECT pgscore.set_schedule(%s, %s, %s)", [job, target_lag, every])


def runs(connection: Connection, job: str, limit: int) -> list[RunRecord]:
    """The last runs of a job, the last first.

    Who may not read all runs sees those of jobs of their own. Raises NotFoundError for the job.
    """
    found = read(connection, RunRecord, "run_overview", "WHERE job = %s ORDER BY run_id DESC LIMIT %s", (job, limit))
    if not found:
        find_job(connection, job)
    return found


def last_runs(connection: Connection) -> list[RunRecord]:
    """The last run of each job that has one."""
    last = "WHERE run_id IN (SELECT max(run_id) FROM pgscore.run_overview GROUP BY job) ORDER BY job"
    return read(connection, RunRecord, "run_overview", last)


def count_runs(connection: Connection) -> list[RunCounts]:
    """How many runs each job has had since it was created; without the jobs that had none."""
    with transaction(connection) as cursor, pinned(cursor):
        cursor.execute(
            """
            SELECT job, count(*) FILTER (WHERE state = 'done'), count(*) FILTER (WHERE state = 'failed')
            FROM pgscore.run_overview GROUP BY job ORDER BY job
            """
        )
        return [RunCounts(*row) for row in cursor.fetchall()]


def prediction_ages(connection: Connection, job: str) -> PredictionAges:
    """Reads the whole target of a job, as the connected user. Raises NotFoundError and RightsError."""
    with transaction(connection) as cursor, pinned(cursor):
        cursor.execute("SELECT rows, p50, p95, max, oldest_key FROM pgscore.prediction_ages(%s)", [job])
        return PredictionAges(*cursor.fetchone())


def run_due(connection: Connection, before: Callable[[str], None] = lambda _: None) -> list[DueRun]:
    """Runs the user's jobs that are due, one after the other, the longest due first; one that fails stops no other."""
    with transaction(connection) as cursor, pinned(cursor):
        cursor.execute("SELECT pgscore.due_jobs()")
        due = [job for (job,) in cursor.fetchall()]
    done = []
    for job in due:
        before(job)
        try:
            done.append(DueRun(job, run_job(connection, job)))
        except PgscoreError as error:
            if connection.closed:
                raise
            running = isinstance(error, RefusedError) and never_began(error.__cause__)
            done.append(DueRun(job, None, str(error), running))
    return done
