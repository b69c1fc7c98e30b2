"""Rows that a refresh job could not score (sql/39_rejected.sql)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .connection import Connection, pinned, transaction
from .refresh import RunResult, find_job, run_job


@dataclass(frozen=True)
class RejectedRow:
    """A key without a score, why, and the run that rejected it first."""

    key: Mapping[str, Any]
    reason: str
    run_id: int
    since: datetime


def rejected(connection: Connection, job: str) -> list[RejectedRow]:
    """The keys that a job could not score, the oldest first; 1000 at most. Raises NotFoundError and RightsError."""
    with transaction(connection) as cursor, pinned(cursor):
        cursor.execute("SELECT r.key, r.reason, r.run_id, r.since FROM pgscore.rejected(%s) AS r", [job])
        return [RejectedRow(*row) for row in cursor.fetchall()]


def retry(connection: Connection, job: str, progress: Callable[[str], None] = lambda _: None) -> RunResult:
    """Scores the rejected keys of an incremental job again, with what is queued; a full job runs as ever.

    Raises what `run_job` raises.
    """
    if find_job(connection, job).mode == "incremental":
        with transaction(connection) as cursor, pinned(cursor):
            cursor.execute("SELECT pgscore.queue_rejected(%s)", [job])
    return run_job(connection, job, progress)
