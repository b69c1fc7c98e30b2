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

from pgscore.compiler.load import load_model
from pgscore.demo import churn
from pgscore.procedures.connection import connect
from pgscore.procedures.lifecycle import rollback
from pgscore.procedures.refresh import status
from pgscore.procedures.verify import verify

from .support.databases import copied, template
from .support.refreshing import counts, deployed, fetch, run
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


def best(scores: Any, items: Any, seen: set[int], top: int) -> list[tuple[int, int, float]]:
    """The unseen items with the highest scores, by numpy; equal ones by the item's key."""
    order = [i for i in np.lexsort((items, -scores)) if items[i] not in seen][:top]
    return [(int(items[i]), rank, float(scores[i])) for rank, i in enumerate(order, start=1)]


def summed(of_user: Any, of_items: Any) -> Any:
    """Dot products, added up from the first to the last."""
    return np.add.accumulate(of_user * of_items, axis=1)[:, -1]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore:Maximum number of iterations")
def test_recommendations(connection: Any, name: str, tmp_path: Path) -> None:
    it = example("recommendations")
    frame, model, path = it.ratings(), MODELS[name](), tmp_path / "taste.npz"
    assert len(frame) == 100_004
    it.store(connection, frame)
    it.train(frame, model, path)
    assert it.release(connection, path) == 1
    it.create_job(connection)
    learned = load_model(path).estimator
    items = np.unique(frame.item_id)
    np.testing.assert_array_equal(learned.item_factors, model.components_.T)

    def check() -> None:
        """Of the model's own transform of the ratings as they are, or the factors that it has learned."""
        rows = fetch(connection, "SELECT user_id, item_id, rating FROM ratings")
        now = pd.DataFrame(rows, columns=["user_id", "item_id", "rating"])
        users = np.unique(now.user_id) if name == "svd" else learned.users
        factors = model.transform(it.matrix(now, users, items)) if name == "svd" else learned.user_factors
        seen = now.groupby("user_id").item_id.agg(set)
        expected = [
            (user, *row)
            for user, of_user in zip(users.tolist(), factors, strict=True)
            for row in best(summed(of_user, learned.item_factors), items, seen[user], it.TOP)
        ]
        columns = "user_id, item_id, rank, score"
        assert fetch(connection, f"SELECT {columns} FROM recommended ORDER BY user_id, rank") == expected

    written = temporary(connection)
    assert counts(it.refresh(connection)) == (6710, 6710, 0, 0)
    assert temporary(connection) - written < 10_000_000, "671 × 9,066 scores would take 200 MB"
    check()
    assert counts(it.refresh(connection)) == (0, 0, 0, 0)

    others = "SELECT user_id, item_id, scored_at FROM recommended WHERE user_id NOT IN (5, 7, 100, 671, 1000)"
    before = fetch(connection, others)
    it.rate(connection, it.NEW_RATINGS)
    assert status(connection)[0].state == "behind"
    done = it.refresh(connection)
    # Of NMF only what is seen changes: one has new stars for an old film, and one is not known to it.
    assert done.rows == (40 if name == "svd" else 20)
    assert done.inserted > 0
    check()
    # What is taken back is noticed too.
    run(
        connection,
        "DELETE FROM ratings WHERE user_id = 5 AND item_id = (SELECT min(item_id) FROM ratings WHERE user_id = 5)",
    )
    assert it.refresh(connection).rows == 10
    check()
    assert fetch(connection, others) == before
    assert status(connection)[0].state == "fresh"

    # Another version ranks all anew, and a rollback takes it back.
    model = clone(model).set_params(n_components=6)
    first, first_path = fetch(connection, "SELECT user_id, item_id, rank, score FROM recommended ORDER BY 1, 3"), path
    it.train(frame, model, path := tmp_path / "second.npz")
    assert it.release(connection, path) == 2
    learned = load_model(path).estimator
    assert status(connection)[0].state == "behind"
    assert it.refresh(connection).version == 2
    check()
    rollback(connection, "taste")
    assert it.refresh(connection).version == 1
    assert fetch(connection, "SELECT user_id, item_id, rank, score FROM recommended ORDER BY 1, 3") == first
    assert verify(connection, "taste", oracle=load_model(first_path).estimator).max_difference == 0
