"""The life of a challenger: set, promoted, taken away, refused; what a promote does meanwhile; and who may do what."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from sklearn.linear_model import LinearRegression

from pgscore.errors import InvalidNameError, NotFoundError, RefusedError, RightsError, SignatureError
from pgscore.procedures import lifecycle
from pgscore.procedures.challenger import comparisons, set_challenger
from pgscore.procedures.connection import connect
from pgscore.procedures.refresh import create_job, drop_job, run_job, status

from ..support.challenging import check, cohort, compared, scores, strict_model
from ..support.refreshing import (
    N,
    churn_job,
    churn_model,
    connection,
    connection18,
    counts,
    customers,
    deployed,
    fetch,
    run,
    tier_model,
)
from ..support.roles import login

__all__ = ["connection", "connection18"]


def test_a_promoted_challenger_has_the_whole_table_and_a_rollback_parts_it_again(connection: Any) -> None:
    lifecycle.promote(connection, "churn", 2, alias="next")
    churn_job(connection)
    compared(connection, 0.2)
    inside = cohort(connection)
    assert status(connection)[0].challenger_state == "compared"
    lifecycle.promote(connection, "churn", 2)
    assert (status(connection)[0].state, status(connection)[0].challenger_state) == ("behind", "same version")
    assert counts(run_job(connection, "daily")) == (N, 0, N - len(inside), 0)
    assert cohort(connection) == set(range(N))
    assert status(connection)[0].fresh
    assert len(comparisons(connection, "daily")) == 1, "nothing to compare"
    lifecycle.rollback(connection, "churn")
    assert status(connection)[0].state == "behind"
    assert status(connection)[0].challenger_state == "not compared yet"
    assert counts(run_job(connection, "daily")) == (N, 0, N - len(inside), 0)
    assert cohort(connection) == inside
    assert [it.run_id for it in comparisons(connection, "daily")] == [3, 1]


def test_without_a_version_runs_go_on_with_live_alone(connection18: Any) -> None:
    create_job(
        connection18,
        "daily",
        model="churn",
        source="customers",
        keys=["id"],
        target="scores",
        challenger="next",
        canary=0.5,
    )
    assert set_challenger(connection18, "daily", "next", 0.5) is None
    assert run_job(connection18, "daily").version == 1
    assert cohort(connection18, 1) == set(range(N))
    assert comparisons(connection18, "daily") == []
    (job,) = status(connection18)
    assert (job.state, job.challenger, job.canary, job.challenger_state) == ("fresh", "next", 0.5, "no challenger")
    lifecycle.promote(connection18, "churn", 2, alias="next")
    assert status(connection18)[0].challenger_state == "not compared yet"
    run_job(connection18, "daily")
    assert len(comparisons(connection18, "daily")) == 1
    assert set_challenger(connection18, "daily", None) is None
    (job,) = status(connection18)
    assert (job.challenger, job.canary, job.challenger_state) == (None, 0, None)
    run_job(connection18, "daily")
    assert cohort(connection18) == set()
    assert len(comparisons(connection18, "daily")) == 1, "what was found stays"
    drop_job(connection18, "daily")
    assert fetch(connection18, "SELECT count(*) FROM pgscore.comparisons") == [(0,)]


def test_another_result_is_refused_when_set_and_when_run(connection: Any) -> None:
    deployed(connection, tier_model())
    lifecycle.promote(connection, "churn", 3, alias="next")
    churn_job(connection)
    message = "cannot compare churn_v1, which gives double precision, with its challenger churn_v3, which gives text"
    with pytest.raises(SignatureError, match=message):
        set_challenger(connection, "daily", "next")
    assert status(connection)[0].challenger is None
    lifecycle.promote(connection, "churn", 2, alias="next")
    compared(connection, 0.5)
    before = fetch(connection, "SELECT * FROM scores ORDER BY id")
    lifecycle.promote(connection, "churn", 3, alias="next")
    with pytest.raises(SignatureError, match=message):
        run_job(connection, "daily")
    assert fetch(connection, "SELECT * FROM scores ORDER BY id") == before
    (job,) = status(connection)
    assert job.state == "failed"
    assert "cannot compare" in str(job.error)
    assert len(comparisons(connection, "daily")) == 1


def test_a_challenger_that_lacks_an_output_of_the_job_gets_no_canary(connection18: Any) -> None:
    amounts = LinearRegression().fit(customers()[["tenure"]], customers().tenure)
    deployed(connection18, amounts, promote=True, alias="next")
    churn_job(connection18, outputs=["label"])
    with pytest.raises(SignatureError, match="churn_v3 has no output 'label'"):
        set_challenger(connection18, "daily", "next", 0.1)
    # Compared only, it is not asked for outputs.
    set_challenger(connection18, "daily", "next")
    run_job(connection18, "daily")
    assert len(comparisons(connection18, "daily")) == 1


def test_a_challenger_that_reads_another_column_is_refused(connection18: Any) -> None:
    run(connection18, "CREATE VIEW narrow AS SELECT id, tenure, charge FROM customers")
    deployed(connection18, strict_model(), name="strict")
    deployed(connection18, churn_model(), name="strict")
    lifecycle.promote(connection18, "strict", 2, alias="next")
    churn_job(connection18, model="strict", source="narrow")
    with pytest.raises(SignatureError, match=r"public.narrow has no column plan, which strict_v2 reads"):
        set_challenger(connection18, "daily", "next")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (("nightly", "next"), NotFoundError, "there is no refresh job 'nightly'"),
        (("daily", "live"), RefusedError, "scores with alias live already"),
        (("daily", "the next"), InvalidNameError, "no name for an alias"),
        (("daily", "next", 1.01), SignatureError, "between 0 and 1"),
        (("daily", "next", -0.01), SignatureError, "between 0 and 1"),
        (("daily", "next", float("nan")), SignatureError, "between 0 and 1"),
    ],
)
def test_what_makes_no_challenger(connection18: Any, given: Any, error: type[Exception], message: str) -> None:
    churn_job(connection18)
    with pytest.raises(error, match=message):
        set_challenger(connection18, *given)
    assert fetch(connection18, "SELECT challenger, canary FROM pgscore.jobs") == [(None, 0)]


def test_no_such_job(connection18: Any) -> None:
    with pytest.raises(NotFoundError, match="there is no refresh job 'nightly'"):
        comparisons(connection18, "nightly")


def test_the_alias_of_a_challenger_is_not_dropped(connection: Any) -> None:
    lifecycle.promote(connection, "churn", 2, alias="next")
    churn_job(connection)
    set_challenger(connection, "daily", "next")
    with pytest.raises(RefusedError, match="alias next of model churn is used by refresh job daily"):
        lifecycle.drop_alias(connection, "churn", "next")
    with pytest.raises(RefusedError, match="it is next"):
        lifecycle.drop(connection, "churn", 2)
    set_challenger(connection, "daily", None)
    lifecycle.drop_alias(connection, "churn", "next")


def test_promotes_meanwhile_change_nothing_in_a_run(connection: Any) -> None:
    lifecycle.promote(connection, "churn", 2, alias="next")
    run(connection, "CREATE VIEW slow AS SELECT c.* FROM customers AS c CROSS JOIN (SELECT pg_sleep(1.5)) AS waited")
    churn_job(connection, source="slow")
    set_challenger(connection, "daily", "next", 0.4)
    thread = threading.Thread(target=run_job, args=(connection, "daily"))
    thread.start()
    other = connect(connection.dsn)
    while fetch(other, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == [(0,)]:
        assert thread.is_alive()
        time.sleep(0.02)
    lifecycle.promote(other, "churn", 2)
    lifecycle.promote(other, "churn", 1, alias="next")
    thread.join()
    other.close()
    (it,) = comparisons(connection, "daily")
    assert (it.version, it.challenger_version) == (1, 2)
    live, challenger = scores(connection, "churn_v1", "churn_v2")
    check(it, live, challenger)
    inside = cohort(connection)
    found = [score for (score,) in fetch(connection, "SELECT score FROM scores ORDER BY id")]
    assert found == [challenger[i] if i in inside else live[i] for i in range(N)]
    assert [(job.state, job.challenger_state) for job in status(connection)] == [("behind", "not compared yet")]


# Rights.


@pytest.fixture
def analyst(connection: Any) -> Iterator[Any]:
    """A scorer who may read customers and has a schema of their own, and whose job `theirs` has a challenger."""
    with login(connection, "pgscore_scorer") as other:
        name = other.info.user
        run(connection, f"GRANT SELECT ON customers TO {name}; CREATE SCHEMA lab AUTHORIZATION {name}")
        lifecycle.promote(connection, "churn", 2, alias="next")
        create_job(other, "theirs", model="churn", source="customers", keys=["id"], target="lab.scores")
        yield other
        run(connection, "DROP SCHEMA lab CASCADE")


def test_a_scorer_challenges_in_jobs_of_their_own_and_sees_those_alone(connection: Any, analyst: Any) -> None:
    churn_job(connection)
    compared(connection)
    assert set_challenger(analyst, "theirs", "next", 0.1) == 2
    assert run_job(analyst, "theirs").inserted == N
    (it,) = comparisons(analyst, "theirs")
    check(it, *scores(connection, "churn_v1", "churn_v2"))
    assert comparisons(analyst, "daily") == []
    assert len(comparisons(connection, "theirs")) == 1
    with pytest.raises(RightsError, match="may not use refresh job daily"):
        set_challenger(analyst, "daily", "next", 0.5)
    for statement in (
        "SELECT * FROM pgscore.comparisons",
        "DELETE FROM pgscore.comparisons",
        "UPDATE pgscore.jobs SET canary = 1",
    ):
        with analyst, analyst.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(statement)
    foreign = f"""
        SELECT pgscore.record_comparison('theirs', (
            SELECT c FROM jsonb_populate_record(NULL::pgscore.comparisons, '{{"run_id": {it.run_id - 1}}}') AS c))"""
    run(analyst, foreign)
    assert len(comparisons(connection, "daily")) == 1, "another's run gets no comparison"


@pytest.mark.parametrize("role", ["promoter", "deployer", "monitor"])
def test_who_reads_all_comparisons(connection: Any, analyst: Any, role: str) -> None:
    set_challenger(analyst, "theirs", "next")
    run_job(analyst, "theirs")
    with login(connection, f"pgscore_{role}") as reader:
        assert len(comparisons(reader, "theirs")) == 1
        with reader, reader.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("SELECT pgscore.set_challenger('theirs', 'next', 1)")


def test_who_has_no_role_reads_none(connection: Any, analyst: Any) -> None:
    with login(connection) as nobody, nobody.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute("SELECT * FROM pgscore.challenger_overview")
