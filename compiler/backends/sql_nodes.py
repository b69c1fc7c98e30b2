"""One function for each kind of node: the text of one of its columns.

Nothing here may raise in PostgreSQL, whatever the row holds: facts.py says which values can occur, products are flushed
(sql_text.flushed), exp is clamped, and what could overflow was refused before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pgscore.quoting import number

from .. import ir
from ..artifact import SqlType, Template
from ..fact import EXP_HIGH, EXP_LOW, SMALLEST, UNDERFLOW, Fact
from ..ir import Ref
from .sql_coupling import couple
from .sql_curves import elementwise, piecewise
from .sql_kernels import kernel
from .sql_medians import weighted_median
from .sql_neighbors import neighbors
from .sql_scope import MAX_ARGUMENTS, Scope, present
from .sql_subgraph import subgraph
from .sql_sums import affine, balanced
from .sql_text import (
    INFINITY,
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
    strict,
    text,
    times,
    without_nan,
)
from .sql_trees import trees

SOFTMAX_HIGH = 690.0
"""exp of this is 1e299, of which a thousand million can be added up."""

ROOT_OF_TINY = 1e-162
"""The smallest double is about the square of this."""
QUOTIENT_LOW, QUOTIENT_HIGH = 1e-305, 1e307
"""A quotient between these is a normal double."""

PRODUCT_LOW, PRODUCT_HIGH = 1e-305, 1e308
"""A product between these is a normal double."""

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
    if node.marker is not None:
        sql = case([(f"{value.operand} = {text(node.marker)}", text(fill))], value.sql)
        return replace(value, sql=sql, form=Form.ATOM)
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
    low = number(node.low) if node.low > -math.inf else None
    high = number(node.high) if node.high < math.inf else None
    if not low and not high:
        return value
    if not value.missing:
        raised = f"greatest({value.sql}, {low})" if low else value.sql
        return replace(value, sql=f"least({raised}, {high})" if high else raised, form=Form.ATOM)
    value, sql = without_nan(value), without_nan(value).operand
    branches = [*([(f"{sql} < {low}", low)] if low else []), *([(f"{sql} > {high}", high)] if high else [])]
    return replace(value, sql=case(branches, sql), form=Form.ATOM)


def _select(node: ir.Select, ref: Ref, scope: Scope) -> Value:
    chosen, then, otherwise = (scope[node.inputs[ref.column + part * node.width]] for part in range(3))
    condition = chosen.sql if chosen.kind is Kind.FLAG else _is_nonzero(chosen)
    then, otherwise = without_nan(double(then)), without_nan(double(otherwise))
    sql = case([(condition, then.sql)], otherwise.sql)
    return Value(sql, Kind.FLOAT, Form.ATOM, null=then.null or otherwise.null)


def _is_nonzero(value: Value) -> str:
    """The condition that a number is neither 0 nor missing; NULL counts as false."""
    value = without_nan(integer(value))
    return f"{value.operand} <> {'0' if value.kind is Kind.INT else number(0.0)}"


def _multiply(node: ir.Multiply, ref: Ref, scope: Scope) -> Value:
    sources = node.inputs[ref.column], node.inputs[ref.column + node.width]
    left, right = (without_nan(double(scope[source])) for source in sources)
    a, b = (scope.fact(source) for source in sources)
    null = left.null or right.null
    if sources[0] == sources[1]:
        # Flushed, it is 0 or as large as the square root of the smallest double.
        factor = left if a.tiny * a.tiny >= UNDERFLOW else flushed(left, a.tiny, ROOT_OF_TINY)
        return Value(f"{factor.operand} * {factor.operand}", Kind.FLOAT, null=null)
    one, product = number(1.0), f"{left.operand} * {right.operand}"
    branches = []
    if a.tiny * b.tiny < UNDERFLOW:
        bound = f"{number(PRODUCT_LOW)} / greatest(abs({right.sql}), {number(SMALLEST)})"
        branches.append((f"abs({right.sql}) < {one} AND abs({left.sql}) < {bound}", number(0.0)))
    if not math.isfinite(max(abs(a.low), abs(a.high)) * max(abs(b.low), abs(b.high))):
        within = f"abs({left.sql}) <= {number(PRODUCT_HIGH)} / greatest(abs({right.sql}), {one})"
        branches += [(within, product), (f"abs({left.sql}) > {number(0.0)}", INFINITY)]
        return Value(case(branches, None), Kind.FLOAT, Form.ATOM, null=null)
    return Value(case(branches, product), Kind.FLOAT, Form.ATOM if branches else Form.COMPOUND, null=null)


def _divide(node: ir.Divide, ref: Ref, scope: Scope) -> Value:
    """The quotient; 0 where it would underflow, infinity where it would overflow, which a guard then refuses."""
    sources = node.inputs[ref.column], node.inputs[ref.column + node.width]
    dividend, divisor = (without_nan(double(scope[source])) for source in sources)
    a, b = scope.fact(sources[0]), scope.fact(sources[1])
    top, bottom = dividend.operand, divisor.operand
    quotient = f"{top} / {bottom}"
    branches = [(f"{bottom} = {number(0.0)}", number(node.at_zero))] if b.low <= 0 <= b.high else []
    if max(abs(b.low), abs(b.high)) > 1 and a.tiny < max(abs(b.low), abs(b.high)) * QUOTIENT_LOW:
        least = f"abs({bottom}) > {number(1.0)} AND abs({top}) < abs({bottom}) * {number(QUOTIENT_LOW)}"
        branches.append((least, number(0.0)))
    if max(abs(a.low), abs(a.high)) > max(b.tiny, b.low, -b.high) * QUOTIENT_HIGH:
        within = f"abs({top}) <= least(abs({bottom}), {number(1.0)}) * {number(QUOTIENT_HIGH)}"
        branches += [(within, quotient), (f"abs({top}) > {number(0.0)}", INFINITY)]
        sql = case(branches, None)
    else:
        sql = case(branches, quotient)
    return Value(sql, Kind.FLOAT, Form.ATOM if branches else Form.COMPOUND, null=dividend.null or divisor.null)


def _reduce(node: ir.Reduce, ref: Ref, scope: Scope) -> Value:
    values = scope.shared(ref.node, lambda: [present(source, scope) for source in node.inputs])
    name = "greatest" if node.reduction is ir.Reduction.MAX else "least"
    if len(values) == 1:
        return values[0]
    return Value(f"{name}({', '.join(value.sql for value in values)})", Kind.FLOAT, Form.ATOM)


def _sigmoid(node: ir.Sigmoid, ref: Ref, scope: Scope) -> Value:
    source = node.inputs[ref.column]
    value = present(source, scope)
    exponent = f"- {value.operand}"
    product = scope.program.nodes[source.node]
    if isinstance(product, ir.MultiplyAdd) and not product.offset[source.column] and not scope.variables:
        factor = product.inputs[source.column]
        exponent = times(scope[factor], scope.fact(factor).tiny, -float(product.factor[source.column])).operand
    fact = scope.fact(source)
    if fact.low < -EXP_HIGH or fact.high > -EXP_LOW:
        exponent = strict("smaller", strict("larger", exponent, EXP_LOW), -EXP_LOW)
    return Value(f"{number(1.0)} / ({number(1.0)} + exp({exponent}))", Kind.FLOAT)


def _softmax(node: ir.Softmax, ref: Ref, scope: Scope) -> Value:
    if scope.variables:
        return scope.shared(ref.node, lambda: _softmax_variables(node, scope))[ref.column]
    values = scope.shared(ref.node, lambda: [present(source, scope) for source in node.inputs])
    own = values[ref.column]
    terms = [number(1.0)]
    for column, other in enumerate(values):
        if column != ref.column:
            difference = f"{other.operand} - {own.operand}"
            terms.append(f"exp(least(greatest({difference}, {number(EXP_LOW)}), {number(SOFTMAX_HIGH)}))")
    return Value(f"{number(1.0)} / ({' + '.join(terms)})", Kind.FLOAT)


def _softmax_variables(node: ir.Softmax, scope: Scope) -> list[Value]:
    values = [present(source, scope).sql for source in node.inputs]
    top = scope.variable("double precision", f"greatest({', '.join(values)})", "top")
    shares = [
        scope.variable("double precision", f"exp(greatest({value} - {top}, {number(EXP_LOW)}))", "e")
        for value in values
    ]
    total = scope.variable("double precision", balanced(shares), "total")
    return [Value(f"{share} / {total}", Kind.FLOAT) for share in shares]


def _normalize(node: ir.Normalize, ref: Ref, scope: Scope) -> Value:
    def prepare() -> tuple[list[Value], str]:
        values = [present(source, scope) for source in node.inputs]
        total = balanced([value.operand for value in values])
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
    return scope.shared(position, lambda: [present(source, scope) for source in node.inputs])


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
    ir.Select: _select,
    ir.Codes: _codes,
    ir.OneHot: _one_hot,
    ir.Lookup: _lookup,
    ir.Standardize: _standardize,
    ir.MultiplyAdd: _multiply_add,
    ir.Clip: _clip,
    ir.Affine: affine,
    ir.Trees: trees,
    ir.Kernel: kernel,
    ir.Neighbors: neighbors,
    ir.CouplePairwise: couple,
    ir.Sigmoid: _sigmoid,
    ir.Softmax: _softmax,
    ir.Multiply: _multiply,
    ir.Divide: _divide,
    ir.Reduce: _reduce,
    ir.WeightedMedian: weighted_median,
    ir.Elementwise: elementwise,
    ir.Piecewise: piecewise,
    ir.Normalize: _normalize,
    ir.ArgMax: _arg_max,
    ir.Step: _step,
    ir.Subgraph: subgraph,
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
    ir.Multiply: "product",
}
"""How variables that hold columns of a node are called; others are `v`."""
