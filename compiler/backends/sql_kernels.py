"""Kernel machines in SQL: sums over stored points, written out or taken from constant arrays (sql_points.py)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pgscore.quoting import number

from .. import ir
from ..fact import EXP_LOW
from ..ir import Ref, kernels
from ..point_facts import farthest
from .sql_points import added, coordinates, magnitudes, rounded, squares, table
from .sql_scope import Scope, TooLargeError
from .sql_text import Kind, Value, indent

UNROLLED = 256
"""Points times inputs that are written out: beyond it the text takes longer to plan than it saves."""
NO_WEIGHT = 1e-40
"""Weights smaller than this, beside the largest one, are 0 in SQL."""
WIDEST = 1e300


class Measure(NamedTuple):
    """What kernels are functions of: a dot product (no scale), or a sum of squared or absolute differences."""

    kind: str
    scale: tuple[float, ...] = ()


def kernel(node: ir.Kernel, ref: Ref, scope: Scope) -> Value:
    """One output column. Raises TooLargeError in an expression that would need a sub-select."""
    if scope.variables:
        return scope.shared(ref.node, lambda: _in_variables(node, ref.node, scope))[ref.column]
    if node.points.size > UNROLLED:
        raise TooLargeError
    terms = scope.shared(ref.node, lambda: _terms(node, scope))
    weighted = _weighted(node.weights[ref.column], terms)
    return Value(_plus(weighted, float(node.bias[ref.column])), Kind.FLOAT)


def _in_variables(node: ir.Kernel, position: int, scope: Scope) -> dict[int, Value]:
    wanted = scope.wanted(position)
    if node.points.size > UNROLLED:
        return _selected(node, scope, wanted)
    terms = _terms(node, scope)
    if len(wanted) > 1:
        terms = [scope.variable("double precision", term, "k") for term in terms]
    values = {}
    for column in wanted:
        sql = _plus(_weighted(node.weights[column], terms), float(node.bias[column]))
        values[column] = Value(sql, Kind.FLOAT)
    return values


def _terms(node: ir.Kernel, scope: Scope) -> list[str]:
    """K of each point, written out."""
    measures = _measures(node)
    rows = {m: _row(node, m, scope) for m in measures}
    cutoff = _cutoff(node)
    terms = []
    for point in node.points:
        texts = {
            m: _measured(m, rows[m], [number(p) for p in rounded(point / np.array(m.scale or (1.0,)))])
            for m in measures
        }
        terms.append(_similarity(node.form, texts.__getitem__, cutoff))
    return terms


def _selected(node: ir.Kernel, scope: Scope, wanted: Sequence[int]) -> dict[int, Value]:
    """All wanted outputs in one pass over the points: their measures first, then K, then its weighted sums."""
    measures = _measures(node)
    columns: dict[str, npt.NDArray[np.float64]] = {}
    measured = {}
    for m in measures:
        names = [_column(columns, values) for values in rounded(node.points / np.array(m.scale or (1.0,))).T]
        measured[m] = _measured(m, _row(node, m, scope), names)
    weights = {c: _column(columns, _kept(node.weights[c])) for c in wanted}
    named = {m: f"m{i}" for i, m in enumerate(measures)}
    passed = "".join(f", {w} AS {w.removeprefix('t.')}" for w in dict.fromkeys(weights.values()))
    inner = ",\n  ".join(f"{sql} AS {named[m]}" for m, sql in measured.items())
    source = f"(\n  SELECT {inner}{passed}\n  FROM {indent(table(columns, 't'))}\n  OFFSET 0\n) AS s"  # noqa: S608 - names and numbers of its own
    similarity = _similarity(node.form, lambda m: f"s.{named[m]}", _cutoff(node))
    passed = passed.replace("t.", "s.")
    source = f"(\n  SELECT {similarity} AS k{passed}\n  FROM {indent(source)}\n  OFFSET 0\n) AS k"  # noqa: S608 - names and numbers of its own
    values = {c: scope.variable("double precision", "NULL", "sum") for c in wanted}
    sums = ", ".join(f"sum(k.{weights[c].removeprefix('t.')} * k.k)" for c in wanted)
    scope.statements.append(f"SELECT {sums}\nINTO {', '.join(values.values())}\nFROM {source};")
    return {c: Value(_plus([name], float(node.bias[c])), Kind.FLOAT) for c, name in values.items()}


def _column(columns: dict[str, npt.NDArray[np.float64]], values: npt.NDArray[np.float64]) -> str:
    """The name of a column of the table of points with these values, as an operand; equal columns are one."""
    for name, known in columns.items():
        if np.array_equal(known, values):
            return f"t.{name}"
    name = f"c{len(columns)}"
    columns[name] = values
    return f"t.{name}"


def _row(node: ir.Kernel, measure: Measure, scope: Scope) -> list[str]:
    """The row's coordinates for a measure. Those of dot products are limited by limits.py."""
    if measure.kind == "dot":
        return coordinates(node, scope, limit=math.inf)
    return coordinates(node, scope, measure.scale, limit=farthest(len(node.inputs)))


def _measures(node: ir.Kernel) -> list[Measure]:
    """Each measure that the kernels need, once."""
    return list(dict.fromkeys(m for part in kernels.leaves(node.form) for m in _measure(part)))


def _measure(part: kernels.Leaf) -> list[Measure]:
    scale = kernels.scale_of(part)
    if scale is None:
        return [] if isinstance(part, kernels.Uniform) else [Measure("dot")]
    return [Measure("magnitudes" if isinstance(part, kernels.Laplacian) else "squares", scale)]


def _measured(measure: Measure, row: Sequence[str], point: Sequence[str]) -> str:
    if measure.kind == "dot":
        return added([f"{x} * {p}" for x, p in zip(row, point, strict=True)])
    return (squares if measure.kind == "squares" else magnitudes)(row, point)


def _similarity(form: kernels.Form, text: Callable[[Measure], str], cutoff: float) -> str:
    """K as an operand. exp and the like never get below exp(-cutoff), which stands for 0."""
    match form:
        case kernels.Sum(left, right):
            return f"({_similarity(left, text, cutoff)} + {_similarity(right, text, cutoff)})"
        case kernels.Product(left, right):
            return f"({_similarity(left, text, cutoff)} * {_similarity(right, text, cutoff)})"
        case kernels.Power(base, exponent):
            return _power(_similarity(base, text, cutoff), exponent)
        case kernels.Uniform(value):
            return number(value)
        case _:
            return _leaf(form, text(_measure(form)[0]), cutoff)


def _leaf(form: kernels.Leaf, m: str, cutoff: float) -> str:  # noqa: PLR0911 - one for each kernel
    match form:
        case kernels.Polynomial(gamma, coef0, degree):
            return _power(f"{number(gamma)} * {m} + {number(coef0)}", degree)
        case kernels.Tanh(gamma, coef0):
            return f"tanh({number(gamma)} * {m} + {number(coef0)})"
        case kernels.Gaussian(gamma, _) | kernels.Laplacian(gamma):
            return f"exp({number(-gamma)} * least({m}, {number(cutoff / gamma)}))"
        case kernels.Matern(nu, _):
            t = f"least({number(kernels.MATERN_ROOTS[nu])} * sqrt({m}), {number(cutoff)})"
            polynomial = {
                0.5: "",
                1.5: f"({number(1.0)} + {t}) * ",
                2.5: f"({number(1.0)} + {t} + {t} * {t} / {number(3.0)}) * ",
            }
            return f"({polynomial[nu]}exp(- {t}))"
        case kernels.RationalQuadratic(alpha, length):
            unit = 2 * alpha * length**2
            end = min(math.exp(min(cutoff / alpha, 600.0)) * unit, WIDEST * min(unit, 1.0))
            return f"power({number(1.0)} + least({m}, {number(end)}) / {number(unit)}, {number(-alpha)})"
        case kernels.Periodic(length, period):
            sine = f"sin({number(math.pi / period)} * sqrt({m})) / {number(length)}"
            return f"exp(- least({number(2.0)} * power({sine}, {number(2.0)}), {number(cutoff)}))"
        case _:
            return m


def _power(base: str, exponent: float) -> str:
    """base ** exponent; a base so small that its power is no double counts as 0."""
    if exponent == 1:
        return f"({base})"
    if exponent == 0:
        return number(1.0)
    finest = number(float(f"1e{math.ceil(16 - 300 / exponent)}"))
    return f"power({base} + {finest} - {finest}, {number(exponent)})"


def _cutoff(node: ir.Kernel) -> float:
    """The t from which on exp(-t) is 0: so that no product of kernels and weights is too small for a double."""
    weights = np.abs(np.array([_kept(w) for w in node.weights]))
    smallest = float(weights[weights > 0].min(initial=1.0))
    least = min(-EXP_LOW - 8, 735 + math.log(smallest))
    return least / max(1.0, _factors(node.form))


def _factors(form: kernels.Form) -> float:
    """How many kernels that go to 0 are multiplied at most."""
    match form:
        case kernels.Sum(left, right):
            return max(_factors(left), _factors(right))
        case kernels.Product(left, right):
            return _factors(left) + _factors(right)
        case kernels.Power(base, exponent):
            return _factors(base) * max(1.0, exponent)
        case kernels.Uniform(value):
            return max(0.0, -math.log(abs(value)) / 100)
        case _:
            return 1.0


def _kept(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(np.abs(weights) < NO_WEIGHT * np.abs(weights).max(initial=0.0), 0.0, weights)


def _weighted(weights: npt.NDArray[np.float64], terms: Sequence[str]) -> list[str]:
    kept = _kept(weights).tolist()
    return [f"{number(w)} * {term}" for w, term in zip(kept, terms, strict=True) if w]


def _plus(terms: Iterable[str], bias: float) -> str:
    """The sum of the terms and the bias, one term on a line."""
    listed = [*([number(bias)] if bias else []), *terms]
    return "\n+ ".join(listed) or number(0.0)
