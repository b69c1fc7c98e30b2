"""Challengers of refresh jobs: the figures are numpy's and scipy's, and both versions score the same rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from pgscore.compiler.artifact import Strategy
from pgscore.procedures import lifecycle
from pgscore.procedures.challenger import comparisons, set_challenger
from pgscore.procedures.install import install
from pgscore.procedures.refresh import create_job, run_job

from ..support.challenging import FIGURES, check, compared, same_side, scores, strict_model
from ..support.refreshing import (
    NUMBERS,
    N,
    churn_job,
    churn_model,
    connection,
    connection15,
    connection18,
    customers,
    deployed,
    fetch,
    run,
    tier_model,
)

__all__ = ["connection", "connection15", "connection18"]


def small_tree(depth: int) -> Any:
    """A regressor of few values, so that most scores are ties."""
    frame = customers().dropna()
    return DecisionTreeRegressor(max_depth=depth, random_state=0).fit(frame[NUMBERS], frame.charge + frame.tenure)


@pytest.mark.parametrize("strategies", ["sql sql", "sql plpgsql", "plpgsql sql"])
def test_the_figures_are_scipys(connection: Any, strategies: str) -> None:
    """One version fills what the other refuses, and neither takes an infinity."""
    first, second = map(Strategy, strategies.split())
    run(connection, "UPDATE customers SET charge = 'Infinity' WHERE id IN (7, 8, 9)")
    model = deployed(connection, churn_model(), name="both", strategy=first)
    strict = deployed(connection, strict_model(), name="both", strategy=second)
    lifecycle.promote(connection, "both", 2, alias="next")
    churn_job(connection, model="both")
    it = compared(connection)
    live, challenger = scores(connection, "both_v1", "both_v2")
    check(it, live, challenger)
    assert (it.both_refused, it.only_live_refused, it.only_challenger_refused) == (3, 0, 60)
    assert it.agreement == pytest.approx(same_side(live, challenger), rel=1e-15)
    assert (it.version, it.challenger_version, it.canary, it.canary_rows) == (1, 2, 0, 0)

    frame = customers().dropna().drop(index=[7, 8, 9])
    a, b = model.predict_proba(frame)[:, 1], strict.predict_proba(frame[NUMBERS])[:, 1]
    assert it.mean_shift == pytest.approx((b - a).mean(), rel=1e-9)
    assert it.agreement == np.mean((a > 0.5) == (b > 0.5))

    # The other way round.
    lifecycle.promote(connection, "both", 2)
    lifecycle.promote(connection, "both", 1, alias="next")
    it = compared(connection)
    check(it, challenger, live)
    assert (it.only_live_refused, it.only_challenger_refused) == (60, 0)


@pytest.mark.parametrize("strategies", ["onnx onnx", "onnx sql", "plpgsql onnx"])
def test_the_figures_of_batches(connection15: Any, runtime_folder: Path, strategies: str) -> None:
    """30,000 rows are three batches: answers of both versions stay with their keys."""
    install(connection15, plpython=True, runtime=runtime_folder)
    models = churn_model(), strict_model()
    for strategy, model in zip(strategies.split(), models, strict=True):
        deployed(connection15, model, name="graph", strategy=Strategy(strategy))
    run(
        connection15,
        f"INSERT INTO customers SELECT region, id + {N} * turn, tenure, charge + turn, plan"
        " FROM customers, generate_series(1, 9) AS turn",
    )
    frame = pd.concat([customers().assign(charge=lambda it, turn=turn: it.charge + turn) for turn in range(10)])
    live = models[0].predict_proba(frame)[:, 1].tolist()
    challenger = np.full(len(frame), None)
    challenger[frame.charge.notna()] = models[1].predict_proba(frame[NUMBERS].dropna())[:, 1]
    lifecycle.promote(connection15, "graph", 2, alias="next")
    churn_job(connection15, model="graph")
    it = compared(connection15, 0.25)
    check(it, live, challenger.tolist())
    assert (it.rows, it.only_challenger_refused) == (10 * N, 600)
    assert it.agreement == pytest.approx(same_side(live, challenger), rel=1e-15)
    written = fetch(connection15, "SELECT score, model_version FROM scores ORDER BY id")
    chosen = [(live, challenger)[version - 1][row] for row, (_, version) in enumerate(written)]
    np.testing.assert_allclose(np.array([score for score, _ in written], float), np.array(chosen, float), rtol=1e-10)
    assert sum(version == 2 for _, version in written) == it.canary_rows > 6000


def test_labels_of_batches(connection15: Any, runtime_folder: Path) -> None:
    install(connection15, plpython=True, runtime=runtime_folder)
    deployed(connection15, tier_model(), name="graph", strategy=Strategy.ONNX)
    deployed(connection15, other_tiers(), name="graph", strategy=Strategy.ONNX)
    lifecycle.promote(connection15, "graph", 2, alias="next")
    churn_job(connection15, model="graph")
    assert compared(connection15).agreement == agreement_of_tiers()


def other_tiers() -> Any:
    frame = customers()
    return DecisionTreeClassifier(max_depth=1, random_state=0).fit(frame[NUMBERS], tier_model().predict(frame[NUMBERS]))


def agreement_of_tiers() -> float:
    frame = customers()[NUMBERS]
    share = float(np.mean(tier_model().predict(frame) == other_tiers().predict(frame)))
    assert 0.3 < share < 0.999
    return share


def test_ties_go_by_a_composite_key(connection: Any) -> None:
    """A tree of four leaves: the top 1 % lies within one leaf. Keys in another order would name other rows."""
    deployed(connection, small_tree(2), name="tree")
    deployed(connection, small_tree(3), name="tree")
    lifecycle.promote(connection, "tree", 2, alias="next")
    churn_job(connection, model="tree", keys=["region", "id"])
    it = compared(connection)
    live, challenger = scores(connection, "tree_v1", "tree_v2", key='region COLLATE "C", id')
    assert len(set(live)) == 4
    check(it, live, challenger)
    assert it.agreement is None, "of a regressor"
    churn_job_by_id = {"model": "tree", "source": "customers", "keys": ["id"], "target": "others"}
    create_job(connection, "by_id", **churn_job_by_id)  # type: ignore[arg-type]
    set_challenger(connection, "by_id", "next")
    run_job(connection, "by_id")
    other = comparisons(connection, "by_id")[0]
    check(other, *scores(connection, "tree_v1", "tree_v2"))
    assert other.overlap_top_1pct != it.overlap_top_1pct


def test_labels_agree_or_not(connection: Any) -> None:
    deployed(connection, other_tiers(), name="tier")
    lifecycle.promote(connection, "tier", 2, alias="next")
    churn_job(connection, model="tier")
    it = compared(connection)
    assert it.agreement == agreement_of_tiers()
    assert [getattr(it, name) for name in FIGURES] == [None] * len(FIGURES)
    assert it.rows == N


def test_labels_that_are_numbers_have_no_mean(connection18: Any) -> None:
    frame = customers()[NUMBERS].dropna()
    for limit in (20, 30):
        classes = np.where(frame.tenure < limit, 0.5, 1.5) + (frame.charge > 50)
        deployed(connection18, DecisionTreeClassifier(max_depth=1).fit(frame, classes.astype(str)), name="numbers")
    lifecycle.promote(connection18, "numbers", 2, alias="next")
    churn_job(connection18, model="numbers")
    it = compared(connection18)
    live, challenger = scores(connection18, "numbers_v1", "numbers_v2")
    pairs = [(a, b) for a, b in zip(live, challenger, strict=True) if a is not None and b is not None]
    assert it.agreement == np.mean([a == b for a, b in pairs])
    assert it.mean_live is None


def test_decisions_agree_on_the_same_side_of_0(connection18: Any) -> None:
    frame = customers()[NUMBERS].dropna()
    for share in (0.05, 0.2):
        forest = IsolationForest(n_estimators=10, contamination=share, max_samples=32, random_state=0).fit(frame)
        deployed(connection18, forest, name="odd")
    lifecycle.promote(connection18, "odd", 2, alias="next")
    churn_job(connection18, model="odd")
    it = compared(connection18)
    live, challenger = scores(connection18, "odd_v1", "odd_v2")
    check(it, live, challenger)
    labels = scores(connection18, "odd_v1_label", "odd_v2_label")
    pairs = [(a, b) for a, b in zip(*labels, strict=True) if a is not None and b is not None]
    assert it.agreement == pytest.approx(np.mean([a == b for a, b in pairs]), rel=1e-15)
    assert it.agreement < 0.9


def test_arrays_are_counted_only(connection18: Any) -> None:
    frame = customers()[NUMBERS].dropna()
    for whiten in (False, True):
        deployed(connection18, PCA(2, whiten=whiten).fit(frame), name="parts")
    lifecycle.promote(connection18, "parts", 2, alias="next")
    churn_job(connection18, model="parts")
    it = compared(connection18, 0.5)
    assert (it.rows, it.both_refused, it.agreement) == (N, 60, None)
    assert [getattr(it, name) for name in FIGURES] == [None] * len(FIGURES)
    assert it.canary_rows > 1300


def test_numbers_at_the_end_of_the_doubles_fail_no_run(connection18: Any) -> None:
    run(connection18, "CREATE TABLE far AS SELECT id, 1e300 * (id - 5) AS x FROM generate_series(1, 2000) AS id")
    for slope in (1.0, -1.0, 1e-300):
        line = LinearRegression().fit(pd.DataFrame({"x": [0.0, 1.0]}), [0.0, slope])
        deployed(connection18, line, name="far", table="far")
    lifecycle.promote(connection18, "far", 2, alias="next")
    churn_job(connection18, model="far", source="far")
    it = compared(connection18)
    assert (it.mean_live, it.mean_shift, it.max_abs_shift) == (None, None, None)
    assert it.rank_correlation == pytest.approx(-1)
    assert it.ks == ks_2samp(*scores(connection18, "far_v1", "far_v2", "far")).statistic
    for live, challenger in ((1, 3), (3, 1)):
        lifecycle.promote(connection18, "far", live)
        lifecycle.promote(connection18, "far", challenger, alias="next")
        assert compared(connection18).mean_abs_shift is None


def test_no_rows_and_one_score(connection18: Any) -> None:
    lifecycle.promote(connection18, "churn", 2, alias="next")
    run(connection18, "CREATE VIEW few AS SELECT * FROM customers WHERE id < 0")
    churn_job(connection18, source="few")
    it = compared(connection18)
    assert (it.rows, it.agreement, *(getattr(it, name) for name in FIGURES)) == (0, *[None] * 10)
    run(connection18, "CREATE OR REPLACE VIEW few AS SELECT * FROM customers WHERE id = 1")
    it = compared(connection18)
    assert (it.rows, it.ks, it.rank_correlation, it.overlap_top_1pct, it.overlap_top_10pct) == (1, 1, None, 1, 1)


@pytest.mark.parametrize("strategy", [Strategy.SQL, Strategy.ONNX])
def test_both_score_the_very_same_rows(connection15: Any, runtime_folder: Path, strategy: Strategy) -> None:
    """A source that gives other values each time it is read is read once: two equal versions differ nowhere."""
    install(connection15, plpython=True, runtime=runtime_folder)
    deployed(connection15, churn_model(), name="twin", strategy=strategy)
    deployed(connection15, churn_model(), name="twin", strategy=Strategy.SQL)
    lifecycle.promote(connection15, "twin", 2, alias="next")
    drawn = "(random() * 70)::integer AS tenure, random() * 100 AS charge"
    run(connection15, f"CREATE VIEW restless AS SELECT id, {drawn}, plan FROM customers")
    churn_job(connection15, model="twin", source="restless")
    it = compared(connection15)
    assert it.max_abs_shift is not None
    assert it.max_abs_shift < 1e-12
    assert (it.agreement, it.overlap_top_10pct) == (1, 1)
