"""What an input column can hold in the rows that a program is for."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

Scalar = float | str
"""A value of a column that is not missing: an int or a double (a boolean is 0 or 1), or a text."""


@dataclass(frozen=True)
class Domain:
    """The values of a column: numbers in [low, high], or texts; with `among` only these, and never one of `excluded`.

    `null` and `nan` say whether it may be missing, as a NULL and as a NaN. Bounds of whole numbers may be ints: a
    bigint can lie between two doubles.
    """

    low: float = -math.inf
    high: float = math.inf
    among: tuple[Scalar, ...] | None = None
    excluded: frozenset[Scalar] = frozenset()
    null: bool = True
    nan: bool = True

    @property
    def missing(self) -> bool:
        """Whether the value may be missing."""
        return self.null or self.nan

    @property
    def empty(self) -> bool:
        """Whether no value is in it, not even a missing one."""
        return not self.missing and (self.among == () or self.low > self.high)

    def admits(self, value: object) -> bool:
        """Whether a row may hold the value: a number, a boolean, a text, or None."""
        if value is None:
            return self.null
        if isinstance(value, float) and math.isnan(value):
            return self.nan
        if not isinstance(value, int | float | str):
            return False
        if (self.among is not None and value not in self.among) or value in self.excluded:
            return False
        return isinstance(value, str) or self.low <= value <= self.high

    def within(self, low: float, high: float, *, missing: bool) -> bool:
        """Whether all its values are numbers from `low` to `high`, or missing where that is allowed."""
        return (self.among == () or (low <= self.low and self.high <= high)) and (missing or not self.missing)

    def settled(self) -> Domain:
        """The same values in the form that says most: those of `among` that count, and their bounds."""
        if self.among is None and self.low == self.high and not self.nan:
            return replace(self, among=(self.low,)).settled()
        if self.among is None:
            return self
        among = tuple(value for value in dict.fromkeys(self.among) if self.admits(value))
        numbers = [float(value) for value in among if not isinstance(value, str)]
        low, high = (min(numbers), max(numbers)) if numbers else (self.low, self.high)
        return replace(self, among=among, low=low, high=high, excluded=frozenset())
