"""Install and uninstall: plans made from what the server says about role and database, then applied or printed."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version as package_version
from importlib.resources import files
from pathlib import Path
from typing import Any

from pgscore.errors import NotInstalledError, RefusedError, RightsError, ServerError, UsageError
from pgscore.quoting import ident, literal

from .connection import PINNED, Connection, errors, pinned, transaction
from .plan import Statement, apply

SCHEMA_VERSION = 1
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

_PREAMBLE = Statement(
    f"{PINNED};\nSET LOCAL client_min_messages = warning",
    "Nothing below depends on the session's search_path.",
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


def install(
    connection: Connection, *, plpython: bool = False, runtime: Path | None = None, dry_run: bool = False
) -> list[Statement]:
    """Installs the catalog, the procedures and, where the role may create them, the roles. May run again.

    `plpython` adds the functions for ONNX, which takes a superuser; `runtime` is the folder on the server that holds
    numpy and onnxruntime. Gives the plan; with `dry_run` nothing runs.

    Raises RightsError where the role lacks a right, and RefusedError where a schema of that name is somebody else's.
    """
    if plpython and runtime is None:
        raise UsageError(
            "the PL/Python functions need the folder with numpy and onnxruntime; see `pgscore runtime install`"
        )
    with transaction(connection) as cursor, pinned(cursor):
        state = _inspect(cursor)
        statements = _install_plan(state, runtime if plpython else None)
        if not dry_run:
            apply(connection, statements)
    return statements


@dataclass(frozen=True)
class _State:
    """What the server says before an install."""

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


def _inspect(cursor: Any) -> _State:
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
    schema_version = None
    if installed and acts_as_owner:
        cursor.execute("SELECT max(schema_version) FROM pgscore.installation")
        schema_version = cursor.fetchone()[0]
    return _State(
        server,
        database,
        user,
        superuser,
        superuser or createrole,
        create,
        roles,
        {row[0]: row[1] for row in found},
        installed,
        schema_version,
        acts_as_owner,
    )


def _install_plan(state: _State, runtime: Path | None) -> list[Statement]:
    makes_roles, owner = _ownership(state)
    _check_rights(state, owner, with_plpython=runtime is not None)
    plan = [_PREAMBLE]
    scripts = _scripts()
    if makes_roles:
        plan.append(Statement(scripts.pop("00_roles.sql"), "00_roles.sql: the roles"))
    else:
        scripts.pop("00_roles.sql")
    plan.append(
        Statement(
            "\n".join(f"CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {ident(owner)};" for schema in SCHEMAS),
            "The schemas: pgscore for the catalog and the procedures, score for the models' functions, and one where a"
            " deploy makes them.",
        )
    )
    if owner != state.user:
        plan.append(Statement(f"SET LOCAL ROLE {ident(owner)}", f"All that follows belongs to {owner}."))
    else:
        plan.append(
            Statement(
                f"SET LOCAL ROLE {ident(owner)}",
                f"{owner} may create no roles: it owns all that follows, and grants to others by hand.",
            )
        )
    grants = scripts.pop("90_grants.sql")
    plan += [Statement(text, name) for name, text in scripts.items()]
    plan.append(Statement(_record(), "The version that is installed."))
    if runtime is not None:
        from .plpython import statements as plpython_statements

        plan.append(Statement("SET LOCAL ROLE NONE", "Functions in PL/Python take a superuser."))
        plan += plpython_statements(runtime)
        plan.append(Statement(f"SET LOCAL ROLE {ident(owner)}"))
    plan.append(Statement(grants, "90_grants.sql"))
    plan.append(Statement("SET LOCAL ROLE NONE"))
    return plan


def _ownership(state: _State) -> tuple[bool, str]:
    """Whether the plan makes the roles, and who owns what it makes."""
    acts, _ = state.roles.get(OWNER, (False, False))
    complete = all(name in state.roles for name in ROLES)
    # Before PostgreSQL 16, CREATEROLE gives any role away; from then on, only those it has with the admin option.
    can_join = all(state.server < 160000 or gives for _, gives in state.roles.values())
    makes_roles = state.superuser or (state.may_create_roles and can_join and not (complete and acts))
    if "pgscore" in state.schemas:
        return makes_roles, state.schemas["pgscore"]
    return makes_roles, OWNER if makes_roles or acts else state.user


def _check_rights(state: _State, owner: str, *, with_plpython: bool) -> None:
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
    if state.schema_version is not None and state.schema_version > SCHEMA_VERSION:
        raise RefusedError(
            f"a newer pgscore is installed here (schema version {state.schema_version}, this package has"
            f" {SCHEMA_VERSION}); update the package"
        )
    if not state.schemas and not state.may_create_schemas:
        raise RightsError(
            f"role {state.user} may not create schemas here; GRANT CREATE ON DATABASE {ident(state.database)}"
            f" TO {ident(state.user)}"
        )
    if with_plpython and not state.superuser:
        raise RightsError(
            f"role {state.user} is no superuser, and functions in PL/Python take one; let a superuser run"
            " `pgscore install --plpython` once (deploys need none)"
        )


def _scripts() -> dict[str, str]:
    """The numbered SQL files, in order."""
    folder = files("pgscore.procedures") / "sql"
    names = sorted(item.name for item in folder.iterdir() if item.name.endswith(".sql"))
    return {name: (folder / name).read_text(encoding="utf-8") for name in names}


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


def uninstall(connection: Connection, *, dry_run: bool = False) -> list[Statement]:
    """Removes all that install made in this database, with the models, and the roles where no other database uses them.

    Gives the plan; with `dry_run` nothing runs. Raises RefusedError, naming them, while objects outside the two schemas
    depend on what is inside, or belong to pgscore_owner.
    """
    with transaction(connection) as cursor, pinned(cursor):
        statements = _uninstall_plan(cursor)
        if not dry_run:
            apply(connection, statements)
    return statements


_INSIDE = """
    WITH inside (classid, objid) AS (
        SELECT 'pg_proc'::regclass::oid, p.oid FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace IN ('pgscore'::regnamespace, 'score'::regnamespace)
        UNION ALL
        SELECT 'pg_class'::regclass, c.oid FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace IN ('pgscore'::regnamespace, 'score'::regnamespace)
        UNION ALL
        SELECT 'pg_type'::regclass, t.oid FROM pg_catalog.pg_type AS t
        WHERE t.typnamespace IN ('pgscore'::regnamespace, 'score'::regnamespace)
        UNION ALL
        SELECT 'pg_rewrite'::regclass, w.oid FROM pg_catalog.pg_rewrite AS w
        JOIN pg_catalog.pg_class AS c ON c.oid = w.ev_class
        WHERE c.relnamespace IN ('pgscore'::regnamespace, 'score'::regnamespace)
        UNION ALL
        SELECT 'pg_trigger'::regclass, t.oid FROM pg_catalog.pg_trigger AS t
        JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
        WHERE c.relnamespace IN ('pgscore'::regnamespace, 'score'::regnamespace)
        UNION ALL
        SELECT 'pg_constraint'::regclass, k.oid FROM pg_catalog.pg_constraint AS k
        WHERE k.connamespace IN ('pgscore'::regnamespace, 'score'::regnamespace)
        UNION ALL
        SELECT 'pg_attrdef'::regclass, e.oid FROM pg_catalog.pg_attrdef AS e
        JOIN pg_catalog.pg_class AS c ON c.oid = e.adrelid
        WHERE c.relnamespace IN ('pgscore'::regnamespace, 'score'::regnamespace)
    )
"""

_OUTSIDE_DEPENDANTS = (
    _INSIDE  # noqa: S608 (constants)
    + """
    SELECT DISTINCT pg_describe_object(
        CASE WHEN w.oid IS NULL THEN d.classid ELSE 'pg_class'::regclass END, coalesce(w.ev_class, d.objid), 0)
    FROM pg_catalog.pg_depend AS d
    JOIN inside AS i ON i.classid = d.refclassid AND i.objid = d.refobjid
    LEFT JOIN pg_catalog.pg_rewrite AS w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
    WHERE d.deptype IN ('n', 'a')
      AND (d.classid, d.objid) NOT IN (SELECT classid, objid FROM inside)
    UNION
    SELECT pg_describe_object('pg_class'::regclass, c.oid, 0)
    FROM pg_catalog.pg_class AS c
    WHERE c.relnamespace = 'score'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    ORDER BY 1
    """
)

_OWNED_OUTSIDE = (
    _INSIDE  # noqa: S608 (constants)
    + """
    SELECT DISTINCT pg_describe_object(d.classid, d.objid, 0)
    FROM pg_catalog.pg_shdepend AS d
    WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = pg_catalog.to_regrole(%s) AND d.deptype = 'o'
      AND d.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
      AND (d.classid, d.objid) NOT IN (SELECT classid, objid FROM inside)
      AND NOT (d.classid = 'pg_namespace'::regclass
               AND d.objid IN ('pgscore'::regnamespace::oid, 'score'::regnamespace, 'pgscore_staging'::regnamespace))
    ORDER BY 1
    """
)

_REMOVABLE_ROLES = """
    SELECT r.rolname::text
    FROM pg_catalog.pg_roles AS r
    WHERE r.rolname = ANY (%s)
      AND starts_with(pg_catalog.shobj_description(r.oid, 'pg_authid'), 'pgscore:')
      AND NOT EXISTS (
          SELECT FROM pg_catalog.pg_shdepend AS d
          WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = r.oid
            AND d.dbid <> (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
"""


def _uninstall_plan(cursor: Any) -> list[Statement]:
    state = _inspect(cursor)
    if not state.installed:
        raise NotInstalledError("pgscore is not installed in this database")
    owner = state.schemas["pgscore"]
    if not state.acts_as_schema_owner:
        raise RightsError(f"pgscore belongs to {owner} here; GRANT {owner} TO {state.user} to remove it")
    cursor.execute(_OUTSIDE_DEPENDANTS)
    dependants = [row[0] for row in cursor.fetchall()]
    if dependants:
        raise RefusedError(f"still in use: {', '.join(dependants)}; drop that first")
    if owner == OWNER:
        cursor.execute(_OWNED_OUTSIDE, (OWNER,))
        owned = [row[0] for row in cursor.fetchall()]
        if owned:
            raise RefusedError(f"{OWNER} owns {', '.join(owned)}; drop that first, or ALTER … OWNER TO another role")
    cursor.execute(
        "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'score'::regnamespace ORDER BY oid"
    )
    functions = [row[0] for row in cursor.fetchall()]
    plan = [_PREAMBLE]
    if functions:
        plan.append(
            Statement(
                "DROP FUNCTION\n    " + ",\n    ".join(functions) + "\nRESTRICT",
                "The models' functions; RESTRICT: what was built on them since this plan was made stops it.",
            )
        )
    plan.append(Statement("DROP SCHEMA score RESTRICT;\nDROP SCHEMA pgscore_staging RESTRICT"))
    plan.append(Statement("DROP SCHEMA pgscore CASCADE", "The catalog and the procedures."))
    cursor.execute(_REMOVABLE_ROLES, (list(ROLES),))
    removable = [name for (name,) in cursor.fetchall() if _may_drop(state, name)]
    if removable:
        names = ", ".join(ident(name) for name in removable)
        plan.append(
            Statement(
                f"DROP OWNED BY {names} RESTRICT;\nDROP ROLE {names}",
                "The roles, with the rights they were given here.",
            )
        )
    return plan


def _may_drop(state: _State, role: str) -> bool:
    acts, gives = state.roles[role]
    return state.superuser or (state.may_create_roles and acts and (gives or state.server < 160000))
