"""Probabilities of several classes from those of their pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .base import Node


@dataclass(frozen=True, eq=False)
class CouplePairwise(Node):
    """Class probabilities from r_ij, the probability of class i rather than j, for each pair i < j in order.

    The iteration of libsvm's `multiclass_probability` (Wu, Lin and Weng 2004, method 2). It stops where no error is
    above 0.005 / n_classes: its result depends on each step. The inputs lie strictly between 0 and 1.
    """

    def __post_init__(self) -> None:
        n = self.width
        self._require(n >= 2 and len(self.inputs) == n * (n - 1) // 2, "takes one column for each pair of classes")

    @property
    def width(self) -> int:
        """The number of classes."""
        return (1 + math.isqrt(1 + 8 * len(self.inputs))) // 2

    @property
    def tolerance(self) -> float:
        """The error at which the iteration stops."""
        return 0.005 / self.width

    @property
    def max_iterations(self) -> int:
        """How often all classes are adjusted at most."""
        return max(100, self.width)

    def pair(self, i: int, j: int) -> int:
        """The input that belongs to classes i < j."""
        return i * self.width - i * (i + 1) // 2 + j - i - 1
