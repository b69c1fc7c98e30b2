"""CALL pgscore.run_job: as many transactions as a job takes, from psql and everything else that speaks SQL."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from pgscore.errors import RefusedError, ServerError
from pgscore.procedures import lifecycle
from pgscore.procedures.connection import connect
from pgscore.procedures.freshness import runs
from pgscore.procedures.refresh import run_job

from ..support.refreshing import N, churn_job, connection, connection18, counts, fetch, run

__all__ = ["connection", "connection18"]


def call(connection: Any, statement: str = "CALL pgscore.run_job('daily')") -> dict[str, Any]:
    """What the procedure gives, called by itself."""
    connection.commit()
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return dict(zip([column.name for column in cursor.description], cursor.fetchone(), strict=True))
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ROLLBACK")
        connection.autocommit = False


def recorded(connection: Any) -> list[tuple[Any, ...]]:
    return fetch(connection, "SELECT state, rows_scored, error FROM pgscore.runs ORDER BY run_id")


def test_a_full_job_is_one_step(connection: Any) -> None:
    churn_job(connection)
    done = call(connection)
    assert list(done) == [
        "run_id", "version", "rows_scored", "rows_inserted", "rows_updated", "rows_deleted", "rows_refused", "steps",
        "written", "because",
    ]  # fmt: skip
    assert list(done.values())[1:] == [1, N, N, 0, 0, 0, 1, "difference", "the table is small"]
    assert fetch(connection, "SELECT count(*) FROM scores") == [(N,)]
    assert fetch(connection, "SHOW search_path") == [('"$user", public',)], "the session's own path is back"


def test_an_incremental_job_goes_on_until_it_is_done(connection: Any) -> None:
    churn_job(connection, mode="incremental")
    call(connection)
    lifecycle.promote(connection, "churn", 2)
    done = call(connection, "CALL pgscore.run_job('daily', backfill_rows => 1000)")
    assert (done["version"], done["rows_scored"], done["rows_updated"], done["steps"]) == (2, N, N, 3)
    assert [row[:2] for row in recorded(connection)[1:]] == [("done", 1000)] * 3
    assert fetch(connection, "SELECT pgscore.refresh_unfinished('daily')") == [(False,)]
    assert fetch(connection, "SELECT current_setting('pgscore.backfill_rows', true)") in ([(None,)], [("",)])


def test_a_hostile_search_path_and_another_isolation_change_nothing(connection: Any) -> None:
    churn_job(connection, mode="incremental")
    run(
        connection,
        """
        CREATE SCHEMA trap;
        CREATE FUNCTION trap.set_config(text, text, boolean) RETURNS text
            LANGUAGE plpgsql AS $$ BEGIN RAISE 'caught'; END $$;
        CREATE FUNCTION trap.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE 'caught'; END $$;
        CREATE FUNCTION trap.same(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'caught'; END $$;
        CREATE OPERATOR trap.= (LEFTARG = text, RIGHTARG = text, FUNCTION = trap.same);
        CREATE FUNCTION trap.plus(bigint, bigint) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RAISE 'caught'; END $$;
        CREATE OPERATOR trap.+ (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = trap.plus)
        """,
    )
    run(connection, "SET search_path = trap, pg_catalog, public; SET default_transaction_isolation = 'serializable'")
    assert call(connection)["rows_scored"] == N
    lifecycle.promote(connection, "churn", 2)
    assert call(connection, "CALL pgscore.run_job('daily', 1000)")["steps"] == 3
    assert fetch(connection, "SHOW search_path") == [("trap, pg_catalog, public",)]


@pytest.mark.parametrize(
    "statement",
    [
        "BEGIN; CALL pgscore.run_job('daily')",
        "SELECT 1; CALL pgscore.run_job('daily')",
        "DO $$ BEGIN EXECUTE 'CALL pgscore.run_job(''daily'')'; END $$",
        "DO $$ BEGIN EXECUTE 'CALL pgscore.run_job(''daily'')'; EXCEPTION WHEN raise_exception THEN NULL; END $$",
    ],
)
def test_within_a_transaction_it_says_so_before_it_does_anything(connection: Any, statement: str) -> None:
    churn_job(connection)
    with pytest.raises(psycopg2.Error) as raised:
        call(connection, statement)
    assert raised.value.pgcode == "PS002"
    assert "pgscore.refresh does one step within one" in raised.value.diag.message_hint
    assert recorded(connection) == []
    assert fetch(connection, "SELECT count(*) FROM scores") == [(0,)]


def test_a_failure_is_written_down_and_raised_again(connection: Any) -> None:
    churn_job(connection)
    call(connection)
    run(connection, "INSERT INTO customers VALUES ('east', 5, 1, 2, 'a')")
    with pytest.raises(psycopg2.Error, match="is not unique") as raised:
        call(connection)
    assert (raised.value.pgcode, raised.value.diag.message_hint) == (
        "PS002",
        "refresh job daily needs columns that identify a row",
    )
    assert recorded(connection) == [
        ("done", N, None),
        (
            "failed", None,
            "the key (id) of public.customers is not unique; refresh job daily needs columns that identify a row",
        ),
    ]  # fmt: skip
    assert fetch(connection, "SELECT finished_at > started_at FROM pgscore.runs") == [(True,), (True,)]
    with pytest.raises(RefusedError):
        run_job(connection, "daily")
    assert len(recorded(connection)) == 3, "Python leaves it at that"


def test_no_value_of_a_row_is_written_down(connection: Any) -> None:
    run(
        connection,
        """
        CREATE TABLE secrets AS SELECT id, '1' AS secret FROM customers;
        CREATE VIEW v AS SELECT id, secret::integer AS tenure, charge, plan FROM customers JOIN secrets USING (id)
        """,
    )
    churn_job(connection, source="v")
    # In all rows: the run goes on without single ones.
    run(connection, "DELETE FROM customers WHERE id > 20; UPDATE secrets SET secret = 'swordfish'")
    with pytest.raises(psycopg2.errors.InvalidTextRepresentation):
        call(connection)
    assert recorded(connection) == [("failed", None, "invalid input syntax for type integer (SQLSTATE 22P02)")]


def test_what_fails_at_the_commit_is_written_down(connection: Any) -> None:
    churn_job(connection)
    call(connection)
    run(
        connection,
        """
        CREATE TABLE known (id integer PRIMARY KEY);
        INSERT INTO known SELECT id FROM customers;
        ALTER TABLE scores ADD CONSTRAINT of_known FOREIGN KEY (id) REFERENCES known DEFERRABLE INITIALLY DEFERRED;
        INSERT INTO customers VALUES ('east', 9000, 1, 2, 'a')
        """,
    )
    with pytest.raises(psycopg2.errors.ForeignKeyViolation) as raised:
        call(connection)
    assert raised.value.diag.message_detail is None, "it would show the key"
    assert [row[0] for row in recorded(connection)] == ["done", "failed"]
    assert fetch(connection, "SELECT count(*) FROM scores") == [(N,)]


@pytest.mark.parametrize("how", ["cancel", "timeout", "python"])
def test_a_cancel_is_written_down(connection: Any, how: str) -> None:
    churn_job(connection)
    run(
        connection,
        """
        ALTER TABLE customers RENAME TO people;
        CREATE VIEW customers AS SELECT region, id, tenure, charge, plan FROM people, pg_sleep(9)
        """,
    )
    waits = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    with closing(connect(connection.dsn)) as runner:
        errors: list[BaseException] = []

        def runs_it() -> None:
            try:
                if how == "python":
                    run_job(runner, "daily")
                else:
                    call(runner)
            except (psycopg2.Error, ServerError) as error:
                errors.append(error)

        if how == "timeout":
            run(runner, "SET statement_timeout = '200ms'")
        thread = threading.Thread(target=runs_it)
        thread.start()
        while how != "timeout" and not (found := fetch(connection, waits)):
            pass
        if how != "timeout":
            run(connection, f"SELECT pg_cancel_backend({found[0][0]})")
        thread.join(8)
        assert not thread.is_alive()
    (error,) = errors
    assert "57014" in (getattr(error, "pgcode", None) or str(error))
    ((state, _, message),) = recorded(connection)
    assert (state, message) == (
        "failed",
        f"canceling statement due to {'statement timeout' if how == 'timeout' else 'user request'} (SQLSTATE 57014)",
    )


def test_a_job_that_is_unknown_or_running_is_no_run(connection: Any) -> None:
    with pytest.raises(psycopg2.Error, match="no refresh job 'daily'"):
        call(connection)
    churn_job(connection)
    with closing(psycopg2.connect(connection.dsn)) as other, other.cursor() as cursor:
        cursor.execute("CALL pgscore.refresh('daily')")
        with pytest.raises(psycopg2.Error, match="refresh job daily is running already"):
            call(connection)
        other.rollback()
    assert recorded(connection) == []


def test_another_run_between_two_steps_is_noticed(connection: Any) -> None:
    """What the first one wrote stays, and the other finishes."""
    churn_job(connection, mode="incremental")
    call(connection)
    lifecycle.promote(connection, "churn", 2)
    body = fetch(connection, "SELECT pg_get_functiondef('pgscore.lock_job'::regproc)")[0][0]
    begins = "BEGIN\n    SELECT j.*"
    assert body.count(begins) == 1
    run(
        connection,
        body.replace(
            begins,
            "BEGIN IF last_run IS NOT NULL AND current_setting('test.waits', true) = 'yes' THEN"
            " PERFORM pg_advisory_xact_lock(77); END IF; SELECT j.*",
        ),
    )
    with closing(connect(connection.dsn)) as runner, closing(connect(connection.dsn)) as holder:
        run(runner, "SET test.waits = 'yes'")
        refused: list[RefusedError] = []

        def runs_it() -> None:
            try:
                run_job(runner, "daily", backfill_rows=1000)
            except RefusedError as error:
                refused.append(error)

        with holder.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(77)")
            thread = threading.Thread(target=runs_it)
            thread.start()
            while not fetch(connection, "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
                pass
            assert counts(run_job(connection, "daily", backfill_rows=1500)) == (2000, 0, 2000, 0)
            holder.rollback()
        thread.join(30)
    assert "another run of refresh job daily came between" in str(refused[0])
    assert [(one.state, one.rows) for one in runs(connection, "daily", 9)][:-1] == [
        ("done", 500), ("done", 1500), ("done", 1000),
    ]  # fmt: skip
