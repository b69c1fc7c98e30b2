"""Commands about pgscore.toml: plan shows what the database lacks to be as the file says, apply makes it so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from . import output
from .command import Reply, Session, command
from .replies import plain

if TYPE_CHECKING:
    from pgscore.procedures.project_actions import Action
    from pgscore.procedures.project_apply import Done
    from pgscore.procedures.project_plan import Plan

PANEL = "Models as files"

ProjectFile = Annotated[Path, typer.Option("--file", metavar="PATH", help="The models, jobs and grants.")]
Prune = Annotated[
    bool,
    typer.Option("--prune", help="Also drop jobs, and revoke grants, of the file's models that it does not name."),
]
ProjectTrust = Annotated[
    bool, typer.Option("--trust", help="Load the pickles that the file marks `trust = true`; no others.")
]


def register(app: typer.Typer) -> None:
    """Adds this group to the application."""
    command(app, "plan", panel=PANEL)(plan)
    command(app, "apply", panel=PANEL)(apply)


def plan(  # noqa: PLR0913, PLR0917 (its options)
    session: Session,
    file: ProjectFile = Path("pgscore.toml"),
    prune: Prune = False,
    check: Annotated[
        bool, typer.Option("--check", help="Also compile what would be deployed, and look at its table.")
    ] = False,
    trust: ProjectTrust = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 1 when there is something to do.")] = False,
) -> Reply:
    """Show what `apply` would do to make the database what pgscore.toml says. Changes nothing.

    Model files are hashed, not loaded, unless --check asks for it.
    """
    from pgscore.procedures.project import read_project
    from pgscore.procedures.project_plan import plan_project

    project = read_project(file)
    checked: list[str] = []
    with session.connection(project.dsn) as connection, output.progress("planning") as progress:
        found = plan_project(connection, project, prune=prune)
        if check:
            from pgscore.procedures.project_apply import check_plan

            progress("compiling")
            checked, warnings = check_plan(connection, found, trust=trust)
            output.warn(warnings)

    def show(console: Console) -> None:
        for action in found.actions:
            console.print(_line(action))
        _print_unnamed(console, found, file)
        if checked:
            console.print(f"Checked, compiles and fits its table: {', '.join(checked)}")
        if found.actions:
            console.print(f"Plan: {len(found.actions)} to do, {len(found.unchanged)} as {file} says")
        else:
            console.print(_nothing(file))

    data = {
        "file": str(file),
        "actions": [_described(action) for action in found.actions],
        "unchanged": found.unchanged,
        "unnamed": found.unnamed,
        "checked": checked,
    }
    return Reply(data, show, exit_code=1 if exit_code and found.actions else 0)


def apply(
    session: Session,
    file: ProjectFile = Path("pgscore.toml"),
    prune: Prune = False,
    trust: ProjectTrust = False,
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", help="How long to wait for another apply to end.", min=0)
    ] = 600,
) -> Reply:
    """Make the database what pgscore.toml says: deploy, promote, grant, and create or change jobs.

    Each action is a transaction. The first that fails ends it; what was done stays, and applying again goes on.
    """
    from pgscore.procedures.project import read_project
    from pgscore.procedures.project_apply import apply_project

    project = read_project(file)
    console = output.console()

    def before(action: Action) -> None:
        if not session.as_json:
            console.print(_line(action))

    def after(done: Done) -> None:
        output.warn(done.warnings)
        if done.deployment and not session.as_json:
            console.print(f"  {done.deployment.report.summary()}")

    def waiting() -> None:
        output.warn(["another apply is changing this database; waiting for it"])

    with session.connection(project.dsn) as connection:
        found, done = apply_project(
            connection, project, prune=prune, trust=trust, wait=wait, waiting=waiting, before=before, after=after
        )

    def show(console: Console) -> None:
        _print_unnamed(console, found, file)
        console.print(f"Applied {_count(found.actions, 'action')}" if found.actions else _nothing(file))

    data = {
        "file": str(file),
        "applied": [_described(one.action) | _deployed(one) for one in done],
        "unchanged": found.unchanged,
        "unnamed": found.unnamed,
    }
    return Reply(data, show)


def _line(action: Action) -> str:
    return f"{action.sign} {action}"


def _print_unnamed(console: Console, found: Plan, file: Path) -> None:
    if found.unnamed:
        console.print(f"Not in {file}, left alone: {', '.join(found.unnamed)}")


def _nothing(file: Path) -> str:
    return f"Nothing to do: the database is as {file} says"


def _count(things: Sequence[object], what: str) -> str:
    return f"{len(things)} {what}{'' if len(things) == 1 else 's'}"


def _described(action: Action) -> dict[str, Any]:
    return {"action": action.kind, **plain(action), "text": str(action)}


def _deployed(done: Done) -> dict[str, Any]:
    """What a deploy came to: its version may be another than planned, where somebody else deployed meanwhile."""
    if done.deployment is None:
        return {}
    return {
        "version": done.deployment.version,
        "strategy": done.deployment.artifact.strategy.value,
        "parity": json.loads(done.deployment.report.to_json()),
    }
