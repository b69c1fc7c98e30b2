"""The doctor names what a server lacks, on servers that have all of it, part of it, and none of it."""

from __future__ import annotations

import json
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from pgscore.procedures.connection import connect
from pgscore.procedures.deploy import deploy
from pgscore.procedures.doctor import QUESTIONS, Finding, State, examine
from pgscore.procedures.install import SCHEMA_VERSION, install
from pgscore.procedures.lifecycle import promote
from pgscore.procedures.plpython import statements as plpython

from ..cli.conftest import pgscore
from ..conftest import require_debian15
from ..support import servers
from ..support.roles import login
from ..support.tiny import classifier, make_customers, opened, query, value


def findings(dsn: str) -> list[Finding]:
    with closing(connect(dsn)) as connection:
        return examine(connection)


def about(found: list[Finding], subject: str) -> str:
    return "\n".join(f"{f.state.value}: {f.found} | {f.advice}" for f in found if f.subject == subject)


def test_an_empty_database_has_no_problem_and_is_told_to_install(database: str) -> None:
    found = findings(database)
    assert [f.subject for f in found if f.state is State.PROBLEM] == []
    assert {f.subject for f in found} == set(QUESTIONS)
    assert "note: pgscore is not installed in this database | pgscore install" in about(found, "pgscore")


def test_what_is_installed_is_found(installed: str) -> None:
    found = findings(installed)
    here = f"pgscore {version('pgscore')} is installed (schema version {SCHEMA_VERSION})"
    assert about(found, "pgscore") == f"ok: {here} | "
    assert "ok: this role may refresh into tables of schema public" in about(found, "refresh")


def test_the_embedded_server_has_no_plpython(database18: str) -> None:
    assert "plpython3u is not available" in about(findings(database18), "ONNX")
    assert "pg_cron is not available" in about(findings(database18), "schedule")


def test_plpython_tells_its_versions_and_how_long_they_take(with_plpython: str) -> None:
    onnx = about(findings(with_plpython), "ONNX")
    assert "ok: the functions for ONNX are installed" in onnx
    assert "numpy " in onnx
    assert "onnxruntime " in onnx
    assert "first score waits" in onnx
    assert "opset" in onnx
    assert "another build" not in about(findings(with_plpython), "pgscore")


def test_functions_of_another_build_are_found_by_any_role(with_plpython: str, runtime_folder: Path) -> None:
    with opened(with_plpython) as connection:
        [statement] = plpython(Path("/srv/other"))
        query(connection, statement.text.replace("/srv/other", str(runtime_folder)))
        query(connection, "CREATE ROLE pauper LOGIN")
        try:
            found = about(findings(make_dsn(with_plpython, user="pauper")), "pgscore")
        finally:
            query(connection, "DROP ROLE pauper")
    advice = f"as a superuser: pgscore upgrade --plpython --runtime {runtime_folder}"
    assert f"note: the PL/Python functions are of another build than this package | {advice}" in found


@pytest.mark.parametrize(("there", "advice"), [(SCHEMA_VERSION - 1, "pgscore upgrade"), (99, "update the package")])
def test_another_schema_version_is_a_problem(installed: str, there: int, advice: str) -> None:
    with opened(installed) as connection:
        query(connection, f"UPDATE pgscore.installation SET schema_version = {there}")
    found = about(findings(installed), "pgscore")
    assert found.startswith("problem: ")
    assert f"(schema version {there}), this package has {SCHEMA_VERSION}" in found
    assert found.endswith(f"| {advice}")
    assert pgscore("doctor", "--dsn", installed).code == 1


def test_what_a_role_may_score_and_refresh(installed: str) -> None:
    with opened(installed) as connection:
        make_customers(connection)
        deploy(connection, classifier(), name="churn", table="customers")
        database = value(connection, "SELECT quote_ident(current_database())")
        query(connection, f"CREATE ROLE pauper LOGIN; REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC")
        as_pauper = make_dsn(installed, user="pauper")
        try:
            found = findings(as_pauper)
            assert "may not use schema score | to score: GRANT pgscore_scorer TO pauper" in about(found, "scoring")
            assert "may create no temporary tables" in about(found, "refresh")
            assert "may create no tables in schema public" in about(found, "refresh")
            assert "this role may not read which version" in about(found, "pgscore")
            query(connection, "GRANT pgscore_scorer TO pauper")
            found = findings(as_pauper)
            assert about(found, "scoring") == "ok: this role may call all 12 functions of models | "
            assert f"schema version {SCHEMA_VERSION}" in about(found, "pgscore")
            query(connection, "REVOKE EXECUTE ON FUNCTION score.churn(customers) FROM pgscore_scorer")
            assert "may call 11 of the 12 functions" in about(findings(as_pauper), "scoring")
        finally:
            query(connection, "DROP OWNED BY pauper; DROP ROLE pauper")


def test_a_server_that_allows_nothing(installed: str) -> None:
    """The role may not even look into the system catalog, everything is read only, and statements end at once."""
    with opened(installed) as connection:
        query(connection, "CREATE ROLE pauper LOGIN")
        query(connection, "REVOKE ALL ON SCHEMA public, pg_catalog, information_schema FROM PUBLIC")
        query(connection, "REVOKE ALL ON ALL TABLES IN SCHEMA pg_catalog FROM PUBLIC")
        query(connection, "ALTER ROLE pauper SET default_transaction_read_only = on")
        query(
            connection, "ALTER ROLE pauper SET statement_timeout = '20ms'; ALTER ROLE pauper SET lock_timeout = '1ms'"
        )
        as_pauper = make_dsn(installed, user="pauper")
        try:
            found = findings(as_pauper)
            assert {f.subject for f in found} == set(QUESTIONS)
            for subject in set(QUESTIONS) - {"SQL"}:
                assert "note: cannot be asked: permission denied" in about(found, subject)
            assert pgscore("doctor", "--json", "--dsn", as_pauper).code == 0
        finally:
            query(connection, "DROP ROLE pauper")


def test_read_only_by_default(database: str) -> None:
    found = findings(make_dsn(database, options="-c default_transaction_read_only=on"))
    assert "note: transactions are read only by default | to install" in about(found, "server")


def test_a_short_statement_timeout_does_not_end_the_questions(with_plpython: str) -> None:
    """PL/Python's imports alone take longer."""
    found = findings(make_dsn(with_plpython, options="-c statement_timeout=20ms"))
    assert "first score waits" in about(found, "ONNX")
    assert "note: statement_timeout is 20ms" in about(found, "timeouts")


def test_a_hot_standby() -> None:
    require_debian15()
    with servers.debian15() as primary:
        with opened(primary.dsn()) as connection:
            install(connection)
        with servers.standby_of(primary) as standby:
            found = findings(standby.dsn())
            assert "note: a standby: it scores, and takes no writes" in about(found, "server")
            assert f"schema version {SCHEMA_VERSION}" in about(found, "pgscore")
            assert not [f for f in found if "cannot be asked" in f.found]
            for command in ("install", "upgrade", "uninstall"):
                outcome = pgscore(command, "--dsn", standby.dsn())
                assert outcome.code == 3
                assert "takes no writes" in outcome.err


def test_pg_cron_is_found_where_it_runs() -> None:
    require_debian15()
    with servers.debian15("shared_preload_libraries = 'pg_cron'", "cron.database_name = 'postgres'") as server:
        with opened(server.dsn()) as connection:
            query(connection, "CREATE EXTENSION pg_cron; CREATE ROLE pauper LOGIN")
        assert "ok: pg_cron is installed: pgscore schedule JOB" in about(findings(server.dsn()), "schedule")
        assert "this role may not use it" in about(findings(server.dsn(user="pauper")), "schedule")
        elsewhere = about(findings(server.dsn("template1")), "schedule")
        assert "note: pg_cron runs in database postgres | there: SELECT cron.schedule_in_database(" in elsewhere
        assert "'template1')" in elsewhere


def test_a_runtime_folder_that_is_gone_is_a_problem(with_plpython: str) -> None:
    with closing(psycopg2.connect(with_plpython)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            """
            CREATE OR REPLACE FUNCTION pgscore.runtime_info() RETURNS jsonb LANGUAGE sql
            AS $$ SELECT '{"problem": "cannot import numpy"}'::jsonb $$
            """
        )
    assert "problem: cannot import numpy" in about(findings(with_plpython), "ONNX")
    assert pgscore("doctor", "--dsn", with_plpython).code == 1


def test_a_role_that_may_do_nothing_gets_findings_not_errors(installed: str) -> None:
    with closing(psycopg2.connect(installed)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("CREATE ROLE pauper LOGIN CONNECTION LIMIT 2")
        cursor.execute("REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC")
        try:
            found = findings(make_dsn(installed, user="pauper"))
        finally:
            cursor.execute("GRANT USAGE ON LANGUAGE plpgsql TO PUBLIC")
            cursor.execute("DROP ROLE pauper")
    assert "may not create schemas" in about(found, "role")
    assert "may not create roles" in about(found, "role")
    assert "may not deploy" in about(found, "pgscore")
    assert "problem: this role may not use plpgsql" in about(found, "plpgsql")


def test_timeouts_are_told_with_what_they_touch(database: str) -> None:
    found = findings(make_dsn(database, options="-c statement_timeout=90s"))
    assert "note: statement_timeout is 90s | a refresh is one statement" in about(found, "timeouts")


def test_it_leaves_no_trace(installed: str) -> None:
    def objects() -> object:
        with closing(psycopg2.connect(installed)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_proc)")
            return cursor.fetchone()

    before = objects()
    findings(installed)
    assert objects() == before


def test_the_command_prints_findings_and_json(database: str) -> None:
    plain = pgscore("doctor", "--dsn", database)
    assert plain.code == 0
    assert "PostgreSQL" in plain.out
    answer = json.loads(pgscore("doctor", "--dsn", database, "--json").out)
    assert answer["ok"] is True
    assert {"subject", "state", "found", "advice"} == set(answer["findings"][0])
    assert pgscore("doctor", "--dsn", "postgresql://nobody@127.0.0.1:1/none").code == 3


def test_a_moving_function_that_a_restore_has_lost(installed: str) -> None:
    with opened(installed) as connection:
        make_customers(connection)
        for weight in (1.0, 2.0):
            deploy(connection, classifier(weight), name="churn", table="customers")
        with login(connection, "pgscore_monitor") as monitor:
            assert [f.state for f in examine(monitor) if f.subject == "models"] == [State.OK]
            body = "RETURN score.churn_v2($1)"
            query(connection, f"CREATE OR REPLACE FUNCTION score.churn(r customers) RETURNS float8 STABLE {body}")
            [found] = [f for f in examine(monitor) if f.subject == "models"]
        assert (found.state, found.advice) == (State.PROBLEM, "pgscore promote churn 1")
        promote(connection, "churn", 1)
        assert [f.state for f in examine(connection) if f.subject == "models"] == [State.OK]
