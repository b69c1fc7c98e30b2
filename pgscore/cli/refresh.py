"""Commands about prediction tables: refresh jobs, and whether their predictions are fresh."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import Annotated, Any

import typer
from rich.console import Console

from pgscore.errors import UsageError

from . import output
from .challenger import Canary, Challenger, challenge, check_canary, compare
from .command import Reply, Session, command
from .options import Alias, JobName
from .replies import plain, rows

PANEL = "Prediction tables"


class Mode(str, Enum):  # noqa: UP042 (typer shows the values of a str Enum)
    """`--mode`: what a run scores."""

    FULL = "full"
    INCREMENTAL = "incremental"


Full = Annotated[bool, typer.Option("--full", help="Score every row in an incremental job too.")]
BackfillRows = Annotated[
    int | None,
    typer.Option(
        "--backfill-rows", metavar="N", min=1, help="Rows of an old version per transaction. Default: 100000."
    ),
]


def register(app: typer.Typer) -> None:
    """Adds this group to the application."""
    jobs = typer.Typer(help="Jobs that fill prediction tables. From psql: CALL pgscore.refresh('JOB').")
    for name, function in (
        ("create", create),
        ("run", run),
        ("list", list_jobs),
        ("challenge", challenge),
        ("compare", compare),
        ("drop", drop),
    ):
        command(jobs, name)(function)
    app.add_typer(jobs, name="refresh", rich_help_panel=PANEL)
    command(app, "status", panel=PANEL)(status)


def create(  # noqa: PLR0913, PLR0917 (its options)
    session: Session,
    job: JobName,
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="The model that scores.")],
    source: Annotated[str, typer.Option("--from", metavar="TABLE", help="The table or view to score.")],
    key: Annotated[list[str], typer.Option("--key", metavar="COLUMN", help="A column of its key; repeatable.")],
    target: Annotated[str, typer.Option("--into", metavar="TABLE", help="The prediction table.")],
    alias: Alias = "live",
    mode: Annotated[Mode, typer.Option("--mode", help="What a run scores: every row, or what changed.")] = Mode.FULL,
    challenger: Challenger = None,
    canary: Canary = 0,
    outputs: Annotated[
        str, typer.Option("--outputs", metavar="LIST", help="More columns: `label,proba` of score.NAME_label, _proba.")
    ] = "",
    top: Annotated[
        int | None, typer.Option("--top", metavar="N", help="Keep the best N rows only, with a rank.")
    ] = None,
    per: Annotated[
        list[str] | None, typer.Option("--per", metavar="COLUMN", help="The best N for each of these; repeatable.")
    ] = None,
    order_by: Annotated[
        str, typer.Option("--order-by", metavar="COLUMN", help="What ranks: the score or a column of the source.")
    ] = "score",
    keep: Annotated[
        int | None, typer.Option("--keep", metavar="K", help="Keep K rows, of which the view TABLE_top shows N.")
    ] = None,
    diverse: Annotated[
        str | None, typer.Option("--diverse", metavar="COLUMN", help="The view shows few rows of one value of it:")
    ] = None,
    max_per: Annotated[int | None, typer.Option("--max-per", metavar="M", help="at most so many.")] = None,
    eligible: Annotated[
        str | None, typer.Option("--eligible", metavar="TABLE", help="The view shows only rows whose key is in it.")
    ] = None,
) -> Reply:
    """Create a job: score a table into a prediction table. Mode incremental puts triggers on the table."""
    check_canary(challenger, canary)
    if top is None and (per or (keep, diverse, max_per, eligible, order_by) != (None, None, None, None, "score")):
        raise UsageError("--per, --order-by, --keep, --diverse, --max-per and --eligible belong to --top")
    from pgscore.procedures.refresh import Top, create_job

    chosen: dict[str, Any] = {"model": model, "alias": alias, "source": source, "keys": key, "target": target}
    chosen |= {"mode": mode.value, "challenger": challenger, "canary": canary}
    chosen["outputs"] = [o for o in outputs.split(",") if o]
    ranking = None if top is None else Top(top, per or [], order_by, keep, diverse, max_per, eligible)
    with session.connection() as connection:
        create_job(connection, job, **chosen, top=ranking)
    data = {"job": job, **chosen, "top": None if ranking is None else plain(ranking)}
    return Reply(data, lambda console: console.print(f"Created {job}: {source} through {model} into {target}"))


def run(session: Session, job: JobName, full: Full = False, backfill_rows: BackfillRows = None) -> Reply:
    """Run a job now: readers see the old predictions until the new ones are there."""
    from pgscore.procedures.refresh import run_job

    with output.progress(f"refreshing {job}") as progress, session.connection() as connection:
        result = run_job(connection, job, progress, full=full, backfill_rows=backfill_rows)

    def show(console: Console) -> None:
        changes = f"{result.inserted:,} new, {result.updated:,} changed, {result.deleted:,} removed"
        refused = f"; {result.refused:,} have no score" if result.refused else ""
        console.print(
            f"Refreshed {job}: {result.rows:,} rows with version {result.version} in {result.seconds:.2f} s"
            f" ({changes}{refused}{f'; {result.steps} steps' if result.steps > 1 else ''})"
        )

    return Reply(plain(result), show)


def list_jobs(session: Session) -> Reply:
    """List the jobs: what each scores, with which model, and where to."""
    from pgscore.procedures.refresh import list_jobs as read

    with session.connection() as connection:
        jobs = read(connection)
    header = {"job": "job", "model": "model", "alias": "alias", "source": "from", "target": "into", "mode": "mode"}
    return rows(header, jobs, "No jobs yet: pgscore refresh create")


def drop(session: Session, job: JobName) -> Reply:
    """Drop a job; its prediction table stays."""
    from pgscore.procedures.refresh import drop_job

    with session.connection() as connection:
        drop_job(connection, job)
    return Reply({"job": job, "dropped": True}, lambda console: console.print(f"Dropped {job}; its table stays"))


def status(session: Session) -> Reply:
    """Show how fresh the prediction tables are. Exit code 1 when a run failed, or a table is of an older version."""
    from pgscore.procedures.refresh import status as read

    with session.connection() as connection:
        jobs = read(connection)
    fresh = all(job.fresh for job in jobs)
    data = [{**plain(job), "fresh": job.fresh} for job in jobs]

    def show(console: Console) -> None:
        if not jobs:
            console.print("No jobs yet: pgscore refresh create")
            return
        lines = [
            [job.job, job.state, job.target, job.rows, job.version, job.current_version, _age(job.age), job.error]
            for job in jobs
        ]
        header = ["job", "state", "table", "rows", "version", "current", "age", "error"]
        if any(job.challenger for job in jobs):
            header.append("challenger")
            for line, job in zip(lines, jobs, strict=True):
                line.append(job.challenger and f"{job.challenger}: {job.challenger_state}")
        if any(job.queued is not None for job in jobs):
            header += ["queued", "outdated"]
            for line, job in zip(lines, jobs, strict=True):
                line += [job.queued, job.outdated]
        console.print(output.table(header, lines))

    return Reply(data, show, exit_code=0 if fresh else 1)


def _age(age: timedelta | None) -> str:
    """The age in its largest unit."""
    if age is None:
        return "never run"
    seconds = age.total_seconds()
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
