"""What the frontends of LightGBM, XGBoost and CatBoost share.

They take what they need from the estimator itself and import none of the libraries, which may not be installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import ir
from .builder import Builder, Predictions
from .classes import labels_of
from .encoders import plain_categories

LEAF = np.iinfo(np.int64).min
"""What `trees` takes in place of a leaf's feature. A file may hold any negative number that a library reads as one."""


def codes(categories: Sequence[Any], column: ir.Ref, builder: Builder, *, closed: bool) -> ir.Block:
    """A column of pandas' categories as their codes. An unknown one is refused if `closed`, else missing."""
    values = [value.item() if isinstance(value, np.generic) else value for value in categories]
    known = plain_categories(values, builder)
    builder.learned_categories(column, tuple(values), closed=closed)
    if not closed:
        return builder.add(ir.Codes((column,), known, unknown=np.nan))
    found = builder.add(ir.Codes((column,), known))
    return builder.add(ir.Check(found, low=0.0, high=ir.FINITE, missing=True))


def without(is_missing: ir.Block, columns: ir.Block, builder: Builder) -> ir.Block:
    """The columns, missing where the flag beside them is set."""
    nothing = builder.add(ir.Constant((), np.full(1, np.nan)))
    return builder.add(ir.Select((*is_missing, *nothing * len(columns), *columns)))


def both(positive: ir.Block, builder: Builder) -> ir.Block:
    """1 - p and p."""
    return builder.add(ir.MultiplyAdd(positive, np.full(1, -1.0), np.ones(1))) + positive


def regressor(answers: ir.Block) -> Predictions:
    """A model that answers with numbers, several for several targets."""
    return Predictions(ir.ModelKind.REGRESSOR, answers)


def classifier(estimator: Any, answers: ir.Block, builder: Builder) -> tuple[tuple[ir.Label, ...], ir.Block]:
    """The labels of a fitted classifier and its probabilities, of which a binary one computes that of the second."""
    names = labels_of(estimator, builder)
    if len(names) == 1:
        builder.refuse("it knows one class only", "train it on at least two classes")
    if (len(answers), len(names)) == (1, 2):
        return names, both(answers, builder)
    if len(answers) != len(names):
        builder.refuse(
            f"its objective gives {len(answers)} numbers for {len(names)} classes",
            "let the library choose the objective",
        )
    return names, answers


def trees(  # noqa: PLR0913 - arrays side by side
    sizes: Sequence[int],
    *,
    feature: ir.IntArray,
    threshold: ir.FloatArray,
    left: ir.IntArray,
    right: ir.IntArray,
    missing_left: ir.BoolArray,
    value: ir.FloatArray,
    output: ir.IntArray,
    sets: Sequence[tuple[float, ...]] = (),
    set_of: ir.IntArray | None = None,
) -> ir.Forest:
    """A forest of trees of `sizes` nodes, one after the other. The root comes first; children count within a tree.

    `feature` is LEAF for a leaf; `set_of` is the index into `sets` for a split by category, else -1. Raises ValueError
    unless they are trees, on which no row walks in a circle: the arrays may come from a file of unknown origin.
    """
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64) if len(sizes) else np.zeros(0, np.int64)
    offset = np.repeat(roots, sizes)
    leaf = feature == LEAF
    if np.any(feature[~leaf] < 0):
        raise ValueError("a split has no feature")
    children, size_of = np.stack([left, right])[:, ~leaf], np.repeat(sizes, sizes)[~leaf]
    if np.any((children < 0) | (children >= size_of)):
        raise ValueError("a child lies outside its tree")
    reached = np.concatenate([roots, (left + offset)[~leaf], (right + offset)[~leaf]])
    if len(np.unique(reached)) < len(reached):
        raise ValueError("a node has two parents")
    distinct = {members: position for position, members in enumerate(dict.fromkeys(sets))}
    position = np.array([distinct[members] for members in sets], dtype=np.int64)
    by_set = np.full(len(leaf), -1) if set_of is None else np.array(set_of)
    by_set[by_set >= 0] = position[by_set[by_set >= 0]]
    return ir.Forest(
        roots=roots,
        feature=np.where(leaf, -1, feature),
        threshold=np.where(leaf | (by_set >= 0), 0.0, threshold),
        left=np.where(leaf, -1, left + offset),
        right=np.where(leaf, -1, right + offset),
        missing_left=~leaf & missing_left,
        value=np.where(leaf[:, np.newaxis], value, 0.0),
        output=output,
        category_set=by_set,
        category_sets=tuple(distinct),
    )
