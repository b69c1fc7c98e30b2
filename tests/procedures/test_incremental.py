"""Incremental refresh jobs: each kind of write queues its keys, and a run scores those and nothing else."""

from __future__ import annotations

import threading
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

from pgscore.compiler.artifact import Strategy
from pgscore.errors import PgscoreError, RefusedError
from pgscore.procedures.install import install
from pgscore.procedures.lifecycle import promote
from pgscore.procedures.refresh import create_job, run_job, status

from ..support.incremental import another, incremental, queued, truth
from ..support.refreshing import (
    N,
    churn_job,
    churn_model,
    connection,
    connection15,
    connection18,
    counts,
    customers,
    deployed,
    fetch,
    run,
)

__all__ = ["connection", "connection15", "connection18"]


# What writers do.

WRITES = {
    "an insert": ("INSERT INTO customers VALUES ('n', 9001, 1, 2, 'a'), ('n', 9002, 1, 2, 'a')", [9001, 9002]),
    "an update": ("UPDATE customers SET tenure = tenure + 1 WHERE id < 3", [0, 1, 2]),
    "an update of no value": ("UPDATE customers SET tenure = tenure WHERE id < 3", []),
    "an update to null": ("UPDATE customers SET charge = NULL WHERE id IN (0, 1, 2)", [1, 2]),
    "an update of a column that no version reads": ("UPDATE customers SET region = 'x' WHERE id < 3", []),
    "a changed key": ("UPDATE customers SET id = 9001 WHERE id = 1", [1, 9001]),
    "keys that change places": ("UPDATE customers SET id = 3 - id WHERE id IN (1, 2)", [1, 2]),
    "a delete": ("DELETE FROM customers WHERE id IN (5, 6)", [5, 6]),
    "nothing": ("DELETE FROM customers WHERE id = -1", []),
    "a truncate": ("TRUNCATE customers", [None]),
    "an upsert": (
        "INSERT INTO customers VALUES ('south', 0, 1, 2, 'a'), ('n', 9001, 1, 2, 'a')"
        " ON CONFLICT (region, id) DO UPDATE SET tenure = -1",
        [0, 9001],
    ),
    "a merge": (
        "MERGE INTO customers AS c USING (VALUES ('south', 0), ('north', 1), ('n', 9001)) AS n (region, id)"
        " ON (c.region, c.id) = (n.region, n.id)"
        " WHEN MATCHED AND n.id = 0 THEN DELETE"
        " WHEN MATCHED THEN UPDATE SET tenure = -1"
        " WHEN NOT MATCHED THEN INSERT VALUES (n.region, n.id, 1, 2, 'a')",
        [0, 1, 9001],
    ),
    "a savepoint that is rolled back": (
        "DELETE FROM customers WHERE id = 5; SAVEPOINT s; DELETE FROM customers WHERE id = 6; ROLLBACK TO s;"
        " DELETE FROM customers WHERE id = 7",
        [5, 7],
    ),
    "a rollback": ("DELETE FROM customers WHERE id = 5; ROLLBACK", []),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_write_queues_its_keys(connection: Any, write: str) -> None:
    incremental(connection)
    before = dict(fetch(connection, "SELECT id, scored_at FROM scores"))
    statement, expected = WRITES[write]
    run(connection, statement)
    assert queued(connection) == sorted(expected, key=str)
    assert [(job.state, job.queued) for job in status(connection)] == [
        ("behind" if expected else "fresh", len(expected))
    ]
    result = run_job(connection, "daily")
    assert result.rows <= len(expected)
    truth(connection)
    after = dict(fetch(connection, "SELECT id, scored_at FROM scores"))
    assert {key for key in before if after.get(key) != before[key]} <= (
        set(before) if None in expected else set(expected)
    )
    assert queued(connection) == []
    assert [job.state for job in status(connection)] == ["fresh"]


def test_a_copy(connection: Any) -> None:
    incremental(connection)
    with connection, connection.cursor() as cursor:
        cursor.copy_expert("COPY customers FROM STDIN (FORMAT csv)", StringIO("n,9001,1,2,a\nn,9002,,,\n"))
    assert queued(connection) == [9001, 9002]
    assert counts(run_job(connection, "daily")) == (2, 2, 0, 0)
    truth(connection)


# Transactions that overlap a run.


def test_a_writer_that_commits_late_is_not_missed(connection: Any) -> None:
    """It writes before the run, and commits after it: the run neither waits for it nor loses its keys."""
    incremental(connection)
    with another(connection) as writer, writer.cursor() as late:
        late.execute("UPDATE customers SET tenure = -5 WHERE id = 1")
        run(connection, "UPDATE customers SET tenure = -6 WHERE id = 2")
        assert counts(run_job(connection, "daily")) == (1, 0, 1, 0)
        assert counts(run_job(connection, "daily")) == (0, 0, 0, 0)
        writer.commit()
    assert queued(connection) == [1]
    assert counts(run_job(connection, "daily")) == (1, 0, 1, 0)
    truth(connection)


def test_a_writer_that_commits_between_the_queue_and_the_source(connection: Any) -> None:
    """The source is read after the queue: a key that is taken has the value that queued it, or a later one.

    The run is stopped between the two by an advisory lock, put into the function that takes the queue.
    """
    incremental(connection)
    run(connection, "UPDATE customers SET tenure = -5 WHERE id = 1")
    # Waits where the run has taken the queue and not read the source yet.
    body = fetch(connection, "SELECT pg_get_functiondef('pgscore.stage_changes'::regproc)")[0][0]
    assert body.count("RETURN true;") == 1
    run(connection, body.replace("RETURN true;", "PERFORM pg_advisory_xact_lock(77); RETURN true;"))
    with another(connection) as writer, another(connection) as runner, writer.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(77)")
        cursor.execute("COMMIT")
        running = threading.Thread(target=run_job, args=(runner, "daily"))
        running.start()
        waits = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while not fetch(connection, waits):
            pass
        cursor.execute("UPDATE customers SET tenure = -7 WHERE id IN (1, 2)")
        cursor.execute("COMMIT; SELECT pg_advisory_unlock(77)")
        writer.commit()
        running.join(30)
        assert not running.is_alive()
    # Key 1 was scored with the new value, and both wait for the next run.
    assert fetch(
        connection, "SELECT s.score = score.churn_v1(c.*) FROM scores s JOIN customers c USING (id) WHERE id = 1"
    ) == [(True,)]
    assert queued(connection) == [1, 2]
    assert counts(run_job(connection, "daily")) == (2, 0, 1, 0)
    truth(connection)


def test_a_run_that_fails_gives_the_queue_back(connection: Any) -> None:
    incremental(connection)
    run(connection, "UPDATE customers SET tenure = -5 WHERE id = 1")
    run(connection, "ALTER TABLE scores ADD CHECK (scored_at < '2000-01-01') NOT VALID")
    with pytest.raises(PgscoreError):
        run_job(connection, "daily")
    assert queued(connection) == [1]
    assert [job.state for job in status(connection)] == ["failed"]
    run(connection, "ALTER TABLE scores DROP CONSTRAINT scores_scored_at_check")
    assert counts(run_job(connection, "daily")) == (1, 0, 1, 0)
    truth(connection)


def test_a_run_that_is_killed_loses_nothing(connection: Any) -> None:
    incremental(connection)
    run(connection, "UPDATE customers SET tenure = -5 WHERE id < 100")
    with another(connection) as runner, runner.cursor() as cursor:
        cursor.execute("CALL pgscore.refresh('daily')")
        assert cursor.fetchone()[2] == 100
        run(connection, f"SELECT pg_terminate_backend({runner.get_backend_pid()})")
        with pytest.raises(psycopg2.Error):
            cursor.execute("COMMIT")
    assert queued(connection) == list(map(int, sorted(map(str, range(100)))))
    assert counts(run_job(connection, "daily")) == (100, 0, 100, 0)
    truth(connection)


def test_writers_do_not_wait_for_a_run(connection: Any) -> None:
    incremental(connection)
    run(connection, "UPDATE customers SET tenure = -5 WHERE id < 10")
    with another(connection) as runner, runner.cursor() as cursor:
        cursor.execute("CALL pgscore.refresh('daily')")
        run(
            connection,
            "SET lock_timeout = '2s'; UPDATE customers SET tenure = 6 WHERE id < 9; DELETE FROM customers WHERE id = 1",
        )
        with pytest.raises(RefusedError, match="running already"):
            run_job(connection, "daily")
        runner.commit()
    run_job(connection, "daily")
    truth(connection)


# Versions.


def test_a_promote_is_filled_in_by_chunks(connection: Any) -> None:
    incremental(connection)
    promote(connection, "churn", 2)
    assert [job.state for job in status(connection)] == ["behind"]
    run(connection, "UPDATE customers SET tenure = -5 WHERE id = 7; DELETE FROM customers WHERE id = 8")
    with connection, connection.cursor() as cursor:
        cursor.execute("SET LOCAL pgscore.backfill_rows = 1000; CALL pgscore.refresh('daily')")
        assert cursor.fetchone()[2] in {1000, 1001}
    assert fetch(connection, "SELECT pgscore.refresh_unfinished('daily')") == [(True,)]
    (job,) = status(connection)
    assert (job.state, job.version, job.queued) == ("behind", 2, 0)
    assert job.outdated in {N - 1001, N - 1002}
    # A second promote on the way: no row may stay of the first.
    promote(connection, "churn", 1)
    promote(connection, "churn", 2)
    result = run_job(connection, "daily", backfill_rows=1000)
    assert result.steps >= 2
    assert [(job.state, job.outdated) for job in status(connection)] == [("fresh", 0)]
    truth(connection, version=2)
    assert counts(run_job(connection, "daily")) == (0, 0, 0, 0)


def test_promotes_while_a_backfill_is_on_its_way(connection: Any) -> None:
    incremental(connection)
    for version in (2, 1, 2, 1):
        promote(connection, "churn", version)
        run(connection, "SET pgscore.backfill_rows = 1300; CALL pgscore.refresh('daily')")
    run_job(connection, "daily")
    truth(connection)


def test_a_version_that_reads_another_column_has_the_triggers_made_anew(connection: Any) -> None:
    churn_job(connection, model="tier", mode="incremental")
    run_job(connection, "daily")
    run(connection, "UPDATE customers SET plan = 'a' WHERE id < 10")
    assert queued(connection) == []
    deployed(connection, churn_tier(), name="tier")
    promote(connection, "tier", 2)
    result = run_job(connection, "daily")
    assert (result.steps, result.rows) == (2, N)
    run(connection, "UPDATE customers SET plan = 'c' WHERE id = 1")
    assert queued(connection) == [1]
    run_job(connection, "daily")
    found = fetch(
        connection, "SELECT s.score = score.tier_v2(c.*), count(*) FROM scores s JOIN customers c USING (id) GROUP BY 1"
    )
    assert found == [(True, N)]


def churn_tier() -> Any:
    """Text labels from a column that the model tier does not read."""
    frame = customers()
    steps = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["plan"]))
    return make_pipeline(steps, DecisionTreeClassifier()).fit(frame[["plan"]], frame.plan)


def test_a_canary_is_kept(connection: Any) -> None:
    promote(connection, "churn", 2, alias="challenger")
    incremental(connection, challenger="challenger", canary=0.3)
    share = fetch(connection, "SELECT model_version, count(*) FROM scores GROUP BY 1 ORDER BY 1")
    assert [version for version, _ in share] == [1, 2]
    run(connection, "UPDATE customers SET tenure = tenure + 1 WHERE id < 500")
    assert counts(run_job(connection, "daily"))[:2] == (500, 0)
    right = "CASE s.model_version WHEN 1 THEN score.churn_v1(c.*) ELSE score.churn_v2(c.*) END = s.score"
    assert fetch(connection, f"SELECT {right}, count(*) FROM scores s JOIN customers c USING (id) GROUP BY 1") == [
        (True, N)
    ]
    assert fetch(connection, "SELECT model_version, count(*) FROM scores GROUP BY 1 ORDER BY 1") == share
    run(connection, "SELECT pgscore.set_challenger('daily', NULL)")
    run_job(connection, "daily")
    truth(connection)


def test_onnx_scores_changed_rows_in_batches(connection15: Any, runtime_folder: Path) -> None:
    install(connection15, plpython=True, runtime=runtime_folder)
    deployed(connection15, churn_model(), name="graph", strategy=Strategy.ONNX)
    create_job(
        connection15, "daily", model="graph", source="customers", keys=["id"], target="scores", mode="incremental"
    )
    run_job(connection15, "daily")
    assert counts(run_job(connection15, "daily")) == (0, 0, 0, 0)
    run(connection15, "UPDATE customers SET tenure = tenure + 1 WHERE id < 500; DELETE FROM customers WHERE id = 600")
    assert counts(run_job(connection15, "daily")) == (500, 0, 500, 1)
    found = fetch(
        connection15,
        "SELECT abs(score - score.graph_v1(c.*)) < 1e-12, count(*) FROM scores JOIN customers c USING (id) GROUP BY 1",
    )
    assert found == [(True, N - 1)]


@pytest.mark.parametrize("first", ["worth", "score", "id"])
def test_the_most_important_rows_are_backfilled_first(connection: Any, first: str) -> None:
    run(connection, "ALTER TABLE customers ADD COLUMN worth numeric")
    run(connection, "UPDATE customers SET worth = id * 7 % 1000 + id / 1e4 WHERE id % 10 <> 0")
    incremental(connection, carry=["worth"], backfill_first=first)
    run(connection, "CREATE TABLE before AS TABLE scores")
    promote(connection, "churn", 2)
    for steps in (1, 2):
        run(connection, "SET LOCAL pgscore.backfill_rows = 500; CALL pgscore.refresh('daily')")
        expected = f"SELECT id FROM before ORDER BY {first} DESC NULLS LAST LIMIT {500 * steps}"
        wrong = f"({expected}) EXCEPT ALL SELECT id FROM scores WHERE model_version = 2"
        assert fetch(connection, wrong) == []
        assert fetch(connection, "SELECT count(*)::integer FROM scores WHERE model_version = 2") == [(500 * steps,)]
    run_job(connection, "daily")
    truth(connection, version=2)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"backfill_first": "score", "mode": "full"}, "belongs to mode incremental"),
        ({"backfill_first": "plan"}, "by plan first, which its target does not have"),
        ({"backfill_first": "facts", "carry": ["facts"]}, "could not identify an ordering operator for type xid"),
    ],
)
def test_what_cannot_be_backfilled_first(connection18: Any, options: dict[str, Any], says: str) -> None:
    run(connection18, "ALTER TABLE customers ADD COLUMN facts xid")
    with pytest.raises(PgscoreError, match=says):
        churn_job(connection18, **{"mode": "incremental", **options})
    assert fetch(connection18, "SELECT to_regclass('scores')") == [(None,)]
