"""What a deploy of a large forest takes, from the file to the gate: seconds, and the memory of both ends.

`pgscore deploy` runs as users run it, in a process of its own, with PL/Python and without, and `auto` chooses. Fitting
the forests and writing their files are not in it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from . import data
from .servers import Place, started
from .tables import Table, printed

GOAL_SECONDS, GOAL_BYTES = 60, 2 << 30
GOAL = f"{GOAL_SECONDS} s, {GOAL_BYTES >> 20:,} MB"
FORESTS = {"classifier": RandomForestClassifier, "regressor": RandomForestRegressor}
SAMPLE_SECONDS = 0.01
HEADER = ("forest", "splits", "PL/Python", "s", "client MB", "server process MB", "goal", "reached", "answer")


@dataclass(frozen=True)
class Deploy:
    """A `pgscore deploy`: what it said, and the most bytes that its process and the server's ever had resident."""

    forest: str
    splits: int
    plpython: bool
    answer: str
    done: bool
    seconds: float
    client: int
    server: int

    @property
    def reached(self) -> bool:
        return self.done and self.seconds < GOAL_SECONDS and max(self.client, self.server) < GOAL_BYTES


def main() -> None:
    """Runs the benchmark and prints its table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deploying", description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--trees", type=int, default=500)
    parser.add_argument("--depth", type=int, default=12)
    options = parser.parse_args()
    with started(processor_time=False) as place:
        printed(measured(place, options.rows, options.trees, options.depth))


def measured(place: Place, n_rows: int = 20_000, n_trees: int = 500, depth: int = 12) -> Table:
    """Deploys each forest to a database with PL/Python, if the server has it, and to one without."""
    rows = data.synthetic(n_rows)
    forests = {kind: saved(place.folder, kind, rows, n_trees, depth) for kind in FORESTS}
    found = []
    for plpython in (True, False) if place.plpython else (False,):
        where = place.database(f"deploys_{'with' if plpython else 'without'}_plpython", plpython=plpython)
        data.store(where, rows)
        found += [deployed(where, file, n_splits) for file, n_splits in forests.values()]
    title = f"Deploys of {n_trees} trees of depth {depth}, {n_rows:,} rows of 20 columns, from the file to the gate"
    return Table(title, HEADER, [_cells(deploy) for deploy in found])


def saved(folder: Path, kind: str, rows: data.Data, n_trees: int, depth: int) -> tuple[Path, int]:
    """A fitted forest as a file, and how many splits it has."""
    noise = np.random.default_rng(1).normal(size=len(rows.x))
    target = rows.y if kind == "classifier" else rows.x.f0 + rows.x.f1 * rows.x.f2 - rows.x.f3 + noise
    options = {"max_depth": depth, "max_features": "sqrt", "n_jobs": -1, "random_state": 0}
    forest = FORESTS[kind](n_trees, **options).fit(rows.x, target)
    file = folder / f"{kind}.skops"
    skops.io.dump(forest, file)
    return file, sum(int((tree.tree_.feature >= 0).sum()) for tree in forest.estimators_)


def deployed(place: Place, file: Path, n_splits: int) -> Deploy:
    """Deploys the file's model for the table."""
    with contextlib.closing(place.connect()) as connection:
        postmaster = _status(connection.info.backend_pid, "PPid")
    others = _children(postmaster)
    program = str(Path(sys.executable).with_name("pgscore"))
    command = [program, "deploy", str(file), "--as", file.stem, "--table", "synthetic", "--dsn", place.dsn, "--json"]
    begun = time.perf_counter()
    with subprocess.Popen(  # noqa: S603 - our own command
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        client = server = 0
        while process.poll() is None:
            client = max(client, _most(process.pid))
            server = max(server, *map(_most, _children(postmaster) - others), 0)
            time.sleep(SAMPLE_SECONDS)
        seconds = time.perf_counter() - begun
        said, complained = process.communicate()
    done = process.returncode == 0
    answer = _answer(json.loads(said)) if done else complained.strip().splitlines()[-1]
    return Deploy(file.stem, n_splits, place.plpython, answer, done, seconds, client, server)


def _answer(deployment: dict[str, Any]) -> str:
    stages = ", ".join(f"{stage} {took:.1f}" for stage, took in deployment["seconds"].items())
    return f"{deployment['strategy']} ({stages})"


def _cells(deploy: Deploy) -> list[object]:
    memory = [deploy.client >> 20, deploy.server >> 20]
    has, reached = ("yes" if yes else "no" for yes in (deploy.plpython, deploy.reached))
    return [deploy.forest, deploy.splits, has, round(deploy.seconds, 1), *memory, GOAL, reached, deploy.answer]


def _children(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()}


def _most(pid: int) -> int:
    """The most bytes that a process ever had resident. (rusage would also count what its parent had.)"""
    return _status(pid, "VmHWM") * 1024


def _status(pid: int, field: str) -> int:
    """A number of /proc/PID/status; 0 where the process has ended."""
    with contextlib.suppress(OSError):
        found = re.search(rf"{field}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text("utf-8"))
        return int(found[1]) if found else 0
    return 0


if __name__ == "__main__":
    main()
