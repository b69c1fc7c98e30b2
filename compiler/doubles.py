"""Searching among all doubles: rounded arithmetic has thresholds that no formula gives exactly."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

from .ir import FINITE
from .values import BoolArray, FloatArray, IntArray


def last(holds: Callable[[float], bool]) -> float | None:
    """The largest finite double where `holds`, which holds up to some point and not beyond it; None where nowhere."""
    if holds(FINITE):
        return FINITE
    if not holds(-FINITE):
        return None
    low, high = _rank(-FINITE), _rank(FINITE)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(_unrank(middle)) else (low, middle)
    return _unrank(low)


def last_of_each(holds: Callable[[FloatArray], BoolArray], count: int) -> FloatArray:
    """As `last`, for `count` conditions at once, each about the element in its place; -inf where one holds nowhere."""
    low, high = np.full(count, _rank(-FINITE)), np.full(count, _rank(FINITE))
    nowhere, everywhere = ~holds(_unranked(low)), holds(_unranked(high))
    for _ in range(64):
        middle = (low & high) + ((low ^ high) >> 1)
        fine = holds(_unranked(middle))
        low, high = np.where(fine, middle, low), np.where(fine, high, middle)
    return np.where(everywhere, FINITE, np.where(nowhere, -np.inf, _unranked(low)))


def _rank(x: float) -> int:
    """The doubles numbered in their order."""
    bits: int = struct.unpack("<q", struct.pack("<d", x))[0]
    return bits if bits >= 0 else -(bits & 0x7FFF_FFFF_FFFF_FFFF)


def _unrank(rank: int) -> float:
    x: float = struct.unpack("<d", struct.pack("<q", abs(rank)))[0]
    return x if rank >= 0 else -x


def _unranked(ranks: IntArray) -> FloatArray:
    magnitudes = np.abs(ranks).view(np.float64)
    return np.where(ranks >= 0, magnitudes, -magnitudes)
