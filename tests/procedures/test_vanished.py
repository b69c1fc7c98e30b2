"""Rows whose key has vanished from the source, where the job keeps them."""

from __future__ import annotations

from typing import Any

import pytest

from pgscore.errors import SignatureError
from pgscore.procedures import lifecycle
from pgscore.procedures.challenger import set_challenger
from pgscore.procedures.freshness import prediction_ages
from pgscore.procedures.refresh import Top, run_job, status

from ..support.incremental import truth
from ..support.refreshing import N, churn_job, connection, connection18, fetch, run

__all__ = ["connection", "connection18"]

MARKED = "SELECT id FROM scores WHERE vanished_at IS NOT NULL ORDER BY id"


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_a_row_stays_marked_until_its_key_comes_back(connection: Any, mode: str) -> None:
    churn_job(connection, mode=mode, vanished="keep")
    run_job(connection, "daily")
    run(connection, "CREATE VIEW before AS SELECT id, score, scored_at FROM scores")
    ((score, scored_at),) = fetch(connection, "SELECT score, scored_at FROM scores WHERE id = 1")
    run(connection, "CREATE TABLE gone AS SELECT * FROM customers WHERE id < 3; DELETE FROM customers WHERE id < 3")
    done = run_job(connection, "daily")
    assert (done.inserted, done.updated, done.deleted) == (0, 0, 3)
    marked = fetch(connection, "SELECT id, score, scored_at FROM scores WHERE vanished_at > scored_at ORDER BY id")
    assert [row[0] for row in marked] == [0, 1, 2]
    assert marked[1][1:] == (score, scored_at)
    (at,) = {at for (at,) in fetch(connection, "SELECT vanished_at FROM scores WHERE id < 3")}

    # Neither a run nor a promote touches them, and they leave nothing to do.
    assert run_job(connection, "daily").deleted == 0
    assert lifecycle.promote(connection, "churn", 2)
    assert run_job(connection, "daily", backfill_rows=1000).updated == N - 3
    assert fetch(connection, "SELECT DISTINCT vanished_at, model_version FROM scores WHERE id < 3") == [(at, 1)]
    assert [job.state for job in status(connection)] == ["fresh"]
    assert prediction_ages(connection, "daily").rows == N - 3

    run(connection, "INSERT INTO customers SELECT * FROM gone WHERE id = 1")
    done = run_job(connection, "daily")
    assert (done.inserted, done.updated, done.deleted) == (0, 1, 0)
    assert fetch(connection, MARKED) == [(0,), (2,)]
    run(connection, "DELETE FROM scores WHERE vanished_at IS NOT NULL")
    truth(connection, version=2)


def test_a_backfill_meets_what_no_trigger_saw_go(connection18: Any) -> None:
    churn_job(connection18, mode="incremental", vanished="keep")
    run_job(connection18, "daily")
    run(connection18, "SET LOCAL session_replication_role = replica; DELETE FROM customers WHERE id = 5")
    lifecycle.promote(connection18, "churn", 2, alias="next")
    set_challenger(connection18, "daily", "next", 0.5)
    assert run_job(connection18, "daily", backfill_rows=700).steps >= 3
    lifecycle.promote(connection18, "churn", 2)
    run_job(connection18, "daily", backfill_rows=700)
    assert fetch(connection18, MARKED) == [(5,)]
    assert [job.state for job in status(connection18)] == ["fresh"]
    assert run_job(connection18, "daily", full=True).deleted == 0


def test_a_run_that_fails_marks_nothing(connection18: Any) -> None:
    churn_job(connection18, vanished="keep")
    run_job(connection18, "daily")
    run(connection18, "DELETE FROM customers WHERE id < 3; ALTER TABLE scores ADD CHECK (score < 2 AND id < 5000)")
    run(connection18, "INSERT INTO customers VALUES ('north', 9001, 1, 2, 'a')")
    with pytest.raises(Exception, match="violates check constraint"):
        run_job(connection18, "daily")
    assert fetch(connection18, MARKED) == []


def test_what_makes_no_sense(connection18: Any) -> None:
    with pytest.raises(SignatureError, match="it keeps no vanished ones"):
        churn_job(connection18, vanished="keep", top=Top(3))
    run(connection18, "ALTER TABLE customers ADD COLUMN vanished_at date")
    with pytest.raises(SignatureError, match="would have two columns vanished_at"):
        churn_job(connection18, vanished="keep", carry=["vanished_at"])
    with pytest.raises(Exception, match="cannot be treated as 'bury'"):
        churn_job(connection18, vanished="bury")
    churn_job(connection18, vanished="keep")
    churn_job(connection18, replace=True)
    assert fetch(connection18, "SELECT vanished FROM pgscore.job_settings") == [("keep",)]
    churn_job(connection18, replace=True, vanished="remove")
    assert fetch(connection18, "SELECT vanished FROM pgscore.job_settings") == [("remove",)]
