"""Rows against stored points in SQL: the row's coordinates, and the points as a table of constants.

Few points are written out as terms of an expression. Many are columns of constant arrays in a sub-select, which
PostgreSQL unnests side by side for each row: the shortest text, parsed once in a session, and the fastest of the ways
that were measured (arrays by subscript, VALUES and a table function over several arrays take up to twice as long).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pgscore.errors import UnsupportedError
from pgscore.quoting import number

from .. import ir
from ..fact import Fact
from .sql_scope import Scope, present
from .sql_text import Form, Kind, Value, case, double, without_nan

INFINITY = "'Infinity'::float8"
SMALL_COORDINATE = 1e-90
"""Coordinates of points below this are 0 in SQL: no sum of squares or products is so small that a double loses it."""
FINEST = 1e-100
"""A row's coordinates are rounded to multiples of half a unit in the last place of this."""

MAX_COLUMNS = 1_600
"""PostgreSQL's limit is 1,664, less what a sub-select adds."""


def coordinates(
    node: ir.Node, scope: Scope, scale: Sequence[float] = (1.0,), *, limit: float, missing: bool = False
) -> list[str]:
    """The row's inputs, each divided by its scale, as operands; with `missing` they may be NULL, else that refuses.

    Beyond `limit` (point_facts.farthest) a coordinate is infinite, and so is each distance from it: PostgreSQL takes
    that where it raises on an overflow. Products of differences cannot underflow: see `FINEST`. With `scope.variables`
    each is kept in a variable: a sub-select may have columns of the parameters' names.
    """
    scales = np.broadcast_to(np.array(scale, dtype=float), len(node.inputs)).tolist()
    operands = []
    for ref, size in zip(node.inputs, scales, strict=True):
        value = without_nan(double(scope[ref])) if missing else present(ref, scope)
        value = _coordinate(value, scope.fact(ref), size, limit)
        operands.append(scope.keep(value, "x").sql if scope.variables else value.operand)
    return operands


def _coordinate(value: Value, fact: Fact, scale: float, limit: float) -> Value:
    magnitude = max(abs(fact.low), abs(fact.high))
    sql = value.operand
    if fact.tiny < FINEST * scale:
        finest = number(FINEST * scale)
        sql = f"({sql} + {finest} - {finest})"
    if scale != 1:
        sql = f"{sql} / {number(scale)}"
    if magnitude / scale > limit:
        sql = case([(f"abs({value.sql}) > {number(limit * scale)}", INFINITY)], sql)
        return Value(sql, Kind.FLOAT, Form.ATOM, null=value.null)
    form = value.form if sql == value.operand else Form.COMPOUND
    return Value(sql, Kind.FLOAT, form, null=value.null)


def rounded(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The points' coordinates as SQL has them."""
    return np.where(np.abs(points) < SMALL_COORDINATE, 0.0, points)


def constants(values: npt.NDArray[np.float64]) -> str:
    """A constant array; NaN is NULL."""
    texts = ("NULL" if v != v else repr(int(v)) if v == int(v) and abs(v) < 1e15 else repr(v) for v in values.tolist())
    return "'{" + ",".join(texts) + "}'::float8[]"


def table(columns: Mapping[str, npt.NDArray[np.float64]], name: str, *more: str) -> str:
    """The columns side by side as a sub-select called `name`; `more` are further columns, as text.

    Raises UnsupportedError for more columns than a SELECT may have.
    """
    if len(columns) + len(more) > MAX_COLUMNS:
        raise UnsupportedError("model", f"PostgreSQL takes no table of {len(columns):,} columns", "use --strategy onnx")
    listed = [*(f"unnest({constants(values)}) AS {column}" for column, values in columns.items()), *more]
    return "(\n  SELECT\n    " + ",\n    ".join(listed) + f"\n) AS {name}"


def differences(row: Sequence[str], point: Sequence[str]) -> list[str]:
    """What each coordinate of the row is more than that of the point."""
    return [f"({x} - {p})" for x, p in zip(row, point, strict=True)]


def added(terms: Sequence[str]) -> str:
    """The terms added from left to right."""
    return "(" + " + ".join(terms) + ")" if len(terms) > 1 else terms[0]


def squares(row: Sequence[str], point: Sequence[str]) -> str:
    """The squared distance."""
    return added([f"{t} * {t}" for t in differences(row, point)])


def magnitudes(row: Sequence[str], point: Sequence[str]) -> str:
    """The sum of the absolute differences."""
    return added([f"abs({t.removeprefix('(').removesuffix(')')})" for t in differences(row, point)])
