"""Models that are large in one respect, on the embedded server: µs per row, ms before the first row, and memory.

Each is scored with the SQL or plpgsql that `auto` chooses where PL/Python is absent, over a table of 100,000 rows. The
first row of a session also pays for planning, which is shown by itself.
"""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg2
import skops.io
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import pgscore
from tests.support import servers

from .tables import Table, printed

N_ROWS = 100_000
N_CATEGORIES = 10_000
FEATURES = [f"f{index}" for index in range(20)]


def main() -> None:
    """Runs the benchmark and prints its table."""
    printed(measured())


def measured() -> Table:
    """Each model's figures."""
    frame = _frame()
    models: dict[str, Callable[[], Any]] = {
        "categories": lambda: _categories(frame),
        "trees": lambda: GradientBoostingRegressor(n_estimators=3000, max_depth=2, random_state=0),
        "network_24_12": lambda: make_pipeline(
            StandardScaler(), MLPRegressor(hidden_layer_sizes=(24, 12), max_iter=20)
        ),
        "network_100": lambda: make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(100,), max_iter=20)),
    }
    rows = []
    with servers.embedded18() as server, contextlib.closing(psycopg2.connect(server.dsn())) as connection:
        _load(connection, frame)
        for name, make in models.items():
            rows.append([name, *_measured(server.dsn(), connection, frame, name, make())])
    header = ["model", "strategy", "characters", "µs/row", "ms before the first row", "MB"]
    return Table(f"Models that are large in one respect, {N_ROWS:,} rows, embedded server", header, rows)


def _frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(N_ROWS, len(FEATURES))), columns=FEATURES)
    frame["name"] = [f"category {code}" for code in rng.integers(0, N_CATEGORIES, N_ROWS)]
    return frame.astype({"name": object})


def _categories(frame: pd.DataFrame) -> Any:
    names = [sorted(frame["name"].unique())]
    return make_pipeline(make_column_transformer((OneHotEncoder(categories=names), ["name"])), Ridge())


def _load(connection: Any, frame: pd.DataFrame) -> None:
    with connection, connection.cursor() as cursor:
        columns = ", ".join([*(f"{name} float8" for name in FEATURES), "name text"])
        cursor.execute(f"CREATE TABLE t ({columns})")
        cursor.copy_expert("COPY t FROM STDIN (FORMAT csv)", io.StringIO(frame.to_csv(index=False, header=False)))
    pgscore.install(connection)
    connection.commit()


def _measured(dsn: str, connection: Any, frame: pd.DataFrame, name: str, model: Any) -> list[object]:
    x = frame if name == "categories" else frame[FEATURES].head(2000)
    model.fit(x, np.sin(x.f0) + x.f1)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.skops"
        skops.io.dump(model, file)
        deployed = pgscore.deploy(connection, pgscore.load_model(file, trust=True), name=name, table="t")
        connection.commit()
    with contextlib.closing(psycopg2.connect(dsn, options="-c jit=off")) as session, session.cursor() as cursor:

        def took(limit: int) -> float:
            started = time.perf_counter()
            cursor.execute(f"SELECT sum(score.{name}(t)) FROM (SELECT * FROM t LIMIT {limit}) AS t")  # noqa: S608
            return time.perf_counter() - started

        took(0)
        first = took(1)
        whole = took(N_ROWS)
        status = Path(f"/proc/{session.info.backend_pid}/status").read_text("utf-8")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    memory = int(found[1]) / 1024 if found else None
    characters = sum(len(function.body.text) for function in deployed.artifact.functions)
    strategy = deployed.artifact.strategy.value
    return [strategy, characters, round(whole / N_ROWS * 1e6, 2), round(first * 1e3, 1), memory and round(memory)]


if __name__ == "__main__":
    main()
