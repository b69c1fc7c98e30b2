"""The tables, as they are printed and as benchmarks/results/ keeps them."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from pgscore.cli.output import table

from .goals import Outcome, outcomes
from .scaling import Line, plotted
from .servers import Place
from .suite import Figures

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("numpy", "scikit-learn", "onnxruntime", "lightgbm", "adbc-driver-postgresql", "pyarrow")
FIGURES = (
    "model", "case", "rows", "bulk µs/row", "job µs/row", "job s", "one row µs", "p99 µs", "cold ms", "catalog kB",
    "memory MB", "off",
)  # fmt: skip
GOALS = ("goal", "model", "measured", "wanted", "reached")
NOTES = """\
`bulk`: the sum of all scores, or of the columns read (*scan*). `job`: a table filled; of pgscore a refresh after a
promote, which changes every row. `one row`: a prepared statement in a warm session, median and 99th percentile; `cold`:
the first statement of a session. `catalog`: what is stored. `memory`: the most of its own that the server process held.
`rows`: what was timed; a slow case is timed over a part of the table, and `job s` is then scaled up. `off`: how many of
those rows differ from the model's own answer by more than 1e-6; all but orbital's must agree within 1e-9, or there is
no table.
"""


@dataclass
class Report:
    """What one run found."""

    place: Place
    figures: list[Figures] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    incremental: float | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    rows: list[Line] = field(default_factory=list)
    trees: list[Line] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def goals(self) -> list[Outcome]:
        """What has been reached."""
        return outcomes(self.figures, self.incremental)

    @property
    def title(self) -> str:
        """What it was measured with."""
        machine = f"{os.cpu_count()} cores, {self.place.name}, Python {platform.python_version()}"
        packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
        clock = "time that passes" if self.place.postmaster is None else "processor time of client and server"
        return f"{machine}, {packages}; {clock}; the run took {self.seconds / 60:.0f} minutes"


def printed(report: Report) -> None:
    """Prints the table and the goals."""
    console = Console(highlight=False, width=170)
    console.print(table(FIGURES, _figures(report), report.title))
    for line in report.left_out:
        console.print(f"left out: {line}")
    console.print(table(GOALS, _goals(report.goals)))
    for lines in (report.rows, report.trees):
        for line in lines:
            console.print(table(*_line(line)))


def written(report: Report, folder: Path) -> None:
    """Writes the same as Markdown, and the figures as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [
        "# Benchmarks\n",
        f"`make bench`: {report.title}.\n",
        _markdown(GOALS, _goals(report.goals)),
        _markdown(FIGURES, _figures(report)),
        NOTES,
        *(f"- Left out: {line}." for line in report.left_out),
        "",
        *(_markdown(*_line(line)) for line in [*report.rows, *report.trees]),
    ]
    (folder / "table.md").write_text("\n".join(parts), "utf-8")
    if report.rows:
        plotted(report.rows, report.trees, folder / "scaling.png")
    content = {"title": report.title, "figures": [dataclasses.asdict(figures) for figures in report.figures]}
    (folder / "figures.json").write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def _figures(report: Report) -> list[list[object]]:
    def scaled(value: float | None, factor: float) -> float | None:
        return None if value is None else float(f"{value * factor:.3g}")

    return [
        [
            f.model,
            f.case,
            f.rows,
            scaled(f.bulk, 1e6),
            scaled(f.job, 1e6),
            scaled(f.job, report.sizes[f.model]),
            scaled(f.median, 1e6),
            scaled(f.slow, 1e6),
            scaled(f.cold, 1e3),
            scaled(f.catalog, 1 / 1024),
            scaled(f.memory, 1 / 2**20),
            f.off,
        ]
        for f in report.figures
    ]


def _goals(goals: Iterable[Outcome]) -> list[list[object]]:
    return [
        [
            goal.what,
            goal.model,
            "not measured" if goal.measured is None else f"{goal.measured:.3g} {goal.unit}",
            f"{'≥' if goal.at_least else '≤'} {goal.goal:g} {goal.unit}",
            {None: "", True: "reached", False: "not reached"}[goal.reached],
        ]
        for goal in goals
    ]


def _line(line: Line) -> tuple[list[str], list[list[object]]]:
    return [line.name, *(f"{size:,}" for size in line.sizes)], [["seconds", *(f"{s:.3g}" for s in line.seconds)]]


def _markdown(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [list(header), ["---"] * len(header), *([_text(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _text(cell: object) -> str:
    if cell is None:
        return ""
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
