"""All that is measured of one model, its answers held against the model's own."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .cases import TOLERANCE, Case, Job, Loop, Query, ours, scan
from .measuring import catalog_bytes, cold_call, interleaved, peak_memory, single_rows
from .models import Subject
from .peers import peers
from .servers import Place

CLOSE = 1e-6
"""What single precision may make of a score."""


class OtherAnswer(Exception):
    """A case gives another answer than the model: its time means nothing."""


@dataclass(frozen=True)
class Effort:
    """How much is measured: rows, rounds, repeats of one row, and how many seconds one run of a case may take;
    and whether to go on to what is not of one model: more rows and trees, deploys, changes."""

    rows: int = 1_000_000
    rounds: int = 3
    repeats: int = 2000
    query_seconds: float = 3.0
    job_seconds: float = 15.0
    whole: bool = True


@dataclass
class Figures:
    """What was measured of one case; None where it does not apply. `bulk` and `job` are seconds for a row, of so many
    rows; `off` is how many of the checked rows differ by more than CLOSE."""

    model: str
    case: str
    rows: int
    bulk: float | None = None
    job: float | None = None
    median: float | None = None
    slow: float | None = None
    cold: float | None = None
    catalog: int | None = None
    memory: int | None = None
    off: int | None = None


def measure(place: Place, subject: Subject, effort: Effort) -> tuple[list[Figures], list[str]]:
    """The figures of each case, and what is left out of the peers, with the reason. Raises OtherAnswer."""
    others, left_out = peers(place, subject)
    cases: list[Case] = [scan(subject), *ours(place, subject), *others]
    with contextlib.closing(place.connect()) as connection, connection.cursor() as cursor:
        runner = Runner(place, subject, effort, cursor)
        tables = {case.name: runner.table(case) for case in cases}
        for case in cases:
            if not isinstance(case, Job):
                runner.check(case, tables[case.name])
        by_name = {case.name: case for case in cases}
        took = interleaved(
            place,
            {name: runner.run(case, tables[name]) for name, case in by_name.items()},
            effort.rounds,
            lambda name: runner.before(by_name[name], tables[name]),
        )
        queries = [case for case in cases if isinstance(case, Query)]
        single = single_rows(
            place,
            {case.name: _one(case, subject.data.name, "$1") for case in queries if case.single},
            len(subject.data.x),
            effort.repeats,
        )
        figures = []
        for case in cases:
            rows = case.n_rows if isinstance(case, Loop) else subject.data.tables[tables[case.name]]
            made = Figures(subject.name, case.name, rows)
            setattr(made, "job" if isinstance(case, Job) else "bulk", took[case.name] / rows)
            made.median, made.slow = single.get(case.name, (None, None))
            if isinstance(case, Query):
                if case.single:
                    made.cold = cold_call(place, _one(case, subject.data.name, "1"), effort.rounds)
                if case.functions:
                    made.catalog = catalog_bytes(cursor, case.functions)
                made.memory = peak_memory(place, case.total(tables[case.name]))
            made.off = runner.check(case, tables[case.name])
            figures.append(made)
    return figures, left_out


def _one(case: Query, table: str, key: str) -> str:
    return f"SELECT * FROM ({case.select(table)}) AS q WHERE id = {key}"  # noqa: S608


@dataclass(frozen=True)
class Runner:
    """Runs the cases of a model; queries in the session of `cursor`."""

    place: Place
    subject: Subject
    effort: Effort
    cursor: Any

    def before(self, case: Case, table: str) -> None:
        """Ends the transaction, and does what is not timed."""
        self.cursor.connection.commit()
        if isinstance(case, Job):
            case.prepare(table)

    def run(self, case: Case, table: str) -> Callable[[], object]:
        """What is timed."""
        if isinstance(case, Query):
            text = case.total(table)
            return lambda: self.cursor.execute(text)
        return case.run if isinstance(case, Loop) else lambda: case.run(table)

    def table(self, case: Case) -> str:
        """The largest table that a run of the case gets through in the time it may take, by what more rows took so far.

        What a job does once, such as starting processes, may take longer than its first rows: it has two runs to tell.
        """
        tables = list(self.subject.data.tables.items())
        limit = self.effort.job_seconds if isinstance(case, Job) else self.effort.query_seconds
        fewer = None if isinstance(case, Job) else (0, 0.0)
        for (table, n_rows), (_, n_more) in itertools.pairwise(tables):
            self.before(case, table)
            self.run(case, table)()  # what a session does once is not what a row costs
            if isinstance(case, Loop):
                return table
            self.before(case, table)
            took = self.place.seconds(self.run(case, table))
            if fewer is not None:
                per_row = max(0.0, took - fewer[1]) / (n_rows - fewer[0])
                if took + per_row * (n_more - n_rows) > limit:
                    return table
            fewer = (n_rows, took)
        return tables[-1][0]

    def check(self, case: Case, table: str) -> int | None:
        """How many rows of the table come close to the model's answer only. Raises OtherAnswer of an exact case."""
        if isinstance(case, Loop):
            found = case.run()
        elif case.name == "scan":
            return None
        else:
            source = case.target(table) if isinstance(case, Job) else f"({case.select(table)}) AS q"
            self.cursor.execute(f"SELECT score FROM {source} ORDER BY id")  # noqa: S608
            found = np.array([row for (row,) in self.cursor.fetchall()], dtype=float)
        wanted = self.subject.answers[: len(found)]
        difference = np.abs(found - wanted)
        n_rows = case.n_rows if isinstance(case, Loop) else self.subject.data.tables[table]
        if len(found) != n_rows or (exact(case) and not (difference <= TOLERANCE).all()):
            n_other = int((~(difference <= TOLERANCE)).sum())
            raise OtherAnswer(f"{self.subject.name}, {case.name}: {n_other} of {len(found)} rows have another score")
        return int((~(difference <= CLOSE)).sum())


def exact(case: Case) -> bool:
    """Whether the case is to give the model's answer; some are known to come close only."""
    return isinstance(case, Loop) or case.exact
