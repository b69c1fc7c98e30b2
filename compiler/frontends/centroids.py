"""NearestCentroid: the class whose centre is nearest, or likeliest where classes differ in their prior probability."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn.neighbors import NearestCentroid

from .. import ir
from .builder import Builder, Frontend, Predictions
from .classes import kind, labels_of

SQUARED = math.sqrt(ir.FINITE)
"""Coordinates beyond it have no square; scikit-learn has no score for such rows, and takes the first class."""
ROUNDING = 16 * float(np.finfo(np.float64).eps)
"""What the mean of equal numbers may differ from them by, relative."""
HUGE = 1e280
"""Still without a square in units of any spread, and a double in units of a small one."""


def nearest_centroid(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """By the distance as such where all priors are alike; else by -distance² + 2 ln prior, in units of the spread.

    The scores give probabilities too, of the Euclidean metric. Squared distances are sums of squares: far from all
    centres these round to the same number for each class, as they do in scikit-learn.
    """
    names = labels_of(estimator, builder)
    n = len(names)
    prior = np.asarray(estimator.class_prior_, dtype=float)
    if len(prior) != n:
        builder.refuse(f"it has {len(prior)} priors for {n} classes", "give each class its prior")
    if not (prior > 0).all():
        builder.refuse("a class has the prior probability 0", "leave the class out")
    rows = builder.finite(columns)
    centres, known = np.asarray(estimator.centroids_, dtype=float), np.ravel(estimator.within_class_std_dev_)
    spread = np.where(known != 0, known, 1.0)
    euclidean = estimator.metric == "euclidean"
    uniform = bool(np.isclose(prior, 1 / n).all())
    scores: ir.Block = ()
    scaled: ir.Block = ()
    if euclidean or not uniform:
        if ((known > 0) & (known <= ROUNDING * np.abs(centres).max(axis=0))).any():
            builder.refuse("a column is constant within each class but for rounding", "leave the column out")
        scaled = builder.add(ir.Clip(rows, -HUGE, HUGE))
        scaled = builder.add(ir.Standardize(scaled, np.zeros(len(rows)), spread))
        distances = _distances(builder, scaled, centres / spread, squares=euclidean)
        if not euclidean:
            distances = builder.add(ir.Multiply(distances + distances))
        scores = builder.add(ir.MultiplyAdd(distances, np.full(n, -1.0), 2 * np.log(prior)))
    if uniform:
        distances = _distances(builder, rows, centres, squares=euclidean)
        label = builder.add(ir.ArgMax(builder.add(ir.MultiplyAdd(distances, np.full(n, -1.0), np.zeros(n)))))
    else:
        label = builder.add(ir.ArgMax(scores))
    if not euclidean:
        return Predictions(kind(names), label, names)
    magnitudes = builder.add(ir.Elementwise(scaled, ir.Op.ABS))
    lost = builder.add(ir.Step(builder.add(ir.Reduce(magnitudes)), SQUARED))
    decision = scores
    if n == 2:
        decision = builder.add(ir.Affine(scores, np.array([[-1.0, 1.0]]), np.zeros(1)))
    decision = _where(builder, lost, math.nan if n == 2 else -math.inf, decision)
    proba = _where(builder, lost, math.nan, builder.add(ir.Softmax(scores)))
    return Predictions(kind(names), label, names, proba=proba, decision=decision)


def _distances(builder: Builder, rows: ir.Block, centres: ir.FloatArray, *, squares: bool) -> ir.Block:
    """One column for each centre: the squared distance, or the sum of absolute differences.

    Where a square would be no double all centres are equally far anyway.
    """
    n, width = centres.shape
    farthest = SQUARED / 4 / width
    rows = builder.add(ir.Clip(rows, -farthest, farthest))
    differences = builder.add(ir.Standardize(rows * n, centres.ravel(), np.ones(n * width)))
    if squares:
        parts = builder.add(ir.Multiply(differences + differences))
    else:
        parts = builder.add(ir.Elementwise(differences, ir.Op.ABS))
    return builder.add(ir.Affine(parts, np.repeat(np.eye(n), width, axis=1), np.zeros(n)))


def _where(builder: Builder, lost: ir.Block, instead: float, columns: ir.Block) -> ir.Block:
    """`instead` for rows that are too far away for a score."""
    width = len(columns)
    constant = builder.add(ir.Constant((), np.full(width, instead)))
    return builder.add(ir.Select(lost * width + constant + columns))


FRONTENDS: dict[type, Frontend] = {NearestCentroid: nearest_centroid}
