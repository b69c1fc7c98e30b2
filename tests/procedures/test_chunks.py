"""Full runs in chunks: the same scores, whatever happens between two chunks, and a killed run goes on where it was."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2
import pytest

from pgscore.compiler.artifact import Strategy
from pgscore.errors import PgscoreError, RefusedError
from pgscore.procedures import lifecycle
from pgscore.procedures.challenger import set_challenger
from pgscore.procedures.install import install
from pgscore.procedures.limits import set_limits
from pgscore.procedures.refresh import Top, create_job, drop_job, find_job, run_job

from ..support.incremental import another, incremental, truth
from ..support.refreshing import (
    N,
    analyst,
    churn_job,
    churn_model,
    connection,
    connection15,
    connection18,
    counts,
    customers,
    deployed,
    fetch,
    run,
)

__all__ = ["analyst", "connection", "connection15", "connection18"]

ROWS = 500
STAGED = "SELECT count(*) FROM pg_class WHERE relname ~ '^staging_' AND relnamespace = 'pgscore'::regnamespace"


def scored(connection: Any, chunks: int) -> int:
    """A run that was killed after so many chunks; how many rows these had."""
    return sum(fetch(connection, f"SELECT rows FROM pgscore.score_chunk('daily', {ROWS})")[0][0] for _ in range(chunks))


def progress(connection: Any) -> list[tuple[Any, ...]]:
    return fetch(connection, "SELECT chunks, rows, finished FROM pgscore.chunked_runs")


@pytest.mark.parametrize("source", ["customers", "by_key", "parts", "heirs"])
def test_every_row_has_the_models_own_answer(connection: Any, source: str) -> None:
    run(
        connection,
        """
        CREATE VIEW by_key AS SELECT region, id, tenure, charge, plan FROM customers;
        CREATE TABLE parts (LIKE customers) PARTITION BY RANGE (id);
        CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100);
        CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (100) TO (2500);
        CREATE TABLE parts_3 PARTITION OF parts DEFAULT;
        INSERT INTO parts SELECT * FROM customers;
        CREATE TABLE heirs (LIKE customers);
        CREATE TABLE heirs_1 (more text) INHERITS (heirs);
        INSERT INTO heirs SELECT * FROM customers WHERE id % 3 = 0;
        INSERT INTO heirs_1 SELECT *, 'x' FROM customers WHERE id % 3 <> 0
        """,
    )
    churn_job(connection, source=source, keys=["region", "id"])
    result = run_job(connection, "daily", chunk_rows=ROWS)
    assert counts(result) == (N, N, 0, 0)
    assert result.steps > 3
    found = fetch(connection, "SELECT id, score FROM scores ORDER BY id")
    assert [key for key, _ in found] == list(range(N))
    np.testing.assert_allclose([s for _, s in found], churn_model().predict_proba(customers())[:, 1], rtol=1e-12)
    assert (progress(connection), fetch(connection, STAGED)) == ([], [(0,)])
    assert counts(run_job(connection, "daily", chunk_rows=ROWS)) == (N, 0, 0, 0)


def test_chunks_are_about_as_large_as_asked(connection: Any) -> None:
    churn_job(connection)
    run(connection, "ANALYZE customers")
    sizes = []
    while not sizes or not sizes[-1][1]:
        sizes += fetch(connection, f"SELECT rows, finished FROM pgscore.score_chunk('daily', {ROWS})")
    assert sum(rows for rows, _ in sizes) == N
    assert all(ROWS / 2 < rows < ROWS * 1.5 for rows, finished in sizes if not finished)
    plan = "EXPLAIN SELECT FROM customers AS r WHERE r.ctid >= '(3,0)'::tid AND r.ctid < '(6,0)'::tid"
    assert "Tid Range Scan" in fetch(connection, plan)[0][0]


def test_a_run_that_was_killed_scores_what_is_missing(connection: Any) -> None:
    churn_job(connection)
    every = run_job(connection, "daily", chunk_rows=ROWS).steps
    begun = fetch(connection, "SELECT now()")[0][0]
    scored(connection, 2)
    result = run_job(connection, "daily", chunk_rows=ROWS)
    assert (result.rows, result.steps) == (N, every - 2)
    job = find_job(connection, "daily")
    assert job.refreshed_at is not None
    assert begun < job.refreshed_at < fetch(connection, "SELECT max(finished_at) FROM pgscore.runs")[0][0]
    truth(connection)


def test_a_backend_that_is_killed_between_chunks(connection: Any) -> None:
    churn_job(connection, max_rows_per_second=50)
    failures: list[Exception] = []

    def running() -> None:
        with another(connection) as other:
            try:
                run_job(other, "daily", chunk_rows=ROWS)
            except PgscoreError as error:
                failures.append(error)

    thread = threading.Thread(target=running)
    thread.start()
    deadline = time.monotonic() + 30
    while not progress(connection) or not fetch(
        connection, "SELECT FROM pg_stat_activity WHERE query ~ '^CALL' AND wait_event = 'PgSleep'"
    ):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    run(connection, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ '^CALL'")
    thread.join()
    assert len(failures) == 1
    ((chunks, rows, finished),) = progress(connection)
    assert (chunks, finished) == (1, False)
    assert 0 < rows < N
    assert fetch(connection, "SELECT count(*) FROM scores") == [(0,)]
    set_limits(connection, "daily")
    result = run_job(connection, "daily", chunk_rows=ROWS)
    assert counts(result) == (N, N, 0, 0)
    truth(connection)


@pytest.mark.parametrize(
    "event",
    [
        "SELECT pgscore.promote('churn', 2)",
        "UPDATE pgscore.chunked_runs SET begun_at = begun_at - interval '25 hours'",
        "SELECT pgscore.set_schedule('daily', '1 hour', NULL);"
        "UPDATE pgscore.chunked_runs SET begun_at = begun_at - interval '2 hours'",
        # As a crash of the server leaves an unlogged table.
        "TRUNCATE pgscore.staging_1",
    ],
)
def test_a_run_begins_anew_where_what_is_scored_is_of_no_use(connection18: Any, event: str) -> None:
    churn_job(connection18)
    every = run_job(connection18, "daily", chunk_rows=ROWS).steps
    scored(connection18, 2)
    assert progress(connection18)[0][0] == 2
    run(connection18, event)
    result = run_job(connection18, "daily", chunk_rows=ROWS)
    assert (result.rows, result.steps) == (N, every)
    truth(connection18, version=result.version)


def test_a_promote_after_the_last_chunk_is_not_given_its_scores(connection18: Any) -> None:
    churn_job(connection18)
    while not progress(connection18) or not progress(connection18)[0][2]:
        scored(connection18, 1)
    lifecycle.promote(connection18, "churn", 2)
    run(connection18, "SET pgscore.in_chunks = 'on'; CALL pgscore.refresh('daily')")
    truth(connection18, version=2)


def test_what_writers_do_between_chunks(connection: Any) -> None:
    """Rows move to pages that were read, or are read twice; others come and go. The target has the keys of the end."""
    churn_job(connection)
    scored(connection, 1)
    run(connection, "DELETE FROM customers WHERE id % 10 = 0 OR id > 2900")
    run_outside(connection, "VACUUM customers")
    # To the free space of the first pages, from the last ones; and from there to the end.
    run(connection, "UPDATE customers SET tenure = tenure + 1 WHERE id < 400")
    ((next_page,),) = fetch(connection, "SELECT next_page FROM pgscore.chunked_runs")
    before = f"SELECT count(*) FROM customers WHERE ctid < '({next_page},0)' AND id"
    assert fetch(connection, before + " < 400")[0][0] > 0
    on_first_pages = fetch(connection, before + " > 2600")[0][0]
    run(connection, "UPDATE customers SET tenure = tenure + 2 WHERE id > 2600")
    assert fetch(connection, before + " > 2600")[0][0] < on_first_pages
    run(connection, "INSERT INTO customers SELECT 'new', id + 5000, tenure, charge, plan FROM customers WHERE id < 50")
    run(connection, "DELETE FROM customers WHERE id = 2001")
    result = run_job(connection, "daily", chunk_rows=ROWS)
    assert result.rows == fetch(connection, "SELECT count(*) FROM customers")[0][0]
    assert fetch(connection, "(SELECT id FROM customers) EXCEPT SELECT id FROM scores") == []
    call = "score.churn_v1(tenure => {}, charge => c.charge, plan => c.plan)"
    wrong = fetch(
        connection,
        f"SELECT id, s.score, c.tenure FROM customers AS c JOIN scores AS s USING (id) WHERE s.score NOT IN"
        f" ({call.format('c.tenure')}, {call.format('c.tenure - 1')}, {call.format('c.tenure - 2')})",
    )
    assert wrong == []
    moved = fetch(
        connection,
        f"SELECT count(*) FROM customers AS c JOIN scores AS s USING (id)"
        f" WHERE id < 400 AND s.score = {call.format('c.tenure')}",
    )
    assert moved[0][0] == fetch(connection, "SELECT count(*) FROM customers WHERE id < 400")[0][0]


def run_outside(connection: Any, statement: str) -> None:
    """Outside of a transaction."""
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.autocommit = False


def test_another_run_between_two_chunks(connection: Any) -> None:
    churn_job(connection)
    scored(connection, 2)
    run_job(connection, "daily")
    assert (progress(connection), fetch(connection, STAGED)) == ([], [(0,)])
    with pytest.raises(psycopg2.Error, match="came between two chunks"):
        fetch(connection, f"SELECT pgscore.score_chunk('daily', {ROWS}, 2)")


def test_a_chunk_and_another_run_never_overlap(connection: Any) -> None:
    churn_job(connection)
    with another(connection) as other, other.cursor() as cursor:
        cursor.execute(f"SELECT pgscore.score_chunk('daily', {ROWS})")
        with pytest.raises(RefusedError, match="running already"):
            run_job(connection, "daily")
        other.commit()


@pytest.mark.parametrize("source", ["doubled", "customers"])
def test_a_key_that_is_none(connection18: Any, source: str) -> None:
    run(
        connection18,
        "ALTER TABLE customers DROP CONSTRAINT customers_pkey; ALTER TABLE customers ALTER id DROP NOT NULL;"
        "CREATE VIEW doubled AS SELECT 1 AS id, tenure, charge, plan FROM customers",
    )
    run(connection18, "UPDATE customers SET id = NULL WHERE id = 1700")
    churn_job(connection18, source=source)
    with pytest.raises(RefusedError, match="not unique" if source == "doubled" else "is NULL in some rows"):
        run_job(connection18, "daily", chunk_rows=ROWS)
    assert fetch(connection18, "SELECT count(*) FROM scores") == [(0,)]


def test_keys_of_other_types(connection18: Any) -> None:
    run(
        connection18,
        """
        CREATE VIEW v AS SELECT timestamptz '2026-03-29 00:00+01' + id * interval '7 min 0.001 s' AS at,
            'it''s "' || id AS "Name %", (id / 7.0)::float8 AS part, tenure, charge, plan FROM customers
        """,
    )
    churn_job(connection18, source="v", keys=["part", "at", "Name %"])
    run(connection18, "SET datestyle = 'SQL, DMY'")
    scored(connection18, 2)
    run(connection18, "SET datestyle = 'SQL, MDY'; SET timezone = 'America/New_York'")
    result = run_job(connection18, "daily", chunk_rows=ROWS)
    assert (counts(result), result.steps) == ((N, N, 0, 0), N // ROWS - 2 + 2)


def test_a_limit_of_rows_per_second_makes_chunks(connection18: Any) -> None:
    """Ten seconds' rows at most in each; it waits for what is left of the time that they should take."""
    churn_job(connection18)
    every = run_job(connection18, "daily", chunk_rows=ROWS).steps
    set_limits(connection18, "daily", max_rows_per_second=5000)
    run(connection18, "SET client_min_messages = debug1")
    assert run_job(connection18, "daily").steps == 2
    assert run_job(connection18, "daily", chunk_rows=ROWS).steps == every
    waits = [float(re.findall("waits for (.*) s", line)[0]) for line in connection18.notices if "waits for" in line]
    assert 0 < len(waits) <= every
    assert all(0 < wait < N / 5000 for wait in waits)


def test_a_challenger_and_its_canary(connection18: Any) -> None:
    churn_job(connection18)
    lifecycle.promote(connection18, "churn", 2, alias="next")
    set_challenger(connection18, "daily", "next", 0.25)
    run_job(connection18, "daily")
    plain = fetch(connection18, "SELECT id, score, model_version FROM scores ORDER BY id")
    figures = "SELECT ks, canary_rows, mean_shift FROM pgscore.comparisons ORDER BY run_id"
    assert counts(run_job(connection18, "daily", chunk_rows=ROWS)) == (N, 0, 0, 0)
    assert fetch(connection18, "SELECT id, score, model_version FROM scores ORDER BY id") == plain
    first, second = fetch(connection18, figures)
    assert first == pytest.approx(second)


def test_a_user_without_other_rights(connection: Any, analyst: Any) -> None:
    create_job(analyst, "daily", model="churn", source="customers", keys=["id"], target="lab.scores")
    assert counts(run_job(analyst, "daily", chunk_rows=ROWS)) == (N, N, 0, 0)
    assert fetch(connection, STAGED) == [(0,)]
    scored(analyst, 1)
    assert fetch(analyst, "SELECT has_table_privilege('pgscore.staging_1', 'UPDATE, DELETE, TRUNCATE')") == [(False,)]
    drop_job(analyst, "daily")
    assert fetch(connection, STAGED) == [(0,)]


def test_row_security_of_the_source_holds(connection: Any, analyst: Any) -> None:
    run(
        connection,
        "ALTER TABLE customers ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON customers USING (id < 1000)",
    )
    create_job(analyst, "daily", model="churn", source="customers", keys=["id"], target="lab.scores")
    assert counts(run_job(analyst, "daily", chunk_rows=100)) == (1000, 1000, 0, 0)


def test_an_incremental_job_knows_no_chunks(connection18: Any) -> None:
    incremental(connection18)
    assert run_job(connection18, "daily", full=True, chunk_rows=ROWS).steps == 1
    assert progress(connection18) == []


def test_top_rows_of_chunks(connection18: Any) -> None:
    run_of = {"model": "churn", "source": "customers", "keys": ["region", "id"]}
    create_job(connection18, "daily", target="scores", top=Top(3, per=["region"]), **run_of)  # type: ignore[arg-type]
    run_job(connection18, "daily")
    plain = fetch(connection18, "SELECT region, id, rank, score FROM scores ORDER BY 1, 3")
    assert counts(run_job(connection18, "daily", chunk_rows=ROWS))[1:] == (0, 0, 0)
    assert fetch(connection18, "SELECT region, id, rank, score FROM scores ORDER BY 1, 3") == plain


def test_onnx_in_chunks(connection15: Any, runtime_folder: Path) -> None:
    install(connection15, plpython=True, runtime=runtime_folder)
    deployed(connection15, churn_model(), name="graph", strategy=Strategy.ONNX)
    churn_job(connection15, model="graph")
    assert counts(run_job(connection15, "daily", chunk_rows=ROWS)) == (N, N, 0, 0)
    found = [score for (score,) in fetch(connection15, "SELECT score FROM scores ORDER BY id")]
    np.testing.assert_allclose(found, churn_model().predict_proba(customers())[:, 1], rtol=1e-12)
