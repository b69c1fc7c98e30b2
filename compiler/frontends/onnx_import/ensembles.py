"""The tree ensembles of ai.onnx.ml, 1 to 5.

An operator compares x, which it gets as float32 or as a double, with thresholds of the same type: of float32 the
thresholds are moved (float32.py), so that the doubles go the same way. Trees behind arithmetic in float32 cannot be
followed in doubles: the graph then stays a graph. What a classifier makes of its scores is onnxruntime's
(onnxruntime/core/providers/cpu/ml/tree_ensemble_aggregator.h).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ... import ir
from ..float32 import float32_threshold
from .learned import class_labels, post_transform
from .values import Attributes, Graph, Labels, Numbers, Value

Inputs = list[str]
Array = npt.NDArray[np.generic]

_LEQ, _LT, _GTE, _GT = range(4)
_MODES = {b"BRANCH_LEQ": _LEQ, b"BRANCH_LT": _LT, b"BRANCH_GTE": _GTE, b"BRANCH_GT": _GT}


@dataclass
class _Nodes:
    """Splits and leaves of all trees in one numbering; leaves have feature -1. `value` is (nodes, targets)."""

    roots: ir.IntArray
    feature: ir.IntArray
    threshold: ir.FloatArray
    mode: ir.IntArray
    left: ir.IntArray
    right: ir.IntArray
    missing_left: ir.BoolArray
    value: ir.FloatArray


def regressor(graph: Graph, inputs: Inputs, attributes: Attributes) -> Numbers:
    """TreeEnsembleRegressor: the sum, or the mean, of the trees' values."""
    x = graph.numbers(inputs[0])
    nodes = _classic(graph, attributes, "target", int(attributes.get("n_targets", 1)))
    return _aggregate(graph, x, nodes, attributes, _numbers(attributes, "base_values"), classic=True)


def classifier(graph: Graph, inputs: Inputs, attributes: Attributes) -> list[Value]:
    """TreeEnsembleClassifier: a label and a score for each class."""
    x = graph.numbers(inputs[0])
    labels = class_labels(graph, attributes)
    nodes = _classic(graph, attributes, "class", len(labels))
    base = _numbers(attributes, "base_values")
    ids = np.unique(np.asarray(attributes["class_ids"]))
    if len(labels) == 2 and len(ids) == 1:
        return _binary(graph, x, nodes, attributes, base, labels, int(ids[0]))
    if len(labels) == 2:
        graph.leave("it has scores for both of two classes")
    scores = _aggregate(graph, x, nodes, {}, base, classic=True)
    (index,) = graph.builder.add(ir.ArgMax(scores.refs))
    return [Labels(index, (), labels), post_transform(graph, scores, attributes)]


def _binary(  # noqa: PLR0913, PLR0917 - the parts of one operator
    graph: Graph,
    x: Numbers,
    nodes: _Nodes,
    attributes: Attributes,
    base: ir.FloatArray,
    labels: tuple[ir.Label, ...],
    at: int,
) -> list[Value]:
    """One score s for two classes: a probability where no weight is negative, else on a scale around 0."""
    if len(base) > 1:
        graph.leave("it has a base for both of two classes")
    nodes.value = nodes.value[:, at : at + 1]
    score = _aggregate(graph, x, nodes, {}, base, classic=True)
    graph.rounds = True
    positive = bool((np.asarray(_numbers(attributes, "class_weights")) >= 0).all())
    (index,) = graph.builder.add(ir.Step(score.refs, 0.5 if positive else 0.0))
    label = Labels(index, (), labels)
    kind = attributes.get("post_transform", b"NONE")
    if positive and kind == b"NONE":
        complement = graph.builder.add(ir.MultiplyAdd(score.refs, np.full(1, -1.0), np.ones(1)))
    elif not positive and kind in (b"NONE", b"LOGISTIC"):
        complement = graph.builder.add(ir.MultiplyAdd(score.refs, np.full(1, -1.0), np.zeros(1)))
    else:
        graph.leave("its scores go through a function of their own")
    pair = Numbers(complement + score.refs, (2,), score.element, exact=False)
    return [label, post_transform(graph, pair, attributes)]


def ensemble(graph: Graph, inputs: Inputs, attributes: Attributes) -> Numbers:
    """TreeEnsemble of ai.onnx.ml 5: splits and leaves are numbered apart, each leaf adds to one target."""
    x = graph.numbers(inputs[0])
    features = _ints(attributes, "nodes_featureids")
    splits, modes = attributes["nodes_splits"].astype(np.float64), attributes["nodes_modes"].astype(np.int64)
    if not set(np.unique(modes).tolist()) <= {0, 1, 2, 3}:
        graph.leave("its splits are not all by a threshold")
    targets, weights = _ints(attributes, "leaf_targetids"), attributes["leaf_weights"].astype(np.float64)
    n, leaves, width = len(features), len(targets), int(attributes["n_targets"])
    is_leaf = {side: _ints(attributes, f"nodes_{side}leafs") != 0 for side in ("true", "false")}
    ids = {side: _ints(attributes, f"nodes_{side}nodeids") for side in ("true", "false")}
    child = {side: np.where(is_leaf[side], n + ids[side], ids[side]) for side in ids}
    none = np.full(leaves, -1)
    value = np.zeros((n + leaves, width))
    value[n + np.arange(leaves), targets] = weights
    tracks = attributes.get("nodes_missing_value_tracks_true")
    missing = np.zeros(n, dtype=bool) if not tracks else np.asarray(tracks) != 0
    nodes = _Nodes(
        roots=_ints(attributes, "tree_roots"),
        feature=np.append(features, none),
        threshold=np.append(splits, np.zeros(leaves)),
        mode=np.append(modes, np.zeros(leaves, dtype=np.int64)),
        left=np.append(child["true"], none),
        right=np.append(child["false"], none),
        missing_left=np.append(missing, np.zeros(leaves, dtype=bool)),
        value=value,
    )
    if attributes.get("aggregate_function", 1) != 1 or attributes.get("post_transform", 0) != 0:
        graph.leave("it does not give the sum of its trees")
    return _aggregate(graph, x, nodes, {}, np.zeros(0), classic=False)


def _classic(graph: Graph, attributes: Attributes, what: str, width: int) -> _Nodes:
    """The nodes of ai.onnx.ml 1 and 3: by the numbers of tree and node; `what` is "class" or "target"."""
    tree, number = _ints(attributes, "nodes_treeids"), _ints(attributes, "nodes_nodeids")
    position = {pair: at for at, pair in enumerate(zip(tree.tolist(), number.tolist(), strict=True))}
    modes = attributes["nodes_modes"]
    leaf = np.array([mode == b"LEAF" for mode in modes])
    if len(position) != len(tree) or not set(modes) <= {*_MODES, b"LEAF"}:
        graph.leave("its splits are not all by a threshold")

    def child(name: str) -> ir.IntArray:
        pairs = zip(tree.tolist(), _ints(attributes, name).tolist(), leaf.tolist(), strict=True)
        return np.array([-1 if ends else position.get((t, c), -1) for t, c, ends in pairs], dtype=np.int64)

    left, right = child("nodes_truenodeids"), child("nodes_falsenodeids")
    if (left[~leaf] < 0).any() or (right[~leaf] < 0).any():
        graph.leave("a split leads nowhere")
    value = np.zeros((len(tree), width))
    rows = zip(
        _ints(attributes, f"{what}_treeids").tolist(),
        _ints(attributes, f"{what}_nodeids").tolist(),
        _ints(attributes, f"{what}_ids").tolist(),
        _numbers(attributes, f"{what}_weights").tolist(),
        strict=True,
    )
    for t, node, target, weight in rows:
        value[position[t, node], target] += weight
    tracks = attributes.get("nodes_missing_value_tracks_true")
    missing = np.zeros(len(tree), dtype=bool) if not tracks else np.asarray(tracks) != 0
    return _Nodes(
        roots=_first_of_each(tree),
        feature=np.where(leaf, -1, _ints(attributes, "nodes_featureids")),
        threshold=_numbers(attributes, "nodes_values"),
        mode=np.array([_MODES.get(mode, _LEQ) for mode in modes]),
        left=left,
        right=right,
        missing_left=missing,
        value=value,
    )


def _first_of_each(tree: ir.IntArray) -> ir.IntArray:
    """A tree starts at its first node; trees are added in the order in which they come."""
    _, first = np.unique(tree, return_index=True)
    return np.sort(first)


def _aggregate(  # noqa: PLR0913 - the parts of one operator
    graph: Graph, x: Numbers, nodes: _Nodes, attributes: Attributes, base: ir.FloatArray, *, classic: bool
) -> Numbers:
    """The trees' sum or mean. A `classic` operator gives float32, whatever it reads."""
    if not x.exact:
        graph.leave("trees read numbers that were computed in float32, or by sums")
    if attributes.get("post_transform", b"NONE") != b"NONE":
        graph.leave("it transforms its answer")
    aggregate = attributes.get("aggregate_function", b"SUM")
    if aggregate not in (b"SUM", b"AVERAGE") or (len(base) and len(base) != nodes.value.shape[1]):
        graph.leave("it does not give the sum of its trees")
    if len(nodes.feature) and nodes.feature.max() >= len(x.refs):
        graph.leave("a split reads a column that does not exist")
    single = x.element is not ir.Element.DOUBLE
    width, n_trees = nodes.value.shape[1], len(nodes.roots)
    made = graph.builder.add(ir.Trees(x.refs, _forest(nodes, single), base if len(base) else np.zeros(width)))
    if single or classic:
        graph.rounds = graph.rounds or n_trees > 1 or bool(len(base))
    if aggregate == b"AVERAGE":
        made = graph.builder.add(ir.Standardize(made, np.zeros(width), np.full(width, float(n_trees))))
    return Numbers(made, (width,), ir.Element.FLOAT if single or classic else ir.Element.DOUBLE, exact=False)


def _forest(nodes: _Nodes, single: bool) -> ir.Forest:
    """With thresholds for x <= t on doubles: moved for float32, and turned around where the split is another."""
    threshold, mode = nodes.threshold, nodes.mode
    split = nodes.feature >= 0
    strict = split & ((mode == _LT) | (mode == _GTE))  # x < t, or its opposite
    if single:
        narrow = threshold.astype(np.float32)
        narrow = np.where(strict, np.nextafter(narrow, np.float32(-np.inf)), narrow)
        threshold = np.where(split, float32_threshold(narrow.astype(np.float64)), 0.0)
    else:
        threshold = np.where(strict, np.nextafter(threshold, -np.inf), np.where(split, threshold, 0.0))
    turned = split & ((mode == _GTE) | (mode == _GT))
    one_output = nodes.value.shape[1] == 1
    return ir.Forest(
        roots=nodes.roots,
        feature=nodes.feature,
        threshold=threshold,
        left=np.where(turned, nodes.right, nodes.left),
        right=np.where(turned, nodes.left, nodes.right),
        missing_left=split & np.where(turned, ~nodes.missing_left, nodes.missing_left),
        value=np.where(split[:, np.newaxis], 0.0, nodes.value),
        output=np.full(len(nodes.roots), 0 if one_output else -1),
        category_set=np.full(len(nodes.feature), -1),
    )


def _ints(attributes: Attributes, name: str) -> ir.IntArray:
    return np.asarray(attributes[name], dtype=np.int64)


def _numbers(attributes: Attributes, name: str) -> ir.FloatArray:
    """A list of numbers, which newer versions keep as a tensor where they are doubles."""
    tensor = attributes.get(f"{name}_as_tensor")
    return np.asarray(attributes.get(name, ()) if tensor is None else tensor, dtype=np.float64)
