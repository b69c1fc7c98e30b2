"""Time against rows and against trees: both should be lines."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot

from .cases import Case, Query, ours, with_onnx, without_onnx
from .data import Data
from .measuring import interleaved
from .models import MODELS, boosted, fitted
from .servers import Place
from .suite import Effort, Runner

SCALED = "synthetic"
"""The data that grows."""
ROWS = ("pgscore sql", "pgscore sql, refresh", "pgscore onnx, batches")
TREES = (10, 30, 100, 300, 1000)
FACTOR = 10
"""How many times the rows of the table the largest one has."""


@dataclass(frozen=True)
class Line:
    """Seconds for each size of one case; of trees, for a row."""

    name: str
    sizes: list[int]
    seconds: list[float]


def against_rows(place: Place, data: Data, effort: Effort) -> list[Line]:
    """Seconds for so many rows: queries and refreshes."""
    large = f"{data.name}_large"
    columns = ", ".join(data.x)
    place.alone(
        f"CREATE TABLE {large} AS SELECT turn * {len(data.x)} + id AS id, {columns}"  # noqa: S608
        f" FROM generate_series(0, {FACTOR - 1}) AS turn CROSS JOIN {data.name}"
    )
    place.alone(f"ALTER TABLE {large} ADD PRIMARY KEY (id)")
    place.alone(f"VACUUM ANALYZE {large}")
    tables = {**data.tables, large: FACTOR * len(data.x)}
    del tables[next(iter(tables))]  # a thousandth: less than what a statement takes by itself
    lines = []
    for name, cases_of in {"logistic": without_onnx, "lightgbm 100": with_onnx}.items():
        if cases_of is with_onnx and not place.plpython:
            continue
        subject = fitted(f"rows {name}", MODELS[name], data)
        with contextlib.closing(place.connect()) as connection, connection.cursor() as cursor:
            runner = Runner(place, subject, effort, cursor)
            for case in cases_of(place, subject):
                if case.name in ROWS:
                    seconds = [_seconds(runner, case, table, n_rows) for table, n_rows in tables.items()]
                    lines.append(Line(f"{name}, {case.name}", list(tables.values()), seconds))
    return lines


def _seconds(runner: Runner, case: Case, table: str, n_rows: int) -> float:
    rounds = 1 if n_rows > len(runner.subject.data.x) else runner.effort.rounds
    took = interleaved(runner.place, {table: runner.run(case, table)}, rounds, lambda table: runner.before(case, table))
    return took[table]


def against_trees(place: Place, data: Data, effort: Effort) -> list[Line]:
    """Seconds for a row: LightGBM in SQL or plpgsql, and in ONNX."""
    found: dict[str, list[float]] = {}
    for n_trees in TREES:
        subject = fitted(f"trees {n_trees}", boosted(n_trees), data)
        with contextlib.closing(place.connect()) as connection, connection.cursor() as cursor:
            runner = Runner(place, subject, effort, cursor)
            for case in ours(place, subject):
                if isinstance(case, Query) and case.name != "pgscore onnx":
                    table = runner.table(case)
                    runner.check(case, table)
                    name = "ONNX batches" if "onnx" in case.name else "without PL/Python"
                    found.setdefault(name, []).append(
                        _seconds(runner, case, table, data.tables[table]) / data.tables[table]
                    )
    return [Line(name, list(TREES), seconds) for name, seconds in found.items()]


def plotted(rows: Sequence[Line], trees: Sequence[Line], file: Path) -> None:
    """Draws both, with logarithmic axes."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    for axes, lines, across, up in ((left, rows, "rows", "seconds"), (right, trees, "trees", "seconds for a row")):
        for line in lines:
            axes.loglog(line.sizes, line.seconds, "o-", label=line.name)
        axes.set(xlabel=across, ylabel=up)
        axes.grid(which="major", alpha=0.3)
        axes.legend(fontsize="small")
    figure.savefig(file, dpi=100)
