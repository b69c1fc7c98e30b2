"""SplineTransformer: B-splines as piecewise polynomials, whose coefficients are fractions, rounded once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from sklearn.preprocessing import SplineTransformer

from .. import ir
from ..ir import FINITE, Op
from .builder import Builder, Frontend
from .gaps import around_gaps

Polynomial = list[Fraction]
"""Coefficients, the constant first."""

MAX_PERIODS = 2.0**35
"""So far from the base interval a remainder is computed exactly: with three parts of the period, of 18 bits each."""


@dataclass(frozen=True)
class Piece:
    """From `knot` on, a polynomial of x - origin."""

    knot: float
    origin: float
    coefficients: Sequence[float]


def spline_transformer(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """The basis functions of each column side by side, without the last one unless `include_bias`."""
    if estimator.degree == 0 and estimator.extrapolation in ("constant", "linear"):
        builder.refuse(f"degree=0 with extrapolation={estimator.extrapolation!r}", "use KBinsDiscretizer")
    zeros = estimator.handle_missing == "zeros"
    if zeros and estimator.sparse_output and len(columns) > 1 and estimator.extrapolation not in ("constant", "linear"):
        builder.refuse(
            f'handle_missing="zeros" with extrapolation={estimator.extrapolation!r} and sparse_output: scikit-learn '
            "takes a missing value from the second column on for the smallest one in the batch",
            "use sparse_output=False",
        )
    if zeros and estimator.extrapolation == "constant":  # infinities pass, and are beyond the last knot
        columns = builder.add(ir.Clip(columns, -FINITE, FINITE))
    else:
        columns = builder.finite(columns, missing=zeros)
    result: list[ir.Ref] = []
    for position, (column, spline) in enumerate(zip(columns, estimator.bsplines_, strict=True)):
        if not np.isfinite(spline.t).all():
            builder.refuse("a knot is not finite", "leave out columns that are always missing")
        # scikit-learn 1.9 raises degree 1 to 2 at the first column, and looks for the ends of the others there.
        edge = 2 if position and spline.k == 1 and estimator.extrapolation == "linear" else spline.k
        if spline.t[edge] > spline.t[-edge - 1]:
            builder.refuse("linear extrapolation between two knots with degree=1", "use three knots or more")
        basis = _basis(builder, column, spline, estimator.extrapolation, edge)
        result += basis if estimator.include_bias else basis[:-1]
    return builder.add(ir.Impute(tuple(result), np.zeros(len(result)))) if zeros else tuple(result)


def _basis(builder: Builder, column: ir.Ref, spline: Any, extrapolation: str, edge: int) -> ir.Block:
    """Every basis function of one column, whose range ends at the knots number `edge` from both sides."""
    first, last = float(spline.t[edge]), float(spline.t[-edge - 1])
    if extrapolation == "error":
        (column,) = builder.add(ir.Check((column,), low=first, high=last, missing=True))
    if extrapolation == "periodic":
        (column,) = around_gaps((column,), builder, lambda block: _within_period(builder, block, first, last))
    functions = [_function(spline, index) for index in range(spline.c.shape[1])]
    if extrapolation in ("constant", "linear"):
        functions = [
            _extrapolated(pieces, spline, index, first, last, linear=extrapolation == "linear")
            for index, pieces in enumerate(functions)
        ]
    return tuple(ref for pieces in functions for ref in _piecewise(builder, column, pieces))


def _piecewise(builder: Builder, column: ir.Ref, pieces: list[Piece]) -> ir.Block:
    """The first piece begins nowhere: it is what holds below the second."""
    coefficients = np.zeros((len(pieces), 1, max(len(piece.coefficients) for piece in pieces)))
    for row, piece in enumerate(pieces):
        coefficients[row, 0, : len(piece.coefficients)] = piece.coefficients
    if not np.isfinite(coefficients).all():
        builder.refuse("its knots lie too close to each other", "use fewer knots")
    knots, origin = (np.array(values) for values in ([p.knot for p in pieces[1:]], [p.origin for p in pieces]))
    return builder.add(ir.Piecewise((column,), knots, origin, coefficients))


def _function(spline: Any, index: int) -> list[Piece]:
    """The pieces of one output: of basis function `index`, and of its continuation where the spline is periodic."""
    t, k = spline.t.tolist(), int(spline.k)
    n = len(t) - k - 1
    members = [basis for basis in range(n) if spline.c[basis, index]]
    inside = [ell for ell in range(k, n) if t[ell] < t[ell + 1]]
    pieces = [_piece(t, k, k, members, knot=-math.inf), *(_piece(t, k, ell, members, knot=t[ell]) for ell in inside)]
    if inside[-1:] != [n - 1]:  # repeated knots at the end: scipy takes the empty interval there
        pieces.append(_piece(t, k, n - 1, members, knot=t[n]))
    return pieces


def _extrapolated(  # noqa: PLR0913
    pieces: list[Piece], spline: Any, index: int, low: float, high: float, *, linear: bool
) -> list[Piece]:
    """The pieces from `low` to `high`; beyond, the value there, along the slope there if `linear`.

    Only the first basis functions go on below, and only the last ones above: the others are 0.
    """
    width, k = spline.c.shape[1], int(spline.k)
    ends = max(k, 2) if linear else k
    orders = range(2 if linear else 1)
    below = [float(spline(low, nu=nu)[index]) if index < ends else 0.0 for nu in orders]
    above = [float(spline(high, nu=nu)[index]) if index >= width - ends else 0.0 for nu in orders]
    at_low = [piece for piece in pieces if piece.knot <= low][-1]
    inside = [replace(at_low, knot=low), *(piece for piece in pieces if low < piece.knot <= high)]
    return [Piece(-math.inf, low, below), *inside, Piece(float(np.nextafter(high, np.inf)), high, above)]


def _piece(t: Sequence[float], k: int, ell: int, members: Sequence[int], *, knot: float) -> Piece:
    """The sum of some basis functions on interval `ell`.

    Written from the left end, where all but the first of the k + 1 functions are far from 0 or exactly 0; the first
    one vanishes at the right end, and is written from there, lest its last digits cancel.
    """
    here = [basis for basis in members if ell - k <= basis <= ell]
    if not here:
        return Piece(knot, t[ell], [0.0])
    origin = t[ell + 1] if here == [ell - k] else t[ell]
    functions = _polynomials(t, k, ell, origin)
    total = [sum((functions[basis - ell + k][power] for basis in here), Fraction(0)) for power in range(k + 1)]
    return Piece(knot, origin, [_rounded(c) for c in total])


def _rounded(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _polynomials(t: Sequence[float], k: int, ell: int, origin: float) -> list[Polynomial]:
    """The k + 1 basis functions that are not 0 on interval `ell`, by de Boor's recursion, in x - origin."""
    at = Fraction(origin)
    h: list[Polynomial] = [[Fraction(1)] + [Fraction(0)] * k]
    for degree in range(1, k + 1):
        previous, h = h, [[Fraction(0)] * (k + 1) for _ in range(degree + 1)]
        for n in range(1, degree + 1):
            right, left = Fraction(t[ell + n]), Fraction(t[ell + n - degree])
            if right == left:
                continue
            weight = [c / (right - left) for c in previous[n - 1]]
            _add_product(h[n - 1], weight, right - at, Fraction(-1))
            _add_product(h[n], weight, at - left, Fraction(1))
    return h


def _add_product(total: Polynomial, polynomial: Polynomial, constant: Fraction, slope: Fraction) -> None:
    """Adds polynomial * (constant + slope x)."""
    for power, coefficient in enumerate(polynomial):
        total[power] += coefficient * constant
        if power + 1 < len(total):
            total[power + 1] += coefficient * slope


def _within_period(builder: Builder, column: ir.Block, first: float, last: float) -> ir.Block:
    """first + (x - first) % (last - first), without an error: the remainder of two doubles is a double."""
    period = last - first
    if period <= 0:
        return builder.add(ir.Constant((), np.zeros(1)))
    shifted = builder.add(ir.Standardize(column, np.array([first]), np.ones(1)))
    turns = builder.add(ir.Standardize(shifted, np.zeros(1), np.array([period])))
    turns = builder.add(ir.Elementwise(turns, Op.FLOOR))
    turns = builder.add(ir.Check(turns, low=-MAX_PERIODS, high=MAX_PERIODS, missing=True, own=True))
    rest = shifted
    for part in _parts(period):
        rest = builder.add(ir.Affine(rest + turns, np.array([[1.0, -part]]), np.zeros(1), kept=True))
    # The quotient may round up to a whole number that x does not reach.
    reaches = builder.add(ir.Step(rest, inclusive=True))
    rest = builder.add(ir.Select(reaches + rest + builder.add(ir.Standardize(rest, np.array([-period]), np.ones(1)))))
    inside = builder.add(ir.Standardize(rest, np.array([-first]), np.ones(1)))
    return builder.add(ir.Clip(inside, float(np.nextafter(first, -np.inf)), float(np.nextafter(last, np.inf))))


def _parts(number: float) -> list[float]:
    """Three numbers of 18 bits or fewer, whose sum is the number."""
    parts = []
    for _ in range(3):
        mantissa, exponent = math.frexp(number)
        part = math.ldexp(math.floor(math.ldexp(mantissa, 18)), exponent - 18)
        parts.append(part)
        number -= part
    return parts


FRONTENDS: dict[type, Frontend] = {
    SplineTransformer: spline_transformer,
}

NOTES: dict[type, str] = {
    SplineTransformer: "refused: degree 0 with constant or linear extrapolation, and missing values as zeros in a "
    "sparse matrix of several columns; periodic: a number more than 3e10 periods away gives NULL",
}
