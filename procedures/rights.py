"""Models for roles: who may call which model. The work is done by sql/24_model_grants.sql."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from .catalog import read
from .connection import Connection, transaction


@dataclass(frozen=True)
class Grant:
    """A role that may call a model; when and by whom it was let (None: by a GRANT by hand)."""

    model: str
    role: str
    granted_at: datetime | None
    granted_by: str | None


def grant(connection: Connection, model: str, role: str) -> bool:
    """Lets `role` call `model`, all its versions and those to come. Gives False where it may already.

    Raises NotFoundError for the model or the role, and RightsError.
    """
    with transaction(connection) as cursor:
        cursor.execute("SELECT pgscore.grant_model(%s, %s)", (model, role))
        return bool(cursor.fetchone()[0])


def revoke(connection: Connection, model: str, role: str) -> bool:
    """Takes back what `grant` gave; False where there is nothing to take. Raises NotFoundError and RightsError."""
    with transaction(connection) as cursor:
        cursor.execute("SELECT pgscore.revoke_model(%s, %s)", (model, role))
        return bool(cursor.fetchone()[0])


def list_grants(connection: Connection, model: str | None = None) -> list[Grant]:
    """The grants of a model, or of all, by model and role."""
    return read(
        connection,
        Grant,
        "grant_overview",
        "WHERE model = %s OR %s IS NULL ORDER BY model, role",
        (model, model),
    )
