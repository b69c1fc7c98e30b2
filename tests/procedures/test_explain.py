"""What a run would do is what it then does, and explaining it changes nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg2
import pytest

from pgscore.errors import NotFoundError, RightsError
from pgscore.procedures import lifecycle
from pgscore.procedures.challenger import set_challenger
from pgscore.procedures.explain import Reason, explain_job
from pgscore.procedures.refresh import create_job, run_job

from ..support.incremental import incremental
from ..support.refreshing import (
    N,
    analyst,
    churn_job,
    connection,
    connection18,
    fetch,
    run,
    untouched,
)

__all__ = ["analyst", "connection", "connection18", "untouched"]


def explained(connection: Any, **options: Any) -> dict[str, Reason]:
    return {reason.topic: reason for reason in explain_job(connection, "daily", **options)}


def test_a_full_job(connection: Any) -> None:
    churn_job(connection, max_rows_per_second=5000, lock_timeout=timedelta(seconds=2))
    run(connection, "ANALYZE customers")
    found = explained(connection)
    assert {topic: reason.value for topic, reason in found.items() if topic != "limits"} == {
        "state": "never run", "version": 1, "rights": [], "rows": N, "mode": "full", "chunks": 50_000,
        "scoring": "sql", "writing": "difference",
    }  # fmt: skip
    assert found["writing"].says == "the difference: the table is small"
    assert found["limits"].says == "lock_timeout 2000ms, 5000 rows a second"
    assert not any(reason.stops for reason in found.values())
    run(connection, "SELECT pgscore.score_chunk('daily', 500)")
    assert ("; 1 with " in explained(connection)["chunks"].says) is True
    run_job(connection, "daily")
    lifecycle.promote(connection, "churn", 2)
    found = explained(connection)
    assert found["state"].says == "behind: the last good run was of version 1"
    assert found["version"].says == "version 2 of churn, which alias live means"
    assert found["writing"].says.startswith("the difference")


def test_nothing_is_changed_by_it(connection: Any) -> None:
    incremental(connection)
    run(connection, "UPDATE customers SET tenure = 1 WHERE id < 5")
    lifecycle.promote(connection, "churn", 2)
    everything = (
        "SELECT (SELECT max(run_id) FROM pgscore.runs), (SELECT array_agg(s.ctid::text || s::text) FROM scores AS s),"
        " (SELECT array_agg(q.ctid::text || q::text) FROM pgscore.queue_1 AS q),"
        " (SELECT array_agg(c.oid::text || c.relname ORDER BY c.oid) FROM pg_class AS c)"
    )
    before = fetch(connection, everything)
    explained(connection, plan=True)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id_if_assigned(), count(*) FROM pgscore.explain_refresh('daily', true)")
        cursor.execute("SELECT pg_current_xact_id_if_assigned()")
        assert cursor.fetchall() == [(None,)]
    assert fetch(connection, everything) == before


def test_an_incremental_job(connection: Any) -> None:
    churn_job(connection, mode="incremental")
    found = explained(connection)
    assert (found["triggers"].value, found["queue"].says) == (
        "watched", "any row may have changed: every row is scored",
    )  # fmt: skip
    run_job(connection, "daily")
    run(connection, "UPDATE customers SET tenure = tenure + 1 WHERE id < 5; ANALYZE scores")
    found = explained(connection)
    assert (found["mode"].value, found["queue"].value, found["outdated"].value) == ("incremental", 5, 0)
    lifecycle.promote(connection, "churn", 2)
    run(connection, "SET pgscore.backfill_rows = 1000")
    outdated = explained(connection)["outdated"]
    assert outdated.value == pytest.approx(N, rel=0.01)
    assert outdated.says.endswith("are not of version 2: 1000 of them in each step, so about 3 steps")
    run(connection, "ALTER TABLE customers DISABLE TRIGGER ALL")
    assert explained(connection)["triggers"].value == "disabled"
    run(connection, "DROP TRIGGER pgscore_queue_1_update ON customers")
    assert explained(connection)["triggers"].value == "lacking"


def test_a_challenger(connection18: Any) -> None:
    churn_job(connection18)
    lifecycle.promote(connection18, "churn", 2, alias="next")
    set_challenger(connection18, "daily", "next", 0.25)
    assert explained(connection18)["challenger"].says == (
        "version 2, which alias next means, is scored beside; 25 % of the keys get its score"
    )


def test_the_plan_is_that_of_the_scoring_query(connection18: Any) -> None:
    churn_job(connection18)
    assert "plan" not in explained(connection18)
    lines = [reason.says for reason in explain_job(connection18, "daily", plan=True) if reason.topic == "plan"]
    assert lines[0].startswith("Seq Scan on public.customers")
    assert "tenure" in lines[1]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("ALTER TABLE customers RENAME plan TO p", "public.customers has no column plan, which churn_v1 reads"),
        ("ALTER TABLE scores DROP COLUMN score", "scores has no column score, of type double precision"),
        ("DROP TABLE scores", "public.scores is gone"),
    ],
)
def test_what_would_stop_a_run(connection18: Any, change: str, says: str) -> None:
    run(connection18, "CREATE VIEW v AS SELECT id, tenure, charge, plan FROM customers")
    churn_job(connection18)
    run(connection18, change)
    problem = explained(connection18)["problem"]
    assert says in problem.says
    assert problem.stops


def test_another_run_that_is_going_on(connection: Any) -> None:
    churn_job(connection)
    other = psycopg2.connect(connection.dsn)
    with other.cursor() as cursor:
        cursor.execute("CALL pgscore.refresh('daily')")
        assert explained(connection)["problem"].value == other.info.backend_pid
    other.close()


def test_rights_that_are_missing(connection: Any, analyst: Any) -> None:
    create_job(analyst, "daily", model="churn", source="customers", keys=["id"], target="lab.scores")
    assert not explained(analyst)["rights"].stops
    run(
        connection,
        "REVOKE SELECT ON customers FROM refresh_analyst; GRANT SELECT (id, tenure) ON customers TO refresh_analyst;"
        "REVOKE TEMPORARY ON DATABASE " + connection.info.dbname + " FROM PUBLIC;"
        "REVOKE DELETE ON lab.scores FROM refresh_analyst",
    )
    found = explained(analyst)
    assert found["rights"].stops
    assert sorted(found["rights"].value) == [
        "DELETE on lab.scores",
        "SELECT (charge, plan) on public.customers",
        f"TEMPORARY on database {connection.info.dbname}",
    ]
    run(connection, "GRANT SELECT ON customers TO refresh_analyst")


def test_jobs_of_others_and_of_nobody(connection: Any, analyst: Any) -> None:
    churn_job(connection)
    with pytest.raises(RightsError, match="may not use refresh job daily"):
        explain_job(analyst, "daily")
    with pytest.raises(NotFoundError, match="no refresh job 'nightly'"):
        explain_job(connection, "nightly")
