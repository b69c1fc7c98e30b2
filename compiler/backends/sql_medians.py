"""The weighted median in SQL: by comparing all pairs of a few values, else by sorting an array."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pgscore.quoting import number

from .. import ir
from ..ir import Ref
from .sql_scope import Scope, TooLargeError, present
from .sql_text import Form, Kind, Value, case

MAX_COMPARED = 16
"""Up to this many values all pairs are compared, which needs no sub-select."""


def weighted_median(node: ir.WeightedMedian, _ref: Ref, scope: Scope) -> Value:
    """The least value at which the weights of all that are not above it reach half of the sum."""
    values, weights = [present(source, scope) for source in node.inputs], node.weights.tolist()
    if len(values) > MAX_COMPARED:
        if not scope.variables:
            raise TooLargeError
        return Value(_sorted([value.sql for value in values], weights), Kind.FLOAT, Form.ATOM)
    half = number(0.5 * float(np.cumsum(weights)[-1]))
    candidates = []
    for value in values:
        below = [
            case([(f"{other.operand} <= {value.operand}", number(weight))], number(0.0)) if other is not value
            else number(weight)
            for other, weight in zip(values, weights, strict=True)
        ]  # fmt: skip
        candidates.append(case([(" + ".join(below) + f" >= {half}", value.sql)], None))
        if sum(map(len, candidates)) > scope.limit:
            raise TooLargeError
    sql = candidates[0] if len(candidates) == 1 else f"least({', '.join(candidates)})"
    return Value(sql, Kind.FLOAT, Form.ATOM)


def _sorted(values: Sequence[str], weights: Sequence[float]) -> str:
    """A running sum over the sorted values. Names are qualified: parameters may be called like columns."""
    table = f"unnest(ARRAY[{', '.join(values)}]::float8[], '{{{','.join(map(repr, weights))}}}'::float8[])"
    running = (
        "SELECT pair.value, sum(pair.weight) OVER (ORDER BY pair.value ROWS UNBOUNDED PRECEDING) AS running "  # noqa: S608
        f"FROM {table} AS pair(value, weight)"
    )
    total = f"SELECT part.value, part.running, max(part.running) OVER () AS total FROM ({running}) AS part"  # noqa: S608
    half = number(0.5)
    return f"(SELECT min(whole.value) FROM ({total}) AS whole WHERE whole.running >= {half} * whole.total)"  # noqa: S608
