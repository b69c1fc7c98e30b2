"""Challengers of job `daily`: a run with one, and what numpy and scipy say of the same scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import ks_2samp, spearmanr
from sklearn.linear_model import LogisticRegression

from pgscore.procedures.challenger import Comparison, comparisons, set_challenger
from pgscore.procedures.refresh import run_job

from .refreshing import NUMBERS, customers, fetch

FIGURES = (
    "mean_live", "mean_challenger", "mean_shift", "mean_abs_shift", "max_abs_shift", "ks", "rank_correlation",
    "overlap_top_1pct", "overlap_top_10pct",
)  # fmt: skip


def strict_model() -> Any:
    """Refuses a missing charge, which churn_model fills."""
    frame = customers().dropna()
    return LogisticRegression(max_iter=1000).fit(frame[NUMBERS], frame.tenure < 30)


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


def cohort(connection: Any, version: int = 2) -> set[Any]:
    return {key for (key,) in fetch(connection, f"SELECT id FROM scores WHERE model_version = {version}")}
