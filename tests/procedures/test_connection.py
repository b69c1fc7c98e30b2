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


SECRET = 'se"cret 4711'


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        # Messages that quote the value: after a colon, or within the sentence.
        (f"SELECT '{SECRET}'::integer", "invalid input syntax for type integer (SQLSTATE 22P02)"),
        ("SELECT '47114711471147114711'::integer", "value … is out of range for type integer (SQLSTATE 22003)"),
        ("SELECT '47114711471147114711'::bigint", "value … is out of range for type bigint (SQLSTATE 22003)"),
        ("SELECT '4711e400'::float8", "… is out of range for type double precision (SQLSTATE 22003)"),
        ("SELECT '4711e99'::real", "… is out of range for type real (SQLSTATE 22003)"),
        ("SELECT repeat('4711', 200)::numeric::float8", "… is out of range for type double precision (SQLSTATE 22003)"),
        (f"SELECT now() AT TIME ZONE E'{SECRET}\\n4711'", "time zone … not recognized (SQLSTATE 22023)"),
        (f"SELECT '{{{SECRET}'::integer[]", "malformed array literal (SQLSTATE 22P02)"),
        (f"SELECT '{SECRET}'::json", "invalid input syntax for type json (SQLSTATE 22P02)"),
        (f"SELECT '{SECRET}'::mood", "invalid input value for enum mood (SQLSTATE 22P02)"),
        (f"SELECT '{SECRET}'::boolean", "invalid input syntax for type boolean (SQLSTATE 22P02)"),
        (f"SELECT '{SECRET}'::date", "invalid input syntax for type date (SQLSTATE 22007)"),
        ("SELECT '4711-13-01'::date", "date/time field value out of range (SQLSTATE 22008)"),
        (f"SELECT to_date('{SECRET}', 'YYYY-MM-DD')", "invalid value … (SQLSTATE 22007)"),
        (f"SELECT now() AT TIME ZONE '{SECRET}'", "time zone … not recognized (SQLSTATE 22023)"),
        ("SELECT convert_from('\\x47114711ff', 'UTF8')", "invalid byte sequence for encoding … (SQLSTATE 22021)"),
        ("SELECT convert_to('4711' || chr(18193), 'LATIN1')", "byte sequence … in encoding … (SQLSTATE 22P05)"),
        # Messages with the value in a detail.
        ("INSERT INTO kept VALUES (4711, 1), (4711, 1)", "duplicate key value violates unique constraint kept_pkey"),
        ("INSERT INTO kept VALUES (4711, 0)", "new row for relation kept violates check constraint kept_b_check"),
        ("INSERT INTO kept VALUES (4711, NULL)", "null value in column b of relation kept violates"),
        ("INSERT INTO kept VALUES (1, 4711)", "violates foreign key constraint kept_b_fkey"),
        ("INSERT INTO parts VALUES (4711)", "no partition of relation parts found for row (SQLSTATE 23514)"),
        ("CREATE UNIQUE INDEX ON twice (a)", "could not create unique index twice_a_idx (SQLSTATE 23505)"),
        ("SELECT '4711'::small", "value for domain small violates check constraint small_check (SQLSTATE 23514)"),
        ("SELECT 4711::numeric(2)", "numeric field overflow (SQLSTATE 22003)"),
    ],
)
def test_no_message_holds_a_value(database: str, statement: str, message: str) -> None:
    with opened(database) as connection:
        query(
            connection,
            "CREATE TYPE mood AS ENUM ('good'); CREATE DOMAIN small AS integer CHECK (VALUE < 10);"
            "CREATE TABLE other (b integer PRIMARY KEY); INSERT INTO other VALUES (0), (1);"
            "CREATE TABLE kept (a integer PRIMARY KEY, b integer NOT NULL CHECK (b > 0) REFERENCES other);"
            "CREATE TABLE parts (a integer) PARTITION BY LIST (a);"
            "CREATE TABLE twice AS SELECT 4711 AS a FROM generate_series(1, 2)",
        )
        with pytest.raises(PgscoreError) as caught, errors("scoring"), connection.cursor() as cursor:
            cursor.execute(statement)
        connection.rollback()
        said = str(caught.value)
        assert message in said.replace('"', "")
        assert "4711" not in said
        assert "cret" not in said
