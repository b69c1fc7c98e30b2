"""What the parity gate asks a version's functions, and what it makes of their answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import psycopg2
import psycopg2.errorcodes

from pgscore.compiler.artifact import Function, SqlType

from .answers import Subject, Table, evaluate, evaluate_batch
from .cases import Cases, Row, Space, perturbed
from .conditional import Answers, Judge
from .parity import FunctionParity, ParityReport, compare

T = TypeVar("T")

SECONDS = 3.0  # what real rows may cost: an ensemble in plpgsql takes half a millisecond a row for its three functions
MIN_REAL_ROWS = 1000
MOVES = 10  # how often a real row may come back with another of its columns moved
OUTSIDE = 10  # one row that does not satisfy a version's condition for so many that do
_EMPTY = "the table is empty: adversarial rows only"
_NONE_SATISFIES = "no row of the table satisfies the condition: adversarial rows only"


def is_exact(function: Function) -> bool:
    """Whether the function's answers must equal the model's: labels, and all that is no double."""
    return function.labels is not None or not function.result.startswith(SqlType.DOUBLE.value)


class Trial:
    """Calls the functions and collects expected and actual answers."""

    def __init__(self, cursor: Any, table: Table, it: Subject) -> None:
        self._cursor = cursor
        self._table = table
        self._it = it
        self._expected: dict[str, list[object]] = {f.suffix: [] for f in it.functions}
        self._actual: dict[str, list[object]] = {f.suffix: [] for f in it.functions}
        self._varied: dict[str, list[str]] = {f.suffix: [] for f in it.functions}
        main = it.functions[0]
        self._in_batches = it.has_graph and len(main.outputs) == 1 and not main.result.endswith("[]")
        self._of_batches: list[object] = []
        self._errors: dict[str, str] = {}
        self._notes: list[str] = []
        self._made_up = self._real = self._refused = 0
        self._seconds = 0.0

    def note(self, text: str) -> None:
        """Adds a sentence to the report."""
        self._notes.append(text)

    def factors(self) -> None:
        """Compares a recommender's factors with the model's, to the last bit: pairs of user and item are too many."""
        if self._it.factors_sha256 is not None:
            self._cursor.execute("SELECT pgscore.factors_sha256(%s, %s)", [self._it.name, self._it.version])
            if self._cursor.fetchone() != (self._it.factors_sha256,):
                self._errors[self._it.functions[0].suffix] = "reads other factors than the model's"

    def made_up(self, cases: Cases, answers: Answers) -> None:
        """Compares made-up rows."""
        if not len(cases):
            return
        self._made_up += len(cases)
        started = time.perf_counter()
        try:
            functions = self._sound()
            found = self._try(lambda: self._ask(functions, cases)) if functions else {}
        except psycopg2.Error as error:
            _reraise_unless_function(error)
            found = self._one_by_one(cases)
        self._seconds += time.perf_counter() - started
        self._add(cases, answers, found)
        self._batch(cases)

    def real(self, judge: Judge, space: Space | None) -> None:
        """Compares rows of the table, in the form that users call; then the same rows moved onto the probes."""
        per_row = self._seconds / max(self._made_up, 1)
        affordable = max(MIN_REAL_ROWS, int(SECONDS / 2 / per_row)) if per_row else self._table.max_rows
        limit = min(self._table.max_rows, affordable)
        functions = self._sound()
        read = [self._table.rows]
        if self._it.where is not None:
            read.append(partial(self._table.rows, outside=True))
        try:
            parts = [self._try(partial(rows, functions, limit // OUTSIDE**n)) for n, rows in enumerate(read)]
        except psycopg2.Error as error:
            _reraise_unless_function(error)
            self._blame(functions, error, limit)
            return
        for part, found in parts:
            if len(part):
                self._real += len(part)
                self._add(part, judge.answers(part.columns), found)
                self._batch(part)
        cases = parts[0][0]
        if not len(cases):
            self._notes.append(_NONE_SATISFIES if self._real else _EMPTY)
            return
        if space is not None:
            rows: list[Row] = [
                dict(zip(cases.columns, r, strict=True)) for r in zip(*cases.columns.values(), strict=True)
            ]
            moved = perturbed(space, rows, min(limit // 2, MOVES * len(rows)))
            self.made_up(moved, judge.answers(moved.columns))

    def _blame(self, functions: Sequence[Function], error: psycopg2.Error, limit: int) -> None:
        """Finds the functions that raise for rows of the table; raises where reading the table is what fails."""
        self._table.rows((), limit)
        blamed = [function for function in functions if self._raises_on_rows(function, limit)]
        if not blamed:
            raise error

    def _raises_on_rows(self, function: Function, limit: int) -> bool:
        try:
            self._try(lambda: self._table.rows((function,), limit))
        except psycopg2.Error as error:
            _reraise_unless_function(error)
            self._errors[function.suffix] = f"{_raises(error)} when called with a row of the table"
            return True
        return False

    def report(self) -> ParityReport:
        """The verdict so far."""
        functions = {}
        for f in self._it.functions:
            if f.suffix in self._errors:
                functions[f.suffix] = FunctionParity(f.method, 0, 0, 0.0, error=self._errors[f.suffix])
                continue
            functions[f.suffix] = self._compared(f, self._actual[f.suffix])
        main = self._it.functions[0]
        if self._in_batches and functions[main.suffix].passed:
            batches = self._compared(main, self._of_batches)
            if not batches.passed:
                functions[main.suffix] = replace(batches, error=f"differs in {batches.mismatches:,} rows of a batch")
        total = self._made_up + self._real
        return ParityReport(
            total, self._real, self._made_up, self._refused, functions, tuple(self._notes), self._it.tolerance
        )

    def _batch(self, cases: Cases) -> None:
        """Asks for the same rows as a refresh does."""
        main = self._it.functions[0]
        if not self._in_batches or main.suffix in self._errors:
            return
        try:
            self._of_batches += self._try(lambda: evaluate_batch(self._cursor, self._table, self._it, main, cases))
        except psycopg2.Error as error:
            _reraise_unless_function(error)
            self._errors[main.suffix] = f"{_raises(error)} in a batch"

    def _compared(self, function: Function, actual: Sequence[object]) -> FunctionParity:
        return compare(
            function.method,
            self._expected[function.suffix],
            actual,
            self._varied[function.suffix],
            exact=is_exact(function),
            tolerance=self._it.tolerance,
        )

    def _add(self, cases: Cases, answers: Answers, found: Mapping[str, Sequence[object]]) -> None:
        self._refused += sum(answer is None for answer in answers[self._it.functions[0].suffix])
        for suffix, actual in found.items():
            self._expected[suffix] += answers[suffix]
            self._actual[suffix] += actual
            self._varied[suffix] += cases.varied

    def _sound(self) -> list[Function]:
        """The functions that have not raised so far."""
        return [function for function in self._it.functions if function.suffix not in self._errors]

    def _ask(self, functions: Sequence[Function], cases: Cases) -> dict[str, list[object]]:
        return evaluate(self._cursor, self._table, self._it, functions, cases)

    def _one_by_one(self, cases: Cases) -> dict[str, list[object]]:
        """The answers of the functions that answer; for each one that raises, what it raised and on which column."""
        found: dict[str, list[object]] = {}
        for function in self._sound():
            error = self._error(function, cases, found)
            if error is not None:
                self._errors[function.suffix] = self._describe(error, function, cases)
        return found

    def _error(self, function: Function, cases: Cases, found: dict[str, list[object]]) -> psycopg2.Error | None:
        try:
            found.update(self._try(lambda: self._ask((function,), cases)))
        except psycopg2.Error as error:
            _reraise_unless_function(error)
            return error
        return None

    def _describe(self, error: psycopg2.Error, function: Function, cases: Cases) -> str:
        """SQLSTATE and the column that varied; never the message, which may hold a value."""
        while len(cases) > 1:
            middle = len(cases) // 2
            halves = (cases.only(range(middle)), cases.only(range(middle, len(cases))))
            failing = ((half, self._error(function, half, {})) for half in halves)
            half, next_error = next((pair for pair in failing if pair[1] is not None), (None, None))
            if half is None or next_error is None:
                break
            cases, error = half, next_error
        return f"{_raises(error)} where {cases.varied[0]} varied" if len(cases) == 1 else _raises(error)

    def _try(self, ask: Callable[[], T]) -> T:
        """Runs it under a savepoint, so that its error leaves the transaction usable."""
        with _savepoint(self._cursor):
            return ask()


@contextmanager
def _savepoint(cursor: Any) -> Iterator[None]:
    cursor.execute("SAVEPOINT pgscore_gate")
    try:
        yield
    except psycopg2.Error:
        if not cursor.connection.closed:
            cursor.execute("ROLLBACK TO SAVEPOINT pgscore_gate")
        raise
    finally:
        if not cursor.connection.closed:
            cursor.execute("RELEASE SAVEPOINT pgscore_gate")


def _raises(error: psycopg2.Error) -> str:
    state = error.pgcode or "unknown"
    return f"raises SQLSTATE {state} ({psycopg2.errorcodes.lookup(state).lower()})"


def _reraise_unless_function(error: psycopg2.Error) -> None:
    """Raises again what is no fault of a function: a lost connection, a cancelled query, a missing right."""
    state = error.pgcode or "08000"
    if state == "42501" or state[:2] in {"08", "40", "57"}:
        raise error
