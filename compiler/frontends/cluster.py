"""KMeans and MiniBatchKMeans: the nearest centre."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans

from .. import ir
from .builder import Builder, Frontend, Predictions


def k_means(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The first centre c with the smallest |c|² - 2 c·x, which orders centres as their distance to x does.

    It is also how scikit-learn computes it; the square of x, the same for all centres, would only lose digits.
    """
    centers = np.asarray(estimator.cluster_centers_)
    if centers.dtype != np.float64:
        builder.refuse(f"trained on {centers.dtype.name}, it cannot predict rows of doubles", "train on float64")
    if not np.isfinite(centers).all():
        builder.refuse("its centres are not finite", "train again on finite data")
    nearness = builder.add(ir.Affine(builder.finite(columns), 2 * centers, -np.einsum("ij,ij->i", centers, centers)))
    return Predictions(ir.ModelKind.CLUSTERER, builder.add(ir.ArgMax(nearness)))


FRONTENDS: dict[type, Frontend] = {
    KMeans: k_means,
    MiniBatchKMeans: k_means,
}
