"""Scores of one version in expression indexes and generated columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pgscore.compiler.artifact import Strategy
from pgscore.errors import RefusedError
from pgscore.procedures import lifecycle

from ..support.plans import nodes
from ..support.refreshing import churn_model, connection, customers, deployed, fetch, run

__all__ = ["connection"]


@pytest.mark.parametrize("strategy", [Strategy.SQL, Strategy.PLPGSQL])
@pytest.mark.parametrize(
    ("order", "call"),
    [
        ("DESC", "score.churn_v3(c)"),
        ("DESC NULLS LAST", "score.churn_v3(c)"),
        ("DESC NULLS LAST", "score.churn_v3(tenure => c.tenure, charge => c.charge, plan => c.plan)"),
    ],
)
def test_the_best_rows_come_from_an_index(connection: Any, strategy: Strategy, order: str, call: str) -> None:
    model = deployed(connection, churn_model(C=0.1), strategy=strategy)
    frame = customers()
    indexed = call.replace("c.", "").replace("(c)", "(customers)")
    run(connection, f"CREATE INDEX best ON customers (({indexed}) {order})")
    run(connection, "ANALYZE customers")
    statement = f"SELECT id, {call} FROM customers AS c ORDER BY {call} {order} LIMIT 10"
    limit, scan = nodes(connection, statement)
    assert (limit["Node Type"], scan["Node Type"], scan["Index Name"]) == ("Limit", "Index Scan", "best")
    expected = model.predict_proba(frame)[:, 1]
    best = fetch(connection, statement)
    # Some tie: by the scores.
    np.testing.assert_allclose([score for _, score in best], expected[[key for key, _ in best]], rtol=1e-12)
    np.testing.assert_allclose([score for _, score in best], np.sort(expected)[:-11:-1], rtol=1e-12)

    # The index follows the rows.
    run(connection, f"UPDATE customers SET tenure = -30 WHERE id = {np.argmin(expected)}")
    assert fetch(connection, statement)[0][0] == np.argmin(expected)
    bounded = f"SELECT id FROM customers AS c WHERE {call} > 0.999"
    assert any(node.get("Index Name") == "best" for node in nodes(connection, bounded))


def test_a_generated_column_keeps_the_score_of_its_row(connection: Any) -> None:
    call = "score.churn_v1(tenure => tenure, charge => charge, plan => plan)"
    run(
        connection,
        f"CREATE TABLE kept (LIKE customers, risk double precision GENERATED ALWAYS AS ({call}) STORED);"
        "INSERT INTO kept SELECT * FROM customers",
    )
    model, frame = churn_model(), customers()
    stored = [score for (score,) in fetch(connection, "SELECT risk FROM kept ORDER BY id")]
    np.testing.assert_allclose(stored, model.predict_proba(frame)[:, 1], rtol=1e-12)
    run(connection, "UPDATE kept SET tenure = 1 WHERE id = 7")
    changed = frame.loc[[7]].assign(tenure=1)
    ((risk,),) = fetch(connection, "SELECT risk FROM kept WHERE id = 7")
    np.testing.assert_allclose(risk, model.predict_proba(changed)[0, 1], rtol=1e-12)

    # It is of its version, and that version stays.
    lifecycle.promote(connection, "churn", 2)
    assert fetch(connection, "SELECT risk FROM kept WHERE id = 7") == [(risk,)]
    with pytest.raises(RefusedError, match="kept"):
        lifecycle.drop(connection, "churn", 1)
