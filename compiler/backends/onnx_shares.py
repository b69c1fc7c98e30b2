"""Forests of two classes, whose leaves share one vote between them: p for the first class and 1 - p for the second.

The two sums of a row add up to the number of trees, so that the operator needs to add up the second only: the first is
the rest. That differs from the sum of the first column by its rounding, which can matter near a tie alone; the rows
there, hardly any, are added up in full.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from .. import ir
from .onnx_graph import GraphWriter
from .onnx_trees import trees

NEAR = 1e-9
"""Two sums are near a tie that differ by less than this share of all votes: much more than rounding."""

MANY_TREES = 20
"""From so many trees on, leaving half of them out saves more than it costs to look for rows near a tie."""

_ROUNDING = 4 * float(np.finfo(np.float64).eps)
"""What two shares may miss of a vote: each is the rounded quotient of rounded sums of weights."""

_EXACT = 2.0**-20
"""Multiples of this are added without rounding."""


def shared_votes(program: ir.Program) -> frozenset[int]:
    """The positions of the `Trees` that `votes` can write: of shares, and for their order and their size alone.

    Their first column, and what is made of it, is compared with nothing but the second one.
    """
    return frozenset(
        position
        for position, node in enumerate(program.nodes)
        if isinstance(node, ir.Trees) and _gives_shares(node) and _only_compared(program, position)
    )


def votes(node: ir.Trees, x: str, writer: GraphWriter) -> str:
    """The block (rows, 2) of such a node; the second column is the very sum, the first within its rounding."""
    total = writer.constant(float(node.forest.n_trees))
    second = trees(_column(node, 1), x, writer)
    first = writer.op("Sub", total, second)
    if not _is_exact(node.forest):
        apart = writer.op("Abs", writer.op("Sub", second, first))
        near = writer.op("LessOrEqual", apart, writer.constant(NEAR * node.forest.n_trees))
        is_near = writer.op("Squeeze", near, writer.constant([1], np.int64))
        in_full = trees(_column(node, 0), writer.op("Compress", x, is_near, axis=0), writer)
        place = writer.op("Transpose", writer.op("NonZero", is_near), perm=[1, 0])
        first = writer.op("ScatterND", first, place, in_full)
    return writer.op("Concat", first, second, axis=1)


def _column(node: ir.Trees, output: int) -> ir.Trees:
    forest = dataclasses.replace(node.forest, value=node.forest.value[:, [output]])
    return dataclasses.replace(node, forest=forest, base=node.base[[output]])


def _leaves(forest: ir.Forest) -> ir.FloatArray:
    return forest.value[forest.feature < 0]


def _gives_shares(node: ir.Trees) -> bool:
    forest = node.forest
    if node.width != 2 or node.single or node.base.any() or not (forest.feature >= 0).any():
        return False
    if not (forest.output == -1).all() or not (_is_exact(forest) or forest.n_trees >= MANY_TREES):
        return False
    return bool(np.allclose(_leaves(forest).sum(axis=1), 1.0, rtol=0, atol=_ROUNDING))


def _is_exact(forest: ir.Forest) -> bool:
    return bool((_leaves(forest) % _EXACT == 0).all())


def _only_compared(program: ir.Program, position: int) -> bool:
    """Whether the first column's order relative to the second one's is all that further nodes make of it."""
    first, both = ir.Ref(position, 0), (ir.Ref(position, 0), ir.Ref(position, 1))
    for reader, node in enumerate(program.nodes):
        if first not in node.inputs or (isinstance(node, ir.ArgMax) and node.inputs == both):
            continue
        if not (node.inputs == both and _keeps_order(node) and _only_compared(program, reader)):
            return False
    return True


def _keeps_order(node: ir.Node) -> bool:
    return isinstance(node, ir.Standardize) and not node.center.any() and bool(node.scale[0] == node.scale[1] > 0)
