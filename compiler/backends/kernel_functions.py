"""The reference for kernels: K(x, p) for all rows and stored points, in numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import ir
from ..ir import kernels

Values = npt.NDArray[Any]


def kernel(node: ir.Kernel, x: Values) -> Values:
    """bias + the weighted sum of K over the points: (n_rows, width)."""
    return np.asarray(similarities(node.form, x, node.points) @ node.weights.T + node.bias)


def similarities(form: kernels.Form, x: Values, points: Values) -> Values:  # noqa: PLR0911 - one for each kernel
    """K(x, p): (n_rows, n_points)."""
    match form:
        case kernels.Sum(left, right):
            return similarities(left, x, points) + similarities(right, x, points)
        case kernels.Product(left, right):
            return similarities(left, x, points) * similarities(right, x, points)
        case kernels.Power(base, exponent):
            return np.asarray(similarities(base, x, points) ** exponent)
        case kernels.Dot():
            return np.asarray(x @ points.T)
        case kernels.Polynomial(gamma, coef0, degree):
            return np.asarray((gamma * (x @ points.T) + coef0) ** degree)
        case kernels.Tanh(gamma, coef0):
            return np.asarray(np.tanh(gamma * (x @ points.T) + coef0))
        case kernels.Gaussian(gamma, scale):
            return np.exp(-gamma * squared_distances(x, points, scale))
        case kernels.Laplacian(gamma):
            return np.exp(-gamma * added(x, points, np.abs))
        case kernels.Matern(nu, scale):
            return _matern(nu, np.sqrt(squared_distances(x, points, scale)))
        case kernels.RationalQuadratic(alpha, length):
            return np.asarray((1 + squared_distances(x, points) / (2 * alpha * length**2)) ** -alpha)
        case kernels.Periodic(length, period):
            sine = np.sin(np.pi / period * np.sqrt(squared_distances(x, points)))
            return np.exp(-2 * (sine / length) ** 2)
        case kernels.Uniform(value):
            return np.full((len(x), len(points)), value)


def _matern(nu: float, r: Values) -> Values:
    t = r * kernels.MATERN_ROOTS[nu]
    polynomial: dict[float, Callable[[], Values]] = {
        0.5: lambda: np.ones_like(t),
        1.5: lambda: 1 + t,
        2.5: lambda: 1 + t + t**2 / 3,
    }
    return polynomial[nu]() * np.exp(-t)


def squared_distances(x: Values, points: Values, scale: Sequence[float] = (1.0,)) -> Values:
    """Between rows and points, each divided by `scale`."""
    return added(x / np.array(scale), points / np.array(scale), np.square)


def added(x: Values, points: Values, term: Callable[[Values], Values]) -> Values:
    """The sum of `term` of each difference of coordinates, in their order."""
    total = np.zeros((len(x), len(points)))
    for column in range(x.shape[1]):
        total += term(x[:, column, np.newaxis] - points[:, column])
    return total
