"""Connections, transactions, and the one place where PostgreSQL's errors become pgscore's."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2.extensions import parse_dsn

from pgscore.errors import (
    InvalidNameError,
    NotFoundError,
    NotInstalledError,
    PgscoreError,
    RefusedError,
    RightsError,
    ServerError,
    SignatureError,
    UsageError,
)

Connection = Any
"""A psycopg2 connection (the driver has no type hints)."""

CONNECT_TIMEOUT = 10
"""Seconds to wait for a server, unless the DSN or PGCONNECT_TIMEOUT says otherwise."""

PINNED = "SET LOCAL search_path = pg_catalog, pg_temp"
"""Until the end of the transaction, nothing depends on the session's search_path."""

RAISED: dict[str, type[PgscoreError]] = {
    "PS001": NotFoundError,
    "PS002": RefusedError,
    "PS003": InvalidNameError,
    "PS004": SignatureError,
    "PS005": RightsError,
}
"""The SQLSTATEs that pgscore's own SQL functions raise; their messages are ours and pass unchanged."""

LOCK_NOT_AVAILABLE, SERIALIZATION_FAILURE, DEADLOCK_DETECTED = "55P03", "40001", "40P01"

# What a message of class 22 quotes, in any language of lc_messages, may be the value of a row, and so may bytes be.
# A value may hold quotes and line breaks itself: from the first quote to the last.
_QUOTED = re.compile('(?s)["«»„“”‚‘’‹›「」].*["«»„“”‚‘’‹›「」]|0x[0-9a-f]{2}( 0x[0-9a-f]{2})*')

# What libpq says when it cannot connect (it gives no SQLSTATE there), and what the user should read.
_CONNECT_REASONS = (
    ("password authentication failed", "wrong password, or no such role"),
    ("no password supplied", "the server asks for a password; set PGPASSWORD or use ~/.pgpass"),
    ("no pg_hba.conf entry", "the server's pg_hba.conf does not let this role in from here"),
    ("authentication failed", "the server refused the login"),
    ("could not translate host name", "no such host"),
    ("Connection refused", "no server is listening there"),
    ("No such file or directory", "no server is listening there"),
    ("timeout expired", "the server did not answer in time"),
    ("starting up", "the server is still starting up"),
    ("too many connections", "the server has no free connection"),
    ("too many clients", "the server has no free connection"),
)


def connect(dsn: str | None = None) -> Connection:
    """A connection with autocommit off, to `dsn`, else to PGSCORE_DSN, else to where libpq's environment points.

    Raises UsageError for a DSN that cannot be read and ServerError for a server that cannot be reached. Neither message
    shows a password.
    """
    text = dsn or os.environ.get("PGSCORE_DSN") or ""
    try:
        given = parse_dsn(text)
    except psycopg2.ProgrammingError:
        # libpq quotes the part that it cannot read, which may be the password.
        raise UsageError(
            "the DSN is no connection string; write postgresql://user@host:port/database or 'host=… dbname=…'"
        ) from None
    given.setdefault("fallback_application_name", "pgscore")
    if "PGCONNECT_TIMEOUT" not in os.environ:
        given.setdefault("connect_timeout", str(CONNECT_TIMEOUT))
    try:
        connection = psycopg2.connect(**given)
    except psycopg2.Error as error:
        raise ServerError(f"cannot connect to {_where(given)}: {_connect_reason(str(error))}") from None
    with errors(f"connecting to {_where(given)}"):
        connection.set_client_encoding("UTF8")
        with connection, connection.cursor() as cursor:
            # A role may have fewer digits set; scores are compared to the last one.
            cursor.execute("SET extra_float_digits = 1")
    return connection


def _where(given: dict[str, str]) -> str:
    host = given.get("host") or given.get("hostaddr") or os.environ.get("PGHOST") or "the local socket"
    port = given.get("port") or os.environ.get("PGPORT") or "5432"
    user = given.get("user") or os.environ.get("PGUSER")
    database = given.get("dbname") or os.environ.get("PGDATABASE")
    place = f"{host}, port {port}"
    place += f", database {database}" if database else ""
    return place + (f", as {user}" if user else "")


def _connect_reason(message: str) -> str:
    for part, reason in _CONNECT_REASONS:
        if part in message:
            return reason
    last = message.strip().splitlines()[-1]
    return last.rsplit("FATAL:", 1)[-1].strip()


@contextmanager
def transaction(connection: Connection) -> Iterator[Any]:
    """One transaction, with a cursor: committed at the end, rolled back on any exception, errors translated."""
    with errors(), connection, connection.cursor() as cursor:
        yield cursor


@contextmanager
def autocommit(connection: Connection) -> Iterator[Any]:
    """A cursor outside of transactions, for procedures that commit; the transaction that is open is committed."""
    connection.commit()
    before = connection.autocommit
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        if not connection.closed:
            connection.autocommit = before


@contextmanager
def pinned(cursor: Any) -> Iterator[None]:
    """Names, operators too, are looked up in pg_catalog alone, whatever schemas the session's search_path begins with.

    Afterwards the path is as before. After an error it is so from the end of the transaction on.
    """
    cursor.execute("SELECT pg_catalog.current_setting('search_path')")
    (path,) = cursor.fetchone()
    cursor.execute(PINNED)
    yield
    cursor.execute("SELECT pg_catalog.set_config('search_path', %s, true)", (path,))


@contextmanager
def errors(doing: str = "") -> Iterator[None]:
    """Turns psycopg2's errors into pgscore's; `doing` ("reading sales.customers") begins the message."""
    try:
        yield
    except psycopg2.Error as error:
        raise translate(error, doing) from error
    except ValueError as error:
        if "NUL (0x00)" in str(error):  # psycopg2 says so of a parameter
            raise InvalidNameError("a name holds the character NUL, which no text in PostgreSQL can") from None
        raise


@contextmanager
def savepoint(connection: Connection) -> Iterator[Any]:
    """A part of the open transaction, with a cursor: undone alone on any exception, errors translated."""
    with errors(), connection.cursor() as cursor:
        cursor.execute("SAVEPOINT pgscore_part")
        try:
            yield cursor
        except BaseException:
            cursor.execute("ROLLBACK TO SAVEPOINT pgscore_part; RELEASE SAVEPOINT pgscore_part")
            raise
        cursor.execute("RELEASE SAVEPOINT pgscore_part")


def is_contention(error: psycopg2.Error) -> bool:
    """Whether another session was in the way, so that the same may pass another time.

    Two sessions that replace a function or change its grants at once meet in a row of pg_proc, an internal error.
    """
    concurrent = error.pgcode == "XX000" and "tuple concurrently" in str(error)
    return concurrent or error.pgcode in {LOCK_NOT_AVAILABLE, SERIALIZATION_FAILURE, DEADLOCK_DETECTED}


def translate(error: psycopg2.Error, doing: str = "") -> PgscoreError:
    """The pgscore error for a PostgreSQL error: one line, without values from rows."""
    state = error.pgcode or ""
    diag = getattr(error, "diag", None)
    primary = (getattr(diag, "message_primary", None) or str(error)).strip() or "unknown error"
    hint = getattr(diag, "message_hint", None)
    if state.startswith("22"):
        # "invalid input syntax for type integer: …" goes on with the value.
        primary = _QUOTED.sub("…", primary).split(":")[0]
    message = primary.splitlines()[0]
    if state in RAISED:
        return RAISED[state](f"{message}; {hint}" if hint else message)
    prefix = f"{doing}: " if doing else ""
    if state in {"42P01", "42883", "3F000"} and "pgscore" in message:
        return NotInstalledError(
            f"{prefix}pgscore is not installed in this database, or not completely ({message}); run `pgscore install`"
        )
    if state == "42501":
        return RightsError(f"{prefix}{message}" + (f"; {hint}" if hint else ""))
    if is_contention(error):
        what = "holds a lock that this needs" if state == LOCK_NOT_AVAILABLE else "changed the same at the same time"
        return RefusedError(f"{prefix}another session {what} ({message}); try again later")
    if state == "2BP01":
        detail = (getattr(diag, "message_detail", None) or "").splitlines()
        return RefusedError(f"{prefix}{message}" + (f" ({'; '.join(detail)})" if detail else ""))
    if state == "25006":
        message = (
            f"the server takes no writes ({message}); connect to the primary, or where it is a setting,"
            " SET default_transaction_read_only = off"
        )
    return ServerError(prefix + message + (f" (SQLSTATE {state})" if state else ""))
