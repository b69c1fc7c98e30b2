"""Rows are refused by a sum of their columns instead of column by column, where that says the same.

A linear model takes finite numbers only. To ask each column first costs about as much as the model itself. But a sum of
products is NULL where a column is NULL, and infinite or NaN where a column is, so it is enough to look at the sum, if
it cannot raise: PostgreSQL raises where finite numbers give an infinite one. Weights whose magnitudes add up to no more
than 1/2 make that impossible. So the weights are divided by a power of two, which changes no digit, and the sum is
multiplied by it afterwards, when it is known to be small enough.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from . import ir
from .artifact import Parameter, SqlType
from .ir import FINITE, Ref
from .limits import is_difference
from .rebuild import Rebuild
from .rewrites import settle_checks

MAX_SHIFT = 64
"""Weights are divided by 2 to the power of this at most."""
WITHIN = 1e302
"""Up to here every row is answered, if its other columns are ordinary."""


def check_sums(program: ir.Program, parameters: Sequence[Parameter]) -> ir.Program:
    """Moves the Checks of doubles that nothing but one sum reads to that sum.

    The Checks stand right behind what they read (rewrites.settle_checks). A scaler in front of the model refuses a
    little less than all doubles; the sum is then refused where its smallest term would be that large. With it go rows
    in which another column is that large, beyond WITHIN, as for any other overflow (ir.Check.own).
    """
    readers = _readers(program)
    doubles = {
        Ref(position, 0)
        for position, node in enumerate(program.nodes)
        if isinstance(node, ir.Input) and parameters[node.index].type is SqlType.DOUBLE
    }
    for position, node in enumerate(program.nodes):
        if isinstance(node, ir.Affine) and node.width == 1 and _decides_all(program, position):
            covered = _covered(program, node, readers)
            shift = 0 if doubles.isdisjoint(covered) else _shift(node)
            if covered and shift is not None:
                return settle_checks(_checked(program, node, covered, shift))
    return program


def _readers(program: ir.Program) -> Counter[Ref]:
    """How many columns are computed from each column, and how many outputs are it."""
    refs = [ref for node in program.nodes if not isinstance(node, ir.Check) for ref in node.inputs]
    return Counter([*refs, *(ref for output in program.outputs for ref in output.columns)])


def _decides_all(program: ir.Program, position: int) -> bool:
    """Whether each output depends on the node."""
    return all(ir.needed(program.nodes, [output], checks=False)[position] for output in program.outputs)


def _covered(program: ir.Program, affine: ir.Affine, readers: Counter[Ref]) -> dict[Ref, float]:
    """The inputs whose Check the sum can stand in for, each with the magnitude that its term must not exceed."""
    total = float(np.abs(affine.weights).sum())
    ranges: dict[Ref, list[ir.Check]] = {}
    for node in program.nodes:
        if isinstance(node, ir.Check):
            for ref in node.inputs:
                ranges.setdefault(ref, []).append(node)
    found = {}
    for ref, weight in zip(affine.inputs, np.abs(affine.weights[0]).tolist(), strict=True):
        source, imputed = _source(program, ref, readers)
        checks = ranges.get(source, []) if source else []
        if source is None or len(checks) != 1 or checks[0].own or checks[0].missing is not imputed or not weight:
            continue
        limit = min(-checks[0].low, checks[0].high)
        term = math.inf if limit == FINITE else weight * limit / 2
        if term >= total * WITHIN:
            found[source] = term
    return found


def _source(program: ir.Program, ref: Ref, readers: Counter[Ref]) -> tuple[Ref | None, bool]:
    """The input that the column is computed from, if nothing else reads it; and whether missing values are filled."""
    imputed = False
    while readers[ref] == 1:
        node = program.nodes[ref.node]
        match node:
            case ir.Input(dtype=ir.Dtype.NUMBER):
                return ref, imputed
            case ir.Impute():
                imputed = True
            case ir.Standardize() if is_difference(node, ref.column):
                pass
            case _:
                break
        ref = node.inputs[ref.column]
    return None, False


def _shift(affine: ir.Affine) -> int | None:
    """The power of two by which the weights are divided, 0 where they are small enough; None where that costs digits.

    A denormal has fewer of them.
    """
    numbers = np.concatenate([affine.weights[0], affine.bias])
    total = float(np.abs(numbers).sum())
    shift = max(0, math.frexp(total)[1] + 1)
    shifted = np.abs(np.ldexp(numbers[numbers != 0], -shift))
    return shift if shift <= MAX_SHIFT and (shifted > np.finfo(np.float64).tiny).all() else None


def _checked(program: ir.Program, affine: ir.Affine, covered: dict[Ref, float], shift: int) -> ir.Program:
    rebuild = Rebuild(program)
    for position, node in enumerate(program.nodes):
        if isinstance(node, ir.Check):
            kept = tuple(ref for ref in node.inputs if ref not in covered)
            if kept:
                rebuild.add(replace(node, inputs=rebuild.block(kept)))
        elif node is affine:
            rebuild.place(position, _limited(rebuild, affine, min(covered.values()), shift))
        else:
            rebuild.copy(position)
    return rebuild.finish()


def _limited(rebuild: Rebuild, affine: ir.Affine, term: float, shift: int) -> ir.Block:
    """The sum, divided by 2^shift, with its Checks; and then multiplied by it."""
    weights, bias = np.ldexp(affine.weights, -shift), np.ldexp(affine.bias, -shift)
    total = rebuild.add(ir.Affine(rebuild.block(affine.inputs), weights, bias))
    rebuild.add(ir.Check(total, -FINITE, FINITE))
    limit = min(math.ldexp(term, -shift), math.ldexp(FINITE, -shift) * (1 - 2.0**-40))
    if shift or limit < FINITE / 2:
        rebuild.add(ir.Check(total, -limit, limit, missing=True, own=True))
    return rebuild.add(ir.MultiplyAdd(total, np.array([2.0**shift]), np.zeros(1))) if shift else total
