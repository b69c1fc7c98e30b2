"""Refresh jobs from Python: a thin layer over the SQL of sql/31_refresh.sql, which psql can call as well."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2

from pgscore import quoting
from pgscore.errors import NotFoundError, PgscoreError, UsageError

from .connection import Connection, autocommit, errors, pinned, transaction
from .limits import timed
from .parallel import run_in_parallel


@dataclass(frozen=True)
class RunResult:
    """One run that is done, in `steps` transactions. `refused` rows have a NULL score.

    `written` is "difference", or "swap": all rows were written into a table that took the place of the old one, whose
    rows are the `deleted` ones; `because` says why.
    """

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
    written: str = "difference"
    because: str | None = None


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
    target_lag: timedelta | None
    every: timedelta | None
    target_missed: bool | None
    next_run: datetime | None
    created_at: datetime
    statement_timeout: timedelta | None
    lock_timeout: timedelta | None
    max_rows_per_second: int | None
    live: bool

    @property
    def fresh(self) -> bool:
        """Whether predictions are of the current version and not too old, nothing is queued, and all went well."""
        return self.state == "fresh"


@dataclass(frozen=True)
class CreatedWith:
    """What a job was created with, beside what Freshness says, as the view pgscore.job_settings shows it."""

    query: str | None
    changes: str
    watermark: str | None
    lookback: timedelta | None
    backfill_first: str | None
    outputs: tuple[str, ...]
    carry: tuple[str, ...]
    vanished: str
    top: int | None
    per: tuple[str, ...]
    order_by: str | None
    keep: int | None
    diverse: str | None
    max_per: int | None
    eligible: str | None


@dataclass(frozen=True)
class Top:
    """That a job keeps the best rows only (docs/recommendations.md).

    The target holds the first `keep` rows (default: `n`) for each value of the key columns `per`, or of all rows, by
    `order_by` (score, or a column of the source), the largest first. With a larger `keep`, `diverse` or `eligible`, the
    view TARGET_top shows `n` of them: those whose key is found in the relation `eligible`, at most `max_per` for each
    value of the column `diverse`.
    """

    n: int
    per: Sequence[str] = ()
    order_by: str = "score"
    keep: int | None = None
    diverse: str | None = None
    max_per: int | None = None
    eligible: str | None = None


def create_job(  # noqa: PLR0913
    connection: Connection,
    job: str,
    *,
    model: str,
    keys: Sequence[str],
    target: str,
    source: str | None = None,
    query: str | None = None,
    alias: str = "live",
    mode: str = "full",
    replace: bool = False,
    challenger: str | None = None,
    canary: float = 0,
    outputs: Sequence[str] = (),
    top: Top | None = None,
    carry: Sequence[str] = (),
    vanished: str | None = None,
    changes: str | None = None,
    watermark: str | None = None,
    lookback: timedelta | None = None,
    backfill_first: str | None = None,
    target_lag: timedelta | None = None,
    every: timedelta | None = None,
    statement_timeout: timedelta | None = None,
    lock_timeout: timedelta | None = None,
    max_rows_per_second: int | None = None,
    live: bool = False,
) -> None:
    """Creates a job: `model` scores every row of `source` into `target`, row by row of `keys`.

    Instead of `source`, a `query`: a view of it is made beside the target, TARGET_source, and goes with the job.
    With `mode` "incremental" a run scores what changed. It learns of that by `changes`: "triggers" on `source` (the
    default), "hash", or "watermark", the column `watermark` with `lookback`, by default 10 minutes (docs/refresh.md).
    After a promote it scores the rows with the largest `backfill_first` before others, a column of the target.
    A `target` without a schema goes to the first schema of the search_path; it is created where it does not exist.
    `replace` first drops the job of that name, with the record of its runs; its table stays, its place in pg_cron, and
    where none of `outputs`, `top`, `carry` and `vanished` are given also those.
    `challenger` and `canary` are those of `set_challenger`, `target_lag` and `every` of `set_schedule`, the
    timeouts and `max_rows_per_second` of `set_limits`. `outputs` are further functions of the model whose answers the
    target holds, by suffix: "label" for score.churn_label, and `carry` columns of the source that it holds too. With
    `vanished` "keep", rows whose key the source has no more stay, marked in the target's column vanished_at; without,
    or with "remove", they go. `live` makes the view TARGET_live, as `set_live` does. Raises NotFoundError,
    SignatureError, InvalidNameError, RefusedError or RightsError; nothing is changed then.
    """
    if (source is None) is (query is None):
        raise UsageError("a refresh job scores a source or a query: give one of the two")
    with transaction(connection) as cursor:
        cursor.execute("SELECT pg_catalog.to_regclass(%s)::pg_catalog.oid, pg_catalog.current_schema()", [source])
        oid, schema = cursor.fetchone()
        if oid is None and query is None:
            raise NotFoundError(f"there is no table or view {source}")
        if "." not in target and schema is not None:
            target = f"{quoting.ident(schema)}.{target}"
        if replace:
            # In its place, as it depends on the source and on the job's number.
            cursor.execute("SELECT pgscore.set_live(%s, false)", [job])
            cursor.execute("SELECT pgscore.drop_source_view(%s, %s::pg_catalog.oid::pg_catalog.regclass)", [job, oid])
        if query is not None:
            # In the user's search_path, where the query finds its tables.
            cursor.execute("SELECT pgscore.source_view(%s, %s, %s)::pg_catalog.oid", [job, target, query])
            (oid,) = cursor.fetchone()
        ranking: list[object] = [None] * 7
        if top is not None:
            eligible = None
            if top.eligible is not None:
                cursor.execute("SELECT pg_catalog.to_regclass(%s)::pg_catalog.oid", [top.eligible])
                eligible = cursor.fetchone()[0]
                if eligible is None:
                    raise NotFoundError(f"there is no table or view {top.eligible}")
            ranking = [top.n, list(top.per), top.order_by, top.keep, top.diverse, top.max_per, eligible]
        with pinned(cursor):
            if replace:
                if not outputs and not carry and top is None and vanished is None:
                    cursor.execute(
                        "SELECT f.outputs, f.top, f.per, f.order_by, f.keep, f.diverse, f.max_per,"
                        " pg_catalog.to_regclass(f.eligible)::pg_catalog.oid, f.carried,"
                        " CASE WHEN f.keeps_vanished THEN 'keep' END FROM pgscore.target_form(%s) AS f",
                        [job],
                    )
                    outputs, *ranking, carry, vanished = cursor.fetchone()
                cursor.execute("SELECT pgscore.drop_build(%s), pgscore.remove_job(%s)", [job, job])
            cursor.execute(
                "SELECT pgscore.create_refresh(%s, %s, %s::oid::regclass, %s::text[], %s, %s, %s, %s, %s, %s::text[],"
                " %s, %s::text[], %s, %s, %s, %s, %s::oid::regclass, carry => %s::text[], vanished => %s,"
                " changes => %s, watermark => %s, lookback => %s, backfill_first => %s)",
                [
                    *(job, model, oid, list(keys), target, alias, mode, target_lag, every, list(outputs), *ranking),
                    *(list(carry), vanished or "remove", changes, watermark, lookback, backfill_first),
                ],
            )
            cursor.execute(
                "SELECT pgscore.set_limits(%s, %s, %s, %s)", [job, statement_timeout, lock_timeout, max_rows_per_second]
            )
            if challenger is not None:
                cursor.execute("SELECT pgscore.set_challenger(%s, %s, %s)", [job, challenger, canary])
            if live:
                cursor.execute("SELECT pgscore.set_live(%s)", [job])


def set_live(connection: Connection, job: str, live: bool) -> None:
    """Makes the view TARGET_live of a job, which gives stored scores where fresh and else computes, or drops it.

    Raises NotFoundError, RefusedError where the name is taken or the job has a canary, SignatureError for a job that
    ranks, and RightsError.
    """
    with transaction(connection) as cursor, pinned(cursor):
        cursor.execute("SELECT pgscore.set_live(%s, %s)", [job, live])


def run_job(  # noqa: PLR0913 (its options)
    connection: Connection,
    job: str,
    progress: Callable[[str], None] = lambda _: None,
    *,
    full: bool = False,
    backfill_rows: int | None = None,
    chunk_rows: int | None = None,
    jobs: int = 1,
) -> RunResult:
    """Runs a job, each step in its own transaction; what is open on the connection is committed first.

    A failure is recorded, keeps the old predictions, and is raised. An incremental job takes several steps where rows
    are of an old version, up to `backfill_rows` in each; `full` has it score every row, whatever is queued. A full job
    scores in chunks where `chunk_rows` or a limit of rows per second is given, and goes on with those of a run that was
    killed; else from one snapshot, in `jobs` connections. Raises NotFoundError for the job, its source or its target,
    and RefusedError while another run of it is going on, or for what the job's mode does not know.
    """
    if full:
        with transaction(connection) as cursor, pinned(cursor):
            cursor.execute("SELECT pgscore.queue_everything(%s)", [job])
    progress(f"scoring and writing {job}")
    started = datetime.now(UTC)
    begun = time.perf_counter()
    try:
        with errors(f"refresh job {job}"):
            if jobs > 1:
                run_id, version, rows, inserted, updated, deleted, refused, *writing = run_in_parallel(
                    connection, job, jobs, progress
                )
                steps = 1
            else:
                with autocommit(connection) as cursor, timed(cursor, job):
                    cursor.execute("CALL pgscore.run_job(%s, %s, %s)", [job, backfill_rows, chunk_rows])
                    run_id, version, rows, inserted, updated, deleted, refused, steps, *writing = cursor.fetchone()
    except PgscoreError as error:
        cause = error.__cause__
        if not connection.closed and cause is not None and not never_began(cause) and not _is_about(cause, "runs"):
            # Where run_job has not written it down.
            _record_failure(connection, job, started, error)
        raise
    seconds = time.perf_counter() - begun
    return RunResult(job, run_id, version, rows, inserted, updated, deleted, refused, seconds, steps, *writing)


def never_began(error: BaseException | None) -> bool:
    """Whether the server said that the job is unknown, not the user's, or running already: then there was no run."""
    return _is_about(error, "jobs")


def _is_about(error: BaseException | None, table: str) -> bool:
    return isinstance(error, psycopg2.Error) and (error.diag.schema_name, error.diag.table_name) == ("pgscore", table)


def _record_failure(connection: Connection, job: str, started: datetime, raised: PgscoreError) -> None:
    with transaction(connection) as cursor, pinned(cursor):
        cursor.execute(
            "SELECT pgscore.record_run(%s, %s, NULL, NULL, NULL, NULL, NULL, NULL, %s)", [job, started, str(raised)]
        )


def list_jobs(connection: Connection) -> list[Freshness]:
    """All jobs, by name."""
    return status(connection)


def status(connection: Connection) -> list[Freshness]:
    """How fresh each job's predictions are, by name of the job.

    A run that left no trace but in pg_cron, such as one that it could not begin, counts as the last run.
    """
    with transaction(connection) as cursor, pinned(cursor):
        cursor.execute(
            """
            SELECT job, state, model, alias, version, current_version, refreshed_at, age, rows, refused,
                   source, keys, target, mode, error, challenger, canary, challenger_state, queued, outdated,
                   target_lag, every, target_missed, next_run, created_at,
                   statement_timeout, lock_timeout, max_rows_per_second, live
            FROM pgscore.freshness
            ORDER BY job
            """
        )
        jobs = [Freshness(*row) for row in cursor.fetchall()]
        cursor.execute("SELECT job, started_at, error FROM pgscore.cron_runs() WHERE state = 'failed'")
        failed = {job: (at, message) for job, at, message in cursor.fetchall()}
        return [_with_failure(job, *failed[job.job]) if job.job in failed else job for job in jobs]


def _with_failure(job: Freshness, at: datetime | None, message: str) -> Freshness:
    """The job, failed unless a good run came after; where pg_cron could not even connect, it gives no time."""
    if job.state == "failed" or (at is not None and at < (job.refreshed_at or job.created_at)):
        return job
    return replace(job, state="failed", error=f"pg_cron: {message}")


def created_with(connection: Connection) -> dict[str, CreatedWith]:
    """What each job was created with."""
    with transaction(connection) as cursor, pinned(cursor):
        cursor.execute(
            """
            SELECT job, query, coalesce(changes, 'triggers'), watermark, lookback, backfill_first,
                   outputs, carried, vanished, top, coalesce(per, '{}'), order_by, keep, diverse, max_per, eligible
            FROM pgscore.job_settings
            """
        )
        found = {}
        for job, *values in cursor.fetchall():
            fields: list[Any] = [tuple(value) if isinstance(value, list) else value for value in values]
            found[job] = CreatedWith(*fields)
        return found


def find_job(connection: Connection, job: str) -> Freshness:
    """The job of that name. Raises NotFoundError."""
    for known in list_jobs(connection):
        if known.job == job:
            return known
    raise NotFoundError(f"there is no refresh job {job!r}; see `pgscore refresh list`")


def drop_job(connection: Connection, job: str) -> None:
    """Drops a job, the record of its runs, and the user's schedule of it in pg_cron; its target table stays.

    Raises NotFoundError.
    """
    with transaction(connection) as cursor, pinned(cursor):
        cursor.execute("SELECT pgscore.drop_refresh(%s)", [job])
