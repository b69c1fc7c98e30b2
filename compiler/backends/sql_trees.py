"""Trees as nested CASE. Walked with a stack: a tree may be as deep as it likes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pgscore.quoting import number

from .. import ir
from ..fact import Fact
from ..ir import Ref
from .sql_scope import Scope, TooLargeError
from .sql_text import (
    EXACT_INTEGER,
    Form,
    Kind,
    Value,
    constant,
    double,
    equals,
    indent,
    integer,
    literals,
    member,
    possible_codes,
)

MAX_TERMS = 1_000
"""Trees in one inline sum. A sum keeps the order of its trees, so it nests as deep as it has terms."""
TREES_A_STATEMENT = 25
DEEP = 100
"""From this depth on the deeper branch goes into ELSE, where it does not nest."""


class Split(NamedTuple):
    """A decision: rows where `condition` is true go left (or right, if not `left`), all others the other way.

    The condition None says that all rows go that way.
    """

    condition: str | None
    left: bool


def trees(node: ir.Trees, ref: Ref, scope: Scope) -> Value:
    """The sum of the trees, added in their order: bit for bit what scikit-learn adds up."""
    if scope.variables:
        return scope.shared(ref.node, lambda: _in_variables(node, ref.node, scope))[ref.column]
    splits = _Splits(node, scope)
    write = single if node.single else number
    leaves = _leaves(node.forest, write)
    terms = [write(float(node.base[ref.column]))] if node.base[ref.column] else []
    size = 0
    for root, output in zip(node.forest.roots.tolist(), node.forest.output.tolist(), strict=True):
        if output in (-1, ref.column):
            terms.append(splits.case(root, leaves[ref.column if output < 0 else 0]))
            size += len(terms[-1])
            if size > scope.limit or len(terms) > MAX_TERMS:
                raise TooLargeError
    if not terms:
        return constant(0.0)
    if node.single:
        return Value("(" + indent("\n" + "\n+ ".join(terms)) + "\n)::float8", Kind.FLOAT, Form.ATOM)
    return Value("\n+ ".join(terms), Kind.FLOAT, Form.COMPOUND if len(terms) > 1 else Form.ATOM)


def _in_variables(node: ir.Trees, position: int, scope: Scope) -> dict[int, Value]:
    """Each wanted output as a variable that the trees are added to, one statement for each tree and output.

    Trees that add to one output share a statement, up to TREES_A_STATEMENT, for each statement costs about as much as
    four splits. A tree that adds to several outputs first finds its leaf, and then looks up what it adds to each.
    """
    splits = _Splits(node, scope)
    write, kind, array = (single, "real", "real") if node.single else (number, "double precision", "float8")
    leaves = _leaves(node.forest, write)
    wanted = scope.wanted(position)
    sums = {c: scope.variable(kind, write(float(node.base[c])), "sum") for c in wanted}
    several = len(wanted) > 1 and bool((node.forest.output < 0).any())
    leaf = scope.variable("integer", "NULL", "leaf") if several else ""
    terms: dict[int, list[str]] = {c: [] for c in wanted}
    for root, output in zip(node.forest.roots.tolist(), node.forest.output.tolist(), strict=True):
        if output >= 0 and output in sums:
            _add(scope, sums[output], terms[output], splits.case(root, leaves[0]))
        elif output < 0 and not several:
            _add(scope, sums[wanted[0]], terms[wanted[0]], splits.case(root, leaves[wanted[0]]))
        elif output < 0:
            rows: dict[tuple[float, ...], str] = {}
            scope.assign(leaf, splits.case(root, _Numbered([leaves[c].values for c in wanted], rows)))
            for position_in_row, c in enumerate(wanted):
                table = ",".join(repr(row[position_in_row]) for row in rows)
                scope.assign(sums[c], f"{sums[c]} + ('{{{table}}}'::{array}[])[{leaf}]")
    for c in wanted:
        _flush(scope, sums[c], terms[c])
    if node.single:
        return {c: Value(f"{name}::float8", Kind.FLOAT, Form.ATOM) for c, name in sums.items()}
    return {c: Value(name, Kind.FLOAT, Form.SIMPLE) for c, name in sums.items()}


def single(value: float) -> str:
    """The float32 as a typed literal with the shortest digits that give it back. Sums of these are float32 too."""
    return f"'{np.float32(value)!s}'::real"


def _add(scope: Scope, name: str, terms: list[str], term: str) -> None:
    terms.append(term)
    if len(terms) >= TREES_A_STATEMENT:
        _flush(scope, name, terms)


def _flush(scope: Scope, name: str, terms: list[str]) -> None:
    """Adds the terms that have been put off, in order."""
    if terms:
        scope.assign(name, "\n+ ".join([name, *terms]))
        terms.clear()


@dataclass(frozen=True)
class _Leaves:
    """What the leaves add to one output, as literals."""

    values: list[float]
    write: Callable[[float], str]

    def __getitem__(self, at: int) -> str:
        return self.write(self.values[at])


@dataclass(frozen=True)
class _Numbered:
    """The number, from 1, of what a leaf adds to all outputs; `rows` collects what is numbered."""

    columns: list[list[float]]
    rows: dict[tuple[float, ...], str]

    def __getitem__(self, at: int) -> str:
        return self.rows.setdefault(tuple(column[at] for column in self.columns), str(len(self.rows) + 1))


def _leaves(forest: ir.Forest, write: Callable[[float], str]) -> list[_Leaves]:
    return [_Leaves(column.tolist(), write) for column in forest.value.T]


class _Splits:
    """The decisions of a forest as SQL, each made once."""

    def __init__(self, node: ir.Trees, scope: Scope) -> None:
        forest = node.forest
        self._values = {feature: scope[ref] for feature, ref in enumerate(node.inputs) if ref in scope.values}
        self._facts = [scope.fact(ref) for ref in node.inputs]
        self._feature, self._threshold = forest.feature.tolist(), forest.threshold.tolist()
        self._left, self._right = forest.left.tolist(), forest.right.tolist()
        self._missing_left, self._set = forest.missing_left.tolist(), forest.category_set.tolist()
        self._sets = forest.category_sets
        self._known: dict[tuple[int, float, int, bool], Split] = {}

    def split(self, at: int) -> Split:
        """The decision of the inner node `at`."""
        feature, chosen = self._feature[at], self._set[at]
        key = (feature, 0.0 if chosen >= 0 else self._threshold[at], chosen, self._missing_left[at])
        if key not in self._known:
            value, fact = self._values[feature], self._facts[feature]
            if chosen >= 0:
                self._known[key] = in_set(value, self._sets[chosen], self._missing_left[at])
            else:
                self._known[key] = at_most(value, fact, self._threshold[at], self._missing_left[at])
        return self._known[key]

    def case(self, root: int, leaves: _Leaves | _Numbered) -> str:
        """One tree with the text of its leaves. Splits that send all rows one way or to equal leaves are left out."""
        feature, left, right = self._feature, self._left, self._right

        def settled(at: int) -> int:
            while feature[at] >= 0:
                split = self.split(at)
                if split.condition is not None:
                    return at
                at = left[at] if split.left else right[at]
            return at

        order, children = [settled(root)], {}
        for at in order:
            if feature[at] >= 0:
                children[at] = (settled(left[at]), settled(right[at]))
                order.extend(children[at])
        ends: dict[int, str] = {}
        depth: dict[int, int] = {}
        size: dict[int, int] = {}
        for at in reversed(order):
            depth[at], size[at] = 0, 1
            if feature[at] < 0:
                ends[at] = leaves[at]
                continue
            a, b = children[at]
            if a in ends and ends[a] == ends.get(b):
                ends[at] = ends[a]
            else:
                depth[at], size[at] = 1 + max(depth[a], depth[b]), size[a] + size[b]
        branches = {at: self._branches(at, *children[at]) for at in children if at not in ends}
        if depth[order[0]] > DEEP:
            branches = {at: _flattened(branch, size) for at, branch in branches.items()}
        return _text(order[0], branches, ends)

    def _branches(self, at: int, a: int, b: int) -> _Branches:
        condition, goes_left = self.split(at)
        return _Branches(condition or "TRUE", a, b) if goes_left else _Branches(condition or "TRUE", b, a)


class _Branches(NamedTuple):
    """An inner node: the child where `condition` is true, and the other one."""

    condition: str
    then: int
    otherwise: int


def _flattened(branches: _Branches, size: dict[int, int]) -> _Branches:
    """The larger branch last: only the smaller one nests, so n leaves nest at most log2(n) deep."""
    condition, then, otherwise = branches
    if size[then] <= size[otherwise]:
        return branches
    return _Branches(f"({condition}) IS NOT TRUE", otherwise, then)


def _text(root: int, branches: dict[int, _Branches], ends: dict[int, str]) -> str:
    """The CASE of a tree. An ELSE that would hold another CASE is one more WHEN instead."""
    parts: list[str] = []
    stack: list[tuple[int, bool]] = [(root, False)]
    level = 0
    while stack:
        at, is_else = stack.pop()
        margin = "\n" + " " * level
        if at in ends:
            parts.append(f"{margin}ELSE {ends[at]}{margin[:-1]}END" if is_else else ends[at])
            level -= is_else
            continue
        condition, then, otherwise = branches[at]
        if not is_else and then in ends and otherwise in ends:
            parts.append(f"CASE WHEN {condition} THEN {ends[then]} ELSE {ends[otherwise]} END")
            continue
        if not is_else:
            level += 1
        parts.append(f"{margin}WHEN {condition}" if is_else else f"CASE WHEN {condition}")
        parts.append(" THEN " if then in ends else "\n" + " " * level + "THEN ")
        stack += [(otherwise, True), (then, False)]
    return "".join(parts)


def at_most(value: Value, fact: Fact, threshold: float, missing_left: bool) -> Split:
    """x <= threshold goes left; a missing x goes left where `missing_left`.

    A missing value makes a comparison NULL, or false for NaN, which PostgreSQL holds above all numbers: it takes the
    other way than rows where the condition is true, so the condition is the one that missing values should not meet.
    """
    apart = missing_left and value.missing
    if fact.high <= threshold and (missing_left or not value.missing):
        return Split(None, True)
    if fact.low > threshold and not apart:
        return Split(None, False)
    match value.kind:
        case Kind.CODE:
            codes = possible_codes(value)
            return _by_codes(value, [c <= threshold or (c != c and missing_left) for c in codes], codes)
        case Kind.FLAG:
            return Split(value.sql, False)
        case Kind.BOOL if 0 <= threshold < 1:
            return Split(value.operand, False) if apart else Split(f"NOT {value.operand}", True)
    value = integer(value)
    bound = number(threshold)
    if value.kind is Kind.INT and abs(threshold) < EXACT_INTEGER:
        bound = str(math.floor(threshold))
    elif value.kind is Kind.INT:
        value = double(value)
    return (
        Split(f"{value.operand} > {bound}{_and_number(value)}", False)
        if apart
        else (Split(f"{value.operand} <= {bound}", True))
    )


def in_set(value: Value, chosen: Sequence[float], missing_left: bool) -> Split:
    """x in `chosen` goes left; a missing x goes left where `missing_left`."""
    if value.kind is Kind.CODE:
        codes = possible_codes(value)
        inside_set = frozenset(chosen)
        return _by_codes(value, [c in inside_set or (c != c and missing_left) for c in codes], codes)
    value = integer(value)
    if not (missing_left and value.missing):
        inside = equals(value, chosen)
        return Split(None, False) if inside == "FALSE" else Split(inside, True)
    options = literals(value.kind, chosen)
    outside = f"NOT IN ({', '.join(options)})" if options else "IS NOT NULL"
    return Split(f"{value.operand} {outside}{_and_number(value)}", False)


def _and_number(value: Value) -> str:
    """Makes a condition false for NaN."""
    return f" AND {value.operand} < 'NaN'::float8" if value.nan else ""


def _by_codes(value: Value, goes_left: Sequence[bool], codes: Sequence[float]) -> Split:
    """The decision as a question about categories, asked for the side that has fewer."""
    left = [c for c, goes in zip(codes, goes_left, strict=True) if goes]
    right = [c for c, goes in zip(codes, goes_left, strict=True) if not goes]
    if not left or not right:
        return Split(None, bool(left))
    return Split(member(value, left), True) if len(left) <= len(right) else Split(member(value, right), False)
