"""Ensembles of trees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..forest import Forest
from ..values import FloatArray, frozen
from .base import Node


@dataclass(frozen=True, eq=False)
class Trees(Node):
    """base (width) plus the forest's leaf values, added tree by tree in order, as scikit-learn adds them.

    The order is part of the meaning: with another order of additions, rows on a tie of two classes change their label.
    With `single` each sum is rounded to float32, as XGBoost adds; base and leaf values are float32 then.
    """

    arithmetic: ClassVar[bool] = True
    forest: Forest
    base: FloatArray
    single: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "base", frozen(self.base, ndim=1))
        f = self.forest
        if self.single:
            with np.errstate(over="ignore"):
                exact = all(np.array_equal(a, a.astype(np.float32)) for a in (self.base, f.value))
            self._require(exact, "base and leaf values are float32")
        if len(f.feature):
            self._require(int(f.feature.max()) < len(self.inputs), "a feature lies outside the inputs")
        if len(f.output):
            self._require(int(f.output.max()) < self.width, "a tree's output lies outside the outputs")
            if f.output.min() < 0:
                self._require(f.value.shape[1] == self.width, "leaf values have one column for each output")

    @property
    def width(self) -> int:
        return len(self.base)
