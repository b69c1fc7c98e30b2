from __future__ import annotations

from typing import Any

import psycopg2
import pytest

from pgscore.errors import NotInstalledError, PgscoreError, RefusedError, RightsError, ServerError, UsageError
from pgscore.procedures.connection import connect, errors, transaction

from ..support.servers import Server
from ..support.tiny import opened, query, value

PASSWORD = "hunter2"


def failure(dsn: str) -> PgscoreError:
    with pytest.raises(PgscoreError) as caught:
        connect(dsn)
    assert PASSWORD not in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


def test_no_server(tmp_path: Any) -> None:
    for where in (f"host={tmp_path}", "host=127.0.0.1 port=1"):
        error = failure(f"{where} user=me password={PASSWORD} dbname=shop")
        assert isinstance(error, ServerError)
        assert "no server is listening there" in str(error)


def test_no_such_host() -> None:
    assert "no such host" in str(failure(f"postgresql://me:{PASSWORD}@host.invalid/shop"))


def test_no_such_database_or_role(server: Server) -> None:
    assert 'database "nowhere" does not exist' in str(failure(server.dsn("nowhere")))
    assert 'role "nobody" does not exist' in str(failure(server.dsn(user="nobody")))


def test_what_is_no_dsn() -> None:
    for dsn in (f"password='{PASSWORD}", f"pasword={PASSWORD}", f"{PASSWORD}"):
        assert isinstance(failure(dsn), UsageError)


def test_environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSCORE_DSN", server.dsn("template1"))
    with opened(None) as connection:  # type: ignore[arg-type]
        assert value(connection, "SELECT current_database()::text") == "template1"
    monkeypatch.delenv("PGSCORE_DSN")
    for name, setting in (
        ("PGHOST", server.host),
        ("PGPORT", str(server.port)),
        ("PGUSER", "postgres"),
        ("PGDATABASE", "postgres"),
    ):
        monkeypatch.setenv(name, setting)
    with opened(None) as connection:  # type: ignore[arg-type]
        assert value(connection, "SELECT current_database()::text") == "postgres"


def test_transactions_commit_or_roll_back(database: str) -> None:
    with opened(database) as connection:
        with transaction(connection) as cursor:
            cursor.execute("CREATE TABLE kept ()")
        with pytest.raises(ServerError), transaction(connection) as cursor:
            cursor.execute("CREATE TABLE gone (); SELECT 1/0")
        assert value(connection, "SELECT to_regclass('kept') IS NOT NULL AND to_regclass('gone') IS NULL")


def test_errors_of_postgresql(database: str) -> None:
    cases: list[tuple[str, type[PgscoreError], str]] = [
        ("SELECT pgscore.promote('churn', 2)", NotInstalledError, "run `pgscore install`"),
        ("SELECT FROM pgscore.models", NotInstalledError, "run `pgscore install`"),
        ("SELECT 'secret'::integer", ServerError, "invalid input syntax for type integer (SQLSTATE 22P02)"),
        ("SET ROLE unprivileged; CREATE SCHEMA x", RightsError, "permission denied for database"),
        ("DROP TABLE used", RefusedError, "view user depends on table used"),
        ("BEGIN READ ONLY; CREATE TABLE x ()", ServerError, "connect to the primary"),
    ]
    with opened(database) as connection:
        query(
            connection,
            'CREATE ROLE unprivileged; CREATE TABLE used (a integer); CREATE VIEW "user" AS SELECT a FROM used',
        )
        try:
            for statement, kind, message in cases:
                with pytest.raises(PgscoreError) as caught, errors(), connection.cursor() as cursor:
                    cursor.execute(statement)
                connection.rollback()
                assert type(caught.value) is kind
                assert message in str(caught.value).replace('"', "")
                assert "secret" not in str(caught.value)
                assert isinstance(caught.value.__cause__, psycopg2.Error)
        finally:
            query(connection, "DROP ROLE unprivileged")
