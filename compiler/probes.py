"""Values at which a model changes its answer or its treatment, for the parity gate to try."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from . import ir
from .ir import FINITE, FLOAT32_LIMIT, Ref
from .values import evenly

MAX_PROBES = 200

Values = npt.NDArray[Any]
"""(n,) doubles, or texts as objects."""


def probes(program: ir.Program) -> dict[str, tuple[float | str, ...]]:
    """For each input column that has any: the thresholds and categories that it meets, at most 200, evenly picked.

    Thresholds are seen through Check, Impute and scaling. Behind scaling they are mapped back, which rounds, and come
    with their neighbours.
    """
    found: dict[int, list[Values]] = {}
    for node in program.nodes:
        for ref, values in _of_node(node):
            column, mapped = origin(program, ref, values)
            if column is not None:
                finite = mapped if mapped.dtype == object else mapped[np.abs(mapped) <= FINITE]
                found.setdefault(column, []).append(finite)
    picked = {program.columns[column].name: _picked(parts) for column, parts in sorted(found.items())}
    return {name: values for name, values in picked.items() if values}


def _of_node(node: ir.Node) -> Iterable[tuple[Ref, Values]]:
    """The values at which a node changes what it does, by input column."""
    if isinstance(node, ir.Trees):
        forest = node.forest
        for feature in np.unique(forest.feature[forest.feature >= 0]):
            here = forest.feature == feature
            chosen = np.unique(forest.category_set[here & (forest.category_set >= 0)])
            thresholds = forest.threshold[here & (forest.category_set < 0)]
            yield node.inputs[feature], np.concatenate([thresholds, *(forest.category_sets[c] for c in chosen)])
    elif isinstance(node, ir.Codes):
        texts = bool(node.categories) and isinstance(node.categories[0], str)
        yield node.inputs[0], np.array(node.categories, dtype=object if texts else np.float64)
    elif isinstance(node, ir.OneHot):
        yield node.inputs[0], np.array([c for group in node.groups for c in group], dtype=np.float64)
    elif isinstance(node, ir.Piecewise):
        yield node.inputs[0], node.knots
    elif isinstance(node, ir.Clip | ir.Check | ir.Step):
        bounds = [node.threshold] if isinstance(node, ir.Step) else [node.low, node.high]
        for ref in node.inputs:
            yield ref, np.array([bound for bound in bounds if abs(bound) < FLOAT32_LIMIT], dtype=np.float64)


def origin(program: ir.Program, ref: Ref, values: Values) -> tuple[int | None, Values]:
    """The input column behind a column, and the values it has there; None where it is no plain scaling of one."""
    scaled = False
    while True:
        node, column = program.nodes[ref.node], ref.column
        if isinstance(node, ir.Input):
            if scaled:
                values = np.stack([np.nextafter(values, -np.inf), values, np.nextafter(values, np.inf)], axis=1).ravel()
            return node.index, values
        with np.errstate(all="ignore"):
            if isinstance(node, ir.Standardize):
                values, scaled = values * node.scale[column] + node.center[column], True
            elif isinstance(node, ir.MultiplyAdd) and node.factor[column] != 0:
                values, scaled = (values - node.offset[column]) / node.factor[column], True
            elif not isinstance(node, ir.Check | ir.Impute | ir.FillText | ir.Clip):
                return None, values[:0]
        ref = node.inputs[column]


def _picked(parts: Sequence[Values]) -> tuple[float | str, ...]:
    ordered = np.unique(np.concatenate(parts))
    return tuple(ordered[evenly(range(len(ordered)), MAX_PROBES)].tolist()) if len(ordered) else ()
