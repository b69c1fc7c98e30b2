"""How quick deployed functions are in bulk: µs per row on the embedded server, beside the scan alone and the naive way.

The naive way is what most teams run: fetch the rows, call the model's predict, COPY the scores back. Rounds are
interleaved and the median is shown, so that a slow minute of the machine hits all of them alike.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg2
import skops.io
from rich.console import Console
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

import pgscore
from pgscore import embedded
from pgscore.cli.output import table

FEATURES = [f"f{index}" for index in range(20)]
MODELS = {
    "logistic": LogisticRegression(),
    "tree_depth_8": DecisionTreeClassifier(max_depth=8, random_state=0),
    "hist_gradient_boosting": HistGradientBoostingClassifier(max_iter=50, max_leaf_nodes=15, random_state=0),
}


def main() -> None:
    """Runs the benchmark and prints its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with embedded.server() as dsn, contextlib.closing(psycopg2.connect(dsn)) as connection:
        frame = _load(connection, options.rows)
        fitted = _deploy(connection, frame)
        jobs = _jobs(connection, fitted)
        took: dict[str, list[float]] = {name: [] for name in jobs}
        for _ in range(options.rounds):
            for name, job in jobs.items():
                start = time.perf_counter()
                job()
                connection.commit()
                took[name].append((time.perf_counter() - start) / options.rows * 1e6)
    scan = statistics.median(took["scan"])
    rows = [[name, round(m := statistics.median(times), 2), round(m / scan, 1)] for name, times in took.items()]
    title = f"{options.rows:,} rows of {len(FEATURES)} doubles, median of {options.rounds} rounds"
    Console(highlight=False).print(table(["what", "µs/row", "× scan"], rows, title))


def _load(connection: Any, n_rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(n_rows, len(FEATURES))), columns=FEATURES)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('max_parallel_workers_per_gather', '0', false), set_config('jit', 'off', false)"
        )
        cursor.execute(f"CREATE TABLE t (id bigint PRIMARY KEY, {', '.join(f'{name} float8' for name in FEATURES)})")
        cursor.copy_expert("COPY t FROM STDIN (FORMAT csv)", io.StringIO(frame.to_csv(header=False)))
        cursor.execute("CREATE TABLE scores (id bigint PRIMARY KEY, score float8)")
    with contextlib.closing(psycopg2.connect(connection.dsn)) as other:
        other.autocommit = True
        other.cursor().execute("VACUUM ANALYZE t")
    return frame


def _deploy(connection: Any, frame: pd.DataFrame) -> dict[str, Any]:
    x = frame.head(20_000)
    rng = np.random.default_rng(1)
    y = (x.f0 + x.f1 * x.f2 - x.f3 + rng.normal(size=len(x))) > 0
    pgscore.install(connection)
    connection.commit()
    with tempfile.TemporaryDirectory() as folder:
        for name, model in MODELS.items():
            file = Path(folder) / f"{name}.skops"
            skops.io.dump(model.fit(x, y), file)
            deployed = pgscore.deploy(connection, pgscore.load_model(file), name=name, table="t")
            connection.commit()
            print(f"{name}: {deployed.artifact.strategy.value} ({deployed.artifact.reason})")
    return MODELS


def _jobs(connection: Any, models: dict[str, Any]) -> dict[str, Callable[[], None]]:
    def query(text: str) -> Callable[[], None]:
        def run() -> None:
            with connection.cursor() as cursor:
                cursor.execute(text)

        return run

    def naive(model: Any) -> Callable[[], None]:
        def run() -> None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT * FROM t")
                rows = pd.DataFrame(cursor.fetchall(), columns=["id", *FEATURES])
                scores = model.predict_proba(rows[FEATURES])[:, 1]
                lines = "\n".join(f"{key},{score!r}" for key, score in zip(rows.id, scores.tolist(), strict=True))
                cursor.execute("TRUNCATE scores")
                cursor.copy_expert("COPY scores FROM STDIN (FORMAT csv)", io.StringIO(lines))

        return run

    jobs = {"scan": query("SELECT sum(f19) FROM t")}
    for name in models:
        jobs[name] = query(f"SELECT sum(score.{name}(t)) FROM t")  # noqa: S608 (names of this file)
    for name, model in models.items():
        into = f"TRUNCATE scores; INSERT INTO scores SELECT id, score.{name}(t) FROM t"  # noqa: S608
        jobs[f"{name}, into a table"] = query(into)
        jobs[f"{name}, fetch-predict-COPY"] = naive(model)
    return jobs


if __name__ == "__main__":
    main()
