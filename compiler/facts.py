"""What is known of each column of a program before any row is seen: may it be missing, how large, how small.

PostgreSQL raises where numpy gives inf or 0, and one raised error ends the whole query. With these facts the SQL
backend refuses the rows that could overflow, guards the products that could underflow, and leaves out every guard that
cannot matter: an integer column is never NaN, never tiny and never beyond 2^63.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pgscore.errors import UnsupportedError

from . import ir
from .artifact import Parameter, SqlType
from .fact import Fact
from .ir import FINITE, Ref
from .limits import PASSES_ON, limits, unlimited
from .node_facts import FACTS


@dataclass(frozen=True)
class Guard:
    """The row is refused unless the value lies in [low, high], or is missing where `missing` allows.

    `own` as in `ir.Check`: the guard is against overflow, and the model may go on.
    """

    low: float
    high: float
    missing: bool
    own: bool = False


@dataclass(frozen=True)
class Facts:
    """The facts of a program: of its columns; the guards of its inputs, and of computed columns in order."""

    of: dict[Ref, Fact] = field(default_factory=dict)
    inputs: dict[Ref, Guard] = field(default_factory=dict)
    computed: dict[Ref, list[Guard]] = field(default_factory=dict)


TYPES: dict[SqlType, Fact] = {
    SqlType.DOUBLE: Fact(null=True, nan=True),
    SqlType.INTEGER: Fact(-(2.0**31), 2.0**31 - 1, null=True, tiny=1.0),
    SqlType.BIGINT: Fact(-(2.0**63), 2.0**63, null=True, tiny=1.0),
    SqlType.BOOLEAN: Fact(0.0, 1.0, null=True, tiny=1.0),
    SqlType.TEXT: Fact(null=True),
}


def input_fact(program: ir.Program, index: int, parameters: Sequence[Parameter]) -> Fact:
    """The fact of an input column, in the rows that the program is for."""
    fact = TYPES[parameters[index].type]
    domain = program.domains.get(index)
    if domain is None:
        return fact
    null, nan = fact.null and domain.null, fact.nan and domain.nan
    if parameters[index].type is SqlType.TEXT or domain.among == ():
        return replace(fact, null=null, nan=nan)
    low, high = max(fact.low, float(domain.low)), min(fact.high, float(domain.high))
    values = [abs(float(value)) for value in domain.among or (low, high)]
    tiny = min((value for value in values if value), default=1.0) if domain.among or low > 0 or high < 0 else fact.tiny
    return Fact(low, high, null, nan, max(fact.tiny, tiny))


def analyse(program: ir.Program, parameters: Sequence[Parameter], *, guarded: bool = True) -> Facts:
    """The facts of a program whose Checks stand right behind what they read (rewrites.settle_checks).

    With `guarded` the facts hold where the guards are enforced first; without, they hold for every row, and there are
    none. Raises UnsupportedError where the model's own numbers overflow a double for rows of ordinary size.
    """
    facts = Facts()
    free = unlimited(program)
    unbounded = free | {ref for node in program.nodes if isinstance(node, ir.Check) for ref in node.inputs}
    if guarded:
        bounds = limits(program)
        for position, node in enumerate(program.nodes):
            if isinstance(node, ir.Input) and node.dtype is ir.Dtype.NUMBER:
                ref = Ref(position, 0)
                guard = _input_guard(
                    program, ref, input_fact(program, node.index, parameters), bounds.get(ref, math.inf)
                )
                if guard:
                    facts.inputs[ref] = guard
    for position, node in enumerate(program.nodes):
        known = [facts.of[ref] for ref in node.inputs]
        if isinstance(node, ir.Input):
            fact = input_fact(program, node.index, parameters)
            guard = facts.inputs.get(Ref(position, 0))
            results = [_narrow(fact, guard) if guard else fact]
        elif isinstance(node, ir.Check):
            results = known
            if guarded:
                results = [_checked(program, facts, ref, node) for ref in node.inputs]
        else:
            with np.errstate(all="ignore"):
                results = FACTS[type(node)](node, known)
            if (
                guarded
                and node.arithmetic
                and not isinstance(node, ir.Multiply | ir.Divide)
                and not all(
                    (math.isfinite(fact.low) and math.isfinite(fact.high)) or Ref(position, column) in unbounded
                    for column, fact in enumerate(results)
                )
            ):
                raise UnsupportedError(
                    "model",
                    f"its numbers overflow a double ({type(node).__name__})",
                    "rescale its inputs or its target",
                )
        for column, fact in enumerate(results):
            ref = Ref(position, column)
            facts.of[ref] = fact
            passes_on = type(node) in PASSES_ON and free.isdisjoint(node.inputs)
            if guarded and not passes_on and ref not in free and not isinstance(node, ir.Input):
                _keep_within(facts, ref, min(bounds.get(ref, math.inf), FINITE if node.arithmetic else math.inf))
    return facts


def with_overflow_checks(program: ir.Program, parameters: Sequence[Parameter]) -> ir.Program:
    """The program with a Check of its `own` for each guard against overflow: the reference then refuses as SQL does.

    As for `analyse`, the Checks of the program stand right behind what they read.
    """
    bounds = limits(program)
    checks = [
        ir.Check((ref,), -limit, limit, missing=True, own=True)
        for ref, limit in bounds.items()
        if isinstance(program.nodes[ref.node], ir.Input) and limit < FINITE
    ]
    for ref, guards in analyse(program, parameters).computed.items():
        checks += [ir.Check((ref,), g.low, g.high, g.missing, own=True) for g in guards if g.own]
    return replace(program, nodes=program.nodes + tuple(checks))


def _input_guard(program: ir.Program, ref: Ref, fact: Fact, limit: float) -> Guard | None:
    """The Checks of an input and its limit against overflow as one guard; None where its type says enough."""
    low, high, missing, guarded = -math.inf, math.inf, True, False
    for node in program.nodes:
        if isinstance(node, ir.Check) and ref in node.inputs:
            low, high, missing, guarded = max(low, node.low), min(high, node.high), missing and node.missing, True
    if limit < max(-fact.low, fact.high):
        low, high, guarded = max(low, -limit), min(high, limit), True
    if not guarded or (low <= fact.low and fact.high <= high and (missing or not fact.missing)):
        return None
    return Guard(low, high, missing)


def _keep_within(facts: Facts, ref: Ref, limit: float) -> None:
    """Guards a computed column that could exceed its limit."""
    fact = facts.of[ref]
    if max(-fact.low, fact.high) > limit:
        guard = Guard(-limit, limit, True, own=True)
        facts.computed.setdefault(ref, []).append(guard)
        facts.of[ref] = _narrow(fact, guard)


def _checked(program: ir.Program, facts: Facts, ref: Ref, node: ir.Check) -> Fact:
    """Takes note of the Check of a computed column unless it always holds; gives the narrowed fact."""
    fact = facts.of[ref]
    if isinstance(program.nodes[ref.node], ir.Input):
        return fact
    if not (node.low <= fact.low and fact.high <= node.high and (node.missing or not fact.missing)):
        bounded = node.low > fact.low or node.high < fact.high
        low, high = (node.low, node.high) if bounded else (-math.inf, math.inf)
        guard = Guard(low, high, node.missing)
        facts.computed.setdefault(ref, []).append(guard)
        fact = facts.of[ref] = _narrow(fact, guard)
    return fact


def _narrow(fact: Fact, guard: Guard) -> Fact:
    return replace(
        fact,
        low=max(fact.low, guard.low),
        high=min(fact.high, guard.high),
        null=fact.null and guard.missing,
        nan=fact.nan and guard.missing,
    )
