"""Freshness of refresh jobs: targets, what is due, the record of runs, the ages of stored rows, and who sees what."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg2
import pytest

from pgscore.errors import NotFoundError, RightsError, SignatureError
from pgscore.procedures import lifecycle
from pgscore.procedures.freshness import count_runs, last_runs, prediction_ages, run_due, runs, set_schedule
from pgscore.procedures.refresh import create_job, find_job, run_job, status

from ..support.refreshing import (
    N,
    analyst,
    churn_job,
    churn_model,
    connection,
    connection18,
    deployed,
    fetch,
    run,
    untouched,
)

__all__ = ["analyst", "connection", "connection18", "untouched"]

MINUTES, HOUR, DAY = timedelta(minutes=15), timedelta(hours=1), timedelta(days=1)


def back(connection: Any, length: str) -> None:
    """As if the runs and jobs so far had been so long ago."""
    run(
        connection,
        f"UPDATE pgscore.runs SET started_at = started_at - interval '{length}',"
        f" finished_at = finished_at - interval '{length}';"
        f"UPDATE pgscore.jobs SET created_at = created_at - interval '{length}'",
    )


# Targets.


def test_a_missed_target_makes_a_job_stale_until_it_runs(connection: Any) -> None:
    churn_job(connection, target_lag=HOUR)
    job = find_job(connection, "daily")
    assert (job.state, job.target_lag, job.target_missed, job.fresh) == ("never run", HOUR, False, False)
    run_job(connection, "daily")
    back(connection, "59 minutes")
    job = find_job(connection, "daily")
    assert (job.state, job.target_missed, job.fresh) == ("fresh", False, True)
    back(connection, "2 minutes")
    job = find_job(connection, "daily")
    assert (job.state, job.target_missed, job.fresh) == ("stale", True, False)
    assert job.age is not None
    assert HOUR < job.age < 2 * HOUR
    run_job(connection, "daily")
    assert find_job(connection, "daily").state == "fresh"


def test_the_lag_counts_from_the_beginning_of_the_last_good_run(connection18: Any) -> None:
    """What was committed while a run went on may not be in its predictions."""
    churn_job(connection18, target_lag=MINUTES)
    run_job(connection18, "daily")
    run(connection18, "UPDATE pgscore.runs SET started_at = started_at - interval '20 min'")
    assert find_job(connection18, "daily").state == "stale"
    run(connection18, "ALTER TABLE scores RENAME COLUMN score TO s")
    with pytest.raises(SignatureError):
        run_job(connection18, "daily")
    job = find_job(connection18, "daily")
    assert (job.state, job.target_missed) == ("failed", True)


def test_a_job_that_never_ran_misses_its_target_from_its_creation_on(connection18: Any) -> None:
    churn_job(connection18, target_lag=HOUR)
    back(connection18, "2 hours")
    job = find_job(connection18, "daily")
    assert (job.state, job.target_missed, job.age) == ("never run", True, None)


def test_without_a_target_nothing_is_missed(connection18: Any) -> None:
    churn_job(connection18)
    run_job(connection18, "daily")
    back(connection18, "10 years")
    job = find_job(connection18, "daily")
    assert (job.state, job.target_missed, job.next_run) == ("fresh", None, None)


def test_an_older_version_is_said_before_a_missed_target(connection18: Any) -> None:
    churn_job(connection18, target_lag=HOUR)
    run_job(connection18, "daily")
    back(connection18, "2 hours")
    lifecycle.promote(connection18, "churn", 2)
    job = find_job(connection18, "daily")
    assert (job.state, job.target_missed) == ("behind", True)


# Schedules.


def test_from_psql(connection: Any) -> None:
    run(
        connection,
        "SELECT pgscore.create_refresh('daily', 'churn', 'customers', '{id}', 'public.scores', every => '1 day',"
        " target_lag => '1 day 1 hour')",
    )
    assert fetch(connection, "SELECT target_lag, every, next_run <= now() FROM pgscore.freshness") == [
        (DAY + HOUR, DAY, True)
    ]
    assert fetch(connection, "SELECT pgscore.due_jobs()") == [("daily",)]
    run(connection, "CALL pgscore.refresh('daily')")
    assert fetch(connection, "SELECT next_run - refreshed_at FROM pgscore.freshness") == [(DAY,)]
    assert fetch(connection, "SELECT pgscore.due_jobs()") == []
    run(connection, "SELECT pgscore.set_schedule('daily', NULL, '1 hour')")
    assert fetch(connection, "SELECT target_lag, every, state FROM pgscore.freshness") == [(None, HOUR, "fresh")]
    assert fetch(connection, "SELECT state, rows, seconds > 0, rows_per_second > 0 FROM pgscore.run_overview") == [
        ("done", N, True, True)
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("NULL, '0'", "every of refresh job daily must be longer than 0"),
        ("'-1 hour', NULL", "target_lag of refresh job daily must be longer than 0"),
        ("'1 month', NULL", "target_lag of refresh job daily is in months"),
        ("NULL, '1 year 2 days'", "every of refresh job daily is in months"),
    ],
)
def test_lengths_that_are_none(connection18: Any, given: str, message: str) -> None:
    churn_job(connection18, every=HOUR)
    with pytest.raises(psycopg2.Error, match=message) as caught:
        run(connection18, f"SELECT pgscore.set_schedule('daily', {given})")
    assert caught.value.pgcode == "PS004"
    assert find_job(connection18, "daily").every == HOUR


def test_long_lengths_of_days_are_taken(connection18: Any) -> None:
    churn_job(connection18)
    set_schedule(connection18, "daily", timedelta(days=400), timedelta(days=31))
    job = find_job(connection18, "daily")
    assert (job.target_lag, job.every) == (timedelta(days=400), timedelta(days=31))


def test_all_that_is_due_runs_and_a_failure_stops_no_other(connection: Any) -> None:
    options = {"model": "churn", "source": "customers", "keys": ["id"]}
    for name, every in (("a", HOUR), ("b", DAY), ("c", HOUR), ("d", None)):
        create_job(connection, name, target=f"scores_{name}", every=every, **options)  # type: ignore[arg-type]
    run(connection, "ALTER TABLE scores_a DROP COLUMN score")
    first = run_due(connection)
    assert [(one.job, one.result is not None, one.running) for one in first] == [
        ("a", False, False), ("b", True, False), ("c", True, False),
    ]  # fmt: skip
    assert "scores_a has no column score" in str(first[0].error)
    assert run_due(connection) == [], "the failed one waits for its time as well"
    back(connection, "2 hours")
    assert [one.job for one in run_due(connection)] == ["a", "c"]
    assert [(c.job, c.done, c.failed) for c in count_runs(connection)] == [("a", 0, 2), ("b", 1, 0), ("c", 2, 0)]
    assert [(r.job, r.state) for r in last_runs(connection)] == [("a", "failed"), ("b", "done"), ("c", "done")]


def test_the_longest_due_runs_first(connection18: Any) -> None:
    options = {"model": "churn", "source": "customers", "keys": ["id"]}
    create_job(connection18, "a", target="scores_a", every=HOUR, **options)  # type: ignore[arg-type]
    create_job(connection18, "b", target="scores_b", every=MINUTES, **options)  # type: ignore[arg-type]
    run_due(connection18)
    back(connection18, "2 hours")
    assert [one.job for one in run_due(connection18)] == ["b", "a"]


def test_a_due_job_that_is_running_is_no_failure(connection18: Any) -> None:
    churn_job(connection18, every=HOUR)
    other = psycopg2.connect(connection18.dsn)
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('pgscore.refresh'), job_id) FROM pgscore.jobs")
        (one,) = run_due(connection18)
    other.close()
    assert (one.result, one.running) == (None, True)
    assert fetch(connection18, "SELECT count(*) FROM pgscore.runs") == [(0,)]


# The record of runs.


def test_the_last_runs_of_a_job(connection: Any) -> None:
    churn_job(connection)
    result = run_job(connection, "daily")
    run(connection, "UPDATE customers SET tenure = tenure + 1 WHERE id < 10; ALTER TABLE customers RENAME plan TO p")
    with pytest.raises(SignatureError):
        run_job(connection, "daily")
    run(connection, "ALTER TABLE customers RENAME p TO plan")
    run_job(connection, "daily")
    third, second, first = runs(connection, "daily", 10)
    assert (first.run_id, first.state, first.version, first.rows, first.inserted) == (result.run_id, "done", 1, N, N)
    assert first.rows_per_second == pytest.approx(N / first.seconds)
    assert (second.state, second.rows, second.rows_per_second) == ("failed", None, None)
    assert "plan" in str(second.error)
    assert (third.state, third.updated, third.error, third.by) == ("done", 10, None, "postgres")
    assert [one.run_id for one in runs(connection, "daily", 2)] == [third.run_id, second.run_id]


def test_no_such_job(untouched: Any) -> None:
    for act in (
        lambda: runs(untouched, "nightly", 1),
        lambda: prediction_ages(untouched, "nightly"),
        lambda: set_schedule(untouched, "nightly", None, HOUR),
    ):
        with pytest.raises(NotFoundError, match="no refresh job 'nightly'"):
            act()


# Ages.


def test_ages_of_the_stored_rows(connection: Any) -> None:
    churn_job(connection, keys=["region", "id"])
    ages = prediction_ages(connection, "daily")
    assert (ages.rows, ages.p50, ages.oldest_key) == (0, None, None)
    run_job(connection, "daily")
    # Row i was written i minutes ago.
    run(connection, "UPDATE scores SET scored_at = now() - make_interval(mins => id)")
    ages = prediction_ages(connection, "daily")
    assert ages.p50 is not None
    assert ages.p95 is not None
    assert ages.max is not None
    minutes = [round(length.total_seconds() / 60) for length in (ages.p50, ages.p95, ages.max)]
    # percentile_disc: the first of 0, 1, …, N - 1 at which this share of the rows is reached.
    assert minutes == [N // 2 - 1, round(N * 0.95) - 1, N - 1]
    assert (ages.rows, ages.oldest_key) == (N, {"region": "north", "id": N - 1})


def test_ages_of_a_target_with_hostile_names(connection18: Any) -> None:
    run(connection18, 'CREATE VIEW v AS SELECT id AS "a""; b %", tenure, charge, plan FROM customers')
    churn_job(connection18, source="v", keys=['a"; b %'], target='public."T %"')
    run_job(connection18, "daily")
    assert prediction_ages(connection18, "daily").oldest_key == {'a"; b %': 0}
    run(connection18, 'DROP TABLE "T %"')
    with pytest.raises(NotFoundError, match="the target of refresh job daily is gone"):
        prediction_ages(connection18, "daily")


# Rights.


def test_a_scorer_sees_the_runs_of_their_own_jobs(connection: Any, analyst: Any) -> None:
    create_job(connection, "theirs", model="churn", source="customers", keys=["id"], target="scores", every=HOUR)
    run_job(connection, "theirs")
    back(connection, "2 hours")
    create_job(analyst, "daily", model="churn", source="customers", keys=["id"], target="lab.scores", every=HOUR)
    assert [one.job for one in run_due(analyst)] == ["daily"], "not those of others"
    assert [one.job for one in last_runs(analyst)] == ["daily"]
    assert runs(analyst, "theirs", 5) == []
    assert {job.job for job in status(analyst)} == {"daily", "theirs"}
    with pytest.raises(RightsError, match="may not use refresh job theirs"):
        set_schedule(analyst, "theirs", HOUR, None)
    set_schedule(analyst, "daily", HOUR, None)


def test_ages_are_read_with_the_callers_rights(connection: Any, analyst: Any) -> None:
    churn_job(connection)
    run_job(connection, "daily")
    with pytest.raises(RightsError, match="permission denied for table scores"):
        prediction_ages(analyst, "daily")
    run(connection, "GRANT SELECT ON scores TO refresh_analyst")
    assert prediction_ages(analyst, "daily").rows == N


def test_a_monitor_reads_it_all(connection18: Any) -> None:
    churn_job(connection18, target_lag=HOUR)
    run_job(connection18, "daily")
    for role in ("pgscore_monitor", "pgscore_promoter", "pgscore_deployer"):
        run(connection18, f"SET ROLE {role}")
        assert [job.state for job in status(connection18)] == ["fresh"]
        assert [one.state for one in runs(connection18, "daily", 1)] == ["done"]
        with pytest.raises(RightsError, match="scores"):
            prediction_ages(connection18, "daily")
        run(connection18, "RESET ROLE")


def test_a_new_version_keeps_the_schedule(connection18: Any) -> None:
    churn_job(connection18, target_lag=HOUR, every=MINUTES)
    deployed(connection18, churn_model(C=0.5), promote=True)
    job = find_job(connection18, "daily")
    assert (job.target_lag, job.every) == (HOUR, MINUTES)
