"""The verbs of a model's life. Each is one call of the SQL function of the same name, which does the work."""

from __future__ import annotations

from .catalog import history, list_models, show
from .connection import Connection, transaction

__all__ = ["drop", "history", "list_models", "promote", "rollback", "show"]


def promote(connection: Connection, name: str, version: int, *, alias: str = "live") -> int | None:
    """Points the alias to the version, and gives the version before (None: there was none).

    Raises NotFoundError, and RefusedError while something stores results of score.NAME or depends on its signature.
    """
    with transaction(connection) as cursor:
        cursor.execute("SELECT pgscore.promote(%s, %s::integer, %s)", (name, version, alias))
        before: int | None = cursor.fetchone()[0]
        return before


def rollback(connection: Connection, name: str, *, alias: str = "live") -> int:
    """Points the alias to the version that it had before, and gives that. Raises RefusedError if there was none."""
    with transaction(connection) as cursor:
        cursor.execute("SELECT pgscore.rollback(%s, %s)", (name, alias))
        now: int = cursor.fetchone()[0]
        return now


def drop(connection: Connection, name: str, version: int | None = None) -> None:
    """Drops a version that no alias points to, or (None) the model with all its versions. The history stays.

    Raises NotFoundError, and RefusedError while something depends on the functions.
    """
    with transaction(connection) as cursor:
        if version is None:
            cursor.execute("SELECT pgscore.drop_model(%s)", (name,))
        else:
            cursor.execute("SELECT pgscore.drop_version(%s, %s::integer)", (name, version))
