"""The nearest stored points in plpgsql: one sub-select ranks all points, others take what the nearest ones say.

An expression has no sub-select, so there is no inline form.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pgscore.quoting import number

from .. import ir
from ..ir import Metric, Ref
from ..point_facts import farthest
from .sql_points import INFINITY, added, constants, coordinates, differences, magnitudes, rounded, squares, table
from .sql_scope import Scope, TooLargeError
from .sql_text import Form, Kind, Value, case, double, indent, is_missing, without_nan

FAINT = 1e-100
"""A neighbour whose weight is smaller than this beside the nearest one's counts as without weight."""


def neighbors(node: ir.Neighbors, ref: Ref, scope: Scope) -> Value:
    """One output column. Raises TooLargeError in an expression."""
    if not scope.variables:
        raise TooLargeError
    return scope.shared(ref.node, lambda: _in_variables(node, ref.node, scope))[ref.column]


def _in_variables(node: ir.Neighbors, position: int, scope: Scope) -> dict[int, Value]:
    wanted = scope.wanted(position)
    values = {c: scope.variable("double precision", "NULL", "mean") for c in wanted}
    limit = farthest(len(node.inputs)) if node.rank_power == 2 else math.inf
    row = coordinates(node, scope, limit=limit, missing=node.metric is Metric.NAN_EUCLIDEAN)
    ranked = _ranked(node, row)
    groups = _by_donors(node, wanted)
    if len(groups) > 1 or node.fill:
        # Many outputs share the ranks, each among donors of its own.
        lacking = f"CASE WHEN num_nulls({', '.join(row)}) > 0 THEN " if node.fill else ""
        ranks = f"ARRAY(\n  SELECT r.rank FROM {indent(ranked)} ORDER BY r.i\n)"  # noqa: S608
        name = scope.variable("double precision[]", f"{lacking}{ranks}{' END' if lacking else ''}", "ranks")
        ranked = f"(SELECT unnest({name}) AS rank, generate_series(1, {len(node.points)}) AS i) AS r"
    for columns in groups:
        statement = _means(node, ranked, {c: values[c] for c in columns})
        if node.fill:
            (column,) = columns
            given = without_nan(double(scope[node.inputs[column]]))
            otherwise = f"{values[column]} := {given.sql};"
            statement = f"IF {is_missing(given)} THEN\n  {indent(statement)}\nELSE\n  {otherwise}\nEND IF;"
        scope.statements.append(statement)
    return {
        c: Value(name, Kind.FLOAT, Form.SIMPLE, null=scope.fact(Ref(position, c)).null) for c, name in values.items()
    }


def _by_donors(node: ir.Neighbors, wanted: Sequence[int]) -> list[list[int]]:
    """The wanted outputs whose neighbours are the same."""
    groups: dict[bytes, list[int]] = {}
    for column in wanted:
        donors = np.isnan(node.values[:, _source(node, column)])
        groups.setdefault(donors.tobytes() + bytes([column % 256] if node.fill else []), []).append(column)
    return list(groups.values())


def _source(node: ir.Neighbors, column: int) -> int:
    """The column of values that says which points count: the mean reach goes with the first."""
    return column if column < node.values.shape[1] else 0


def _ranked(node: ir.Neighbors, row: Sequence[str]) -> str:
    """All points with their ranks, as a sub-select called r."""
    points = rounded(node.points)
    columns = {f"p{j}": points[:, j] for j in range(points.shape[1])}
    rank = _rank(node, row, [f"t.{name}" for name in columns])
    numbered = table(columns, "t", f"generate_series(1, {len(points)}) AS i")
    return f"(\n  SELECT {indent(rank)} AS rank, t.i\n  FROM {indent(numbered)}\n) AS r"  # noqa: S608


def _rank(node: ir.Neighbors, row: Sequence[str], point: Sequence[str]) -> str:
    match node.metric:
        case Metric.EUCLIDEAN:
            return squares(row, point)
        case Metric.MANHATTAN:
            return magnitudes(row, point)
        case Metric.CHEBYSHEV:
            return "greatest(" + ", ".join(f"abs{t}" for t in differences(row, point)) + ")"
        case Metric.MINKOWSKI:
            return added([_power(f"abs{t}", node.power) for t in differences(row, point)])
        case Metric.NAN_EUCLIDEAN:
            present = [f"coalesce({t} * {t}, {number(0.0)})" for t in differences(row, point)]
            both = f"num_nonnulls({', '.join(differences(row, point))})"
            scale = number(float(len(row)))
            return f"{added(present)} / nullif({both}, 0) * {scale}"


def _power(t: str, power: float) -> str:
    """|t| ** power; 0 where it would underflow, infinity where a sum of such terms might overflow."""
    least, most = 1e-300 ** (1 / power), 1e300 ** (1 / power)
    branches = [(f"{t} <= {number(least)}", number(0.0)), (f"{t} > {number(most)}", INFINITY)]
    return case(branches, f"power({t}, {number(power)})").replace("\n", " ")


def _means(node: ir.Neighbors, ranked: str, into: dict[int, str]) -> str:
    """The statement that finds the neighbours and takes the means of some outputs."""
    donors = ~np.isnan(node.values[:, _source(node, min(into))])
    conditions = [] if donors.all() else [f"({constants(donors.astype(float))})[r.i] > {number(0.0)}"]
    if node.metric is Metric.NAN_EUCLIDEAN:
        conditions.append(f"r.rank < {INFINITY}")
    order = f"\nORDER BY r.rank, r.i\nLIMIT {node.count}"
    if not node.count:
        conditions.append(f"r.rank <= {number(node.radius_rank)}")
        order = ""
    where = "\nWHERE " + " AND ".join(conditions) if conditions else ""
    found = f"(\n  SELECT r.rank, r.i\n  FROM {indent(ranked)}{indent(where)}{indent(order)}\n) AS f"  # noqa: S608
    source = f"(\n  SELECT {_distance(node)} AS d, {_number(node)} AS i\n  FROM {indent(found)}\n) AS n"  # noqa: S608
    source = f"(\n  SELECT n.i, n.d, {_weight(node)} AS w\n  FROM {indent(source)}\n) AS n"  # noqa: S608
    means = []
    for column in into:
        if column == node.values.shape[1]:
            means.append(f"sum(greatest(n.d, ({constants(node.reach)})[n.i])) / sum(n.w)")
        else:
            means.append(_mean(node, column))
    listed = indent(",\n".join(means))
    return f"SELECT\n  {listed}\nINTO {', '.join(into.values())}\nFROM {source};"


def _number(node: ir.Neighbors) -> str:
    """Which point says the value: `beyond` where the distance is no double."""
    return f"CASE WHEN f.rank < {INFINITY} THEN f.i ELSE {node.beyond + 1} END"


def _distance(node: ir.Neighbors) -> str:
    if node.rank_power == 1:
        distance = "f.rank"
    elif node.rank_power == 2:
        distance = "sqrt(f.rank)"
    else:
        # 0 and infinity are themselves, and no root of another number is too small or too large.
        distance = f"power(f.rank, {number(1 / node.rank_power)})"
    return f"CASE WHEN f.rank < {INFINITY} THEN {distance} ELSE {number(node.far)} END"


def _weight(node: ir.Neighbors) -> str:
    """Beside the nearest neighbour's, so that no weight overflows; where that is at distance 0, all others there alone.

    A neighbour at an infinite distance has no weight.
    """
    if not node.by_distance:
        return number(1.0)
    nearest = "min(n.d) OVER ()"
    return case(
        [
            (f"n.d = {INFINITY}", number(0.0)),
            (f"n.d = {nearest}", number(1.0)),
            (f"n.d > {nearest} * {number(1 / FAINT)}", number(0.0)),
        ],
        f"{nearest} / n.d",
    )


def _mean(node: ir.Neighbors, column: int) -> str:
    values = node.values[:, column]
    values = np.where(np.abs(values) < FAINT**2, 0.0, values)
    value = f"({constants(values)})[n.i]"
    fallback = float(node.fallback[column])
    none = "NULL::float8" if fallback != fallback else number(fallback)
    return case([("count(*) = 0", none)], f"sum(n.w * {value}) / nullif(sum(n.w), {number(0.0)})")
