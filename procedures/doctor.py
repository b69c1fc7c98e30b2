"""What this server and this role can do for pgscore, and what to do about the rest. Reads only; may be run anywhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import psycopg2

from pgscore.compiler.backends.onnx import ML_OPSET, OPSET

from .connection import Connection, errors, pinned
from .install import MINIMUM_SERVER, OWNER, has_plpython, is_installed

OLDEST_ONNXRUNTIME = (1, 18)
"""The first release that runs opset ai.onnx.ml 5."""


class State(Enum):
    """How a finding bears on the work."""

    OK = "ok"
    NOTE = "note"
    """It works, but something is slower, missing or to be kept in mind."""
    PROBLEM = "problem"
    """pgscore cannot be installed or cannot score before this is mended."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, what was found, and what to do about it ("" where nothing is to be done)."""

    subject: str
    state: State
    found: str
    advice: str = ""


def examine(connection: Connection) -> list[Finding]:
    """All findings, in the order in which one would mend them. Leaves no trace in the database.

    A question that the server does not let this role ask is a finding too. Raises ServerError where the connection
    itself fails.
    """
    findings: list[Finding] = []
    with errors(), connection.cursor() as cursor, pinned(cursor):
        for subject, ask in QUESTIONS.items():
            cursor.execute("SAVEPOINT pgscore_doctor")
            try:
                findings += [Finding(subject, *answer) for answer in ask(connection, cursor)]
            except psycopg2.Error as error:
                if connection.closed:
                    raise
                cursor.execute("ROLLBACK TO SAVEPOINT pgscore_doctor")
                message = (error.diag.message_primary or "an error").splitlines()[0]
                findings.append(Finding(subject, State.NOTE, f"cannot be asked: {message}", "ask as another role"))
            cursor.execute("RELEASE SAVEPOINT pgscore_doctor")
    connection.rollback()
    return findings


Answer = tuple[State, str] | tuple[State, str, str]


def _one(cursor: Any, query: str, *arguments: object) -> tuple[Any, ...]:
    cursor.execute(query, arguments)
    row: tuple[Any, ...] = cursor.fetchone()
    return row


def _server(_connection: Connection, cursor: Any) -> Iterator[Answer]:
    number, version, encoding, standby = _one(
        cursor,
        "SELECT current_setting('server_version_num')::integer, current_setting('server_version'),"
        " current_setting('server_encoding'), pg_is_in_recovery()",
    )
    if number < MINIMUM_SERVER:
        yield State.PROBLEM, f"PostgreSQL {version}", f"pgscore needs {MINIMUM_SERVER // 10000} or later: upgrade"
    else:
        yield State.OK, f"PostgreSQL {version}"
    if encoding not in {"UTF8", "SQL_ASCII"}:
        advice = "a model whose categories or names need other characters is refused at deploy"
        yield State.NOTE, f"the database's encoding is {encoding}", advice
    if standby:
        yield State.NOTE, "a standby: it scores, and takes no writes", "install and deploy on the primary"


def _role(_connection: Connection, cursor: Any) -> Iterator[Answer]:
    user, superuser, may_create_roles, may_create = _one(
        cursor,
        "SELECT current_user::text, r.rolsuper, r.rolcreaterole,"
        " has_database_privilege(current_database(), 'CREATE')"
        " FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user",
    )
    what = "a superuser" if superuser else "no superuser, which nothing but `install --plpython` needs"
    yield State.OK, f"{user}, {what}"
    if not (superuser or may_create):
        yield State.NOTE, "may not create schemas here", f"to install: GRANT CREATE ON DATABASE … TO {user}"
    if not (superuser or may_create_roles):
        yield (
            State.NOTE,
            "may not create roles",
            "install works without them, and this role then owns everything; or let a role with CREATEROLE install",
        )


def _installation(connection: Connection, cursor: Any) -> Iterator[Answer]:
    if not is_installed(connection):
        yield State.NOTE, "pgscore is not installed in this database", "pgscore install"
        return
    (deploys,) = _one(
        cursor,
        "SELECT pg_has_role(n.nspowner, 'MEMBER') FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'pgscore'",
    )
    yield State.OK, "pgscore is installed"
    if not deploys:
        yield State.NOTE, "this role may not deploy", f"GRANT {OWNER} TO … lets a role deploy and drop models"


def _sql(_connection: Connection, cursor: Any) -> Iterator[Answer]:
    yield State.OK, "inline SQL needs nothing: linear models, small trees, encoders, k-means"
    (jit,) = _one(cursor, "SELECT current_setting('jit') = 'on' AND pg_jit_available()")
    if jit:
        advice = "a query over many rows with a large model may compile for seconds before its first row: SET jit = off"
        yield State.NOTE, "JIT compilation is on", advice


def _plpgsql(_connection: Connection, cursor: Any) -> Iterator[Answer]:
    cursor.execute(
        "SELECT has_language_privilege(l.oid, 'USAGE') FROM pg_catalog.pg_language AS l WHERE lanname = 'plpgsql'"
    )
    found = cursor.fetchone()
    if found is None:
        yield State.PROBLEM, "the language plpgsql is missing", "CREATE EXTENSION plpgsql"
    elif not found[0]:
        yield State.PROBLEM, "this role may not use plpgsql", "GRANT USAGE ON LANGUAGE plpgsql TO …"
    else:
        yield State.OK, "plpgsql is there: ensembles of some hundred trees, kernels, neighbours"


def _plpython(connection: Connection, cursor: Any) -> Iterator[Answer]:
    available, installed = _extension(cursor, "plpython3u")
    if has_plpython(connection):
        yield State.OK, "the functions for ONNX are installed"
        yield from _runtime(cursor)
    elif installed or available:
        how = "installed" if installed else "available"
        advice = "as a superuser: pgscore runtime install --target DIR on the server, pgscore install --plpython"
        yield State.NOTE, f"plpython3u is {how}, the functions for ONNX are not", advice
    else:
        advice = (
            "where you run the server: Debian's postgresql-plpython3-NN; a managed server works with SQL and plpgsql"
        )
        yield State.NOTE, "plpython3u is not available: no ONNX", advice


def _runtime(cursor: Any) -> Iterator[Answer]:
    """Python and the libraries in the server, and how long a session's first score waits for them."""
    started = time.perf_counter()
    (info,) = _one(cursor, "SELECT pgscore.runtime_info()")
    seconds = time.perf_counter() - started
    if info["problem"]:
        yield State.PROBLEM, info["problem"]
        return
    libraries = ", ".join(f"{name} {version}" for name, version in info["libraries"].items())
    yield State.OK, f"Python {info['python']}, {libraries}; a session's first score waits {seconds:.1f} s for them"
    version = tuple(int(part) for part in info["libraries"]["onnxruntime"].split(".")[:2])
    opsets = f"opset {OPSET} and ai.onnx.ml {ML_OPSET}"
    if version < OLDEST_ONNXRUNTIME:
        yield State.PROBLEM, f"this onnxruntime does not run {opsets}", "pgscore runtime install again"
    else:
        yield State.OK, f"it runs graphs of {opsets}, which pgscore writes"


def _pg_cron(_connection: Connection, cursor: Any) -> Iterator[Answer]:
    available, installed = _extension(cursor, "pg_cron")
    if installed:
        yield State.OK, "pg_cron is installed: SELECT cron.schedule('…', '…', $$CALL pgscore.refresh('JOB')$$)"
    elif available:
        yield (
            State.NOTE,
            "pg_cron is available and not installed",
            "schedule refreshes outside, or CREATE EXTENSION pg_cron",
        )
    else:
        yield State.NOTE, "pg_cron is not available", "schedule `pgscore refresh run JOB` with cron or systemd"


def _timeouts(_connection: Connection, cursor: Any) -> Iterator[Answer]:
    for name, advice in (
        ("statement_timeout", "a refresh is one statement: raise it for the role that refreshes"),
        ("lock_timeout", "deploys and promotes wait this long for a lock at most"),
        ("idle_in_transaction_session_timeout", "a deploy's gate asks the model between queries: allow it a minute"),
    ):
        (value,) = _one(cursor, "SELECT current_setting(%s)", name)
        if value == "0":
            yield State.OK, f"{name} is off"
        else:
            yield State.NOTE, f"{name} is {value}", advice


def _extension(cursor: Any, name: str) -> tuple[bool, bool]:
    """(available, installed)."""
    cursor.execute("SELECT installed_version FROM pg_catalog.pg_available_extensions WHERE name = %s", [name])
    found = cursor.fetchone()
    return found is not None, found is not None and found[0] is not None


QUESTIONS: dict[str, Callable[[Connection, Any], Iterator[Answer]]] = {
    "server": _server,
    "role": _role,
    "pgscore": _installation,
    "SQL": _sql,
    "plpgsql": _plpgsql,
    "ONNX": _plpython,
    "schedule": _pg_cron,
    "timeouts": _timeouts,
}
"""What is asked, by the subject of the findings."""
