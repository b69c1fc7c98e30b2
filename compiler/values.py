"""What the nodes of a program are made of: frozen arrays, and equality by content; and a fair choice of values."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


def frozen(
    values: npt.ArrayLike, dtype: npt.DTypeLike = np.float64, ndim: int | None = None
) -> npt.NDArray[np.generic]:
    """A read-only contiguous copy of `values`, or what is one; raises ValueError unless it has `ndim` dimensions."""
    is_frozen = isinstance(values, np.ndarray) and values.base is None and not values.flags.writeable
    array = np.array(values, dtype=dtype, order="C", copy=None if is_frozen else True)
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"expected {ndim} dimensions, got {array.ndim}")
    array.flags.writeable = False
    return array


def evenly(values: Sequence[T], count: int) -> list[T]:
    """At most `count` of the values, spread evenly, ends included."""
    if len(values) <= count:
        return list(values)
    return [values[round(i * (len(values) - 1) / max(count - 1, 1))] for i in range(max(count, 0))]


def _same(left: object, right: object) -> bool:
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        equal_nan = left.dtype.kind == "f"
        return left.dtype == right.dtype and np.array_equal(left, right, equal_nan=equal_nan)
    return left == right or (isinstance(left, float) and isinstance(right, float) and left != left and right != right)


class Value:
    """Equality field by field, also where a field is an array or NaN."""

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(_same(getattr(self, f.name), getattr(other, f.name)) for f in dataclasses.fields(self))  # type: ignore[arg-type]

    __hash__ = None  # type: ignore[assignment]
