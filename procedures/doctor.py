"""What this server and this role can do for pgscore, and what to do about the rest. Reads only; may be run anywhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import psycopg2

from pgscore.compiler.backends.onnx import ML_OPSET, OPSET
from pgscore.errors import PgscoreError

from .connection import PINNED, Connection, errors, translate
from .install import MINIMUM_SERVER, SCHEMA_VERSION, has_plpython, is_installed, schema_version
from .plpython import installed_build

PATIENCE = "60s"
"""How long the server may think about a question."""

OLDEST_ONNXRUNTIME = (1, 18)
"""The first release that runs opset ai.onnx.ml 5."""


class State(Enum):
    """How a finding bears on the work."""

    OK = "ok"
    NOTE = "note"
    """It works, but something is slower, missing or to be kept in mind."""
    PROBLEM = "problem"
    """pgscore cannot be installed, deployed to or asked for scores before this is mended."""


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
    with errors(), connection.cursor() as cursor:
        cursor.execute(PINNED)
        # The role's own timeouts may be too short for a question, such as how long PL/Python's imports take.
        cursor.execute(f"SET LOCAL statement_timeout = '{PATIENCE}'; SET LOCAL lock_timeout = '{PATIENCE}'")
        for subject, ask in QUESTIONS.items():
            cursor.execute("SAVEPOINT pgscore_doctor")
            try:
                findings += [Finding(subject, *answer) for answer in ask(connection, cursor)]
            except (psycopg2.Error, PgscoreError) as error:
                if connection.closed:
                    raise
                cursor.execute("ROLLBACK TO SAVEPOINT pgscore_doctor")
                message = translate(error) if isinstance(error, psycopg2.Error) else error
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
    number, version, encoding, standby, read_only = _one(
        cursor,
        "SELECT current_setting('server_version_num')::integer, current_setting('server_version'),"
        " current_setting('server_encoding'), pg_is_in_recovery(),"
        " current_setting('default_transaction_read_only')::boolean",
    )
    if number < MINIMUM_SERVER:
        yield State.PROBLEM, f"PostgreSQL {version}", f"pgscore needs {MINIMUM_SERVER // 10000} or later: upgrade"
    else:
        yield State.OK, f"PostgreSQL {version}"
    if encoding not in {"UTF8", "SQL_ASCII"}:
        advice = "a model whose categories or names need other characters is refused at deploy"
        yield State.NOTE, f"the database's encoding is {encoding}", advice
    if standby:
        yield State.NOTE, "a standby: it scores, and takes no writes", "install, deploy and refresh on the primary"
    elif read_only:
        advice = "to install, deploy or refresh: SET default_transaction_read_only = off, for this role or database"
        yield State.NOTE, "transactions are read only by default", advice


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
    found = schema_version(connection)
    if found is None:
        yield State.OK, "pgscore is installed; this role may not read which version"
    else:
        (release,) = _one(cursor, "SELECT pgscore_version FROM pgscore.installation")
        yield from _version(found, f"pgscore {release} is installed (schema version {found})")
    cursor.execute(
        """
        SELECT FROM pg_catalog.pg_proc AS p
        JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
        WHERE n.nspname = 'pgscore' AND p.proname = 'begin_version'
          AND has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE')
        """
    )
    if not cursor.rowcount:
        yield State.NOTE, "this role may not deploy", "GRANT pgscore_deployer TO … lets a role deploy and drop models"
    build = installed_build(cursor)
    if build is not None and not build.current:
        advice = f"as a superuser: pgscore upgrade --plpython --runtime {build.folder}"
        yield State.NOTE, "the PL/Python functions are of another build than this package", advice


def _version(found: int, says: str) -> Iterator[Answer]:
    if found == SCHEMA_VERSION:
        yield State.OK, says
    elif found < SCHEMA_VERSION:
        yield State.PROBLEM, f"{says}, this package has {SCHEMA_VERSION}: no deploys", "pgscore upgrade"
    else:
        yield State.PROBLEM, f"{says}, this package has {SCHEMA_VERSION}", "update the package"


def _scoring(_connection: Connection, cursor: Any) -> Iterator[Answer]:
    cursor.execute(
        """
        SELECT has_schema_privilege(n.oid, 'USAGE'),
               count(p.oid) FILTER (WHERE has_function_privilege(p.oid, 'EXECUTE')), count(p.oid), current_user::text
        FROM pg_catalog.pg_namespace AS n
        LEFT JOIN pg_catalog.pg_proc AS p ON p.pronamespace = n.oid
        WHERE n.nspname = 'score'
        GROUP BY n.oid
        """
    )
    found = cursor.fetchone()
    if found is None:
        yield State.NOTE, "there is no schema score, so no models", "pgscore install"
        return
    usage, callable_, functions, user = found
    if not usage:
        yield State.NOTE, "this role may not use schema score", f"to score: GRANT pgscore_scorer TO {user}"
    elif callable_ < functions:
        advice = f"for the rest: GRANT pgscore_scorer TO {user}, or GRANT EXECUTE"
        yield State.NOTE, f"this role may call {callable_} of the {functions} functions of models", advice
    else:
        yield State.OK, f"this role may call all {functions} functions of models"


def _refresh(_connection: Connection, cursor: Any) -> Iterator[Answer]:
    # Where a target without a schema goes; the rest of examine looks names up in pg_catalog alone.
    (path,) = _one(cursor, "SELECT reset_val FROM pg_catalog.pg_settings WHERE name = 'search_path'")
    cursor.execute("SELECT pg_catalog.set_config('search_path', %s, true)", [path])
    temporary, schema, creates, user = _one(
        cursor,
        """
        SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY'),
               pg_catalog.current_schema()::pg_catalog.text,
               coalesce(pg_catalog.has_schema_privilege(pg_catalog.current_schema(), 'CREATE'), false),
               current_user::pg_catalog.text
        """,
    )
    cursor.execute(PINNED)
    if not temporary:
        advice = f"to refresh: GRANT TEMPORARY ON DATABASE … TO {user}"
        yield State.NOTE, "this role may create no temporary tables, which a refresh needs", advice
    if not creates:
        where = f"schema {schema}" if schema else "any schema of its search_path"
        advice = f"give --into a table in a schema where it may, or GRANT CREATE ON SCHEMA … TO {user}"
        yield State.NOTE, f"this role may create no tables in {where}", advice
    if temporary and creates:
        yield State.OK, f"this role may refresh into tables of schema {schema}"


def _models(_connection: Connection, cursor: Any) -> Iterator[Answer]:
    cursor.execute(
        """
        SELECT FROM pg_catalog.pg_proc AS p
        JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
        WHERE n.nspname = 'pgscore' AND p.proname = 'calls_version'
          AND has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE')
        """
    )
    if not cursor.rowcount:
        yield State.OK, "not looked at: that is for deployers, promoters and monitors"
        return
    cursor.execute(
        """
        SELECT v.model, v.version, pgscore.calls_version(v.model, v.version, v.functions)
        FROM pgscore.version_overview AS v
        WHERE 'live' = ANY (v.aliases)
        ORDER BY v.model
        """
    )
    found = cursor.fetchall()
    for model, version, calls in found:
        if not calls:
            # Of a dump that began during a promote (docs/operations.md).
            advice = f"pgscore promote {model} {version}"
            yield State.PROBLEM, f"score.{model} does not call version {version}, which is live", advice
    if all(calls for _, _, calls in found):
        yield State.OK, f"{len(found)} live: score.NAME calls the live version of each" if found else "none yet"


def _sql(_connection: Connection, cursor: Any) -> Iterator[Answer]:
    kinds = "linear models, small trees, encoders, k-means"
    yield State.OK, f"inline SQL needs nothing: {kinds}; about 1 µs a row, so tables of any size"
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
        kinds = "ensembles of some hundred trees, kernels, neighbours"
        speed = "25 to 150 µs a row, so single rows, and refreshes of up to a million"
        yield State.OK, f"plpgsql is there: {kinds}; {speed}"


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
        yield State.NOTE, "plpython3u is not available: no ONNX, so large ensembles are slow", advice


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
    opsets = f"opset {OPSET} and ai.onnx.ml up to {ML_OPSET}"
    if version < OLDEST_ONNXRUNTIME:
        yield State.PROBLEM, f"this onnxruntime does not run {opsets}", "pgscore runtime install again"
    else:
        yield State.OK, f"it runs graphs of {opsets}, which pgscore writes: large ensembles, 5 to 10 µs a row"


def _pg_cron(_connection: Connection, cursor: Any) -> Iterator[Answer]:
    available, installed = _extension(cursor, "pg_cron")
    if installed:
        (may,) = _one(cursor, "SELECT has_schema_privilege('cron', 'USAGE')")
        if may:
            yield State.OK, "pg_cron is installed: pgscore schedule JOB --every '1 day'"
        else:
            yield State.NOTE, "pg_cron is installed; this role may not use it", "GRANT USAGE ON SCHEMA cron TO …"
        return
    # It lives in one database of the server; who may not see the setting is not told.
    cursor.execute("SELECT setting, current_database() FROM pg_catalog.pg_settings WHERE name = 'cron.database_name'")
    home = cursor.fetchone()
    outside = "with cron or systemd: `pgscore schedule JOB --print cron`"
    if home is not None and home[0] != home[1]:
        job = "$$CALL pgscore.run_job('JOB')$$"
        advice = f"there: SELECT cron.schedule_in_database('NAME', '0 4 * * *', {job}, '{home[1]}')"
        yield State.NOTE, f"pg_cron runs in database {home[0]}", advice
    elif available:
        advice = f"shared_preload_libraries = 'pg_cron' and CREATE EXTENSION pg_cron; or schedule {outside}"
        yield State.NOTE, "pg_cron is available and not installed", advice
    else:
        yield State.NOTE, "pg_cron is not available", f"schedule {outside}"


TIMEOUTS = {
    "statement_timeout": "a refresh is one statement: raise it for the role that refreshes",
    "lock_timeout": "deploys and promotes wait this long for a lock at most",
    "idle_in_transaction_session_timeout": "a deploy's gate asks the model between queries: allow it a minute",
    "transaction_timeout": "a deploy and a refresh are one transaction each: raise it for the roles that run them",
}
"""Settings in milliseconds that may end the work, and what to do then; the last came with PostgreSQL 17."""


def _timeouts(_connection: Connection, cursor: Any) -> Iterator[Answer]:
    # The session's own value: examine has set others for this transaction.
    cursor.execute(
        "SELECT name, reset_val::integer FROM pg_catalog.pg_settings WHERE name = ANY (%s)", [list(TIMEOUTS)]
    )
    found = dict(cursor.fetchall())
    for name, advice in TIMEOUTS.items():
        if found.get(name):
            yield State.NOTE, f"{name} is {_duration(found[name])}", advice
        elif name in found:
            yield State.OK, f"{name} is off"


def _duration(milliseconds: int) -> str:
    for unit, size in (("min", 60_000), ("s", 1000)):
        if milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


def _extension(cursor: Any, name: str) -> tuple[bool, bool]:
    """(available, installed)."""
    cursor.execute("SELECT installed_version FROM pg_catalog.pg_available_extensions WHERE name = %s", [name])
    found = cursor.fetchone()
    return found is not None, found is not None and found[0] is not None


QUESTIONS: dict[str, Callable[[Connection, Any], Iterator[Answer]]] = {
    "server": _server,
    "role": _role,
    "pgscore": _installation,
    "scoring": _scoring,
    "refresh": _refresh,
    "models": _models,
    "SQL": _sql,
    "plpgsql": _plpgsql,
    "ONNX": _plpython,
    "schedule": _pg_cron,
    "timeouts": _timeouts,
}
"""What is asked, by the subject of the findings."""
