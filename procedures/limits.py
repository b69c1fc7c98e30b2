"""Limits of refresh jobs (sql/36_limits.sql): how long a run may take and wait, and how quickly it may score."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from .connection import Connection, pinned, transaction


def set_limits(
    connection: Connection,
    job: str,
    statement_timeout: timedelta | None = None,
    lock_timeout: timedelta | None = None,
    max_rows_per_second: int | None = None,
) -> None:
    """Limits each run of a job; None: no limit of its own. What the user scheduled of it in pg_cron changes too.

    Raises NotFoundError, RightsError, and SignatureError for a limit that makes no sense.
    """
    with transaction(connection) as cursor, pinned(cursor):
        cursor.execute(
            "SELECT pgscore.set_limits(%s, %s, %s, %s)", [job, statement_timeout, lock_timeout, max_rows_per_second]
        )


@contextmanager
def timed(cursor: Any, job: str) -> Iterator[None]:
    """Gives the session the statement_timeout of the job, if it has one, and its own back at the end."""
    cursor.execute(
        "SELECT l.statement_timeout, pg_catalog.current_setting('statement_timeout') FROM pgscore.limits_of(%s) AS l",
        [job],
    )
    limit, before = cursor.fetchone()
    if limit is None:
        yield
        return
    cursor.execute("SELECT pg_catalog.set_config('statement_timeout', %s, false)", [limit])
    try:
        yield
    finally:
        if not cursor.connection.closed:
            cursor.execute("SELECT pg_catalog.set_config('statement_timeout', %s, false)", [before])
