"""What an incremental refresh costs: a run beside a full run, and writers beside writers without triggers.

Beside each stands the least that it could cost: one UPDATE of the scores by somebody who knows the keys, and a trigger
that does nothing with its transition tables, which PostgreSQL fills for it. Rounds are interleaved and the median is
shown, so that a slow minute of the machine hits all alike.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg2
from sklearn.linear_model import LogisticRegression

from pgscore import embedded
from pgscore.compiler.load import LoadedModel
from pgscore.procedures.deploy import deploy
from pgscore.procedures.install import install
from pgscore.procedures.refresh import create_job, run_job

from .tables import Table, printed

FEATURES = [f"f{index}" for index in range(20)]
TABLES = ("plain", "watched", "bare")
"""The sources of a full job, of an incremental job, and of the least that it could cost."""


def main() -> None:
    """Runs the benchmark and prints its tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.incremental", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    printed(*measured(options.rows, options.rounds))


def measured(n_rows: int, n_rounds: int) -> list[Table]:
    """Runs, and writers, on a server that is as safe against crashes as users' are: what a write costs is the base."""
    with embedded.server() as dsn, contextlib.closing(psycopg2.connect(dsn)) as connection:
        _load(connection, n_rows)
        return [_runs(connection, n_rows, n_rounds), _writers(connection, n_rows, n_rounds)]


def _load(connection: Any, n_rows: int) -> None:
    rng = np.random.default_rng(0)
    install(connection)
    columns = ", ".join(f"{name} float8" for name in FEATURES)
    with connection, connection.cursor() as cursor:
        for name in TABLES:
            cursor.execute(f"CREATE TABLE {name} (id bigint PRIMARY KEY, note integer, {columns})")
            cursor.execute(
                f"INSERT INTO {name} SELECT i, 0{', random()' * len(FEATURES)} FROM generate_series(1, {n_rows}) AS i"  # noqa: S608
            )
    _vacuum(connection, *TABLES)
    x = pd.DataFrame(rng.normal(size=(2000, len(FEATURES))), columns=FEATURES)
    fitted = LogisticRegression().fit(x, x.f0 + x.f1 > 0)
    model = LoadedModel(fitted, Path("m.skops"), "skops", "00", {}, "LogisticRegression")
    for name, mode in (("watched", "incremental"), ("plain", "full"), ("bare", "full")):
        deploy(connection, model, name=f"bench_{name}", table=name)
        create_job(
            connection,
            f"bench_{name}",
            model=f"bench_{name}",
            source=name,
            keys=["id"],
            target=f"{name}_scores",
            mode=mode,
        )
        run_job(connection, f"bench_{name}")
    _vacuum(connection, *(f"{name}_scores" for name in TABLES))
    with connection, connection.cursor() as cursor:
        cursor.execute(
            """
            CREATE FUNCTION does_nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
            CREATE TRIGGER captures AFTER UPDATE ON bare REFERENCING OLD TABLE AS o NEW TABLE AS n
                FOR EACH STATEMENT EXECUTE FUNCTION does_nothing()
            """
        )


def _vacuum(connection: Any, *tables: str) -> None:
    with contextlib.closing(psycopg2.connect(connection.dsn)) as other:
        other.autocommit = True
        other.cursor().execute(f"VACUUM ANALYZE {', '.join(tables)}")


def _seconds(connection: Any, statement: str) -> float:
    start = time.perf_counter()
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
    return time.perf_counter() - start


def _runs(connection: Any, n_rows: int, n_rounds: int) -> Table:
    hundredth = n_rows // 100
    rows = []
    for where, condition in (
        ("each on a page of its own", "id % 100 = {turn}"),
        ("side by side", "id > {turn} * {hundredth} AND id <= ({turn} + 1) * {hundredth}"),
    ):
        took: dict[str, list[float]] = {name: [] for name in TABLES}
        for turn in range(n_rounds):
            changed = condition.format(turn=turn, hundredth=hundredth)
            for name, times in took.items():
                _vacuum(connection, name, f"{name}_scores")
                _seconds(connection, f"UPDATE {name} SET f0 = random() WHERE {changed}")  # noqa: S608
                if name == "bare":
                    keys = f"CREATE TABLE keys AS SELECT id FROM bare WHERE {changed}"  # noqa: S608
                    _seconds(connection, f"DROP TABLE IF EXISTS keys; {keys}")
                    _vacuum(connection, "keys")
                    times.append(_seconds(connection, _BY_HAND))
                else:
                    times.append(run_job(connection, f"bench_{name}").seconds)
        full, incremental, bare = (statistics.median(times) * 1000 for times in took.values())
        share = f"{incremental / full * 100:.1f} %"
        rows.append([where, round(full), round(incremental), share, "3 %", round(bare), f"{bare / full * 100:.1f} %"])
    title = f"Runs where {hundredth:,} of {n_rows:,} rows changed, logistic regression, medians of {n_rounds}"
    columns = ["changed rows", "full, ms", "incremental, ms", "of full", "goal", "one UPDATE by key, ms", "of full"]
    return Table(title, columns, rows)


_BY_HAND = """
    UPDATE bare_scores AS t SET score = score.bench_bare(b), scored_at = now()
    FROM keys AS k JOIN bare AS b USING (id)
    WHERE t.id = k.id
"""


def _writers(connection: Any, n_rows: int, n_rounds: int) -> Table:
    n_bulk = n_rows // 10
    writes = {
        f"bulk update of {n_bulk:,} rows": "UPDATE {} SET f0 = random() WHERE id % 10 = {}",
        "the same of a column that no model reads": "UPDATE {} SET note = note + 1 WHERE id % 10 = {}",
    }
    rows = []
    for what, write in writes.items():
        took: dict[str, list[float]] = {name: [] for name in TABLES}
        for turn in range(n_rounds):
            for name, times in took.items():
                _vacuum(connection, name)
                times.append(_seconds(connection, write.format(name, turn)))
        plain, watched, bare = (statistics.median(times) for times in took.values())
        more, least = (f"{(seconds / plain - 1) * 100:+.0f} %" for seconds in (watched, bare))
        rows.append([what, f"{plain * 1000:.0f} ms", f"{watched * 1000:.0f} ms", more, "15 %", least])
    took = {name: [] for name in TABLES}
    with contextlib.closing(psycopg2.connect(connection.dsn)) as one, one.cursor() as cursor:
        one.autocommit = True
        cursor.execute("SET synchronous_commit = off")
        for turn in range(2000):
            for name, times in took.items():
                start = time.perf_counter()
                cursor.execute(f"UPDATE {name} SET f0 = f0 + 1 WHERE id = {turn + 1}")  # noqa: S608
                times.append(time.perf_counter() - start)
    plain, watched, bare = (statistics.median(times) * 1e6 for times in took.values())
    more, least = (f"{micros - plain:+.0f} µs" for micros in (watched, bare))
    rows.append(["single-row update", f"{plain:.0f} µs", f"{watched:.0f} µs", more, "50 µs", least])
    title = f"What writers pay, {n_rows:,} rows of {len(FEATURES)} doubles, medians"
    columns = ["write", "without triggers", "with", "more", "goal", "a trigger that does nothing"]
    return Table(title, columns, rows)


if __name__ == "__main__":
    main()
