"""Arithmetic across columns where some may be missing: a sum over a missing value would refuse the row."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import ir
from .builder import Builder


def around_gaps(columns: ir.Block, builder: Builder, apply: Callable[[ir.Block], ir.Block]) -> ir.Block:
    """apply(columns), one column for each, but missing where the column is; `apply` sees 0 there."""
    result = apply(builder.add(ir.Impute(columns, np.zeros(len(columns)))))
    gaps = builder.add(ir.Constant((), np.full(len(columns), np.nan)))
    return builder.add(ir.Select(builder.add(ir.IsMissing(columns)) + gaps + result))
