"""What is known of each column of a program before any row is seen: may it be missing, how large, how small.

PostgreSQL raises where numpy gives inf or 0, and one raised error ends the whole query. With these facts the SQL
backend refuses the rows that could overflow, guards the products that could underflow, and leaves out every guard that
cannot matter: an integer column is never NaN, never tiny and never beyond 2^63.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pgscore.errors import UnsupportedError

from . import ir
from .artifact import Parameter, SqlType
from .ir import FINITE, Ref

SMALLEST = math.ulp(0.0)
"""The smallest double above 0, 2^-1074."""
UNDERFLOW = 2 * SMALLEST
"""A product or quotient of at least this magnitude cannot round to 0."""
EXP_LOW, EXP_HIGH = -708.0, 709.78
"""exp of a number in between is a normal double; PostgreSQL raises on results that are denormal, 0 or infinite."""
SLACK = 1 + 1e-12
"""Widens computed ranges: sums round."""


@dataclass(frozen=True)
class Fact:
    """What holds for a column in each row that is not refused.

    A value that is not missing lies in [low, high], and is 0 or at least `tiny` in magnitude. `null` and `nan` say
    whether it may be missing as a NULL, and as a NaN.
    """

    low: float = -math.inf
    high: float = math.inf
    null: bool = False
    nan: bool = False
    tiny: float = SMALLEST

    @property
    def missing(self) -> bool:
        """Whether the value may be missing."""
        return self.null or self.nan

    def present(self) -> Fact:
        """The same, not missing."""
        return replace(self, null=False, nan=False)


@dataclass(frozen=True)
class Guard:
    """The row is refused unless the value lies in [low, high], or is missing where `missing` allows."""

    low: float
    high: float
    missing: bool


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


def analyse(program: ir.Program, parameters: Sequence[Parameter], *, guarded: bool = True) -> Facts:
    """The facts of a program whose Checks stand right behind what they read (rewrites.settle_checks).

    With `guarded` the facts hold where the guards are enforced first; without, they hold for every row, and there are
    none. Raises UnsupportedError where the model's own numbers overflow a double for rows of ordinary size.
    """
    facts = Facts()
    if guarded:
        limits = _limits(program)
        for position, node in enumerate(program.nodes):
            if isinstance(node, ir.Input) and node.dtype is ir.Dtype.NUMBER:
                ref = Ref(position, 0)
                guard = _input_guard(program, ref, TYPES[parameters[node.index].type], limits.get(ref, math.inf))
                if guard:
                    facts.inputs[ref] = guard
    for position, node in enumerate(program.nodes):
        known = [facts.of[ref] for ref in node.inputs]
        if isinstance(node, ir.Input):
            fact = TYPES[parameters[node.index].type]
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
                and isinstance(node, _ARITHMETIC)
                and not all(math.isfinite(f.low) and math.isfinite(f.high) for f in results)
            ):
                raise UnsupportedError(
                    "model",
                    f"its numbers overflow a double ({type(node).__name__})",
                    "rescale its inputs or its target",
                )
        for column, fact in enumerate(results):
            facts.of[Ref(position, column)] = fact
    return facts


_ARITHMETIC = (ir.Affine, ir.Standardize, ir.MultiplyAdd, ir.Trees, ir.Normalize)


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


def _checked(program: ir.Program, facts: Facts, ref: Ref, node: ir.Check) -> Fact:
    """Takes note of the Check of a computed column unless it always holds; gives the narrowed fact."""
    fact = facts.of[ref]
    if isinstance(program.nodes[ref.node], ir.Input):
        return fact
    if not (node.low <= fact.low and fact.high <= node.high and (node.missing or not fact.missing)):
        guard = Guard(node.low, node.high, node.missing)
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


def _limits(program: ir.Program) -> dict[Ref, float]:
    """For each column, the magnitude up to which nothing computed from it overflows; only where there is one.

    Walks backwards: a sum shares its limit among its terms.
    """
    limits: dict[Ref, float] = {}

    def limit(ref: Ref, magnitude: float) -> None:
        limits[ref] = min(limits.get(ref, math.inf), magnitude)

    for position in range(len(program.nodes) - 1, -1, -1):
        node = program.nodes[position]
        out = [min(limits.get(Ref(position, column), math.inf), FINITE) for column in range(node.width)]
        if isinstance(node, ir.Impute | ir.Check):
            for column, ref in enumerate(node.inputs):
                limit(ref, limits.get(Ref(position, column), math.inf))
        elif isinstance(node, ir.Standardize):
            for ref, center, scale, bound in zip(node.inputs, node.center, node.scale, out, strict=True):
                limit(ref, _minus(_times(bound, abs(float(scale))), abs(float(center))))
        elif isinstance(node, ir.MultiplyAdd):
            for ref, factor, offset, bound in zip(node.inputs, node.factor, node.offset, out, strict=True):
                limit(ref, _times(_minus(bound, abs(float(offset))), 1 / max(abs(float(factor)), SMALLEST)))
        elif isinstance(node, ir.Affine):
            share = np.array(out) / (len(node.inputs) + 2)
            with np.errstate(divide="ignore", over="ignore"):
                bounds = np.min(share[:, None] / np.abs(node.weights), axis=0, initial=FINITE)
            for ref, bound in zip(node.inputs, bounds, strict=True):
                limit(ref, float(bound))
        elif isinstance(node, ir.Softmax | ir.Normalize):
            for ref in node.inputs:
                limit(ref, FINITE / (len(node.inputs) + 2))
    return limits


def _times(bound: float, factor: float) -> float:
    """bound * factor, a little less, so that the way back does not round beyond the bound."""
    return min(FINITE, bound * factor * (1 - 2.0**-50)) if factor != 1 else bound


def _minus(bound: float, offset: float) -> float:
    """The x for which x + offset stays within the bound; an offset below half a unit of the bound does not count."""
    return bound if offset < bound * 2.0**-55 else max(0.0, (bound - offset) * (1 - 2.0**-50))


def _affine(node: ir.Affine, known: list[Fact]) -> list[Fact]:
    low, high = np.array([f.low for f in known]), np.array([f.high for f in known])
    tiny = np.array([f.tiny for f in known])
    results = []
    for weights, bias in zip(node.weights, node.bias, strict=True):
        used = np.flatnonzero(weights)
        w = weights[used]
        ends = np.stack([w * low[used], w * high[used]])
        reach = float(np.abs(ends).max(axis=0).sum() + abs(bias)) * (SLACK - 1)
        smallest = min([float((np.abs(w) * tiny[used]).min(initial=math.inf)), abs(float(bias)) or math.inf])
        total_low = float(ends.min(axis=0).sum() + bias) - reach
        total_high = float(ends.max(axis=0).sum() + bias) + reach
        null, nan = any(known[j].null for j in used), any(known[j].nan for j in used)
        results.append(Fact(total_low, total_high, null, nan, _tiny(smallest * 2.0**-54)))
    return results


def _tiny(magnitude: float) -> float:
    return max(magnitude, SMALLEST)


def _standardize(node: ir.Standardize, known: list[Fact]) -> list[Fact]:
    results = []
    for fact, center, scale in zip(known, map(float, node.center), map(float, node.scale), strict=True):
        ends = sorted(((fact.low - center) / scale, (fact.high - center) / scale))
        # Next to a center the difference is a multiple of half a unit in the center's last place.
        smallest = fact.tiny if center == 0 else abs(center) * 2.0**-54
        results.append(replace(fact, low=ends[0], high=ends[1], tiny=_tiny(smallest / abs(scale))))
    return results


def _multiply_add(node: ir.MultiplyAdd, known: list[Fact]) -> list[Fact]:
    results = []
    for fact, factor, offset in zip(known, map(float, node.factor), map(float, node.offset), strict=True):
        ends = sorted((fact.low * factor + offset, fact.high * factor + offset)) if factor else [offset, offset]
        smallest = fact.tiny * abs(factor) if offset == 0 else abs(offset) * 2.0**-54
        results.append(replace(fact, low=ends[0], high=ends[1], tiny=_tiny(smallest)))
    return results


def _impute(node: ir.Impute, known: list[Fact]) -> list[Fact]:
    return [
        replace(
            f.present(), low=min(f.low, fill), high=max(f.high, fill), tiny=min(f.tiny, abs(fill) or math.inf)
        ) if f.missing else f
        for f, fill in zip(known, map(float, node.fill), strict=True)
    ]  # fmt: skip


def _values(values: Sequence[float]) -> Fact:
    """The fact of a column that takes only these values; a NaN among them is a NULL in SQL."""
    present = [v for v in values if v == v]
    nonzero = [abs(v) for v in present if v]
    return Fact(
        min(present, default=0.0),
        max(present, default=0.0),
        len(present) < len(values),
        False,
        min(nonzero, default=1.0),
    )


def _codes(node: ir.Codes, known: list[Fact]) -> list[Fact]:
    codes = [float(position) for position in range(len(node.categories))]
    return [_values([*codes, node.unknown, *([node.missing] if known[0].missing else [])])]


def _lookup(node: ir.Lookup, _known: list[Fact]) -> list[Fact]:
    return [_values([*table.tolist(), default]) for table, default in zip(node.table.T, node.default, strict=True)]


def _clip(node: ir.Clip, known: list[Fact]) -> list[Fact]:
    bounds = min(abs(node.low) or math.inf, abs(node.high) or math.inf)
    clip: Callable[[float], float] = lambda x: min(max(x, node.low), node.high)  # noqa: E731
    return [replace(f, low=clip(f.low), high=clip(f.high), tiny=min(f.tiny, bounds)) for f in known]


def _trees(node: ir.Trees, _known: list[Fact]) -> list[Fact]:
    forest = node.forest
    low, high = np.array(node.base), np.array(node.base)
    leaves = forest.feature < 0
    nonzero = np.abs(forest.value[leaves])
    smallest = float(nonzero[nonzero > 0].min(initial=math.inf))
    tree_of = _tree_of_nodes(forest)
    order = np.argsort(tree_of[leaves], kind="stable")
    values, trees = forest.value[leaves][order], tree_of[leaves][order]
    starts = np.flatnonzero(np.r_[True, trees[1:] != trees[:-1]]) if len(trees) else np.zeros(0, dtype=np.int64)
    if len(starts):
        least, most = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
        for tree, tree_low, tree_high in zip(trees[starts], least, most, strict=True):
            if tree < 0:
                continue
            output = int(forest.output[tree])
            at = slice(None) if output < 0 else output
            low[at] += tree_low if output < 0 else tree_low[0]
            high[at] += tree_high if output < 0 else tree_high[0]
    reach = max(float(np.abs(low).max(initial=0)), float(np.abs(high).max(initial=0))) * (SLACK - 1)
    smallest = min(smallest, *(abs(float(b)) or math.inf for b in node.base)) if len(node.base) else smallest
    return [
        Fact(float(a) - reach, float(b) + reach, tiny=_tiny(smallest * 2.0**-54))
        for a, b in zip(low, high, strict=True)
    ]


def _tree_of_nodes(forest: ir.Forest) -> ir.IntArray:
    """For each node its tree, -1 for nodes that no root reaches."""
    tree = np.full(len(forest.feature), -1, dtype=np.int64)
    front, owners = np.array(forest.roots), np.arange(forest.n_trees)
    while len(front):
        tree[front] = owners
        inner = forest.feature[front] >= 0
        front, owners = front[inner], owners[inner]
        front = np.concatenate([forest.left[front], forest.right[front]])
        owners = np.concatenate([owners, owners])
    return tree


def _sigmoid(_node: ir.Sigmoid, known: list[Fact]) -> list[Fact]:
    return [Fact(0.0, 1.0, tiny=math.exp(EXP_LOW)) for _ in known]


def _exp(_node: ir.Exp, known: list[Fact]) -> list[Fact]:
    return [Fact(0.0, math.exp(min(f.high, EXP_HIGH)) * SLACK, tiny=math.exp(EXP_LOW)) for f in known]


def _flags(node: ir.Node, _known: list[Fact]) -> list[Fact]:
    return [Fact(0.0, 1.0, tiny=1.0)] * node.width


def _shares(node: ir.Node, _known: list[Fact]) -> list[Fact]:
    return [Fact(0.0, 1.0, tiny=SMALLEST)] * node.width


FACTS: dict[type[ir.Node], Callable[[Any, list[Fact]], list[Fact]]] = {
    ir.Constant: lambda node, _known: [_values([float(v)]) for v in node.values],
    ir.Impute: _impute,
    ir.FillText: lambda _node, known: [f.present() for f in known],
    ir.IsMissing: _flags,
    ir.Codes: _codes,
    ir.OneHot: _flags,
    ir.Lookup: _lookup,
    ir.Standardize: _standardize,
    ir.MultiplyAdd: _multiply_add,
    ir.Clip: _clip,
    ir.Affine: _affine,
    ir.Trees: _trees,
    ir.Sigmoid: _sigmoid,
    ir.Softmax: _shares,
    ir.Exp: _exp,
    ir.Normalize: _shares,
    ir.ArgMax: lambda _node, known: [Fact(0.0, float(len(known) - 1), tiny=1.0)],
    ir.Step: _flags,
}
"""Every kind of node but Input (its type says it) and Check (it narrows)."""
