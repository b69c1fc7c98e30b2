"""`pgscore status`: how fresh the prediction tables are, for people, as JSON, and as OpenMetrics text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from pgscore.errors import UsageError

from . import openmetrics, output
from .command import Reply, Session
from .options import rough
from .replies import plain

if TYPE_CHECKING:
    from pgscore.procedures.freshness import PredictionAges
    from pgscore.procedures.refresh import Freshness


def status(
    session: Session,
    job: Annotated[str | None, typer.Argument(metavar="JOB", help="Only this job.")] = None,
    ages: Annotated[
        bool, typer.Option("--ages", help="Also how old the stored scores of JOB are: reads its whole table.")
    ] = False,
    metrics: Annotated[
        bool, typer.Option("--openmetrics", help="Print OpenMetrics text, for Prometheus; the exit code is 0.")
    ] = False,
) -> Reply:
    """Show how fresh the prediction tables are. Exit code 1 when a target is missed, a run failed, or a table is of an
    older version.
    """
    if ages and job is None:
        raise UsageError("--ages reads a whole table: name its job, as in `pgscore status JOB --ages`")
    if metrics and (session.as_json or ages or job is not None):
        raise UsageError("--openmetrics prints all jobs, and nothing else: leave JOB, --ages and --json away")
    if metrics:
        return _metrics(session)
    from pgscore.procedures.freshness import prediction_ages
    from pgscore.procedures.refresh import find_job, list_jobs

    with session.connection() as connection:
        jobs = list_jobs(connection) if job is None else [find_job(connection, job)]
        found = prediction_ages(connection, job) if job is not None and ages else None
    data = [{**plain(one), "fresh": one.fresh} for one in jobs]
    if found is not None:
        data = [{**one, "ages": plain(found)} for one in data]

    def show(console: Console) -> None:
        if not jobs:
            console.print("No jobs yet: pgscore refresh create")
            return
        console.print(_table(jobs))
        if found is not None:
            _show_ages(console, found)

    return Reply(data, show, exit_code=0 if all(one.fresh for one in jobs) else 1)


def _metrics(session: Session) -> Reply:
    """No exit code of its own: `pgscore status --openmetrics > FILE && mv …` must also work when a target is missed."""
    from pgscore.procedures.freshness import count_runs, last_runs
    from pgscore.procedures.refresh import list_jobs

    with session.connection() as connection:
        text = openmetrics.text(list_jobs(connection), last_runs(connection), count_runs(connection))
    return Reply(text, lambda _: print(text, end=""))


def _table(jobs: list[Freshness]) -> object:
    header = ["job", "state", "table", "rows", "version", "current", "age"]
    lines: list[list[object]] = [
        [job.job, job.state, job.target, job.rows, job.version, job.current_version, _age(job)] for job in jobs
    ]
    optional: dict[str, list[Any]] = {
        "next run": [job.next_run for job in jobs],
        "error": [job.error for job in jobs],
        "queued": [job.queued for job in jobs],
        "outdated": [job.outdated for job in jobs],
        "challenger": [job.challenger and f"{job.challenger}: {job.challenger_state}" for job in jobs],
    }
    for name, cells in optional.items():
        if name == "error" or any(cell is not None for cell in cells):
            header.append(name)
            for line, cell in zip(lines, cells, strict=True):
                line.append(cell)
    return output.table(header, lines)


def _age(job: Freshness) -> str:
    """The age, against what it may be where that is declared: `20 min > 15 min` is missed."""
    age = rough(job.age) if job.age is not None else "never run"
    if job.target_lag is None:
        return age
    from pgscore.procedures.intervals import as_text

    return f"{age} {'>' if job.target_missed else 'of'} {as_text(job.target_lag)}"


def _show_ages(console: Console, ages: PredictionAges) -> None:
    if ages.p50 is None or ages.p95 is None or ages.max is None:
        console.print(f"{ages.rows:,} rows")
        return
    key = ", ".join(f"{name} {value}" for name, value in (ages.oldest_key or {}).items())
    console.print(
        f"{ages.rows:,} rows; since their score was written: half {rough(ages.p50)}, 95 % {rough(ages.p95)}, all"
        f" {rough(ages.max)} at most; the oldest is {key}"
    )
