"""Runs all cases, prints the table and writes benchmarks/results/."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from . import data, deploying, incremental, large, newest, report
from .changes import incremental_share
from .goals import CHANGING
from .models import MODELS, fitted
from .scaling import SCALED, against_rows, against_trees
from .servers import Place, started
from .suite import Effort, measure
from .tables import Table

QUICK = Effort(rows=10_000, rounds=1, repeats=20, query_seconds=0.3, job_seconds=1.0, whole=False)

PARTS: dict[str, Callable[[Place, Effort], list[Table]]] = {
    "deploys": lambda place, _: [deploying.measured(place)],
    "incremental runs and writers": lambda _, effort: incremental.measured(effort.rows, effort.rounds),
    "PostgreSQL 18": lambda _, effort: [newest.measured(effort)],
    "large models": lambda *_: [large.measured()],
}
"""What is measured beside the models, each with tables of its own."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the benchmarks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rows and one round: does it run, do answers agree")
    parser.add_argument("--rows", type=int, help="of the largest table; a million, or all flights")
    parser.add_argument("--rounds", type=int, help="whose median is taken; 3")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), metavar="MODEL")
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="measure what this process and the server compute, not the time that passes: on a machine that others use",
    )
    parser.add_argument("--into", type=Path, default=report.RESULTS, help="the folder of the results")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that the server is stopped, too
    asked = {"rows": options.rows, "rounds": options.rounds}
    effort = replace(QUICK if options.quick else Effort(), **{name: n for name, n in asked.items() if n is not None})
    with started(processor_time=options.processor_time) as place:
        report.printed(run(place, effort, options.models, options.into))


def run(place: Place, effort: Effort, models: Sequence[str], into: Path) -> report.Report:
    """Measures the models. What is known is written after each of them."""
    begun = time.perf_counter()

    def progress(what: str) -> None:
        print(f"{time.perf_counter() - begun:6.0f} s  {what}", file=sys.stderr, flush=True)

    found = report.Report(place)
    whole = effort.whole and list(models) == list(MODELS)
    if not place.plpython:
        found.left_out.append(
            "ONNX and joblib in PL/Python: Debian's postgresql-15 and postgresql-plpython3-15 are not here"
        )
    for source in dict.fromkeys(MODELS[name].data for name in models):
        rows = data.DATA[source](effort.rows)
        data.store(place, rows)
        for name in (name for name in models if MODELS[name].data == source):
            progress(name)
            place.alone("CHECKPOINT")
            subject = fitted(name, MODELS[name], rows)
            figures, left_out = measure(place, subject, effort)
            found.figures.extend(figures)
            found.sizes[name] = len(rows.x)
            found.left_out.extend(f"{name}, {line}" for line in left_out)
            if name in CHANGING:
                progress("incremental refresh")
                found.incremental[name] = incremental_share(place, subject, effort.rounds)
            found.seconds = time.perf_counter() - begun
            report.written(found, into)
        if source == SCALED and whole:
            progress("scaling")
            place.alone("CHECKPOINT")
            found.rows = against_rows(place, rows, effort)
            found.trees = against_trees(place, rows, effort)
            found.seconds = time.perf_counter() - begun
            report.written(found, into)
    for part, measured in PARTS.items() if whole else ():
        progress(part)
        found.others.extend(measured(place, effort))
        found.seconds = time.perf_counter() - begun
        report.written(found, into)
    return found


if __name__ == "__main__":
    main()
