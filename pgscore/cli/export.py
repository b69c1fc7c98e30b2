"""The command that writes a version as scripts for databases without pgscore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .command import Reply, Session, command
from .models import PANEL
from .options import ModelVersion, split_version


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    command(app, "export", panel=PANEL)(export)


def export(
    session: Session,
    name: ModelVersion,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="The folder to write. Default: `NAME_vV`, here.")
    ] = None,
    grant: Annotated[
        list[str] | None,
        typer.Option("--grant", metavar="ROLE", help="A role there that deploy.sql gives EXECUTE; repeatable."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over files that differ.")] = False,
) -> Reply:
    """Write a version (the live one, unless you say which) as deploy.sql, revert.sql and verify.sql.

    They run in psql, on a database that has the table and no pgscore. docs/export.md says what each does.
    """
    from pgscore.procedures.export import export as read

    model, version = split_version(name)
    with session.connection() as connection:
        scripts = read(connection, model, version, grant=grant or [])
    directory = to or Path(f"{scripts.name}_v{scripts.version}")
    files = scripts.write(directory, force=force)
    data = {"model": scripts.name, "version": scripts.version, "files": [str(path) for path in files]}
    said = f"Wrote {scripts.name} version {scripts.version} to {directory}: {', '.join(path.name for path in files)}"
    return Reply(data, lambda console: console.print(said))
