"""What may be known of one column, and the ends of the doubles that matter."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

SMALLEST = math.ulp(0.0)
"""The smallest double above 0, 2^-1074."""
FLOAT32_SMALLEST = 2.0**-149
"""The smallest float32 above 0."""
UNDERFLOW = 2 * SMALLEST
"""A product or quotient of at least this magnitude cannot round to 0."""
EXP_LOW, EXP_HIGH = -708.0, 709.78
"""exp of a number in between is a normal double; PostgreSQL raises on results that are denormal, 0 or infinite."""
EXP2_LOW, EXP2_END = -1074.0, 1024.0
"""2 to the power of a number from the first to below the second is a double that is not 0."""
SLACK = 1 + 1e-12
"""Widens computed ranges: sums round."""


@dataclass(frozen=True)
class Fact:
    """What holds for a column in each row that is not refused.

    A value that is not missing lies in [low, high], and is 0 or at least `tiny` in magnitude. `null` and `nan` say
    whether it may be missing as a NULL, and as a NaN.
    """

    low: float = -math.inf
    high: float = math.inf
    null: bool = False
    nan: bool = False
    tiny: float = SMALLEST

    @property
    def missing(self) -> bool:
        """Whether the value may be missing."""
        return self.null or self.nan

    def present(self) -> Fact:
        """The same, not missing."""
        return replace(self, null=False, nan=False)


def at_least_tiny(magnitude: float) -> float:
    """The magnitude as a `Fact.tiny`: no double but 0 is smaller than the smallest."""
    return max(magnitude, SMALLEST)
