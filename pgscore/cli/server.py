"""Commands about a server: the tour, doctor, install, upgrade, uninstall, and the Python that PL/Python imports."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pgscore.errors import UsageError

from . import output
from .command import Reply, Session, command
from .options import DryRun
from .replies import plain, script

PANEL = "Server"


def register(app: typer.Typer) -> None:
    """Adds this group to the application."""
    command(app, "demo", server=False, panel="Start here")(demo)
    command(app, "doctor", panel=PANEL)(doctor)
    command(app, "install", panel=PANEL)(install)
    command(app, "upgrade", panel=PANEL)(upgrade)
    command(app, "calibrate", panel=PANEL)(calibrate)
    command(app, "uninstall", panel=PANEL)(uninstall)
    runtime = typer.Typer(help="The Python packages that PL/Python imports on the server.")
    command(runtime, "install", server=False)(runtime_install)
    app.add_typer(runtime, name="runtime", rich_help_panel=PANEL)


def demo(session: Session) -> Reply:
    """The tour: a private server, 7,043 customers, two versions of a churn model, from training to rollback."""
    from pgscore.demo import run

    summary = run(quiet=session.as_json)
    return Reply(summary, lambda _: None)


def doctor(session: Session) -> Reply:
    """Say what this server and this role can do, and what to do about the rest. Changes nothing.

    Exit code 1 where a problem keeps pgscore from being installed, from deploying or from scoring.
    """
    from pgscore.procedures.doctor import State, examine

    with session.connection() as connection, output.progress("asking"):
        findings = examine(connection)
    problems = [finding for finding in findings if finding.state is State.PROBLEM]

    def show(console: Console) -> None:
        cells = [[f.subject, f.state.value, f.found + (f" → {f.advice}" if f.advice else "")] for f in findings]
        console.print(output.table(["about", "", "finding"], cells))

    return Reply({"ok": not problems, "findings": plain(findings)}, show, exit_code=1 if problems else 0)


def install(
    session: Session,
    plpython: Annotated[
        bool, typer.Option("--plpython", help="Also the PL/Python functions for ONNX; needs a superuser, once.")
    ] = False,
    runtime: Annotated[
        Path | None,
        typer.Option("--runtime", metavar="DIR", help="The server's folder that `pgscore runtime install` filled."),
    ] = None,
    dry_run: DryRun = False,
) -> Reply:
    """Create the catalog, the procedures and the roles in this database. Running it again changes nothing."""
    from pgscore.procedures.install import install as apply

    _runtime_goes_with_plpython(runtime, plpython)
    with session.connection() as connection, output.progress("installing"):
        change = apply(connection, plpython=plpython, runtime=runtime, dry_run=dry_run)
    return script(
        change.statements, dry_run, "Installed pgscore.", change.notes, installed=not dry_run, plpython=plpython
    )


def upgrade(
    session: Session,
    plpython: Annotated[
        bool, typer.Option("--plpython", help="Also the PL/Python functions for ONNX; needs a superuser.")
    ] = False,
    runtime: Annotated[
        Path | None,
        typer.Option("--runtime", metavar="DIR", help="The server's folder of libraries. Default: the one in use."),
    ] = None,
    dry_run: DryRun = False,
) -> Reply:
    """Bring an older installation to this version. Models, jobs and rights stay; all of it is one transaction.

    Of the same version, the definitions are made again. It says what a superuser should run besides.
    """
    from pgscore.procedures.install import upgrade as apply

    _runtime_goes_with_plpython(runtime, plpython)
    with session.connection() as connection, output.progress("upgrading"):
        change = apply(connection, plpython=plpython, runtime=runtime, dry_run=dry_run)
    return script(
        change.statements, dry_run, "Upgraded pgscore.", change.notes, upgraded=not dry_run, plpython=plpython
    )


def _runtime_goes_with_plpython(runtime: Path | None, plpython: bool) -> None:
    if runtime is not None and not plpython:
        raise UsageError("--runtime is for --plpython: pass both")


def calibrate(
    session: Session,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure and print; store nothing.")] = False,
) -> Reply:
    """Measure what the parts of a model cost on this server, for `auto` to choose strategies by: about ten seconds.

    Takes a member of pgscore's owner. Later deploys go by it; versions that are there stay as they are.
    """
    from dataclasses import asdict

    from pgscore.compiler.costs import DEFAULTS
    from pgscore.procedures.calibrate import calibrate as apply

    with session.connection() as connection, output.progress("calibrating") as progress:
        found = apply(connection, dry_run=dry_run, progress=progress)
    costs, before = asdict(found.costs), asdict(DEFAULTS)

    def show(console: Console) -> None:
        cells = [[name, f"{before[name]:.4g}", f"{value:.4g}"] for name, value in costs.items()]
        console.print(output.table(["microseconds for", "default", "measured"], cells))
        errors = ", ".join(f"{group} {error:.0%}" for group, error in found.errors.items())
        console.print(f"\nMedian error of the fit: {errors}")
        if found.kept:
            kept = ", ".join(found.kept)
            console.print(f"Too far off, so the defaults stay: {kept}. Try again when the server has less to do.")
        console.print("Nothing is stored." if dry_run else "Stored; later deploys choose by it.")

    data = {"costs": costs, "defaults": before, "errors": found.errors, "kept": found.kept, "stored": not dry_run}
    return Reply(data, show)


def uninstall(session: Session, dry_run: DryRun = False) -> Reply:
    """Remove everything that install made, and all models with it. Prediction tables stay.

    Refused, naming it, while something of yours depends on it. It says which roles or settings stay, and why.
    """
    from pgscore.procedures.uninstall import uninstall as apply

    with session.connection() as connection, output.progress("uninstalling"):
        change = apply(connection, dry_run=dry_run)
    return script(
        change.statements, dry_run, "Removed pgscore from this database.", change.notes, uninstalled=not dry_run
    )


def runtime_install(
    session: Session,  # noqa: ARG001 (every command has one)
    target: Annotated[Path, typer.Option("--target", metavar="DIR", help="A folder that the server can read.")],
    python: Annotated[
        Path | None,
        typer.Option(
            "--python", metavar="PYTHON", help="The Python that PL/Python runs. Default: Debian's, /usr/bin/python3."
        ),
    ] = None,
) -> Reply:
    """Install numpy and onnxruntime for the server's Python into a folder of their own. Run it on the server."""
    from pgscore.procedures.runtime_install import install_runtime

    notes: list[str] = []
    with output.progress("installing") as progress:

        def say(message: str) -> None:
            notes.append(message)
            progress(message)

        info = install_runtime(target, python=python, progress=say)

    def show(console: Console) -> None:
        for note in notes:
            console.print(note)
        console.print(f"Ready. Next, as a superuser: pgscore install --plpython --runtime {info.folder}")

    return Reply({**plain(info), "notes": notes}, show)
