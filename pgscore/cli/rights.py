"""Commands about who may call a model: grant, revoke, grants."""

from __future__ import annotations

from typing import Annotated

import typer

from .command import Reply, Session, command
from .options import ModelName
from .replies import rows

PANEL = "Models"

Role = Annotated[str, typer.Argument(metavar="ROLE", help="A role of the server.")]


def register(app: typer.Typer) -> None:
    """Adds this group to the application."""
    for function in (grant, revoke, grants):
        command(app, function.__name__, panel=PANEL)(function)


def grant(session: Session, name: ModelName, role: Role) -> Reply:
    """Let a role call a model: all its versions, and those to come. Members of pgscore_scorer may call every model."""
    from pgscore.procedures.rights import grant as apply

    with session.connection() as connection:
        changed = apply(connection, name, role)
    says = f"{role} may call {name} now" if changed else f"{role} might call {name} already"
    return Reply(
        {"model": name, "role": role, "granted": True, "changed": changed}, lambda console: console.print(says)
    )


def revoke(session: Session, name: ModelName, role: Role) -> Reply:
    """Take back what `grant` gave. Rights that the role has as a member of another role stay."""
    from pgscore.procedures.rights import revoke as apply

    with session.connection() as connection:
        changed = apply(connection, name, role)
    says = f"{role} may call {name} no more" if changed else f"{name} was not granted to {role}"
    return Reply(
        {"model": name, "role": role, "granted": False, "changed": changed}, lambda console: console.print(says)
    )


def grants(
    session: Session,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One model; default: all.")] = None,
) -> Reply:
    """List which roles the models were granted to, when and by whom."""
    from pgscore.procedures.rights import list_grants as read

    with session.connection() as connection:
        found = read(connection, name)
    header = {"model": "model", "role": "role", "granted_at": "at", "granted_by": "by"}
    return rows(header, found, "No grants: pgscore grant NAME ROLE")
