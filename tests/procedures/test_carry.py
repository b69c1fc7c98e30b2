"""Columns of the source that a target carries along."""

from __future__ import annotations

from typing import Any

import pytest

from pgscore.errors import SignatureError
from pgscore.procedures.refresh import Top, run_job

from ..support.incremental import incremental, queued, truth
from ..support.refreshing import churn_job, connection, connection18, counts, fetch, run

__all__ = ["connection", "connection18"]

EXTRA = """
    CREATE TYPE mood AS ENUM ('good', 'bad');
    ALTER TABLE customers ADD COLUMN "E mail" varchar(20), ADD COLUMN at date, ADD COLUMN mood mood,
        ADD COLUMN facts jsonb, ADD COLUMN big text, ADD COLUMN other integer;
    UPDATE customers SET at = '2020-02-02'
"""
CARRIED = ["region", "E mail", "at", "mood", "facts", "big"]


def in_step(connection: Any) -> None:
    names = 'id, region, "E mail", at, mood, facts, big'
    assert fetch(connection, f"SELECT {names} FROM scores EXCEPT ALL SELECT {names} FROM customers") == []
    truth(connection)


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_carried_columns_are_kept_in_step(connection: Any, mode: str) -> None:
    run(connection, EXTRA)
    churn_job(connection, mode=mode, carry=CARRIED, outputs=["label"])
    run_job(connection, "daily")
    in_step(connection)
    for n, change in enumerate(
        (
            "\"E mail\" = 'x@y'", "at = NULL", "mood = 'bad'", """facts = '{"a": 1}'""", "big = repeat('é', 100000)",
            "big = repeat('é', 99999) || 'e'", "region = 'east'",
        )
    ):  # fmt: skip
        run(connection, f"UPDATE customers SET {change} WHERE id = {n}")
        if mode == "incremental":
            assert queued(connection) == [n]
        done = run_job(connection, "daily")
        assert (done.inserted, done.updated, done.deleted) == (0, 1, 0)
        in_step(connection)
    # What is neither read nor carried changes nothing.
    run(connection, "UPDATE customers SET other = 5")
    assert run_job(connection, "daily").updated == 0
    if mode == "incremental":
        assert run_job(connection, "daily").rows == 0


def test_carried_columns_outlive_a_replacement_and_are_ranked_along(connection18: Any) -> None:
    top = Top(2, per=["region"], keep=3)
    churn_job(connection18, keys=["region", "id"], carry=["plan"], top=top)
    churn_job(connection18, keys=["region", "id"], replace=True)
    assert counts(run_job(connection18, "daily"))[1] == 6
    wrong = "SELECT t.plan FROM scores_top AS t JOIN customers AS c USING (id) WHERE t.plan IS DISTINCT FROM c.plan"
    assert fetch(connection18, wrong) == []


def test_a_column_comes_with_the_queue_that_is_there(connection18: Any) -> None:
    run(connection18, EXTRA)
    incremental(connection18)
    run(connection18, "ALTER TABLE scores ADD COLUMN other integer")
    churn_job(connection18, mode="incremental", carry=["other"], replace=True)
    run_job(connection18, "daily")
    run(connection18, "UPDATE customers SET other = 7 WHERE id = 7")
    assert counts(run_job(connection18, "daily")) == (1, 0, 1, 0)
    assert fetch(connection18, "SELECT id FROM scores WHERE other = 7") == [(7,)]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"carry": ["nothing"]}, r"is to carry \{nothing\}, which public.customers does not have"),
        ({"carry": ["id"]}, "would have two columns id"),
        ({"carry": ["region", "region"]}, "would have two columns region"),
        ({"carry": ["label"], "outputs": ["label"]}, "would have two columns label"),
        ({"carry": ["raw"]}, "cannot carry raw: values of its type cannot be compared"),
    ],
)
def test_what_cannot_be_carried(connection18: Any, options: dict[str, Any], says: str) -> None:
    run(connection18, "ALTER TABLE customers ADD COLUMN label text, ADD COLUMN raw json")
    with pytest.raises(SignatureError, match=says):
        churn_job(connection18, **options)
    assert fetch(connection18, "SELECT to_regclass('scores')") == [(None,)]
