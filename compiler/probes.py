"""Values at which a model changes its answer or its treatment, for the parity gate to try."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast

import numpy as np

from . import ir
from .ir import FINITE, FLOAT32_LIMIT, Ref
from .values import evenly

MAX_PROBES = 200


def probes(program: ir.Program) -> dict[str, tuple[float | str, ...]]:
    """For each input column that has any: the thresholds and categories that it meets, at most 200, evenly picked.

    Thresholds are seen through Check, Impute and scaling. Behind scaling they are mapped back, which rounds, and come
    with their neighbours.
    """
    found: dict[int, set[float | str]] = {}
    for node in program.nodes:
        for ref, values in _of_node(node):
            column, mapped = origin(program, ref, values)
            if column is not None:
                found.setdefault(column, set()).update(v for v in mapped if isinstance(v, str) or abs(v) <= FINITE)
    return {program.columns[column].name: _picked(values) for column, values in sorted(found.items()) if values}


def _of_node(node: ir.Node) -> Iterable[tuple[Ref, list[float] | list[str]]]:
    """The values at which a node changes what it does, by input column."""
    if isinstance(node, ir.Trees):
        forest = node.forest
        for feature in np.unique(forest.feature[forest.feature >= 0]):
            here = forest.feature == feature
            values = set(forest.threshold[here & (forest.category_set < 0)].tolist())
            for chosen in np.unique(forest.category_set[here & (forest.category_set >= 0)]):
                values.update(forest.category_sets[chosen])
            yield node.inputs[feature], sorted(values)
    elif isinstance(node, ir.Codes):
        yield node.inputs[0], cast(list[float] | list[str], list(node.categories))
    elif isinstance(node, ir.OneHot):
        yield node.inputs[0], sorted({c for group in node.groups for c in group})
    elif isinstance(node, ir.Piecewise):
        yield node.inputs[0], node.knots.tolist()
    elif isinstance(node, ir.Clip | ir.Check | ir.Step):
        bounds = [node.threshold] if isinstance(node, ir.Step) else [node.low, node.high]
        for ref in node.inputs:
            yield ref, [bound for bound in bounds if abs(bound) < FLOAT32_LIMIT]


def origin(
    program: ir.Program, ref: Ref, values: list[float] | list[str]
) -> tuple[int | None, list[float] | list[str]]:
    """The input column behind a column, and the values it has there; None where it is no plain scaling of one."""
    scaled = False
    while True:
        node, column = program.nodes[ref.node], ref.column
        if isinstance(node, ir.Input):
            if scaled:
                numbers = [float(v) for v in values]
                values = [n for v in numbers for n in (math.nextafter(v, -math.inf), v, math.nextafter(v, math.inf))]
            return node.index, values
        if isinstance(node, ir.Standardize):
            center, scale = float(node.center[column]), float(node.scale[column])
            values, scaled = [float(v) * scale + center for v in values], True
        elif isinstance(node, ir.MultiplyAdd) and node.factor[column] != 0:
            factor, offset = float(node.factor[column]), float(node.offset[column])
            values, scaled = [(float(v) - offset) / factor for v in values], True
        elif not isinstance(node, ir.Check | ir.Impute | ir.FillText | ir.Clip):
            return None, []
        ref = node.inputs[column]


def _picked(values: set[float | str]) -> tuple[float | str, ...]:
    numbers: list[float | str] = sorted(v for v in values if not isinstance(v, str))
    texts: list[float | str] = sorted(v for v in values if isinstance(v, str))
    ordered = numbers + texts
    return tuple(evenly(ordered, MAX_PROBES))
