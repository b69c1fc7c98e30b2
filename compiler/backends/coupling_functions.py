"""The reference for CouplePairwise, in numpy: libsvm's steps in libsvm's order, for all rows at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import ir

Values = npt.NDArray[Any]


def couple(node: ir.CouplePairwise, x: Values) -> Values:
    """Probabilities: (n_rows, n_classes)."""
    n = node.width
    r = np.zeros((len(x), n, n))
    for i in range(n):
        for j in range(i + 1, n):
            r[:, i, j] = x[:, node.pair(i, j)]
            r[:, j, i] = 1 - r[:, i, j]
    q = -r.transpose(0, 2, 1) * r
    for t in range(n):
        q[:, t, t] = _added(r[:, :, t] ** 2)
    p = np.full((len(x), n), 1 / n)
    active = np.ones(len(x), dtype=bool)
    for _ in range(node.max_iterations):
        products = np.stack([_added(q[:, t] * p) for t in range(n)], axis=1)
        total = _added(p * products)
        active &= np.abs(products - total[:, np.newaxis]).max(axis=1) >= node.tolerance
        if not active.any():
            break
        p = np.where(active[:, np.newaxis], _sweep(q, p, products, total), p)
    return p


def _sweep(q: Values, p: Values, products: Values, total: Values) -> Values:
    """Each class adjusted once."""
    for t in range(p.shape[1]):
        diff = (total - products[:, t]) / q[:, t, t]
        p = p.copy()
        p[:, t] += diff
        total = (total + diff * (diff * q[:, t, t] + 2 * products[:, t])) / (1 + diff) / (1 + diff)
        products = (products + diff[:, np.newaxis] * q[:, t]) / (1 + diff)[:, np.newaxis]
        p /= (1 + diff)[:, np.newaxis]
    return p


def _added(terms: Values) -> Values:
    """The columns, one after the other."""
    total = np.zeros(len(terms))
    for column in terms.T:
        total += column
    return total
