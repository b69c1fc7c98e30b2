"""Refresh jobs: the target equals the model's own predict for every row, and a run writes only what changed."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg2
import pytest
from psycopg2.extras import execute_values
from sklearn.linear_model import LinearRegression

from pgscore.compiler.artifact import Strategy
from pgscore.errors import RefusedError, ServerError
from pgscore.procedures import lifecycle
from pgscore.procedures.connection import connect
from pgscore.procedures.install import install
from pgscore.procedures.refresh import create_job, run_job, status

from ..support.refreshing import (
    NUMBERS,
    N,
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
    tier_model,
    untouched,
)

__all__ = ["connection", "connection15", "connection18", "untouched"]


# The scores.


@pytest.mark.parametrize("strategy", [Strategy.SQL, Strategy.PLPGSQL])
def test_every_row_has_the_models_own_answer(connection: Any, strategy: Strategy) -> None:
    model = deployed(connection, churn_model(), name="again", strategy=strategy)
    create_job(connection, "daily", model="again", source="customers", keys=["id"], target="scores")
    result = run_job(connection, "daily")

    assert counts(result) == (N, N, 0, 0)
    assert (result.version, result.refused) == (1, 0)
    found = fetch(connection, "SELECT id, score, model_version, scored_at <= now() FROM scores ORDER BY id")
    assert [row[0] for row in found] == list(range(N))
    expected = model.predict_proba(customers())[:, 1]
    np.testing.assert_allclose([row[1] for row in found], expected, rtol=1e-12)
    assert {row[2:] for row in found} == {(1, True)}


def test_text_labels_and_refused_rows(connection: Any) -> None:
    churn_job(connection, model="tier")
    run(connection, "UPDATE customers SET charge = 'Infinity' WHERE id IN (7, 8, 9)")
    result = run_job(connection, "daily")
    assert result.refused == 3
    found = fetch(connection, "SELECT score, pg_typeof(score)::text FROM scores ORDER BY id")
    assert {kind for _, kind in found} == {"text"}
    expected = tier_model().predict(customers()[NUMBERS])
    assert [label for label, _ in found] == [None if i in (7, 8, 9) else label for i, label in enumerate(expected)]


def test_composite_keys_and_a_view_as_source(connection: Any) -> None:
    run(
        connection,
        'CREATE VIEW northern AS SELECT plan, id AS "Key %", region, charge, tenure FROM customers WHERE id % 2 = 1',
    )
    create_job(connection, "daily", model="churn", source="northern", keys=["region", "Key %"], target="scores")
    assert counts(run_job(connection, "daily")) == (N // 2, N // 2, 0, 0)
    found = fetch(connection, 'SELECT region, "Key %", score FROM scores ORDER BY 2')
    assert [row[:2] for row in found] == [("north", i) for i in range(1, N, 2)]
    np.testing.assert_allclose([row[2] for row in found], churn_model().predict_proba(customers())[1::2, 1], rtol=1e-12)
    run(connection, "UPDATE customers SET tenure = tenure + 1 WHERE id IN (3, 4)")
    assert counts(run_job(connection, "daily")) == (N // 2, 0, 1, 0)


def test_a_view_over_a_table_of_more_than_100_columns(connection18: Any) -> None:
    rng = np.random.default_rng(5)
    names = [f"c{i}" for i in range(120)]
    frame = pd.DataFrame(rng.normal(size=(200, 120)), columns=names)
    run(connection18, "CREATE TABLE wide (id serial, note text, " + ", ".join(f"{name} float8" for name in names) + ")")
    with connection18, connection18.cursor() as cursor:
        execute_values(cursor, f"INSERT INTO wide ({', '.join(names)}) VALUES %s", frame.values.tolist())
    run(connection18, f"CREATE VIEW turned AS SELECT {', '.join(reversed(names))}, id FROM wide")
    model = deployed(connection18, LinearRegression().fit(frame, frame.sum(axis=1)), name="wide", table="wide")
    create_job(connection18, "daily", model="wide", source="turned", keys=["id"], target="scores")
    run_job(connection18, "daily")
    found = [score for (score,) in fetch(connection18, "SELECT score FROM scores ORDER BY id")]
    np.testing.assert_allclose(found, model.predict(frame), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("model", [churn_model, tier_model])
def test_onnx_scores_in_batches(connection15: Any, runtime_folder: Path, model: Any) -> None:
    """30,000 rows are three batches; the order of keys and answers holds across them, labels and refused rows too."""
    install(connection15, plpython=True, runtime=runtime_folder)
    fitted = deployed(connection15, model(), name="graph", strategy=Strategy.ONNX)
    run(
        connection15,
        f"""
        INSERT INTO customers SELECT region, id + {N} * turn, tenure, charge, plan
        FROM customers, generate_series(1, 9) AS turn;
        UPDATE customers SET charge = 'Infinity' WHERE id = 20001
        """,
    )
    create_job(connection15, "daily", model="graph", source="customers", keys=["id"], target="scores")
    result = run_job(connection15, "daily")
    assert counts(result) == (10 * N, 10 * N, 0, 0)
    assert result.refused == 1
    found = [score for (score,) in fetch(connection15, "SELECT score FROM scores ORDER BY id")]
    assert found.pop(20001) is None
    frame = pd.concat([customers()] * 10, ignore_index=True).drop(index=20001)
    if model is tier_model:
        assert found == fitted.predict(frame[NUMBERS]).tolist()
    else:
        np.testing.assert_allclose(found, fitted.predict_proba(frame)[:, 1], rtol=1e-12)
    assert counts(run_job(connection15, "daily")) == (10 * N, 0, 0, 0)


def test_onnx_in_batches_leaves_keys_and_outputs_as_they_are(connection15: Any, runtime_folder: Path) -> None:
    """Keys and outputs that are arrays, and keys that their collation takes for equal."""
    install(connection15, plpython=True, runtime=runtime_folder)
    fitted = deployed(connection15, churn_model(), name="graph", strategy=Strategy.ONNX)
    run(
        connection15,
        """
        CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        CREATE TABLE s AS
        SELECT ARRAY[id, -id] AS place, (chr(65 + id % 2 * 32) || id / 2)::varchar(9) COLLATE loose AS half,
               tenure, charge, plan
        FROM customers
        """,
    )
    options: dict[str, Any] = {"model": "graph", "source": "s", "outputs": ["proba"]}
    create_job(connection15, "daily", keys=["place", "half"], target="scores", **options)
    assert counts(run_job(connection15, "daily")) == (N, N, 0, 0)
    found = fetch(connection15, "SELECT place[1], score, proba, half FROM scores ORDER BY place")
    assert [row[0] for row in found] == list(range(N))
    assert [row[3] for row in found] == [f"{'Aa'[number % 2]}{number // 2}" for number in range(N)]
    expected = fitted.predict_proba(customers())
    np.testing.assert_allclose([row[1] for row in found], expected[:, 1], rtol=1e-12)
    np.testing.assert_allclose([row[2] for row in found], expected, rtol=1e-12)
    create_job(connection15, "halves", keys=["half"], target="halves", **options)
    with pytest.raises(RefusedError, match="is not unique"):
        run_job(connection15, "halves")


# What a run writes.


def test_a_second_run_writes_nothing(connection: Any) -> None:
    churn_job(connection)
    run_job(connection, "daily")
    before = fetch(connection, "SELECT ctid::text, * FROM scores ORDER BY id")
    assert counts(run_job(connection, "daily")) == (N, 0, 0, 0)
    assert fetch(connection, "SELECT ctid::text, * FROM scores ORDER BY id") == before


def test_changed_deleted_and_new_rows(connection: Any) -> None:
    churn_job(connection)
    run_job(connection, "daily")
    run(
        connection,
        """
        DELETE FROM customers WHERE id < 10;
        UPDATE customers SET tenure = 69, charge = NULL WHERE id IN (20, 21);
        UPDATE customers SET region = 'west' WHERE id = 22;
        INSERT INTO customers VALUES ('east', 9000, 1, 2.5, 'never seen'), ('east', 9001, NULL, 'NaN', NULL)
        """,
    )
    changed_before = fetch(connection, "SELECT score FROM scores WHERE id IN (20, 21)")
    assert counts(run_job(connection, "daily")) == (N - 8, 2, 2, 10)
    assert fetch(connection, "SELECT score FROM scores WHERE id IN (20, 21)") != changed_before
    rows = pd.DataFrame(
        fetch(connection, "SELECT tenure, charge, plan FROM customers ORDER BY id"), columns=[*NUMBERS, "plan"]
    )
    rows[NUMBERS] = rows[NUMBERS].astype(float)
    found = [score for (score,) in fetch(connection, "SELECT score FROM scores ORDER BY id")]
    np.testing.assert_allclose(found, churn_model().predict_proba(rows)[:, 1], rtol=1e-12)
    assert fetch(connection, "SELECT count(DISTINCT scored_at) FROM scores") == [(2,)]


def test_a_promote_moves_every_row_to_the_new_version(connection: Any) -> None:
    churn_job(connection)
    run_job(connection, "daily")
    assert counts(run_job(connection, "daily")) == (N, 0, 0, 0), "version 2 is not live yet"
    lifecycle.promote(connection, "churn", 2)
    assert [(job.state, job.version, job.current_version) for job in status(connection)] == [("behind", 1, 2)]
    assert counts(run_job(connection, "daily")) == (N, 0, N, 0)
    found = fetch(connection, "SELECT score, model_version FROM scores ORDER BY id")
    np.testing.assert_allclose(
        [row[0] for row in found], churn_model(C=0.01).predict_proba(customers())[:, 1], rtol=1e-12
    )
    assert {row[1] for row in found} == {2}
    assert status(connection)[0].fresh


def test_a_job_follows_its_alias(connection18: Any) -> None:
    lifecycle.promote(connection18, "churn", 2, alias="champion")
    create_job(connection18, "daily", model="churn", source="customers", keys=["id"], target="scores", alias="champion")
    assert run_job(connection18, "daily").version == 2


def test_a_failed_run_leaves_the_target_and_is_recorded(connection: Any) -> None:
    churn_job(connection, source="customers", keys=["id"])
    run_job(connection, "daily")
    before = fetch(connection, "SELECT * FROM scores ORDER BY id")
    run(connection, "INSERT INTO customers VALUES ('east', 5, 1, 2, 'a'); UPDATE customers SET tenure = 3")
    with pytest.raises(RefusedError, match=r"the key \(id\) of public.customers is not unique"):
        run_job(connection, "daily")
    assert fetch(connection, "SELECT * FROM scores ORDER BY id") == before
    assert fetch(connection, "SELECT state, error IS NULL, rows_scored FROM pgscore.runs ORDER BY run_id") == [
        ("done", True, N),
        ("failed", False, None),
    ]
    (job,) = status(connection)
    assert (job.state, job.fresh, job.rows) == ("failed", False, N)
    assert job.error is not None
    assert "not unique" in job.error

    run(connection, "DELETE FROM customers WHERE region = 'east'")
    assert run_job(connection, "daily").updated > 2000
    assert status(connection)[0].state == "fresh"


def test_a_key_that_is_null_fails_clearly(connection18: Any) -> None:
    run(connection18, "CREATE VIEW v AS SELECT nullif(id, 5) AS id, tenure, charge, plan FROM customers")
    churn_job(connection18, source="v")
    with pytest.raises(RefusedError, match=r"the key \(id\) of public.v is NULL in some rows"):
        run_job(connection18, "daily")
    assert fetch(connection18, "SELECT count(*) FROM scores") == [(0,)]


def test_an_error_in_the_source_is_recorded_without_values(connection18: Any) -> None:
    run(connection18, "ALTER TABLE customers ADD secret text DEFAULT '1'")
    run(connection18, "CREATE VIEW v AS SELECT id, secret::integer AS tenure, charge, plan FROM customers")
    churn_job(connection18, source="v")
    # In all rows: the run goes on without single ones.
    run(connection18, "DELETE FROM customers WHERE id > 20; UPDATE customers SET secret = 'swordfish'")
    with pytest.raises(ServerError):
        run_job(connection18, "daily")
    ((error,),) = fetch(connection18, "SELECT error FROM pgscore.runs")
    assert "22P02" in error
    assert "swordfish" not in error


# Others at the same time.


def test_two_runs_of_one_job_never_overlap(connection: Any) -> None:
    churn_job(connection)
    other = psycopg2.connect(connection.dsn)
    with other.cursor() as cursor:
        cursor.execute("CALL pgscore.refresh('daily')")
        with pytest.raises(RefusedError, match="refresh job daily is running already"):
            run_job(connection, "daily")
        other.commit()
    assert fetch(connection, "SELECT state FROM pgscore.runs") == [("done",)], "the refused one was no run"
    assert counts(run_job(connection, "daily")) == (N, 0, 0, 0)
    other.close()


def test_readers_are_not_blocked_and_see_the_old_rows_until_all_are_new(connection: Any) -> None:
    churn_job(connection)
    run_job(connection, "daily")
    run(connection, "UPDATE customers SET tenure = tenure + 5; DELETE FROM customers WHERE id = 0")
    old = fetch(connection, "SELECT * FROM scores ORDER BY id")
    reader = psycopg2.connect(connection.dsn)
    with connection.cursor() as cursor:
        cursor.execute("CALL pgscore.refresh('daily')")
        with reader, reader.cursor() as reading:
            reading.execute("SET LOCAL statement_timeout = '5s'")
            reading.execute("SELECT * FROM scores ORDER BY id")
            assert reading.fetchall() == old
    connection.commit()
    assert fetch(reader, "SELECT count(*) FROM scores") == [(N - 1,)]
    reader.close()


def test_a_run_reads_one_snapshot_and_one_version_while_others_write(connection18: Any) -> None:
    """All rows carry one version, and each score is that of the row as some single moment knew it."""
    churn_job(connection18)
    stop = threading.Event()

    def disturb() -> None:
        other = connect(connection18.dsn)
        version = 1
        while not stop.is_set():
            version = 3 - version
            lifecycle.promote(other, "churn", version)
            run(other, "UPDATE customers SET tenure = (tenure + 1) % 70 WHERE id < 3")
        other.close()

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        for _ in range(5):
            version = run_job(connection18, "daily").version
            assert fetch(connection18, "SELECT DISTINCT model_version FROM scores") == [(version,)]
    finally:
        stop.set()
        thread.join()


def test_views_rights_and_comments_on_the_target_survive(connection: Any) -> None:
    churn_job(connection)
    run_job(connection, "daily")
    run(
        connection,
        "CREATE VIEW risky AS SELECT * FROM scores WHERE score > 0.5; GRANT SELECT ON scores TO pgscore_scorer",
    )
    oid = fetch(connection, "SELECT 'scores'::regclass::oid, relacl::text FROM pg_class WHERE oid = 'scores'::regclass")
    run(connection, "UPDATE customers SET tenure = 1")
    run_job(connection, "daily")
    assert fetch(connection, "SELECT count(*) > 2000 FROM risky") == [(True,)]
    assert (
        fetch(connection, "SELECT 'scores'::regclass::oid, relacl::text FROM pg_class WHERE oid = 'scores'::regclass")
        == oid
    )
