"""The database's answers: a version's functions, called for rows of the bound table and for made-up rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pgscore import quoting
from pgscore.compiler.artifact import Function, Parameter, SqlType
from pgscore.compiler.ir import TOLERANCE
from pgscore.compiler.where import Where
from pgscore.errors import SignatureError

from .cases import Cases, Value
from .functions import FEATURES, MAX_ARGUMENTS, OUTPUTS, function_name

WHOLE_ROW = "r.*"  # the row as one argument; a mere r would be the column, in a table that has one of that name
QUANTILES = (0.5, 0.05, 0.2, 0.35, 0.65, 0.8, 0.95)

_COUNTED = (SqlType.TEXT, SqlType.BOOLEAN)  # these have a most common value, the others quantiles
_ROOMY = {"float8", "int4", "int8", "bool", "text", "varchar", "numeric"}


@dataclass(frozen=True)
class Subject:
    """The version under test: what to call and with what. `table` is qualified and quoted.

    `factors_sha256` is the hash of a recommender's factors, `where` the condition of a specialised version,
    `has_graph` says whether a refresh can run an ONNX graph of the version for many rows at once.
    """

    name: str
    version: int
    table: str
    parameters: tuple[Parameter, ...]
    functions: tuple[Function, ...]
    probes: Mapping[str, Sequence[float | str]] = field(default_factory=dict)
    tolerance: float = TOLERANCE
    factors_sha256: str | None = None
    where: Where | None = None
    has_graph: bool = False

    def call(self, suffix: str, arguments: str) -> str:
        """SQL that calls the function of that suffix of this very version."""
        return f"{quoting.ident('score', function_name(self.name, self.version, suffix))}({arguments})"

    @property
    def by_row(self) -> bool:
        """Whether the functions can be called with a row only."""
        return len(self.parameters) > MAX_ARGUMENTS


class _Column(NamedTuple):
    name: str
    type: str
    modifier: int


class Table:
    """The bound table, read as the connected user: the columns that the model reads, as the parameters' types."""

    def __init__(self, cursor: Any, it: Subject, max_rows: int) -> None:
        self._cursor = cursor
        self._it = it
        self.max_rows = max_rows
        self.columns = _columns(cursor, it)
        self._casts = [f"(r.{quoting.ident(self.columns[p.name].name)})::{p.type.value}" for p in it.parameters]
        self._condition = "TRUE" if it.where is None else it.where.sql(it.parameters, self.reference)
        self._from = self._from_clause()

    def reference(self, index: int) -> str:
        """SQL for parameter `index`, of its type, of a row `r` of the table."""
        return self._casts[index]

    def limits(self) -> dict[str, str]:
        """What made-up rows must respect (`Space.limits`) where they travel as rows of the table."""
        limits = {}
        for name, column in self.columns.items() if self._it.by_row else ():
            if column.type in ("float4", "int2"):
                limits[name] = "real" if column.type == "float4" else "smallint"
            elif column.type not in _ROOMY or column.modifier != -1:
                limits[name] = "known"
        return limits

    def statistics(self) -> tuple[dict[str, list[Value]], dict[str, Value]]:
        """Quantiles of each number, the median first, and the most common value of each other column.

        Of the rows that satisfy the version's condition.
        """
        parts = []
        for number, parameter in enumerate(self._it.parameters):
            value = f"NULLIF(c{number}, 'NaN')" if parameter.type is SqlType.DOUBLE else f"c{number}"
            taken = "mode()" if parameter.type in _COUNTED else f"percentile_disc(ARRAY{list(QUANTILES)}::float8[])"
            parts.append(f"{taken} WITHIN GROUP (ORDER BY {value})")
        if not parts:
            return {}, {}
        casts = ", ".join(f"{cast} AS c{number}" for number, cast in enumerate(self._casts))
        self._cursor.execute(
            f"SELECT {', '.join(parts)} FROM (SELECT {casts} FROM {self._from}"  # noqa: S608
            f" WHERE {self._condition} LIMIT {self.max_rows}) AS s"
        )
        found = list(zip(self._it.parameters, self._cursor.fetchone(), strict=True))
        return (
            {p.name: list(values or ()) for p, values in found if p.type not in _COUNTED},
            {p.name: value for p, value in found if p.type in _COUNTED},
        )

    def rows(
        self, functions: Sequence[Function], limit: int, *, outside: bool = False
    ) -> tuple[Cases, dict[str, list[object]]]:
        """At most `limit` rows: the model's columns, and the answers of the functions, called with the whole row.

        They satisfy the version's condition or, `outside`, do not.
        """
        calls = [self._it.call(function.suffix, WHOLE_ROW) for function in functions]
        # The number keeps the list of columns from being empty.
        wanted = ", ".join(["1", *self._casts, *calls])
        condition = f"({self._condition}) IS NOT TRUE" if outside else self._condition
        self._cursor.execute(
            f"SELECT {wanted} FROM {self._from} WHERE {condition} LIMIT {limit}"  # noqa: S608 - all names are quoted
        )
        found = self._cursor.fetchall()
        by_column = list(zip(*found, strict=True)) or [()] * (1 + len(self._casts) + len(calls))
        first_call = 1 + len(self._casts)
        columns = {p.name: list(v) for p, v in zip(self._it.parameters, by_column[1:first_call], strict=True)}
        answers = {f.suffix: list(v) for f, v in zip(functions, by_column[first_call:], strict=True)}
        return Cases(columns, ("",) * len(found)), answers

    def _from_clause(self) -> str:
        """The table; a sample of its blocks where many more rows than wanted count, the same one in each query."""
        table = self._it.table
        self._cursor.execute(
            "SELECT relkind IN ('r', 'm', 'p') FROM pg_catalog.pg_class WHERE oid = %s::regclass", [table]
        )
        stored = self._cursor.fetchone()[0]
        self._cursor.execute(f"EXPLAIN (FORMAT JSON) SELECT FROM {table} AS r WHERE {self._condition}")
        estimate = self._cursor.fetchone()[0][0]["Plan"]["Plan Rows"]
        if not stored or estimate <= 2 * self.max_rows:
            return f"{table} AS r"
        return f"{table} AS r TABLESAMPLE SYSTEM ({120 * self.max_rows / estimate:.6f}) REPEATABLE (0)"


def _columns(cursor: Any, it: Subject) -> dict[str, _Column]:
    """The table's column for each parameter: of the same name, else the only one that differs in case alone."""
    cursor.execute(
        """
        SELECT a.attname, t.typname, a.atttypmod
        FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
        WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped
        """,
        [it.table],
    )
    found = [_Column(*row) for row in cursor.fetchall()]
    columns = {}
    for parameter in it.parameters:
        near = [column for column in found if column.name.casefold() == parameter.name.casefold()]
        exact = [column for column in near if column.name == parameter.name]
        if len(exact or near) != 1:
            raise SignatureError(f"table {it.table} has no column {parameter.name!r}, which model {it.name} reads")
        columns[parameter.name] = (exact or near)[0]
    return columns


def evaluate(
    cursor: Any, table: Table, it: Subject, functions: Sequence[Function], cases: Cases
) -> dict[str, list[object]]:
    """The functions' answers for made-up rows: by named arguments, beyond 100 of them by the table's row type."""
    arguments = _arguments(it)
    found = _of_made_up(cursor, table, it, [it.call(function.suffix, arguments) for function in functions], cases)
    return {f.suffix: values for f, values in zip(functions, found, strict=True)}


def evaluate_batch(cursor: Any, table: Table, it: Subject, function: Function, cases: Cases) -> list[object]:
    """What a refresh makes of one run of the graph for all of these rows; of a function that has one output."""
    source, given = _made_up(table, it, cases)
    features = f"array_agg({it.call(FEATURES, _arguments(it))} ORDER BY u.n)"
    call = it.call(OUTPUTS, f"{features}, {function.outputs[0]}")
    cursor.execute(f"SELECT {_formatted(call)} FROM {source}", given)  # noqa: S608 - all names are quoted
    answers = cursor.fetchone()[0]
    if function.labels is not None:
        return [None if answer is None else function.labels[int(answer)] for answer in answers]
    if function.result != SqlType.DOUBLE.value:
        return [None if answer is None else int(answer) for answer in answers]
    return list(answers)


def _arguments(it: Subject) -> str:
    """How a function is called for a made-up row."""
    if it.by_row:
        return WHOLE_ROW
    return ", ".join(f"{quoting.ident(p.name)} => u.c{number}" for number, p in enumerate(it.parameters))


def satisfy(cursor: Any, table: Table, it: Subject, cases: Cases) -> list[bool]:
    """Whether made-up rows satisfy the version's condition: the server judges its text, not what we made of it."""
    if it.where is None or not len(cases):
        return [True] * len(cases)
    condition = it.where.sql(it.parameters, table.reference if it.by_row else lambda index: f"u.c{index}")
    (found,) = _of_made_up(cursor, table, it, [f"({condition}) IS TRUE"], cases)
    return [value is True for value in found]


def _of_made_up(cursor: Any, table: Table, it: Subject, expressions: Sequence[str], cases: Cases) -> list[list[object]]:
    """What each expression gives for made-up rows `u`; beyond 100 columns for rows `r` of the table's type."""
    source, given = _made_up(table, it, cases)
    text = f"SELECT {_formatted(', '.join(expressions))} FROM {source} ORDER BY u.n"  # noqa: S608 - all names are quoted
    cursor.execute(text, given)
    return [list(values) for values in zip(*cursor.fetchall(), strict=True)]


def _made_up(table: Table, it: Subject, cases: Cases) -> tuple[str, list[Any]]:
    """SQL of the rows `u`, with their number `n`, and its parameters."""
    numbers = list(range(len(cases)))
    if it.by_row:
        populated = _formatted(f"jsonb_populate_record(NULL::{it.table}, u.j)")
        source = f"unnest(%s::int8[], %s::jsonb[]) AS u(n, j), LATERAL {populated} AS r"
        return source, [numbers, _json_rows(table, cases)]
    types = "".join(f", %s::{p.type.value}[]" for p in it.parameters)
    aliases = "".join(f", c{number}" for number in range(len(it.parameters)))
    source = f"unnest(%s::int8[]{types}) AS u(n{aliases})"
    return source, [numbers, *(_array(p.type, cases.columns[p.name]) for p in it.parameters)]


def _formatted(text: str) -> str:
    """A % in a name would be taken for a placeholder."""
    return text.replace("%", "%%")


def _array(type_: SqlType, values: Sequence[Value]) -> Any:
    """An array for PostgreSQL. Doubles go as text: through a numeric literal, -0 would lose its sign."""
    if type_ is SqlType.DOUBLE:
        return "{" + ",".join("NULL" if value is None else repr(float(value)) for value in values) + "}"
    return list(values)


def _json_rows(table: Table, cases: Cases) -> list[str]:
    names = [table.columns[name].name for name in cases.columns]
    rows = zip(*cases.columns.values(), strict=True)
    return [json.dumps({n: _json_value(v) for n, v in zip(names, row, strict=True)}) for row in rows]


def _json_value(value: Value) -> Value:
    """JSON has no NaN, and jsonb no -0: numbers travel as text."""
    return value if value is None or isinstance(value, bool) else str(value)
