"""Segments, as runs that swap count them: the sizes and moves that are in the model's own predict."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans

from pgscore.procedures import lifecycle
from pgscore.procedures.explain import explain_job
from pgscore.procedures.refresh import create_job, run_job

from ..support.incremental import another
from ..support.refreshing import (
    NUMBERS,
    N,
    analyst,
    churn_job,
    connection,
    connection15,
    connection18,
    customers,
    deployed,
    fetch,
    run,
)
from ..support.swapping import LEFT_OVER, swapped

__all__ = ["analyst", "connection", "connection15", "connection18"]

CHANGES = """
    UPDATE customers SET charge = charge + 15 WHERE id % 3 = 0;
    UPDATE customers SET charge = 40 WHERE id % 100 = 0;
    UPDATE customers SET charge = NULL WHERE id % 70 = 1;
    DELETE FROM customers WHERE id % 10 = 9;
    INSERT INTO customers SELECT region, id + 10000, tenure, charge, plan FROM customers WHERE id % 20 = 3
"""
"""Some move and some stay, some had no segment and some lose theirs, some vanish and some are new."""

SIZES = """
    SELECT segment, rows, stayed, moved_in FROM pgscore.segment_sizes
    WHERE run_id = (SELECT max(run_id) FROM pgscore.segment_sizes) ORDER BY segment
"""
RUNS = "SELECT run_id, sum(rows)::integer FROM pgscore.segment_sizes GROUP BY run_id ORDER BY run_id"


@cache
def segments_model(version: int) -> Any:
    """Takes no missing charge."""
    return KMeans(3 + version, n_init=1, random_state=version).fit(customers()[NUMBERS].dropna())


def segments_job(connection: Any) -> None:
    """A job `daily` of model segments, whose version 2 is not live."""
    for version in (1, 2):
        deployed(connection, segments_model(version), "segments")
    churn_job(connection, model="segments")


def answers(connection: Any, version: int = 1) -> pd.Series:
    """The segments of all rows that have one, by the model itself."""
    rows = fetch(connection, "SELECT id, tenure, charge FROM customers WHERE charge IS NOT NULL")
    frame = pd.DataFrame(rows, columns=["id", *NUMBERS]).set_index("id").astype(float)
    return pd.Series(segments_model(version).predict(frame), frame.index)


def sizes(now: pd.Series, before: pd.Series | None = None) -> list[tuple[int, int, int, int]]:
    """What SIZES gives for these segments, and those that the same version gave before."""
    known = now[:0] if before is None else before
    before = known.reindex(now.index, fill_value=-1)
    stayed, moved = now == before, (now != before) & (before != -1)
    return [(int(s), sum(now == s), sum(stayed & (now == s)), sum(moved & (now == s))) for s in np.unique(now)]


def check(connection: Any, now: pd.Series, before: pd.Series | None = None) -> None:
    """The target has these segments, and the last run counted them."""
    rows = fetch(connection, "SELECT id, score FROM scores WHERE score IS NOT NULL ORDER BY id")
    assert rows == sorted(now.items())
    assert fetch(connection, SIZES) == sizes(now, before)


@pytest.mark.parametrize("options", [{}, {"jobs": 2}, {"chunk_rows": 700}], ids=str)
def test_a_run_that_swaps_counts_segments(connection: Any, options: dict[str, Any]) -> None:
    segments_job(connection)
    swapped(connection, **options)
    before = answers(connection)
    check(connection, before)

    run(connection, CHANGES)
    swapped(connection, **options)
    now = answers(connection)
    check(connection, now, before)
    counted = np.array(sizes(now, before))
    _, stayed, moved = counted[:, 1:].sum(axis=0)
    assert min(stayed, moved, len(now) - stayed - moved) > 50
    drift = "SELECT moved_share FROM pgscore.segment_drift ORDER BY run_id"
    assert fetch(connection, drift) == [(None,), (moved / (stayed + moved),)]

    lifecycle.promote(connection, "segments", 2)
    swapped(connection, **options)
    check(connection, answers(connection, 2))
    assert [rows for _, rows in fetch(connection, RUNS)] == [len(before), len(now), len(now)]
    assert fetch(connection, drift)[2:] == [(None,)], "answers of another version say nothing of moves"


@pytest.mark.parametrize("options", [{}, {"jobs": 2}], ids=str)
def test_where_the_swap_cannot_be_had_the_difference_has_them_too(connection: Any, options: dict[str, Any]) -> None:
    segments_job(connection)
    swapped(connection, **options)
    before = answers(connection)
    run(connection, CHANGES)
    run(connection, "SET pgscore.writes = 'swap'; SET lock_timeout = '300ms'")
    with another(connection) as reader, reader.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT 1")
        result = run_job(connection, "daily", **options)
    assert (result.written, result.because) == (
        "difference",
        "a transaction stays open that began before the new rows were there",
    )
    check(connection, answers(connection), before)
    assert fetch(connection, LEFT_OVER) == []


def test_a_user_without_other_rights(connection: Any, analyst: Any) -> None:
    deployed(connection, segments_model(1), "segments")
    create_job(analyst, "daily", model="segments", source="customers", keys=["region", "id"], target="lab.scores")
    before = answers(connection)
    for known in (None, before):
        run(analyst, "SET pgscore.writes = 'swap'")
        result = run_job(analyst, "daily")
        assert (result.written, result.rows) == ("swap", N)
        assert fetch(analyst, SIZES) == sizes(before, known)


def test_what_is_explained(connection18: Any) -> None:
    segments_job(connection18)
    run(connection18, "SET pgscore.writes = 'swap'")
    (writing,) = (reason for reason in explain_job(connection18, "daily") if reason.topic == "writing")
    assert writing.says == "all rows are built beside and swapped in: the target is empty"
