"""Trees without the splits that their features' domains decide."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .forest import Forest
from .ir import Domain
from .values import BoolArray, IntArray


def prune_forest(forest: Forest, domains: Sequence[Domain]) -> tuple[Forest, list[int]]:
    """The forest for rows whose features lie in `domains`, and the features that it still reads, in its order.

    Nodes that no such row reaches go, and splits of which both sides end in the same leaf.
    """
    goes_left, goes_right = _decided(forest, domains)
    feature, left, right = forest.feature.tolist(), forest.left.tolist(), forest.right.tolist()
    always_left, always_right = goes_left.tolist(), goes_right.tolist()

    def settled(at: int) -> int:
        while feature[at] >= 0 and (always_left[at] or always_right[at]):
            at = left[at] if always_left[at] else right[at]
        return at

    order = [settled(root) for root in forest.roots.tolist()]
    roots = len(order)
    children: dict[int, tuple[int, int]] = {}
    for at in order:
        if feature[at] >= 0:
            children[at] = (settled(left[at]), settled(right[at]))
            order.extend(children[at])
    ends: dict[int, int] = {}
    for at in reversed(order):
        if feature[at] < 0:
            ends[at] = at
            continue
        a, b = (ends.get(child) for child in children[at])
        if a is not None and b is not None and np.array_equal(forest.value[a], forest.value[b]):
            ends[at] = a
    return _rebuilt(forest, order[:roots], children, ends)


def _decided(forest: Forest, domains: Sequence[Domain]) -> tuple[BoolArray, BoolArray]:
    """For each node, whether all rows go left there, and whether all go right."""
    goes_left, goes_right = np.zeros(len(forest.feature), dtype=bool), np.zeros(len(forest.feature), dtype=bool)
    for feature, domain in enumerate(domains):
        here = np.flatnonzero(forest.feature == feature)
        missing_left = forest.missing_left[here]
        left_if_missing = missing_left | (not domain.missing)
        right_if_missing = ~missing_left | (not domain.missing)
        if domain.among == ():
            goes_left[here], goes_right[here] = missing_left, ~missing_left
            continue
        by_threshold = forest.category_set[here] < 0
        low, high = (domain.low <= forest.threshold[here]), (domain.high <= forest.threshold[here])
        for place in np.flatnonzero(~by_threshold):
            chosen = forest.category_sets[forest.category_set[here[place]]]
            inside = [value in chosen for value in domain.among or ()]
            # Where the values are not known, some may be inside and some not.
            low[place], high[place] = any(inside) or domain.among is None, all(inside) and domain.among is not None
        goes_left[here], goes_right[here] = high & left_if_missing, ~low & right_if_missing
    return goes_left, goes_right


def _rebuilt(
    forest: Forest, roots: Sequence[int], children: dict[int, tuple[int, int]], ends: dict[int, int]
) -> tuple[Forest, list[int]]:
    """The forest of the nodes that are left, parents first."""
    kept: list[int] = []
    sides: list[tuple[int, int]] = []
    new_roots: list[int] = []

    def put(at: int) -> int:
        kept.append(ends.get(at, at))
        sides.append((0, 0))
        if at not in ends:
            waiting.append((len(kept) - 1, *children[at]))
        return len(kept) - 1

    waiting: list[tuple[int, int, int]] = []
    for root in roots:
        new_roots.append(put(root))
        while waiting:
            place, a, b = waiting.pop()
            sides[place] = (put(a), put(b))
    at: IntArray = np.array(kept, dtype=np.int64)
    feature = forest.feature[at]
    used = np.unique(feature[feature >= 0])
    renumbered = np.where(feature >= 0, np.searchsorted(used, feature), -1)
    both = np.array(sides, dtype=np.int64).reshape(-1, 2)
    new = Forest(
        np.array(new_roots, dtype=np.int64),
        renumbered,
        forest.threshold[at],
        both[:, 0],
        both[:, 1],
        forest.missing_left[at],
        forest.value[at],
        forest.output,
        forest.category_set[at],
        forest.category_sets,
    )
    return new, used.tolist()
