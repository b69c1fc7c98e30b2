"""Functions of one number: named ones from the library of mathematics, and piecewise polynomials."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

import numpy as np

from ..values import FloatArray, frozen
from .base import Node


class Op(Enum):
    """A function of one number, as numpy's ufunc of that name computes it.

    Outside its domain it gives NaN, at a pole infinity, as numpy does; a Check behind it refuses such rows where the
    model does. `NORMAL_QUANTILE` is scipy.special.ndtri, `NORMAL_CDF` its inverse ndtr; `FLOAT32` is the
    nearest float32, infinite beyond them.
    """

    EXP = "exp"
    EXP2 = "2 ** x"
    EXPM1 = "expm1"
    LOG = "log"
    LOG1P = "log1p"
    LOG2 = "log2"
    LOG10 = "log10"
    SQRT = "sqrt"
    CBRT = "cbrt"
    SQUARE = "square"
    RECIPROCAL = "reciprocal"
    ABS = "abs"
    NEGATIVE = "negative"
    SIGN = "sign"
    FLOOR = "floor"
    CEIL = "ceil"
    RINT = "rint"
    SIN = "sin"
    COS = "cos"
    TANH = "tanh"
    SINH = "sinh"
    COSH = "cosh"
    ARCSINH = "arcsinh"
    ARCTAN = "arctan"
    NORMAL_QUANTILE = "ndtri"
    FLOAT32 = "float32"
    NORMAL_CDF = "ndtr"


@dataclass(frozen=True, eq=False)
class Elementwise(Node):
    """op(x) for each input column. Missing stays missing; the result may be infinite, or NaN outside the domain."""

    op: Op = Op.EXP


@dataclass(frozen=True, eq=False)
class Piecewise(Node):
    """Polynomials of one column x: on interval i, output j is the sum of coefficients[i, j, p] (x - origin[i])^p.

    `knots` (k) ascend; i is the number of knots that are at most x, from 0 to k. `origin` is (k + 1) and `coefficients`
    (k + 1, width, degree + 1). A missing x stays missing. Steps, interpolation and splines are all of this form.
    """

    knots: FloatArray
    origin: FloatArray
    coefficients: FloatArray

    arithmetic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "knots", frozen(self.knots, ndim=1))
        object.__setattr__(self, "origin", frozen(self.origin, ndim=1))
        object.__setattr__(self, "coefficients", frozen(self.coefficients, ndim=3))
        self._require(len(self.inputs) == 1, "takes one column")
        self._require(len(self.origin) == len(self.coefficients) == len(self.knots) + 1, "one piece more than knots")
        self._require(self.coefficients.shape[2] >= 1, "a polynomial has a constant term")
        self._require(bool(np.all(np.diff(self.knots) > 0)), "knots ascend")
        finite = all(np.isfinite(a).all() for a in (self.knots, self.origin, self.coefficients))
        self._require(bool(finite), "its numbers are finite")

    @property
    def width(self) -> int:
        return int(self.coefficients.shape[1])
