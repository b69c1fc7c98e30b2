"""`pgscore calibrate`: what the parts of a program cost on this server, measured and stored in pgscore.costs.

Small programs become functions, the server times their calls in turns, and the costs are fitted to the least times.
What SQL needs is temporary; what ONNX needs is made as in a deploy, in a transaction that is rolled back. The costs
alone stay.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from pgscore.compiler import ir
from pgscore.compiler.artifact import Function, Strategy, Use
from pgscore.compiler.build import build, default_parameters, simplified
from pgscore.compiler.calibration import COLUMNS, Fit, Timing, fit, programs
from pgscore.compiler.strategy import Size, estimates, measure
from pgscore.errors import RightsError
from pgscore.quoting import ident

from .connection import Connection, autocommit, pinned, transaction
from .costs import write_costs
from .functions import FEATURES, OUTPUTS, SCHEMA, STAGING, function_by_name, function_name
from .install import acting_as, has_plpython, inspect, require_current
from .timing import batch_query, timed

ROUNDS = 5
ROWS = 10_000
BUDGET = 30_000.0
"""Microseconds that the rows of one query should take."""
TABLE = "pg_temp.pgscore_calibration"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class _Form:
    """A program in one strategy: how to call it for a row of the table, which has COLUMNS, and for all of its rows."""

    strategy: Strategy
    size: Size
    columns: int
    call: str
    batch: str = ""

    @property
    def rows(self) -> int:
        """How many rows to call it for."""
        row = estimates(self.size)[Use.QUERY][self.strategy].row
        return round(min(ROWS, max(200.0, BUDGET / row)))


def calibrate(connection: Connection, *, dry_run: bool = False, progress: Progress = lambda _: None) -> Fit:
    """Measures, fits and stores the costs; `dry_run` stores nothing. Without PL/Python, ONNX keeps its defaults.

    Commits the transaction that is open. Raises NotInstalledError, and RightsError for a role that is no member of
    pgscore's owner.
    """
    require_current(connection)
    with transaction(connection) as cursor:
        state = inspect(cursor)
    owner = state.schemas["pgscore"]
    if not state.acts_as_schema_owner:
        raise RightsError(f"role {state.user} may not store costs; GRANT {ident(owner)} TO {ident(state.user)}")
    with _table(connection):
        timings = _in_sql(connection, progress)
        if has_plpython(connection):
            timings += _in_onnx(connection, owner, progress)
    found = fit(timings)
    if not dry_run:
        with transaction(connection) as cursor, acting_as(cursor, owner):
            write_costs(connection, found.costs)
    return found


@contextmanager
def _table(connection: Connection) -> Iterator[None]:
    """A temporary table of random numbers, in a session that compiles no plans."""
    with transaction(connection) as cursor, pinned(cursor):
        columns = ", ".join(f"random() AS x{index}" for index in range(COLUMNS))
        cursor.execute(f"CREATE TEMPORARY TABLE {TABLE} AS SELECT {columns} FROM generate_series(1, {ROWS})")  # noqa: S608
        cursor.execute(f"ANALYZE {TABLE}; SELECT current_setting('jit')")
        (jit,) = cursor.fetchone()
        cursor.execute("SET jit = off")
    try:
        yield
    finally:
        with transaction(connection) as cursor:
            cursor.execute(f"DROP TABLE {TABLE}")
            cursor.execute("SELECT pg_catalog.set_config('jit', %s, false)", (jit,))


def _in_sql(connection: Connection, progress: Progress) -> list[Timing]:
    """Of inline SQL and plpgsql. Each call is a transaction of its own, since plpgsql starts anew in each."""
    forms = []
    with transaction(connection) as cursor, pinned(cursor):
        for place, (name, program) in enumerate(programs().items()):
            progress(f"compiling to SQL: {name}")
            parameters = default_parameters(program)
            size = measure(simplified(program, parameters))
            for strategy in (Strategy.SQL, Strategy.PLPGSQL):
                function = build(program, parameters, strategy=strategy).functions[0]
                called = ident("pg_temp", f"pgscore_{strategy.value}_{place}")
                cursor.execute(function_by_name(called, parameters, function))
                if strategy is Strategy.PLPGSQL:
                    cursor.execute(f"ALTER FUNCTION {called} SECURITY DEFINER")  # as publish_functions does
                of = replace(size, characters=len(function.body.text) if strategy is Strategy.SQL else 0)
                forms.append(_Form(strategy, of, len(parameters), f"{called}({_arguments(program)})"))
    try:
        with autocommit(connection) as cursor:
            return _timings(cursor, forms, progress)
    finally:
        with transaction(connection) as cursor:
            for form in forms:
                cursor.execute(f"DROP FUNCTION {form.call.partition('(')[0]}")


def _in_onnx(connection: Connection, owner: str, progress: Progress) -> list[Timing]:
    """Of ONNX, with the functions of versions of a model that nobody has."""
    with transaction(connection) as cursor:
        try:
            cursor.execute(f"GRANT SELECT ON {TABLE} TO {ident(owner)}")
            with acting_as(cursor, owner), pinned(cursor):
                forms = []
                for name, program in programs().items():
                    progress(f"compiling to ONNX: {name}")
                    forms.append(_published(cursor, program))
                return _timings(cursor, forms, progress)
        finally:
            connection.rollback()


def _published(cursor: Any, program: ir.Program) -> _Form:
    """The form of a version with a graph."""
    model = f"calibration_{uuid.uuid4().hex[:16]}"
    parameters = default_parameters(program)
    artifact = build(program, parameters, strategy=Strategy.ONNX)
    graph = artifact.onnx
    assert graph is not None  # noqa: S101
    cursor.execute("SELECT pgscore.begin_version(%s)", (model,))
    cursor.execute("SELECT pgscore.add_graph(%s, 1, %s)", (model, graph.content))

    def name(suffix: str, schema: str = SCHEMA) -> str:
        return ident(schema, function_name(model, 1, suffix))

    features = Function(FEATURES, "", "double precision[]", "sql", graph.row, ())
    passed = ", ".join(f"${index + 1}" for index in range(len(parameters)))
    outputs = f"{name(OUTPUTS)}({name(FEATURES, STAGING)}({passed}))"
    for function in (features, artifact.functions[0]):
        cursor.execute(function_by_name(name(function.suffix, STAGING), parameters, function, outputs))
    cursor.execute("SELECT pgscore.publish_functions(%s, 1)", (model,))
    given = _arguments(program)
    rows = f"SELECT {name(FEATURES)}({given}) AS f FROM {TABLE} AS t"  # noqa: S608 - all names are quoted
    batch = batch_query(name(OUTPUTS), 0, rows)
    size = measure(simplified(program, parameters))
    return _Form(Strategy.ONNX, size, len(parameters), f"{name('')}({given})", batch)


def _arguments(program: ir.Program) -> str:
    return ", ".join(f"{ident(column.name)} => t.{ident(column.name)}" for column in program.columns)


def _timings(cursor: Any, forms: Sequence[_Form], progress: Progress) -> list[Timing]:
    """The least of some rounds, after one that does not count: a session's first call loads what it runs."""
    queries: dict[str, list[float]] = {query: [] for form in forms for query in _queries(form)}
    for turn in range(ROUNDS + 1):
        progress(f"measuring {forms[0].strategy.value}: round {turn} of {ROUNDS}")
        for query, taken in queries.items():
            taken.append(timed(cursor, query).microseconds)
    least = {query: min(taken[1:]) for query, taken in queries.items()}
    return [_timing(form, least) for form in forms]


def _queries(form: _Form) -> list[str]:
    """Of a mere column in one row and in all; of the form in one row, in many, and in a batch."""
    calls = [(f"t.x{form.columns - 1}", 1), (f"t.x{form.columns - 1}", ROWS), (form.call, 1), (form.call, form.rows)]
    found = [f"SELECT {call} FROM {TABLE} AS t LIMIT {rows}" for call, rows in calls]  # noqa: S608
    return [*found, *([form.batch] if form.batch else [])]


def _timing(form: _Form, took: dict[str, float]) -> Timing:
    """What the form adds to the reading of its last column, for each row and before the first one."""
    column_one, columns, one, many, *batch = [took[query] for query in _queries(form)]
    column = (columns - column_one) / (ROWS - 1)
    row = max(0.0, (many - one) / (form.rows - 1) - column)
    start = max(0.0, one - column_one - row)
    return Timing(form.strategy, form.size, row, start, max(0.0, batch[0] / ROWS - column) if batch else 0.0)
