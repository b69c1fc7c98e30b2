"""What the triggers of incremental refresh jobs queue of large statements, and of tables that change under them."""

from __future__ import annotations

from typing import Any

import pytest

from pgscore.procedures.refresh import create_job, run_job, status

from ..support.incremental import incremental, queued, truth
from ..support.refreshing import N, connection, connection15, connection18, counts, fetch, run

__all__ = ["connection", "connection15", "connection18"]

EVERY = set(range(N))
BULK = {
    "one column in all rows": ("UPDATE customers SET tenure = tenure + 100", EVERY),
    "one column in all rows, from and to null": (
        "UPDATE customers SET charge = CASE WHEN charge IS NULL THEN 1 END",
        EVERY,
    ),
    "one column in most rows": ("UPDATE customers SET tenure = tenure + (id % 50 > 10)::integer", None),
    # The first 100 are asked; that says enough of the others.
    "one column in all of the first rows": (
        "UPDATE customers SET tenure = tenure + (id % 1500 > 10)::integer",
        EVERY,
    ),
    "another column in some rows": (
        "UPDATE customers SET tenure = tenure + (id % 3)::integer,"
        " charge = CASE WHEN id % 7 = 0 THEN -1 ELSE charge END",
        None,
    ),
    "a column that no version reads": ("UPDATE customers SET region = region || 'x'", set()),
    "all keys": ("UPDATE customers SET id = id + 10000", EVERY | {key + 10000 for key in EVERY}),
    "all keys, in turn": ("UPDATE customers SET id = (id + 1) % 3000, region = 'x'", EVERY),
    "keys that come and go, and a column": (
        "UPDATE customers SET id = id + 10000 * (id % 2), tenure = tenure + 1",
        EVERY | {key + 10000 for key in EVERY if key % 2},
    ),
}


@pytest.mark.parametrize("write", BULK)
def test_a_bulk_update(connection: Any, write: str) -> None:
    incremental(connection)
    run(connection, "CREATE TABLE was AS TABLE customers")
    statement, expected = BULK[write]
    run(connection, statement)
    if expected is None:
        expected = {
            key
            for (key,) in fetch(
                connection,
                "SELECT id FROM was JOIN customers AS c USING (id)"
                " WHERE (was.tenure, was.charge) IS DISTINCT FROM (c.tenure, c.charge)",
            )
        }
    found = queued(connection)
    assert len(found) == len(expected)
    assert set(found) == expected
    assert [job.queued for job in status(connection)] == [len(expected)]
    run_job(connection, "daily")
    truth(connection)


@pytest.mark.parametrize(
    "write",
    [
        "UPDATE customers SET tenure = tenure + 100",
        "UPDATE customers SET tenure = CASE WHEN id % 2 = 0 THEN -1 ELSE tenure END",
        "INSERT INTO customers SELECT region, id + 10000, tenure, charge, plan FROM customers",
        "DELETE FROM customers WHERE id < 2000",
    ],
)
def test_more_rows_than_an_array_takes(connection: Any, write: str) -> None:
    incremental(connection)
    ((body,),) = fetch(
        connection, "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname LIKE 'queue\\_changes\\_%'"
    )
    assert "LIMIT 1000000" in body
    run(connection, body.replace("1000000", "1000"))
    run(connection, write)
    run_job(connection, "daily")
    truth(connection)


def test_large_statements_are_one_row_of_the_queue(connection: Any) -> None:
    incremental(connection)
    run(connection, "UPDATE customers SET tenure = tenure + 1; DELETE FROM customers WHERE id < 2000")
    assert fetch(connection, "SELECT changes, cardinality(k1) FROM pgscore.queue_1 ORDER BY 1") == [
        (2000, 2000),
        (N, N),
    ]
    assert [job.queued for job in status(connection)] == [N + 2000]
    assert counts(run_job(connection, "daily")) == (N - 2000, 0, N - 2000, 2000)
    truth(connection)


def test_keys_that_may_be_long(connection: Any) -> None:
    run(
        connection,
        "CREATE TABLE named AS SELECT repeat('k', 50) || id AS id, tenure, charge, plan FROM customers;"
        " ALTER TABLE named ADD PRIMARY KEY (id)",
    )
    create_job(connection, "daily", model="churn", source="named", keys=["id"], target="scores", mode="incremental")
    run_job(connection, "daily")
    run(connection, "UPDATE named SET tenure = tenure + 1 WHERE id <> repeat('k', 50) || 5")
    assert len(queued(connection)) == N - 1
    assert run_job(connection, "daily").rows == N - 1
    truth(connection, "named")


def test_a_table_that_changes_between_statements_of_a_session(connection: Any) -> None:
    """The session has plans of the statements by then."""
    run(
        connection,
        """
        CREATE TABLE calls (who text);
        CREATE TYPE evil AS ENUM ('1', '2');
        CREATE FUNCTION to_integer(e evil) RETURNS integer LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO public.calls VALUES (current_user); RETURN e::text::integer; END $$;
        GRANT ALL ON calls TO PUBLIC;
        CREATE CAST (evil AS integer) WITH FUNCTION to_integer(evil) AS IMPLICIT;
        CREATE TABLE s AS SELECT id, tenure, charge, plan FROM customers WHERE id IN (1, 2)
        """,
    )
    incremental(connection, source="s")
    writes = (
        "UPDATE s SET tenure = coalesce(tenure, 0) + 1; DELETE FROM s WHERE tenure < 0;"
        " INSERT INTO s SELECT * FROM s WHERE false"
    )
    for _ in range(8):
        run(connection, writes)
    assert queued(connection) == [1] * 8 + [2] * 8
    run_job(connection, "daily")
    run(connection, "ALTER TABLE s ALTER COLUMN id TYPE evil USING id::text::evil")
    run(
        connection,
        "UPDATE s SET tenure = -1; DELETE FROM s WHERE id::text = '2'; INSERT INTO s VALUES ('2', 1, 2, 'a')",
    )
    assert queued(connection) == [None, None, None]
    assert fetch(connection, "SELECT who FROM calls") == []
    run(connection, "ALTER TABLE s ALTER COLUMN id TYPE integer USING id::text::integer")
    run(connection, "UPDATE s SET tenure = -2 WHERE id = 1")
    assert queued(connection) == [1, None, None, None]
    for change in ("RENAME id TO number", "RENAME tenure TO months"):
        run(connection, f"ALTER TABLE s {change}")
        run(connection, "UPDATE s SET charge = -2")
        run(connection, "UPDATE s SET charge = -3 WHERE false")
    assert queued(connection) == [1] + [None] * 5


def test_columns_named_like_variables(connection: Any) -> None:
    run(
        connection,
        """
        CREATE TABLE named AS
            SELECT id, tenure, charge, plan, 1 AS safe, 2 AS telling, 3 AS queued, 4 AS tg_op, 5 AS found, 6 AS n
            FROM customers;
        ALTER TABLE named RENAME id TO tg_relid
        """,
    )
    create_job(
        connection, "daily", model="churn", source="named", keys=["tg_relid"], target="scores", mode="incremental"
    )
    run_job(connection, "daily")
    run(connection, "UPDATE named SET tenure = tenure + 1; DELETE FROM named WHERE tg_relid = 3")
    run(connection, "INSERT INTO named VALUES (9001, 1, 2, 'a')")
    assert set(queued(connection)) == EVERY | {9001}
    assert counts(run_job(connection, "daily")) == (N, 1, N - 1, 1)


def test_a_row_alone(connection: Any) -> None:
    """Of a key of two columns, of which one changes."""
    incremental(connection, keys=["region", "id"])
    run(connection, "UPDATE customers SET tenure = tenure + 1 WHERE id = 3")
    run(connection, "UPDATE customers SET region = 'west' WHERE id = 4")
    run(connection, "UPDATE customers SET region = region, tenure = tenure WHERE id = 5")
    ((number,),) = fetch(connection, "SELECT job_id FROM pgscore.jobs")
    keys = f"SELECT k.*, q.changes FROM pgscore.queue_{number} AS q, unnest(q.k1, q.k2) AS k ORDER BY 2, 1"
    assert fetch(connection, keys) == [("north", 3, 1), ("south", 4, 2), ("west", 4, 2)]
    assert counts(run_job(connection, "daily")) == (2, 1, 1, 1)
    truth(connection)


def test_a_row_alone_of_columns_of_many_types(connection: Any) -> None:
    values = {
        "name": ("'a'", "'B'"),
        "other_name": ("'a'", "'B'"),
        "code": ("'a'", "'A'"),
        "amount": ("1.5", "2"),
        "other_amount": ("1.5", "2"),
        "yes": ("true", "false"),
        "document": ("'{}'", "'[]'"),
        "other_document": ("'{}'", "'[]'"),
        "since": ("'2026-01-01'", "'2026-01-02'"),
    }
    run(
        connection,
        """
        CREATE TABLE s AS SELECT id, tenure, charge, plan FROM customers WHERE id < 10;
        ALTER TABLE s ADD name text COLLATE "C", ADD other_name text, ADD code varchar(3), ADD amount numeric,
            ADD other_amount numeric, ADD yes boolean, ADD document jsonb, ADD other_document jsonb, ADD since date
        """,
    )
    incremental(connection, source="s", carry=list(values))
    for column, (first, second) in values.items():
        for value, found in ((first, [3]), (first, []), (second, [3]), ("NULL", [3]), ("NULL", [])):
            run(connection, f"TRUNCATE pgscore.queue_1; UPDATE s SET {column} = {value} WHERE id = 3")
            assert queued(connection) == found, (column, value)


def test_virtual_columns(connection18: Any) -> None:
    """Triggers do not see them: all rows that a statement wrote are queued."""
    run(
        connection18,
        "CREATE TABLE s (id integer PRIMARY KEY, months integer, charge float8, plan text,"
        " tenure integer GENERATED ALWAYS AS (months + 1));"
        " INSERT INTO s SELECT id, tenure, charge, plan FROM customers",
    )
    incremental(connection18, source="s")
    run(connection18, "UPDATE s SET months = months + 3 WHERE id < 2000; INSERT INTO s VALUES (9001, 3, 1, 'a')")
    run(connection18, "DELETE FROM s WHERE id = 1")
    assert set(queued(connection18)) == set(range(2000)) | {9001}
    run_job(connection18, "daily")
    truth(connection18, "s")


def test_a_column_that_becomes_virtual_stops_no_writer(connection18: Any) -> None:
    run(connection18, "CREATE TABLE s AS SELECT id, tenure, charge, plan FROM customers")
    incremental(connection18, source="s")
    run(
        connection18,
        "ALTER TABLE s RENAME tenure TO months; ALTER TABLE s ADD tenure integer GENERATED ALWAYS AS (months + 1)",
    )
    run(connection18, "UPDATE s SET months = months + 1 WHERE id < 10")
    assert queued(connection18) == [None], "everything"
    run_job(connection18, "daily")
    truth(connection18, "s")


def test_a_run_searches_the_target_for_what_there_can_be(connection: Any) -> None:
    """Statement-level triggers fire whether rows are written or not."""
    incremental(connection)
    run(
        connection,
        """
        CREATE TABLE writes (how text);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO public.writes VALUES (TG_OP); RETURN NULL; END $$;
        CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON scores EXECUTE FUNCTION note()
        """,
    )
    run(connection, "UPDATE customers SET tenure = tenure + 5 WHERE id < 10")
    assert counts(run_job(connection, "daily")) == (10, 0, 10, 0)
    assert fetch(connection, "SELECT how FROM writes") == [("UPDATE",)]
    # A key comes, one goes, and of one the score stays.
    run(
        connection,
        "DELETE FROM customers WHERE id = 1; INSERT INTO customers VALUES ('n', 9001, 1, 2, 'a');"
        " UPDATE customers SET tenure = tenure + 1 WHERE id < 4; UPDATE customers SET tenure = tenure - 1 WHERE id = 3",
    )
    assert counts(run_job(connection, "daily")) == (4, 1, 2, 1)
    truth(connection)
