"""Programs as SQL: one expression that PostgreSQL inlines, or a plpgsql block with variables.

The program has been through rewrites.simplify, and facts.analyse says what its columns can hold. Refused rows give
NULL: the guards of the inputs come first, then the checks of computed columns, then the value. CASE and IF fix that
order, so a guard may rely on those before it, and nothing raises.

Text holds a `Template` hole for each parameter. The backend never imports scikit-learn and never talks to a database.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from pgscore.errors import UnsupportedError
from pgscore.quoting import number

from .. import ir
from ..artifact import Parameter, Template
from ..fact import Fact
from ..facts import TYPES, Facts, Guard, analyse
from ..ir import FINITE, Block, Ref
from ..rewrites import producers
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
    scope = _walk(Scope(program, parameters, facts, uses, variables=False, limit=limit))
    sql = _result(scope, result)
    if scope.conditions:
        sql = _guarded(scope.conditions, sql)
    guards = _input_guards(scope)
    if guards:
        sql = _guarded(guards, sql)
    if len(sql) > limit:
        raise TooLargeError
    return Template(sql)


def block(program: ir.Program, parameters: Sequence[Parameter], facts: Facts, result: Result) -> Template:
    """The result as a plpgsql block."""
    uses = count_uses(program, facts, result.columns)
    scope = _walk(Scope(program, parameters, facts, uses, variables=True))
    returned = _result(scope, result)
    guards = _input_guards(scope)
    statements = [*([refusal(_all(guards))] if guards else []), *scope.statements, f"RETURN {indent(returned)};"]
    declare = "DECLARE\n  " + "\n  ".join(scope.declared) + "\n" if scope.declared else ""
    return Template(declare + "BEGIN\n  " + "\n  ".join(indent(s) for s in statements) + "\nEND")


def features(program: ir.Program, parameters: Sequence[Parameter]) -> tuple[Template, ...]:
    """`program.features()` as expressions of doubles, for each row, also those that the model refuses."""
    facts = analyse(program, parameters, guarded=False)
    uses = count_uses(program, facts, program.features())
    scope = _walk(Scope(program, parameters, facts, uses, variables=False))
    return tuple(Template(double(scope[ref]).sql) for ref in program.features())


def _walk(scope: Scope) -> Scope:
    """Renders what is wanted, node by node."""
    facts = scope.facts
    for position, node in enumerate(scope.program.nodes):
        for column in scope.wanted(position):
            ref = Ref(position, column)
            scope.set(ref, NODES[type(node)](node, ref, scope), NAMES.get(type(node), "v"))
            for guard in facts.computed.get(ref, []):
                scope.require(" AND ".join(_guard(scope[ref], Fact(null=True, nan=True), guard)) or "TRUE")
    return scope


def _input_guards(scope: Scope) -> list[str]:
    """The conditions on the parameters themselves, merged into one for each parameter."""
    conditions = []
    for position, node in enumerate(scope.program.nodes):
        guard = scope.facts.inputs.get(Ref(position, 0))
        if guard and isinstance(node, ir.Input):
            parameter = scope.parameters[node.index].type
            conditions += _guard(argument(node.index, parameter, TYPES[parameter]), TYPES[parameter], guard)
    return conditions


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
        return [] if guard.missing or not value.missing else [f"{value.operand} IS NOT NULL"]
    value = integer(value)
    missing = guard.missing and value.missing
    if value.kind is Kind.INT and max(abs(guard.low), abs(guard.high)) < EXACT_INTEGER:
        inside = f"{value.operand} BETWEEN {math.ceil(guard.low)} AND {math.floor(guard.high)}"
    else:
        value = double(value)
        if (guard.low, guard.high) == (-FINITE, FINITE) and missing:
            return [f"(abs({value.sql}) = 'Infinity'::float8) IS NOT TRUE"]
        if (guard.low, guard.high) == (-FINITE, FINITE):
            inside = f"abs({value.sql}) < 'Infinity'::float8"
        elif guard.low == -guard.high:
            inside = f"abs({value.sql}) <= {number(guard.high)}"
        else:
            inside = f"{value.operand} BETWEEN {number(guard.low)} AND {number(guard.high)}"
    return [either([inside, is_missing(value)]) if missing else inside]


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
            return f"ARRAY[{joined}]::float8[]"
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
    if value.kind is Kind.FLAG and len(results) == 2:
        return case([(value.sql, results[1])], results[0])
    branches = [(str(position), result) for position, result in enumerate(results)]
    return case(branches, None, integer(value).operand)
