"""Whether tree ensembles are trees: onnxruntime before 1.32 believes it, and 1.32 recurses as deep as they go.

Each list of an ensemble is as long as it must be; children, leaves and targets exist; no node is the child of two; and
no path is longer than `MAX_LEVELS`. Written with numpy: a forest has millions of nodes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .interrupts import check_interrupts
from .libraries import ScoringError
from .operators import ML
from .reader import Attribute, Node, Tensor

MAX_LEVELS = 2000
"""At between 10,000 and 50,000 levels onnxruntime overflows the stack."""
MAX_TARGETS = 2**16

_MEMBER = 6
_UINT8 = 2
_FLOATS: dict[int, Any] = {1: np.dtype("<f4"), 11: np.dtype("<f8")}
_LIMIT = 2**31
_OPTIONAL = (b"nodes_hitrates", b"nodes_missing_value_tracks_true")


def check(node: Node) -> None:
    """Raises ScoringError unless the operator is no tree ensemble, or a sound one."""
    if node.domain != ML or not node.name.startswith(b"TreeEnsemble"):
        return
    if node.name == b"TreeEnsemble":
        _check_new(node)
    else:
        _check_old(node, b"class" if node.name == b"TreeEnsembleClassifier" else b"target")


def differ_in_weights(one: Node, other: Node) -> bool:
    """Whether two operators TreeEnsemble are the same but for what their leaves add: a row costs the same in both."""
    return one.attributes.keys() == other.attributes.keys() and all(
        name == b"leaf_weights" or _equal(attribute, other.attributes[name])
        for name, attribute in one.attributes.items()
    )


def _equal(one: Attribute, other: Attribute) -> bool:
    if one.tensor and other.tensor:
        return one.tensor.raw is not None and one.tensor.raw == other.tensor.raw
    return one.tensor is other.tensor and one.number == other.number and np.array_equal(one.whole(), other.whole())


def _check_new(node: Node) -> None:
    """TreeEnsemble of ai.onnx.ml 5: splits and leaves are numbered apart, by their places."""
    feature = _whole(node, b"nodes_featureids")
    modes, splits, weights = (_tensor(node, name) for name in (b"nodes_modes", b"nodes_splits", b"leaf_weights"))
    children = {side: _whole(node, b"nodes_%snodeids" % side) for side in (b"true", b"false")}
    to_leaf = {side: _whole(node, b"nodes_%sleafs" % side) != 0 for side in (b"true", b"false")}
    targets, roots = _whole(node, b"leaf_targetids"), _whole(node, b"tree_roots")
    n, n_leaves = len(feature), weights.n
    _same_length(n, modes.n, splits.n, *map(len, children.values()), *map(len, to_leaf.values()))
    _same_length(n, *(_length(node, name) or n for name in _OPTIONAL))
    _same_length(n_leaves, len(targets))
    _within(feature, _LIMIT)
    _within(targets, _n_targets(node))
    _within(roots, n)
    if not len(roots):
        raise ScoringError("the graph holds a tree ensemble without a tree")
    for side in (b"true", b"false"):
        _within(children[side][to_leaf[side]], n_leaves)
        _within(children[side][~to_leaf[side]], n)
    _check_members(node, modes)
    below = [np.where(to_leaf[side], -1, children[side]) for side in (b"true", b"false")]
    _check_paths(np.stack(below, axis=1), roots)


def _check_members(node: Node, modes: Tensor) -> None:
    """Each split by membership has its values: they end with a NaN."""
    given = node.attributes.get(b"membership_values")
    if modes.type != _UINT8 or modes.raw is None:
        raise ScoringError("the graph holds a tree ensemble whose modes are no raw bytes")
    n = int((np.frombuffer(modes.raw, np.uint8) == _MEMBER).sum())
    if given is None or given.tensor is None:
        _same_length(n, 0)
        return
    values = given.tensor
    if values.type not in _FLOATS or values.raw is None:
        raise ScoringError("the graph holds a tree ensemble whose sets are no raw numbers")
    ends = np.isnan(np.frombuffer(values.raw, _FLOATS[values.type]))
    # Values of a set are at least one: no end stands first, or behind another.
    if n != ends.sum() or (len(ends) and not ends[-1]) or ends[:1].any() or (ends[1:] & ends[:-1]).any():
        raise ScoringError("the graph holds a tree ensemble whose sets do not fit its splits")


def _check_old(node: Node, what: bytes) -> None:
    """TreeEnsembleClassifier and TreeEnsembleRegressor: a node is named by the number of its tree and its own."""
    trees, numbers, feature = (_whole(node, b"nodes_" + name) for name in (b"treeids", b"nodeids", b"featureids"))
    children = [_whole(node, b"nodes_%snodeids" % side) for side in (b"true", b"false")]
    n = len(trees)
    modes = node.attributes[b"nodes_modes"].texts if b"nodes_modes" in node.attributes else []
    _same_length(n, len(numbers), len(feature), len(modes), *map(len, children), _length(node, b"nodes_values"))
    _same_length(n, *(_length(node, name) or n for name in _OPTIONAL))
    _within(numbers, _LIMIT)
    _within(trees, _LIMIT)
    if not n:
        raise ScoringError("the graph holds a tree ensemble without a tree")
    names = trees * _LIMIT + numbers
    order = np.argsort(names, kind="stable")
    known = names[order]
    if (known[1:] == known[:-1]).any():
        raise ScoringError("the graph holds a tree ensemble with two nodes of one name")

    def places(tree: Any, number: Any) -> Any:
        """Where nodes are listed; all must exist."""
        _within(number, _LIMIT)
        _within(tree, _LIMIT)
        wanted = tree * _LIMIT + number
        found = np.minimum(np.searchsorted(known, wanted), n - 1)
        if (known[found] != wanted).any():
            raise ScoringError("the graph holds a tree ensemble with a child or a leaf that does not exist")
        return order[found]

    is_leaf = np.array([mode == b"LEAF" for mode in modes])
    below = np.full((n, 2), -1)
    splits = np.flatnonzero(~is_leaf)
    _within(feature[splits], _LIMIT)
    for side in (0, 1):
        below[splits, side] = places(trees[splits], children[side][splits])
    has_parent = np.zeros(n, dtype=bool)
    has_parent[below[splits].ravel()] = True
    roots = np.flatnonzero(~has_parent)
    if len(roots) != len(np.unique(trees)) or _check_paths(below, roots) != n:
        raise ScoringError("the graph holds a tree ensemble in which a tree has no root, or several")

    of_tree, of_node, ids = (_whole(node, b"%s_%s" % (what, name)) for name in (b"treeids", b"nodeids", b"ids"))
    _same_length(len(ids), len(of_tree), len(of_node), _length(node, b"%s_weights" % what))
    places(of_tree, of_node)
    n_targets = _n_classes(node) if what == b"class" else _n_targets(node)
    _within(ids, n_targets)
    _check_base(node, what, n_targets, len(np.unique(ids)))


def _check_base(node: Node, what: bytes, n_targets: int, n_with_weight: int) -> None:
    """onnxruntime before 1.32 reads beyond other numbers of base values, or gives memory that it never wrote."""
    n_base = _length(node, b"base_values")
    one_is_enough = n_base == 1 and (what == b"target" or (n_targets == 2 and n_with_weight < 2))
    if n_base not in (0, n_targets) and not one_is_enough:
        raise ScoringError("the graph holds a tree ensemble with another number of base values than of targets")
    transform = node.attributes.get(b"post_transform")
    if what == b"class" and n_targets == 2 and transform is not None and transform.text == b"PROBIT":
        raise ScoringError("the graph holds a tree ensemble with PROBIT for two classes: a score is undefined")


def _check_paths(below: Any, roots: Any) -> int:
    """How many splits and leaves are reached from the roots. `below` (n, 2): the two children of each, -1 for none.

    A node has one parent at most, so that what is reached from a root is a tree and no cycle.
    """
    parents = np.bincount(np.append(below[below >= 0], roots), minlength=len(below))
    if (parents > 1).any():
        raise ScoringError("the graph holds a tree ensemble in which a node has two parents")
    at, reached, levels = roots, 0, 0
    while len(at):
        check_interrupts()
        reached, levels = reached + len(at), levels + 1
        if levels > MAX_LEVELS:
            raise ScoringError(f"the graph holds a tree of more than {MAX_LEVELS} levels")
        at = below[at].ravel()
        at = at[at >= 0]
    return reached


def _n_targets(node: Node) -> int:
    given = node.attributes.get(b"n_targets")
    number = 1 if given is None or given.number is None else given.number
    if not 1 <= number <= MAX_TARGETS:
        raise ScoringError(f"the graph holds a tree ensemble of {number} targets; at most {MAX_TARGETS} are run")
    return number


def _n_classes(node: Node) -> int:
    given = [node.attributes.get(b"classlabels_" + kind) for kind in (b"strings", b"int64s")]
    numbers = [len(one.texts) + len(one.whole()) for one in given if one is not None]
    numbers = [number for number in numbers if number]
    if len(numbers) != 1 or not 2 <= numbers[0] <= MAX_TARGETS:
        raise ScoringError("the graph holds a tree ensemble that names no two classes, or names them twice")
    return numbers[0]


def _whole(node: Node, name: bytes) -> Any:
    given = node.attributes.get(name)
    return np.zeros(0, dtype=np.int64) if given is None else given.whole()


def _tensor(node: Node, name: bytes) -> Tensor:
    given = node.attributes.get(name)
    if given is None or given.tensor is None:
        raise ScoringError(f"the graph holds a tree ensemble without {name.decode()}")
    return given.tensor


def _length(node: Node, name: bytes) -> int:
    """How long a list is, whether it is written as whole numbers, as floats or as a tensor."""
    length = 0
    for given in (node.attributes.get(name), node.attributes.get(name + b"_as_tensor")):
        if given is not None:
            length += len(given.whole()) + given.n_floats + (given.tensor.n if given.tensor is not None else 0)
    return length


def _same_length(n: int, *lengths: int) -> None:
    if any(length != n for length in lengths):
        raise ScoringError("the graph holds a tree ensemble whose lists are not of one length")


def _within(values: Any, end: int) -> None:
    if len(values) and (values.min() < 0 or values.max() >= end):
        raise ScoringError("the graph holds a tree ensemble with an index that is out of range")
