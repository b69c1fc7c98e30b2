"""The examples, on real data, against scikit-learn, pandas and numpy."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.decomposition import NMF, TruncatedSVD

from pgscore.demo import churn
from pgscore.procedures.connection import connect

from .support.databases import copied, template
from .support.refreshing import deployed, fetch, run
from .support.servers import Server

EXAMPLES = Path(__file__).parent.parent / "examples"


def example(name: str) -> ModuleType:
    path = next((EXAMPLES / name).glob("*.py"))
    spec = importlib.util.spec_from_file_location(f"example_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def connection(server18: Server) -> Iterator[Any]:
    with copied(server18, template(server18)) as dsn:
        connection = connect(dsn)
        yield connection
        connection.close()


@pytest.mark.parametrize("name", [path.name for path in sorted(EXAMPLES.iterdir()) if path.is_dir()])
def test_an_example_is_told_to_its_end(name: str) -> None:
    path = next((EXAMPLES / name).glob("*.py"))
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def psi(now: pd.Series, before: pd.Series) -> float:
    p, q = (s.value_counts(normalize=True).reindex(range(6), fill_value=0).clip(lower=1e-4) for s in (now, before))
    return float(((p - q) * np.log(p / q)).sum())


def test_segments(connection: Any) -> None:
    it = example("segments")
    frame = churn.customers().sort_values(churn.KEY).reset_index(drop=True)
    model = it.trained(frame)
    it.prepare(connection, frame, model)

    def check(frame: pd.DataFrame) -> pd.Series:
        rows = it.query(connection, "SELECT customer_id, score, distance FROM customer_segments ORDER BY customer_id")
        keys, segments, distances = zip(*rows, strict=True)
        assert list(keys) == frame[churn.KEY].tolist()
        assert list(segments) == model.predict(frame).tolist()
        np.testing.assert_allclose(distances, model.transform(frame).min(axis=1), rtol=1e-9)
        return pd.Series(segments)

    result = it.refresh(connection)
    assert (result.rows, result.inserted, result.refused) == (7043, 7043, 0)
    before = check(frame)
    assert set(before) == set(range(6))
    sizes = before.value_counts().sort_index()
    assert it.query(connection, it.SIZES) == [(1, s, n, 0, 0) for s, n in sizes.items()]
    assert it.query(connection, it.DRIFT) == [(1, None, None)], "nothing to compare with"

    it.raise_prices(connection)
    dear = (frame.contract == "Month-to-month") & (frame.monthly_charges > 80)
    frame.loc[dear, "monthly_charges"] *= 1.2
    assert it.refresh(connection).updated == dear.sum()
    now = check(frame)
    moved = now != before
    assert moved.sum() > 20
    assert it.query(connection, it.SIZES)[6:] == [
        (2, s, (now == s).sum(), ((now == s) & ~moved).sum(), ((now == s) & moved).sum()) for s in range(6)
    ]
    (run, share, index) = it.query(connection, it.DRIFT)[1]
    assert (run, share) == (2, moved.mean())
    assert index == pytest.approx(psi(now, before), rel=1e-12)

    # The campaign, by pandas.
    found = frame.assign(segment=now, distance=model.transform(frame).min(axis=1), left=frame.churn == "Yes")
    leaving = found.groupby("segment").left.mean().nlargest(2).index
    called = found[found.segment.isin(leaving) & (found.contract == "Month-to-month")]
    called = called.sort_values(["distance", churn.KEY]).groupby("segment").head(100)
    assert [key for (key,) in it.query(connection, it.CAMPAIGN)] == sorted(called[churn.KEY])

    # Another version numbers its segments anew: nothing is compared across the two.
    deployed(connection, clone(model).set_params(kmeans__random_state=1).fit(frame), "segments", promote=True)
    it.refresh(connection)
    assert it.query(connection, it.DRIFT)[2:] == [(3, None, None)]
    it.refresh(connection)
    assert it.query(connection, it.DRIFT)[3:] == [(4, 0.0, 0.0)]


def temporary(connection: Any) -> int:
    """Bytes of temporary files written in this database so far."""
    run(connection, "SELECT pg_stat_force_next_flush()")
    return int(fetch(connection, "SELECT temp_bytes FROM pg_stat_database WHERE datname = current_database()")[0][0])


MODELS = {
    "svd": lambda: TruncatedSVD(20, random_state=0),
    "nmf": lambda: NMF(8, init="nndsvda", max_iter=30, tol=1e-3, random_state=0),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore:Maximum number of iterations")
def test_recommendations(connection: Any, name: str) -> None:
    it = example("recommendations")
    frame, model = it.ratings(), MODELS[name]()
    assert len(frame) == 100_004
    it.prepare(connection, frame, model)
    items = np.unique(frame.item_id)
    factors = {what: dict(fetch(connection, f"SELECT * FROM {what}_factors")) for what in ("user", "item")}
    of_items = np.array([factors["item"][item] for item in items])
    np.testing.assert_array_equal(of_items, model.components_.T)

    def best(user: int, seen: set[int], of_user: list[float]) -> list[tuple[int, int, int, float]]:
        """By numpy: the products added up from the first to the last, equal scores by the item's key."""
        scores = np.zeros(len(items))
        for number, factor in enumerate(of_user):
            scores = factor * of_items[:, number] + (scores if number else 0.0)
        order = [i for i in np.lexsort((items, -scores)) if items[i] not in seen][: it.TOP]
        return [(user, int(items[i]), rank, float(scores[i])) for rank, i in enumerate(order, start=1)]

    def check() -> None:
        of_users = dict(fetch(connection, "SELECT * FROM user_factors"))
        seen = dict(fetch(connection, "SELECT user_id, array_agg(item_id) FROM ratings GROUP BY user_id"))
        expected = [row for user in sorted(of_users) for row in best(user, set(seen[user]), of_users[user])]
        columns = "user_id, item_id, rank, score"
        assert fetch(connection, f"SELECT {columns} FROM recommended ORDER BY user_id, rank") == expected

    written = temporary(connection)
    assert it.refresh(connection) == (671, 671, 6710, 0, 0)
    assert temporary(connection) == written, "671 × 9,066 scores would take 200 MB"
    check()
    assert it.refresh(connection) == (671, 0, 0, 0, 0)

    before = fetch(connection, "SELECT user_id, item_id, scored_at FROM recommended WHERE user_id NOT IN (7, 100, 671)")
    it.fold_in(connection, model, it.NEW_RATINGS)
    users, ranked, inserted, _, deleted = it.refresh(connection)
    assert (users, ranked) == (671, 3)
    assert inserted == deleted
    check()
    assert set(before) == set(
        fetch(connection, "SELECT user_id, item_id, scored_at FROM recommended WHERE user_id NOT IN (7, 100, 671)")
    )

    # What is seen late, or taken back, is noticed too, whatever its time; and a user who is gone takes the rows along.
    run(
        connection,
        "DELETE FROM ratings WHERE user_id = 5 AND item_id IN (SELECT min(item_id) FROM ratings WHERE user_id = 5)",
    )
    run(connection, "DELETE FROM user_factors WHERE user_id = 9")
    users, ranked, _, _, deleted = it.refresh(connection)
    assert (users, ranked) == (670, 1)
    assert deleted >= 10
    check()
    # Another item's factors change everything.
    run(connection, "UPDATE item_factors SET factors[1] = factors[1] + 1 WHERE item_id = 31")
    of_items[items == 31, 0] += 1
    assert it.refresh(connection)[1] == 670
    check()
