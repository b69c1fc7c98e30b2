"""Commands about prediction tables: refresh jobs, and whether their predictions are fresh."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from pgscore.errors import UsageError

from . import output
from .challenger import Canary, Challenger, challenge, check_canary, compare
from .command import Reply, Session, command
from .options import Alias, Every, JobName, LockTimeout, MaxRowsPerSecond, StatementTimeout, TargetLag, interval
from .rejected import rejected, retry
from .replies import plain, rows
from .schedule import schedule, unschedule
from .status import status

if TYPE_CHECKING:
    from pgscore.procedures.refresh import RunResult

PANEL = "Prediction tables"


class Mode(str, Enum):  # noqa: UP042 (typer shows the values of a str Enum)
    """`--mode`: what a run scores."""

    FULL = "full"
    INCREMENTAL = "incremental"


class Vanished(str, Enum):  # noqa: UP042 (as above)
    """`--vanished`: what becomes of rows whose key the source has no more."""

    REMOVE = "remove"
    KEEP = "keep"


class Changes(str, Enum):  # noqa: UP042 (as above)
    """`--changes`: how an incremental job learns what changed."""

    TRIGGERS = "triggers"
    HASH = "hash"
    WATERMARK = "watermark"


Full = Annotated[bool, typer.Option("--full", help="Score every row in an incremental job too.")]
BackfillRows = Annotated[
    int | None,
    typer.Option(
        "--backfill-rows", metavar="N", min=1, help="Rows of an old version per transaction. Default: 100000."
    ),
]

ChunkRows = Annotated[
    int | None,
    typer.Option(
        "--chunk-rows",
        metavar="N",
        min=1,
        help="Score a full job in chunks of N, which a kill keeps.",
    ),
]

Jobs = Annotated[
    int, typer.Option("--jobs", metavar="N", min=1, help="Score a full job in N connections, from one snapshot.")
]


def register(app: typer.Typer) -> None:
    """Adds this group to the application."""
    jobs = typer.Typer(help="Jobs that fill prediction tables. From psql: CALL pgscore.run_job('JOB').")
    for name, function in (
        ("create", create),
        ("run", run),
        ("list", list_jobs),
        ("runs", runs),
        ("change", change),
        ("challenge", challenge),
        ("compare", compare),
        ("rejected", rejected),
        ("retry", retry),
        ("drop", drop),
    ):
        command(jobs, name)(function)
    app.add_typer(jobs, name="refresh", rich_help_panel=PANEL)
    for name, function in (("status", status), ("schedule", schedule), ("unschedule", unschedule)):
        command(app, name, panel=PANEL)(function)


def create(  # noqa: PLR0913, PLR0917 (its options)
    session: Session,
    job: JobName,
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="The model that scores.")],
    key: Annotated[list[str], typer.Option("--key", metavar="COLUMN", help="A column of its key; repeatable.")],
    target: Annotated[str, typer.Option("--into", metavar="TABLE", help="The prediction table.")],
    source: Annotated[
        str | None, typer.Option("--from", metavar="TABLE", help="The table or view to score; or --from-query.")
    ] = None,
    query: Annotated[
        str | None, typer.Option("--from-query", metavar="SQL", help="A query to score, of which TABLE_source is made.")
    ] = None,
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
    carry: Annotated[
        str, typer.Option("--carry", metavar="LIST", help="Columns of the source to store too: `region,plan`.")
    ] = "",
    vanished: Annotated[
        Vanished, typer.Option("--vanished", help="Rows whose key is gone: remove, or keep and mark in vanished_at.")
    ] = Vanished.REMOVE,
    changes: Annotated[
        Changes | None,
        typer.Option("--changes", help="How mode incremental learns of changes. Default: triggers on the table."),
    ] = None,
    watermark: Annotated[
        str | None, typer.Option("--watermark", metavar="COLUMN", help="The column that says when a row changed.")
    ] = None,
    lookback: Annotated[
        timedelta | None,
        typer.Option(
            "--lookback", metavar="TIME", parser=interval, help="How late a watermark may show up. Default: 10 min."
        ),
    ] = None,
    backfill_first: Annotated[
        str | None,
        typer.Option(
            "--backfill-first", metavar="COLUMN", help="After a promote, rows with the largest of it come first."
        ),
    ] = None,
    target_lag: TargetLag = None,
    every: Every = None,
    statement_timeout: StatementTimeout = None,
    lock_timeout: LockTimeout = None,
    max_rows_per_second: MaxRowsPerSecond = None,
    live: Annotated[
        bool, typer.Option("--live", help="Make the view TABLE_live: the stored score if fresh, else computed.")
    ] = False,
) -> Reply:
    """Create a job: score a table into a prediction table. Mode incremental puts triggers on the table, by default."""
    check_canary(challenger, canary)
    if (source is None) is (query is None):
        raise UsageError("say what to score: --from TABLE or --from-query SQL")
    if top is None and (per or (keep, diverse, max_per, eligible, order_by) != (None, None, None, None, "score")):
        raise UsageError("--per, --order-by, --keep, --diverse, --max-per and --eligible belong to --top")
    from pgscore.procedures.refresh import Top, create_job

    chosen: dict[str, Any] = {
        "model": model,
        "alias": alias,
        "source": source,
        "query": query,
        "keys": key,
        "target": target,
    }
    chosen |= {"mode": mode.value, "challenger": challenger, "canary": canary}
    chosen |= {"target_lag": target_lag, "every": every, "outputs": _listed(outputs), "carry": _listed(carry)}
    chosen |= {"statement_timeout": statement_timeout, "lock_timeout": lock_timeout}
    chosen |= {"max_rows_per_second": max_rows_per_second, "vanished": vanished.value}
    chosen |= {"changes": changes and changes.value, "watermark": watermark, "lookback": lookback}
    chosen |= {"backfill_first": backfill_first, "live": live}
    ranking = None if top is None else Top(top, per or [], order_by, keep, diverse, max_per, eligible)
    with session.connection() as connection:
        create_job(connection, job, **chosen, top=ranking)
    data = plain({"job": job, **chosen, "top": ranking})
    return Reply(
        data, lambda console: console.print(f"Created {job}: {source or 'a query'} through {model} into {target}")
    )


def _listed(names: str) -> list[str]:
    return [name for name in names.split(",") if name]


def run(  # noqa: PLR0913, PLR0917 (its options)
    session: Session,
    job: Annotated[str | None, typer.Argument(metavar="JOB", help="The job's name.")] = None,
    full: Full = False,
    backfill_rows: BackfillRows = None,
    chunk_rows: ChunkRows = None,
    jobs: Jobs = 1,
    due: Annotated[
        bool,
        typer.Option("--due", help="Run all jobs of this role whose --every has passed since their last run began."),
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say what would run, and why; change nothing. Exit code 1: it would fail.")
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="With --explain, also PostgreSQL's plan of the query.")] = False,
) -> Reply:
    """Run a job now, or all that are due: readers see the old predictions until the new ones are there."""
    if (job is None) is not due:
        raise UsageError("name the job, or pass --due for all that are due")
    if jobs > 1 and (job is None or chunk_rows is not None):
        raise UsageError("--jobs scores one job from one snapshot: leave --due and --chunk-rows away")
    if plan and not explain:
        raise UsageError("--plan belongs to --explain")
    if explain and (job is None or full or backfill_rows is not None or chunk_rows is not None):
        raise UsageError("--explain looks at one job as it is: name it, and pass --plan or nothing else")
    if job is None:
        return _run_due(session)
    if explain:
        return _explain(session, job, plan)
    from pgscore.procedures.refresh import run_job

    with output.progress(f"refreshing {job}") as progress, session.connection() as connection:
        result = run_job(
            connection, job, progress, full=full, backfill_rows=backfill_rows, chunk_rows=chunk_rows, jobs=jobs
        )

    return Reply(plain(result), lambda console: console.print(summary(result)))


def summary(it: RunResult) -> str:
    """A run in one line."""
    changes = f"{it.inserted:,} new, {it.updated:,} changed, {it.deleted:,} removed"
    if it.written == "swap":
        changes = f"swapped in: {it.because}"
    refused = f"; {it.refused:,} have no score, see `pgscore refresh rejected`" if it.refused else ""
    steps = f"; {it.steps} steps" if it.steps > 1 else ""
    return (
        f"Refreshed {it.job}: {it.rows:,} rows with version {it.version} in {it.seconds:.2f} s"
        f" ({changes}{refused}{steps})"
    )


def _explain(session: Session, job: str, plan: bool) -> Reply:
    from pgscore.procedures.explain import explain_job

    with session.connection() as connection:
        reasons = explain_job(connection, job, plan=plan)

    def show(console: Console) -> None:
        told = [reason for reason in reasons if reason.topic != "plan"]
        console.print(output.table(["", ""], [[reason.topic, reason.says] for reason in told]))
        for reason in reasons:
            if reason.topic == "plan":
                console.print(reason.says)

    would_run = not any(reason.stops for reason in reasons)
    data = {"job": job, "would_run": would_run, "reasons": [plain(reason) for reason in reasons]}
    return Reply(data, show, exit_code=0 if would_run else 1)


def _run_due(session: Session) -> Reply:
    """Exit code 1 when a job failed; one that is running already is no failure."""
    from pgscore.procedures.freshness import run_due

    with output.progress("looking for jobs that are due") as progress, session.connection() as connection:
        done = run_due(connection, lambda job: progress(f"refreshing {job}"))

    def show(console: Console) -> None:
        for one in done:
            console.print(f"{one.job}: {one.error}" if one.result is None else summary(one.result))
        if not done:
            console.print("Nothing is due")

    failed = any(one.error and not one.running for one in done)
    return Reply([plain(one) for one in done], show, exit_code=1 if failed else 0)


def list_jobs(session: Session) -> Reply:
    """List the jobs: what each scores, with which model, and where to."""
    from pgscore.procedures.refresh import list_jobs as read

    with session.connection() as connection:
        jobs = read(connection)
    header = {"job": "job", "model": "model", "alias": "alias", "source": "from", "target": "into", "mode": "mode"}
    return rows(header, jobs, "No jobs yet: pgscore refresh create")


def runs(
    session: Session,
    job: JobName,
    limit: Annotated[int, typer.Option("--limit", metavar="N", help="So many at most.", min=1)] = 20,
) -> Reply:
    """Show the last runs of a job, the last first."""
    from pgscore.procedures.freshness import runs as read

    with session.connection() as connection:
        found = read(connection, job, limit)
    header = {
        "run_id": "run", "state": "state", "version": "version", "started_at": "started", "seconds": "s",
        "rows_per_second": "rows/s", "rows": "rows", "inserted": "new", "updated": "changed", "deleted": "removed",
        "refused": "refused", "written": "written",
    }  # fmt: skip
    reply = rows(header, found, f"{job} has not run yet: pgscore refresh run {job}")

    def show(console: Console) -> None:
        reply.show(console)
        for one in found:
            if one.error is not None:
                console.print(f"run {one.run_id}: {one.error}")

    return Reply(reply.data, show)


def change(  # noqa: PLR0913, PLR0917 (its options)
    session: Session,
    job: JobName,
    target_lag: Annotated[
        str | None, typer.Option("--target-lag", metavar="TIME", help="How old the predictions may become, or `none`.")
    ] = None,
    every: Annotated[
        str | None, typer.Option("--every", metavar="TIME", help="When the next run is due, or `none`.")
    ] = None,
    statement_timeout: Annotated[
        str | None, typer.Option("--statement-timeout", metavar="TIME", help="How long a run may take, or `none`.")
    ] = None,
    lock_timeout: Annotated[
        str | None, typer.Option("--lock-timeout", metavar="TIME", help="How long a run waits for a lock, or `none`.")
    ] = None,
    max_rows_per_second: Annotated[
        str | None, typer.Option("--max-rows-per-second", metavar="N", help="How many rows a run scores, or `none`.")
    ] = None,
    live: Annotated[bool | None, typer.Option("--live/--no-live", help="Make the view TABLE_live, or drop it.")] = None,
) -> Reply:
    """Change how fresh a job is to be, and its limits. What is not given stays as it is, and the record of its runs."""
    given = {
        "target_lag": target_lag, "every": every, "statement_timeout": statement_timeout, "lock_timeout": lock_timeout,
        "max_rows_per_second": max_rows_per_second,
    }  # fmt: skip
    if live is None and all(value is None for value in given.values()):
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UsageError(f"say what to change: {options}, with a value or `none`; --live or --no-live")
    from pgscore.procedures.freshness import set_schedule
    from pgscore.procedures.intervals import as_text
    from pgscore.procedures.limits import set_limits
    from pgscore.procedures.project_actions import LIMITS, SCHEDULE
    from pgscore.procedures.refresh import find_job, set_live

    changed = {name: _read(name, text) for name, text in given.items() if text is not None}
    with session.connection() as connection:
        now = find_job(connection, job)
        wanted: dict[str, Any] = {}
        for group, change_them in ((SCHEDULE, set_schedule), (LIMITS, set_limits)):
            if not changed.keys().isdisjoint(group):
                values = {name: changed.get(name, getattr(now, name)) for name in group}
                change_them(connection, job, **values)
                wanted |= values
        if live is not None:
            set_live(connection, job, live)
            wanted["live"] = live
    shown = {
        name: as_text(value) if isinstance(value, timedelta) else "yes" if value is True else value or "none"
        for name, value in wanted.items()
    }
    says = ", ".join(f"{name.replace('_', ' ')} {text}" for name, text in shown.items())
    return Reply(plain({"job": job, **wanted}), lambda console: console.print(f"{job}: {says}"))


def _read(name: str, text: str) -> Any:
    """The value of an option, None for `none`. Raises UsageError."""
    if text == "none":
        return None
    if name != "max_rows_per_second":
        return interval(text)
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 2**63:
        raise UsageError(f"{text!r} is no number of rows; write one, such as 5000, or `none`")
    return int(text)


def drop(session: Session, job: JobName) -> Reply:
    """Drop a job; its prediction table stays."""
    from pgscore.procedures.refresh import drop_job

    with session.connection() as connection:
        drop_job(connection, job)
    return Reply({"job": job, "dropped": True}, lambda console: console.print(f"Dropped {job}; its table stays"))
