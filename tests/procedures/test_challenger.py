"""Challengers of refresh jobs: the figures are numpy's and scipy's, and both versions score the same rows."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg2
import pytest
from scipy.stats import ks_2samp, spearmanr
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from pgscore.compiler.artifact import Strategy
from pgscore.errors import InvalidNameError, NotFoundError, RefusedError, RightsError, SignatureError
from pgscore.procedures import lifecycle
from pgscore.procedures.challenger import Comparison, comparisons, set_challenger
from pgscore.procedures.connection import connect
from pgscore.procedures.install import install
from pgscore.procedures.refresh import create_job, drop_job, run_job, status

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
)
from ..support.roles import login

__all__ = ["connection", "connection15", "connection18"]

FIGURES = (
    "mean_live", "mean_challenger", "mean_shift", "mean_abs_shift", "max_abs_shift", "ks", "rank_correlation",
    "overlap_top_1pct", "overlap_top_10pct",
)  # fmt: skip


def strict_model() -> Any:
    """Refuses a missing charge, which churn_model fills."""
    frame = customers().dropna()
    return LogisticRegression(max_iter=1000).fit(frame[NUMBERS], frame.tenure < 30)


def small_tree(depth: int) -> Any:
    """A regressor of few values, so that most scores are ties."""
    frame = customers().dropna()
    return DecisionTreeRegressor(max_depth=depth, random_state=0).fit(frame[NUMBERS], frame.charge + frame.tenure)


def compared(connection: Any, canary: float = 0) -> Comparison:
    """The comparison of a run of job `daily`, with what alias `next` means as its challenger."""
    set_challenger(connection, "daily", "next", canary)
    run_job(connection, "daily")
    return comparisons(connection, "daily")[0]


def scores(connection: Any, first: str, second: str, source: str = "customers", key: str = "id") -> tuple[Any, Any]:
    """What two functions give for each row of the source, in the order of the key; NULL where they refuse it."""
    rows = fetch(connection, f"SELECT score.{first}(r), score.{second}(r) FROM {source} r ORDER BY {key}")
    return [row[0] for row in rows], [row[1] for row in rows]


def expected(live: Any, challenger: Any) -> dict[str, float]:
    """The figures of two lists of scores in the order of their keys; None is a refused row."""
    pairs = np.array([(a, b) for a, b in zip(live, challenger, strict=True) if a is not None and b is not None])
    a, b = pairs.T
    shift = b - a
    return {
        "mean_live": a.mean(),
        "mean_challenger": b.mean(),
        "mean_shift": shift.mean(),
        "mean_abs_shift": np.abs(shift).mean(),
        "max_abs_shift": np.abs(shift).max(),
        "ks": ks_2samp(a, b, method="asymp").statistic,
        "rank_correlation": spearmanr(a, b).statistic,
        "overlap_top_1pct": overlap(a, b, 0.01),
        "overlap_top_10pct": overlap(a, b, 0.1),
    }


def overlap(a: Any, b: Any, share: float) -> float:
    size = int(np.ceil(round(len(a) * share, 6)))
    # A stable sort leaves ties in the order of the key.
    first, second = (set(np.argsort(-scores, kind="stable")[:size]) for scores in (a, b))
    return len(first & second) / size


def check(it: Comparison, live: Any, challenger: Any) -> None:
    """Holds the figures of numbers against numpy's and scipy's, and the counts of refused rows against the rows."""
    for name, figure in expected(live, challenger).items():
        np.testing.assert_allclose(getattr(it, name), figure, rtol=1e-10, atol=1e-13, err_msg=name)
    pairs = list(zip(live, challenger, strict=True))
    assert it.rows == len(pairs)
    assert it.both_refused == sum(a is None and b is None for a, b in pairs)
    assert it.only_live_refused == sum(a is None and b is not None for a, b in pairs)
    assert it.only_challenger_refused == sum(a is not None and b is None for a, b in pairs)


def same_side(live: Any, challenger: Any, limit: float = 0.5) -> float:
    pairs = [(a > limit, b > limit) for a, b in zip(live, challenger, strict=True) if a is not None and b is not None]
    return sum(a == b for a, b in pairs) / len(pairs)


# The figures.


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


# The canary.


def cohort(connection: Any, version: int = 2) -> set[Any]:
    return {key for (key,) in fetch(connection, f"SELECT id FROM scores WHERE model_version = {version}")}


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


# The life of a challenger.


def test_a_promoted_challenger_has_the_whole_table_and_a_rollback_parts_it_again(connection: Any) -> None:
    lifecycle.promote(connection, "churn", 2, alias="next")
    churn_job(connection)
    compared(connection, 0.2)
    inside = cohort(connection)
    assert status(connection)[0].challenger_state == "compared"
    lifecycle.promote(connection, "churn", 2)
    assert (status(connection)[0].state, status(connection)[0].challenger_state) == ("behind", "same version")
    assert counts(run_job(connection, "daily")) == (N, 0, N - len(inside), 0)
    assert cohort(connection) == set(range(N))
    assert status(connection)[0].fresh
    assert len(comparisons(connection, "daily")) == 1, "nothing to compare"
    lifecycle.rollback(connection, "churn")
    assert status(connection)[0].state == "behind"
    assert status(connection)[0].challenger_state == "not compared yet"
    assert counts(run_job(connection, "daily")) == (N, 0, N - len(inside), 0)
    assert cohort(connection) == inside
    assert [it.run_id for it in comparisons(connection, "daily")] == [3, 1]


def test_without_a_version_runs_go_on_with_live_alone(connection18: Any) -> None:
    create_job(
        connection18,
        "daily",
        model="churn",
        source="customers",
        keys=["id"],
        target="scores",
        challenger="next",
        canary=0.5,
    )
    assert set_challenger(connection18, "daily", "next", 0.5) is None
    assert run_job(connection18, "daily").version == 1
    assert cohort(connection18, 1) == set(range(N))
    assert comparisons(connection18, "daily") == []
    (job,) = status(connection18)
    assert (job.state, job.challenger, job.canary, job.challenger_state) == ("fresh", "next", 0.5, "no challenger")
    lifecycle.promote(connection18, "churn", 2, alias="next")
    assert status(connection18)[0].challenger_state == "not compared yet"
    run_job(connection18, "daily")
    assert len(comparisons(connection18, "daily")) == 1
    assert set_challenger(connection18, "daily", None) is None
    (job,) = status(connection18)
    assert (job.challenger, job.canary, job.challenger_state) == (None, 0, None)
    run_job(connection18, "daily")
    assert cohort(connection18) == set()
    assert len(comparisons(connection18, "daily")) == 1, "what was found stays"
    drop_job(connection18, "daily")
    assert fetch(connection18, "SELECT count(*) FROM pgscore.comparisons") == [(0,)]


def test_another_result_is_refused_when_set_and_when_run(connection: Any) -> None:
    deployed(connection, tier_model())
    lifecycle.promote(connection, "churn", 3, alias="next")
    churn_job(connection)
    message = "cannot compare churn_v1, which gives double precision, with its challenger churn_v3, which gives text"
    with pytest.raises(SignatureError, match=message):
        set_challenger(connection, "daily", "next")
    assert status(connection)[0].challenger is None
    lifecycle.promote(connection, "churn", 2, alias="next")
    compared(connection, 0.5)
    before = fetch(connection, "SELECT * FROM scores ORDER BY id")
    lifecycle.promote(connection, "churn", 3, alias="next")
    with pytest.raises(SignatureError, match=message):
        run_job(connection, "daily")
    assert fetch(connection, "SELECT * FROM scores ORDER BY id") == before
    (job,) = status(connection)
    assert job.state == "failed"
    assert "cannot compare" in str(job.error)
    assert len(comparisons(connection, "daily")) == 1


def test_a_challenger_that_reads_another_column_is_refused(connection18: Any) -> None:
    run(connection18, "CREATE VIEW narrow AS SELECT id, tenure, charge FROM customers")
    deployed(connection18, strict_model(), name="strict")
    deployed(connection18, churn_model(), name="strict")
    lifecycle.promote(connection18, "strict", 2, alias="next")
    churn_job(connection18, model="strict", source="narrow")
    with pytest.raises(SignatureError, match=r"public.narrow has no column plan, which strict_v2 reads"):
        set_challenger(connection18, "daily", "next")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (("nightly", "next"), NotFoundError, "there is no refresh job 'nightly'"),
        (("daily", "live"), RefusedError, "scores with alias live already"),
        (("daily", "the next"), InvalidNameError, "no name for an alias"),
        (("daily", "next", 1.01), SignatureError, "between 0 and 1"),
        (("daily", "next", -0.01), SignatureError, "between 0 and 1"),
        (("daily", "next", float("nan")), SignatureError, "between 0 and 1"),
    ],
)
def test_what_makes_no_challenger(connection18: Any, given: Any, error: type[Exception], message: str) -> None:
    churn_job(connection18)
    with pytest.raises(error, match=message):
        set_challenger(connection18, *given)
    assert fetch(connection18, "SELECT challenger, canary FROM pgscore.jobs") == [(None, 0)]


def test_no_such_job(connection18: Any) -> None:
    with pytest.raises(NotFoundError, match="there is no refresh job 'nightly'"):
        comparisons(connection18, "nightly")


def test_the_alias_of_a_challenger_is_not_dropped(connection: Any) -> None:
    lifecycle.promote(connection, "churn", 2, alias="next")
    churn_job(connection)
    set_challenger(connection, "daily", "next")
    with pytest.raises(RefusedError, match="alias next of model churn is used by refresh job daily"):
        lifecycle.drop_alias(connection, "churn", "next")
    with pytest.raises(RefusedError, match="it is next"):
        lifecycle.drop(connection, "churn", 2)
    set_challenger(connection, "daily", None)
    lifecycle.drop_alias(connection, "churn", "next")


def test_promotes_meanwhile_change_nothing_in_a_run(connection: Any) -> None:
    lifecycle.promote(connection, "churn", 2, alias="next")
    run(connection, "CREATE VIEW slow AS SELECT c.* FROM customers AS c CROSS JOIN (SELECT pg_sleep(1.5)) AS waited")
    churn_job(connection, source="slow")
    set_challenger(connection, "daily", "next", 0.4)
    thread = threading.Thread(target=run_job, args=(connection, "daily"))
    thread.start()
    other = connect(connection.dsn)
    while fetch(other, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == [(0,)]:
        assert thread.is_alive()
        time.sleep(0.02)
    lifecycle.promote(other, "churn", 2)
    lifecycle.promote(other, "churn", 1, alias="next")
    thread.join()
    other.close()
    (it,) = comparisons(connection, "daily")
    assert (it.version, it.challenger_version) == (1, 2)
    live, challenger = scores(connection, "churn_v1", "churn_v2")
    check(it, live, challenger)
    inside = cohort(connection)
    found = [score for (score,) in fetch(connection, "SELECT score FROM scores ORDER BY id")]
    assert found == [challenger[i] if i in inside else live[i] for i in range(N)]
    assert [(job.state, job.challenger_state) for job in status(connection)] == [("behind", "not compared yet")]


# Rights.


@pytest.fixture
def analyst(connection: Any) -> Iterator[Any]:
    """A scorer who may read customers and has a schema of their own, and whose job `theirs` has a challenger."""
    with login(connection, "pgscore_scorer") as other:
        name = other.info.user
        run(connection, f"GRANT SELECT ON customers TO {name}; CREATE SCHEMA lab AUTHORIZATION {name}")
        lifecycle.promote(connection, "churn", 2, alias="next")
        create_job(other, "theirs", model="churn", source="customers", keys=["id"], target="lab.scores")
        yield other
        run(connection, "DROP SCHEMA lab CASCADE")


def test_a_scorer_challenges_in_jobs_of_their_own_and_sees_those_alone(connection: Any, analyst: Any) -> None:
    churn_job(connection)
    compared(connection)
    assert set_challenger(analyst, "theirs", "next", 0.1) == 2
    assert run_job(analyst, "theirs").inserted == N
    (it,) = comparisons(analyst, "theirs")
    check(it, *scores(connection, "churn_v1", "churn_v2"))
    assert comparisons(analyst, "daily") == []
    assert len(comparisons(connection, "theirs")) == 1
    with pytest.raises(RightsError, match="may not use refresh job daily"):
        set_challenger(analyst, "daily", "next", 0.5)
    for statement in (
        "SELECT * FROM pgscore.comparisons",
        "DELETE FROM pgscore.comparisons",
        "UPDATE pgscore.jobs SET canary = 1",
    ):
        with analyst, analyst.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(statement)
    foreign = f"""
        SELECT pgscore.record_comparison('theirs', (
            SELECT c FROM jsonb_populate_record(NULL::pgscore.comparisons, '{{"run_id": {it.run_id - 1}}}') AS c))"""
    run(analyst, foreign)
    assert len(comparisons(connection, "daily")) == 1, "another's run gets no comparison"


@pytest.mark.parametrize("role", ["promoter", "deployer", "monitor"])
def test_who_reads_all_comparisons(connection: Any, analyst: Any, role: str) -> None:
    set_challenger(analyst, "theirs", "next")
    run_job(analyst, "theirs")
    with login(connection, f"pgscore_{role}") as reader:
        assert len(comparisons(reader, "theirs")) == 1
        with reader, reader.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("SELECT pgscore.set_challenger('theirs', 'next', 1)")


def test_who_has_no_role_reads_none(connection: Any, analyst: Any) -> None:
    with login(connection) as nobody, nobody.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute("SELECT * FROM pgscore.challenger_overview")
