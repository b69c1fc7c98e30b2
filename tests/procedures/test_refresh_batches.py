"""Refreshing with an ONNX version: rows go to the graph in batches, whatever the source is, and come back in order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pgscore.compiler.artifact import Strategy
from pgscore.procedures.install import install
from pgscore.procedures.refresh import create_job, run_job

from ..support.refreshing import (
    NUMBERS,
    N,
    churn_model,
    connection15,
    connection18,
    counts,
    customers,
    deployed,
    fetch,
    run,
    tier_model,
)

__all__ = ["connection15", "connection18"]

TURNS = 8
"""24,000 rows: some batches, of which the last is not full."""

SOURCES = {
    "parts": f"""
        CREATE TABLE source (LIKE customers) PARTITION BY RANGE (id);
        CREATE TABLE first PARTITION OF source FOR VALUES FROM (0) TO (500);
        CREATE TABLE second PARTITION OF source FOR VALUES FROM (500) TO ({10 * N});
        CREATE TABLE third PARTITION OF source DEFAULT;
        INSERT INTO source SELECT * FROM many
    """,
    "a table with few rows on a page": """
        CREATE TABLE source AS SELECT * FROM many, generate_series(1, 9) AS copy;
        DELETE FROM source WHERE copy <> 3 + id % 3
    """,
    "no figures about it": "CREATE TABLE source WITH (autovacuum_enabled = false) AS SELECT * FROM many",
    "a view": "CREATE VIEW source AS SELECT * FROM many WHERE region <> 'nowhere'",
    "no rows": "CREATE TABLE source AS SELECT * FROM many WHERE id < 0",
}


def many(connection: Any, runtime: Path, source: str) -> tuple[list[int], Any]:
    """A version in ONNX and its source; the keys, and the model's own answers."""
    install(connection, plpython=True, runtime=runtime)
    model = deployed(connection, churn_model(), name="graph", strategy=Strategy.ONNX)
    run(
        connection,
        f"""
        CREATE TABLE many AS
        SELECT region, id + {N} * turn AS id, tenure, charge, plan
        FROM customers, generate_series(0, {TURNS - 1}) AS turn;
        {SOURCES[source]}
        """,
    )
    rows = pd.DataFrame(
        fetch(connection, "SELECT id, tenure, charge, plan FROM source ORDER BY id"), columns=["id", *NUMBERS, "plan"]
    )
    if rows.empty:
        return [], np.zeros(0)
    rows[NUMBERS] = rows[NUMBERS].astype(float)
    return rows["id"].tolist(), model.predict_proba(rows[list(customers())])[:, 1]


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("source", SOURCES)
def test_every_row_has_the_models_own_answer(connection15: Any, runtime_folder: Path, source: str, jobs: int) -> None:
    keys, expected = many(connection15, runtime_folder, source)
    create_job(connection15, "daily", model="graph", source="source", keys=["id"], target="scores")
    for writes in ("difference", "swap"):
        run(connection15, f"SET pgscore.writes = '{writes}'")
        result = run_job(connection15, "daily", jobs=jobs)
        assert result.written == writes
        assert result.rows == len(keys)
        found = fetch(connection15, "SELECT id, score FROM scores ORDER BY id")
        assert [key for key, _ in found] == keys
        np.testing.assert_allclose([score for _, score in found], expected, rtol=1e-12)


def test_a_table_is_read_in_stretches(connection15: Any, runtime_folder: Path) -> None:
    """By its pages, and not as a whole for each batch; nor is it copied: the staging table gives its type alone."""
    many(connection15, runtime_folder, "no figures about it")
    run(connection15, "ANALYZE source")
    with connection15, connection15.cursor() as cursor:
        cursor.execute(
            """
            SELECT pgscore.scored_query('source', '{id}', v)
            FROM pgscore.version_to_run('graph', 'live') AS v
            """
        )
        ((query,),) = cursor.fetchall()
        cursor.execute(f"EXPLAIN (ANALYZE, TIMING off) {query}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Tid Range Scan on source r" in plan
    assert "FROM pg_temp.pgscore_staged" not in query


@pytest.mark.parametrize("model", [churn_model, tier_model])
def test_outputs_come_of_the_same_batch(connection15: Any, runtime_folder: Path, model: Any) -> None:
    """Without calling a function for each row; refused rows have none of them."""
    install(connection15, plpython=True, runtime=runtime_folder)
    fitted = deployed(connection15, model(), name="graph", strategy=Strategy.ONNX)
    run(connection15, "UPDATE customers SET charge = 'Infinity' WHERE id = 7")
    create_job(
        connection15, "daily", model="graph", source="customers", keys=["id"], target="scores",
        outputs=["proba", "label"], carry=["region"],
    )  # fmt: skip
    for writes in ("difference", "swap"):
        run(connection15, f"SET pgscore.writes = '{writes}'")
        assert run_job(connection15, "daily").written == writes
        found = fetch(connection15, "SELECT region, score, proba, label FROM scores ORDER BY id")
        assert found.pop(7)[1:] == (None, None, None)
        rows = customers().drop(index=7)[list(fitted.feature_names_in_)]
        np.testing.assert_allclose([row[2] for row in found], fitted.predict_proba(rows), rtol=1e-12)
        assert [row[3] for row in found] == fitted.predict(rows).tolist()
        main = [row[1] for row in found]
        assert main == ([row[3] for row in found] if model is tier_model else [row[2][1] for row in found])
    ((query,),) = fetch(
        connection15,
        """
        SELECT pgscore.scored_query('customers', '{id}', v, others => ARRAY(
            SELECT format('%s AS %I', c.expression, c.place)
            FROM pgscore.target_columns('customers', '{id}', v, NULL, f) AS c))
        FROM pgscore.version_to_run('graph', 'live') AS v, pgscore.target_form('daily') AS f
        """,
    )
    assert "graph_v1_outputs" in query
    assert "graph_v1_label" not in query
    assert "graph_v1_proba" not in query


def test_several_connections_swap_in_what_they_scored(connection18: Any) -> None:
    """Also where a row fails, which they leave out."""
    deployed(connection18, churn_model(), name="again")
    run(
        connection18,
        "CREATE VIEW source AS SELECT region, id, tenure, charge / nullif(id - 7, 0) * (1 / (id - 9)::float8 * 0 + 1)"
        " * nullif(id - 7, 0) AS charge, plan FROM customers",
    )
    create_job(connection18, "daily", model="again", source="source", keys=["id"], target="scores")
    run(connection18, "SET pgscore.writes = 'swap'")
    result = run_job(connection18, "daily", jobs=2)
    assert (result.written, result.refused) == ("swap", 1)
    assert counts(result)[:2] == (N, N)
    ((key, reason),) = fetch(connection18, "SELECT key, reason FROM pgscore.rejected('daily')")
    assert (key, reason) == ({"id": 9}, "scoring fails: division by zero (SQLSTATE 22012)")
