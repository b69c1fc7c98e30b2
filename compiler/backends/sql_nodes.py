"""One function for each kind of node: the text of one of its columns.

Nothing here may raise in PostgreSQL, whatever the row holds: facts.py says which values can occur, products are flushed
(sql_text.flushed), exp is clamped, and what could overflow was refused before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pgscore.quoting import number

from .. import ir
from ..artifact import SqlType, Template
from ..facts import EXP_HIGH, EXP_LOW, Fact
from ..ir import Ref
from .sql_scope import MAX_ARGUMENTS, Scope
from .sql_text import (
    SEARCH_FROM,
    Coded,
    Form,
    Kind,
    Value,
    by_code,
    case,
    constant,
    divided,
    double,
    flushed,
    integer,
    is_missing,
    member,
    plus,
    text,
    times,
    without_nan,
)
from .sql_trees import trees

SUM_TERMS = 200
"""Terms of a linear model in one left-deep sum; more are added up in groups, as PostgreSQL recurses into sums."""
SOFTMAX_HIGH = 690.0
"""exp of this is 1e299, of which a thousand million can be added up."""

KINDS = {
    SqlType.DOUBLE: Kind.FLOAT,
    SqlType.INTEGER: Kind.INT,
    SqlType.BIGINT: Kind.INT,
    SqlType.BOOLEAN: Kind.BOOL,
    SqlType.TEXT: Kind.TEXT,
}


def argument(index: int, sql_type: SqlType, fact: Fact) -> Value:
    """Parameter number `index`, of which `fact` holds."""
    return Value(Template.hole(index), KINDS[sql_type], Form.SIMPLE, fact.null, fact.nan)


def _input(node: ir.Input, ref: Ref, scope: Scope) -> Value:
    value = argument(node.index, scope.parameters[node.index].type, scope.fact(ref))
    if scope.variables and scope.uses[ref] > 1 and len(scope.parameters) > MAX_ARGUMENTS:
        return scope.keep(without_nan(value), "x")
    return value


def _impute(node: ir.Impute, ref: Ref, scope: Scope) -> Value:
    value, fill = scope[node.inputs[ref.column]], float(node.fill[ref.column])
    if not value.missing:
        return value
    plain = without_nan(integer(value))
    if plain.kind is Kind.INT and abs(fill) < 2**31 and fill == int(fill):
        return Value(f"coalesce({plain.sql}, {int(fill)})", Kind.INT, Form.ATOM)
    return Value(f"coalesce({double(plain).sql}, {number(fill)})", Kind.FLOAT, Form.ATOM)


def _fill_text(node: ir.FillText, ref: Ref, scope: Scope) -> Value:
    value, fill = scope[node.inputs[ref.column]], node.fill[ref.column]
    return Value(f"coalesce({value.sql}, {text(fill)})", Kind.TEXT, Form.ATOM) if value.missing else value


def _is_missing(node: ir.IsMissing, ref: Ref, scope: Scope) -> Value:
    return Value(is_missing(scope[node.inputs[ref.column]]), Kind.FLAG)


def _codes(node: ir.Codes, ref: Ref, scope: Scope) -> Value:
    scrutinee = integer(scope[node.inputs[0]])
    if len(node.categories) >= SEARCH_FROM and scope.variables and scrutinee.form is not Form.SIMPLE:
        scrutinee = scope.keep(scrutinee, "category")
    coded = Coded(scrutinee, node.categories, node.missing, node.unknown)
    null = node.unknown != node.unknown or (scrutinee.missing and node.missing != node.missing)
    return Value("", Kind.CODE, Form.COMPOUND, null=null, coded=coded)


def _one_hot(node: ir.OneHot, ref: Ref, scope: Scope) -> Value:
    return Value(member(scope[node.inputs[0]], node.groups[ref.column]), Kind.FLAG)


def _lookup(node: ir.Lookup, ref: Ref, scope: Scope) -> Value:
    column, default = node.table[:, ref.column].tolist(), float(node.default[ref.column])
    results = {float(code): number(value) if value == value else "NULL::float8" for code, value in enumerate(column)}
    otherwise = number(default) if default == default else "NULL::float8"
    sql = by_code(scope[node.inputs[0]], results, otherwise)
    return Value(sql, Kind.FLOAT, Form.ATOM, null=scope.fact(ref).null)


def _standardize(node: ir.Standardize, ref: Ref, scope: Scope) -> Value:
    source = node.inputs[ref.column]
    center, scale = float(node.center[ref.column]), float(node.scale[ref.column])
    # Next to a center nothing is tiny; see facts.
    tiny = scope.fact(source).tiny if center == 0 else abs(center) * 2.0**-54
    return divided(plus(scope[source], -center), tiny, scale)


def _multiply_add(node: ir.MultiplyAdd, ref: Ref, scope: Scope) -> Value:
    source = node.inputs[ref.column]
    factor, offset = float(node.factor[ref.column]), float(node.offset[ref.column])
    return plus(times(scope[source], scope.fact(source).tiny, factor), offset)


def _clip(node: ir.Clip, ref: Ref, scope: Scope) -> Value:
    value = double(scope[node.inputs[ref.column]])
    low, high = number(node.low), number(node.high)
    if not value.missing:
        return replace(value, sql=f"least(greatest({value.sql}, {low}), {high})", form=Form.ATOM)
    value, sql = without_nan(value), without_nan(value).operand
    clipped = case([(f"{sql} < {low}", low), (f"{sql} > {high}", high)], sql)
    return replace(value, sql=clipped, form=Form.ATOM)


def _affine(node: ir.Affine, ref: Ref, scope: Scope) -> Value:
    weights, bias = node.weights[ref.column], float(node.bias[ref.column])
    terms = [constant(bias)] if bias or not weights.any() else []
    for j in np.flatnonzero(weights):
        source = node.inputs[j]
        terms.append(times(scope[source], scope.fact(source).tiny, float(weights[j])))
    null, nan = any(t.null for t in terms), any(t.nan for t in terms)
    if len(terms) == 1:
        return terms[0]
    groups = [_sum(terms[i : i + SUM_TERMS]) for i in range(0, len(terms), SUM_TERMS)]
    sql = groups[0] if len(groups) == 1 else "\n+ ".join(f"({group})" for group in groups)
    return Value(sql, Kind.FLOAT, null=null, nan=nan)


def _sum(terms: Sequence[Value]) -> str:
    """The terms added from left to right, one on a line unless they are short."""
    signed = [t.sql if t.sql.startswith("- ") else f"+ {_term(t)}" for t in terms]
    gap = " " if sum(map(len, signed)) < 90 and not any("\n" in t for t in signed) else "\n"
    return gap.join(signed).removeprefix("+ ")


def _term(value: Value) -> str:
    """A term of a sum. Products need no parentheses; other sums keep them, to show what belongs together."""
    return value.sql if value.form is Form.COMPOUND and " * " in value.sql else value.operand


def _sigmoid(node: ir.Sigmoid, ref: Ref, scope: Scope) -> Value:
    source = node.inputs[ref.column]
    value = _present(source, scope)
    exponent = f"- {value.operand}"
    fact = scope.fact(source)
    if fact.low < -EXP_HIGH or fact.high > -EXP_LOW:
        exponent = f"least(greatest({exponent}, {number(EXP_LOW)}), {number(-EXP_LOW)})"
    return Value(f"{number(1.0)} / ({number(1.0)} + exp({exponent}))", Kind.FLOAT)


def _present(ref: Ref, scope: Scope) -> Value:
    """A double that is not missing: these nodes have no answer for a missing value, so it refuses the row."""
    value = double(scope[ref])
    if value.missing:
        scope.require(f"{value.operand} < 'NaN'::float8")
    return replace(value, null=False, nan=False)


def _softmax(node: ir.Softmax, ref: Ref, scope: Scope) -> Value:
    if scope.variables:
        return scope.shared(ref.node, lambda: _softmax_variables(node, scope))[ref.column]
    values = scope.shared(ref.node, lambda: [_present(source, scope) for source in node.inputs])
    own = values[ref.column]
    terms = [number(1.0)]
    for column, other in enumerate(values):
        if column != ref.column:
            difference = f"{other.operand} - {own.operand}"
            terms.append(f"exp(least(greatest({difference}, {number(EXP_LOW)}), {number(SOFTMAX_HIGH)}))")
    return Value(f"{number(1.0)} / ({' + '.join(terms)})", Kind.FLOAT)


def _softmax_variables(node: ir.Softmax, scope: Scope) -> list[Value]:
    values = [_present(source, scope).sql for source in node.inputs]
    top = scope.variable("double precision", f"greatest({', '.join(values)})", "top")
    shares = [
        scope.variable("double precision", f"exp(greatest({value} - {top}, {number(EXP_LOW)}))", "e")
        for value in values
    ]
    total = scope.variable("double precision", _balanced(shares), "total")
    return [Value(f"{share} / {total}", Kind.FLOAT) for share in shares]


def _balanced(terms: Sequence[str]) -> str:
    groups = [" + ".join(terms[i : i + SUM_TERMS]) for i in range(0, len(terms), SUM_TERMS)]
    return groups[0] if len(groups) == 1 else " + ".join(f"({group})" for group in groups)


def _exp(node: ir.Exp, ref: Ref, scope: Scope) -> Value:
    source = node.inputs[ref.column]
    value, fact = _present(source, scope), scope.fact(source)
    if fact.high > EXP_HIGH:
        scope.require(f"{value.operand} <= {number(EXP_HIGH)}")
    if fact.low >= EXP_LOW and fact.high <= EXP_HIGH:
        return Value(f"exp({value.sql})", Kind.FLOAT, Form.ATOM)
    # In one expression the condition may be met after this; neither end may raise here.
    clamped = f"exp(least(greatest({value.sql}, {number(EXP_LOW)}), {number(EXP_HIGH)}))"
    if fact.low >= EXP_LOW:
        return Value(clamped, Kind.FLOAT, Form.ATOM)
    return Value(case([(f"{value.operand} >= {number(EXP_LOW)}", clamped)], number(0.0)), Kind.FLOAT, Form.ATOM)


def _normalize(node: ir.Normalize, ref: Ref, scope: Scope) -> Value:
    def prepare() -> tuple[list[Value], str]:
        values = [_present(source, scope) for source in node.inputs]
        total = _balanced([value.operand for value in values])
        return values, scope.variable("double precision", total, "total") if scope.variables else f"({total})"

    values, total = scope.shared(ref.node, prepare)
    source = node.inputs[ref.column]
    most = sum(scope.fact(r).high for r in node.inputs)
    share = flushed(values[ref.column], scope.fact(source).tiny, 1 / max(most, 1.0)).operand
    equal = number(1 / len(node.inputs))
    return Value(case([(f"{total} = {number(0.0)}", equal)], f"{share} / {total}"), Kind.FLOAT, Form.ATOM)


def choose_largest(values: Sequence[Value], results: Sequence[str]) -> str:
    """The text of the result that belongs to the largest value, the first one on a tie."""
    operands = [value.operand for value in values]
    if len(operands) == 1:
        return results[0]
    if len(operands) == 2:
        return case([(f"{operands[0]} >= {operands[1]}", results[0])], results[1])
    if len(operands) == 3:
        a, b, c = operands
        return case([(f"{a} >= {b} AND {a} >= {c}", results[0]), (f"{b} >= {c}", results[1])], results[2])
    # A simple CASE computes the largest once, and compares in order.
    largest = "greatest(" + ", ".join(value.sql for value in values) + ")"
    return case(list(zip(operands[:-1], results[:-1], strict=True)), results[-1], largest)


def arg_max_values(node: ir.ArgMax, position: int, scope: Scope) -> list[Value]:
    """The values that an ArgMax compares."""
    return scope.shared(position, lambda: [_present(source, scope) for source in node.inputs])


def _arg_max(node: ir.ArgMax, ref: Ref, scope: Scope) -> Value:
    indices = [str(index) for index in range(len(node.inputs))]
    form = Form.ATOM if len(indices) > 1 else Form.SIMPLE
    return Value(choose_largest(arg_max_values(node, ref.node, scope), indices), Kind.INT, form)


def _step(node: ir.Step, ref: Ref, scope: Scope) -> Value:
    value = double(scope[node.inputs[ref.column]])
    condition = f"{value.operand} {'>=' if node.inclusive else '>'} {number(node.threshold)}"
    return Value(condition + (f" AND {value.operand} < 'NaN'::float8" if value.nan else ""), Kind.FLAG)


NODES: dict[type[ir.Node], Callable[[Any, Ref, Scope], Value]] = {
    ir.Input: _input,
    ir.Constant: lambda node, ref, scope: constant(float(node.values[ref.column])),
    ir.Check: lambda node, ref, scope: scope[node.inputs[ref.column]],
    ir.Impute: _impute,
    ir.FillText: _fill_text,
    ir.IsMissing: _is_missing,
    ir.Codes: _codes,
    ir.OneHot: _one_hot,
    ir.Lookup: _lookup,
    ir.Standardize: _standardize,
    ir.MultiplyAdd: _multiply_add,
    ir.Clip: _clip,
    ir.Affine: _affine,
    ir.Trees: trees,
    ir.Sigmoid: _sigmoid,
    ir.Softmax: _softmax,
    ir.Exp: _exp,
    ir.Normalize: _normalize,
    ir.ArgMax: _arg_max,
    ir.Step: _step,
}
"""Every kind of node. Checks are conditions of the row (sql.py), their columns pass through."""

NAMES: dict[type[ir.Node], str] = {
    ir.Input: "x",
    ir.Codes: "code",
    ir.OneHot: "flag",
    ir.IsMissing: "flag",
    ir.Step: "flag",
    ir.FillText: "text",
    ir.Affine: "z",
    ir.Sigmoid: "p",
    ir.Softmax: "p",
    ir.Normalize: "p",
}
"""How variables that hold columns of a node are called; others are `v`."""
