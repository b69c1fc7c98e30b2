"""Runs that swap, for the tests of build-beside-and-swap."""

from __future__ import annotations

from typing import Any

import numpy as np

from pgscore.procedures.refresh import RunResult, run_job

from .refreshing import N, churn_model, customers, fetch, run

PARTS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'scores'::regclass"
LEFT_OVER = "SELECT relname::text FROM pg_class WHERE relname ~ '^scores_[0-9]+$' AND NOT relispartition"


def swapped(connection: Any, **options: Any) -> RunResult:
    """A run that must swap."""
    run(connection, "SET pgscore.writes = 'swap'")
    result = run_job(connection, "daily", **options)
    run(connection, "RESET pgscore.writes")
    assert result.written == "swap", result.because
    assert fetch(connection, LEFT_OVER) == []
    return result


def truth(connection: Any, version: int = 1) -> None:
    """The target has the model's own answers, of one version."""
    found = fetch(connection, "SELECT id, score, model_version FROM scores ORDER BY id")
    assert [row[0] for row in found] == list(range(N))
    model = churn_model() if version == 1 else churn_model(C=0.01)
    np.testing.assert_allclose([row[1] for row in found], model.predict_proba(customers())[:, 1], rtol=1e-12)
    assert {row[2] for row in found} == {version}
