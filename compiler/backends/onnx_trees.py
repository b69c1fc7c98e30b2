"""Forests as the TreeEnsemble operator of ai.onnx.ml 5, the only one that compares and adds in double.

Its rules, and what follows:
- A leaf adds one weight to one target. A tree whose leaves hold a row of values is written once for each output,
  or gives the number of its leaf.
- With one thread onnxruntime adds the trees of a target one after the other from 0, as scikit-learn adds them, so that
  a tie of two classes stays a tie. The base is a tree of a single leaf before all others.
- A missing value follows `nodes_missing_value_tracks_true`, else it goes to the false branch.
- Its set membership (BRANCH_MEMBER) rounds values to whole numbers. Each set becomes a column of its own instead: 0
  where the value is in the set, 1 where not, NaN where missing; the tree compares it with 0.5.
- A root that is a leaf is written as a split with two equal leaves. (A split with one leaf on both sides is allowed,
  but gives wrong sums in onnxruntime 1.23.)
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from .. import ir
from ..ir import FloatArray, IntArray
from .onnx_graph import ML_DOMAIN, GraphWriter

_SUM, _NO_TRANSFORM, _LEQ = 1, 0, 0

_MOST_COPIES = 2
"""Up to this many outputs, copies of the trees are as fast as one tree and a table of its leaves' rows."""


def trees(node: ir.Trees, x: str, writer: GraphWriter) -> str:
    """The block (rows, width) of base plus leaf values."""
    forest = node.forest
    if forest is None or not forest.n_trees or not node.width:
        return writer.fill(node.base)
    x, forest = _with_sets_as_columns(forest, x, len(node.inputs), writer)
    if not (forest.feature >= 0).any():
        x = writer.fill(np.zeros(1))
    if node.single:
        return _sum_in_float32(_one_output_each(forest, node.width), node.base, x, writer)
    if node.width > _MOST_COPIES and (forest.output == -1).all():
        return _sum_of_leaf_rows(forest, node.base, x, writer)
    return writer.append(_ensemble(_one_output_each(forest, node.width), node.base), x)


def _sum_of_leaf_rows(forest: ir.Forest, base: FloatArray, x: str, writer: GraphWriter) -> str:
    """Each tree gives the number of its leaf; the leaves' rows are then gathered and added in order.

    CumSum is the operator that adds from first to last; ReduceSum may pair the terms as it likes. With 10 classes this
    takes a tenth of the time of ten copies of each tree; it holds rows * trees * classes doubles at once, twice.
    """
    leaf_numbers = np.arange(len(forest.feature), dtype=np.float64)[:, np.newaxis]
    numbered = dataclasses.replace(forest, value=leaf_numbers, output=np.arange(forest.n_trees))
    leaves = writer.append(_ensemble(numbered, np.zeros(forest.n_trees)), x)
    with_base = writer.op("Concat", writer.fill(np.array([len(forest.feature)], dtype=np.float64)), leaves, axis=1)
    index = writer.op("Cast", with_base, to=onnx.TensorProto.INT64)
    rows = writer.op("Gather", writer.constant(np.vstack([forest.value, base])), index, axis=0)
    sums = writer.op("CumSum", rows, writer.constant(1, np.int64))
    return writer.op("Gather", sums, writer.constant(forest.n_trees, np.int64), axis=1)


def _sum_in_float32(forest: ir.Forest, base: FloatArray, x: str, writer: GraphWriter) -> str:
    """Each tree gives its leaf's value, which CumSum adds to the base in order, in float32."""
    apart = dataclasses.replace(forest, output=np.arange(forest.n_trees))
    leaves = writer.append(_ensemble(apart, np.zeros(forest.n_trees)), x)
    columns = []
    for output, start in enumerate(base):
        chosen = np.flatnonzero(forest.output == output)
        terms = writer.op("Concat", writer.fill(np.array([start])), writer.columns(leaves, chosen.tolist()), axis=1)
        single = writer.op("Cast", terms, to=onnx.TensorProto.FLOAT)
        sums = writer.op("CumSum", single, writer.constant(1, np.int64))
        columns.append(writer.columns(sums, [len(chosen)]))
    return writer.op("Cast", writer.op("Concat", *columns, axis=1), to=onnx.TensorProto.DOUBLE)


def _with_sets_as_columns(forest: ir.Forest, x: str, width: int, writer: GraphWriter) -> tuple[str, ir.Forest]:
    """The input block with a column for each pair of feature and set behind it, and the forest that compares those."""
    splits = np.flatnonzero((forest.feature >= 0) & (forest.category_set >= 0))
    if not len(splits):
        return x, forest
    pairs = np.stack([forest.feature[splits], forest.category_set[splits]], axis=1)
    distinct, column = np.unique(pairs, axis=0, return_inverse=True)
    feature, threshold = forest.feature.copy(), forest.threshold.copy()
    feature[splits], threshold[splits] = width + column.reshape(-1), 0.5
    blocks = [x]
    for f in np.unique(distinct[:, 0]):
        sets = [forest.category_sets[s] for s in distinct[distinct[:, 0] == f, 1]]
        blocks.append(_outside(sets, writer.columns(x, [int(f)]), writer))
    columns = writer.op("Concat", *blocks, axis=1)
    no_set = np.full_like(forest.category_set, -1)
    return columns, dataclasses.replace(forest, feature=feature, threshold=threshold, category_set=no_set)


def _outside(sets: list[tuple[float, ...]], x: str, writer: GraphWriter) -> str:
    """For each set, 0 where the value of column `x` is in it, 1 where it is not, NaN where it is missing."""
    values = sorted({value for members in sets for value in members})
    table = np.array([[float(value not in members) for members in map(set, sets)] for value in values])
    rows = np.vstack([table.reshape(len(values), len(sets)), np.full((1, len(sets)), np.nan)])
    position = writer.positions(values, x, missing=float(len(values)), unknown=-1.0)
    return writer.rows_of(rows, np.ones(len(sets)), position)


def _one_output_each(forest: ir.Forest, width: int) -> ir.Forest:
    """The forest with each tree that adds to all outputs written once for each of them, in the order of the trees."""
    if (forest.output >= 0).all():
        return forest
    n_nodes = len(forest.feature)
    shift = np.repeat(np.arange(width) * n_nodes, n_nodes)
    copies = np.where(forest.output == -1, width, 1)
    copy = np.concatenate([np.arange(n) for n in copies])
    return dataclasses.replace(
        forest,
        roots=np.repeat(forest.roots, copies) + copy * n_nodes,
        output=np.where(np.repeat(forest.output, copies) == -1, copy, np.repeat(forest.output, copies)),
        feature=np.tile(forest.feature, width),
        threshold=np.tile(forest.threshold, width),
        left=np.tile(forest.left, width) + shift,
        right=np.tile(forest.right, width) + shift,
        missing_left=np.tile(forest.missing_left, width),
        value=forest.value.T.reshape(-1, 1),
        category_set=np.tile(forest.category_set, width),
    )


def _trees_of_nodes(forest: ir.Forest) -> IntArray:
    """For each node the tree it belongs to, or -1 if none reaches it; one step for each level of depth."""
    tree_of = np.full(len(forest.feature), -1)
    at, tree = forest.roots, np.arange(forest.n_trees)
    while len(at):
        tree_of[at] = tree
        inner = forest.feature[at] >= 0
        at, tree = at[inner], tree[inner]
        at, tree = np.concatenate([forest.left[at], forest.right[at]]), np.concatenate([tree, tree])
    return tree_of


def _ensemble(forest: ir.Forest, base: FloatArray) -> Any:
    """The operator without input and output, for a forest in which each tree has one output."""
    forest = _with_base(forest, base)
    tree_of = _trees_of_nodes(forest)
    is_leaf = forest.feature < 0
    split, leaf = (tree_of >= 0) & ~is_leaf, (tree_of >= 0) & is_leaf
    # Splits and leaves are numbered apart. The splits for roots that are leaves follow the others, as do second leaves.
    number = np.full(len(is_leaf), -1)
    number[split], number[leaf] = np.arange(split.sum()), np.arange(leaf.sum())
    stumps = forest.roots[is_leaf[forest.roots]]
    zeros = np.zeros(len(stumps), dtype=np.int64)
    roots = number.copy()
    roots[stumps] = split.sum() + np.arange(len(stumps))
    left, right = forest.left[split], forest.right[split]
    leaves = np.append(np.flatnonzero(leaf), stumps)
    feature = np.append(forest.feature[split], zeros)

    node = onnx.helper.make_node("TreeEnsemble", [], [], domain=ML_DOMAIN)
    node.attribute.extend([
        onnx.helper.make_attribute("n_targets", len(base)),
        onnx.helper.make_attribute("aggregate_function", _SUM),
        onnx.helper.make_attribute("post_transform", _NO_TRANSFORM),
        _ints("tree_roots", roots[forest.roots]),
        _ints("nodes_featureids", feature),
        _tensor("nodes_splits", np.append(forest.threshold[split], zeros)),
        _tensor("nodes_modes", np.full(len(feature), _LEQ, dtype=np.uint8)),
        _ints("nodes_truenodeids", np.append(number[left], number[stumps])),
        _ints("nodes_trueleafs", np.append(is_leaf[left], zeros + 1)),
        _ints("nodes_falsenodeids", np.append(number[right], leaf.sum() + np.arange(len(stumps)))),
        _ints("nodes_falseleafs", np.append(is_leaf[right], zeros + 1)),
        _ints("nodes_missing_value_tracks_true", np.append(forest.missing_left[split], zeros)),
        _ints("leaf_targetids", forest.output[tree_of[leaves]]),
        _tensor("leaf_weights", forest.value[leaves, 0]),
    ])  # fmt: skip
    return node


def _with_base(forest: ir.Forest, base: FloatArray) -> ir.Forest:
    """The forest with a tree of one leaf, before all others, for each base that is not 0 (0 + x is x)."""
    outputs = np.flatnonzero(base)
    n_nodes, n = len(forest.feature), len(outputs)
    none = np.full(n, -1)
    return dataclasses.replace(
        forest,
        roots=np.append(n_nodes + np.arange(n), forest.roots),
        output=np.append(outputs, forest.output),
        feature=np.append(forest.feature, none),
        threshold=np.append(forest.threshold, none),
        left=np.append(forest.left, none * 0),
        right=np.append(forest.right, none * 0),
        missing_left=np.append(forest.missing_left, none > 0),
        value=np.append(forest.value[:, :1], base[outputs, np.newaxis], axis=0),
        category_set=np.append(forest.category_set, none),
    )


def _ints(name: str, values: IntArray) -> Any:
    # helper.make_attribute looks at each value several times; a forest has a million.
    return onnx.AttributeProto(name=name, type=onnx.AttributeProto.INTS, ints=values.tolist())


def _tensor(name: str, values: npt.NDArray[Any]) -> Any:
    return onnx.AttributeProto(name=name, type=onnx.AttributeProto.TENSOR, t=numpy_helper.from_array(values))
