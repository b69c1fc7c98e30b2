"""What an incremental refresh costs: a run beside a full run, and writers beside writers without triggers.

Beside each stands the least that it could cost: one UPDATE of the scores by somebody who knows the keys, and a trigger
that does nothing with its transition tables, which PostgreSQL fills for it. Rounds are interleaved and the median is
shown, so that a slow minute of the machine hits all alike.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
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
TRIGGERS = ("none", "pgscore's", "one that does nothing")
SETTINGS = {"shared_buffers": "2GB", "max_wal_size": "16GB", "checkpoint_timeout": "1h"}
"""The tables fit into memory, as in the other benchmarks, and checkpoints are made where they disturb none."""


def main() -> None:
    """Runs the benchmark and prints its tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.incremental", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    printed(*measured(options.rows, options.rounds))


def measured(n_rows: int, n_rounds: int) -> list[Table]:
    """Runs, and writers, on a server that is as safe against crashes as users' are: what a write costs is the base."""
    with tempfile.TemporaryDirectory(prefix="pgscore-bench-") as folder:
        data = Path(folder) / "data"
        with embedded.server(data) as dsn, contextlib.closing(psycopg2.connect(dsn)) as connection:
            _alone(connection, *(f"ALTER SYSTEM SET {name} = '{value}'" for name, value in SETTINGS.items()))
        with embedded.server(data) as dsn, contextlib.closing(psycopg2.connect(dsn)) as connection:
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
            CREATE TRIGGER captures AFTER UPDATE ON watched REFERENCING OLD TABLE AS o NEW TABLE AS n
                FOR EACH STATEMENT EXECUTE FUNCTION does_nothing()
            """
        )
    _enable(connection, "pgscore's")


def _vacuum(connection: Any, *tables: str) -> None:
    _alone(connection, f"VACUUM ANALYZE {', '.join(tables)}")


def _alone(connection: Any, *statements: str) -> None:
    """Runs each statement outside of a transaction block."""
    with contextlib.closing(psycopg2.connect(connection.dsn)) as other:
        other.autocommit = True
        for statement in statements:
            other.cursor().execute(statement)


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
        f"bulk update of {n_bulk:,} rows": "UPDATE watched SET f0 = random() WHERE id % 10 = {}",
        "the same of a column that no model reads": "UPDATE watched SET note = note + 1 WHERE id % 10 = {}",
    }
    rows = []
    for what, write in writes.items():
        took: dict[str, list[float]] = {triggers: [] for triggers in TRIGGERS}
        for turn in range(n_rounds):
            for triggers in (*TRIGGERS[turn % 3 :], *TRIGGERS[: turn % 3]):
                _enable(connection, triggers)
                # What a checkpoint makes writes cost is the same for all, and none begins by itself meanwhile.
                _alone(connection, "VACUUM watched", "CHECKPOINT")
                took[triggers].append(_seconds(connection, write.format(turn % 10)))
        plain, watched, bare = (statistics.median(times) for times in took.values())
        more, least = (f"{(seconds / plain - 1) * 100:+.0f} %" for seconds in (watched, bare))
        rows.append([what, f"{plain * 1000:.0f} ms", f"{watched * 1000:.0f} ms", more, "15 %", least])
    took = {triggers: [] for triggers in TRIGGERS}
    with contextlib.closing(psycopg2.connect(connection.dsn)) as one, one.cursor() as cursor:
        one.autocommit = True
        cursor.execute("SET synchronous_commit = off")
        for turn in range(60):
            triggers = TRIGGERS[turn % 3]
            _enable(connection, triggers)
            for row in range(100):
                start = time.perf_counter()
                cursor.execute(f"UPDATE watched SET f0 = f0 + 1 WHERE id = {turn // 3 * 100 + row + 1}")  # noqa: S608
                took[triggers].append(time.perf_counter() - start)
    plain, watched, bare = (statistics.median(times) * 1e6 for times in took.values())
    more, least = (f"{micros - plain:+.0f} µs" for micros in (watched, bare))
    rows.append(["single-row update", f"{plain:.0f} µs", f"{watched:.0f} µs", more, "50 µs", least])
    title = f"What writers pay, {n_rows:,} rows of {len(FEATURES)} doubles, medians"
    columns = ["write", "without triggers", "with", "more", "goal", "a trigger that does nothing"]
    return Table(title, columns, rows)


def _enable(connection: Any, triggers: str) -> None:
    """Has the source fire these triggers, of TRIGGERS, and no others: the same rows on the same pages for all."""
    change = "ALTER TABLE watched {} TRIGGER {}".format
    statements = {
        "none": [change("DISABLE", "USER")],
        "pgscore's": [change("ENABLE", "USER"), change("DISABLE", "captures")],
        "one that does nothing": [change("DISABLE", "USER"), change("ENABLE", "captures")],
    }
    with connection, connection.cursor() as cursor:
        for statement in statements[triggers]:
            cursor.execute(statement)


if __name__ == "__main__":
    main()
