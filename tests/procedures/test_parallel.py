"""Full runs in several connections: one snapshot, the model's own answers, and nothing is left of a run that fails."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import psycopg2
import pytest

from pgscore.errors import PgscoreError, RefusedError, ServerError
from pgscore.procedures import lifecycle
from pgscore.procedures.limits import set_limits
from pgscore.procedures.refresh import create_job, run_job, status

from ..support.incremental import another, incremental, truth
from ..support.refreshing import (
    N,
    analyst,
    churn_job,
    churn_model,
    connection,
    connection18,
    counts,
    customers,
    fetch,
    run,
)

__all__ = ["analyst", "connection", "connection18"]

LEFT = (
    "SELECT (SELECT count(*) FROM pgscore.chunked_runs) + (SELECT count(*) FROM pgscore.builds),"
    " (SELECT count(*) FROM pg_class WHERE relname ~ '^staging_'),"
    " (SELECT count(*) FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database"
    "  WHERE l.locktype = 'advisory' AND d.datname = current_database())"
)


AGAIN = {"difference": (N, 0, 0, 0), "swap": (N, N, 0, N)}
"""What a run counts that brings nothing new."""


@pytest.fixture(autouse=True, params=["difference", "swap"])
def written(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How all sessions of the test write, where they may."""
    monkeypatch.setenv("PGOPTIONS", f"-c pgscore.writes={request.param}")
    return str(request.param)


@pytest.mark.parametrize("source", ["customers", "by_key", "parts"])
def test_every_row_has_the_models_own_answer(connection: Any, source: str, written: str) -> None:
    run(
        connection,
        """
        CREATE VIEW by_key AS SELECT region, id, tenure, charge, plan FROM customers;
        CREATE TABLE parts (LIKE customers) PARTITION BY RANGE (id);
        CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100);
        CREATE TABLE parts_2 PARTITION OF parts DEFAULT;
        INSERT INTO parts SELECT * FROM customers
        """,
    )
    churn_job(connection, source=source, keys=["region", "id"])
    result = run_job(connection, "daily", jobs=3)
    assert (counts(result), result.written) == ((N, N, 0, 0), written)
    found = fetch(connection, "SELECT id, score FROM scores ORDER BY id")
    assert [key for key, _ in found] == list(range(N))
    np.testing.assert_allclose([s for _, s in found], churn_model().predict_proba(customers())[:, 1], rtol=1e-12)
    assert fetch(connection, "SELECT count(DISTINCT scored_at) FROM scores") == [(1,)]
    assert fetch(connection, LEFT) == [(0, 0, 0)]
    assert counts(run_job(connection, "daily", jobs=2)) == AGAIN[written]


def test_all_rows_are_of_one_moment(connection: Any) -> None:
    """A writer gives all rows the same tenure again and again, and moves them to other pages by it."""
    run(connection, "UPDATE customers SET tenure = 1, charge = 1, plan = 'a'")
    churn_job(connection)
    stop = threading.Event()

    def write() -> None:
        with another(connection) as other:
            tenure = 1
            while not stop.is_set():
                tenure = tenure % 60 + 1
                run(other, f"UPDATE customers SET tenure = {tenure}")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(5):
            assert run_job(connection, "daily", jobs=2).rows == N
            assert fetch(connection, "SELECT count(*), count(DISTINCT score) FROM scores") == [(N, 1)]
    finally:
        stop.set()
        thread.join()


def test_no_other_run_gets_in_between(connection: Any) -> None:
    churn_job(connection)
    with another(connection) as other, other.cursor() as cursor:
        cursor.execute("CALL pgscore.refresh('daily')")
        with pytest.raises(RefusedError, match="running already"):
            run_job(connection, "daily", jobs=2)
        other.commit()
    held = fetch(connection, "SELECT pg_advisory_lock(hashtext('pgscore.refresh'), job_id) FROM pgscore.jobs")
    assert len(held) == 1
    with another(connection) as other:
        for jobs in (1, 2):
            with pytest.raises(RefusedError, match="running already"):
                run_job(other, "daily", jobs=jobs)
    assert fetch(connection, "SELECT state FROM pgscore.runs") == [("done",)]


def test_a_worker_that_fails_ends_the_run(connection: Any) -> None:
    several = "CASE id WHEN 7 THEN (SELECT tenure FROM customers) END"
    run(connection, f"CREATE VIEW v AS SELECT id, {several} AS tenure, charge, plan FROM customers")
    churn_job(connection, source="v")
    with pytest.raises(ServerError, match="more than one row"):
        run_job(connection, "daily", jobs=2)
    (job,) = status(connection)
    assert (job.state, fetch(connection, LEFT)) == ("failed", [(0, 0, 0)])
    assert "more than one row" in str(job.error)
    assert fetch(connection, "SELECT count(*) FROM scores") == [(0,)]


def test_a_worker_that_is_killed_ends_the_run(connection: Any) -> None:
    run(connection, "CREATE VIEW v AS SELECT * FROM customers WHERE id <> 7 OR pg_sleep(120)::text = ''")
    churn_job(connection, source="v")
    failures: list[PgscoreError] = []

    def running() -> None:
        with another(connection) as other:
            try:
                run_job(other, "daily", jobs=2)
            except PgscoreError as error:
                failures.append(error)

    thread = threading.Thread(target=running)
    thread.start()
    deadline = time.monotonic() + 60
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ 'score_part' AND wait_event = 'PgSleep'"
    )
    while not fetch(connection, kill):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    thread.join(60)
    assert not thread.is_alive(), "the other worker, asleep too, was cancelled"
    assert len(failures) == 1
    assert fetch(connection, LEFT) == [(0, 0, 0)]
    assert fetch(connection, "SELECT state FROM pgscore.runs") == [("failed",)]
    run(connection, "CREATE OR REPLACE VIEW v AS SELECT * FROM customers")
    assert counts(run_job(connection, "daily", jobs=2)) == (N, N, 0, 0)


def test_what_a_killed_coordinator_left_is_not_used(connection: Any, written: str) -> None:
    churn_job(connection)
    run(connection, "SELECT pgscore.begin_parts('daily')")
    run(connection, "SELECT pgscore.score_part('daily', 90, NULL, 'r.id < 1000')")
    run(connection, "UPDATE customers SET tenure = tenure + 1")
    assert counts(run_job(connection, "daily", chunk_rows=500)) == (N, N, 0, 0)
    truth(connection)
    run(connection, "SELECT pgscore.begin_parts('daily')")
    run(connection, "SELECT pgscore.score_part('daily', 90, NULL, 'r.id < 1000')")
    assert counts(run_job(connection, "daily", jobs=2)) == AGAIN[written]
    assert fetch(connection, LEFT) == [(0, 0, 0)]


def test_a_promote_after_the_run_began(connection18: Any, written: str) -> None:
    churn_job(connection18)
    run(connection18, "SELECT pgscore.begin_parts('daily')")
    run(connection18, "SELECT pgscore.score_part('daily', 1, NULL, 'true')")
    lifecycle.promote(connection18, "churn", 2)
    with pytest.raises(psycopg2.Error, match="scores otherwise than when this run began"):
        run(connection18, "SELECT pgscore.score_part('daily', 1, NULL, 'true')")
    if written == "swap":
        with pytest.raises(psycopg2.Error, match="scores otherwise than when this run began"):
            run(connection18, f"SELECT pgscore.end_parts('daily', {N})")


def test_what_is_not_whole_is_not_swapped_in(connection18: Any) -> None:
    churn_job(connection18)
    run(connection18, "SELECT pgscore.begin_parts('daily')")
    run(connection18, "SELECT pgscore.score_part('daily', 1, NULL, 'r.id < 1000')")
    with pytest.raises(psycopg2.Error, match="is gone"):
        run(connection18, "SELECT pgscore.write_built('daily')")
    assert counts(run_job(connection18, "daily", jobs=2)) == (N, N, 0, 0)


def test_an_index_that_comes_while_parts_are_scored(connection18: Any, written: str) -> None:
    churn_job(connection18)
    run(connection18, "SELECT pgscore.begin_parts('daily')")
    run(connection18, "SELECT pgscore.score_part('daily', 1, NULL, 'true')")
    run(connection18, "CREATE INDEX by_score ON scores (score DESC)")
    run(connection18, f"SELECT pgscore.end_parts('daily', {N})")
    if written == "swap":
        run(connection18, "SELECT pgscore.write_built('daily')")
        defined = "SELECT count(*) FROM pg_indexes WHERE tablename ~ '^scores' AND indexdef ~ 'DESC'"
        assert fetch(connection18, defined) == [(2,)], "of the target and of its partition"
        truth(connection18)


def test_keys_that_are_none_and_empty_tables(connection18: Any) -> None:
    run(connection18, "CREATE VIEW v AS SELECT id / 2 AS id, tenure, charge, plan FROM customers")
    churn_job(connection18, source="v")
    with pytest.raises(RefusedError, match="not unique"):
        run_job(connection18, "daily", jobs=2)
    assert fetch(connection18, LEFT) == [(0, 0, 0)]
    run(connection18, "CREATE VIEW w AS SELECT nullif(id, 5) AS id, tenure, charge, plan FROM customers")
    create_job(connection18, "none", model="churn", source="w", keys=["id"], target="none")
    with pytest.raises(RefusedError, match=r"the key \(id\) of public.w is NULL in some rows"):
        run_job(connection18, "none", jobs=2)
    run(connection18, "TRUNCATE customers")
    create_job(connection18, "empty", model="churn", source="customers", keys=["id"], target="nothing")
    assert counts(run_job(connection18, "empty", jobs=2)) == (0, 0, 0, 0)


def test_jobs_that_take_one_connection(connection18: Any) -> None:
    incremental(connection18)
    with pytest.raises(RefusedError, match="is incremental"):
        run_job(connection18, "daily", jobs=2)
    create_job(connection18, "slow", model="churn", source="customers", keys=["id"], target="slow")
    set_limits(connection18, "slow", max_rows_per_second=5)
    with pytest.raises(RefusedError, match="limit of rows per second"):
        run_job(connection18, "slow", jobs=2)
    assert fetch(connection18, "SELECT count(*) FROM pgscore.runs") == [(1,)]


def test_a_user_without_other_rights(connection: Any, analyst: Any) -> None:
    create_job(analyst, "daily", model="churn", source="customers", keys=["id"], target="lab.scores")
    assert counts(run_job(analyst, "daily", jobs=2)) == (N, N, 0, 0)
    assert fetch(connection, LEFT) == [(0, 0, 0)]
