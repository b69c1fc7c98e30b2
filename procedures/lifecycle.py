"""The verbs of a model's life. Each is one call of the SQL function of the same name, which does the work.

Where another session is in the way they try again (`contention.py`), unless the connection has a transaction open
already: that one is the caller's.
"""

from __future__ import annotations

from typing import Any

from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from .catalog import history, list_models, show
from .connection import Connection, transaction
from .contention import retried

__all__ = ["drop", "drop_alias", "history", "list_models", "promote", "rollback", "show"]


def promote(
    connection: Connection, name: str, version: int, *, alias: str = "live", why: str | None = None
) -> int | None:
    """Points the alias to the version, and gives the version before (None: there was none). `why` is for the history.

    Raises NotFoundError, and RefusedError while something stores results of score.NAME or depends on its signature.
    """
    before: int | None = _call(connection, "pgscore.promote(%s, %s::integer, %s, %s)", name, version, alias, why)
    return before


def rollback(connection: Connection, name: str, *, alias: str = "live", why: str | None = None) -> int:
    """Points the alias to the version that it had before, and gives that. Raises RefusedError if there was none."""
    now: int = _call(connection, "pgscore.rollback(%s, %s, %s)", name, alias, why)
    return now


def drop(connection: Connection, name: str, version: int | None = None, *, why: str | None = None) -> None:
    """Drops a version that no alias points to, or (None) the model with all its versions. The history stays.

    Raises NotFoundError, and RefusedError while something depends on the functions.
    """
    if version is None:
        _call(connection, "pgscore.drop_model(%s, %s)", name, why)
    else:
        _call(connection, "pgscore.drop_version(%s, %s::integer, %s)", name, version, why)


def drop_alias(connection: Connection, name: str, alias: str, *, why: str | None = None) -> None:
    """Drops an alias; its version stays. Raises NotFoundError, and RefusedError for `live` and an alias of a job."""
    _call(connection, "pgscore.drop_alias(%s, %s, %s)", name, alias, why)


def _call(connection: Connection, function: str, *arguments: object) -> Any:
    def work(cursor: Any) -> Any:
        cursor.execute(f"SELECT {function}", arguments)
        return cursor.fetchone()[0]

    if connection.info.transaction_status != TRANSACTION_STATUS_IDLE:
        with transaction(connection) as cursor:
            return work(cursor)
    return retried(connection, transaction, work)
