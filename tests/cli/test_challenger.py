"""Challengers from the shell: what is printed for people."""

from __future__ import annotations

import json

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
def test_from_shadow_to_canary_to_live() -> None:
    job = ("refresh", "challenge", "churn_daily", "--challenger", "next")
    assert printed(*job) == (
        "churn_daily has challenger next, which points to no version yet: runs go on with live alone"
    )
    assert json.loads(pgscore("status", "--json").out)[0]["challenger_state"] == "no challenger"
    assert "has compared nothing yet: pgscore refresh challenge" in printed("refresh", "compare", "churn_daily")
    printed("promote", "churn", 2, "--alias", "next")
    assert printed(*job) == "churn_daily has challenger next, now version 2, in the shadow of live"
    assert "0 new, 0 changed" in printed("refresh", "run", "churn_daily")
    text = printed("refresh", "compare", "churn_daily")
    assert "churn version 1 (live) beside version 2 (next) 120 rows, 120 scored by both; refused by both 0," in text
    assert "canary" not in text
    assert "agreement 0." in text
    assert "same label; of probabilities, same side of 0.5" in text
    assert "overlap_top_10pct" in text

    assert printed(*job, "--canary", "0.5") == "churn_daily has challenger next, now version 2, for 0.5 of the keys"
    printed("refresh", "run", "churn_daily")
    assert "canary 0.5: " in printed("refresh", "compare", "churn_daily")
    assert "rows have the challenger's score" in printed("refresh", "compare", "churn_daily")
    assert "next: compared" in printed("status")
    assert printed("refresh", "compare", "churn_daily", "--all").count(" 1 2 120 ") == 2
    printed("promote", "churn", 2)
    assert pgscore("status").code == 1
    printed("refresh", "run", "churn_daily")
    assert "next: same version" in printed("status")
    assert printed("refresh", "challenge", "churn_daily", "--none") == "churn_daily has no challenger"
    assert "next" not in printed("status")


@pytest.mark.usefixtures("shop")
def test_a_job_is_created_with_its_challenger() -> None:
    printed("promote", "churn", 2, "--alias", "next")
    words = ["refresh", "create", "second", *JOB[:-1], "others"]
    assert pgscore(*words, "--canary", "0.5").code == 2
    refused = pgscore(*words, "--challenger", "next", "--canary", "2")
    assert (refused.code, "between 0 and 1" in refused.err) == (2, True)
    assert "second" not in printed("refresh", "list"), "neither half of it"
    printed(*words, "--challenger", "next", "--canary", "0.5")
    printed("refresh", "run", "second")
    assert "canary 0.5: " in printed("refresh", "compare", "second")
