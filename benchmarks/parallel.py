"""What `pgscore refresh run --jobs N` gains: a full run of a boosting of 100 trees as ONNX, in one connection and more.

Needs a database with `pgscore install --plpython`. Rounds are interleaved and the median is shown, so a slow minute
of the machine hits all alike. The target is full and no score changes: what is measured is scoring, and finding that.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg2
from rich.console import Console
from sklearn.ensemble import HistGradientBoostingClassifier

from pgscore.cli.output import table
from pgscore.compiler.artifact import Strategy
from pgscore.compiler.load import LoadedModel
from pgscore.procedures.deploy import deploy
from pgscore.procedures.refresh import create_job, run_job

FEATURES = [f"f{index}" for index in range(20)]


def main() -> None:
    """Runs the benchmark and prints its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with contextlib.closing(psycopg2.connect(options.dsn)) as connection:
        _load(connection, options.rows)
        seconds: dict[int, list[float]] = {jobs: [] for jobs in options.jobs}
        for jobs in options.jobs * options.rounds:
            seconds[jobs].append(run_job(connection, "bench_parallel", jobs=jobs).seconds)
    first = statistics.median(seconds[options.jobs[0]])
    rows = [
        [jobs, round(statistics.median(times), 2), round(first / statistics.median(times), 2)]
        for jobs, times in seconds.items()
    ]
    title = f"{options.rows:,} rows, {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}"
    Console(highlight=False).print(table(["jobs", "s", "times as quick"], rows, title))


def _load(connection: Any, n_rows: int) -> None:
    columns = ", ".join(f"{name} float8" for name in FEATURES)
    values = ", random()" * len(FEATURES)
    with connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE bench_rows (id bigint PRIMARY KEY, {columns})")
        cursor.execute(f"INSERT INTO bench_rows SELECT i{values} FROM generate_series(1, {n_rows}) AS i")  # noqa: S608
        cursor.execute("ANALYZE bench_rows")
    x = pd.DataFrame(np.random.default_rng(0).uniform(size=(5000, len(FEATURES))), columns=FEATURES)
    fitted = HistGradientBoostingClassifier(max_iter=100, random_state=0).fit(x, x.f0 + x.f1 * x.f2 > 0.7)
    model = LoadedModel(fitted, Path("m.skops"), "skops", "00", {}, "HistGradientBoostingClassifier")
    deploy(connection, model, name="bench_parallel", table="bench_rows", strategy=Strategy.ONNX)
    create_job(
        connection, "bench_parallel", model="bench_parallel", source="bench_rows", keys=["id"], target="bench_scores"
    )
    run_job(connection, "bench_parallel")


if __name__ == "__main__":
    main()
