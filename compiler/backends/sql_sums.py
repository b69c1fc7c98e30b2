"""Sums: linear models, and what adds up many terms.

A product that would underflow raises in PostgreSQL, so that its column is flushed (sql_text.flushed), or lifted off 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pgscore.quoting import number

from .. import ir
from ..ir import Ref
from .sql_scope import Scope
from .sql_text import Form, Kind, Value, constant, grain_of, plus, times

SUM_TERMS = 200
"""Terms of a linear model in one left-deep sum; more are added up in groups, as PostgreSQL recurses into sums."""
LIFTED_TERMS = 3
"""From so many terms on that could underflow, each is only lifted off 0, (x + c) * w, and the sum is flushed instead. c
is so small that it is lost in any x above 1e-280."""

LOST_IN_EXP = 1e-20
"""exp of this is 1."""


def affine(node: ir.Affine, ref: Ref, scope: Scope) -> Value:
    """One column of a linear model."""
    weights, bias = node.weights[ref.column], float(node.bias[ref.column])
    terms = [constant(bias)] if bias or not weights.any() else []
    tiny = [scope.fact(source).tiny for source in node.inputs]
    grains = [grain_of(least, weight) for least, weight in zip(tiny, weights.tolist(), strict=True)]
    lifted = np.count_nonzero(grains) >= LIFTED_TERMS
    for j in np.flatnonzero(weights):
        value, least = scope[node.inputs[j]], tiny[j]
        if lifted and grains[j]:
            value, least = plus(value, grains[j]), math.inf
        terms.append(times(value, least, float(weights[j])))
    null, nan = any(t.null for t in terms), any(t.nan for t in terms)
    if len(terms) == 1:
        return terms[0]
    groups = [_sum(terms[i : i + SUM_TERMS]) for i in range(0, len(terms), SUM_TERMS)]
    sql = groups[0] if len(groups) == 1 else "\n+ ".join(f"({group})" for group in groups)
    lifts = float(np.abs(weights) @ grains)
    if lifted and not _is_lost(lifts, ref, scope):
        grain = number(_grain_of_sum(lifts))
        sql = f"{sql}\n+ {grain}\n- {grain}"
    return Value(sql, Kind.FLOAT, null=null, nan=nan)


def _is_lost(error: float, ref: Ref, scope: Scope) -> bool:
    """Whether nothing shows that the column is so much larger: all that becomes of it is the exponent of sigmoids."""
    if ref in scope.results:
        return False
    for position, node in enumerate(scope.program.nodes):
        if ref not in node.inputs or isinstance(node, ir.Check) or not scope.wanted(position):
            continue
        if isinstance(node, ir.MultiplyAdd):
            products = [(error * abs(f), Ref(position, j)) for j, f in enumerate(node.factor) if node.inputs[j] == ref]
            if not all(_is_lost(larger, product, scope) for larger, product in products):
                return False
        elif not isinstance(node, ir.Sigmoid) or error > LOST_IN_EXP:
            return False
    return True


def _grain_of_sum(lifts: float) -> float:
    """What to add to a sum and subtract again, so that nothing is left of `lifts` in a sum that would be 0."""
    return float(f"1e{math.ceil(math.log10(lifts * 2.0**55))}")


def _sum(terms: Sequence[Value]) -> str:
    """The terms added from left to right, one on a line unless they are short."""
    signed = [t.sql if t.sql.startswith("- ") else f"+ {_term(t)}" for t in terms]
    gap = " " if sum(map(len, signed)) < 90 and not any("\n" in t for t in signed) else "\n"
    return gap.join(signed).removeprefix("+ ")


def _term(value: Value) -> str:
    """A term of a sum. Products need no parentheses; other sums keep them, to show what belongs together."""
    return value.sql if value.form is Form.COMPOUND and " * " in value.sql else value.operand


def balanced(terms: Sequence[str]) -> str:
    """The terms added in groups, none of them too deep for PostgreSQL."""
    groups = [" + ".join(terms[i : i + SUM_TERMS]) for i in range(0, len(terms), SUM_TERMS)]
    return groups[0] if len(groups) == 1 else " + ".join(f"({group})" for group in groups)
