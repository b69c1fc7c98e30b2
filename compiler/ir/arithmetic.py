"""Arithmetic on doubles: scaling, sums, products, curves, and what a classifier makes of its scores."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

import numpy as np

from ..values import FloatArray, frozen
from .base import Node


@dataclass(frozen=True, eq=False)
class Standardize(Node):
    """(x - center) / scale, column by column, in this order: trees behind a scaler see the very same doubles."""

    arithmetic: ClassVar[bool] = True
    center: FloatArray
    scale: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "center", frozen(self.center, ndim=1))
        object.__setattr__(self, "scale", frozen(self.scale, ndim=1))
        self._require(len(self.center) == len(self.scale) == len(self.inputs), "one center and scale for each column")
        self._require(bool(np.all(self.scale != 0)), "scale is not 0")


@dataclass(frozen=True, eq=False)
class MultiplyAdd(Node):
    """x * factor + offset, column by column, rounded twice as numpy does."""

    arithmetic: ClassVar[bool] = True
    factor: FloatArray
    offset: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "factor", frozen(self.factor, ndim=1))
        object.__setattr__(self, "offset", frozen(self.offset, ndim=1))
        self._require(len(self.factor) == len(self.offset) == len(self.inputs), "one factor and offset for each column")


@dataclass(frozen=True, eq=False)
class Clip(Node):
    """The nearest value in [low, high], of which each may be infinite; a missing value stays missing."""

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        self._require(self.low <= self.high, "low <= high")


@dataclass(frozen=True, eq=False)
class Affine(Node):
    """weights (width, inputs) times the row, plus bias (width). Not for trees' inputs: the order of the sum is free.

    A sum that is `kept` is computed by itself, of these very terms: what reads it counts on how it is rounded.
    """

    arithmetic: ClassVar[bool] = True
    weights: FloatArray
    bias: FloatArray
    kept: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", frozen(self.weights, ndim=2))
        object.__setattr__(self, "bias", frozen(self.bias, ndim=1))
        self._require(self.weights.shape == (len(self.bias), len(self.inputs)), "weights are (outputs, inputs)")
        self._require(bool(np.isfinite(self.weights).all() and np.isfinite(self.bias).all()), "weights are finite")

    @property
    def width(self) -> int:
        return len(self.bias)


@dataclass(frozen=True, eq=False)
class Sigmoid(Node):
    """1 / (1 + exp(-x))."""


@dataclass(frozen=True, eq=False)
class Softmax(Node):
    """exp(x_j - max x) / sum_i exp(x_i - max x) over all its inputs."""


@dataclass(frozen=True, eq=False)
class Normalize(Node):
    """x_j / sum of x over all its inputs, which are >= 0; 1 / width where all are 0."""

    arithmetic: ClassVar[bool] = True


@dataclass(frozen=True, eq=False)
class ArgMax(Node):
    """The position of the largest input; the first one on a tie."""

    @property
    def width(self) -> int:
        return 1


@dataclass(frozen=True, eq=False)
class Step(Node):
    """1 where x > threshold (or >=, where `inclusive`), else 0."""

    threshold: float = 0.0
    inclusive: bool = False


@dataclass(frozen=True, eq=False)
class Multiply(Node):
    """The product of two blocks side by side, column by column: of 2n inputs, output j is x_j * x_(n + j)."""

    arithmetic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._require(len(self.inputs) % 2 == 0, "takes two blocks of one width")

    @property
    def width(self) -> int:
        return len(self.inputs) // 2


@dataclass(frozen=True, eq=False)
class Divide(Node):
    """The quotient of two blocks side by side, column by column: of 2n inputs, output j is x_j / x_(n + j).

    Where the divisor is 0 it is `at_zero`.
    """

    at_zero: float = 0.0
    arithmetic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._require(len(self.inputs) % 2 == 0, "takes two blocks of one width")

    @property
    def width(self) -> int:
        return len(self.inputs) // 2


class Reduction(Enum):
    """How `Reduce` makes one number of several."""

    MAX = "max"
    MIN = "min"


@dataclass(frozen=True, eq=False)
class Reduce(Node):
    """The largest or the smallest of all inputs, none of which is missing."""

    reduction: Reduction = Reduction.MAX

    def __post_init__(self) -> None:
        self._require(len(self.inputs) > 0, "takes at least one column")

    @property
    def width(self) -> int:
        return 1
