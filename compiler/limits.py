"""How large the columns of a program may get before something that is computed from them overflows a double.

Each kind of arithmetic says what its result's limit means for its inputs; the limits travel backwards to the program's
inputs, which the SQL backend guards. Where a kind has no entry, its own columns are guarded instead (facts.analyse).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from . import ir
from .fact import SMALLEST
from .ir import FINITE, Ref
from .point_facts import limit_kernel, limit_neighbors

MAX_CENTER = 1e290
"""x - center is finite for each finite x up to here."""

Limiter = Callable[[Ref, float], None]
"""Says that the magnitude of a column must not exceed a number."""


def limits(program: ir.Program) -> dict[Ref, float]:
    """For each column, the magnitude up to which nothing computed from it overflows; only where there is one.

    As for `facts.analyse`, the Checks stand right behind what they read.
    """
    found: dict[Ref, float] = {}
    checked, free = _checked(program), unlimited(program)

    def limit(ref: Ref, magnitude: float) -> None:
        found[ref] = min(found.get(ref, math.inf), magnitude)

    for position in range(len(program.nodes) - 1, -1, -1):
        node = program.nodes[position]
        if type(node) in LIMITS:
            refs = [Ref(position, column) for column in range(node.width)]
            out = [found[ref] if ref in found and found[ref] < checked.get(ref, math.inf) else math.inf for ref in refs]
            LIMITS[type(node)](node, out, limit)
    return {ref: bound for ref, bound in found.items() if ref not in free}


def _checked(program: ir.Program) -> dict[Ref, float]:
    """The magnitude beyond which a Check refuses the column."""
    found: dict[Ref, float] = {}
    for node in program.nodes:
        if isinstance(node, ir.Check):
            for ref in node.inputs:
                found[ref] = min(found.get(ref, math.inf), max(-node.low, node.high))
    return found


def unlimited(program: ir.Program) -> frozenset[Ref]:
    """The columns that may be infinite or NaN: nothing but sums reads them that cannot overflow, and that are checked.

    A sum passes on what is not finite, and its Check refuses it.
    """
    present = {ref for node in program.nodes if isinstance(node, ir.Check) and not node.missing for ref in node.inputs}
    outputs = {ref for output in program.outputs for ref in output.columns}
    free: dict[Ref, bool] = {}
    for position in range(len(program.nodes) - 1, -1, -1):
        node = program.nodes[position]
        if isinstance(node, ir.Check):
            continue
        refs = [Ref(position, column) for column in range(node.width)]
        for column, ref in enumerate(node.inputs):
            match node:
                case ir.Affine():
                    passes = present.issuperset(refs) and bool((_magnitudes(node) <= 1 / 2).all())
                case ir.Standardize():
                    passes = free.get(refs[column], False) and is_difference(node, column)
                case ir.Impute():
                    passes = free.get(refs[column], False)
                case _:
                    passes = False
            free[ref] = passes and free.get(ref, True)
    return frozenset(ref for ref, is_free in free.items() if is_free and ref not in outputs)


def _magnitudes(node: ir.Affine) -> ir.FloatArray:
    """How large each sum can be, as a share of its largest input."""
    return np.asarray(np.abs(node.weights).sum(axis=1) + np.abs(node.bias) / FINITE)


def is_difference(node: ir.Standardize, column: int) -> bool:
    """Whether it subtracts a number so small that the difference of no double overflows."""
    return bool(node.scale[column] == 1 and abs(node.center[column]) <= MAX_CENTER)


def _same(node: ir.Node, out: list[float], limit: Limiter) -> None:
    for ref, bound in zip(node.inputs, out, strict=True):
        limit(ref, bound)


def _standardize(node: ir.Standardize, out: list[float], limit: Limiter) -> None:
    for ref, center, scale, bound in zip(node.inputs, node.center, node.scale, out, strict=True):
        limit(ref, _minus(_times(min(bound, FINITE), abs(float(scale))), abs(float(center))))


def _multiply_add(node: ir.MultiplyAdd, out: list[float], limit: Limiter) -> None:
    for ref, factor, offset, bound in zip(node.inputs, node.factor, node.offset, out, strict=True):
        limit(ref, _times(_minus(min(bound, FINITE), abs(float(offset))), 1 / max(abs(float(factor)), SMALLEST)))


def _affine(node: ir.Affine, out: list[float], limit: Limiter) -> None:
    """A sum shares its limit among its terms."""
    share = np.minimum(np.array(out), FINITE) / (len(node.inputs) + 2)
    with np.errstate(divide="ignore", over="ignore"):
        bounds = np.min(share[:, None] / np.abs(node.weights), axis=0, initial=FINITE)
    for ref, bound in zip(node.inputs, bounds, strict=True):
        limit(ref, float(bound))


def _multiply(node: ir.Multiply, out: list[float], limit: Limiter) -> None:
    """A square's limit is known; of two different factors one may be small, and SQL looks at both."""
    for column, bound in enumerate(out):
        if node.inputs[column] == node.inputs[column + node.width]:
            limit(node.inputs[column], math.sqrt(min(bound, FINITE)) * (1 - 2.0**-50))


def _select(node: ir.Select, out: list[float], limit: Limiter) -> None:
    for column, bound in enumerate(out):
        limit(node.inputs[node.width + column], bound)
        limit(node.inputs[2 * node.width + column], bound)


def _clip(node: ir.Clip, out: list[float], limit: Limiter) -> None:
    """What cannot leave [low, high] needs no limit."""
    for ref, bound in zip(node.inputs, out, strict=True):
        if bound < max(-node.low, node.high):
            limit(ref, bound)


def _shared(node: ir.Node, _out: list[float], limit: Limiter) -> None:
    for ref in node.inputs:
        limit(ref, FINITE / (len(node.inputs) + 2))


def _reduce(node: ir.Node, out: list[float], limit: Limiter) -> None:
    for ref in node.inputs:
        limit(ref, out[0])


def _piecewise(node: ir.Piecewise, out: list[float], limit: Limiter) -> None:
    """Each power of x - origin shares the limit; the pieces between two knots are bounded by themselves."""
    powers = np.abs(node.coefficients[[0, -1]]).max(axis=0)
    origin = float(np.abs(node.origin[[0, -1]]).max())
    bounds = [
        (min(bound, FINITE) / powers.shape[1]) ** (1 / power) / largest ** (1 / power)
        for bound, column in zip(out, powers, strict=True)
        for power, largest in enumerate(column.tolist())
        if power and largest
    ]
    if bounds:
        limit(node.inputs[0], _minus(min(bounds) * (1 - 2.0**-40), origin))


def _elementwise(node: ir.Elementwise, out: list[float], limit: Limiter) -> None:
    if node.op in {ir.Op.ABS, ir.Op.NEGATIVE, ir.Op.FLOOR, ir.Op.CEIL, ir.Op.RINT}:
        _same(node, out, limit)
    elif node.op is ir.Op.SQUARE:
        _same(node, [math.sqrt(bound) * (1 - 2.0**-50) for bound in out], limit)


LIMITS: dict[type[ir.Node], Callable[[Any, list[float], Limiter], None]] = {
    ir.Impute: _same,
    ir.Check: _same,
    ir.Standardize: _standardize,
    ir.MultiplyAdd: _multiply_add,
    ir.Affine: _affine,
    ir.Multiply: _multiply,
    ir.Clip: _clip,
    ir.Select: _select,
    ir.Reduce: _reduce,
    ir.WeightedMedian: _reduce,
    ir.Piecewise: _piecewise,
    ir.Elementwise: _elementwise,
    ir.Kernel: limit_kernel,
    ir.Neighbors: limit_neighbors,
    ir.Softmax: _shared,
    ir.Normalize: _shared,
}
"""What the limits of a node's columns mean for what it reads."""

PASSES_ON = frozenset(LIMITS) - {ir.Elementwise, ir.Multiply, ir.Neighbors}
"""Kinds whose columns stay within their limit where their inputs stay within theirs."""


def _times(bound: float, factor: float) -> float:
    """bound * factor, a little less, so that the way back does not round beyond the bound."""
    return min(FINITE, bound * factor * (1 - 2.0**-50)) if factor != 1 else bound


def _minus(bound: float, offset: float) -> float:
    """The x for which x + offset stays within the bound; an offset below half a unit of the bound does not count."""
    return bound if offset < bound * 2.0**-55 else max(0.0, (bound - offset) * (1 - 2.0**-50))
