"""Trees of neighbours from a file of unknown origin: sound where they are what scikit-learn builds of their points.

KDTree and BallTree follow their indices without a look, as decision trees do. Building one is deterministic, so a tree
that differs in any index from a fresh one over the same points was damaged, or made to do harm.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import DistanceMetric
from sklearn.neighbors import BallTree, KDTree
from sklearn.neighbors._base import NeighborsBase

_METRICS = {
    "EuclideanDistance64": "euclidean",
    "ManhattanDistance64": "manhattan",
    "ChebyshevDistance64": "chebyshev",
    "MinkowskiDistance64": "minkowski",
}

TREE_TYPES = frozenset(
    {
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neighbors._ball_tree.BallTree",
        *(f"sklearn.metrics._dist_metrics.{name}" for name in _METRICS),
    }
)
"""What skops does not trust of a model of neighbours, and `is_sound` covers."""

KERNEL_TYPES = frozenset(
    f"sklearn.gaussian_process.kernels.{name}"
    for name in (
        "ConstantKernel",
        "DotProduct",
        "ExpSineSquared",
        "Exponentiation",
        "Matern",
        "Product",
        "RBF",
        "RationalQuadratic",
        "Sum",
        "WhiteKernel",
    )
)
"""Kernels of Gaussian processes: plain Python, which does nothing before it is called with numbers."""

CONTENT = slice(0, 7)
"""What the answers hang on in the state of a tree: points, order, nodes, bounds, sizes. Counters follow, and more."""
METRIC, WEIGHTS = 11, 12


def is_tree(part: object) -> bool:
    """Whether `is_sound` knows this kind of object."""
    return isinstance(part, (KDTree, BallTree, DistanceMetric, NeighborsBase))


def is_sound(part: Any) -> bool:
    """Whether a tree is the one that its points make; a metric, one of its kind; a model's class numbers, in range."""
    if isinstance(part, DistanceMetric):
        return _metric(part) is not None
    if isinstance(part, NeighborsBase):
        return _classes_are_sound(part)
    state = part.__getstate__()
    metric, points = _metric(state[METRIC]), np.asarray(state[0])
    if metric is None or state[WEIGHTS] is not None or not np.isfinite(points).all() or state[4] < 1:
        return False
    try:
        fresh = type(part)(points, leaf_size=state[4], metric=metric)
    except ValueError:
        return False
    return all(np.array_equal(a, b) for a, b in zip(state[CONTENT], fresh.__getstate__()[CONTENT], strict=True))


def _metric(given: Any) -> DistanceMetric | None:
    """A metric of one's own making with the parameters of the given one; None where that holds more than a power."""
    name = type(given).__name__
    if name not in _METRICS:
        return None
    power, weights, matrix = given.__getstate__()
    power = float(power)
    made = DistanceMetric.get_metric(_METRICS[name], **({"p": power} if name.startswith("Minkowski") else {}))
    _, plain_weights, plain_matrix = made.__getstate__()
    same = np.array_equal(weights, plain_weights) and np.array_equal(matrix, plain_matrix)
    return made if same else None


def _classes_are_sound(model: Any) -> bool:
    """Whether each row's class is one of the model's: the brute force counts them without a look."""
    if not hasattr(model, "classes_"):
        return True
    codes = np.asarray(model._y)
    codes = codes if codes.ndim == 2 else codes[:, np.newaxis]
    classes = model.classes_ if model.outputs_2d_ else [model.classes_]
    return len(classes) == codes.shape[1] and all(
        codes.dtype.kind == "i" and bool(np.all((column >= 0) & (column < len(c))))
        for column, c in zip(codes.T, classes, strict=True)
    )
