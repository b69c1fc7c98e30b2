"""Rewrites of trees: what stands before them goes into their splits, where each row then takes the same way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from . import ir
from .doubles import last_of_each
from .rebuild import Rebuild, replaced


def unscale_trees(program: ir.Program) -> ir.Program:
    """Trees behind a scaler read the column before it, with thresholds that decide every double alike.

    Rounded arithmetic is monotonic, so there is one for each threshold, and bisection finds it. A row in which scaling
    would overflow goes where the infinity would go.
    """
    rebuild = Rebuild(program)
    for position, node in enumerate(program.nodes):
        rebuild.copy(position)
        if isinstance(node, ir.Trees):
            unscaled = _unscaled(program, node)
            rebuild.nodes[-1] = replace(unscaled, inputs=rebuild.block(unscaled.inputs))
    return rebuild.finish()


def _unscaled(program: ir.Program, trees: ir.Trees) -> ir.Trees:
    forest = trees.forest
    columns, thresholds = list(trees.inputs), np.array(forest.threshold)
    for j in range(len(columns)):
        here = forest.feature == j
        while (forest.category_set[here] < 0).all():
            node, column = program.nodes[columns[j].node], columns[j].column
            before = _before(program, node, column, thresholds[here])
            if before is None:
                break
            thresholds[here], columns[j] = before, node.inputs[column]
    return replace(trees, inputs=tuple(columns), forest=replace(forest, threshold=thresholds))


def _before(program: ir.Program, node: ir.Node, column: int, thresholds: ir.FloatArray) -> ir.FloatArray | None:
    """The thresholds of the column that is scaled; None where the node is no growing scale of an input."""
    scaled: Callable[[ir.FloatArray], ir.FloatArray]
    match node:
        case ir.Standardize() if node.scale[column] > 0:
            scaled = lambda x: (x - node.center[column]) / node.scale[column]  # noqa: E731
        case ir.MultiplyAdd() if node.factor[column] > 0:
            scaled = lambda x: x * node.factor[column] + node.offset[column]  # noqa: E731
        case _:
            return None
    source = program.nodes[node.inputs[column].node]
    if not isinstance(source, ir.Input | ir.Impute | ir.Standardize | ir.MultiplyAdd):
        return None
    values, places = np.unique(thresholds, return_inverse=True)
    with np.errstate(all="ignore"):
        return last_of_each(lambda x: scaled(x) <= values, len(values))[places]


def impute_in_trees(program: ir.Program) -> ir.Program:
    """Trees behind an Impute read the raw column: a missing value goes where its fill value would go."""
    return replaced(program, ir.Trees, _with_raw_columns)


def _with_raw_columns(rebuild: Rebuild, trees: ir.Trees) -> ir.Trees:
    forest = trees.forest
    columns, missing_left = list(trees.inputs), np.array(forest.missing_left)
    for j, ref in enumerate(trees.inputs):
        node = rebuild.program.nodes[ref.node]
        if isinstance(node, ir.Impute):
            columns[j] = node.inputs[ref.column]
            missing_left = _missing_left(forest, missing_left, j, float(node.fill[ref.column]))
    moved = rebuild.block(tuple(columns))
    return replace(trees, inputs=moved, forest=replace(forest, missing_left=missing_left))


def _missing_left(forest: ir.Forest, missing_left: ir.BoolArray, feature: int, fill: float) -> ir.BoolArray:
    here = forest.feature == feature
    result = missing_left.copy()
    by_threshold = here & (forest.category_set < 0)
    result[by_threshold] = fill <= forest.threshold[by_threshold]
    for at in np.flatnonzero(here & (forest.category_set >= 0)):
        result[at] = fill in forest.category_sets[forest.category_set[at]]
    return result
