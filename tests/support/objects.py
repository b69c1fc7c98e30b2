"""What is installed, as lines of text: for golden files, and to hold one installation against another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .tiny import query

_OBJECTS = """
    WITH ours AS (SELECT oid, nspname FROM pg_namespace WHERE nspname IN ('pgscore', 'score', 'pgscore_staging')),
    relations AS (
        SELECT c.*, format('%I.%I', n.nspname, c.relname) AS name
        FROM pg_class c JOIN ours n ON n.oid = c.relnamespace
    ),
    kinds (relkind, kind) AS (
        VALUES ('r'::"char", 'table'), ('p', 'table'), ('v', 'view'), ('m', 'materialized view'), ('S', 'sequence'),
               ('f', 'foreign table'), ('c', 'type'))
    SELECT 'role' AS kind, rolname::text AS name, NULL AS owner,
           concat_ws(', ',
               CASE WHEN rolcanlogin THEN 'login' ELSE 'nologin' END, CASE WHEN rolinherit THEN 'inherit' END,
               CASE WHEN rolsuper THEN 'superuser' END, CASE WHEN rolcreaterole THEN 'createrole' END,
               CASE WHEN rolcreatedb THEN 'createdb' END, CASE WHEN rolbypassrls THEN 'bypassrls' END,
               CASE WHEN rolreplication THEN 'replication' END, rolconfig::text) AS detail,
           NULL AS definition, shobj_description(oid, 'pg_authid') AS comment, 0 AS place
    FROM pg_roles WHERE rolname LIKE 'pgscore%'
    UNION ALL
    SELECT 'role', m.rolname::text, NULL, 'member of ' || r.rolname, NULL, NULL, 1
    FROM pg_auth_members a JOIN pg_roles r ON r.oid = a.roleid JOIN pg_roles m ON m.oid = a.member
    WHERE m.rolname LIKE 'pgscore%'
    UNION ALL
    SELECT 'schema', nspname, pg_get_userbyid(nspowner), NULL, NULL, obj_description(oid, 'pg_namespace'), 0
    FROM pg_namespace WHERE nspname IN ('pgscore', 'score', 'pgscore_staging')
    UNION ALL
    SELECT kind, name, pg_get_userbyid(relowner),
           concat_ws(', ', CASE relpersistence WHEN 'p' THEN NULL ELSE relpersistence::text END, reloptions::text,
                     CASE WHEN relrowsecurity THEN 'row security' END,
                     CASE WHEN relforcerowsecurity THEN 'forced' END,
                     (SELECT format('%s %s %s', seqtypid::regtype, seqstart, seqincrement)
                      FROM pg_sequence WHERE seqrelid = oid)),
           CASE relkind WHEN 'v' THEN pg_get_viewdef(oid) WHEN 'm' THEN pg_get_viewdef(oid) END,
           obj_description(oid, 'pg_class'), 0
    FROM relations JOIN kinds USING (relkind)
    UNION ALL
    SELECT 'column', c.name, NULL,
           concat_ws(' ', quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
                     CASE WHEN a.attnotnull THEN 'NOT NULL' END, 'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid),
                     CASE a.attidentity WHEN 'a' THEN 'IDENTITY ALWAYS' WHEN 'd' THEN 'IDENTITY' END,
                     CASE WHEN a.attgenerated <> '' THEN 'GENERATED' END,
                     CASE WHEN a.attcollation <> t.typcollation THEN 'COLLATE ' || a.attcollation::regcollation END),
           NULL, col_description(c.oid, a.attnum), row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum)
    FROM relations c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'c')
    UNION ALL
    SELECT 'constraint', c.name || '.' || quote_ident(k.conname), NULL, pg_get_constraintdef(k.oid), NULL,
           obj_description(k.oid, 'pg_constraint'), 0
    FROM pg_constraint k JOIN relations c ON c.oid = k.conrelid
    UNION ALL
    SELECT 'index', c.name, pg_get_userbyid(c.relowner), pg_get_indexdef(c.oid), NULL,
           obj_description(c.oid, 'pg_class'), 0
    FROM relations c WHERE c.relkind IN ('i', 'I')
    UNION ALL
    SELECT 'trigger', c.name || '.' || quote_ident(g.tgname), NULL,
           substring(pg_get_triggerdef(g.oid) FROM '(?:BEFORE|AFTER|INSTEAD).*'), g.tgenabled::text,
           obj_description(g.oid, 'pg_trigger'), 0
    FROM pg_trigger g JOIN relations c ON c.oid = g.tgrelid WHERE NOT g.tgisinternal
    UNION ALL
    SELECT 'rule', c.name || '.' || quote_ident(w.rulename), NULL, NULL, pg_get_ruledef(w.oid), NULL, 0
    FROM pg_rewrite w JOIN relations c ON c.oid = w.ev_class WHERE w.rulename <> '_RETURN'
    UNION ALL
    SELECT 'policy', c.name || '.' || quote_ident(p.polname), NULL,
           concat_ws(' ', p.polcmd, pg_get_expr(p.polqual, c.oid), pg_get_expr(p.polwithcheck, c.oid)),
           p.polroles::regrole[]::text, NULL, 0
    FROM pg_policy p JOIN relations c ON c.oid = p.polrelid
    UNION ALL
    SELECT 'type', format('%I.%I', n.nspname, t.typname), pg_get_userbyid(t.typowner), t.typtype::text, NULL,
           obj_description(t.oid, 'pg_type'), 0
    FROM pg_type t JOIN ours n ON n.oid = t.typnamespace WHERE t.typrelid = 0 AND t.typelem = 0
    UNION ALL
    SELECT CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'f' THEN 'function' ELSE p.prokind::text END,
           format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
           pg_get_userbyid(p.proowner),
           concat_ws(', ', 'returns ' || pg_get_function_result(p.oid), l.lanname,
               CASE WHEN p.prokind = 'f' THEN CASE p.provolatile
                   WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END END,
               CASE WHEN p.prokind = 'f' THEN CASE p.proparallel
                   WHEN 's' THEN 'parallel safe' WHEN 'r' THEN 'parallel restricted' ELSE 'parallel unsafe' END END,
               CASE WHEN p.prosecdef THEN 'security definer' ELSE 'security invoker' END,
               CASE WHEN p.proisstrict THEN 'strict' END, array_to_string(p.proconfig, '; ')),
           pg_get_functiondef(p.oid), obj_description(p.oid, 'pg_proc'), 0
    FROM pg_proc p JOIN ours n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
    ORDER BY kind, name, place, detail
"""

_PRIVILEGES = """
    WITH ours AS (SELECT * FROM pg_namespace WHERE nspname IN ('pgscore', 'score', 'pgscore_staging')),
    objects (object, acl) AS (
        SELECT 'schema ' || nspname, coalesce(nspacl, acldefault('n', nspowner)) FROM ours
        UNION ALL
        SELECT format('%s %I.%I', CASE c.relkind WHEN 'S' THEN 'sequence' WHEN 'v' THEN 'view' ELSE 'table' END,
                      n.nspname, c.relname),
               coalesce(c.relacl, acldefault((CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END)::"char", c.relowner))
        FROM pg_class c JOIN ours n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        UNION ALL
        SELECT format('column %I.%I.%I', n.nspname, c.relname, a.attname), a.attacl
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN ours n ON n.oid = c.relnamespace
        WHERE a.attacl IS NOT NULL
        UNION ALL
        SELECT format('%s %I.%I(%s)', CASE p.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END,
                      n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
               coalesce(p.proacl, acldefault('f', p.proowner))
        FROM pg_proc p JOIN ours n ON n.oid = p.pronamespace
        UNION ALL
        SELECT format('default for %s of %s in %s', d.defaclobjtype, d.defaclrole::regrole,
                      coalesce(n.nspname, 'all schemas')), d.defaclacl
        FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
    )
    SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee) END, o.object,
           string_agg(a.privilege_type || CASE WHEN a.is_grantable THEN '*' ELSE '' END, ', ' ORDER BY privilege_type)
    FROM objects o CROSS JOIN LATERAL aclexplode(o.acl) a
    GROUP BY 1, 2
    ORDER BY 1, 2
"""


def objects(connection: Any) -> list[str]:
    """One line for each role, schema, relation, column, constraint, index, trigger and function, without bodies."""
    return [_line(row[:4]) for row in query(connection, _OBJECTS)]


def privileges(connection: Any) -> list[str]:
    """One line for each privilege: role, object, what it may. Grouped by role; `*` marks a grant option."""
    return [_line(row) for row in query(connection, _PRIVILEGES)]


def everything(connection: Any) -> list[str]:
    """All of the above, with bodies and comments: two installations are equal where this is."""
    found = [_line(row[:6]) for row in query(connection, _OBJECTS)]
    return [*found, *privileges(connection)]


def _line(values: Iterable[object]) -> str:
    return " | ".join("" if value is None else str(value) for value in values).rstrip(" |")
