"""The weighted median."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..values import FloatArray, frozen
from .base import Node


@dataclass(frozen=True, eq=False)
class WeightedMedian(Node):
    """Of its inputs in rising order, the first at which their weights so far reach half of all weights.

    `weights` has one number >= 0 for each input. They are added in the order of the inputs' values.
    """

    weights: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", frozen(self.weights, ndim=1))
        self._require(len(self.weights) == len(self.inputs) > 0, "one weight for each column")
        self._require(bool(np.all(self.weights >= 0) and np.isfinite(self.weights).all()), "weights are 0 or more")

    @property
    def width(self) -> int:
        return 1
