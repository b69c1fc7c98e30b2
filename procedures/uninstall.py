"""Uninstall: a plan that removes what install made, and refuses while something of a user's depends on it.

The plan repeats the question as its first step, so that a printed script refuses too what was built after it was made.

What goes beside the objects: rights that were given to the roles in this database (GRANT, ALTER DEFAULT PRIVILEGES),
memberships in them, settings named pgscore.*, and the jobs of pg_cron that do nothing but refresh. A role stays, and
the notes say why, where another database uses it or the user may not take back what others gave it.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

from pgscore.errors import NotInstalledError, RefusedError, RightsError
from pgscore.quoting import ident, literal

from .connection import Connection, pinned, transaction
from .install import LOCK, OWNER, PREAMBLE, QUIET, ROLES, SCHEMAS, State, acting_as, inspect
from .plan import Change, Statement, apply

_MADE = re.compile(
    r"^\s*(?:CREATE|DROP)\s+(?:OR\s+REPLACE\s+)?(?:TABLE|VIEW|FUNCTION|PROCEDURE|INDEX|TYPE|SEQUENCE)\s+"
    r"(?:IF\s+(?:NOT\s+)?EXISTS\s+)?pgscore\.(\w+)",
    re.MULTILINE,
)


def uninstall(connection: Connection, *, dry_run: bool = False) -> Change:
    """Removes all that install made in this database, with the models, and the roles where no other database uses them.

    Gives the plan and what stays; with `dry_run` nothing runs. Raises NotInstalledError, RightsError, and RefusedError,
    naming them, while objects of users depend on what is removed, stand in our schemas, or belong to our roles.
    """
    with transaction(connection) as cursor, pinned(cursor):
        cursor.execute(f"SELECT {LOCK}")
        change = _plan(cursor)
        if not dry_run:
            apply(connection, change.statements)
    return change


def _made() -> list[str]:
    """The names of what our SQL makes in schema pgscore, and of what earlier releases made there."""
    folder = files(__package__) / "sql"
    texts = [item for place in (folder, folder / "migrations") for item in place.iterdir()]
    found = (_MADE.findall(item.read_text("utf-8")) for item in texts if item.name.endswith((".sql", ".sql.in")))
    return sorted({name for names in found for name in names})


def _in_use(roles: list[str]) -> str:
    """The query for what is in the way, as one column of text."""
    text = (files(__package__) / "sql/in_use.sql.in").read_text("utf-8")
    for place, names in (("@MADE@", _made()), ("@ROLES@", roles)):
        text = text.replace(place, f"ARRAY[{', '.join(map(literal, names))}]::text[]")
    return text.strip().removesuffix(";")


def _plan(cursor: Any) -> Change:
    state = inspect(cursor)
    if not state.installed:
        raise NotInstalledError("pgscore is not installed in this database")
    owner = state.schemas["pgscore"]
    if not state.acts_as_schema_owner:
        raise RightsError(f"pgscore belongs to {owner} here; GRANT {owner} TO {state.user} to remove it")
    roles, notes = _roles_to_drop(cursor, state)
    in_use = _in_use(roles)
    with acting_as(cursor, owner):
        cursor.execute(in_use)
        found = [row[0] for row in cursor.fetchall()]
    if found:
        raise RefusedError(f"still in use: {', '.join(found)}; drop that first")
    plan = [PREAMBLE, *_jobs(cursor), *_builds(cursor, owner, notes)]
    plan += [Statement(f"SET LOCAL ROLE {ident(owner)}"), QUIET, _guard(in_use)]
    cursor.execute(
        "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'score'::regnamespace ORDER BY oid"
    )
    functions = [row[0] for row in cursor.fetchall()]
    if functions:
        plan.append(
            Statement(
                "DROP FUNCTION\n    " + ",\n    ".join(functions) + "\nRESTRICT",
                "The models' functions; RESTRICT: what was built on them since this plan was made stops it.",
            )
        )
    # Earlier releases had fewer schemas.
    emptied = [schema for schema in SCHEMAS if schema in state.schemas and schema != "pgscore"]
    plan.append(Statement(f"DROP SCHEMA {', '.join(emptied)} RESTRICT"))
    plan.append(Statement("DROP SCHEMA pgscore CASCADE", "The catalog and the procedures."))
    plan.append(Statement("SET LOCAL ROLE NONE"))
    plan += _settings(cursor, state, roles, notes)
    plan += _language(cursor, state, notes)
    if roles:
        names = ", ".join(map(ident, roles))
        plan.append(
            Statement(
                f"DROP OWNED BY {names} RESTRICT;\nDROP ROLE {names}",
                "The roles, with the rights they were given here and their memberships.",
            )
        )
    return Change(plan, notes)


def _guard(in_use: str) -> Statement:
    return Statement(
        f"""DO $guard$
DECLARE
    users text;
BEGIN
    SELECT string_agg(u.object, ', ' ORDER BY u.object) INTO users FROM (
{in_use}
    ) AS u (object);
    IF users IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PS002', MESSAGE = format('still in use: %s', users), HINT = 'drop that first';
    END IF;
END
$guard$""",  # noqa: S608 (our own query)
        "What users have built on it stops the plan.",
    )


_STRANGERS = """
    SELECT r.rolname::text,
           -- Another database, where it owns something or has rights.
           bool_or(d.dbid NOT IN (0, here.oid)),
           -- What a REVOKE by this user would leave.
           string_agg(DISTINCT pg_describe_object(d.classid, d.objid, 0), ', ')
               FILTER (WHERE d.deptype <> 'o' AND d.dbid IN (0, here.oid)
                         AND NOT pg_has_role(coalesce(o.refobjid, 10), 'USAGE'))
    FROM pg_catalog.pg_roles AS r
    JOIN pg_catalog.pg_database AS here ON here.datname = current_database()
    LEFT JOIN pg_catalog.pg_shdepend AS d ON d.refclassid = 'pg_authid'::regclass AND d.refobjid = r.oid
    -- The bootstrap superuser, 10, owns what has no row here.
    LEFT JOIN pg_catalog.pg_shdepend AS o
        ON (o.dbid, o.classid, o.objid, o.deptype) = (d.dbid, d.classid, d.objid, 'o')
       AND o.refclassid = 'pg_authid'::regclass
    WHERE r.rolname = ANY (%s) AND starts_with(shobj_description(r.oid, 'pg_authid'), 'pgscore:')
    GROUP BY r.rolname
    ORDER BY r.rolname
"""


def _roles_to_drop(cursor: Any, state: State) -> tuple[list[str], list[str]]:
    """The roles that the plan drops, and why the others stay."""
    cursor.execute(_STRANGERS, (list(ROLES),))
    dropped, notes = [], []
    for name, elsewhere, given in cursor.fetchall():
        acts, gives = state.roles[name]
        if elsewhere:
            notes.append(f"Role {name} stays: another database uses it.")
        elif not (state.superuser or (state.may_create_roles and acts and (gives or state.server < 160000))):
            notes.append(f"Role {name} stays: {state.user} may not drop it.")
        elif given and not state.superuser:
            notes.append(f"Role {name} stays: it has rights that {state.user} may not revoke, on {given}.")
        else:
            dropped.append(name)
    return dropped, notes


_REFRESHES = re.compile(
    r"\s*(SET\s+statement_timeout\s*=\s*'\w+'\s*;)?\s*CALL\s+pgscore\.(refresh|run_job)\s*\(\s*(job\s*=>\s*)?'[^']*'\s*\)\s*;?\s*",
    re.IGNORECASE,
)
_MENTIONS = re.compile(r'\b"?(pgscore|score)"?\s*\.', re.IGNORECASE)


def _jobs(cursor: Any) -> list[Statement]:
    """Takes away the jobs of pg_cron that do nothing but refresh. Raises RefusedError for others that call pgscore."""
    cursor.execute(
        """
        SELECT FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        -- The extension's own: where it is not here, anybody may have made a schema of that name.
        JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        JOIN pg_catalog.pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid
        WHERE n.nspname = 'cron' AND c.relname = 'job' AND e.extname = 'pg_cron'
          AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
        """
    )
    if not cursor.rowcount:
        return []
    cursor.execute("SELECT jobid, command FROM cron.job WHERE database = current_database() ORDER BY jobid")
    calling = [(number, command) for number, command in cursor.fetchall() if _MENTIONS.search(command)]
    other = [f"job {number} of pg_cron" for number, command in calling if not _REFRESHES.fullmatch(command)]
    if other:
        raise RefusedError(f"still in use: {', '.join(other)}; unschedule that first")
    if not calling:
        return []
    calls = " ".join(f"PERFORM cron.unschedule({number});" for number, _ in calling)
    return [Statement(f"DO $cron$ BEGIN {calls} END $cron$", "The jobs of pg_cron that refresh.")]


def _builds(cursor: Any, owner: str, notes: list[str]) -> list[Statement]:
    """Drops what killed runs left beside their targets (sql/33_swapping.sql)."""
    with acting_as(cursor, owner):
        cursor.execute("SELECT to_regclass('pgscore.builds') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return []
        cursor.execute(
            "SELECT b.relation, pgscore.owner_of(j.name)::oid"
            " FROM pgscore.jobs AS j CROSS JOIN LATERAL pgscore.build_of(j.name) AS b ORDER BY b.relation"
        )
        found = cursor.fetchall()
    cursor.execute(
        "SELECT u.name, pg_has_role(u.role, 'USAGE') FROM unnest(%s::text[], %s::oid[]) AS u (name, role)",
        ([name for name, _ in found], [role for _, role in found]),
    )
    left = cursor.fetchall()
    notes += [f"Table {name} stays, which a killed run left: it is another role's." for name, may in left if not may]
    mine = [name for name, may in left if may]
    return [Statement(f"DROP TABLE {', '.join(mine)}", "What killed runs of refresh jobs left.")] if mine else []


def _settings(cursor: Any, state: State, roles: list[str], notes: list[str]) -> list[Statement]:
    """Resets what ALTER DATABASE and ALTER ROLE have set under the name pgscore.*; only a superuser may.

    What holds in all databases goes with the last of them: when the owner goes.
    """
    cursor.execute(
        """
        SELECT d.datname::text, r.rolname::text, split_part(setting, '=', 1)
        FROM pg_catalog.pg_db_role_setting AS s
        CROSS JOIN LATERAL unnest(s.setconfig) AS setting
        LEFT JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase
        LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = s.setrole
        WHERE starts_with(setting, 'pgscore.')
          AND (d.datname = current_database() OR s.setdatabase = 0 AND %s)
          AND NOT coalesce(r.rolname = ANY (%s), false)
        ORDER BY 1, 2, 3
        """,
        (OWNER in roles, roles),
    )
    resets = []
    for database, role, name in cursor.fetchall():
        if role is None and database is not None:
            what = f"ALTER DATABASE {ident(database)}"
        else:
            what = f"ALTER ROLE {'ALL' if role is None else ident(role)}"
            what += "" if database is None else f" IN DATABASE {ident(database)}"
        resets.append(f"{what} RESET {ident(*name.split('.'))}")
    if not resets:
        return []
    if not state.superuser:
        notes += [f"A setting stays; a superuser should run: {reset};" for reset in resets]
        return []
    return [Statement(";\n".join(resets), "Settings of pgscore.")]


def _language(cursor: Any, state: State, notes: list[str]) -> list[Statement]:
    """Drops plpython3u where install created it and nothing else needs it."""
    cursor.execute(
        """
        SELECT starts_with(coalesce(obj_description(e.oid, 'pg_extension'), ''), 'pgscore:'),
               EXISTS (
                   SELECT FROM pg_catalog.pg_depend AS d
                   LEFT JOIN pg_catalog.pg_proc AS p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
                   WHERE d.deptype IN ('n', 'a')
                     AND (d.refclassid, d.refobjid) IN (
                         VALUES ('pg_extension'::regclass::oid, e.oid), ('pg_language'::regclass, l.oid))
                     AND p.pronamespace IS DISTINCT FROM 'pgscore'::regnamespace)
        FROM pg_catalog.pg_extension AS e
        JOIN pg_catalog.pg_language AS l ON l.lanname = e.extname
        WHERE e.extname = 'plpython3u'
        """
    )
    found = cursor.fetchone()
    if found is None:
        return []
    ours, needed = found
    if not ours or needed:
        why = "something else uses it" if ours else "pgscore did not create it"
        notes.append(f"Extension plpython3u stays: {why}.")
    elif not state.superuser:
        notes.append("Extension plpython3u stays; a superuser should run: DROP EXTENSION plpython3u;")
    else:
        return [Statement("DROP EXTENSION plpython3u RESTRICT", "The language, which install created.")]
    return []
