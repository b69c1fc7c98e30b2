"""Whether the trees in a file of XGBoost's are what their numbers say.

XGBoost follows the numbers in its JSON or UBJSON while it loads them: a false size of a leaf or of a set of categories
leads it beyond its arrays, up to the end of the process.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .ir import IntArray

_HARM = "it is damaged or made to do harm"
_NO_PARENT = (-1, 2**31 - 1)
_MOST = 2**16
"""Of features, classes and targets: XGBoost makes room for them before it looks at a tree."""


def check(model: Any) -> None:
    """Raises ValueError unless every number in the parsed file that XGBoost follows leads to a place in its lists."""
    try:
        learner = model["learner"]
        parameters, booster = learner["learner_model_param"], learner["gradient_booster"]
        for name in ("num_feature", "num_class", "num_target"):
            _require(0 <= int(parameters.get(name, 0)) <= _MOST, f"{name} is not between 0 and {_MOST}")
        if booster["name"] != "gblinear":
            for number, tree in enumerate(booster.get("gbtree", booster)["model"]["trees"]):
                _check_tree(tree, number)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{_HARM}: {type(error).__name__}: {error}") from error


def _check_tree(tree: Any, number: int) -> None:
    width = int(tree["tree_param"]["size_leaf_vector"])
    if width not in (0, 1):
        raise ValueError(
            f"tree {number} says that a leaf holds {width} numbers; pgscore takes trees of"
            ' multi_strategy="one_output_per_tree" alone'
        )
    left, right, parent = (_whole(tree[name]) for name in ("left_children", "right_children", "parents"))
    n, fit = len(left), f"of tree {number} does not fit its lists"
    inner = np.flatnonzero(left != -1)
    _require(n == int(tree["tree_param"]["num_nodes"]) > 0 and int(tree["id"]) == number, f"the name or size {fit}")
    _require(len(right) == len(parent) == n, f"a child or a parent {fit}")
    children = np.concatenate([left[inner], right[inner]])
    _require(bool(np.all((children > 0) & (children < n))), f"a child {fit}")
    _require(np.array_equal(parent[children], np.concatenate([inner, inner])), f"a parent {fit}")
    # Nodes that were pruned keep theirs.
    _require(parent[0] in _NO_PARENT and bool(np.all((parent[1:] >= 0) & (parent[1:] < n))), f"a parent {fit}")
    if "split_type" in tree:  # not before XGBoost 1.3
        _check_sets(tree, np.flatnonzero(_whole(tree["split_type"]) == 1), fit)


def _check_sets(tree: Any, by_category: IntArray, fit: str) -> None:
    """The splits by category, in order, each with a stretch of `categories`."""
    nodes, begin, size = (_whole(tree[f"categories_{name}"]) for name in ("nodes", "segments", "sizes"))
    _require(np.array_equal(nodes, by_category), f"categories_nodes {fit}")
    _require(len(begin) == len(size) == len(nodes), f"categories_segments or categories_sizes {fit}")
    categories = _whole(tree["categories"])
    inside = (begin >= 0) & (size >= 0) & (begin <= len(categories) - size)
    _require(bool(inside.all()), f"categories_segments or categories_sizes {fit}")
    _require(bool(np.all(categories >= 0)), f"a category {fit}")


def _whole(values: Any) -> IntArray:
    """A list of whole numbers (n,)."""
    found = np.asarray(values)
    _require(found.ndim == 1 and (not len(found) or np.can_cast(found.dtype, np.int64)), "a list of indices is none")
    return found.astype(np.int64)


def _require(sound: bool, what: str) -> None:
    if not sound:
        raise ValueError(f"{_HARM}: {what}")
