"""Forests of binary trees as arrays, whatever library grew them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .values import BoolArray, FloatArray, IntArray, Value, frozen


@dataclass(frozen=True, eq=False)
class Forest(Value):
    """Binary trees as parallel read-only arrays over all their nodes.

    Node i is a leaf where `feature[i]` is -1. Else, with x the value of that feature (an index into the inputs of the
    `Trees` node), the row goes to `left[i]` if x <= threshold[i]; or, where `category_set[i]` >= 0, if x is in
    `category_sets[category_set[i]]`; a missing x goes left where `missing_left[i]`. Other rows go to `right[i]`.

    `value` is (n_nodes, n_outputs) where `output` is -1: a leaf adds its row to all outputs. Where `output[t]` is
    k >= 0, tree t adds column 0 of `value` (n_nodes, 1) to output k alone.
    """

    roots: IntArray
    feature: IntArray
    threshold: FloatArray
    left: IntArray
    right: IntArray
    missing_left: BoolArray
    value: FloatArray
    output: IntArray
    category_set: IntArray
    category_sets: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        for name, dtype, ndim in (
            ("roots", np.int64, 1),
            ("feature", np.int64, 1),
            ("threshold", np.float64, 1),
            ("left", np.int64, 1),
            ("right", np.int64, 1),
            ("missing_left", np.bool_, 1),
            ("value", np.float64, 2),
            ("output", np.int64, 1),
            ("category_set", np.int64, 1),
        ):
            object.__setattr__(self, name, frozen(getattr(self, name), dtype, ndim))
        n_nodes = len(self.feature)
        if len(self.output) != len(self.roots):
            raise ValueError("Forest: one output for each tree")
        if any(
            len(a) != n_nodes
            for a in (self.threshold, self.left, self.right, self.missing_left, self.value, self.category_set)
        ):
            raise ValueError("Forest: node arrays have one length")
        inner = self.feature >= 0
        children = np.concatenate([self.left[inner], self.right[inner]])
        if len(children) and (children.min() < 0 or children.max() >= n_nodes):
            raise ValueError("Forest: a child lies outside the arrays")
        if not np.isfinite(self.value).all():
            raise ValueError("Forest: leaf values are finite")

    @property
    def n_trees(self) -> int:
        return len(self.roots)
