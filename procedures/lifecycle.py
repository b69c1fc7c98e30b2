"""The verbs of a model's life. Each is one call of the SQL function of the same name, which does the work."""

from __future__ import annotations

from .catalog import history, list_models, show
from .connection import Connection, transaction

__all__ = ["drop", "drop_alias", "history", "list_models", "promote", "rollback", "show"]


def promote(
    connection: Connection, name: str, version: int, *, alias: str = "live", why: str | None = None
) -> int | None:
    """Points the alias to the version, and gives the version before (None: there was none). `why` is for the history.

    Raises NotFoundError, and RefusedError while something stores results of score.NAME or depends on its signature.
    """
    with transaction(connection) as cursor:
        cursor.execute("SELECT pgscore.promote(%s, %s::integer, %s, %s)", (name, version, alias, why))
        before: int | None = cursor.fetchone()[0]
        return before


def rollback(connection: Connection, name: str, *, alias: str = "live", why: str | None = None) -> int:
    """Points the alias to the version that it had before, and gives that. Raises RefusedError if there was none."""
    with transaction(connection) as cursor:
        cursor.execute("SELECT pgscore.rollback(%s, %s, %s)", (name, alias, why))
        now: int = cursor.fetchone()[0]
        return now


def drop(connection: Connection, name: str, version: int | None = None, *, why: str | None = None) -> None:
    """Drops a version that no alias points to, or (None) the model with all its versions. The history stays.

    Raises NotFoundError, and RefusedError while something depends on the functions.
    """
    with transaction(connection) as cursor:
        if version is None:
            cursor.execute("SELECT pgscore.drop_model(%s, %s)", (name, why))
        else:
            cursor.execute("SELECT pgscore.drop_version(%s, %s::integer, %s)", (name, version, why))


def drop_alias(connection: Connection, name: str, alias: str, *, why: str | None = None) -> None:
    """Drops an alias; its version stays. Raises NotFoundError, and RefusedError for `live` and an alias of a job."""
    with transaction(connection) as cursor:
        cursor.execute("SELECT pgscore.drop_alias(%s, %s, %s)", (name, alias, why))
