"""The tables, as they are printed and as benchmarks/results/ keeps them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from . import tables
from .goals import Outcome, outcomes
from .scaling import Line, plotted
from .servers import Place
from .suite import Figures
from .tables import Table

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
    incremental: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    rows: list[Line] = field(default_factory=list)
    trees: list[Line] = field(default_factory=list)
    others: list[Table] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def goals(self) -> list[Outcome]:
        """What has been reached."""
        return outcomes(self.figures, self.incremental)

    @property
    def title(self) -> str:
        """What it was measured with."""
        machine = f"{_machine()}, {self.place.name}, Python {platform.python_version()}"
        packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
        clock = "time that passes" if self.place.postmaster is None else "processor time of client and server"
        return f"{machine}, {packages}; {clock}; the run took {self.seconds / 60:.0f} minutes"

    @property
    def tables(self) -> list[Table]:
        """All there is: the goals and the figures first."""
        return [
            Table("", GOALS, goal_rows(self.goals)),
            Table("", FIGURES, _figures(self)),
            *self.others,
            *(_scaling(line) for line in [*self.rows, *self.trees]),
        ]


def printed(report: Report) -> None:
    """Prints the tables, and what is left out."""
    print(report.title)
    tables.printed(*report.tables)
    for line in report.left_out:
        print(f"left out: {line}")


def written(report: Report, folder: Path) -> None:
    """Writes the same as Markdown and, in full digits, as JSON; draws the scaling."""
    folder.mkdir(parents=True, exist_ok=True)
    goals, figures, *others = (one.markdown for one in report.tables)
    left_out = [f"- Left out: {line}." for line in report.left_out]
    parts = ["# Benchmarks\n", f"`make bench`: {report.title}.\n", goals, figures, NOTES, *left_out, "", *others]
    if report.rows:
        plotted(report.rows, report.trees, folder / "scaling.png")
        parts.append("![Time against rows and against trees](scaling.png)\n")
    (folder / "table.md").write_text("\n".join(parts), "utf-8")
    content = {
        "title": report.title,
        "goals": [{**dataclasses.asdict(goal), "reached": goal.reached} for goal in report.goals],
        "figures": [dataclasses.asdict(figures) for figures in report.figures],
        "tables": [dataclasses.asdict(table) for table in report.others],
        "rows": [dataclasses.asdict(line) for line in report.rows],
        "trees": [dataclasses.asdict(line) for line in report.trees],
        "left out": report.left_out,
    }
    (folder / "figures.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _machine() -> str:
    """The processor and the memory, as far as Linux tells."""
    found = [f"{os.cpu_count()} cores"]
    with contextlib.suppress(OSError):
        model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE)
        found += [" ".join(model[1].split())] if model else []
        memory = re.search(r"^MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text("utf-8"))
        found += [f"{int(memory[1]) / 2**20:.0f} GB"] if memory else []
    return ", ".join(found)


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


def goal_rows(goals: Iterable[Outcome]) -> list[list[object]]:
    """The cells of GOALS."""
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


def _scaling(line: Line) -> Table:
    cells = [f"{seconds:.3g}" for seconds in line.seconds]
    return Table("", [line.name, *(f"{size:,}" for size in line.sizes)], [["seconds", *cells]])
