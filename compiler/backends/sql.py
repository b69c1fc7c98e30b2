"""Programs as SQL: one expression that PostgreSQL inlines, or a plpgsql block with variables.

The program has been through rewrites.simplify, and facts.analyse says what its columns can hold. Refused rows give
NULL: the guards of the inputs come first, then the checks of computed columns, then the value. CASE and IF fix that
order, so a guard may rely on those before it, and nothing raises.

Text holds a `Template` hole for each parameter. The backend never imports scikit-learn and never talks to a database.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from pgscore.errors import UnsupportedError
from pgscore.quoting import number

from .. import ir
from ..artifact import Parameter, Template
from ..fact import EXP_HIGH, Fact
from ..facts import Facts, Guard, analyse, input_fact
from ..ir import FINITE, Block, Ref
from ..rewrites import producers
from .sql_domains import conditions
from .sql_nodes import NAMES, NODES, arg_max_values, argument, choose_largest
from .sql_scope import Scope, TooLargeError, count_uses, refusal
from .sql_text import (
    EXACT_INTEGER,
    Kind,
    Value,
    case,
    double,
    either,
    indent,
    integer,
    is_missing,
    label,
    member,
    possible_codes,
    refusing,
    without_nan,
)

__all__ = ["Result", "Shape", "TooLargeError", "block", "expression", "features"]


class Shape(Enum):
    """What a function makes of its columns."""

    NUMBER = "double precision"
    INTEGER = "integer"
    ARRAY = "double precision[]"
    LABEL = "label"
    LABELS = "labels"


@dataclass(frozen=True)
class Result:
    """What a function returns: one column as a number, an integer or a label, or columns as an array.

    `labels` belong to LABEL, `targets` to LABELS: those of each column.
    """

    columns: Block
    shape: Shape
    labels: tuple[ir.Label, ...] = ()
    targets: tuple[tuple[ir.Label, ...], ...] = ()


def expression(
    program: ir.Program, parameters: Sequence[Parameter], facts: Facts, result: Result, limit: int
) -> Template:
    """The result as one expression without sub-selects. Raises TooLargeError beyond `limit` characters."""
    uses = count_uses(program, facts, result.columns)
    carrier = _carrier(program, facts, result)
    scope = _walk(
        Scope(program, parameters, facts, result.columns, uses, variables=False, limit=limit, carrier=carrier)
    )
    sql = _result(scope, result)
    if scope.conditions:
        sql = _guarded(scope.conditions, sql)
    guards = [*conditions(program, parameters), *_input_guards(scope)]
    if guards:
        sql = _guarded(guards, sql)
    if len(sql) > limit:
        raise TooLargeError
    return Template(sql)


def block(program: ir.Program, parameters: Sequence[Parameter], facts: Facts, result: Result) -> Template:
    """The result as a plpgsql block."""
    uses = count_uses(program, facts, result.columns)
    scope = _walk(Scope(program, parameters, facts, result.columns, uses, variables=True))
    returned = _result(scope, result)
    guards = [*conditions(program, parameters), *_input_guards(scope)]
    statements = [*([refusal(_all(guards))] if guards else []), *scope.statements, f"RETURN {indent(returned)};"]
    declare = "DECLARE\n  " + "\n  ".join(scope.declared) + "\n" if scope.declared else ""
    return Template(declare + "BEGIN\n  " + "\n  ".join(indent(s) for s in statements) + "\nEND")


def features(program: ir.Program, parameters: Sequence[Parameter]) -> tuple[Template, ...]:
    """`program.features()` as expressions of doubles, for each row, also those that the model refuses."""
    program = replace(program, domains={})
    facts = analyse(program, parameters, guarded=False)
    uses = count_uses(program, facts, program.features())
    scope = _walk(Scope(program, parameters, facts, program.features(), uses, variables=False))
    return tuple(Template(double(scope[ref]).sql) for ref in program.features())


def _walk(scope: Scope) -> Scope:
    """Renders what is wanted, node by node."""
    facts = scope.facts
    for position, node in enumerate(scope.program.nodes):
        for column in scope.wanted(position):
            ref = Ref(position, column)
            scope.set(ref, NODES[type(node)](node, ref, scope), NAMES.get(type(node), "v"))
            if guards := facts.computed.get(ref):
                guard = _all_of(guards)
                if ref == scope.carrier:
                    scope.set(ref, refusing(double(scope[ref]), guard.low, guard.high), "")
                else:
                    # Its fact, which the value was made from, says already what holds behind the guard.
                    value = replace(scope[ref], null=scope[ref].null or not guard.missing)
                    scope.require(" AND ".join(_guard(value, Fact(null=True, nan=True), guard)) or "TRUE")
                    if not guard.missing:
                        scope.values[ref] = replace(value, null=False, nan=False)
    return scope


def _all_of(guards: Sequence[Guard]) -> Guard:
    """What the guards say together."""
    return Guard(max(g.low for g in guards), min(g.high for g in guards), all(g.missing for g in guards))


def _carrier(program: ir.Program, facts: Facts, result: Result) -> Ref | None:
    """The guarded column, if any, that refuses a row by being NULL, as then the whole result is, and only then.

    A CASE around the result would compute the column once more.
    """
    columns = result.columns
    if result.shape is Shape.LABEL and len(result.labels) == 2:
        ((node, column),) = producers(program, columns)
        columns = (node.inputs[column],) if isinstance(node, ir.Step) else ()
    elif result.shape not in (Shape.NUMBER, Shape.ARRAY):
        columns = ()
    found = {_guarded_source(program, facts, ref) for ref in columns}
    return found.pop() if len(found) == 1 else None


def _guarded_source(program: ir.Program, facts: Facts, ref: Ref) -> Ref | None:
    """The nearest guarded column of which the given one is a function that is NULL for NULL alone."""
    while ref not in facts.computed:
        node = program.nodes[ref.node]
        match node:
            case ir.Check() | ir.MultiplyAdd() | ir.Standardize() | ir.Sigmoid():
                ref = node.inputs[ref.column]
            case ir.Elementwise(op=ir.Op.EXP) if facts.of[node.inputs[ref.column]].high <= EXP_HIGH:
                ref = node.inputs[ref.column]
            case ir.Affine(inputs=(only,)) if node.weights[ref.column, 0]:
                ref = only
            case _:
                return None
    return None if _all_of(facts.computed[ref]).missing and facts.of[ref].missing else ref


def _input_guards(scope: Scope) -> list[str]:
    """The conditions on the parameters themselves, merged into one for each of them, or for several with one limit."""
    found = []
    limited: dict[float, list[Value]] = {}
    for position, node in enumerate(scope.program.nodes):
        guard = scope.facts.inputs.get(Ref(position, 0))
        if guard and isinstance(node, ir.Input):
            fact = input_fact(scope.program, node.index, scope.parameters)
            value = argument(node.index, scope.parameters[node.index].type, fact)
            is_double = value.kind is Kind.FLOAT and value.missing
            if is_double and guard.missing and guard.low == -guard.high < fact.high:
                limited.setdefault(guard.high, []).append(value)
            else:
                found += _guard(value, fact, guard)
    return [*(_limited(values, limit) for limit, values in limited.items()), *found]


def _guard(value: Value, fact: Fact, guard: Guard) -> list[str]:
    """The conditions that together say what the guard says.

    A comparison from above is false for NaN, which PostgreSQL holds above infinity, and NULL for NULL.
    """
    if value.kind is Kind.CODE:
        allowed = [c for c in possible_codes(value) if guard.low <= c <= guard.high or (c != c and guard.missing)]
        return [member(value, allowed)]
    if value.kind is Kind.FLAG:
        value = integer(value)
    bounded = guard.low > fact.low or guard.high < fact.high
    if not bounded:
        present = f"{value.operand} < 'NaN'::float8" if value.nan else f"{value.operand} IS NOT NULL"
        return [] if guard.missing or not value.missing else [present]
    value = integer(value)
    missing = guard.missing and value.missing
    if value.kind is Kind.INT and max(abs(guard.low), abs(guard.high)) < EXACT_INTEGER:
        inside = f"{value.operand} BETWEEN {math.ceil(guard.low)} AND {math.floor(guard.high)}"
    else:
        value = double(value)
        if guard.low == -guard.high and missing:
            return [_limited([value], guard.high)]
        if (guard.low, guard.high) == (-FINITE, FINITE):
            inside = f"abs({value.sql}) < 'Infinity'::float8"
        elif guard.low == -guard.high:
            inside = f"abs({value.sql}) <= {number(guard.high)}"
        else:
            inside = f"{value.operand} BETWEEN {number(guard.low)} AND {number(guard.high)}"
    return [either([inside, is_missing(value)]) if missing else inside]


def _limited(values: Sequence[Value], limit: float) -> str:
    """The condition that each of the doubles is missing, or no further from 0 than `limit`.

    No comparison is true for NULL. One from below is true for NaN: only rows that hold one are looked at twice.
    """
    if limit == FINITE:
        infinite = _any(f"abs({value.sql}) = 'Infinity'::float8" for value in values)
        return f"({infinite}) IS NOT TRUE"
    beyond = [f"abs({value.sql}) > {number(limit)}" for value in values]
    if not any(value.nan for value in values):
        return f"({_any(beyond)}) IS NOT TRUE"
    exact = [f"{b} AND {value.operand} < 'NaN'::float8" for b, value in zip(beyond, values, strict=True)]
    if len(values) == 1:
        return f"({exact[0]}) IS NOT TRUE"
    return f"(({_any(beyond)}) IS NOT TRUE\n  OR ({_any(exact)}) IS NOT TRUE)"


def _any(conditions: Iterable[str]) -> str:
    return "\n    OR ".join(conditions)


def _all(conditions: Sequence[str]) -> str:
    return "\n  AND ".join(f"({c})" if " OR " in c and not c.startswith("(") else c for c in conditions)


def _guarded(conditions: Sequence[str], sql: str) -> str:
    return f"CASE\n  WHEN {indent(_all(conditions), 2)}\n  THEN {indent(sql, 2)}\nEND"


def _result(scope: Scope, result: Result) -> str:
    match result.shape:
        case Shape.NUMBER:
            return _number(scope, result.columns[0])
        case Shape.ARRAY:
            elements = [indent(_number(scope, ref)) for ref in result.columns]
            joined = ", ".join(elements)
            if len(joined) > 100 or "\n" in joined:
                joined = "\n  " + ",\n  ".join(elements) + "\n"
            array = f"ARRAY[{joined}]::float8[]"
            nothing = ", ".join(["NULL"] * len(elements))
            return f"nullif({array}, ARRAY[{nothing}]::float8[])" if scope.carrier else array
        case Shape.INTEGER:
            return _chosen(scope, result.columns[0], None)
        case Shape.LABEL:
            return _chosen(scope, result.columns[0], [label_literal(value) for value in result.labels])
        case Shape.LABELS:
            chosen = [
                indent(_chosen(scope, ref, [label_literal(value) for value in labels]))
                for ref, labels in zip(result.columns, result.targets, strict=True)
            ]
            return "ARRAY[\n  " + ",\n  ".join(chosen) + "\n]"


def _number(scope: Scope, ref: Ref) -> str:
    """The column as a result: NULL where it is NaN or infinite."""
    value, fact = double(scope[ref]), scope.fact(ref)
    if math.isinf(fact.low) or math.isinf(fact.high):
        return case([(f"abs({value.sql}) < 'Infinity'::float8", value.sql)], None)
    return without_nan(value).sql


def label_literal(value: ir.Label) -> str:
    """The label as a literal; raises UnsupportedError for one that PostgreSQL cannot hold."""
    if (isinstance(value, str) and "\0" in value) or (
        isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63
    ):
        raise UnsupportedError("model", f"PostgreSQL has no value for its class {value!r}", "rename the class")
    return label(value)


def _chosen(scope: Scope, ref: Ref, results: list[str] | None) -> str:
    """The class index as an integer; with `results`, the one that belongs to it, chosen where the index would be."""
    ((node, _),) = producers(scope.program, [ref])
    value = scope[ref]
    if isinstance(node, ir.ArgMax):
        options = results or [str(index) for index in range(len(node.inputs))]
        return choose_largest(arg_max_values(node, ref.node, scope), options)
    if results is None:
        return f"{integer(value).operand}::integer"
    if value.kind is Kind.FLAG and results == ["FALSE", "TRUE"]:
        return value.sql
    if value.kind is Kind.FLAG and len(results) == 2 and scope.carrier:
        return case([("FALSE", results[0]), ("TRUE", results[1])], None, indent(value.sql))
    if value.kind is Kind.FLAG and len(results) == 2:
        return case([(value.sql, results[1])], results[0])
    branches = [(str(position), result) for position, result in enumerate(results)]
    return case(branches, None, integer(value).operand)
