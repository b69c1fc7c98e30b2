"""Limits of refresh jobs: their timeouts act in each run, their rate between its steps."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import psycopg2
import pytest

from pgscore.errors import NotFoundError, RefusedError, RightsError, ServerError, SignatureError
from pgscore.procedures import lifecycle
from pgscore.procedures.limits import set_limits
from pgscore.procedures.refresh import create_job, find_job, run_job

from ..support.incremental import another, incremental, truth
from ..support.refreshing import (
    N,
    analyst,
    churn_job,
    connection,
    connection18,
    counts,
    fetch,
    run,
    untouched,
)

__all__ = ["analyst", "connection", "connection18", "untouched"]


def test_a_run_waits_for_a_lock_as_long_as_its_job_says(connection: Any) -> None:
    churn_job(connection, lock_timeout=timedelta(milliseconds=50))
    with another(connection) as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE scores IN SHARE ROW EXCLUSIVE MODE")
        with pytest.raises(RefusedError, match="lock timeout"):
            run_job(connection, "daily")
        with pytest.raises(psycopg2.errors.LockNotAvailable):
            run(connection, "CALL pgscore.refresh('daily')")
        other.rollback()
    assert counts(run_job(connection, "daily")) == (N, N, 0, 0)
    assert fetch(connection, "SHOW lock_timeout") == [("0",)]


def test_a_run_takes_as_long_as_its_job_says(connection: Any) -> None:
    """The session's own limit is left alone, and holds for a job without one."""
    run(
        connection,
        "CREATE VIEW slow AS SELECT * FROM customers WHERE id <> 7 OR pg_sleep(60)::text = ''",
    )
    churn_job(connection, source="slow", statement_timeout=timedelta(milliseconds=100))
    with pytest.raises(ServerError, match="statement timeout"):
        run_job(connection, "daily")
    assert find_job(connection, "daily").state == "failed"
    set_limits(connection, "daily")
    run(connection, "SET statement_timeout = '90ms'")
    with pytest.raises(ServerError, match="statement timeout"):
        run_job(connection, "daily")
    assert fetch(connection, "SHOW statement_timeout") == [("90ms",)]


def test_from_psql(connection18: Any) -> None:
    churn_job(connection18)
    run(connection18, "SELECT pgscore.set_limits('daily', lock_timeout => '1.5 s', max_rows_per_second => 9)")
    columns = "statement_timeout, lock_timeout, max_rows_per_second"
    assert fetch(connection18, f"SELECT {columns} FROM pgscore.freshness") == [(None, timedelta(seconds=1.5), 9)]
    assert fetch(connection18, f"SELECT {columns} FROM pgscore.limits_of('daily')") == [(None, "1500ms", 9)]
    run(connection18, "SELECT pgscore.set_limits('daily')")
    assert fetch(connection18, f"SELECT {columns} FROM pgscore.limits_of('daily')") == [(None, None, None)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("statement_timeout => '0'", "statement_timeout of refresh job daily must lie between 1 ms and 24 days"),
        ("lock_timeout => '-1 s'", "lock_timeout of refresh job daily must lie between"),
        ("lock_timeout => '1 month'", "lock_timeout of refresh job daily must lie between"),
        ("max_rows_per_second => 0", "max_rows_per_second of refresh job daily must be at least 1"),
    ],
)
def test_limits_that_are_none(connection18: Any, given: str, message: str) -> None:
    churn_job(connection18, max_rows_per_second=5)
    with pytest.raises(psycopg2.Error, match=message) as caught:
        run(connection18, f"SELECT pgscore.set_limits('daily', {given})")
    assert caught.value.pgcode == "PS004"
    assert find_job(connection18, "daily").max_rows_per_second == 5


def test_who_may(connection: Any, analyst: Any) -> None:
    churn_job(connection)
    with pytest.raises(RightsError, match="may not use refresh job daily"):
        set_limits(analyst, "daily", max_rows_per_second=1)
    options = {"model": "churn", "source": "customers", "keys": ["id"], "target": "lab.scores"}
    create_job(analyst, "theirs", **options, lock_timeout=timedelta(seconds=5))  # type: ignore[arg-type]
    run_job(analyst, "theirs")


def test_no_such_job(untouched: Any) -> None:
    with pytest.raises(NotFoundError, match="no refresh job 'nightly'"):
        set_limits(untouched, "nightly")


def test_the_pause_after_a_step(untouched: Any) -> None:
    pauses = fetch(
        untouched,
        "SELECT round(pgscore.pause(1000, clock_timestamp() - ago, rate)::numeric, 1)"
        " FROM (VALUES (interval '2 s', 100), ('20 s', 100), ('0 s', NULL)) AS g (ago, rate)",
    )
    assert [pause for (pause,) in pauses] == [8, 0, 0]


def test_the_steps_of_a_backfill_keep_to_the_rate(connection: Any) -> None:
    """Between its three steps of 1000 rows, a job with 5000 a second waits for what is left of a fifth of a second."""
    incremental(connection)
    lifecycle.promote(connection, "churn", 2)
    set_limits(connection, "daily", max_rows_per_second=5000)
    run(connection, "SET client_min_messages = debug1")
    result = run_job(connection, "daily", backfill_rows=1000)
    waits = [float(re.findall("waits for (.*) s", line)[0]) for line in connection.notices if "waits for" in line]
    assert (result.rows, result.steps) == (N, 3)
    assert len(waits) <= 2
    assert all(0 < wait < 0.2 for wait in waits)
    truth(connection, version=2)


def test_a_slow_rate_makes_small_steps(connection18: Any) -> None:
    """A rate of one a second scores ten rows, then waits for most of ten seconds; it is cancelled there."""
    incremental(connection18)
    lifecycle.promote(connection18, "churn", 2)
    set_limits(connection18, "daily", max_rows_per_second=1)
    run(connection18, "SET client_min_messages = debug1; SET statement_timeout = '3 s'")
    with pytest.raises(ServerError, match="statement timeout"):
        run_job(connection18, "daily")
    assert fetch(connection18, "SELECT count(*) FROM scores WHERE model_version = 2") == [(10,)]
    (wait,) = [float(re.findall("waits for (.*) s", line)[0]) for line in connection18.notices if "waits for" in line]
    assert 5 < wait < 10


def test_a_limit_that_makes_no_sense_is_refused_when_a_job_is_created(connection18: Any) -> None:
    with pytest.raises(SignatureError, match="max_rows_per_second"):
        churn_job(connection18, max_rows_per_second=0)
    assert fetch(connection18, "SELECT count(*) FROM pgscore.jobs") == [(0,)]
