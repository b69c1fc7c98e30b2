"""Incremental refresh jobs from the shell."""

from __future__ import annotations

import contextlib

import psycopg2
import pytest

from .conftest import JOB, pgscore


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are not folded: how long a name of a folder or an age is decides nothing."""
    monkeypatch.setenv("COLUMNS", "200")


def printed(*command: object) -> str:
    outcome = pgscore(*command)
    assert (outcome.code, outcome.err) == (0, ""), outcome
    return " ".join(outcome.out.split())


@pytest.mark.usefixtures("shop")
def test_an_incremental_job() -> None:
    words = ["refresh", "create", "now", *JOB[:-1], "others"]
    assert pgscore(*words, "--mode", "hourly").code == 2
    printed(*words, "--mode", "incremental")
    assert "120 new" in printed("refresh", "run", "now")
    assert "0 rows with version 1" in printed("refresh", "run", "now")
    assert "120 rows with version 1" in printed("refresh", "run", "now", "--full")
    assert {"queued", "outdated"} <= set(pgscore("status").out.split())
    printed("promote", "churn", 2)
    text = printed("refresh", "run", "now", "--backfill-rows", "50")
    assert "120 rows with version 2" in text
    assert "3 steps" in text
    refused = pgscore("refresh", "run", "churn_daily", "--full")
    assert (refused.code, "has no queue" in refused.err) == (1, True)


@pytest.mark.usefixtures("shop")
def test_a_query_without_triggers() -> None:
    words = ["refresh", "create", "far", "--model", "churn", "--key", "customer_id", "--into", "far_scores"]
    query = ["--from-query", "SELECT * FROM customers WHERE customer_id > 1"]
    assert (pgscore(*words).code, pgscore(*words, *query, "--from", "customers").code) == (2, 2)
    refused = pgscore(*words, "--from-query", "SELECT")
    assert (refused.code, "makes no" in refused.err or "has no column" in refused.err) == (2, True)
    options = ["--mode", "incremental", "--changes", "hash", "--vanished", "keep", "--carry", "plan"]
    assert "far: a query through churn" in printed(*words, *query, *options, "--backfill-first", "plan")
    printed("refresh", "run", "far")
    assert "0 rows with version 1" in printed("refresh", "run", "far")
    assert "how much has changed is unknown" in printed("refresh", "run", "far", "--explain")
    printed("refresh", "drop", "far")


def test_rejected_rows(shop: str) -> None:
    assert printed("refresh", "rejected", "churn_daily") == "churn_daily has scored every row"
    with contextlib.closing(psycopg2.connect(shop)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("UPDATE customers SET charges = 'Infinity' WHERE customer_id = 3")
    assert "1 have no score, see `pgscore refresh rejected`" in printed("refresh", "run", "churn_daily")
    found = pgscore("refresh", "rejected", "churn_daily")
    assert found.code == 1
    assert "customer_id 3" in found.out
    assert "column charges is infinite" in found.out
    assert "1 have no score" in printed("refresh", "retry", "churn_daily")


def test_a_live_view(shop: str) -> None:
    printed("refresh", "change", "churn_daily", "--live")
    with contextlib.closing(psycopg2.connect(shop)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*), bool_and(stored) FROM churn_scores_live")
        assert cursor.fetchall() == [(120, True)]
    assert printed("refresh", "change", "churn_daily", "--no-live") == "churn_daily: live none"
    printed("refresh", "create", "second", *JOB[:-1], "others", "--live")
    printed("refresh", "drop", "second")
