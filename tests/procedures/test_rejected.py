"""Rows without a score: which they are, why, and that the others go on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from pgscore.errors import RefusedError, RightsError, ServerError
from pgscore.procedures.challenger import set_challenger
from pgscore.procedures.lifecycle import promote
from pgscore.procedures.refresh import RunResult, create_job, run_job
from pgscore.procedures.rejected import rejected, retry

from ..support.incremental import incremental, truth
from ..support.refreshing import N, churn_job, connection, counts, fetch, run
from ..support.roles import login

__all__ = ["connection"]

DIVIDED = "CREATE VIEW divided AS SELECT id, tenure, 100 / charge AS charge, plan FROM customers"
WIDE = (
    "CREATE TABLE wide AS SELECT id, tenure, charge::numeric AS charge, plan FROM customers;"
    "ALTER TABLE wide ADD PRIMARY KEY (id)"
)
OUT_OF_RANGE = "scoring fails: numeric value out of range (SQLSTATE 22003)"
FAILS = "scoring fails: division by zero (SQLSTATE 22012)"


def reasons(connection: Any) -> dict[int, str]:
    return {row.key["id"]: row.reason for row in rejected(connection, "daily")}


def good(connection: Any, call: str = "score.churn_v1(tenure => tenure, charge => 100 / charge, plan => plan)") -> None:
    """All rows but those without a score are as the version's own function gives them."""
    wrong = fetch(
        connection,
        f"""
        SELECT FROM customers JOIN scores USING (id)
        WHERE score IS DISTINCT FROM CASE WHEN charge IS DISTINCT FROM 0 THEN {call} END
        """,
    )
    assert wrong == []
    assert fetch(connection, "SELECT count(*) FROM scores") == fetch(connection, "SELECT count(*) FROM customers")


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_rows_that_the_model_refuses(connection: Any, mode: str) -> None:
    run(connection, "UPDATE customers SET charge = 'Infinity' WHERE id IN (3, 4)")
    churn_job(connection, mode=mode)
    result = [run_job(connection, "daily"), run_job(connection, "daily", full=mode == "incremental")][-1]
    assert (result.rows, result.refused) == (N, 2)
    assert reasons(connection) == {3: "column charge is infinite", 4: "column charge is infinite"}
    first = rejected(connection, "daily")
    run(
        connection,
        "UPDATE customers SET charge = 5 WHERE id = 3; UPDATE customers SET charge = '-Infinity' WHERE id = 5",
    )
    run_job(connection, "daily")
    assert reasons(connection) == {4: "column charge is infinite", 5: "column charge is infinite"}
    kept = next(row for row in rejected(connection, "daily") if row.key["id"] == 4)
    assert kept in first, "run and time are those of the first"
    run(connection, "DELETE FROM customers WHERE id IN (4, 5)")
    run_job(connection, "daily")
    assert reasons(connection) == {}
    truth(connection)


def test_a_missing_value_and_no_reason_at_all(connection: Any) -> None:
    run(connection, "UPDATE customers SET tenure = NULL WHERE id = 3; UPDATE customers SET charge = 'NaN' WHERE id = 4")
    create_job(connection, "daily", model="tier", source="customers", keys=["id"], target="tiers")
    refused = run_job(connection, "daily").refused
    found = reasons(connection)
    assert len(found) == refused
    expected = fetch(connection, "SELECT id FROM tiers WHERE score IS NULL")
    assert set(found) == {key for (key,) in expected}
    assert set(found.values()) <= {"column tenure is missing", "column charge is missing"}


@pytest.mark.parametrize("keys", [["id"], ["region", "id"]])
def test_a_row_whose_scoring_fails_stops_no_other(connection: Any, keys: list[str]) -> None:
    run(connection, DIVIDED.replace("SELECT id", "SELECT region, id"))
    run(connection, "UPDATE customers SET charge = 0 WHERE id IN (0, 7, 1500, 2999)")
    churn_job(connection, source="divided", keys=keys)
    result = run_job(connection, "daily")
    assert (result.rows, result.inserted, result.refused) == (N, N, 4)
    assert reasons(connection) == dict.fromkeys([0, 7, 1500, 2999], FAILS)
    good(connection)
    assert counts(run_job(connection, "daily"))[1:] == (0, 0, 0)
    run(connection, "UPDATE customers SET charge = 10 WHERE id = 7")
    retry(connection, "daily")
    assert reasons(connection) == dict.fromkeys([0, 1500, 2999], FAILS)
    good(connection)
    run(connection, "UPDATE customers SET charge = 1")
    run_job(connection, "daily")
    assert reasons(connection) == {}


def test_an_incremental_job_knows_them_and_tries_again(connection: Any) -> None:
    """A numeric that no double holds."""
    run(connection, WIDE)
    incremental(connection, source="wide")
    run(connection, "UPDATE wide SET charge = 1e400 WHERE id IN (5, 6); UPDATE wide SET tenure = 1 WHERE id = 7")
    result = run_job(connection, "daily")
    assert (result.rows, result.updated, result.refused) == (3, 3, 2)
    assert reasons(connection) == dict.fromkeys([5, 6], OUT_OF_RANGE)
    assert fetch(connection, "SELECT id FROM scores WHERE score IS NULL ORDER BY id") == [(5,), (6,)]
    assert run_job(connection, "daily").rows == 0
    assert reasons(connection) == dict.fromkeys([5, 6], OUT_OF_RANGE)
    assert retry(connection, "daily").rows == 2
    run(connection, "UPDATE wide SET charge = 10 WHERE id = 5; DELETE FROM wide WHERE id = 6")
    assert run_job(connection, "daily").rows == 1
    assert reasons(connection) == {}
    truth(connection, "wide")


def test_a_canary_goes_on_too(connection: Any) -> None:
    """With a canary whose rows fail, the run of an incremental job comes to its end."""
    run(connection, WIDE + "; UPDATE wide SET charge = 1e400 WHERE id < 20")
    promote(connection, "churn", 2, alias="challenger")
    churn_job(connection, source="wide", mode="incremental")
    set_challenger(connection, "daily", "challenger", 0.5)
    run_job(connection, "daily")
    assert set(reasons(connection)) == set(range(20))
    assert fetch(connection, "SELECT DISTINCT model_version FROM scores WHERE id < 20 ORDER BY 1") == [(1,), (2,)]
    assert run_job(connection, "daily").rows == 0


def swapped(connection: Any, **options: Any) -> RunResult:
    """A run that must build all rows beside, also after it has found rows whose scoring fails."""
    run(connection, "SET pgscore.writes = 'swap'")
    result = run_job(connection, "daily", **options)
    run(connection, "RESET pgscore.writes")
    assert result.written == "swap", result.because
    return result


def ways(result: RunResult) -> tuple[int, int, int]:
    return result.rows, result.inserted, result.refused


@pytest.mark.parametrize("options", [{}, {"chunk_rows": 500}, {"jobs": 2}])
@pytest.mark.parametrize("source", ["divided", "wide"])
def test_each_way_to_run(connection: Any, source: str, options: dict[str, Any]) -> None:
    """Rows that the model refuses and rows whose scoring fails, in a view and in a table."""
    run(connection, "UPDATE customers SET charge = 1 WHERE charge IS NULL OR charge < 1")
    run(connection, f"{DIVIDED}; {WIDE}")
    run(connection, "UPDATE wide SET charge = 'Infinity' WHERE id IN (8, 2000)")
    run(connection, "ALTER TABLE customers DROP CONSTRAINT customers_pkey, ADD PRIMARY KEY (id)")
    failing, fine = {
        "divided": (
            "UPDATE customers SET charge = 0 WHERE id IN (0, 7, 1500, 2999)",
            "UPDATE customers SET charge = 2",
        ),
        "wide": (
            "UPDATE wide SET charge = 1e400 WHERE id IN (0, 7, 1500, 2999)",
            "UPDATE wide SET charge = 2 WHERE id NOT IN (8, 2000)",
        ),
    }[source]
    expected = dict.fromkeys([0, 7, 1500, 2999], FAILS if source == "divided" else OUT_OF_RANGE)
    if source == "wide":
        expected |= dict.fromkeys([8, 2000], "column charge is infinite")
    churn_job(connection, source=source)
    run(connection, failing)
    assert ways(swapped(connection, **options)) == (N, N, len(expected))
    assert reasons(connection) == expected
    assert set(expected) == {key for (key,) in fetch(connection, "SELECT id FROM scores WHERE score IS NULL")}
    scored_rows(connection, source)
    assert ways(run_job(connection, "daily", **options)) == (N, 0, len(expected)), "and the difference is none"
    assert reasons(connection) == expected
    run(connection, fine)
    result = run_job(connection, "daily", **options)
    assert (result.rows, result.refused) == (N, len(expected) - 4)
    assert set(reasons(connection)) == set(expected) - {0, 7, 1500, 2999}
    run(connection, failing)
    assert ways(swapped(connection, **options)) == (N, N, len(expected)), "of rows that had a score"
    assert reasons(connection) == expected
    scored_rows(connection, source)


def scored_rows(connection: Any, source: str) -> None:
    """All rows with a score are as the version's own function gives them."""
    charge = "100 / nullif(charge, 0)" if source == "divided" else "CASE WHEN charge < 1e300 THEN charge END"
    table = "customers" if source == "divided" else source
    wrong = fetch(
        connection,
        f"SELECT id FROM scores JOIN {table} USING (id)"
        f" WHERE score <> score.churn_v1(tenure => tenure, charge => ({charge})::float8, plan => plan)",
    )
    assert wrong == []


@pytest.mark.parametrize(
    ("options", "writes"),
    [({}, "difference"), ({"chunk_rows": 500}, "difference"), ({"jobs": 2}, "difference"), ({"jobs": 2}, "swap")],
)
def test_parts_together_have_the_same_bounds(connection: Any, options: dict[str, Any], writes: str) -> None:
    """More than 1,000 rows that fail, though few in each part; as many as may; and all rows."""
    run(connection, f"{WIDE}; SET pgscore.writes = {writes}")
    churn_job(connection, source="wide")
    run_job(connection, "daily")
    before = fetch(connection, "SELECT * FROM scores ORDER BY id")
    run(connection, "UPDATE wide SET charge = 1e400 WHERE id % 2 = 0")
    with pytest.raises((ServerError, RefusedError), match=r"out of range|1500 of 3000 rows"):
        run_job(connection, "daily", **options)
    assert fetch(connection, "SELECT * FROM scores ORDER BY id") == before
    run(connection, "UPDATE wide SET charge = 1 WHERE id % 3 = 0")
    assert run_job(connection, "daily", **options).refused == 1000
    assert len(reasons(connection)) == 1000
    run(connection, "DELETE FROM wide WHERE id % 2 = 1 OR id % 3 = 0")
    with pytest.raises((ServerError, RefusedError), match=r"out of range|1000 of 1000 rows"):
        run_job(connection, "daily", **options)


@pytest.mark.parametrize("changes", ["hash", "watermark"])
def test_retry_without_triggers(connection: Any, changes: str) -> None:
    run(connection, WIDE + "; ALTER TABLE wide ADD at timestamptz DEFAULT now() - interval '1 hour'")
    run(connection, "UPDATE wide SET charge = 1e400 WHERE id IN (5, 6)")
    options = {"watermark": "at", "lookback": timedelta(0)} if changes == "watermark" else {}
    incremental(connection, source="wide", changes=changes, **options)
    assert set(reasons(connection)) == {5, 6}
    if changes == "watermark":
        # What is as recent as the latest is scored in each run.
        run(connection, "UPDATE wide SET at = now() WHERE id = 9")
        run_job(connection, "daily")
    # Found too, beside being queued.
    run(connection, "UPDATE wide SET charge = 10, at = now() WHERE id = 5")
    result = retry(connection, "daily")
    assert (result.rows, result.refused) == ({"hash": 2, "watermark": 3}[changes], 1)
    assert set(reasons(connection)) == {6}
    run(connection, "UPDATE wide SET charge = 10 WHERE id = 6")
    retry(connection, "daily")
    assert reasons(connection) == {}
    truth(connection, "wide")


def test_the_list_is_bounded_and_a_run_counts_all(connection: Any) -> None:
    run(connection, "UPDATE customers SET charge = 'Infinity' WHERE id < 1500")
    churn_job(connection)
    assert run_job(connection, "daily").refused == 1500
    assert len(reasons(connection)) == 1000


def test_where_nothing_or_too_little_can_be_scored_the_run_fails(connection: Any) -> None:
    run(connection, DIVIDED)
    churn_job(connection, source="divided")
    run_job(connection, "daily")
    before = fetch(connection, "SELECT * FROM scores ORDER BY id")
    run(connection, "UPDATE customers SET charge = 0 WHERE id < 1001")
    with pytest.raises(ServerError, match="division by zero"):
        run_job(connection, "daily")
    assert fetch(connection, "SELECT * FROM scores ORDER BY id") == before
    run(connection, "DELETE FROM customers WHERE id > 5")
    with pytest.raises(ServerError, match="division by zero"):
        run_job(connection, "daily")


def test_others_do_not_see_them(connection: Any) -> None:
    run(connection, "UPDATE customers SET charge = 'Infinity' WHERE id = 3")
    churn_job(connection)
    run_job(connection, "daily")
    with login(connection, "pgscore_scorer") as other:
        with pytest.raises(RightsError):
            rejected(other, "daily")
        assert fetch(other, "SELECT * FROM pgscore.rejected_overview") == []
    with login(connection, "pgscore_monitor") as monitor:
        assert fetch(monitor, "SELECT job, reason FROM pgscore.rejected_overview") == [
            ("daily", "column charge is infinite")
        ]
