"""Incremental jobs without triggers: what changed is found by a hash of the inputs, or by a watermark."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from pgscore.errors import PgscoreError, RightsError, SignatureError
from pgscore.procedures import lifecycle
from pgscore.procedures.challenger import set_challenger
from pgscore.procedures.connection import connect
from pgscore.procedures.install import install
from pgscore.procedures.refresh import drop_job, run_job, status
from pgscore.procedures.uninstall import uninstall

from ..support.databases import copied
from ..support.incremental import truth
from ..support.refreshing import (
    N,
    analyst,
    churn_job,
    churn_model,
    connection,
    connection15,
    connection18,
    counts,
    deployed,
    fetch,
    run,
)
from ..support.servers import Server

__all__ = ["analyst", "connection", "connection15", "connection18"]

VIEW = "CREATE VIEW active AS SELECT id, tenure, charge, plan, region, 1 AS other FROM customers"
STAMPED = """
    CREATE TABLE stamped AS
        SELECT *, '2024-05-05 05:05+00'::{0} + id * interval '1 s' AS updated_at FROM customers;
    CREATE VIEW recent AS SELECT * FROM stamped
"""
OBJECTS = "SELECT count(*)::integer FROM pg_class WHERE relname ~ '^(queue|hashes)_[0-9]+$'"


def hashing(connection: Any, source: str = "active", **options: Any) -> None:
    """The job `daily` over a view, which has run once."""
    churn_job(connection, source=source, mode="incremental", changes="hash", **options)
    run_job(connection, "daily")


def stamped(connection: Any, kind: str = "timestamptz", **options: Any) -> None:
    """The job `daily` over a view of rows with a watermark, which has run once."""
    run(connection, STAMPED.format(kind))
    options = {"source": "recent", "watermark": "updated_at", **options}
    churn_job(connection, mode="incremental", changes="watermark", **options)
    run_job(connection, "daily")


def states(connection: Any) -> list[tuple[str, int | None, int | None]]:
    return [(job.state, job.queued, job.outdated) for job in status(connection)]


def test_a_hash_finds_what_came_changed_and_went(connection: Any) -> None:
    run(connection, VIEW)
    churn_job(connection, source="active", mode="incremental", changes="hash", carry=["region"])
    assert states(connection) == [("never run", 1, None)]
    assert counts(run_job(connection, "daily")) == (N, N, 0, 0)
    assert states(connection) == [("fresh", None, 0)]
    assert counts(run_job(connection, "daily")) == (0, 0, 0, 0)
    for change, expected in (
        ("UPDATE customers SET tenure = tenure + 1 WHERE id < 3", (3, 0, 3, 0)),
        ("UPDATE customers SET plan = 'A' WHERE id = 4 AND plan <> 'A'", (1, 0, 1, 0)),
        ("UPDATE customers SET region = 'east' WHERE id = 5", (1, 0, 1, 0)),
        ("UPDATE customers SET charge = NULL WHERE id = 6", (1, 0, 1, 0)),
        ("INSERT INTO customers VALUES ('n', 9001, 1, 2, 'a')", (1, 1, 0, 0)),
        ("DELETE FROM customers WHERE id IN (1, 9001)", (0, 0, 0, 2)),
        ("UPDATE customers SET id = 9002 WHERE id = 2", (1, 1, 0, 1)),
        # Neither read nor carried.
        (VIEW.replace("CREATE", "CREATE OR REPLACE").replace("1 AS", "2 AS"), (0, 0, 0, 0)),
    ):
        run(connection, change)
        assert counts(run_job(connection, "daily")) == expected, change
        truth(connection, "active")
    wrong = "SELECT FROM scores AS s JOIN customers AS c USING (id) WHERE s.region <> c.region"
    assert fetch(connection, wrong) == []


def test_any_changes(connection18: Any) -> None:
    run(connection18, VIEW)
    hashing(connection18)
    rng = random.Random(5)
    for _ in range(8):
        for _ in range(rng.randint(1, 4)):
            a, b = sorted(rng.sample(range(N + 50), 2))
            run(connection18, rng.choice((
                f"UPDATE customers SET tenure = {a % 70} WHERE id BETWEEN {a} AND {min(b, a + 40)}",
                f"DELETE FROM customers WHERE id BETWEEN {a} AND {min(b, a + 20)}",
                f"INSERT INTO customers SELECT 'x', n, 1, n, 'c' FROM generate_series({a}, {min(b, a + 9)}) AS n"
                " WHERE n NOT IN (SELECT id FROM customers)",
                f"UPDATE customers SET charge = CASE WHEN charge IS NULL THEN 1 END WHERE id % 400 = {a % 400}",
            )))  # fmt: skip
        run_job(connection18, "daily")
        truth(connection18, "active")


def test_a_foreign_table(connection: Any, server: Server) -> None:
    database = connection.info.dbname
    run(
        connection,
        f"""
        CREATE EXTENSION postgres_fdw;
        CREATE SERVER itself FOREIGN DATA WRAPPER postgres_fdw
            OPTIONS (host '{server.host}', port '{server.port}', dbname '{database}');
        CREATE USER MAPPING FOR CURRENT_USER SERVER itself OPTIONS (user 'postgres');
        CREATE SCHEMA far;
        IMPORT FOREIGN SCHEMA public LIMIT TO (customers) FROM SERVER itself INTO far
        """,
    )
    with pytest.raises(SignatureError, match=r"far.customers is no table.*--changes hash"):
        churn_job(connection, source="far.customers", mode="incremental")
    hashing(connection, "far.customers")
    run(connection, "UPDATE customers SET tenure = 7 WHERE id = 3; DELETE FROM customers WHERE id = 4")
    assert counts(run_job(connection, "daily")) == (1, 0, 1, 1)
    truth(connection)


def test_a_promote_is_backfilled_in_chunks(connection: Any) -> None:
    run(connection, VIEW)
    hashing(connection)
    lifecycle.promote(connection, "churn", 2)
    run(connection, "UPDATE customers SET tenure = tenure + 1 WHERE id < 3")
    assert run_job(connection, "daily", backfill_rows=1000).steps == 3
    truth(connection, "active", 2)
    # A version that reads a column which none has read: every row is looked at.
    deployed(connection, churn_model(), table="active", promote=True)
    run_job(connection, "daily")
    truth(connection, "active", 3)
    lifecycle.promote(connection, "churn", 1, alias="next")
    set_challenger(connection, "daily", "next", 0.5)
    done = run_job(connection, "daily")
    assert 0.4 * N < done.updated < 0.6 * N
    run(connection, "UPDATE customers SET tenure = 99 WHERE id < 10")
    assert run_job(connection, "daily").rows == 10
    assert states(connection) == [("fresh", None, 0)]


def test_texts_that_their_collation_takes_for_equal(connection15: Any) -> None:
    run(
        connection15,
        "CREATE COLLATION same (provider = icu, locale = 'und-u-ks-level1', deterministic = false);"
        "CREATE VIEW active AS SELECT id, tenure, charge, plan COLLATE same AS plan FROM customers",
    )
    hashing(connection15)
    run(connection15, "UPDATE customers SET plan = 'C' WHERE plan = 'c'")
    assert run_job(connection15, "daily").updated > 0
    truth(connection15, "active")


def test_a_full_run_mends_the_target(connection18: Any) -> None:
    run(connection18, VIEW)
    hashing(connection18, vanished="keep")
    run(connection18, "UPDATE scores SET score = 0 WHERE id < 5; DELETE FROM customers WHERE id = 7")
    assert counts(run_job(connection18, "daily")) == (0, 0, 0, 1)
    assert counts(run_job(connection18, "daily", full=True)) == (N - 1, 0, 5, 0)
    assert counts(run_job(connection18, "daily")) == (0, 0, 0, 0)


def test_a_run_that_fails_forgets_nothing(connection18: Any) -> None:
    run(connection18, VIEW)
    hashing(connection18)
    run(connection18, "UPDATE customers SET tenure = 7 WHERE id < 9; ALTER TABLE scores RENAME score TO s")
    with pytest.raises(PgscoreError, match="has no column score"):
        run_job(connection18, "daily")
    run(
        connection18, "ALTER TABLE scores RENAME s TO score; ALTER TABLE scores ADD CHECK (model_version < 1) NOT VALID"
    )
    with pytest.raises(PgscoreError, match="violates check"):
        run_job(connection18, "daily")
    run(connection18, "ALTER TABLE scores DROP CONSTRAINT scores_model_version_check")
    assert run_job(connection18, "daily").rows == 9
    truth(connection18, "active")


def test_keys_that_are_none(connection18: Any) -> None:
    run(connection18, VIEW.replace("SELECT id", "SELECT nullif(id, -1) AS id"))
    hashing(connection18)
    run(connection18, "INSERT INTO customers VALUES ('n', 3, 1, 2, 'a')")
    with pytest.raises(PgscoreError, match="is not unique"):
        run_job(connection18, "daily")
    run(connection18, "UPDATE customers SET id = -1 WHERE region = 'n'")
    with pytest.raises(PgscoreError, match="is NULL in some rows"):
        run_job(connection18, "daily")
    run(connection18, "DELETE FROM customers WHERE id = -1")
    run_job(connection18, "daily")
    truth(connection18, "active")


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp"])
def test_a_watermark_finds_what_is_recent(connection: Any, kind: str) -> None:
    stamped(connection, kind, lookback=None)
    latest = f"'2024-05-05 05:05+00'::{kind} + {N - 1} * interval '1 s'"
    ten_minutes = 601
    assert counts(run_job(connection, "daily")) == (ten_minutes, 0, 0, 0)
    run(connection, f"SET TIME ZONE 'Asia/Tokyo'; UPDATE stamped SET tenure = 7,"
        f" updated_at = {latest} - interval '9 min' WHERE id = 1")  # fmt: skip
    assert run_job(connection, "daily").updated == 1
    # Older than the lookback, gone, or without a time: not seen.
    run(
        connection,
        f"""
        UPDATE stamped SET tenure = 8, updated_at = {latest} - interval '11 min' WHERE id = 2;
        UPDATE stamped SET tenure = 8, updated_at = NULL WHERE id = 3;
        DELETE FROM stamped WHERE id = 4
        """,
    )
    done = run_job(connection, "daily")
    assert (done.inserted, done.updated, done.deleted) == (0, 0, 0)
    assert states(connection) == [("fresh", None, 0)]
    assert counts(run_job(connection, "daily", full=True)) == (N - 1, 0, 2, 1)
    truth(connection, "recent")
    # Later ones move the mark.
    run(connection, f"UPDATE stamped SET tenure = 9, updated_at = {latest} + interval '1 day' WHERE id = 5")
    assert run_job(connection, "daily").updated == 1
    assert run_job(connection, "daily").rows == 1
    truth(connection, "recent")


def test_a_time_to_come_hides_nothing(connection18: Any) -> None:
    stamped(connection18)
    run(connection18, "UPDATE stamped SET updated_at = '2999-01-01', tenure = 7 WHERE id = 1;"
        " UPDATE stamped SET updated_at = 'infinity', tenure = 7 WHERE id = 2")  # fmt: skip
    assert run_job(connection18, "daily").rows >= 2
    run(connection18, "UPDATE stamped SET updated_at = now(), tenure = 7 WHERE id = 3")
    run_job(connection18, "daily")
    truth(connection18, "recent")


def test_a_watermark_over_a_source_that_was_empty(connection18: Any) -> None:
    run(connection18, STAMPED.format("timestamptz") + "; TRUNCATE stamped")
    churn_job(connection18, source="recent", mode="incremental", changes="watermark", watermark="updated_at")
    assert counts(run_job(connection18, "daily")) == (0, 0, 0, 0)
    run(connection18, "INSERT INTO stamped SELECT *, '2001-01-01' FROM customers")
    assert counts(run_job(connection18, "daily")) == (N, N, 0, 0)
    lifecycle.promote(connection18, "churn", 2)
    # The backfill meets what is gone.
    run(connection18, "DELETE FROM stamped WHERE id < 5")
    assert run_job(connection18, "daily", backfill_rows=900).deleted == 5
    truth(connection18, "recent", 2)
    run(connection18, "ALTER VIEW recent RENAME updated_at TO since")
    with pytest.raises(SignatureError, match="has no watermark"):
        run_job(connection18, "daily")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"changes": "hash"}, "belong to mode incremental"),
        ({"mode": "incremental", "changes": "guess"}, "by guess, but by triggers, hash or watermark"),
        ({"mode": "incremental", "changes": "watermark"}, "needs the column that is its watermark"),
        (
            {"mode": "incremental", "changes": "watermark", "watermark": "plan"},
            "column plan of public.customers is text",
        ),
        ({"mode": "incremental", "changes": "watermark", "watermark": "no"}, "has no column no"),
        ({"mode": "incremental", "changes": "hash", "watermark": "plan"}, "has no watermark"),
        ({"mode": "incremental", "changes": "hash", "carry": ["amount"]}, "cannot hash its inputs.*type money"),
    ],
)
def test_what_makes_no_sense(connection18: Any, options: dict[str, Any], says: str) -> None:
    run(connection18, "ALTER TABLE customers ADD COLUMN amount money")
    with pytest.raises(SignatureError, match=says):
        churn_job(connection18, **options)
    assert fetch(connection18, "SELECT to_regclass('scores'), (SELECT count(*)::integer FROM pgscore.jobs)") == [
        (None, 0)
    ]


def test_rights(connection: Any, analyst: Any) -> None:
    churn_job(analyst, target="lab.scores", mode="incremental", changes="hash")
    assert run_job(analyst, "daily").rows == N
    ((table,),) = fetch(connection, "SELECT relname::text FROM pg_class WHERE relname ~ '^hashes_[0-9]+$'")
    owner = "SELECT relowner::regrole::text FROM pg_class WHERE relname ="
    assert fetch(connection, f"{owner} '{table}'") == [("pgscore_owner",)]
    install(connection)
    run(connection, "UPDATE customers SET tenure = 5 WHERE id = 1")
    assert run_job(analyst, "daily").rows == 1
    run(
        connection, "CREATE ROLE other_analyst LOGIN IN ROLE pgscore_scorer; GRANT SELECT ON customers TO other_analyst"
    )
    other = connect(connection.dsn.replace("user=postgres", "user=other_analyst"))
    with pytest.raises(RightsError, match="may not use refresh job daily"):
        run_job(other, "daily")
    with pytest.raises(Exception, match=f"permission denied for table {table}"):
        fetch(other, f"SELECT * FROM pgscore.{table}")
    other.close()
    run(connection, "DROP OWNED BY other_analyst; DROP ROLE other_analyst")
    drop_job(analyst, "daily")
    assert fetch(connection, OBJECTS) == [(0,)]


def test_a_dump_brings_hashes_back_and_uninstall_takes_them_along(
    connection: Any, server: Server, tmp_path: Path
) -> None:
    run(connection, VIEW)
    hashing(connection)
    dump = server.client("pg_dump", "-Fc", "-f", tmp_path / "dump", connection.info.dbname)
    assert dump.communicate()[0] == ""
    with copied(server, "template0") as target:
        restoring = server.client("pg_restore", "-d", target, tmp_path / "dump")
        assert restoring.communicate()[0] == ""
        restored = connect(target)
        assert run_job(restored, "daily").rows == 0
        run(restored, "UPDATE customers SET tenure = 5 WHERE id = 1")
        assert run_job(restored, "daily").rows == 1
        assert fetch(restored, OBJECTS) == [(2,)]
        uninstall(restored)
        assert fetch(restored, OBJECTS) == [(0,)]
        restored.close()
