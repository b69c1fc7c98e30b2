"""The doctor names what a server lacks, on servers that have all of it, part of it, and none of it."""

from __future__ import annotations

import json
from contextlib import closing

import psycopg2
from psycopg2.extensions import make_dsn

from pgscore.procedures.connection import connect
from pgscore.procedures.doctor import QUESTIONS, Finding, State, examine

from ..cli.conftest import pgscore


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
    assert "ok: pgscore is installed" in about(findings(installed), "pgscore")


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
