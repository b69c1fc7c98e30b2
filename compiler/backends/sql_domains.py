"""The condition of a specialised program in SQL: first in each function, so that all else may rely on it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pgscore.quoting import number

from .. import ir
from ..artifact import Parameter, SqlType, Template
from ..facts import TYPES
from ..ir import Domain
from .sql_nodes import argument
from .sql_text import Kind, Value, text


def conditions(program: ir.Program, parameters: Sequence[Parameter]) -> list[str]:
    """What is true for the rows that the program is for, and false or NULL for all others."""
    return [
        condition for index, domain in program.domains.items() for condition in _of(index, parameters[index], domain)
    ]


def holds(program: ir.Program, parameters: Sequence[Parameter]) -> Template:
    """The same as one expression: 1, or NULL for other rows."""
    return Template(f"CASE WHEN {' AND '.join(conditions(program, parameters))} THEN {number(1.0)} END")


def _of(index: int, parameter: Parameter, domain: Domain) -> list[str]:
    value = argument(index, parameter.type, TYPES[parameter.type])
    column = value.operand
    if domain.among == ():
        return [f"{column} IS NULL"]
    if parameter.type is SqlType.BOOLEAN:
        return [_boolean(column, domain)]
    found = []
    if domain.among is not None:
        found.append(_one_of(value, "=", "IN", domain.among))
    else:
        found += _between(value, parameter.type, domain)
        if domain.excluded:
            found.append(_one_of(value, "<>", "NOT IN", sorted(domain.excluded, key=repr)))
    return found or [f"{column} IS NOT NULL"]


def _boolean(column: str, domain: Domain) -> str:
    """A boolean that is not NULL alone."""
    if len(domain.among or ()) == 1:
        (only,) = domain.among or ()
        if domain.null:
            return f"{column} IS NOT {'FALSE' if only else 'TRUE'}"
        return column if only else f"NOT {column}"
    return f"{column} IS NOT NULL"


def _between(value: Value, kind: SqlType, domain: Domain) -> list[str]:
    if value.kind is Kind.TEXT:
        return []
    least, most = TYPES[kind].low, TYPES[kind].high
    low = None if domain.low <= least else _literal(value, domain.low)
    high = None if domain.high >= most or (kind is SqlType.BIGINT and domain.high == 2**63 - 1) else domain.high
    upper = None if high is None else _literal(value, high)
    if low and upper:
        return [f"{value.operand} BETWEEN {low} AND {upper}"]
    return [f"{value.operand} {sign} {bound}" for sign, bound in ((">=", low), ("<=", upper)) if bound]


def _one_of(value: Value, one: str, several: str, values: Sequence[ir.Scalar]) -> str:
    literals = [_literal(value, each) for each in values]
    if len(literals) == 1:
        return f"{value.operand} {one} {literals[0]}"
    return f"{value.operand} {several} ({', '.join(literals)})"


def _literal(value: Value, given: ir.Scalar) -> str:
    if isinstance(given, str):
        return text(given)
    return str(int(given)) if value.kind is Kind.INT and math.isfinite(given) else number(float(given))
