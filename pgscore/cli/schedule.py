"""Commands that have refresh jobs run by the clock: by pg_cron, or with what they print for cron and systemd."""

from __future__ import annotations

import shutil
import sys
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pgscore.errors import UsageError

from . import output
from .command import Reply, Session
from .options import Every, JobName


class Recipe(str, Enum):  # noqa: UP042 (typer shows the values of a str Enum)
    """`--print`: what runs the job where pg_cron does not."""

    CRON = "cron"
    SYSTEMD = "systemd"


def schedule(
    session: Session,
    job: JobName,
    every: Every = None,
    cron: Annotated[
        str | None, typer.Option("--cron", metavar="TIMES", help="When, as a cron expression: '0 3 * * *'.")
    ] = None,
    recipe: Annotated[
        Recipe | None, typer.Option("--print", help="Print what does it without pg_cron, and change nothing.")
    ] = None,
) -> Reply:
    """Have pg_cron run a job, as this role. Again with other times changes them.

    Without --every and --cron, the times are those of the job's own --every. Where pg_cron is not in the database, it
    prints what does the same with cron and systemd, and the exit code is 1.
    """
    if every is not None and cron is not None:
        raise UsageError("--every and --cron both say when: pass one of them")
    from pgscore.procedures import schedule as scheduling

    with session.connection() as connection:
        declared = scheduling.declared(connection, job)
        length = every or declared
        if cron is None and length is None:
            raise UsageError(f"say when to run {job}: --every '1 day', or --cron '0 3 * * *'")
        version = scheduling.pg_cron_version(connection)
        if recipe is None and version is not None:
            if cron is None and length is not None:
                cron = scheduling.pg_cron_expression(length, version)
            done = scheduling.schedule(connection, job, str(cron), every)
            says = f"pg_cron runs {job} at {done.cron} (its job {done.number})"
            data = {"job": job, "scheduled": True, "cron": done.cron, "number": done.number}
            return Reply(data, lambda console: console.print(says))
        address = scheduling.address(connection)
    texts = _recipes(job, cron, length, recipe, address)
    if recipe is None:
        output.warn(["pg_cron is not in this database; this does the same, where `pgscore` and its password file are"])
    data = {"job": job, "scheduled": False, "recipes": texts}
    return Reply(data, lambda console: _show(console, texts), exit_code=0 if recipe else 1)


def _recipes(
    job: str, cron: str | None, every: timedelta | None, recipe: Recipe | None, address: str
) -> dict[str, str]:
    """Texts by what they go into; without a `recipe`, all that can say these times."""
    from pgscore.procedures import schedule as scheduling

    program = _program()
    texts: dict[str, str] = {}
    if recipe is not Recipe.SYSTEMD:
        times = cron or (scheduling.cron_expression(every) if every else None)
        if times is not None:
            texts["crontab"] = scheduling.crontab_line(job, times, program, address) + "\n"
        elif recipe is Recipe.CRON:
            raise UsageError(
                f"cron cannot run {job} so often; it can {scheduling.FITTING}. Pass --cron, or `--print systemd`"
            )
    if recipe is not Recipe.CRON:
        if cron is None and every is not None:
            texts |= scheduling.systemd_units(job, every, program, address)
        elif recipe is Recipe.SYSTEMD:
            raise UsageError("a systemd timer takes no cron expression: pass --every")
    return texts


def _program() -> str:
    """Where the command itself is: cron and systemd know no PATH of a virtual environment."""
    beside = Path(sys.executable).with_name("pgscore")
    return str(beside) if beside.exists() else shutil.which("pgscore") or "pgscore"


def _show(console: Console, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        where = "crontab -e" if name == "crontab" else f"/etc/systemd/system/{name}"
        console.print(f"# {where}\n{text}", end="" if name == "crontab" else "\n")
    timers = [name for name in texts if name.endswith(".timer")]
    for name in timers:
        console.print(f"# then: systemctl daemon-reload && systemctl enable --now {name}")


def unschedule(session: Session, job: JobName) -> Reply:
    """Take a job from pg_cron; the refresh job stays."""
    from pgscore.procedures.schedule import unschedule as act

    with session.connection() as connection:
        there = act(connection, job)
    data: dict[str, Any] = {"job": job, "unscheduled": there}
    says = f"pg_cron runs {job} no more" if there else f"{job} is not in pg_cron, as far as this role sees"
    return Reply(data, lambda console: console.print(says))
