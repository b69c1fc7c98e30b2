"""The refusals in a graph that pgscore exported (backends/onnx.py): conditions of rows, back into Checks.

Such a graph ends in Where(unusable, NaN, outputs). `unusable` joins by Or the conditions that refuse a row: "one of
these columns is not inside a range", which was a Check, and "one of these is infinite" or NaN, which arithmetic in
nodes says by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ... import ir
from .values import Graph, NotImportedError

Producers = Mapping[str, Any]
Range = tuple[str, float, float, bool]
"""A tensor, the range that its columns must lie in, and whether they may be missing."""


def refusals(output: str, producers: Producers, constants: Mapping[str, Any]) -> tuple[str, list[Range]]:
    """The tensor of the outputs, and the ranges outside which a row is refused."""
    node = producers.get(output)
    if node is None or node.op_type != "Where" or not _is(constants.get(node.input[1]), math.isnan):
        raise NotImportedError("its output is not as pgscore writes it")
    found = [_range(condition, producers, constants) for condition in _conditions(node.input[0], producers)]
    return node.input[2], [one for one in found if one is not None]


def check(graph: Graph, given: Range) -> None:
    """The Check that a range was; the columns are not missing from here on unless they may be."""
    tensor, low, high, missing = given
    x = graph.numbers(tensor)
    graph.builder.add(ir.Check(x.refs, low, high, missing))
    if not missing:
        graph.missing.difference_update(x.refs)


def _conditions(name: str, producers: Producers) -> Iterator[str]:
    """What is joined by Or at the top; Or within a condition stands below a reduction."""
    todo = [name]
    while todo:
        name = todo.pop()
        node = producers.get(name)
        if node is not None and node.op_type == "Or":
            todo += list(node.input)
        else:
            yield name


def _range(name: str, producers: Producers, constants: Mapping[str, Any]) -> Range | None:
    """The range behind one condition; None for one on infinities or NaN."""
    path = [name]
    for kind in ("Greater", "ReduceSum", "Cast"):
        node = producers.get(path[-1])
        if node is not None and node.op_type == kind:
            path.append(node.input[0])
    node = producers.get(path[-1])
    if node is not None and node.op_type in ("IsInf", "IsNaN"):
        return None
    if node is None or node.op_type != "Not" or len(path) != 4:
        raise NotImportedError("a condition of a row is not as pgscore writes it")
    inside = producers.get(node.input[0])
    missing = inside is not None and inside.op_type == "Or"
    if missing:
        inside = producers.get(inside.input[0])  # type: ignore[union-attr]
    sides = [producers.get(side) for side in inside.input] if inside is not None and inside.op_type == "And" else []
    kinds = [side.op_type for side in sides if side is not None]
    if kinds != ["GreaterOrEqual", "LessOrEqual"] or sides[0].input[0] != sides[1].input[0]:  # type: ignore[union-attr]
        raise NotImportedError("a condition of a row is not as pgscore writes it")
    low, high = (constants.get(side.input[1]) for side in sides)  # type: ignore[union-attr]
    if not (_is(low, math.isfinite) and _is(high, math.isfinite)):
        raise NotImportedError("a range is not constant")
    return sides[0].input[0], float(low), float(high), missing  # type: ignore[union-attr, arg-type]


def _is(value: Any, holds: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 0 and bool(holds(float(value)))
