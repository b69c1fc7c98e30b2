from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgscore.errors import RefusedError, RightsError, UsageError
from pgscore.procedures.deploy import deploy
from pgscore.procedures.install import ROLES, has_plpython, install, is_installed
from pgscore.procedures.lifecycle import list_models, promote
from pgscore.procedures.plan import as_script
from pgscore.procedures.uninstall import uninstall

from ..support.databases import copied
from ..support.psql import psql
from ..support.servers import Server
from ..support.tiny import classifier, make_customers, opened, query, value

OBJECTS = """
    SELECT 'function', p.oid::regprocedure::text, pg_get_userbyid(p.proowner), p.proacl::text,
           pg_get_functiondef(p.oid), obj_description(p.oid, 'pg_proc')
    FROM pg_proc p WHERE pronamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('pgscore', 'score'))
    UNION ALL
    SELECT 'relation', c.oid::regclass::text, pg_get_userbyid(c.relowner), c.relacl::text,
           (SELECT string_agg(format('%s %s %s %s', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                                     pg_get_expr(d.adbin, d.adrelid)), ', ' ORDER BY a.attnum)
            FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
            WHERE a.attrelid = c.oid AND a.attnum > 0),
           obj_description(c.oid, 'pg_class')
    FROM pg_class c WHERE relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('pgscore', 'score'))
    UNION ALL
    SELECT 'constraint', conrelid::regclass || ' ' || conname, NULL, NULL, pg_get_constraintdef(oid), NULL
    FROM pg_constraint WHERE connamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('pgscore', 'score'))
    UNION ALL
    SELECT 'trigger', tgname, NULL, NULL, pg_get_triggerdef(oid), NULL FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL
    SELECT 'schema', nspname, pg_get_userbyid(nspowner), nspacl::text, NULL, obj_description(oid, 'pg_namespace')
    FROM pg_namespace WHERE nspname IN ('pgscore', 'score')
    ORDER BY 1, 2
"""


@pytest.fixture
def other(server: Server) -> Iterator[str]:
    with copied(server) as dsn:
        yield dsn


def test_install_twice_is_as_good_as_once(database: str) -> None:
    with opened(database) as connection:
        assert not is_installed(connection)
        install(connection)
        once = query(connection, OBJECTS)
        install(connection)
        assert query(connection, OBJECTS) == once
        assert is_installed(connection)
        assert not has_plpython(connection)
        assert list_models(connection) == []


def test_dry_run_prints_what_install_does(server: Server, database: str, other: str) -> None:
    with opened(database) as connection:
        script = as_script(install(connection, dry_run=True).statements)
        assert not is_installed(connection)
        install(connection)
        done = query(connection, OBJECTS)
    ran = psql(other, script)
    assert (ran.returncode, ran.stderr) == (0, "")
    with opened(other) as connection:
        assert query(connection, OBJECTS) == done


def test_a_script_that_fails_changes_nothing(server: Server, database: str) -> None:
    with opened(database) as connection:
        script = as_script(install(connection, dry_run=True).statements)
    ran = psql(database, script.replace("COMMIT;", "SELECT 1/0;\nCOMMIT;"))
    assert ran.returncode == 3
    with opened(database) as connection:
        assert not is_installed(connection)


def test_search_path_of_the_installer_does_not_matter(database: str, other: str) -> None:
    with opened(database) as connection:
        install(connection)
        honest = query(connection, OBJECTS)
    with opened(other) as connection:
        query(
            connection,
            "CREATE SCHEMA evil;"
            "CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE sql RETURN 'epoch'::timestamptz",
        )
        query(connection, "CREATE FUNCTION evil.format(text, VARIADIC text[]) RETURNS text LANGUAGE sql RETURN 'evil'")
        query(connection, "SET search_path = evil, pg_catalog")
        install(connection)
        query(connection, "RESET search_path")
        assert query(connection, OBJECTS) == honest


def test_every_object_is_described_and_footers_are_complete(installed: str) -> None:
    with opened(installed) as connection:
        bare_columns = """
            SELECT c.oid::regclass::text, a.attname
            FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
            WHERE c.relnamespace = 'pgscore'::regnamespace AND c.relkind = 'r' AND NOT a.attisdropped
              AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid, 'pg_class') IS NULL)"""
        assert query(connection, bare_columns) == []
        loose = """
            SELECT p.oid::regprocedure::text FROM pg_proc p
            WHERE p.pronamespace = 'pgscore'::regnamespace
              AND (obj_description(p.oid, 'pg_proc') IS NULL
                   OR NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false))"""
        # It commits, which a SET would forbid: it sets the path in each transaction.
        assert [name.split("(")[0] for (name,) in query(connection, loose)] == ["pgscore.run_job"]
    folder = Path(install.__code__.co_filename).parent / "sql"
    for file in sorted(folder.glob("*.sql")):
        for header in re.findall(r"CREATE OR REPLACE (?:FUNCTION|PROCEDURE).*?AS \$", file.read_text(), re.DOTALL):
            wanted = ["LANGUAGE", "SECURITY", "SET search_path"]
            wanted += ["PARALLEL"] if "FUNCTION" in header else []
            wanted.remove("SET search_path") if "pgscore.run_job" in header else None
            assert all(word in header for word in wanted), header


def test_nothing_for_public(installed: str) -> None:
    with opened(installed) as connection:
        make_customers(connection)
        deploy(connection, classifier(), name="churn", table="customers")
        deploy(connection, classifier(2.0), name="churn", table="customers", promote=True)
        for catalog, acl in (("pg_proc", "proacl"), ("pg_class", "relacl"), ("pg_namespace", "nspacl")):
            key = {"pg_proc": "pronamespace", "pg_class": "relnamespace", "pg_namespace": "oid"}[catalog]
            default = "acldefault('f', proowner)" if catalog == "pg_proc" else "NULL"
            text = f"""
                SELECT o.oid FROM {catalog} o CROSS JOIN LATERAL aclexplode(coalesce({acl}, {default})) a
                WHERE {key} IN ('pgscore'::regnamespace, 'score'::regnamespace) AND a.grantee = 0"""
            assert query(connection, text) == []


def test_history_and_versions_never_change(installed: str) -> None:
    with opened(installed) as connection:
        make_customers(connection)
        deploy(connection, classifier(), name="churn", table="customers")
        for statement in (
            "UPDATE pgscore.history SET by = 'nobody'",
            "DELETE FROM pgscore.history",
            "TRUNCATE pgscore.history",
            "UPDATE pgscore.versions SET strategy = 'onnx'",
            "UPDATE pgscore.parity_cases SET cases = '{}'",
            "UPDATE pgscore.onnx_graphs SET content = ''",
        ):
            with pytest.raises(Exception, match="its rows never change"):
                query(connection, statement)
        deploy(connection, classifier(), name="other", table="customers")
        other = "(SELECT max(version_id) FROM pgscore.versions)"
        with pytest.raises(Exception, match="aliases_points_to_own_version"):
            query(connection, f"UPDATE pgscore.aliases SET version_id = {other} WHERE model_id = 1")


def test_install_with_createrole(bare: Server) -> None:
    with copied(bare) as dsn, opened(dsn) as admin:
        query(admin, "CREATE ROLE dba LOGIN CREATEROLE")
        query(admin, f"GRANT CREATE ON DATABASE {dsn.split('@/')[1].split('?')[0]} TO dba")
        make_customers(admin)
        query(admin, "GRANT SELECT ON customers TO dba")
        with opened(dsn.replace("postgres@", "dba@")) as connection:
            install(connection)
            install(connection)
            assert (
                value(connection, "SELECT pg_get_userbyid(nspowner)::text FROM pg_namespace WHERE nspname = 'score'")
                == "pgscore_owner"
            )
            deploy(connection, classifier(), name="churn", table="customers")
            deploy(connection, classifier(3.0), name="churn", table="customers")
            assert promote(connection, "churn", 2) == 1
            uninstall(connection)
        assert value(admin, "SELECT count(*) FROM pg_roles WHERE rolname = ANY (%s)", (list(ROLES),)) == 0
        query(admin, "DROP OWNED BY dba; DROP ROLE dba")


def test_install_without_any_special_right(bare: Server) -> None:
    with copied(bare) as dsn, opened(dsn) as admin:
        query(admin, "CREATE ROLE plain LOGIN")
        make_customers(admin)
        query(admin, "GRANT SELECT ON customers TO plain")
        with opened(dsn.replace("postgres@", "plain@")) as connection:
            with pytest.raises(RightsError, match=r"may not create schemas here; GRANT CREATE ON DATABASE"):
                install(connection)
            query(admin, f"GRANT CREATE ON DATABASE {dsn.split('@/')[1].split('?')[0]} TO plain")
            plan = install(connection)
            assert "owns all that follows, and grants to others by hand" in as_script(plan.statements)
            install(connection)
            deploy(connection, classifier(), name="churn", table="customers")
            deploy(connection, classifier(3.0), name="churn", table="customers")
            assert promote(connection, "churn", 2) == 1
            assert value(connection, "SELECT pgscore.score('churn', to_jsonb(c)) IS NOT NULL FROM customers c LIMIT 1")
            with pytest.raises(RightsError, match="no superuser"):
                install(connection, plpython=True, runtime=Path("/srv/runtime"))
            uninstall(connection)
            assert not is_installed(connection)
        query(admin, "DROP OWNED BY plain; DROP ROLE plain")


def test_schemas_of_somebody_else_are_left_alone(database: str) -> None:
    with opened(database) as connection:
        query(connection, "CREATE SCHEMA score")
        with pytest.raises(RefusedError, match="schema score exists and is not pgscore's"):
            install(connection)


def test_a_newer_installation_is_not_overwritten(installed: str) -> None:
    with opened(installed) as connection:
        query(connection, "UPDATE pgscore.installation SET schema_version = 99")
        with pytest.raises(RefusedError, match="newer pgscore"):
            install(connection)


def test_plpython_needs_a_runtime(database: str) -> None:
    with opened(database) as connection, pytest.raises(UsageError, match="runtime install"):
        install(connection, plpython=True)


def test_somebody_elses_installation(installed: str) -> None:
    with opened(installed) as admin:
        query(admin, "CREATE ROLE stranger LOGIN")
        try:
            with opened(installed.replace("postgres@", "stranger@")) as connection:
                for action in (install, uninstall):
                    with pytest.raises(RightsError, match="GRANT pgscore_owner TO stranger"):
                        action(connection)
        finally:
            query(admin, "DROP ROLE stranger")
