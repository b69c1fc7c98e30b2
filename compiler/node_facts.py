"""The facts of each kind of node: what its columns can hold, from what is known of its inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from . import ir
from .curve_facts import elementwise, piecewise
from .fact import EXP_LOW, SLACK, SMALLEST, Fact, at_least_tiny
from .point_facts import couple, kernel, neighbors


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
        results.append(Fact(total_low, total_high, null, nan, at_least_tiny(smallest * 2.0**-54)))
    return results


def _standardize(node: ir.Standardize, known: list[Fact]) -> list[Fact]:
    results = []
    for fact, center, scale in zip(known, map(float, node.center), map(float, node.scale), strict=True):
        ends = sorted(((fact.low - center) / scale, (fact.high - center) / scale))
        # Next to a center the difference is a multiple of half a unit in the center's last place.
        smallest = fact.tiny if center == 0 else abs(center) * 2.0**-54
        results.append(replace(fact, low=ends[0], high=ends[1], tiny=at_least_tiny(smallest / abs(scale))))
    return results


def _multiply_add(node: ir.MultiplyAdd, known: list[Fact]) -> list[Fact]:
    results = []
    for fact, factor, offset in zip(known, map(float, node.factor), map(float, node.offset), strict=True):
        ends = sorted((fact.low * factor + offset, fact.high * factor + offset)) if factor else [offset, offset]
        smallest = fact.tiny * abs(factor) if offset == 0 else abs(offset) * 2.0**-54
        results.append(replace(fact, low=ends[0], high=ends[1], tiny=at_least_tiny(smallest)))
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
    if node.single:  # each addition rounds by half a unit in the last place of a float32
        largest = float(np.abs(forest.value).max(initial=0) + np.abs(node.base).max(initial=0))
        reach = largest * forest.n_trees**2 * 2.0**-24
    smallest = min(smallest, *(abs(float(b)) or math.inf for b in node.base)) if len(node.base) else smallest
    return [
        Fact(float(a) - reach, float(b) + reach, tiny=at_least_tiny(smallest * 2.0**-54))
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


def _select(node: ir.Select, known: list[Fact]) -> list[Fact]:
    then, otherwise = known[node.width : 2 * node.width], known[2 * node.width :]
    return [
        Fact(min(a.low, b.low), max(a.high, b.high), a.null or b.null, a.nan or b.nan, min(a.tiny, b.tiny))
        for a, b in zip(then, otherwise, strict=True)
    ]


def _multiply(node: ir.Multiply, known: list[Fact]) -> list[Fact]:
    results = []
    pairs = zip(node.inputs[: node.width], node.inputs[node.width :], strict=True)
    for column, (left, right) in enumerate(pairs):
        a, b = known[column], known[column + node.width]
        ends = [0.0 if 0 in (x, y) else x * y for x in (a.low, a.high) for y in (b.low, b.high)]
        low = max(min(ends), 0.0) if left == right else min(ends)
        results.append(Fact(low, max(ends), a.null or b.null, a.nan or b.nan, at_least_tiny(a.tiny * b.tiny)))
    return results


def _divide(node: ir.Divide, known: list[Fact]) -> list[Fact]:
    """A quotient is as large as the smallest divisor makes it; SQL gives infinity where it overflows."""
    results = []
    for a, b in zip(known[: node.width], known[node.width :], strict=True):
        magnitude = max(abs(a.low), abs(a.high)) / max(b.tiny, b.low, -b.high)
        sign = a.low >= 0 and b.low >= 0
        low, high = min(0.0 if sign else -magnitude, node.at_zero), max(magnitude, node.at_zero)
        results.append(Fact(low, high, a.null or b.null, a.nan or b.nan, SMALLEST))
    return results


def _reduce(node: ir.Reduce, known: list[Fact]) -> list[Fact]:
    chosen = max if node.reduction is ir.Reduction.MAX else min
    return [Fact(chosen(f.low for f in known), chosen(f.high for f in known), tiny=min(f.tiny for f in known))]


def _one_of(_node: ir.Node, known: list[Fact]) -> list[Fact]:
    return [Fact(min(f.low for f in known), max(f.high for f in known), tiny=min(f.tiny for f in known))]


def _flags(node: ir.Node, _known: list[Fact]) -> list[Fact]:
    return [Fact(0.0, 1.0, tiny=1.0)] * node.width


def _shares(node: ir.Node, _known: list[Fact]) -> list[Fact]:
    return [Fact(0.0, 1.0, tiny=SMALLEST)] * node.width


FACTS: dict[type[ir.Node], Callable[[Any, list[Fact]], list[Fact]]] = {
    ir.Constant: lambda node, _known: [_values([float(v)]) for v in node.values],
    ir.Impute: _impute,
    ir.FillText: lambda node, known: [f.present() if node.marker is None else f for f in known],
    ir.IsMissing: _flags,
    ir.Codes: _codes,
    ir.OneHot: _flags,
    ir.Lookup: _lookup,
    ir.Standardize: _standardize,
    ir.MultiplyAdd: _multiply_add,
    ir.Clip: _clip,
    ir.Affine: _affine,
    ir.Trees: _trees,
    ir.Kernel: kernel,
    ir.Neighbors: neighbors,
    ir.CouplePairwise: couple,
    ir.Sigmoid: _sigmoid,
    ir.Softmax: _shares,
    ir.Select: _select,
    ir.Multiply: _multiply,
    ir.Divide: _divide,
    ir.Reduce: _reduce,
    ir.WeightedMedian: _one_of,
    ir.Elementwise: elementwise,
    ir.Piecewise: piecewise,
    ir.Normalize: _shares,
    ir.ArgMax: lambda _node, known: [Fact(0.0, float(len(known) - 1), tiny=1.0)],
    ir.Step: _flags,
    ir.Subgraph: lambda node, _known: [Fact(null=True, nan=True)] * node.width,
}
"""Every kind of node but Input (its type says it) and Check (it narrows)."""
