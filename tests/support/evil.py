"""A hostile schema, first in the search_path: what is looked up there raises an error."""

from __future__ import annotations

from typing import Any

from .tiny import query

_EVIL = """
CREATE SCHEMA evil;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
DO $do$
DECLARE
    one record;
BEGIN
    -- Every operator on the types that queries compare, and every function that a query might call.
    FOR one IN
        SELECT o.oprname AS name, o.oprleft::regtype AS l, o.oprright::regtype AS r, o.oprresult::regtype AS result
        FROM pg_operator AS o
        WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprkind = 'b'
          AND o.oprleft = ANY ('{text,name,oid,int4,int8,float8,bool,jsonb,timestamptz,char}'::regtype[])
          AND o.oprright = ANY ('{text,name,oid,int4,int8,float8,bool,jsonb,timestamptz,char}'::regtype[])
    LOOP
        EXECUTE format(
            'CREATE FUNCTION evil.operator(%s, %s) RETURNS %s LANGUAGE plpgsql AS %L',
            one.l, one.r, one.result,
            $$BEGIN RAISE EXCEPTION 'an evil operator was called'; END$$);
        EXECUTE format(
            'CREATE OPERATOR evil.%s (FUNCTION = evil.operator, LEFTARG = %s, RIGHTARG = %s)', one.name, one.l, one.r);
        EXECUTE format('ALTER FUNCTION evil.operator(%s, %s) RENAME TO %I', one.l, one.r, 'is' || one.name);
    END LOOP;
    FOR one IN
        SELECT p.proname AS name, pg_get_function_identity_arguments(p.oid) AS arguments,
               pg_get_function_result(p.oid) AS result
        FROM pg_proc AS p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND p.prorettype <> 'internal'::regtype
          AND NOT 'internal'::regtype = ANY (p.proargtypes)
          AND (p.prorettype NOT IN (SELECT oid FROM pg_type WHERE typtype = 'p') OR p.prorettype = 'void'::regtype)
          AND NOT p.proargtypes::oid[] && (SELECT array_agg(oid) FROM pg_type WHERE typtype = 'p')
          AND p.proname ~ '^(now|format|to_|current_|set_config|has_|pg_has_role|pg_get|pg_desc|obj_desc|shobj|quote_|'
              'abs$|exp$|floor|sign|encode|decode|sha256|starts_with|substr|length|octet_length|round|trunc|ln$|power$|sqrt|'
              'string_|json|clock_|version$|pg_try|hashtext|parse_ident|pg_is)'
          AND p.proargmodes IS NULL
    LOOP
        BEGIN
            EXECUTE format(
                'CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', one.name, one.arguments, one.result,
                $$BEGIN RAISE EXCEPTION 'an evil function was called'; END$$);
        EXCEPTION WHEN duplicate_function THEN NULL;
        END;
    END LOOP;
    FOREACH one.name IN ARRAY '{text,float8,int4,int8,bool,jsonb,oid,regclass,regrole,name}'::text[] LOOP
        EXECUTE format('CREATE DOMAIN evil.%I AS date CHECK (false)', one.name);
    END LOOP;
    -- What could be taken for a table, a schema or a type of ours.
    CREATE TABLE evil.models (name date);
    CREATE TABLE evil.versions (version date);
    CREATE TABLE evil.pg_class (oid date);
    CREATE TABLE evil.pg_proc (oid date);
    CREATE TABLE evil.pg_namespace (oid date);
    CREATE TABLE evil.pg_roles (oid date);
    CREATE TABLE evil.pg_attribute (oid date);
    CREATE TABLE evil.pg_type (oid date);
    CREATE TABLE evil.pgscore (score date);
    CREATE TABLE evil.score (pgscore date);
    CREATE TABLE evil.pg_temp (pgscore date);
END
$do$;
"""


def make_evil(connection: Any) -> None:
    """Creates schema evil, and puts it first in the search_path of every session to come in this database."""
    query(connection, _EVIL)
    database = connection.info.dbname
    query(connection, f"ALTER DATABASE {database} SET search_path = evil, pg_catalog, public")
