"""Canaries of refresh jobs: a share of the keys, always the same ones, has the challenger's score."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pgscore.errors import SignatureError
from pgscore.procedures import lifecycle
from pgscore.procedures.challenger import set_challenger
from pgscore.procedures.refresh import drop_job, run_job, status

from ..support.challenging import check, cohort, compared, scores, strict_model
from ..support.refreshing import (
    N,
    churn_job,
    churn_model,
    connection,
    connection15,
    connection18,
    counts,
    deployed,
    fetch,
    run,
)

__all__ = ["connection", "connection15", "connection18"]


def test_a_canary_grows_and_never_swaps(connection: Any) -> None:
    lifecycle.promote(connection, "churn", 2, alias="next")
    churn_job(connection)
    live, challenger = scores(connection, "churn_v1", "churn_v2")
    before: set[Any] = set()
    for share in (0, 0.05, 0.2, 0.6, 1):
        it = compared(connection, share)
        inside = cohort(connection)
        assert before <= inside
        assert len(inside) == it.canary_rows
        assert abs(len(inside) - N * share) <= 4 * np.sqrt(N * share * (1 - share))
        found = [score for (score,) in fetch(connection, "SELECT score FROM scores ORDER BY id")]
        assert found == [challenger[i] if i in inside else live[i] for i in range(N)]
        assert status(connection)[0].state == "fresh"
        check(it, live, challenger)
        assert counts(run_job(connection, "daily")) == (N, 0, 0, 0), "the same keys again"
        before = inside
    assert len(before) == N


def test_the_canary_is_the_documented_formula_on_every_server(connection15: Any, connection18: Any) -> None:
    found = []
    for one in (connection15, connection18):
        lifecycle.promote(one, "churn", 2, alias="next")
        churn_job(one)
        compared(one, 0.3)
        hashed = "hash_record_extended(ROW(id), hashtextextended('churn', 0))"
        formula = f"SELECT id FROM scores WHERE {hashed} & 9007199254740991 < 0.3 * 9007199254740992"
        assert cohort(one) == {key for (key,) in fetch(one, formula)}
        found.append(cohort(one))
    assert found[0] == found[1]
    assert sorted(found[0])[:5] == [3, 4, 10, 29, 34]


def test_another_model_has_another_canary_and_a_wider_key_the_same(connection18: Any) -> None:
    cohorts = []
    for name in ("churn", "twin"):
        if name == "twin":
            deployed(connection18, churn_model(), name=name)
            deployed(connection18, churn_model(C=0.01), name=name)
        lifecycle.promote(connection18, name, 2, alias="next")
        churn_job(connection18, model=name)
        compared(connection18, 0.5)
        cohorts.append(cohort(connection18))
        drop_job(connection18, "daily")
        run(connection18, "DROP TABLE scores")
    assert 0.4 * N / 2 < len(cohorts[0] & cohorts[1]) < 0.6 * N / 2
    run(connection18, "CREATE VIEW wide AS SELECT id::bigint, tenure, charge, plan FROM customers")
    churn_job(connection18, source="wide")
    compared(connection18, 0.5)
    assert cohort(connection18) == cohorts[0]


def test_a_session_does_not_move_the_canary(connection18: Any) -> None:
    """Times and numbers are hashed, not their text."""
    lifecycle.promote(connection18, "churn", 2, alias="next")
    run(
        connection18,
        "CREATE VIEW timed AS SELECT 'epoch'::timestamptz + id * interval '1 hour' AS at, id / 3.0::float8 AS place,"
        " tenure, charge, plan FROM customers",
    )
    churn_job(connection18, source="timed", keys=["at", "place"])
    compared(connection18, 0.5)
    run(connection18, "SET TimeZone = 'Asia/Kolkata'; SET DateStyle = 'German'; SET extra_float_digits = -10")
    assert counts(run_job(connection18, "daily")) == (N, 0, 0, 0)


def test_a_canary_row_that_the_challenger_refuses_is_null(connection18: Any) -> None:
    deployed(connection18, strict_model())
    lifecycle.promote(connection18, "churn", 3, alias="next")
    churn_job(connection18)
    set_challenger(connection18, "daily", "next", 0.5)
    refused = run_job(connection18, "daily").refused
    found = fetch(connection18, "SELECT id FROM scores WHERE score IS NULL")
    assert 0 < len(found) == refused < 60
    assert {key for (key,) in found} <= cohort(connection18, 3)


def test_a_key_that_cannot_be_hashed_is_refused_a_canary(connection18: Any) -> None:
    lifecycle.promote(connection18, "churn", 2, alias="next")
    run(connection18, "CREATE VIEW priced AS SELECT id::money AS price, tenure, charge, plan FROM customers")
    churn_job(connection18, source="priced", keys=["price"])
    with pytest.raises(SignatureError, match=r"the key of public.priced takes no canary: .*money"):
        set_challenger(connection18, "daily", "next", 0.1)
    assert compared(connection18).rows == N
