"""The sources of incremental refresh jobs: what carries triggers, what does not, and how the triggers come and go."""

from __future__ import annotations

from typing import Any

import psycopg2
import pytest

from pgscore.errors import PgscoreError, RefusedError, RightsError, SignatureError
from pgscore.procedures.connection import connect
from pgscore.procedures.install import install
from pgscore.procedures.refresh import create_job, drop_job, run_job, status
from pgscore.procedures.uninstall import uninstall

from ..support.databases import copied
from ..support.incremental import another, incremental, queued, truth
from ..support.refreshing import (
    N,
    churn_job,
    connection,
    connection15,
    connection18,
    counts,
    fetch,
    fill,
    run,
)
from ..support.servers import Server

__all__ = ["connection", "connection15", "connection18"]

TRIGGERS = "SELECT count(*)::integer FROM pg_trigger WHERE tgname LIKE 'pgscore_queue%'"
OBJECTS = """
    SELECT relname::text FROM pg_class WHERE relname ~ '^queue_[0-9]' AND relkind = 'r'
    UNION ALL SELECT proname::text FROM pg_proc WHERE proname LIKE 'queue_changes_%'"""
PARTITIONED = """
    CREATE TABLE parts (LIKE customers, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
    CREATE TABLE parts_north (note text, region text NOT NULL, id integer NOT NULL, plan text, charge float8,
        tenure integer);
    ALTER TABLE parts_north DROP COLUMN note;
    ALTER TABLE parts ATTACH PARTITION parts_north FOR VALUES IN ('north');
    CREATE TABLE parts_rest PARTITION OF parts DEFAULT PARTITION BY LIST (region);
    CREATE TABLE parts_south PARTITION OF parts_rest FOR VALUES IN ('south', 'east');
    INSERT INTO parts SELECT * FROM customers
"""


def partitioned(connection: Any) -> None:
    run(connection, PARTITIONED)
    create_job(connection, "daily", model="churn", source="parts", keys=["id"], target="scores", mode="incremental")
    run_job(connection, "daily")


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        ("UPDATE parts SET tenure = -1 WHERE id < 3", [0, 1, 2]),
        ("UPDATE parts_north SET tenure = -1 WHERE id < 3", [1]),
        ("DELETE FROM parts_rest WHERE id < 3", [0, 2]),
        ("INSERT INTO parts_south VALUES ('east', 9001, 1, 2, 'a')", [9001]),
        ("UPDATE parts SET region = 'south', tenure = -1 WHERE id = 1", [1]),
        ("UPDATE parts SET region = 'south' WHERE id = 1", []),
        ("TRUNCATE parts_south", [None]),
        ("TRUNCATE parts", [None]),
    ],
)
def test_writes_to_partitions(connection: Any, write: str, expected: list[int | None]) -> None:
    partitioned(connection)
    run(connection, write)
    # TRUNCATE fires the triggers of all tables that it empties.
    assert sorted(set(queued(connection)), key=str) == expected
    assert run_job(connection, "daily").steps == 1
    truth(connection, "parts")


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        ("UPDATE parts SET region = 'south' WHERE id = 1", [1]),
        (
            "UPDATE parts SET region = CASE id WHEN 1 THEN 'south' ELSE region END, tenure = -1 WHERE id IN (1, 3)",
            [1, 3],
        ),
        ("UPDATE parts SET region = 'south' WHERE id IN (1, 3)", [1, 3]),
    ],
)
def test_rows_that_a_partition_does_not_take(connection: Any, write: str, expected: list[int]) -> None:
    """An update then has fewer new rows than old ones."""
    partitioned(connection)
    run(
        connection,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        " CREATE TRIGGER refuse BEFORE INSERT ON parts_south FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    run(connection, write)
    assert sorted(queued(connection)) == expected
    run_job(connection, "daily")
    truth(connection, "parts")


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE parts_west PARTITION OF parts FOR VALUES IN ('west');"
        " INSERT INTO parts_west VALUES ('west', 9001, 1, 2, 'a')",
        "DROP TABLE parts_south",
        "ALTER TABLE parts DETACH PARTITION parts_north; UPDATE parts_north SET tenure = -1",
    ],
)
def test_partitions_that_come_and_go(connection: Any, change: str) -> None:
    partitioned(connection)
    run(connection, change)
    result = run_job(connection, "daily")
    assert result.steps == 2
    truth(connection, "parts")
    assert [job.state for job in status(connection)] == ["fresh"]
    run(connection, "UPDATE parts SET tenure = 77 WHERE region = 'west' OR id = 3")
    run_job(connection, "daily")
    truth(connection, "parts")


def test_inheritance(connection: Any) -> None:
    run(connection, "CREATE TABLE more () INHERITS (customers); INSERT INTO more VALUES ('n', 9001, 1, 2, 'a')")
    incremental(connection)
    run(connection, "UPDATE more SET tenure = 5")
    assert queued(connection) == [9001]
    run(connection, "UPDATE customers SET tenure = 6 WHERE id > 9000")
    assert counts(run_job(connection, "daily")) == (1, 0, 1, 0)
    truth(connection)


def test_a_disabled_trigger_means_full_runs(connection: Any) -> None:
    incremental(connection)
    run(connection, "ALTER TABLE customers DISABLE TRIGGER ALL; UPDATE customers SET tenure = -1 WHERE id = 1")
    result = run_job(connection, "daily")
    assert (result.rows, result.updated) == (N, 1)
    # What comes after the run is as invisible, so the next one compares everything again.
    run(connection, "UPDATE customers SET tenure = -2 WHERE id = 1; ALTER TABLE customers ENABLE TRIGGER ALL")
    assert [job.state for job in status(connection)] == ["behind"]
    assert counts(run_job(connection, "daily")) == (N, 0, 1, 0)
    truth(connection)
    assert counts(run_job(connection, "daily")) == (0, 0, 0, 0)


def test_a_dropped_trigger_is_made_anew(connection: Any) -> None:
    incremental(connection)
    ((name,),) = fetch(connection, "SELECT tgname FROM pg_trigger WHERE tgname LIKE 'pgscore%update'")
    run(connection, f"DROP TRIGGER {name} ON customers; UPDATE customers SET tenure = -1 WHERE id = 1")
    assert run_job(connection, "daily").steps == 2
    truth(connection)
    assert fetch(connection, TRIGGERS) == [(4,)]


def test_what_no_trigger_saw_takes_a_full_run(connection: Any) -> None:
    incremental(connection)
    run(connection, "SET LOCAL session_replication_role = replica; UPDATE customers SET tenure = -1 WHERE id = 1")
    assert run_job(connection, "daily").rows == 0
    assert counts(run_job(connection, "daily", full=True)) == (N, 0, 1, 0)
    truth(connection)
    churn_job_full = {"model": "churn", "source": "customers", "keys": ["id"], "target": "others"}
    create_job(connection, "other", **churn_job_full)
    with pytest.raises(RefusedError, match="other has no queue"):
        run_job(connection, "other", full=True)


def test_the_first_statement_does_not_decide_the_plan_of_later_ones(connection: Any) -> None:
    """A plan is kept from the first update of a session, of one row: nested loops would take hours for many."""
    incremental(connection)
    run(
        connection,
        f"INSERT INTO customers SELECT region, id + {N} * n, tenure, charge, plan"
        " FROM customers, generate_series(1, 30) n",
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE customers SET tenure = -1 WHERE id = 1")
        cursor.execute("SET LOCAL statement_timeout = '30s'; UPDATE customers SET tenure = tenure + 1")


def test_composite_keys_of_other_types(connection: Any) -> None:
    run(
        connection,
        """CREATE TABLE wide (
               "Key %" varchar(20), day date, code char(3), at timestamptz, money numeric,
               tenure integer, charge float8, plan text, PRIMARY KEY ("Key %", day, code, at, money));
           INSERT INTO wide SELECT 'k' || id, date '2024-01-01' + id, 'ab', now(), id / 7.0,
               tenure, charge, plan
           FROM customers WHERE id < 50""",
    )
    keys = ["money", "Key %", "day", "code", "at"]
    create_job(connection, "daily", model="churn", source="wide", keys=keys, target="scores", mode="incremental")
    run_job(connection, "daily")
    run(
        connection, 'UPDATE wide SET tenure = -1 WHERE money < 1; UPDATE wide SET "Key %" = NULL::text || 1 WHERE false'
    )
    assert counts(run_job(connection, "daily")) == (7, 0, 7, 0)
    run(
        connection,
        "UPDATE wide SET at = at + interval '1 second', code = 'é' WHERE money < 1; DELETE FROM wide WHERE money > 6",
    )
    assert counts(run_job(connection, "daily")) == (7, 7, 0, 14)
    joined = (
        "SELECT count(*), bool_and(s.score = score.churn_v1(tenure => w.tenure, charge => w.charge, plan => w.plan))"
    )
    assert fetch(connection, f'{joined} FROM scores s JOIN wide w USING ("Key %", day, code, at, money)') == [
        (43, True)
    ]


# Refused.


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        ("CREATE VIEW s AS SELECT * FROM customers", "s is no table"),
        ("CREATE MATERIALIZED VIEW s AS SELECT * FROM customers", "s is no table"),
        (
            "CREATE DOMAIN d AS integer; CREATE TABLE s AS SELECT id::d, tenure, charge, plan FROM customers",
            "no key like id of public.s, of type public.d",
        ),
        (
            "CREATE TABLE s AS SELECT ARRAY[id] AS id, tenure, charge, plan FROM customers",
            "no key like id of public.s, of type integer",
        ),
        (
            "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
            " CREATE TABLE s AS SELECT id::text COLLATE loose AS id, tenure, charge, plan FROM customers",
            "no key like id of public.s, of type text",
        ),
    ],
)
def test_sources_without_triggers_are_refused(connection15: Any, prepare: str, why: str) -> None:
    run(connection15, prepare)
    with pytest.raises(SignatureError, match=why):
        churn_job(connection15, source="s", mode="incremental")
    assert fetch(connection15, OBJECTS) == []
    assert status(connection15) == []


def test_an_unknown_mode(connection: Any) -> None:
    with pytest.raises(PgscoreError, match="there is no refresh mode 'hourly'"):
        churn_job(connection, mode="hourly")


def test_the_right_to_create_triggers(connection: Any) -> None:
    run(
        connection,
        """
        DROP ROLE IF EXISTS incremental_analyst; CREATE ROLE incremental_analyst LOGIN IN ROLE pgscore_scorer;
        GRANT SELECT ON customers TO incremental_analyst; CREATE SCHEMA mine AUTHORIZATION incremental_analyst
        """,
    )
    try:
        with another(connection) as analyst:
            run(analyst, "SET SESSION AUTHORIZATION incremental_analyst")
            job = {
                "model": "churn",
                "source": "customers",
                "keys": ["id"],
                "target": "mine.scores",
                "mode": "incremental",
            }
            with pytest.raises(RightsError, match=r"may not create triggers on public\.customers"):
                create_job(analyst, "daily", **job)
            run(connection, "GRANT TRIGGER ON customers TO incremental_analyst")
            create_job(analyst, "daily", **job)
            run_job(analyst, "daily")
            run(connection, "UPDATE customers SET tenure = -1 WHERE id = 1")
            assert [(job.state, job.queued) for job in status(analyst)] == [("behind", 1)]
            assert counts(run_job(analyst, "daily")) == (1, 0, 1, 0)
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                run(
                    analyst,
                    fetch(connection, "SELECT format('SELECT * FROM pgscore.queue_%s', job_id) FROM pgscore.jobs")[0][
                        0
                    ],
                )
            drop_job(analyst, "daily")
            assert fetch(connection, TRIGGERS) == [(0,)]
    finally:
        run(connection, "DROP OWNED BY incremental_analyst CASCADE; DROP ROLE incremental_analyst")


def test_no_code_of_a_user_runs_as_the_owner(connection: Any) -> None:
    """The trigger function has the owner's rights and reads rows of types that a user made."""
    run(
        connection,
        """
        CREATE TABLE calls (who text);
        CREATE TYPE evil AS ENUM ('1', '2');
        CREATE FUNCTION to_integer(e evil) RETURNS integer LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO public.calls VALUES (current_user); RETURN e::text::integer; END $$;
        GRANT ALL ON calls TO PUBLIC;
        CREATE CAST (evil AS integer) WITH FUNCTION to_integer(evil) AS ASSIGNMENT;
        CREATE TABLE s AS SELECT id, tenure, charge, plan FROM customers WHERE id IN (1, 2)
        """,
    )
    incremental(connection, source="s")
    run(connection, "ALTER TABLE s ALTER COLUMN id TYPE evil USING id::text::evil")
    run(connection, "UPDATE s SET tenure = -1; DELETE FROM s WHERE id = '2'; INSERT INTO s VALUES ('2', 1, 2, 'a')")
    assert fetch(connection, "SELECT who FROM calls") == []
    # Writers are not stopped; the run says what is wrong.
    assert queued(connection) == [None, None, None]
    with pytest.raises(SignatureError, match="column id of"):
        run_job(connection, "daily")


def test_a_renamed_key_stops_no_writer(connection: Any) -> None:
    incremental(connection)
    run(connection, "ALTER TABLE customers RENAME id TO number; UPDATE customers SET tenure = -1 WHERE number = 1")
    assert queued(connection) == [None]
    with pytest.raises(PgscoreError):
        run_job(connection, "daily")
    run(connection, "ALTER TABLE customers RENAME number TO id")
    run_job(connection, "daily")
    truth(connection)


# The end.


def test_dropping_a_job_takes_its_triggers_along(connection: Any) -> None:
    incremental(connection)
    assert len(fetch(connection, OBJECTS)) == 2
    drop_job(connection, "daily")
    assert fetch(connection, TRIGGERS) == [(0,)]
    assert fetch(connection, OBJECTS) == []
    run(connection, "UPDATE customers SET tenure = -1 WHERE id = 1")
    churn_job(connection, mode="incremental")
    run_job(connection, "daily")
    truth(connection)


def test_the_source_may_be_dropped(connection: Any) -> None:
    incremental(connection)
    run(connection, "DROP TABLE customers CASCADE")
    with pytest.raises(PgscoreError, match="the source of refresh job daily is gone"):
        run_job(connection, "daily")
    assert [job.state for job in status(connection)] == ["failed"]
    drop_job(connection, "daily")
    assert fetch(connection, OBJECTS) == []


def test_uninstall_takes_the_triggers_along(bare: Server) -> None:
    with copied(bare) as dsn:
        connection = connect(dsn)
        try:
            install(connection)
            fill(connection)
            incremental(connection)
            uninstall(connection)
            assert fetch(connection, TRIGGERS) == [(0,)]
            run(connection, "UPDATE customers SET tenure = -1 WHERE id = 1")
            assert fetch(connection, "SELECT count(*) FROM scores") == [(N,)]
        finally:
            connection.close()


def test_a_schema_that_the_owner_of_pgscore_may_not_use(connection: Any) -> None:
    run(connection, "CREATE SCHEMA hidden; CREATE TABLE hidden.customers AS TABLE customers")
    incremental(connection, source="hidden.customers")
    run(connection, "UPDATE hidden.customers SET tenure = -1 WHERE id = 1")
    assert counts(run_job(connection, "daily")) == (1, 0, 1, 0)
    truth(connection, "hidden.customers")
