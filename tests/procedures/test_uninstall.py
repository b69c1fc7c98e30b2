"""Uninstall leaves nothing of ours, takes nothing of anybody else's, and says what stays.

The servers are the module's own: after each test none of our roles is there.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from psycopg2.extensions import make_dsn

from pgscore.errors import NotInstalledError, RefusedError, RightsError
from pgscore.procedures.deploy import deploy
from pgscore.procedures.install import ROLES, install, is_installed
from pgscore.procedures.lifecycle import list_models
from pgscore.procedures.plan import as_script
from pgscore.procedures.uninstall import _made, uninstall

from ..cli.conftest import pgscore
from ..conftest import require_debian15
from ..support import servers
from ..support.databases import copied
from ..support.psql import psql
from ..support.servers import Server
from ..support.tiny import classifier, make_customers, opened, query, value
from ..support.uninstalling import TRACES, clean_up, installed_with_models, using


@pytest.mark.parametrize(
    ("user", "attributes"), [("postgres", ""), ("dba", "CREATEROLE"), ("plain", ""), ("boss", "SUPERUSER")]
)
def test_it_leaves_nothing(bare: Server, user: str, attributes: str) -> None:
    with using(bare, user, attributes) as (admin, connection):
        if user != "postgres":
            query(admin, f"GRANT CREATE ON SCHEMA public TO {user}")
        before = query(admin, TRACES)
        installed_with_models(connection)
        plan = uninstall(connection, dry_run=True)
        assert is_installed(connection)
        assert uninstall(connection) == plan
        assert plan.notes == []
        assert not is_installed(connection)
        assert value(connection, "SELECT count(*) FROM churn_scores") == 5
        query(connection, "DROP TABLE churn_scores")
        assert query(admin, TRACES) == before
        with pytest.raises(NotInstalledError):
            uninstall(connection)


@pytest.mark.parametrize(("user", "attributes"), [("postgres", ""), ("dba", "CREATEROLE"), ("plain", "")])
def test_the_script_through_psql(bare: Server, user: str, attributes: str) -> None:
    with using(bare, user, attributes) as (admin, connection):
        before = query(admin, TRACES)
        install(connection)
        deploy(connection, classifier(), name="churn", table="customers")
        outcome = pgscore("uninstall", "--dry-run", "--dsn", connection.dsn)
        assert outcome.code == 0
        query(connection, "CREATE VIEW pg_temp.v AS SELECT score.churn_v1(1, 1.0) AS p")
        refused = psql(connection.dsn, outcome.out)
        assert refused.returncode == 3
        assert "still in use: view pg_temp" in refused.stderr
        assert is_installed(connection)
        query(connection, "DROP VIEW pg_temp.v")
        ran = psql(connection.dsn, outcome.out)
        assert (ran.returncode, ran.stderr) == (0, "")
        assert query(admin, TRACES) == before


def test_our_own_names_are_those_in_the_sql() -> None:
    assert {"models", "versions", "promote", "refresh", "freshness", "onnx_row", "runtime_load"} <= set(_made())


def test_rights_and_memberships_go_along(bare: Server) -> None:
    """What was granted to our roles, and what they may by default, ends with them; the users themselves stay."""
    with using(bare) as (admin, _):
        database = value(admin, "SELECT quote_ident(current_database())")
        query(admin, "CREATE ROLE analyst LOGIN")
        before = query(admin, TRACES)
        installed_with_models(admin)
        query(
            admin,
            "GRANT pgscore_scorer, pgscore_owner TO analyst;"
            "GRANT EXECUTE ON FUNCTION score.churn(customers) TO analyst",
        )
        query(admin, f"GRANT CONNECT, TEMPORARY ON DATABASE {database} TO pgscore_scorer")
        query(admin, "GRANT SELECT ON customers TO pgscore_scorer; GRANT USAGE ON SCHEMA public TO pgscore_owner")
        query(admin, "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO pgscore_scorer")
        query(admin, "ALTER DEFAULT PRIVILEGES FOR ROLE pgscore_owner GRANT EXECUTE ON FUNCTIONS TO analyst")
        query(admin, "ALTER DEFAULT PRIVILEGES IN SCHEMA score GRANT EXECUTE ON FUNCTIONS TO analyst")
        assert uninstall(admin).notes == []
        query(admin, "DROP TABLE churn_scores")
        after = query(admin, TRACES)
        assert [line for line in after if line not in before and line[0] not in {"table", "database", "schema"}] == []
        assert [line for line in after if "pgscore" in str(line)] == []
        query(admin, "DROP ROLE analyst")


def test_settings_go_along(bare: Server) -> None:
    with using(bare) as (admin, _):
        database = value(admin, "SELECT quote_ident(current_database())")
        query(admin, "CREATE ROLE analyst LOGIN")
        query(admin, "ALTER ROLE analyst SET work_mem = '8MB'; ALTER ROLE analyst SET other.x = '1'")
        before = query(admin, TRACES)
        install(admin)
        query(admin, f"ALTER DATABASE {database} SET pgscore.x = '1'")
        query(admin, "ALTER ROLE analyst SET pgscore.x = '2'; ALTER ROLE ALL SET pgscore.\"Y\" = 'a=b'")
        query(admin, f"ALTER ROLE analyst IN DATABASE {database} SET pgscore.z = '3'")
        query(admin, "ALTER ROLE pgscore_scorer SET pgscore.x = '4'; ALTER ROLE pgscore_owner SET work_mem = '9MB'")
        uninstall(admin)
        assert query(admin, TRACES) == before
        query(admin, "DROP ROLE analyst")


def test_settings_that_only_a_superuser_may_reset_are_told(bare: Server) -> None:
    with using(bare, "dba", "CREATEROLE") as (admin, connection):
        install(connection)
        query(admin, "ALTER ROLE dba SET pgscore.x = '1'")
        notes = uninstall(connection).notes
        assert notes == ['A setting stays; a superuser should run: ALTER ROLE "dba" RESET "pgscore"."x";']
        query(admin, notes[0].split(": ")[1])
        assert query(admin, "SELECT FROM pg_db_role_setting") == []


def test_roles_stay_while_another_database_uses_them(bare: Server) -> None:
    with copied(bare) as first, copied(bare) as second, opened(first) as one, opened(second) as two:
        install(one)
        install(two)
        query(one, "ALTER ROLE ALL SET pgscore.x = '1'")
        assert uninstall(one).notes == [f"Role {name} stays: another database uses it." for name in sorted(ROLES)]
        assert query(one, "SELECT setconfig FROM pg_db_role_setting") == [(["pgscore.x=1"],)]
        assert list_models(two) == []
        uninstall(two)
        assert value(two, "SELECT count(*) FROM pg_roles WHERE rolname = ANY (%s)", (list(ROLES),)) == 0
        assert query(one, "SELECT FROM pg_db_role_setting") == []


def test_a_role_of_somebody_else_stays(bare: Server) -> None:
    """A role of that name that install did not make: it carries no comment of ours."""
    with using(bare) as (admin, _):
        query(admin, "CREATE ROLE pgscore_scorer NOLOGIN")
        install(admin)
        uninstall(admin)
        assert value(admin, "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'pgscore%'") == 1
        query(admin, "DROP ROLE pgscore_scorer")


def test_a_role_whose_rights_the_user_may_not_revoke_stays(bare: Server) -> None:
    with using(bare, "dba", "CREATEROLE") as (admin, connection):
        install(connection)
        query(admin, "GRANT SELECT ON customers TO pgscore_scorer")
        notes = uninstall(connection).notes
        assert notes == ["Role pgscore_scorer stays: it has rights that dba may not revoke, on table public.customers."]
        assert not is_installed(connection)
        roles = "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'pgscore%'"
        assert query(admin, roles) == [("pgscore_scorer",)]
        assert value(admin, "SELECT has_table_privilege('pgscore_scorer', 'customers', 'SELECT')")
        # Installed again by a superuser, all of it goes.
        install(admin)
        assert uninstall(admin).notes == []
        assert query(admin, roles) == []


def test_a_member_of_the_owner_removes_it_and_the_roles_stay(bare: Server) -> None:
    with using(bare, "plain", "NOINHERIT") as (admin, connection):
        install(admin)
        deploy(admin, classifier(), name="churn", table="customers")
        with pytest.raises(RightsError, match="GRANT pgscore_owner TO plain"):
            uninstall(connection)
        query(admin, "GRANT pgscore_owner TO plain")
        assert uninstall(connection).notes == [f"Role {name} stays: plain may not drop it." for name in sorted(ROLES)]
        assert not is_installed(connection)
        clean_up(admin)


def test_the_language_goes_where_install_created_it(bare: Server) -> None:
    if not bare.plpython:
        return
    runtime = Path("/srv/runtime")
    with using(bare) as (admin, _):
        before = query(admin, TRACES)
        install(admin, plpython=True, runtime=runtime)
        assert uninstall(admin).notes == []
        assert query(admin, TRACES) == before

        install(admin, plpython=True, runtime=runtime)
        query(admin, "CREATE FUNCTION mine() RETURNS integer LANGUAGE plpython3u AS 'return 1'")
        assert uninstall(admin).notes == ["Extension plpython3u stays: something else uses it."]
        query(admin, "DROP FUNCTION mine(); DROP EXTENSION plpython3u; CREATE EXTENSION plpython3u")
        install(admin, plpython=True, runtime=runtime)
        assert uninstall(admin).notes == ["Extension plpython3u stays: pgscore did not create it."]
        query(admin, "DROP EXTENSION plpython3u")

        install(admin, plpython=True, runtime=runtime)
        query(admin, f"CREATE ROLE dba LOGIN CREATEROLE IN ROLE {', '.join(ROLES)}")
        with opened(make_dsn(admin.dsn, user="dba")) as connection:
            [note] = uninstall(connection).notes
        assert note == "Extension plpython3u stays; a superuser should run: DROP EXTENSION plpython3u;"
        query(admin, note.split(": ")[1])
        query(admin, "DROP ROLE dba")


def test_jobs_of_pg_cron() -> None:
    require_debian15()
    preload = ("shared_preload_libraries = 'pg_cron'", "cron.database_name = 'shop'", "cron.host = ''")
    with servers.debian15(*preload) as server:
        with opened(server.dsn()) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("CREATE DATABASE shop")
        with opened(server.dsn("shop")) as connection:
            make_customers(connection)
            query(connection, "CREATE EXTENSION pg_cron")
            installed_with_models(connection)
            query(connection, "SELECT cron.schedule('ours', '0 4 * * *', $$CALL pgscore.refresh('daily')$$)")
            query(
                connection,
                "SELECT cron.schedule('timed', '0 4 * * *',"
                " $$SET statement_timeout = '5000ms'; CALL pgscore.refresh('daily')$$)",
            )
            query(connection, "SELECT cron.schedule('other', '0 4 * * *', 'VACUUM')")
            mixed = value(
                connection,
                "SELECT cron.schedule('mixed', '0 5 * * *', $$INSERT INTO x SELECT score.churn(c) FROM customers c$$)",
            )
            with pytest.raises(RefusedError, match=f"still in use: job {mixed} of pg_cron; unschedule that first"):
                uninstall(connection)
            query(connection, "SELECT cron.unschedule('mixed')")
            ran = psql(server.dsn("shop"), as_script(uninstall(connection, dry_run=True).statements))
            assert (ran.returncode, ran.stderr) == (0, "")
            assert query(connection, "SELECT jobname FROM cron.job") == [("other",)]
