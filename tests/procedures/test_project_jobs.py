"""Schedules and challengers of jobs in pgscore.toml: what it says is made so, and what it does not say stays."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pgscore.errors import UsageError
from pgscore.procedures import refresh
from pgscore.procedures.challenger import set_challenger
from pgscore.procedures.freshness import set_schedule
from pgscore.procedures.limits import set_limits
from pgscore.procedures.project_actions import ChangeJob

from ..support.projects import CHURN, DAILY, Checkout
from ..support.tiny import FRAME, make_customers, opened, query


@pytest.fixture
def checkout(installed18: str, tmp_path: Path) -> Iterator[Checkout]:
    with opened(installed18) as connection:
        make_customers(connection)
        yield Checkout(tmp_path, connection)


def test_a_schedule_and_a_challenger_change_without_making_the_job_anew(checkout: Checkout) -> None:
    checkout.apply(CHURN + DAILY)
    refresh.run_job(checkout.connection, "daily")
    for said, line in (
        ('target_lag = "15 min"\nevery = "1 day"\n', "target_lag none → 15 min, every none → 1 day"),
        ('target_lag = false\nevery = "24 hours"\n', "target_lag 15 min → none"),
        ('lock_timeout = "5 s"\n', "lock_timeout none → 5 s"),
        ("lock_timeout = false\nmax_rows_per_second = 9\n", "lock_timeout 5 s → none, max_rows_per_second none → 9"),
        ("max_rows_per_second = false\n", "max_rows_per_second 9 → none"),
        ('challenger = "next"\ncanary = 0.25\n', "challenger none → next, canary 0 → 0.25"),
        ('challenger = "next"\n', "canary 0.25 → 0"),
        ("challenger = false\n", "challenger next → none"),
    ):
        (action,) = checkout.apply(CHURN + DAILY + said)
        assert isinstance(action, ChangeJob)
        assert str(action) == f"change job daily: {line}"
    (job,) = refresh.status(checkout.connection)
    assert (job.state, job.rows, job.every, job.challenger) == ("fresh", len(FRAME), timedelta(days=1), None)


def test_what_the_file_does_not_say_of_a_job_stays(checkout: Checkout) -> None:
    """Also where the job is made anew for another setting."""
    query(checkout.connection, "CREATE VIEW active AS SELECT * FROM customers WHERE id > 2")
    checkout.apply(CHURN + DAILY)
    set_challenger(checkout.connection, "daily", "next", 0.5)
    set_schedule(checkout.connection, "daily", timedelta(hours=1), timedelta(minutes=5))
    set_limits(checkout.connection, "daily", timedelta(hours=2), timedelta(seconds=9), 700)
    assert checkout.plan(CHURN + DAILY).actions == ()
    checkout.apply(CHURN + DAILY.replace('source = "customers"', 'source = "active"'))
    (job,) = refresh.status(checkout.connection)
    assert (job.source, job.state) == ("public.active", "never run")
    assert (job.challenger, job.canary) == ("next", 0.5)
    assert (job.target_lag, job.every) == (timedelta(hours=1), timedelta(minutes=5))
    assert (job.statement_timeout, job.lock_timeout) == (timedelta(hours=2), timedelta(seconds=9))
    assert job.max_rows_per_second == 700


def test_a_job_becomes_incremental_and_full_again(checkout: Checkout) -> None:
    queues = "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'customers'::regclass AND NOT tgisinternal"
    checkout.apply(CHURN + DAILY)
    (action,) = checkout.apply(CHURN + DAILY + 'mode = "incremental"\n')
    assert str(action) == "change job daily: mode full → incremental; the record of its runs begins anew"
    assert query(checkout.connection, queues) == [(4,)]
    refresh.run_job(checkout.connection, "daily")
    assert checkout.plan(CHURN + DAILY + 'mode = "incremental"\n').actions == ()
    checkout.apply(CHURN + DAILY)
    assert query(checkout.connection, queues) == [(0,)]


def test_what_a_job_holds_beside_the_score_stays(checkout: Checkout) -> None:
    connection = checkout.connection
    query(connection, "CREATE VIEW active AS SELECT * FROM customers WHERE id > 2")
    checkout.apply(CHURN)
    top = refresh.Top(2, per=["plan"], keep=3)
    job = {"model": "churn", "source": "customers", "keys": ["plan", "id"], "target": "public.daily_scores"}
    refresh.create_job(connection, "daily", **job, outputs=["label"], top=top)
    form = query(connection, "SELECT f.* FROM pgscore.target_form('daily') AS f")
    refresh.create_job(connection, "daily", **{**job, "source": "active"}, replace=True)
    assert query(connection, "SELECT f.* FROM pgscore.target_form('daily') AS f") == form
    refresh.run_job(connection, "daily")
    assert query(connection, "SELECT DISTINCT label IS NULL FROM daily_scores_top") == [(False,)]


def test_a_job_is_created_with_all_that_the_file_says(checkout: Checkout) -> None:
    checkout.apply(CHURN + DAILY + 'target_lag = "2 days"\nevery = "1 day"\nchallenger = "next"\ncanary = 0.5\n')
    (job,) = refresh.status(checkout.connection)
    assert (job.target_lag, job.every) == (timedelta(days=2), timedelta(days=1))
    assert (job.challenger, job.canary) == ("next", 0.5)


QUERY = DAILY.replace('source = "customers"', 'query = "SELECT * FROM customers WHERE id > 1"')
MORE = """
mode = "incremental"
changes = "hash"
carry = ["plan"]
outputs = ["score", "label"]
vanished = "keep"
backfill_first = "plan"
"""
TOP = """
[jobs.best]
model = "churn"
source = "customers"
key = ["plan", "id"]
target = "best"
"""


def test_a_job_of_a_query_with_all_its_columns(checkout: Checkout) -> None:
    *_, action = checkout.apply(CHURN + QUERY + MORE)
    assert str(action) == (
        "create job daily: a query, predictions.churn_source through churn into predictions.churn; changes hash;"
        " backfill_first plan; outputs label; carry plan; vanished keep"
    )
    connection = checkout.connection
    refresh.run_job(connection, "daily")
    query(connection, "DELETE FROM customers WHERE id = 2")
    assert refresh.run_job(connection, "daily").deleted == 1
    assert query(connection, "SELECT count(label), count(plan), count(vanished_at) FROM predictions.churn") == [
        (4, 4, 1)
    ]
    # What the file does not say stays.
    (action,) = checkout.apply(CHURN + QUERY.replace("id > 1", "id > 2") + 'mode = "incremental"\n')
    assert str(action) == "change job daily: another query; the record of its runs begins anew"
    refresh.run_job(connection, "daily")
    assert query(connection, "SELECT count(*) FROM predictions.churn WHERE vanished_at IS NULL") == [(3,)]
    (action,) = checkout.apply(CHURN + DAILY + 'outputs = []\ncarry = []\nvanished = "remove"\n')
    assert str(action) == (
        "change job daily: source predictions.churn_source → public.customers, mode incremental → full, another query,"
        " changes hash → triggers, backfill_first plan → none, outputs label → none, carry plan → none,"
        " vanished keep → remove; the record of its runs begins anew"
    )
    assert query(connection, "SELECT to_regclass('predictions.churn_source')") == [(None,)]


def test_changes_by_watermark(checkout: Checkout) -> None:
    query(checkout.connection, "CREATE VIEW stamped AS SELECT *, now() AS at FROM customers")
    job = CHURN + DAILY.replace('"customers"', '"stamped"') + 'mode = "incremental"\nchanges = "watermark"\n'
    checkout.apply(job + 'watermark = "at"\n')
    (action,) = checkout.apply(job + 'watermark = "at"\nlookback = "1 hour"\n')
    assert "lookback 10 min → 1 h" in str(action)
    with pytest.raises(UsageError, match=r"\[jobs.daily\] changes is .watermark.: name that column"):
        checkout.plan(job)


def test_a_ranking(checkout: Checkout) -> None:
    checkout.apply(CHURN + TOP + 'top = 2\nper = ["plan"]\neligible = "customers"\n')
    connection = checkout.connection
    refresh.run_job(connection, "best")
    assert query(connection, "SELECT max(rank), count(*) > 2 FROM best_top") == [(2, True)]
    assert checkout.plan(CHURN + TOP).actions == ()
    (action,) = checkout.apply(CHURN + TOP + 'top = 2\nper = ["plan"]\nkeep = 3\n')
    assert "keep 2 → 3, eligible public.customers → none" in str(action)
    (action,) = checkout.apply(CHURN + TOP + "top = false\n")
    assert "top 2 → none, per plan → none, order_by score → none, keep 3 → none" in str(action)


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (DAILY + 'query = "SELECT 1"\n', r"\[jobs.daily\] needs one of the keys 'source' and 'query'"),
        (DAILY.replace("source", "#"), "needs one of the keys"),
        (DAILY + 'changes = "hash"\n', 'changes belongs to mode = "incremental"'),
        (DAILY + 'backfill_first = "id"\n', 'backfill_first belongs to mode = "incremental"'),
        (DAILY + 'mode = "incremental"\nchanges = "guess"\n', "must be triggers or hash or watermark"),
        (DAILY + 'mode = "incremental"\nlookback = "1 min"\n', 'lookback belongs to changes = "watermark"'),
        (DAILY + 'vanished = "bury"\n', "must be remove or keep"),
        (DAILY + 'per = ["id"]\n', "per belongs to top"),
        (DAILY + "top = 0\n", "top must be at least 1"),
        (DAILY + 'top = "ten"\n', "top must be a whole number"),
    ],
)
def test_what_a_job_cannot_say(checkout: Checkout, said: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        checkout.plan(CHURN + said)
