"""A program for the rows of a condition alone: what the condition says of its inputs is folded into it.

An input that has one value becomes a constant, and so does what is computed from constants. Splits that all rows take
the same way, categories that cannot occur, and the treatment of missing values that cannot be, are left out. Rows
outside the condition may then get any answer: SQL and ONNX refuse them (ir.Program.domains).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pgscore.errors import UsageError

from . import ir
from .backends.numpy import INTERPRETERS
from .ir import Block, Domain, Ref
from .pruning import prune_forest
from .rebuild import Rebuild
from .rewrites import compared_sums, prune

ANY = Domain()
"""Nothing is known."""
MISSING = Domain(among=(), nan=False)


def specialise(program: ir.Program, domains: Mapping[int, Domain]) -> ir.Program:
    """The program for rows whose input columns lie in `domains`, by number.

    Raises UsageError where the model refuses every such row.
    """
    if not domains:
        return program
    work = _Specialised(program, given=domains)
    compared = compared_sums(program)
    for position, node in enumerate(program.nodes):
        moved = replace(node, inputs=work.block(node.inputs))
        rule = _Specialised.whole if position in compared else _RULES.get(type(node), _Specialised.whole)
        with np.errstate(all="ignore"):
            work.place(position, rule(work, moved))
    return replace(prune(work.finish()), domains=dict(domains))


@dataclass
class _Specialised(Rebuild):
    """The program being copied, with what is known of its columns so far.

    `given` is the condition. `constants` are the columns that are one number, NaN where they are always missing.
    `codes` says of a column of codes, of which some cannot occur, which column of fewer codes to read instead, and what
    each code has become.
    """

    given: Mapping[int, Domain] = field(default_factory=dict)
    domains: dict[Ref, Domain] = field(default_factory=dict)
    constants: dict[Ref, float] = field(default_factory=dict)
    codes: dict[Ref, tuple[Ref, dict[float, float]]] = field(default_factory=dict)

    def known(self, ref: Ref) -> Domain:
        """What the column can hold."""
        if ref in self.constants:
            value = self.constants[ref]
            return MISSING if math.isnan(value) else Domain(value, value, (value,), null=False, nan=False)
        return self.domains.get(ref, ANY)

    def constant(self, values: Sequence[float]) -> Block:
        """Columns of one number each."""
        block = self.add(ir.Constant((), np.array(values, dtype=np.float64)))
        self.constants.update(zip(block, map(float, values), strict=True))
        return block

    def whole(self, node: ir.Node) -> Block:
        """A node that is constant where all of its inputs are."""
        if node.inputs and all(ref in self.constants for ref in node.inputs) and not isinstance(node, ir.Subgraph):
            values = self.evaluated(node)
            if not any(map(math.isinf, values)):
                return self.constant(values)
        return self.add(node)

    def evaluated(self, node: ir.Node) -> list[float]:
        """What the node gives for the constants among its inputs, NaN for the others."""
        row = np.array([[self.constants.get(ref, math.nan) for ref in node.inputs]], dtype=np.float64)
        values: list[float] = np.asarray(INTERPRETERS[type(node)](node, row), dtype=np.float64)[0].tolist()
        return values


def _input(work: _Specialised, node: ir.Input) -> Block:
    block = work.add(node)
    domain = work.given.get(node.index)
    if domain is None:
        return block
    work.domains[block[0]] = domain
    if node.dtype is ir.Dtype.NUMBER and (value := _only(domain)) is not None:
        return work.constant([value])
    return block


def _only(domain: Domain) -> float | None:
    """The one number of the domain, NaN if it is that no value is there; None where there are several."""
    if domain.among == () and domain.missing:
        return math.nan
    if domain.among is not None and len(domain.among) == 1 and not domain.missing:
        return float(domain.among[0])
    return None


def _check(work: _Specialised, node: ir.Check) -> Block:
    """Without the columns that always pass."""
    kept = []
    for ref in node.inputs:
        value = work.constants.get(ref)
        if work.known(ref).within(node.low, node.high, missing=node.missing):
            continue
        if value is not None and not node.own:
            raise UsageError(
                "the condition holds for no row that the model answers: it refuses a value, or a missing one"
            )
        kept.append(ref)
    if kept:
        work.add(replace(node, inputs=tuple(kept)))
    return node.inputs


_PER_COLUMN: dict[type[ir.Node], tuple[str, ...]] = {
    ir.Impute: ("fill",),
    ir.FillText: ("fill",),
    ir.IsMissing: (),
    ir.Standardize: ("center", "scale"),
    ir.MultiplyAdd: ("factor", "offset"),
    ir.Clip: (),
    ir.Step: (),
    ir.Elementwise: (),
    ir.Sigmoid: (),
}
"""Kinds whose output j depends on input j alone, with the fields that have one element for each."""


def _by_column(work: _Specialised, node: ir.Node) -> Block:
    """Constant columns leave the node, and so do those that it passes on as they are."""
    found: dict[int, Ref] = {}
    for column, ref in enumerate(node.inputs):
        one = _column(node, [column])
        value = work.evaluated(one)[0] if ref in work.constants else _decided(one, work.known(ref))
        if value is not None and not math.isinf(value):
            found[column] = work.constant([value])[0]
        elif ref not in work.constants and _passes_on(one, work.known(ref)):
            found[column] = ref
    kept = [column for column in range(node.width) if column not in found]
    if kept:
        rest = node if len(kept) == node.width else _column(node, kept)
        for column, ref in zip(kept, work.add(rest), strict=True):
            found[column] = ref
            if domain := _mapped(_column(node, [column]), work.known(node.inputs[column])):
                work.domains[ref] = domain
    return tuple(found[column] for column in range(node.width))


def _column(node: ir.Node, columns: list[int]) -> Any:
    """The node with some of its columns."""
    fields: dict[str, Any] = {}
    for name in _PER_COLUMN[type(node)]:
        values = getattr(node, name)
        fields[name] = values[columns] if isinstance(values, np.ndarray) else tuple(values[c] for c in columns)
    return replace(node, inputs=tuple(node.inputs[c] for c in columns), **fields)


def _decided(node: ir.Node, domain: Domain) -> float | None:
    """The number that the one column always is, if the domain says so."""
    match node:
        case ir.IsMissing() if not domain.missing:
            return 0.0
        case ir.IsMissing() if domain.among == ():
            return 1.0
        case ir.Step() if domain.high < node.threshold:
            return 0.0
        case ir.Step() if domain.low > node.threshold and not domain.missing:
            return 1.0
    return None


def _passes_on(node: ir.Node, domain: Domain) -> bool:
    """Whether the one column is as it was."""
    match node:
        case ir.Impute():
            return not domain.missing
        case ir.FillText() if node.marker is None:
            return not domain.missing
        case ir.FillText():
            return not domain.admits(node.marker)
        case ir.Clip():
            return domain.within(node.low, node.high, missing=True)
    return False


def _mapped(node: ir.Node, domain: Domain) -> Domain | None:
    """What the one column holds, where that says anything."""
    if domain is ANY:
        return None
    match node:
        case ir.Impute():
            fill = float(node.fill[0])
            among = None if domain.among is None else (*domain.among, fill)
            return Domain(min(domain.low, fill), max(domain.high, fill), among, null=False, nan=False)
        case ir.FillText():
            filled = () if node.marker is None and not domain.missing else node.fill
            left = None if domain.among is None else tuple(v for v in domain.among if v != node.marker)
            among = None if left is None else tuple(dict.fromkeys((*left, *filled)))
            missing = domain.null and node.marker is not None
            return Domain(among=among, excluded=domain.excluded - {*filled}, null=missing, nan=False)
        case ir.Standardize() | ir.MultiplyAdd():
            ends = INTERPRETERS[type(node)](node, np.array([[domain.low], [domain.high]]))[:, 0].tolist()
            if domain.among == () or any(map(math.isnan, ends)):
                return None
            return Domain(min(ends), max(ends), null=domain.null, nan=domain.nan)
    return None


def _codes(work: _Specialised, node: ir.Codes) -> Block:
    """One code, or beside the codes as they are those of the categories that can occur."""
    ref = node.inputs[0]
    domain = work.known(ref)
    possible = [position for position, category in enumerate(node.categories) if domain.admits(category)]
    unknown = domain.among is None or any(value not in node.categories for value in domain.among)
    outcomes = [
        *map(float, possible),
        *([node.unknown] if unknown else []),
        *([node.missing] if domain.missing else []),
    ]
    if len(set(map(repr, outcomes))) == 1:
        return work.constant(outcomes[:1])
    block = work.add(node)
    known = [code for code in outcomes if code == code]
    nan = len(known) < len(outcomes)
    work.domains[block[0]] = Domain(min(known), max(known), tuple(known), null=False, nan=nan)
    if len(possible) < len(node.categories) and possible:
        codes = {float(position): float(code) for code, position in enumerate(possible)}
        spare = float(len(possible))
        if unknown and node.unknown == node.unknown:
            codes.setdefault(node.unknown, spare)
        if domain.missing and node.missing == node.missing:
            codes.setdefault(node.missing, spare + 1)
        few = ir.Codes(
            (ref,),
            tuple(node.categories[position] for position in possible),  # type: ignore[arg-type]
            codes.get(node.missing, math.nan),
            # Any category will do where no other value can occur, and the last one saves a comparison.
            codes.get(node.unknown, math.nan) if unknown else spare - 1,
        )
        work.codes[block[0]] = (work.add(few)[0], codes)
    return block


def _one_hot(work: _Specialised, node: ir.OneHot) -> Block:
    few = work.codes.get(node.inputs[0])
    if few is None:
        return work.whole(node)
    ref, codes = few
    groups = [tuple(codes[code] for code in dict.fromkeys(group) if code in codes) for group in node.groups]
    kept = [column for column, group in enumerate(groups) if group]
    block = work.add(ir.OneHot((ref,), tuple(groups[column] for column in kept)))
    columns = dict(zip(kept, block, strict=True))
    return tuple(columns[column] if column in columns else work.constant([0.0])[0] for column in range(node.width))


def _lookup(work: _Specialised, node: ir.Lookup) -> Block:
    few = work.codes.get(node.inputs[0])
    if few is None:
        return work.whole(node)
    ref, codes = few
    table = np.tile(node.default, (int(max(codes.values())) + 1, 1))
    for before, code in codes.items():
        if before in range(len(node.table)):
            table[int(code)] = node.table[int(before)]
    return work.add(ir.Lookup((ref,), table, node.default))


def _affine(work: _Specialised, node: ir.Affine) -> Block:
    """Constants go into the bias."""
    fixed = [j for j, ref in enumerate(node.inputs) if math.isfinite(work.constants.get(ref, math.nan))]
    bias = node.bias + node.weights[:, fixed] @ np.array([work.constants[node.inputs[j]] for j in fixed])
    if not fixed or not np.isfinite(bias).all():
        return work.whole(node)
    free = [j for j in range(len(node.inputs)) if j not in fixed]
    if not free or not node.weights[:, free].any():
        return work.constant(bias.tolist())
    return work.add(replace(node, inputs=tuple(node.inputs[j] for j in free), weights=node.weights[:, free], bias=bias))


def _trees(work: _Specialised, node: ir.Trees) -> Block:
    forest, used = prune_forest(node.forest, [work.known(ref) for ref in node.inputs])
    pruned = replace(node, inputs=tuple(node.inputs[feature] for feature in used), forest=forest)
    if not used:
        values = np.asarray(INTERPRETERS[ir.Trees](pruned, np.zeros((1, 0))))[0].tolist()
        if all(map(math.isfinite, values)):
            return work.constant(values)
    return work.add(pruned)


def _multiply(work: _Specialised, node: ir.Multiply) -> Block:
    """A product with a constant scales the other column."""
    found: dict[int, Ref] = {}
    pairs = list(zip(node.inputs[: node.width], node.inputs[node.width :], strict=True))
    for column, (left, right) in enumerate(pairs):
        a, b = work.constants.get(left, math.nan), work.constants.get(right, math.nan)
        if math.isfinite(a * b):
            found[column] = work.constant([a * b])[0]
        elif math.isfinite(a) or math.isfinite(b):
            factor, other = (a, right) if math.isfinite(a) else (b, left)
            if other not in work.constants:
                found[column] = work.add(ir.MultiplyAdd((other,), np.array([factor]), np.zeros(1)))[0]
    kept = [column for column in range(node.width) if column not in found]
    if kept:
        both = tuple(pairs[c][0] for c in kept) + tuple(pairs[c][1] for c in kept)
        found.update(zip(kept, work.add(ir.Multiply(both)), strict=True))
    return tuple(found[column] for column in range(node.width))


def _select(work: _Specialised, node: ir.Select) -> Block:
    """The side that is always chosen, where that is settled for all columns."""
    width = node.width
    conditions, then, otherwise = node.inputs[:width], node.inputs[width : 2 * width], node.inputs[2 * width :]
    if not all(ref in work.constants for ref in conditions):
        return work.whole(node)
    chosen = [work.constants[ref] != 0 and not math.isnan(work.constants[ref]) for ref in conditions]
    return tuple(a if is_chosen else b for is_chosen, a, b in zip(chosen, then, otherwise, strict=True))


_RULES: dict[type[ir.Node], Callable[[_Specialised, Any], Block]] = {
    ir.Input: _input,
    ir.Constant: lambda work, node: work.constant(node.values.tolist()),
    ir.Check: _check,
    **dict.fromkeys(_PER_COLUMN, _by_column),
    ir.Codes: _codes,
    ir.OneHot: _one_hot,
    ir.Lookup: _lookup,
    ir.Affine: _affine,
    ir.Trees: _trees,
    ir.Multiply: _multiply,
    ir.Select: _select,
}
"""Kinds of which more is known than that they are constant where all their inputs are."""
