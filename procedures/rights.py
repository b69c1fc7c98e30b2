"""Who may call which model: one grant for each model and role."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from .connection import Connection, transaction


@dataclass(frozen=True)
class Grant:
    """A role that may call a model, since when, and by whose grant."""

    model: str
    role: str
    granted_at: datetime
    granted_by: str


def grant(connection: Connection, model: str, role: str) -> bool:
    """Lets the role call the model. False if it might already. Raises NotFoundError for the model or the role."""
    return _change(connection, "grant_model", model, role)


def revoke(connection: Connection, model: str, role: str) -> bool:
    """Takes the grant back. False if there was none. Raises NotFoundError for the model or the role."""
    return _change(connection, "revoke_model", model, role)


def list_grants(connection: Connection) -> list[Grant]:
    """All grants, by model and role."""
    with transaction(connection) as cursor:
        cursor.execute("SELECT model, role, granted_at, granted_by FROM pgscore.grant_overview ORDER BY model, role")
        return [Grant(*row) for row in cursor.fetchall()]


def _change(connection: Connection, function: str, model: str, role: str) -> bool:
    with transaction(connection) as cursor:
        cursor.execute(f"SELECT pgscore.{function}(%s, %s)", (model, role))
        changed: bool = cursor.fetchone()[0]
        return changed
