"""Small pure functions Program -> Program that keep every answer and every refusal, and make better SQL.

Each is held against the numpy backend in tests. None of them may move arithmetic across a tree's threshold by formula:
rounding would send rows the other way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from . import ir
from .doubles import last
from .ir import Ref
from .rebuild import Rebuild, replaced
from .tree_rewrites import impute_in_trees, unscale_trees

MAX_CENTER = 1e3
"""A scaler's center is folded into the bias up to this many scales: x * w - c * w cancels, and loses these digits."""


def simplify(program: ir.Program, small: frozenset[int] = frozenset()) -> ir.Program:
    """All rewrites for SQL. `small` are the input columns of whole numbers: see fold_scalers."""
    program = settle_checks(prune(program))
    program = fold_scalers(program, small)
    program = fold_sums(program)
    program = add_up_steps(one_hot_to_lookup(program))
    program = impute_in_trees(unscale_trees(program))
    return prune(program)


def prune(program: ir.Program, outputs: Sequence[ir.Output] | None = None) -> ir.Program:
    """Without the nodes that nothing needs; with `outputs`, what only other outputs need goes too.

    Inputs stay, the signature is the same. Checks stay: they refuse rows for all outputs.
    """
    kept = tuple(program.outputs if outputs is None else outputs)
    keep = ir.needed(program.nodes, kept)
    rebuild = Rebuild(replace(program, outputs=kept))
    for position, node in enumerate(program.nodes):
        if keep[position] or isinstance(node, ir.Input):
            rebuild.copy(position)
    return rebuild.finish()


def prune_overflow(program: ir.Program, outputs: Sequence[ir.Output]) -> ir.Program:
    """As `prune`, and without the overflow of columns that only other outputs need: a function in SQL computes its own.

    What overflows an input is refused for all of them (backends.numpy.overflows).
    """
    wanted = ir.needed(program.nodes, outputs, checks=False)

    def counts(node: ir.Node) -> bool:
        read = (ref.node for ref in node.inputs)
        return any(wanted[position] or isinstance(program.nodes[position], ir.Input) for position in read)

    rebuild = Rebuild(replace(program, outputs=tuple(outputs)))
    for position, node in enumerate(program.nodes):
        if not (isinstance(node, ir.Check) and node.own) or wanted[position] or counts(node):
            rebuild.copy(position)
    return prune(rebuild.finish())


def settle_checks(program: ir.Program) -> ir.Program:
    """Moves each Check back to the column that its values come from, and merges the Checks of one column.

    A Check behind Impute, Standardize or MultiplyAdd becomes a range of the column before them: rounded arithmetic is
    monotonic, so the exact range is found by bisection over all doubles. In the result each Check stands right behind
    the node that it reads and passes nothing on, so that all of them together are one condition of the row.
    """
    ranges: dict[Ref, list[_Range]] = {}
    for node in program.nodes:
        if isinstance(node, ir.Check):
            for ref in node.inputs:
                base, allowed = _pull_back(program, ref, _Range(node.low, node.high, node.missing, node.own))
                ranges[base] = _merge(ranges.get(base, []), allowed)
    rebuild = Rebuild(program)
    for position, node in enumerate(program.nodes):
        if isinstance(node, ir.Check):
            rebuild.place(position, rebuild.block(node.inputs))
            continue
        rebuild.copy(position)
        groups: dict[_Range, list[Ref]] = {}
        for column in range(node.width):
            for allowed in ranges.get(Ref(position, column), []):
                groups.setdefault(allowed, []).append(rebuild.moved[Ref(position, column)])
        for allowed, refs in groups.items():
            rebuild.add(ir.Check(tuple(refs), allowed.low, allowed.high, allowed.missing, allowed.own))
    return rebuild.finish()


@dataclass(frozen=True)
class _Range:
    """What a Check allows."""

    low: float
    high: float
    missing: bool
    own: bool


def _merge(known: list[_Range], new: _Range) -> list[_Range]:
    """The ranges that together allow what `known` and `new` allow: one, unless they contradict or one is `own`."""
    for position, old in enumerate(known):
        low, high = max(old.low, new.low), min(old.high, new.high)
        if low <= high and old.own is new.own:
            merged = _Range(low, high, old.missing and new.missing, old.own)
            return [*known[:position], merged, *known[position + 1 :]]
    return [*known, new]


def _pull_back(program: ir.Program, ref: Ref, allowed: _Range) -> tuple[Ref, _Range]:
    """The earliest column whose range says the same, with that range."""
    while True:
        node, column = program.nodes[ref.node], ref.column
        if isinstance(node, ir.Check):
            pulled: _Range | None = allowed
        elif isinstance(node, ir.Impute):
            fits = allowed.low <= node.fill[column] <= allowed.high
            pulled = replace(allowed, missing=bool(fits))
        elif isinstance(node, ir.Standardize):
            center, scale = float(node.center[column]), float(node.scale[column])
            pulled = _preimage(_scaler(center, scale), scale > 0, allowed)
        elif isinstance(node, ir.MultiplyAdd) and node.factor[column] != 0:
            factor, offset = float(node.factor[column]), float(node.offset[column])
            pulled = _preimage(_linear(factor, offset), factor > 0, allowed)
        else:
            pulled = None
        if pulled is None:
            return ref, allowed
        ref, allowed = node.inputs[column], pulled


def _scaler(center: float, scale: float) -> Callable[[float], float]:
    return lambda x: (x - center) / scale


def _linear(factor: float, offset: float) -> Callable[[float], float]:
    return lambda x: x * factor + offset


def _preimage(f: Callable[[float], float], increasing: bool, allowed: _Range) -> _Range | None:
    """The range of x where f(x) is allowed, for a monotonic f; None where no finite x is."""
    if increasing:
        low, high = last(lambda x: f(-x) >= allowed.low), last(lambda x: f(x) <= allowed.high)
    else:
        low, high = last(lambda x: f(-x) <= allowed.high), last(lambda x: f(x) >= allowed.low)
    if low is None or high is None or -low > high:
        return None
    return _Range(-low, high, allowed.missing, allowed.own)


def fold_scalers(program: ir.Program, small: frozenset[int] = frozenset()) -> ir.Program:
    """Scaling in front of an Affine goes into its weights, the center too where that costs no digits.

    A center stays, as `x - center`, for a column that may be far from 0 in relation to its scale (see MAX_CENTER), and
    for columns of doubles: (x - center) * w is as fast as a guard of x * w against underflow. It goes into the bias for
    the input columns in `small`, for columns of few small values, such as one-hot columns, and for sums.
    """
    with np.errstate(all="ignore"):
        return replaced(program, ir.Affine, lambda rebuild, node: _folded(rebuild, node, small))


def _folded(rebuild: Rebuild, affine: ir.Affine, small: frozenset[int]) -> ir.Affine:
    if affine.kept:
        return replace(affine, inputs=rebuild.block(affine.inputs))
    columns = list(affine.inputs)
    weights, bias = np.array(affine.weights), np.array(affine.bias)
    centered: dict[int, tuple[Ref, float]] = {}
    used: ir.BoolArray = np.any(weights, axis=0)
    for j in range(len(columns)):
        while used[j] and j not in centered:
            node, column = rebuild.program.nodes[columns[j].node], columns[j].column
            if isinstance(node, ir.Standardize):
                center, scale = float(node.center[column]), float(node.scale[column])
                scaled = weights[:, j] / scale
                shift = -center * scaled
                near = abs(center) <= MAX_CENTER * abs(scale) and _is_small(rebuild.program, node.inputs[column], small)
                if center != 0 and not near:
                    if scale == 1 or not _safe(scaled, weights[:, j]):
                        break
                    centered[j] = (node.inputs[column], center)
                    weights[:, j] = scaled
                    break
            elif isinstance(node, ir.MultiplyAdd):
                scaled, shift = weights[:, j] * node.factor[column], weights[:, j] * node.offset[column]
            else:
                break
            if not (_safe(scaled, weights[:, j]) and np.isfinite(bias + shift).all()):
                break
            weights[:, j], bias, columns[j] = scaled, bias + shift, node.inputs[column]
    inputs = [rebuild.moved[ref] for ref in columns]
    if centered:
        block = tuple(rebuild.moved[ref] for ref, _ in centered.values())
        new = rebuild.add(ir.Standardize(block, np.array([c for _, c in centered.values()]), np.ones(len(block))))
        for j, ref in zip(centered, new, strict=True):
            inputs[j] = ref
    kept = np.flatnonzero(used)
    return ir.Affine(tuple(inputs[j] for j in kept), weights[:, kept], bias)


def _safe(scaled: ir.FloatArray, weights: ir.FloatArray) -> bool:
    """Whether folding lost nothing: finite, and no weight became so small that it lost digits."""
    return bool(np.isfinite(scaled).all() and (np.abs(scaled[weights != 0]) > np.finfo(np.float64).tiny).all())


def _is_small(program: ir.Program, ref: Ref, small: frozenset[int]) -> bool:
    node = program.nodes[ref.node]
    if isinstance(node, ir.Input):
        return node.index in small
    if isinstance(node, ir.Impute | ir.Standardize | ir.MultiplyAdd):
        return _is_small(program, node.inputs[ref.column], small)
    # A sum has rounded already, by as much as its center can cost.
    return isinstance(node, ir.OneHot | ir.IsMissing | ir.Step | ir.Codes | ir.Affine)


def compared_sums(program: ir.Program) -> frozenset[int]:
    """The sums that trees compare: in another order, terms that cancel would leave another rest."""
    found = set()
    for trees in program.nodes:
        for start in trees.inputs if isinstance(trees, ir.Trees) else ():
            ref = start
            while isinstance(node := program.nodes[ref.node], ir.Check | ir.Impute | ir.Standardize | ir.MultiplyAdd):
                ref = node.inputs[ref.column]
            if isinstance(node, ir.Affine):
                found.add(ref.node)
    return frozenset(found)


def fold_sums(program: ir.Program) -> ir.Program:
    """A sum of sums becomes one sum where that has no more terms: a projection in front of a linear model, a mean.

    Not in front of trees: a threshold asks for the very sum, where terms that cancel are equal to it by their order.
    Nor what is `kept`.
    """
    rebuild = Rebuild(program)
    compared = compared_sums(program)
    for position, node in enumerate(program.nodes):
        if isinstance(node, ir.Affine) and not node.kept and position not in compared:
            rebuild.place(position, rebuild.add(_flat(rebuild, replace(node, inputs=rebuild.block(node.inputs)))))
        else:
            rebuild.copy(position)
    return rebuild.finish()


def _flat(rebuild: Rebuild, affine: ir.Affine) -> ir.Affine:
    terms, bias = np.count_nonzero(affine.weights), np.array(affine.bias)
    columns: dict[Ref, ir.FloatArray] = {}
    for ref, weights in zip(affine.inputs, affine.weights.T, strict=True):
        inner = {ref: 1.0}
        node = rebuild.nodes[ref.node]
        if isinstance(node, ir.Affine) and not node.kept and weights.any():
            inner = {r: w for r, w in zip(node.inputs, node.weights[ref.column].tolist(), strict=True) if w}
            terms += len(inner)
            bias += weights * node.bias[ref.column]
        for source, weight in inner.items():
            columns[source] = columns.get(source, np.zeros(affine.width)) + weights * weight
    flat = np.array(list(columns.values())).reshape(len(columns), affine.width).T
    fits = np.count_nonzero(flat) <= terms and np.isfinite(flat).all() and np.isfinite(bias).all()
    if not fits or (np.abs(flat[flat != 0]) < np.finfo(np.float64).tiny).any():
        return affine
    return ir.Affine(tuple(columns), flat, bias)


def one_hot_to_lookup(program: ir.Program) -> ir.Program:
    """One-hot columns that an Affine reads become one Lookup of their weights: one CASE, not one for each category."""
    return replaced(program, ir.Affine, _with_lookups)


def _with_lookups(rebuild: Rebuild, affine: ir.Affine) -> ir.Affine:
    by_node: dict[int, list[int]] = {}
    for j, ref in enumerate(affine.inputs):
        by_node.setdefault(ref.node, []).append(j)
    fused = {
        position: js
        for position, js in by_node.items()
        if len(js) > 1 and _fits_table(rebuild.program, rebuild.program.nodes[position])
    }
    gone = {j for js in fused.values() for j in js}
    kept = [j for j in range(len(affine.inputs)) if j not in gone]
    inputs = [rebuild.moved[affine.inputs[j]] for j in kept]
    weights = [affine.weights[:, kept]]
    for position, js in fused.items():
        one_hot = cast(ir.OneHot, rebuild.program.nodes[position])
        table = np.zeros((1 + max((int(c) for group in one_hot.groups for c in group), default=-1), affine.width))
        default = np.zeros(affine.width)
        for j in js:
            for code in set(one_hot.groups[affine.inputs[j].column]):
                row = table[int(code)] if code >= 0 else default
                row += affine.weights[:, j]
        inputs += rebuild.add(ir.Lookup(rebuild.block(one_hot.inputs), table, default))
        weights.append(np.eye(affine.width))
    return replace(affine, inputs=tuple(inputs), weights=np.hstack(weights))


def add_up_steps(program: ir.Program) -> ir.Program:
    """Level pieces of one column that an Affine reads become the steps of their weighted sum."""
    return replaced(program, ir.Affine, _with_steps)


def _with_steps(rebuild: Rebuild, affine: ir.Affine) -> ir.Affine:
    by_node: dict[int, list[int]] = {}
    for j, ref in enumerate(affine.inputs):
        by_node.setdefault(ref.node, []).append(j)
    inputs: list[Ref] = []
    weights, gone = [], set()
    for position, js in by_node.items():
        node = rebuild.program.nodes[position]
        if len(js) == 1 or not isinstance(node, ir.Piecewise) or node.coefficients[:, :, 1:].any():
            continue
        levels = node.coefficients[:, [affine.inputs[j].column for j in js], 0] @ affine.weights[:, js].T
        if np.isfinite(levels).all():
            block = rebuild.block(node.inputs)
            inputs += rebuild.add(ir.Piecewise(block, node.knots, node.origin, levels[:, :, np.newaxis]))
            weights.append(np.eye(affine.width))
            gone.update(js)
    kept = [j for j in range(len(affine.inputs)) if j not in gone]
    block = (*(rebuild.moved[affine.inputs[j]] for j in kept), *inputs)
    return replace(affine, inputs=block, weights=np.hstack([affine.weights[:, kept], *weights]))


def _fits_table(program: ir.Program, one_hot: ir.Node) -> bool:
    """Whether its groups can be rows of a table, with the group of the unknown code -1, if any, as the default row."""
    if not isinstance(one_hot, ir.OneHot):
        return False
    codes = {c for group in one_hot.groups for c in group}
    if all(c >= 0 and c == int(c) for c in codes):
        return True
    ((source, _),) = producers(program, one_hot.inputs)
    if not isinstance(source, ir.Codes) or not all(c >= -1 and c == int(c) for c in codes):
        return False
    others = {source.unknown, source.missing} - codes
    return others <= {float(c) for c in range(len(source.categories))}


def producers(program: ir.Program, refs: Iterable[Ref]) -> list[tuple[ir.Node, int]]:
    """The node and column that each reference names, seen through Checks."""
    found = []
    for start in refs:
        ref = start
        while isinstance(program.nodes[ref.node], ir.Check):
            ref = program.nodes[ref.node].inputs[ref.column]
        found.append((program.nodes[ref.node], ref.column))
    return found
