"""The parity gate: the model's own answers against the database's, for real rows and for adversarial ones.

A deploy passes this gate or is rolled back. `verify` repeats it any time: it replays the made-up rows stored with the
version, and where the model is at hand also compares real rows of the table.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import psycopg2
import psycopg2.errorcodes

from pgscore.compiler.artifact import Artifact, Function, Parameter, SqlType, Template
from pgscore.compiler.ir import TOLERANCE, Domain
from pgscore.compiler.where import parse_where
from pgscore.errors import NotFoundError

from .answers import Subject, Table, evaluate
from .cases import Cases, Row, Space, adversarial, perturbed, synthetic_bases
from .conditional import Answers, Conditional, Judge
from .connection import Connection, errors, pinned, transaction
from .parity import FunctionParity, ParityReport, compare

__all__ = [
    "FunctionParity",
    "Judge",
    "ParityReport",
    "Subject",
    "gate",
    "is_exact",
    "plain",
    "stored_cases",
    "subject",
    "verify",
]

T = TypeVar("T")

SECONDS = 3.0  # what real rows may cost: an ensemble in plpgsql takes half a millisecond a row for its three functions
MAX_ROWS = 10_000
MIN_REAL_ROWS = 1000
MOVES = 10  # how often a real row may come back with another of its columns moved
OUTSIDE = 10  # one row that does not satisfy a version's condition for so many that do
_EMPTY = "the table is empty: adversarial rows only"
_NONE_SATISFIES = "no row of the table satisfies the condition: adversarial rows only"


def gate(  # noqa: PLR0913
    connection: Connection,
    artifact: Artifact,
    *,
    name: str,
    version: int,
    table: str,
    oracle: Judge,
    max_rows: int = MAX_ROWS,
) -> tuple[ParityReport, str]:
    """Compares the functions of `name`, version `version`, with the model, in the current transaction.

    Gives the report and, as JSON text, the made-up rows with the model's answers, for `verify` to replay. The table is
    read as the connected user; at most `max_rows` of its rows are used, fewer where the functions are slow.
    """
    it = Subject(
        name,
        version,
        table,
        artifact.parameters,
        artifact.functions,
        artifact.probes,
        artifact.tolerance,
        None if artifact.factors is None else artifact.factors.sha256,
        artifact.where,
    )
    with errors(f"checking model {name}"), connection.cursor() as cursor, pinned(cursor):
        _settle(cursor)
        bound = Table(cursor, it, max_rows)
        space = Space(it.parameters, it.probes, bound.limits(), artifact.paths, _domains(it))
        made_up = adversarial(space, synthetic_bases(space, *bound.statistics()))
        judge = Conditional(oracle, cursor, bound, it)
        answers = judge.answers(made_up.columns)
        trial = _Trial(cursor, bound, it)
        trial.factors()
        if artifact.approximation:
            trial.note(f"within {artifact.tolerance:.1e}: {artifact.approximation}")
        trial.made_up(made_up, answers)
        trial.real(judge, space)
        return trial.report(), _encode(it, made_up, answers)


def verify(
    connection: Connection, name: str, version: int | None = None, *, oracle: Judge | None = None
) -> ParityReport:
    """Repeats the gate for a deployed version (default: the one that is live), from what was stored with it.

    With `oracle` also real rows of the table are compared. Raises NotFoundError.
    """
    with transaction(connection) as cursor, pinned(cursor):
        it = subject(connection, name, version)
        _settle(cursor)
        made_up, answers = stored_cases(cursor, it)
        table = Table(cursor, it, MAX_ROWS)
        trial = _Trial(cursor, table, it)
        trial.factors()
        trial.made_up(made_up, answers)
        if oracle is not None:
            trial.real(Conditional(oracle, cursor, table, it), None)
        return trial.report()


def subject(connection: Connection, name: str, version: int | None = None) -> Subject:
    """The version (default: the one that is live) as the catalog has it. Raises NotFoundError."""
    with errors(), connection.cursor() as cursor, pinned(cursor):
        cursor.execute(
            """
            SELECT v.version, v.bound_table, v.parameters, v.functions,
                (v.parity->>'tolerance')::double precision, v.functions->0->'factors'->>'sha256', v.condition
            FROM pgscore.models AS m
            JOIN pgscore.versions AS v USING (model_id)
            LEFT JOIN pgscore.aliases AS a ON a.version_id = v.version_id AND a.alias = 'live'
            WHERE m.name = %(name)s AND (v.version = %(version)s OR %(version)s IS NULL AND a.alias IS NOT NULL)
            """,
            {"name": name, "version": version},
        )
        row = cursor.fetchone()
    if row is None:
        what = f"no model {name} that is live" if version is None else f"no version {version} of model {name}"
        raise NotFoundError(f"there is {what}; `pgscore list` shows what there is")
    parameters = tuple(Parameter(p["name"], SqlType(p["type"])) for p in row[2])
    functions = tuple(_function(f) for f in row[3])
    tolerance = TOLERANCE if row[4] is None else row[4]
    where = None if row[6] is None else parse_where(row[6])
    return Subject(name, row[0], row[1], parameters, functions, {}, tolerance, row[5], where)


def _domains(it: Subject) -> dict[str, Domain]:
    """What the version's condition says of each column, by name."""
    found = {} if it.where is None else it.where.domains(it.parameters)
    return {it.parameters[index].name: domain for index, domain in found.items()}


def _function(given: Mapping[str, Any]) -> Function:
    labels = tuple(given["labels"]) if given["labels"] is not None else None
    outputs = tuple(given["outputs"])
    return Function(given["suffix"], given["method"], given["result"], given["language"], Template(""), outputs, labels)


def _settle(cursor: Any) -> None:
    """Until the end of the transaction: floats in full, and no compiling of plans that run once."""
    cursor.execute("SELECT set_config('extra_float_digits', '1', true), set_config('jit', 'off', true)")


def is_exact(function: Function) -> bool:
    """Whether the function's answers must equal the model's: labels, and all that is no double."""
    return function.labels is not None or not function.result.startswith(SqlType.DOUBLE.value)


class _Trial:
    """Calls the functions and collects expected and actual answers."""

    def __init__(self, cursor: Any, table: Table, it: Subject) -> None:
        self._cursor = cursor
        self._table = table
        self._it = it
        self._expected: dict[str, list[object]] = {f.suffix: [] for f in it.functions}
        self._actual: dict[str, list[object]] = {f.suffix: [] for f in it.functions}
        self._varied: dict[str, list[str]] = {f.suffix: [] for f in it.functions}
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
            functions[f.suffix] = compare(
                f.method,
                self._expected[f.suffix],
                self._actual[f.suffix],
                self._varied[f.suffix],
                exact=is_exact(f),
                tolerance=self._it.tolerance,
            )
        total = self._made_up + self._real
        return ParityReport(
            total, self._real, self._made_up, self._refused, functions, tuple(self._notes), self._it.tolerance
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


def _encode(it: Subject, cases: Cases, answers: Answers) -> str:
    """The rows with their answers as JSON text."""
    return json.dumps(
        {
            "varied": cases.varied,
            "inputs": {name: [plain(value) for value in values] for name, values in cases.columns.items()},
            "answers": {f.suffix: [plain(answer) for answer in answers[f.suffix]] for f in it.functions},
        }
    )


def plain(value: object) -> object:
    """The value for JSON: a double is a string of the shortest digits that give it back."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    return repr(value) if isinstance(value, float) else value


def stored_cases(cursor: Any, it: Subject) -> tuple[Cases, dict[str, list[object]]]:
    """The made-up rows that the gate stored with the version, and the model's answers by function suffix."""
    cursor.execute(
        """
        SELECT c.cases
        FROM pgscore.parity_cases AS c
        JOIN pgscore.versions AS v USING (version_id)
        JOIN pgscore.models AS m USING (model_id)
        WHERE m.name = %s AND v.version = %s
        """,
        [it.name, it.version],
    )
    row = cursor.fetchone()
    if row is None:
        return Cases({p.name: [] for p in it.parameters}, ()), {f.suffix: [] for f in it.functions}
    content = row[0]
    inputs = {p.name: _revive(content["inputs"][p.name], p.type is SqlType.DOUBLE) for p in it.parameters}
    double = SqlType.DOUBLE.value
    answers = {f.suffix: _revive(content["answers"][f.suffix], f.result.startswith(double)) for f in it.functions}
    return Cases(inputs, tuple(content["varied"])), answers


def _revive(values: Sequence[Any], double: bool) -> list[Any]:
    if not double:
        return list(values)
    return [_revive(v, double) if isinstance(v, list) else None if v is None else float(v) for v in values]
