"""EllipticEnvelope: how far a row lies from the bulk of the data, in units of its covariance."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.covariance import EllipticEnvelope

from .. import ir
from .builder import Builder, Frontend, Predictions


def elliptic_envelope(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """-(x - m)·P (x - m) - offset_, with P the precision matrix; at least 0 is an inlier."""
    precision, location = estimator.get_precision(), estimator.location_
    if not (np.isfinite(precision).all() and np.isfinite(location).all() and np.isfinite(estimator.offset_)):
        builder.refuse("its covariance is not finite", "train on columns that vary")
    centred = builder.add(ir.Standardize(builder.finite(columns), location, np.ones(len(columns))))
    turned = builder.add(ir.Affine(centred, precision.T, np.zeros(len(columns))))
    terms = builder.add(ir.Multiply(centred + turned))
    decision = builder.add(ir.Affine(terms, np.full((1, len(columns)), -1.0), np.array([-estimator.offset_])))
    inlier = builder.add(ir.Step(decision, inclusive=True))
    return Predictions(ir.ModelKind.OUTLIER_DETECTOR, inlier, (-1, 1), decision=decision)


FRONTENDS: dict[type, Frontend] = {EllipticEnvelope: elliptic_envelope}
