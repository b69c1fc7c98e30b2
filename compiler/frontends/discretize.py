"""KBinsDiscretizer: which bin a number falls into, as a step function."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.preprocessing import KBinsDiscretizer

from .. import ir
from .builder import Builder, Frontend


def k_bins_discretizer(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """The number of inner edges that are at most x, or a column of 0 and 1 for each bin."""
    if estimator.dtype is not None and np.dtype(estimator.dtype) != np.float64:
        builder.refuse(
            f"dtype={np.dtype(estimator.dtype).name} makes later steps compute in that type", "use dtype=np.float64"
        )
    result: list[ir.Ref] = []
    for column, edges in zip(builder.finite(columns), estimator.bin_edges_, strict=True):
        inner = np.asarray(edges, dtype=np.float64)[1:-1]
        knots = np.unique(inner)
        codes = np.concatenate([[0], np.searchsorted(inner, knots, side="right")])
        values = codes[:, np.newaxis].astype(np.float64)
        if estimator.encode != "ordinal":
            values = np.equal(values, np.arange(len(inner) + 1)).astype(np.float64)
        result += builder.add(ir.Piecewise((column,), knots, np.zeros(len(codes)), values[:, :, np.newaxis]))
    return tuple(result)


FRONTENDS: dict[type, Frontend] = {
    KBinsDiscretizer: k_bins_discretizer,
}

NOTES: dict[type, str] = {
    KBinsDiscretizer: "dtype=float32 is refused",
}
