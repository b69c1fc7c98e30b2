"""Kernel machines: sums over stored points of a similarity with each of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..values import FloatArray, frozen
from .base import Node

ORDINARY = 1e20
"""Parameters of kernels are between 1 / this and this, so that no product of theirs leaves the doubles."""


@dataclass(frozen=True)
class Dot:
    """x·p, the linear kernel."""


@dataclass(frozen=True)
class Polynomial:
    """(gamma x·p + coef0) ** degree, with a whole degree from 0 to 10."""

    gamma: float
    coef0: float
    degree: int


@dataclass(frozen=True)
class Tanh:
    """tanh(gamma x·p + coef0), the sigmoid kernel."""

    gamma: float
    coef0: float


@dataclass(frozen=True)
class Gaussian:
    """exp(-gamma s), s the sum of squared differences of x / scale and p / scale (one for all inputs, or one each)."""

    gamma: float
    scale: tuple[float, ...] = (1.0,)


@dataclass(frozen=True)
class Laplacian:
    """exp(-gamma sum |x - p|)."""

    gamma: float


@dataclass(frozen=True)
class Matern:
    """With r the distance of x / scale and p / scale: exp(-r), (1 + t) exp(-t) with t = √3 r, or (1 + t + t²/3) exp(-t)
    with t = √5 r, for `nu` 0.5, 1.5 and 2.5.
    """

    nu: float
    scale: tuple[float, ...] = (1.0,)


MATERN_ROOTS = {0.5: 1.0, 1.5: math.sqrt(3), 2.5: math.sqrt(5)}
"""What t is to r, by `Matern.nu`."""


@dataclass(frozen=True)
class RationalQuadratic:
    """(1 + s / (2 alpha length²)) ** -alpha, s the squared distance."""

    alpha: float
    length: float


@dataclass(frozen=True)
class Periodic:
    """exp(-2 (sin(pi r / period) / length)²), r the distance (ExpSineSquared)."""

    length: float
    period: float


@dataclass(frozen=True)
class Uniform:
    """The same for all points (ConstantKernel; WhiteKernel is 0 for new rows)."""

    value: float


@dataclass(frozen=True)
class Sum:
    """left + right."""

    left: Form
    right: Form


@dataclass(frozen=True)
class Product:
    """left * right."""

    left: Form
    right: Form


@dataclass(frozen=True)
class Power:
    """base ** exponent, with 0 < exponent <= 10; the base is never negative, or the exponent is whole."""

    base: Form
    exponent: float


Leaf = Dot | Polynomial | Tanh | Gaussian | Laplacian | Matern | RationalQuadratic | Periodic | Uniform
Form = Leaf | Sum | Product | Power
"""A kernel K(x, p) of a row and a stored point."""


def leaves(form: Form) -> Iterator[Leaf]:
    """The kernels that a form is made of, from left to right."""
    match form:
        case Sum(left, right) | Product(left, right):
            yield from leaves(left)
            yield from leaves(right)
        case Power(base, _):
            yield from leaves(base)
        case _:
            yield form


def scale_of(leaf: Leaf) -> tuple[float, ...] | None:
    """What a leaf divides the inputs by before it takes differences; None for those that take none."""
    match leaf:
        case Gaussian() | Matern():
            return leaf.scale
        case Laplacian() | RationalQuadratic() | Periodic():
            return (1.0,)
        case _:
            return None


@dataclass(frozen=True, eq=False)
class Kernel(Node):
    """Output j is bias[j] plus the sum over the points k of weights[j, k] K(x, points[k]); the order is free.

    `points` are (n_points, n_inputs), `weights` (width, n_points), `bias` (width). Far from all points a kernel of
    distances is 0, also where the square of the distance exceeds the doubles. Rows refuse where other kernels do.
    """

    arithmetic: ClassVar[bool] = True
    points: FloatArray
    weights: FloatArray
    bias: FloatArray
    form: Form

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", frozen(self.points, ndim=2))
        object.__setattr__(self, "weights", frozen(self.weights, ndim=2))
        object.__setattr__(self, "bias", frozen(self.bias, ndim=1))
        self._require(self.points.shape[1] == len(self.inputs) > 0, "points are (n_points, n_inputs)")
        self._require(self.weights.shape == (len(self.bias), len(self.points)), "weights are (width, n_points)")
        finite = all(np.isfinite(a).all() for a in (self.points, self.weights, self.bias))
        self._require(bool(finite), "its numbers are finite")
        for leaf in leaves(self.form):
            self._require(len(scale_of(leaf) or (1.0,)) in (1, len(self.inputs)), "one scale, or one for each input")
            self._require(all(_is_ordinary(v) for v in _parameters(leaf)), "the kernel's parameters are ordinary")

    @property
    def width(self) -> int:
        return len(self.bias)


def _parameters(leaf: Leaf) -> list[float]:  # noqa: PLR0911 - one for each kernel
    """What a leaf multiplies or divides by."""
    match leaf:
        case Gaussian():
            return [leaf.gamma, *leaf.scale]
        case Matern():
            return list(leaf.scale) if leaf.nu in MATERN_ROOTS else [math.nan]
        case Polynomial() | Tanh() | Laplacian():
            return [leaf.gamma]
        case RationalQuadratic():
            return [leaf.alpha, leaf.length]
        case Periodic():
            return [leaf.length, leaf.period]
        case Uniform():
            return [leaf.value]
        case _:
            return []


def _is_ordinary(value: float) -> bool:
    return math.isfinite(value) and 1 / ORDINARY <= abs(value) <= ORDINARY
