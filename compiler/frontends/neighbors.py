"""Nearest neighbours: KNeighbors*, RadiusNeighbors*, LocalOutlierFactor. Nearest centroids are in centroids.py.

scikit-learn finds neighbours with trees or by brute force, which differ where distances are equal: trees take the first
in the order of their leaves, brute force the first in the order of the training rows. Both lists of points are kept
here; where a tree has several leaves, or nearer points push out farther ones that are equally far, its choice among
equals may be another one.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.metrics._pairwise_distances_reduction import RadiusNeighborsClassMode
from sklearn.neighbors import (
    KNeighborsClassifier,
    KNeighborsRegressor,
    LocalOutlierFactor,
    RadiusNeighborsClassifier,
    RadiusNeighborsRegressor,
)

from .. import ir
from ..ir import Metric
from .builder import Builder, Frontend, Predictions
from .classes import kind, labels_of
from .classes import labels as labels_in
from .kernel_forms import dense
from .targets import from_probas, target_labels_of

METRICS = {
    **dict.fromkeys(["euclidean", "l2"], Metric.EUCLIDEAN),
    **dict.fromkeys(["manhattan", "cityblock", "l1"], Metric.MANHATTAN),
    **dict.fromkeys(["chebyshev", "infinity"], Metric.CHEBYSHEV),
    **dict.fromkeys(["minkowski", "p"], Metric.MINKOWSKI),
}
"""The names of metrics; `nan_euclidean` counts rows at a missing distance as neighbours, and is refused."""
FLOAT32_TOLERANCE = 1e-5
"""Of a mean in float32, where targets of either sign may cancel."""


def k_neighbors_classifier(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The shares of the classes among the neighbours; the first of the largest is the label."""
    shares = builder.add(_nearest(estimator, columns, builder, _one_hot(estimator), estimator.n_neighbors))
    # All neighbours beyond the doubles have weight 0, which scikit-learn refuses.
    return _classes(estimator, builder.finite(shares), builder)


def k_neighbors_regressor(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The mean of the neighbours' targets."""
    _say_digits(estimator, builder)
    node = _nearest(estimator, columns, builder, _targets(estimator), estimator.n_neighbors)
    return Predictions(ir.ModelKind.REGRESSOR, builder.add(node))


def radius_neighbors_regressor(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The mean of all within the radius. Without any it is NaN, which an integer target makes the least integer."""
    _say_digits(estimator, builder)
    with np.errstate(invalid="ignore"):
        fallback = np.full_like(np.atleast_2d(_raw_targets(estimator))[0], np.nan).astype(float)
    node = _nearest(estimator, columns, builder, _targets(estimator), 0, fallback)
    return Predictions(ir.ModelKind.REGRESSOR, builder.add(node))


def _say_digits(estimator: Any, builder: Builder) -> None:
    """numpy takes the mean of float32 in float32; weights make it one of doubles."""
    dtype = estimator._y.dtype
    if estimator.weights == "distance" or dtype.kind != "f" or dtype.itemsize >= np.dtype(np.float64).itemsize:
        return
    if dtype != np.float32:
        builder.refuse(f"its targets are {dtype.name}, in which the mean has few digits", "train on float64 targets")
    builder.approximate(FLOAT32_TOLERANCE, "scikit-learn takes the mean of float32 targets in float32")


def radius_neighbors_classifier(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The shares of the classes of all within the radius; without any, the label for outliers, or a refused row."""
    classes = estimator.classes_ if estimator.outputs_2d_ else [estimator.classes_]
    outlier = estimator.outlier_label_
    # The largest difference skips a missing one; every other distance is missing, and the row has no neighbour.
    if _unchecked(estimator) and (outlier is not None or METRICS.get(estimator.effective_metric_) is Metric.CHEBYSHEV):
        builder.refuse(
            "with algorithm='brute' on arrays of doubles scikit-learn scores rows that have missing values, and takes "
            "outlier_label for the number of a class",
            "train it with algorithm='kd_tree', which finds the same neighbours",
        )
    if outlier is None:
        fallback = np.full(sum(map(len, classes)), math.nan)
    else:
        fallback = np.concatenate([(c == label).astype(float) for c, label in zip(classes, outlier, strict=True)])
    node = _nearest(estimator, columns, builder, _one_hot(estimator), 0, fallback)
    shares = builder.finite(builder.add(node))
    if outlier is None or all(label in set(c.tolist()) for c, label in zip(classes, outlier, strict=True)):
        return _classes(estimator, shares, builder)
    if estimator.outputs_2d_:
        builder.refuse("its outlier_label is no class of each target", "use 'most_frequent'")
    names = labels_in(np.append(estimator.classes_, outlier[0]))
    found = builder.add(ir.Step(builder.add(ir.Reduce(shares))))
    none = builder.add(ir.Constant((), np.array([float(len(names) - 1)])))
    label = builder.add(ir.Select(found + builder.add(ir.ArgMax(shares)) + none))
    return Predictions(kind(names[:-1]), label, names, proba=shares)


def _unchecked(estimator: Any) -> bool:
    """Whether scikit-learn 1.9 may count classes in RadiusNeighborsClassMode, which no check of the rows precedes.

    It does so for arrays of doubles alone. A model of a data frame's columns gets a data frame.
    """
    return (
        estimator._tree is None
        and estimator.weights == "uniform"
        and not estimator.outputs_2d_
        and not hasattr(estimator, "feature_names_in_")
        and estimator._fit_X.dtype == np.float64
        and RadiusNeighborsClassMode.is_usable_for(estimator._fit_X, estimator._fit_X, estimator.effective_metric_)
    )


def local_outlier_factor(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The neighbours' mean density over the row's own, negative, less the offset.

    A row so far away that its distance is infinite has the score -infinity.
    """
    if not estimator.novelty:
        builder.refuse("novelty=False scores the training rows only", "train it with novelty=True")
    reach = np.asarray(estimator._distances_fit_X_[:, -1], dtype=float)
    density = np.asarray(estimator._lrd, dtype=float)[:, np.newaxis]
    node = _nearest(estimator, columns, builder, density, estimator.n_neighbors_, reach=reach)
    near, far = ((ref,) for ref in builder.add(node))
    lost = builder.add(ir.Step(far, ir.FINITE))
    one = builder.add(ir.Constant((), np.ones(1)))
    reached = builder.add(ir.Select(lost + one + builder.add(ir.Clip(far, 0.0, ir.FINITE))))
    own = builder.add(ir.Divide(one + builder.add(ir.MultiplyAdd(reached, np.ones(1), np.full(1, 1e-10)))))
    factor = builder.add(ir.Divide(near + own))
    score = builder.add(ir.MultiplyAdd(factor, -np.ones(1), np.full(1, -float(estimator.offset_))))
    lowest = builder.add(ir.Constant((), np.array([-math.inf])))
    decision = builder.add(ir.Select(lost + lowest + score))
    label = builder.add(ir.Step(decision, inclusive=True))
    return Predictions(ir.ModelKind.OUTLIER_DETECTOR, label, labels=(-1, 1), decision=decision)


def _nearest(  # noqa: PLR0913, PLR0917 - what differs between the estimators
    estimator: Any,
    columns: ir.Block,
    builder: Builder,
    values: ir.FloatArray,
    count: int,
    fallback: ir.FloatArray | None = None,
    reach: ir.FloatArray | None = None,
) -> ir.Neighbors:
    """The node: its points in the order in which scikit-learn meets them, and what each says."""
    weights = getattr(estimator, "weights", "uniform")
    if weights not in {None, "uniform", "distance"}:
        builder.refuse("its weights are a function of Python", "use 'uniform' or 'distance'")
    metric, power = _metric(estimator, builder)
    points = dense(estimator._fit_X)
    if count > len(points):
        builder.refuse(f"it asks for {count} neighbours of {len(points)} rows", "lower n_neighbors")
    if max(np.abs(points).max(), np.abs(values).max(), 0.0) > 1e150:
        builder.refuse("it was trained on numbers beyond 1e150", "rescale them")
    brute = estimator._tree is None
    order = np.arange(len(points)) if brute else np.asarray(estimator._tree.get_arrays()[1])
    # ArgKmin starts from the largest double, trees from infinity. Other brute force has no order of infinite distances.
    heap = brute and not issparse(estimator._fit_X) and estimator._fit_X.dtype == np.float64
    limit = ir.FINITE
    if brute and not heap and count:
        by = power if metric is Metric.MINKOWSKI else 2.0
        limit = (ir.FINITE / len(columns)) ** (1 / by) / 4
    node = ir.Neighbors(
        builder.finite(columns, limit=limit, own=limit < ir.FINITE),
        points[order],
        values[order],
        count,
        math.nan if count else float(estimator.radius),
        metric,
        power,
        by_distance=weights == "distance",
        fallback=np.zeros(0) if fallback is None else fallback,
        reach=np.zeros(0) if reach is None else reach[order],
        beyond=int(np.flatnonzero(order == 0)[0]),
    )
    if heap:
        node = replace(node, far=ir.FINITE ** (1 / node.rank_power))
    if brute and node.by_distance and metric is Metric.EUCLIDEAN:
        # It takes them from squared norms: a row is 1e-7 away from itself, now more, now less.
        builder.refuse(
            "algorithm='brute' computes Euclidean distances in half the digits, and weights by them",
            "train it with algorithm='kd_tree', which finds the same neighbours",
        )
    return node


def _metric(estimator: Any, builder: Builder) -> tuple[Metric, float]:
    """The metric, and its power."""
    name, params = estimator.effective_metric_, dict(estimator.effective_metric_params_)
    metric = METRICS.get(name) if isinstance(name, str) else None
    if metric is None:
        shown = repr(name) if isinstance(name, str) else "a function"
        builder.refuse(f"its metric is {shown}", "use euclidean, manhattan, chebyshev or minkowski")
    power = float(params.pop("p", 2.0)) if metric is Metric.MINKOWSKI else 2.0
    if any(value is not None for value in params.values()):
        builder.refuse(f"its metric has the parameters {', '.join(params)}", "scale the columns instead")
    return metric, power


def _raw_targets(estimator: Any) -> ir.FloatArray:
    y = dense(estimator._y) if issparse(estimator._y) else np.asarray(estimator._y)
    return y if y.ndim == 2 else y[:, np.newaxis]


def _targets(estimator: Any) -> ir.FloatArray:
    """(n_points, n_targets)."""
    return _raw_targets(estimator).astype(float)


def _one_hot(estimator: Any) -> ir.FloatArray:
    """(n_points, n_classes), the classes of all targets side by side."""
    codes = _raw_targets(estimator)
    classes = estimator.classes_ if estimator.outputs_2d_ else [estimator.classes_]
    return np.hstack([codes[:, [k]] == np.arange(len(c)) for k, c in enumerate(classes)]).astype(float)


def _classes(estimator: Any, shares: ir.Block, builder: Builder) -> Predictions:
    if estimator.outputs_2d_:
        return from_probas(builder, target_labels_of(estimator, builder), shares)
    names = labels_of(estimator, builder)
    return Predictions(kind(names), builder.add(ir.ArgMax(shares)), names, proba=shares)


FRONTENDS: dict[type, Frontend] = {
    KNeighborsClassifier: k_neighbors_classifier,
    KNeighborsRegressor: k_neighbors_regressor,
    RadiusNeighborsClassifier: radius_neighbors_classifier,
    RadiusNeighborsRegressor: radius_neighbors_regressor,
    LocalOutlierFactor: local_outlier_factor,
}

_WEIGHTS = (
    "metrics and weights that are functions are refused, and weights='distance' by brute force in Euclidean space"
)
_RADIUS = f"{_WEIGHTS}; a ball tree may leave out a training row that lies at the radius exactly"
_FLOAT32 = "within 1e-5 where targets are float32, whose mean scikit-learn takes in float32"
_EQUALS = f"equally near rows may be chosen otherwise; {_WEIGHTS}"
NOTES: dict[type, str] = {
    KNeighborsClassifier: _EQUALS,
    KNeighborsRegressor: f"{_EQUALS}; {_FLOAT32}",
    RadiusNeighborsClassifier: (
        f"{_RADIUS}; refused on arrays, by brute force, in a metric that is not Euclidean: there scikit-learn confuses "
        "labels for outliers with numbers of classes, and scores missing values"
    ),
    RadiusNeighborsRegressor: f"{_RADIUS}; {_FLOAT32}",
    LocalOutlierFactor: "with novelty=True; equally near rows may be chosen otherwise",
}
