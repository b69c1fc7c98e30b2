"""What readers of a prediction table notice of a full refresh: what they see, and how long they wait.

Clients read a page of keys at a steady pace, which leaves most of the machine idle: that the refresh takes a core is
not what is measured, but whether reads wait for it. One more client reads the whole table now and then. Every read is
checked: no row missing, and all of one version. Quiet time and refreshes of every row take turns.
"""

from __future__ import annotations

import argparse
import contextlib
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg2
from rich.console import Console
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from pgscore import embedded
from pgscore.cli.output import table
from pgscore.compiler.load import LoadedModel
from pgscore.procedures.deploy import deploy
from pgscore.procedures.install import install, is_installed
from pgscore.procedures.lifecycle import promote
from pgscore.procedures.refresh import create_job, run_job

FEATURES = [f"f{index}" for index in range(20)]
MODELS = {"logistic": LogisticRegression(), "tree_depth_8": DecisionTreeClassifier(max_depth=8, random_state=0)}
PAGE = 100
WHOLE = "SELECT count(*), min(model_version), max(model_version) FROM {}_scores"
SOME = WHOLE + " WHERE id BETWEEN %s AND %s"


@dataclass
class Reads:
    """What the clients of one turn saw: milliseconds of each read of a page, and the reads of no whole state."""

    took: list[float] = field(default_factory=list)
    whole: int = 0
    wrong: list[Any] = field(default_factory=list)


def main() -> None:
    """Runs the benchmark and prints its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dsn", help="A database of its own; default: the embedded server.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--reads-per-second", type=float, default=10, help="Of each client.")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        dsn = options.dsn or stack.enter_context(embedded.server())
        connection = stack.enter_context(contextlib.closing(psycopg2.connect(dsn)))
        _load(connection, options.rows)
        rows = [
            row
            for name in MODELS
            for writes in ("swap", "difference")
            for row in _measured(connection, name, writes, options)
        ]
    title = (
        f"{options.clients} clients, {options.reads_per_second:g} reads of {PAGE} keys a second each, "
        f"refreshes of {options.rows:,} rows, {options.rounds} rounds"
    )
    header = ["model", "written", "", "refresh, s", "reads", "p50, ms", "p99, ms", "max, ms", "of no whole state"]
    Console(highlight=False, width=140).print(table(header, rows, title))


def _load(connection: Any, n_rows: int) -> None:
    if not is_installed(connection):
        install(connection)
    columns = ", ".join(f"{name} float8" for name in FEATURES)
    with connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE read_source (id bigint PRIMARY KEY, {columns})")
        cursor.execute(
            f"INSERT INTO read_source SELECT i{', random()' * len(FEATURES)} FROM generate_series(1, {n_rows}) AS i"  # noqa: S608
        )
    _vacuum(connection, "read_source")
    rng = np.random.default_rng(0)
    x = pd.DataFrame(rng.normal(size=(5000, len(FEATURES))), columns=FEATURES)
    for name, estimator in MODELS.items():
        model = LoadedModel(estimator.fit(x, x.f0 + x.f1 > 0), Path("m.skops"), "skops", "00", {}, name)
        for _ in range(2):
            deploy(connection, model, name=name, table="read_source")
        create_job(connection, name, model=name, source="read_source", keys=["id"], target=f"{name}_scores")
        run_job(connection, name)


def _vacuum(connection: Any, name: str) -> None:
    with contextlib.closing(psycopg2.connect(connection.dsn)) as other:
        other.autocommit = True
        other.cursor().execute(f"VACUUM ANALYZE {name}")


def _measured(connection: Any, name: str, writes: str, options: argparse.Namespace) -> list[list[Any]]:
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_catalog.set_config('pgscore.writes', %s, false)", [writes])
    quiet, busy = Reads(), Reads()
    seconds = []
    for _ in range(options.rounds):
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT live FROM pgscore.model_overview WHERE model = %s", [name])
            (live,) = cursor.fetchone()
        promote(connection, name, 3 - live)
        _vacuum(connection, f"{name}_scores")
        with _readers(connection.dsn, name, options, quiet):
            time.sleep(3)
        with _readers(connection.dsn, name, options, busy):
            result = run_job(connection, name)
        if result.written != writes:
            raise RuntimeError(f"{name} was written by {result.written}: {result.because}")
        seconds.append(result.seconds)
    rows: list[list[Any]] = []
    for what, took, reads in (("quiet", "", quiet), ("refresh", round(float(np.median(seconds)), 2), busy)):
        p50, p99 = np.percentile(reads.took, [50, 99])
        rows.append([
            name, writes, what, took, len(reads.took) + reads.whole,
            round(p50, 2), round(p99, 2), round(max(reads.took), 1), len(reads.wrong),
        ])  # fmt: skip
    ratios = [round(rows[1][column] / rows[0][column], 2) for column in (5, 6)]
    return [*rows, [name, writes, "ratio", "", "", *ratios, "", ""]]


@contextlib.contextmanager
def _readers(dsn: str, name: str, options: argparse.Namespace, reads: Reads) -> Any:
    stop = threading.Event()

    def read(number: int, pause: float, n_keys: int) -> None:
        rng = np.random.default_rng(number)
        with contextlib.closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            while not stop.wait(pause * rng.uniform(0.5, 1.5)):
                start = time.perf_counter()
                if n_keys < options.rows:
                    first = int(rng.integers(1, options.rows - n_keys))
                    cursor.execute(SOME.format(name), [first, first + n_keys - 1])
                else:
                    cursor.execute(WHOLE.format(name))
                (found,) = cursor.fetchall()
                if n_keys < options.rows:
                    reads.took.append((time.perf_counter() - start) * 1000)
                else:
                    reads.whole += 1
                if found[0] != n_keys or found[1] != found[2]:
                    reads.wrong.append(found)

    threads = [
        threading.Thread(target=read, args=(number, 1 / options.reads_per_second, PAGE))
        for number in range(options.clients)
    ]
    threads.append(threading.Thread(target=read, args=(options.clients, 1.0, options.rows)))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
