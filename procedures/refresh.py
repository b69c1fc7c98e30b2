"""Refresh jobs from Python: a thin layer over the SQL of sql/31_refresh.sql, which psql can call as well."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg2

from pgscore import quoting
from pgscore.errors import NotFoundError, PgscoreError

from .connection import Connection, errors, pinned, transaction, translate


@dataclass(frozen=True)
class RunResult:
    """One run that is done, in `steps` transactions. `refused` rows have a NULL score."""

    job: str
    run_id: int
    version: int
    rows: int
    inserted: int
    updated: int
    deleted: int
    refused: int
    seconds: float
    steps: int = 1


@dataclass(frozen=True)
class Freshness:
    """A job and its last good run, as the view pgscore.freshness shows them."""

    job: str
    state: str
    model: str
    alias: str
    version: int | None
    current_version: int | None
    refreshed_at: datetime | None
    age: timedelta | None
    rows: int | None
    refused: int | None
    source: str
    keys: list[str]
    target: str
    mode: str
    error: str | None
    challenger: str | None
    canary: float
    challenger_state: str | None
    queued: int | None
    outdated: int | None

    @property
    def fresh(self) -> bool:
        """Whether the predictions are of the current version, nothing is queued, and the last run went well."""
        return self.state == "fresh"


def create_job(  # noqa: PLR0913
    connection: Connection,
    job: str,
    *,
    model: str,
    source: str,
    keys: Sequence[str],
    target: str,
    alias: str = "live",
    mode: str = "full",
    replace: bool = False,
    challenger: str | None = None,
    canary: float = 0,
) -> None:
    """Creates a job: `model` scores every row of `source` into `target`, row by row of `keys`.

    With `mode` "incremental", triggers on `source` queue changed keys, and a run scores those (docs/refresh.md).
    A `target` without a schema goes to the first schema of the search_path; it is created where it does not exist.
    `replace` first drops the job of that name, with the record of its runs; its table stays.
    `challenger` and `canary` are those of `set_challenger`. Raises NotFoundError, SignatureError, InvalidNameError,
    RefusedError or RightsError; nothing is changed then.
    """
    with transaction(connection) as cursor:
        cursor.execute("SELECT pg_catalog.to_regclass(%s)::pg_catalog.oid, pg_catalog.current_schema()", [source])
        oid, schema = cursor.fetchone()
        if oid is None:
            raise NotFoundError(f"there is no table or view {source}")
        if "." not in target and schema is not None:
            target = f"{quoting.ident(schema)}.{target}"
        with pinned(cursor):
            if replace:
                cursor.execute("SELECT pgscore.drop_refresh(%s)", [job])
            cursor.execute(
                "SELECT pgscore.create_refresh(%s, %s, %s::oid::regclass, %s::text[], %s, %s, %s)",
                [job, model, oid, list(keys), target, alias, mode],
            )
            if challenger is not None:
                cursor.execute("SELECT pgscore.set_challenger(%s, %s, %s)", [job, challenger, canary])


def run_job(
    connection: Connection,
    job: str,
    progress: Callable[[str], None] = lambda _: None,
    *,
    full: bool = False,
    backfill_rows: int | None = None,
) -> RunResult:
    """Runs a job, each step in its own transaction. A failure is recorded, keeps the old predictions, and is raised.

    An incremental job takes several steps where rows are of an old version, up to `backfill_rows` in each; `full`
    has it score every row, whatever is queued. Raises NotFoundError for the job, its source or its target, and
    RefusedError while another run of it is going on, or for `full` of a job that is not incremental.
    """
    begun = time.perf_counter()
    if full:
        with transaction(connection) as cursor, pinned(cursor):
            cursor.execute("SELECT pgscore.queue_everything(%s)", [job])
    progress(f"scoring and writing {job}")
    done, unfinished = _step(connection, job, backfill_rows)
    while unfinished:
        progress(f"scoring and writing {job}, step {done.steps + 1}")
        step, unfinished = _step(connection, job, backfill_rows)
        done = dataclasses.replace(
            step,
            rows=done.rows + step.rows,
            inserted=done.inserted + step.inserted,
            updated=done.updated + step.updated,
            deleted=done.deleted + step.deleted,
            refused=done.refused + step.refused,
            steps=done.steps + 1,
        )
    return dataclasses.replace(done, seconds=time.perf_counter() - begun)


def _step(connection: Connection, job: str, backfill_rows: int | None) -> tuple[RunResult, bool]:
    """One call of pgscore.refresh, and whether another is to follow."""
    started = datetime.now(UTC)
    begun = time.perf_counter()
    with errors():
        try:
            with connection, connection.cursor() as cursor:
                if backfill_rows is not None:
                    cursor.execute(
                        "SELECT pg_catalog.set_config('pgscore.backfill_rows', %s, true)", [str(backfill_rows)]
                    )
                cursor.execute("CALL pgscore.refresh(%s)", [job])
                run_id, version, rows, inserted, updated, deleted, refused = cursor.fetchone()
                cursor.execute("SELECT pgscore.refresh_unfinished(%s)", [job])
                (unfinished,) = cursor.fetchone()
            seconds = time.perf_counter() - begun
            return RunResult(job, run_id, version, rows, inserted, updated, deleted, refused, seconds), unfinished
        except psycopg2.Error as error:
            raised = translate(error, f"refresh job {job}")
            if not connection.closed and not _never_began(error):
                _record_failure(connection, job, started, raised)
            raise raised from error


def _never_began(error: psycopg2.Error) -> bool:
    """Whether the job is unknown, not the user's, or running already: then there was no run."""
    return (error.diag.schema_name, error.diag.table_name) == ("pgscore", "jobs")


def _record_failure(connection: Connection, job: str, started: datetime, raised: PgscoreError) -> None:
    with transaction(connection) as cursor, pinned(cursor):
        cursor.execute(
            "SELECT pgscore.record_run(%s, %s, NULL, NULL, NULL, NULL, NULL, NULL, %s)", [job, started, str(raised)]
        )


def list_jobs(connection: Connection) -> list[Freshness]:
    """All jobs, by name."""
    return status(connection)


def status(connection: Connection) -> list[Freshness]:
    """How fresh each job's predictions are, by name of the job."""
    with transaction(connection) as cursor, pinned(cursor):
        cursor.execute(
            """
            SELECT job, state, model, alias, version, current_version, refreshed_at, age, rows, refused,
                   source, keys, target, mode, error, challenger, canary, challenger_state, queued, outdated
            FROM pgscore.freshness
            ORDER BY job
            """
        )
        return [Freshness(*row) for row in cursor.fetchall()]


def drop_job(connection: Connection, job: str) -> None:
    """Drops a job and the record of its runs; its target table stays. Raises NotFoundError."""
    with transaction(connection) as cursor, pinned(cursor):
        cursor.execute("SELECT pgscore.drop_refresh(%s)", [job])
