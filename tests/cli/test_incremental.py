"""Incremental refresh jobs from the shell."""

from __future__ import annotations

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
