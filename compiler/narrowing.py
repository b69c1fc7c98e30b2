"""What is left of the values of a column in the rows that satisfy one term of a condition, by the column's type."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from pgscore.errors import UsageError

from .artifact import Parameter, SqlType
from .ir import Domain, Scalar

if TYPE_CHECKING:
    from .where import Literal, Term

_RANGES = {SqlType.INTEGER: 2**31, SqlType.BIGINT: 2**63}


def of_type(kind: SqlType) -> Domain:
    """All values of a parameter."""
    if kind in _RANGES:
        return Domain(-_RANGES[kind], _RANGES[kind] - 1, nan=False)
    if kind is SqlType.BOOLEAN:
        return Domain(0.0, 1.0, (0.0, 1.0), nan=False)
    return Domain(nan=kind is SqlType.DOUBLE)


def narrowed(domain: Domain, term: Term, parameter: Parameter) -> Domain:
    """What is left of the domain in rows that satisfy the term."""
    if term.test == "IS NULL":
        return replace(domain, among=(), nan=False)
    if term.test == "IS NOT NULL":
        return replace(domain, null=False)
    if parameter.type is SqlType.BOOLEAN:
        return _narrowed_boolean(domain, term, parameter)
    if not term.literals:
        raise _misfit(term, parameter)
    if parameter.type is SqlType.TEXT:
        return _narrowed_text(domain, term, parameter)
    bounds = [_number(value, term, parameter) for value in term.literals]
    if parameter.type in _RANGES:
        return _narrowed_whole(domain, term.test, bounds)
    return _narrowed_double(domain, term.test, [_double(value, parameter) for value in bounds])


def _narrowed_to(domain: Domain, values: Sequence[Scalar], *, among: bool) -> Domain:
    """The domain with these values alone, or without them."""
    if among:
        kept = tuple(value for value in values if domain.admits(value))
        return replace(domain, among=kept, null=False, nan=False)
    return replace(domain, excluded=domain.excluded | frozenset(values), null=False)


def _between(domain: Domain, low: float | None, high: float | None) -> Domain:
    """The domain from `low` to `high`; NaN is larger than all numbers."""
    return replace(
        domain,
        low=domain.low if low is None else max(domain.low, low),
        high=domain.high if high is None else min(domain.high, high),
        null=False,
        nan=domain.nan and high is None,
    )


def _narrowed_text(domain: Domain, term: Term, parameter: Parameter) -> Domain:
    if term.test not in {"=", "<>", "IN", "NOT IN"}:
        raise UsageError(
            f"column {parameter.name!r} is text, and {term.test} depends on how it is sorted; use =, <>, [NOT] IN or"
            " IS [NOT] NULL"
        )
    values = [_text(value, term, parameter) for value in term.literals]
    return _narrowed_to(domain, values, among=term.test in {"=", "IN"})


def _narrowed_double(domain: Domain, test: str, bounds: Sequence[float]) -> Domain:
    first = bounds[0]
    match test:
        case "=" | "IN" | "<>" | "NOT IN":
            return _narrowed_to(domain, bounds, among=test in {"=", "IN"})
        case "BETWEEN":
            return _between(domain, first, bounds[-1])
        case ">" | ">=":
            return _between(domain, first if test == ">=" else math.nextafter(first, math.inf), None)
        case _:
            return _between(domain, None, first if test == "<=" else math.nextafter(first, -math.inf))


def _narrowed_whole(domain: Domain, test: str, bounds: Sequence[Decimal]) -> Domain:
    """Of whole numbers, which no fraction equals."""
    first = bounds[0]
    match test:
        case "=" | "IN" | "<>" | "NOT IN":
            whole = [int(bound) for bound in bounds if bound == int(bound)]
            return _narrowed_to(domain, whole, among=test in {"=", "IN"})
        case "BETWEEN":
            return _between(domain, math.ceil(first), math.floor(bounds[-1]))
        case ">" | ">=":
            return _between(domain, math.ceil(first) if test == ">=" else math.floor(first) + 1, None)
        case _:
            return _between(domain, None, math.floor(first) if test == "<=" else math.ceil(first) - 1)


def _narrowed_boolean(domain: Domain, term: Term, parameter: Parameter) -> Domain:
    test = term.test
    if any(not isinstance(value, bool) for value in term.literals):
        raise _misfit(term, parameter)
    values = [float(value) for value in term.literals if isinstance(value, bool)]
    match test:
        case "TRUE" | "IS TRUE":
            return _narrowed_to(domain, [1.0], among=True)
        case "NOT" | "IS FALSE":
            return _narrowed_to(domain, [0.0], among=True)
        case "IS NOT TRUE" | "IS NOT FALSE":
            return replace(domain, excluded=domain.excluded | {1.0 if test == "IS NOT TRUE" else 0.0})
        case "=" | "IN" | "<>" | "NOT IN":
            return _narrowed_to(domain, values, among=test in {"=", "IN"})
        case _:
            raise UsageError(
                f"column {parameter.name!r} is boolean; use it alone, or =, <>, IN or IS with TRUE or FALSE"
            )


def _text(value: Literal, term: Term, parameter: Parameter) -> str:
    if not isinstance(value, str):
        raise _misfit(term, parameter)
    return value


def _number(value: Literal, term: Term, parameter: Parameter) -> Decimal:
    if not isinstance(value, Decimal):
        raise _misfit(term, parameter)
    return value


def _double(value: Decimal, parameter: Parameter) -> float:
    """The nearest double, as PostgreSQL casts a numeric."""
    number = float(value)
    if math.isinf(number) or (number == 0 and value != 0):
        raise UsageError(f"the condition on {parameter.name!r} has a number that no double holds: {value}")
    return number


def _misfit(term: Term, parameter: Parameter) -> UsageError:
    wanted = {SqlType.TEXT: "a text in single quotes", SqlType.BOOLEAN: "TRUE or FALSE"}
    return UsageError(
        f"the condition {str(term)!r} does not fit column {parameter.name!r}, which is"
        f" {parameter.type.value}: compare it with {wanted.get(parameter.type, 'a number')}"
    )
