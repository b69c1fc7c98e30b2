"""Challengers from Python: a version that a refresh job scores beside live and compares (sql/34_challenger.sql)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from .catalog import read
from .connection import Connection, transaction
from .refresh import find_job


@dataclass(frozen=True)
class Comparison:
    """One run that had a challenger: figures of the rows that both versions scored (docs/challengers.md).

    A figure is None where it makes no sense for the kind of model. `version` is that of the job's own alias, live.
    Shares, among them `canary`, lie between 0 and 1. `mean_shift` is the mean of challenger - live.
    """

    job: str
    run_id: int
    at: datetime
    model: str
    alias: str
    version: int
    challenger: str
    challenger_version: int
    rows: int
    canary: float
    canary_rows: int
    both_refused: int
    only_live_refused: int
    only_challenger_refused: int
    agreement: float | None
    mean_live: float | None
    mean_challenger: float | None
    mean_shift: float | None
    mean_abs_shift: float | None
    max_abs_shift: float | None
    ks: float | None
    rank_correlation: float | None
    overlap_top_1pct: float | None
    overlap_top_10pct: float | None


def set_challenger(connection: Connection, job: str, alias: str | None, canary: float = 0) -> int | None:
    """Scores the version that `alias` means beside live; the share `canary` of the keys gets its scores in the target.

    Gives the version that the alias means now; None where there is none yet: runs go on with live alone. With `alias`
    None the job has no challenger any more. Raises NotFoundError for the job, InvalidNameError, RefusedError where the
    job itself scores with that alias, RightsError, and SignatureError where the two cannot be compared.
    """
    with transaction(connection) as cursor:
        cursor.execute("SELECT pgscore.set_challenger(%s, %s, %s)", [job, alias, canary])
        version: int | None = cursor.fetchone()[0]
        return version


def comparisons(connection: Connection, job: str) -> list[Comparison]:
    """What the runs of a job found, the last run first; empty where no run had a challenger.

    Who may not read all comparisons sees those of jobs of their own. Raises NotFoundError for the job.
    """
    found = read(connection, Comparison, "challenger_overview", "WHERE job = %s ORDER BY run_id DESC", (job,))
    if not found:
        find_job(connection, job)
    return found
