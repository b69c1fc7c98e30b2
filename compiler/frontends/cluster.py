"""Clusters with a centre: KMeans and its kin, Birch, MeanShift, AffinityPropagation. A row belongs to the nearest."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.cluster import AffinityPropagation, Birch, BisectingKMeans, KMeans, MeanShift, MiniBatchKMeans

from .. import ir
from .builder import Builder, Frontend, Predictions
from .kernel_forms import dense


def k_means(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The nearest centre; `transform` gives the distances from all of them."""
    _require_doubles(estimator, builder)
    centers = _centers(estimator.cluster_centers_, builder)
    columns = builder.finite(columns)
    nearest = builder.add(ir.ArgMax(_nearness(columns, centers, _squares(centers), builder)))
    return _with_distances(nearest, columns, centers, builder)


def bisecting_k_means(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """Down the tree of bisections, at each one to the nearer of two centres, to the left on a tie.

    The nearness of each centre is rounded before two are compared, as in scikit-learn: the sign of a difference of two
    doubles is exact.
    """
    _require_doubles(estimator, builder)
    columns = builder.finite(columns)
    nodes = [estimator._bisecting_tree]
    left: list[int] = []
    for node in nodes:
        left.append(-1 if node.left is None else len(nodes))
        nodes += [] if node.left is None else [node.left, node.right]
    inner = [i for i, child in enumerate(left) if child >= 0]
    children = [nodes[left[i] + side] for side in (0, 1) for i in inner]
    feature, value = np.full(len(nodes), -1), np.array([[float(getattr(node, "label", 0))] for node in nodes])
    feature[inner] = range(len(inner))
    differences: ir.Block = ()
    if inner:
        centers = _centers(np.array([node.center for node in children]) + getattr(estimator, "_X_mean", 0.0), builder)
        nearness = _nearness(columns, centers, _squares(centers), builder)
        signs = np.hstack([-np.eye(len(inner)), np.eye(len(inner))])
        differences = builder.add(ir.Affine(nearness, signs, np.zeros(len(inner))))
    forest = ir.Forest(
        roots=np.zeros(1, dtype=np.int64),
        feature=feature,
        threshold=np.zeros(len(nodes)),
        left=np.array(left),
        right=np.array([child + 1 if child >= 0 else -1 for child in left]),
        missing_left=np.zeros(len(nodes), dtype=bool),
        value=np.where(feature[:, np.newaxis] < 0, value, 0.0),
        output=np.full(1, -1),
        category_set=np.full(len(nodes), -1),
    )
    cluster = builder.add(ir.Trees(differences, forest, np.zeros(1)))
    return _with_distances(cluster, columns, _centers(estimator.cluster_centers_, builder), builder)


def birch(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The label of the nearest subcluster; `transform` gives the distances from all of them."""
    centers, labels = _centers(estimator.subcluster_centers_, builder), estimator.subcluster_labels_
    columns = builder.finite(columns)
    nearest = _nearest(columns, centers, np.asarray(estimator._subcluster_norms, dtype=np.float64), builder)
    cluster = builder.add(ir.Lookup(nearest, np.asarray(labels, dtype=np.float64).reshape(-1, 1), np.full(1, -1.0)))
    return Predictions(ir.ModelKind.CLUSTERER, cluster, transform=_distances(columns, centers, builder))


def nearest_center(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The nearest centre; -1 where AffinityPropagation has not converged and has none."""
    if getattr(estimator, "affinity", None) == "precomputed":
        builder.refuse("affinity='precomputed' cannot predict", "train with affinity='euclidean'")
    columns = builder.finite(columns)
    if not estimator.cluster_centers_.shape[0]:
        return Predictions(ir.ModelKind.CLUSTERER, builder.add(ir.Constant((), np.full(1, -1.0))))
    centers = _centers(estimator.cluster_centers_, builder)
    return Predictions(ir.ModelKind.CLUSTERER, _nearest(columns, centers, _squares(centers), builder))


def _with_distances(cluster: ir.Block, columns: ir.Block, centers: ir.FloatArray, builder: Builder) -> Predictions:
    """KMeans and its kin. The distance to the nearest centre is made of differences: next to one it has digits too."""
    transform = _distances(columns, centers, builder)
    n_centers, n_columns = centers.shape
    differences = builder.add(ir.Affine(columns, np.tile(np.eye(n_columns), (n_centers, 1)), -centers.ravel()))
    squares = builder.add(ir.Multiply(differences + differences))
    of_one: ir.FloatArray = np.repeat(np.eye(n_centers), n_columns, axis=1)
    sums = builder.add(ir.Affine(squares, of_one, np.zeros(n_centers)))
    smallest = builder.add(ir.Reduce(sums, ir.Reduction.MIN))
    distance = builder.add(ir.Elementwise(smallest, ir.Op.SQRT))
    return Predictions(ir.ModelKind.CLUSTERER, cluster, transform=transform, distance=distance)


def _nearness(columns: ir.Block, centers: ir.FloatArray, squares: ir.FloatArray, builder: Builder) -> ir.Block:
    """2 c·x - |c|² for each centre c, which orders centres as their distance from x does: KMeans' own form."""
    return builder.add(ir.Affine(columns, 2 * centers, -squares))


def _nearest(columns: ir.Block, centers: ir.FloatArray, squares: ir.FloatArray, builder: Builder) -> ir.Block:
    """The position of the nearest centre, as sklearn.metrics.pairwise_distances_argmin finds it.

    It adds |x|², the same for all centres, and no distance is below 0: on rows far from all centres, where the square
    leaves no digits for the rest, all are equally near and the first one wins.
    """
    squared = _squared_distances(columns, centers, squares, builder)
    return builder.add(ir.ArgMax(builder.add(ir.Elementwise(squared, ir.Op.NEGATIVE))))


def _distances(columns: ir.Block, centers: ir.FloatArray, builder: Builder) -> ir.Block:
    squared = _squared_distances(columns, centers, _squares(centers), builder)
    return builder.add(ir.Elementwise(squared, ir.Op.SQRT))


def _squared_distances(columns: ir.Block, centers: ir.FloatArray, squares: ir.FloatArray, builder: Builder) -> ir.Block:
    """|x|² - 2 c·x + |c|², at least 0, as sklearn.metrics.euclidean_distances expands it.

    On Fisher's irises, on wines and on tumours, raw and scaled, with 3 to 20 centres, half of all distances are bit
    equal so, and fewer as sqrt(Σ (x - c)²); next to a centre both are as far off as scikit-learn's own cancellation.
    """
    products = builder.add(ir.Multiply(columns + columns))
    weights = np.hstack([-2 * centers, np.ones_like(centers)])
    return builder.add(ir.Clip(builder.add(ir.Affine(columns + products, weights, squares)), 0.0, np.inf))


def _squares(centers: ir.FloatArray) -> ir.FloatArray:
    squares: ir.FloatArray = np.einsum("ij,ij->i", centers, centers)
    return squares


def _centers(centers: Any, builder: Builder) -> ir.FloatArray:
    """The centres, of AffinityPropagation perhaps a sparse matrix."""
    found = dense(centers)
    if not np.isfinite(found).all():
        builder.refuse("its centres are not finite", "train again on finite data")
    return found


def _require_doubles(estimator: Any, builder: Builder) -> None:
    """The compiled loop of KMeans.predict raises ValueError where rows and centres are of two types."""
    centers = estimator.cluster_centers_
    if centers.dtype != np.float64:
        builder.refuse(f"trained on {centers.dtype.name}, it cannot predict rows of doubles", "train on float64")


FRONTENDS: dict[type, Frontend] = {
    KMeans: k_means,
    MiniBatchKMeans: k_means,
    BisectingKMeans: bisecting_k_means,
    Birch: birch,
    MeanShift: nearest_center,
    AffinityPropagation: nearest_center,
}

_CANCELS = "in the middle of a pipeline, distances below a millionth of |x| are scikit-learn's rounding noise"

NOTES: dict[type, str] = {
    KMeans: f"trained on float32 is refused; {_CANCELS}",
    MiniBatchKMeans: f"trained on float32 is refused; {_CANCELS}",
    BisectingKMeans: f"trained on float32 is refused; {_CANCELS}",
    Birch: _CANCELS,
    AffinityPropagation: "affinity='precomputed' is refused",
}
