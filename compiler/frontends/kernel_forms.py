"""Kernels of scikit-learn as forms of `ir.Kernel`, and how many digits a model keeps of a sum of kernels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.gaussian_process import kernels as gaussian

from .. import ir
from ..ir import kernels
from .builder import Builder

MAX_EXPONENT = 10
KNOWN_ROWS = 200
"""Training rows from which the size of a model's terms is taken."""
LIKELY_TOLERANCE = 1e-4
"""A model that loses more digits than this is no model of its data any more."""

Values = ir.FloatArray


def pairwise(  # noqa: RET503 - refuse does not return
    name: object, params: Mapping[str, Any], n_inputs: int, builder: Builder
) -> kernels.Form:
    """A kernel of `sklearn.metrics.pairwise`, by name; a parameter that is None has its default there."""
    gamma = params.get("gamma")
    gamma = 1 / n_inputs if gamma is None else float(gamma)
    coef0 = 1.0 if params.get("coef0") is None else float(params["coef0"])
    match name:
        case "linear":
            return kernels.Dot()
        case "rbf":
            return kernels.Gaussian(_ordinary("gamma", gamma, builder))
        case "laplacian":
            return kernels.Laplacian(_ordinary("gamma", gamma, builder))
        case "poly" | "polynomial":
            degree = 3 if params.get("degree") is None else params["degree"]
            return kernels.Polynomial(_ordinary("gamma", gamma, builder), coef0, _whole_exponent(degree, builder))
        case "sigmoid":
            return kernels.Tanh(_ordinary("gamma", gamma, builder), coef0)
        case _:
            shown = repr(name) if isinstance(name, str) else "a function of Python"
            builder.refuse(f"its kernel is {shown}", "use linear, rbf, laplacian, poly or sigmoid")


def of_gaussian_process(kernel: Any, builder: Builder) -> kernels.Form | None:  # noqa: PLR0911, RET503 - refuse does not return
    """A fitted kernel of `sklearn.gaussian_process`; None for one that is 0 for every new row (WhiteKernel)."""
    match kernel:
        case gaussian.Sum():
            left, right = of_gaussian_process(kernel.k1, builder), of_gaussian_process(kernel.k2, builder)
            return kernels.Sum(left, right) if left and right else left or right
        case gaussian.Product():
            left, right = of_gaussian_process(kernel.k1, builder), of_gaussian_process(kernel.k2, builder)
            return kernels.Product(left, right) if left and right else None
        case gaussian.Exponentiation():
            return _power(of_gaussian_process(kernel.kernel, builder), float(kernel.exponent), builder)
        case gaussian.WhiteKernel():
            return None
        case gaussian.ConstantKernel():
            return kernels.Uniform(_ordinary("constant_value", kernel.constant_value, builder))
        case gaussian.Matern():
            return _matern(float(kernel.nu), _scale(kernel, builder), builder)
        case gaussian.RBF():
            return kernels.Gaussian(0.5, _scale(kernel, builder))
        case gaussian.RationalQuadratic():
            alpha = _ordinary("alpha", kernel.alpha, builder)
            return kernels.RationalQuadratic(alpha, _ordinary("length_scale", kernel.length_scale, builder))
        case gaussian.ExpSineSquared():
            length = _ordinary("length_scale", kernel.length_scale, builder)
            return kernels.Periodic(length, _ordinary("periodicity", kernel.periodicity, builder))
        case gaussian.DotProduct():
            return kernels.Polynomial(1.0, float(kernel.sigma_0) ** 2, 1)
        case _:
            name = type(kernel).__name__
            builder.refuse(f"its kernel holds {name}", "use other kernels of sklearn.gaussian_process.kernels")


def _matern(nu: float, scale: tuple[float, ...], builder: Builder) -> kernels.Form:
    if nu == math.inf:
        return kernels.Gaussian(0.5, scale)
    if nu not in kernels.MATERN_ROOTS:
        builder.refuse(f"its Matern kernel has nu={nu}, a Bessel function", "use nu 0.5, 1.5, 2.5 or infinity")
    return kernels.Matern(nu, scale)


def _power(base: kernels.Form | None, exponent: float, builder: Builder) -> kernels.Form | None:
    if not 0 < exponent <= MAX_EXPONENT:
        builder.refuse(f"its kernel has the exponent {exponent}", f"use one above 0 and up to {MAX_EXPONENT}")
    if base is None:
        return None
    if exponent != int(exponent) and any(isinstance(part, kernels.Polynomial) for part in kernels.leaves(base)):
        builder.refuse("it raises a DotProduct to a power that is not whole", "use a whole exponent")
    return kernels.Power(base, exponent)


def _scale(kernel: Any, builder: Builder) -> tuple[float, ...]:
    scales = np.atleast_1d(np.asarray(kernel.length_scale, dtype=float)).tolist()
    return tuple(_ordinary("length_scale", value, builder) for value in scales)


def _ordinary(name: str, value: Any, builder: Builder) -> float:
    number = float(value)
    if not 1 / kernels.ORDINARY <= number <= kernels.ORDINARY:
        builder.refuse(f"its {name} is {number:g}", "scale the columns so that ordinary numbers fit")
    return number


def _whole_exponent(degree: Any, builder: Builder) -> int:
    if degree != int(degree) or not 0 <= degree <= MAX_EXPONENT:
        builder.refuse(f"its degree is {degree}", f"use a whole degree from 0 to {MAX_EXPONENT}")
    return int(degree)


def add(  # noqa: PLR0913, PLR0917 - a kernel machine has four parts
    builder: Builder, columns: ir.Block, form: kernels.Form, points: object, weights: object, bias: object
) -> ir.Block:
    """The kernel machine over finite rows. A linear kernel is one affine map. Refuses numbers that are not finite."""
    rows = builder.finite(columns)
    p, w, b = dense(points), np.atleast_2d(dense(weights)), np.atleast_1d(dense(bias))
    if not all(np.isfinite(a).all() for a in (p, w, b)):
        builder.refuse("its coefficients are not finite", "train again; the fit has diverged")
    if not len(p):
        w, p = np.zeros((len(b), 1)), np.zeros((1, len(rows)))
    if isinstance(form, kernels.Dot):
        return builder.add(ir.Affine(rows, w @ p, b))
    return builder.add(ir.Kernel(rows, p, w, b, form))


def dense(array: Any) -> Values:
    """An array of doubles, also from a sparse matrix."""
    return np.asarray(array.toarray() if issparse(array) else array, dtype=np.float64)


def say_digits(  # noqa: PLR0913, PLR0917 - a sum, its rounding, and what to do about it
    builder: Builder,
    similarities: Values,
    weights: Values,
    bias: Values,
    noise: float = 1.0,
    advice: str | None = "train with more noise (alpha)",
) -> None:
    """Says how many digits the model itself keeps, where large terms of either sign cancel in its sums.

    `similarities` (n_rows, n_points) are those of rows that the model knows, `weights` (width, n_points). A sum of
    doubles is right to about one unit in the last place of its largest terms; each kernel has a rounding error of
    `noise` such units of its own. Refuses a model whose answers are mostly that error, with the advice if there is one.
    """
    weights = np.atleast_2d(weights)
    size = np.abs(similarities) @ np.abs(weights).T + np.abs(bias)
    answers = np.median(np.abs(similarities @ weights.T + bias), axis=0)
    with np.errstate(all="ignore"):
        tolerance = float(np.max(8 * np.finfo(float).eps * (1 + noise) * np.median(size, axis=0) / answers))
    if advice is not None and not tolerance <= LIKELY_TOLERANCE:
        builder.refuse("its coefficients are so large that rounding decides its answers", advice)
    if ir.TOLERANCE < tolerance <= LIKELY_TOLERANCE:
        builder.approximate(tolerance, "large terms of its sum over the training rows cancel, and with them digits")
