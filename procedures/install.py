"""Install and upgrade: plans made from what the server says about role and database, then applied or printed.

Two kinds of SQL: the numbered files of sql/ hold the full definitions and may run again; those of sql/migrations/ run
once each, in an upgrade. All of a plan is one transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version as package_version
from importlib.resources import files
from pathlib import Path
from typing import Any

from pgscore.errors import NotInstalledError, RefusedError, RightsError, ServerError, UsageError
from pgscore.quoting import ident, literal

from .connection import PINNED, Connection, errors, pinned, transaction
from .plan import Change, Statement, apply

SCHEMA_VERSION = 2
"""Version of the tables and procedures in sql/."""

MINIMUM_SERVER = 150000

OWNER = "pgscore_owner"
ROLES = (
    OWNER,
    "pgscore_deployer",
    "pgscore_promoter",
    "pgscore_scorer",
    "pgscore_monitor",
    "pgscore_sandbox",
)

SCHEMAS = ("pgscore", "score", "pgscore_staging")

LOCK = "pg_advisory_xact_lock(pg_catalog.hashtext('pgscore.installation'))"
"""Held by install, upgrade and uninstall to the end of their transaction: one at a time."""

PREAMBLE = Statement(
    f"{PINNED};\nSET LOCAL client_min_messages = warning;\n"
    "SET LOCAL lock_timeout = '10s';\n"
    f"DO $lock$ BEGIN PERFORM {LOCK}; END $lock$",
    "Nothing below depends on the session's search_path. A lock that a long query holds is not waited for: those who\n"
    "came after us would wait too.",
)


QUIET = Statement(
    "LOCK TABLE pgscore.models IN EXCLUSIVE MODE",
    "Meanwhile nothing is deployed, promoted or dropped; models score on.",
)

# Not by to_regclass, which raises where the role may not use the schema.
_INSTALLED = """EXISTS (
    SELECT FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = 'pgscore' AND c.relname = 'installation')"""


def is_installed(connection: Connection) -> bool:
    """Whether the catalog is in this database."""
    with errors(), connection.cursor() as cursor, pinned(cursor):
        cursor.execute(f"SELECT {_INSTALLED}")
        return bool(cursor.fetchone()[0])


def has_plpython(connection: Connection) -> bool:
    """Whether the PL/Python functions that score ONNX graphs are in this database."""
    with errors(), connection.cursor() as cursor, pinned(cursor):
        cursor.execute(
            """
            SELECT count(DISTINCT p.proname) = 2
            FROM pg_catalog.pg_proc AS p
            JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
            WHERE n.nspname = 'pgscore' AND p.proname IN ('onnx_row', 'onnx_batch')
            """
        )
        return bool(cursor.fetchone()[0])


def schema_version(connection: Connection) -> int | None:
    """The schema version that is installed here; None where there is none, or the role may not read it."""
    with errors(), connection.cursor() as cursor, pinned(cursor):
        cursor.execute(
            """
            SELECT FROM pg_catalog.pg_class AS c
            JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
            WHERE n.nspname = 'pgscore' AND c.relname = 'installation'
              AND has_schema_privilege(n.oid, 'USAGE') AND has_column_privilege(c.oid, 'schema_version', 'SELECT')
            """
        )
        if not cursor.rowcount:
            return None
        cursor.execute("SELECT schema_version FROM pgscore.installation")
        found = cursor.fetchone()
        return None if found is None else int(found[0])


def require_current(connection: Connection) -> None:
    """Raises NotInstalledError where pgscore is not here, and RefusedError where another schema version is."""
    if not is_installed(connection):
        raise NotInstalledError("pgscore is not installed in this database; run `pgscore install`")
    found = schema_version(connection)
    if found is not None and found != SCHEMA_VERSION:
        raise _other_version(found)


def _other_version(found: int) -> RefusedError:
    what = f"(schema version {found}, this package has {SCHEMA_VERSION})"
    if found > SCHEMA_VERSION:
        return RefusedError(f"a newer pgscore is installed here {what}; update the package")
    return RefusedError(f"an older pgscore is installed here {what}; run `pgscore upgrade`")


def install(
    connection: Connection, *, plpython: bool = False, runtime: Path | None = None, dry_run: bool = False
) -> Change:
    """Installs the catalog, the procedures and, where the role may create them, the roles. May run again.

    `plpython` adds the functions for ONNX, which takes a superuser; `runtime` is the folder on the server that holds
    numpy and onnxruntime. Gives the plan; with `dry_run` nothing runs.

    Raises RightsError where the role lacks a right, and RefusedError where another schema version is installed or a
    schema of that name is somebody else's.
    """
    if plpython and runtime is None:
        raise _NO_RUNTIME
    with transaction(connection) as cursor, pinned(cursor):
        cursor.execute(f"SELECT {LOCK}")
        state = inspect(cursor)
        _check_rights(state, "install", with_plpython=plpython)
        if state.schema_version not in {None, SCHEMA_VERSION}:
            raise _other_version(state.schema_version or 0)
        change = _plan(state, None, runtime if plpython else None)
        if not dry_run:
            apply(connection, change.statements)
    return change


def upgrade(
    connection: Connection, *, plpython: bool = False, runtime: Path | None = None, dry_run: bool = False
) -> Change:
    """Brings what is installed to this package's version: the migrations that it lacks, then all definitions anew.

    Models, jobs and rights stay. Of the same version only the definitions are made again. `plpython` also replaces the
    functions for ONNX, which takes a superuser; `runtime` is their folder, by default the one that they use now. The
    notes say what is left to do. Gives the plan; with `dry_run` nothing runs.

    Raises NotInstalledError, RightsError, and RefusedError where a newer version is installed or something of a user's
    stands in the way of a migration.
    """
    from .plpython import installed_build

    with transaction(connection) as cursor, pinned(cursor):
        cursor.execute(f"SELECT {LOCK}")
        state = inspect(cursor)
        if not state.installed:
            raise NotInstalledError("pgscore is not installed in this database; run `pgscore install`")
        _check_rights(state, "upgrade", with_plpython=plpython)
        if state.schema_version is None:
            raise RefusedError("pgscore.installation has no row: it does not say which version is installed")
        if state.schema_version > SCHEMA_VERSION:
            raise _other_version(state.schema_version)
        build = installed_build(cursor)
        if plpython and runtime is None:
            if build is None:
                raise _NO_RUNTIME
            runtime = build.folder
        change = _plan(state, state.schema_version, runtime if plpython else None)
        if state.schema_version == SCHEMA_VERSION:
            change.notes.append(f"Schema version {SCHEMA_VERSION} was here already: its definitions were made again.")
        else:
            change.notes.append(f"Schema version {state.schema_version} became {SCHEMA_VERSION}.")
        if build is not None and not build.current and not plpython:
            change.notes.append(
                "The PL/Python functions are of another build of pgscore; a superuser should run:"
                f" pgscore upgrade --plpython --runtime {build.folder}"
            )
        if not dry_run:
            apply(connection, change.statements)
    return change


_NO_RUNTIME = UsageError(
    "the PL/Python functions need the folder with numpy and onnxruntime; see `pgscore runtime install`"
)


@dataclass(frozen=True)
class State:
    """What the server says about the role and about what is installed."""

    server: int
    database: str
    user: str
    superuser: bool
    may_create_roles: bool
    may_create_schemas: bool
    roles: dict[str, tuple[bool, bool]]
    """The roles of ours that exist: may the user act as it, may the user give it away."""
    schemas: dict[str, str]
    """The schemas of ours that exist, and their owners."""
    installed: bool
    schema_version: int | None
    acts_as_schema_owner: bool


def inspect(cursor: Any) -> State:
    """Asks the server; the role may be a member of the owner that does not inherit its rights."""
    cursor.execute(
        f"""
        SELECT current_setting('server_version_num')::integer, current_database()::text, current_user::text,
               r.rolsuper, r.rolcreaterole, has_database_privilege(current_database(), 'CREATE'), {_INSTALLED}
        FROM pg_catalog.pg_roles AS r
        WHERE r.rolname = current_user
        """  # noqa: S608 (a constant)
    )
    server, database, user, superuser, createrole, create, installed = cursor.fetchone()
    # From PostgreSQL 16 on, membership does not always mean that SET ROLE is allowed.
    act = "SET" if server >= 160000 else "MEMBER"
    cursor.execute(
        """
        SELECT r.rolname::text, pg_has_role(r.oid, %s), pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION')
        FROM pg_catalog.pg_roles AS r
        WHERE r.rolname = ANY (%s)
        """,
        (act, list(ROLES)),
    )
    roles = {name: (acts, gives) for name, acts, gives in cursor.fetchall()}
    cursor.execute(
        """
        SELECT n.nspname::text, r.rolname::text, pg_has_role(r.oid, %s)
        FROM pg_catalog.pg_namespace AS n
        JOIN pg_catalog.pg_roles AS r ON r.oid = n.nspowner
        WHERE n.nspname = ANY (%s)
        """,
        (act, list(SCHEMAS)),
    )
    found = cursor.fetchall()
    acts_as_owner = all(row[2] for row in found)
    version = None
    if installed and acts_as_owner:
        owner = next(row[1] for row in found if row[0] == "pgscore")
        with acting_as(cursor, owner):
            cursor.execute("SELECT max(schema_version) FROM pgscore.installation")
            version = cursor.fetchone()[0]
    return State(
        server,
        database,
        user,
        superuser,
        superuser or createrole,
        create,
        roles,
        {row[0]: row[1] for row in found},
        installed,
        version,
        acts_as_owner,
    )


@contextmanager
def acting_as(cursor: Any, role: str) -> Iterator[None]:
    """Acts as the role; afterwards as before. An error leaves that to the end of the transaction."""
    cursor.execute("SELECT current_setting('role')")
    (before,) = cursor.fetchone()
    cursor.execute(f"SET LOCAL ROLE {ident(role)}")
    yield
    cursor.execute("SELECT set_config('role', %s, true)", (before,))


def _plan(state: State, upgraded: int | None, runtime: Path | None) -> Change:
    """The plan of an install, or of the upgrade of schema version `upgraded`."""
    makes_roles, owner = _ownership(state)
    notes = []
    plan = [PREAMBLE]
    scripts = _scripts("sql")
    roles = scripts.pop("00_roles.sql")
    if makes_roles:
        plan.append(Statement(roles, "00_roles.sql: the roles"))
    elif owner == OWNER and (missing := [name for name in ROLES if name not in state.roles]):
        notes.append(f"The role {', '.join(missing)} is missing: a superuser should run `pgscore upgrade`.")
    if lacking := [schema for schema in SCHEMAS if schema not in state.schemas]:
        plan.append(
            Statement(
                "\n".join(f"CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {ident(owner)};" for schema in lacking),
                "The schemas: pgscore for the catalog and the procedures, score for the models' functions, and one"
                " where a deploy makes them.",
            )
        )
    says = f"All that follows belongs to {owner}."
    if owner == state.user:
        says = f"{owner} may create no roles: it owns all that follows, and grants to others by hand."
    plan.append(Statement(f"SET LOCAL ROLE {ident(owner)}", says))
    plan.append(_guard(upgraded))
    if state.installed:
        plan.append(QUIET)
    grants = scripts.pop("90_grants.sql")
    if upgraded is not None:
        plan += [
            Statement(text, f"migrations/{name}")
            for name, text in _scripts("sql/migrations").items()
            if upgraded < int(name[:4])
        ]
    plan += [Statement(text, name) for name, text in scripts.items()]
    plan.append(Statement(_record(), "The version that is installed."))
    if runtime is not None:
        from .plpython import statements as plpython_statements

        plan.append(Statement("SET LOCAL ROLE NONE", "Functions in PL/Python take a superuser."))
        plan += plpython_statements(runtime)
        plan.append(Statement(f"SET LOCAL ROLE {ident(owner)}"))
    plan.append(Statement(grants, "90_grants.sql"))
    plan.append(Statement("SET LOCAL ROLE NONE"))
    return Change(plan, notes)


def _guard(upgraded: int | None) -> Statement:
    """Stops the plan where another version is installed than when it was made."""
    expected, command = (SCHEMA_VERSION, "install") if upgraded is None else (upgraded, "upgrade")
    return Statement(
        f"""DO $guard$
DECLARE
    is_here integer;
BEGIN
    IF to_regclass('pgscore.installation') IS NOT NULL THEN
        is_here := (SELECT max(i.schema_version) FROM pgscore.installation AS i);
    END IF;
    IF is_here <> {expected}{" OR is_here IS NULL" if upgraded is not None else ""} THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('the plan is for schema version {expected}; here is %s', coalesce(is_here::text, 'none')),
            HINT = 'make the plan again, with pgscore {command} --dry-run';
    END IF;
END
$guard$""",  # noqa: S608 (numbers)
        "The plan was made for this state of the database.",
    )


def _ownership(state: State) -> tuple[bool, str]:
    """Whether the plan makes the roles, and who owns what it makes."""
    acts, _ = state.roles.get(OWNER, (False, False))
    complete = all(name in state.roles for name in ROLES)
    # Before PostgreSQL 16, CREATEROLE gives any role away; from then on, only those it has with the admin option.
    can_join = all(state.server < 160000 or gives for _, gives in state.roles.values())
    makes_roles = state.superuser or (state.may_create_roles and can_join and not (complete and acts))
    if "pgscore" in state.schemas:
        return makes_roles, state.schemas["pgscore"]
    return makes_roles, OWNER if makes_roles or acts else state.user


def _check_rights(state: State, command: str, *, with_plpython: bool) -> None:
    _, owner = _ownership(state)
    if state.server < MINIMUM_SERVER:
        raise ServerError(f"pgscore needs PostgreSQL 15 or newer; this server is {state.server // 10000}")
    if state.installed and not state.acts_as_schema_owner:
        raise RightsError(
            f"pgscore is installed here and belongs to {owner}; GRANT {owner} TO {state.user} to update it"
        )
    for schema, belongs in state.schemas.items():
        if not state.installed or belongs != owner:
            raise RefusedError(
                f"schema {schema} exists and is not pgscore's (it belongs to {belongs}); rename it,"
                " or use another database"
            )
    if not state.may_create_schemas and not state.schemas.keys() >= set(SCHEMAS):
        raise RightsError(
            f"role {state.user} may not create schemas here; GRANT CREATE ON DATABASE {ident(state.database)}"
            f" TO {ident(state.user)}"
        )
    if with_plpython and not state.superuser:
        raise RightsError(
            f"role {state.user} is no superuser, and functions in PL/Python take one; let a superuser run"
            f" `pgscore {command} --plpython` once (deploys need none)"
        )


def _scripts(folder: str) -> dict[str, str]:
    """The numbered SQL files of a folder, in order."""
    place = files(__package__) / folder
    names = sorted(item.name for item in place.iterdir() if item.name.endswith(".sql"))
    return {name: (place / name).read_text(encoding="utf-8") for name in names}


def _record() -> str:
    version = literal(package_version("pgscore"))
    return (
        "INSERT INTO pgscore.installation AS i (schema_version, pgscore_version)\n"
        f"VALUES ({SCHEMA_VERSION}, {version})\n"
        "ON CONFLICT (only_row) DO UPDATE SET\n"
        "    schema_version = EXCLUDED.schema_version, pgscore_version = EXCLUDED.pgscore_version,\n"
        "    updated_at = now(), updated_by = session_user\n"
        "WHERE (i.schema_version, i.pgscore_version) <> (EXCLUDED.schema_version, EXCLUDED.pgscore_version)"
    )
