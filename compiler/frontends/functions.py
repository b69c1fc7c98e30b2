"""FunctionTransformer: functions of numpy and scipy, recognised by identity. Any other function is Python, and refused.

A function is applied to whatever comes in: without `validate` nothing is checked, infinities and missing values pass.
Outside the domain the result is missing, at a pole infinite, and the next step refuses such rows where it checks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.special
from sklearn.preprocessing import FunctionTransformer

from .. import ir
from ..ir import FINITE, Op
from .answers import divided, scaled
from .builder import Builder, Frontend
from .gaps import around_gaps

Function = Callable[[ir.Block, Builder], ir.Block]

UFUNCS: dict[Any, Op] = {
    np.exp: Op.EXP,
    np.expm1: Op.EXPM1,
    np.log: Op.LOG,
    np.log1p: Op.LOG1P,
    np.log2: Op.LOG2,
    np.log10: Op.LOG10,
    np.sqrt: Op.SQRT,
    np.cbrt: Op.CBRT,
    np.square: Op.SQUARE,
    np.reciprocal: Op.RECIPROCAL,
    np.abs: Op.ABS,
    np.fabs: Op.ABS,
    np.negative: Op.NEGATIVE,
    np.sign: Op.SIGN,
    np.floor: Op.FLOOR,
    np.ceil: Op.CEIL,
    np.rint: Op.RINT,
    np.sin: Op.SIN,
    np.cos: Op.COS,
    np.tanh: Op.TANH,
    np.exp2: Op.EXP2,
    np.sinh: Op.SINH,
    np.cosh: Op.COSH,
    np.arcsinh: Op.ARCSINH,
    np.arctan: Op.ARCTAN,
    scipy.special.exp2: Op.EXP2,
    scipy.special.cbrt: Op.CBRT,
    scipy.special.expm1: Op.EXPM1,
    scipy.special.log1p: Op.LOG1P,
    scipy.special.ndtr: Op.NORMAL_CDF,
    scipy.special.ndtri: Op.NORMAL_QUANTILE,
}
"""Functions that are an operation of `ir.Elementwise`."""


def _elementwise(op: Op) -> Function:
    return lambda columns, builder: builder.add(ir.Elementwise(columns, op))


def _times(factor: float) -> Function:
    def apply(columns: ir.Block, builder: Builder) -> ir.Block:
        return scaled(builder, columns, factor)

    return apply


def _truncated(columns: ir.Block, builder: Builder) -> ir.Block:
    """The whole number next to x on the side of 0."""
    condition = builder.add(ir.Step(columns, inclusive=True))
    down, up = (builder.add(ir.Elementwise(columns, op)) for op in (Op.FLOOR, Op.CEIL))
    return builder.add(ir.Select(condition + down + up))


def _expit(columns: ir.Block, builder: Builder) -> ir.Block:
    """`ir.Sigmoid` takes no missing value."""
    return around_gaps(columns, builder, lambda present: builder.add(ir.Sigmoid(present)))


FUNCTIONS: dict[Any, Function] = {
    **{ufunc: _elementwise(op) for ufunc, op in UFUNCS.items()},
    np.positive: lambda columns, _builder: columns,
    np.isnan: lambda columns, builder: builder.add(ir.IsMissing(columns)),
    np.deg2rad: _times(math.pi / 180.0),
    np.radians: _times(math.pi / 180.0),
    np.rad2deg: _times(180.0 / math.pi),
    np.degrees: _times(180.0 / math.pi),
    np.trunc: _truncated,
    np.fix: _truncated,
    scipy.special.expit: _expit,
}
"""Functions that take no further arguments."""

MAX_DECIMALS = 22
"""Greater powers of ten are no doubles."""

OF_SPARSE = frozenset({np.sqrt, np.log1p, np.expm1, np.sin, np.tanh, np.rint, np.abs, np.negative, np.deg2rad,
                       np.rad2deg, np.arcsinh, np.arctan, np.sinh})  # fmt: skip
"""Functions that a sparse matrix takes, and that are the same there: 0 at 0."""


def apply(function: Any, arguments: Mapping[str, Any] | None, columns: ir.Block, builder: Builder) -> ir.Block:
    """function(columns, **arguments); None is the function that does nothing."""
    given = dict(arguments or {})
    if function is None and not given:
        return columns
    if _is_one_of(function, (np.clip,)):
        return _clip(given, columns, builder)
    if _is_one_of(function, (np.nan_to_num,)):
        return _nan_to_num(given, columns, builder)
    if _is_one_of(function, (np.round, np.around)):
        return _round(given, columns, builder)
    name = _name(function)
    if not _is_one_of(function, FUNCTIONS):
        builder.refuse(
            f"it calls the Python function {name}",
            "use a function of numpy that pgscore knows (np.log1p, np.sqrt, …), or compute the column in the table",
        )
    if given:
        builder.refuse(f"it calls {name} with {', '.join(sorted(given))}", "call it without further arguments")
    if builder.has_small_whole(columns) or (function is np.reciprocal and columns and builder.are_whole(columns)):
        builder.refuse(
            f"it calls {name} on whole numbers, of which numpy gives few digits",
            "make the encoder before it give dtype=float64",
        )
    if builder.sparse and function not in OF_SPARSE:
        builder.refuse(f"it calls {name} on a sparse matrix", "make the steps before it give dense output")
    return FUNCTIONS[function](columns, builder)


def function_transformer(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """`func` with `kw_args`, on checked columns if `validate`. func=None is what "passthrough" becomes."""
    return apply(estimator.func, estimator.kw_args, _validated(estimator, columns, builder), builder)


def inverse_function(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """`inverse_func` with `inv_kw_args`."""
    return apply(estimator.inverse_func, estimator.inv_kw_args, _validated(estimator, columns, builder), builder)


def _validated(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    return builder.finite(columns) if estimator.validate else columns


def _is_one_of(function: Any, known: Any) -> bool:
    """Whether it is one of them itself; what merely equals one may do anything."""
    return any(function is one for one in known)


def _name(function: Any) -> str:
    return str(getattr(function, "__qualname__", None) or getattr(function, "__name__", None) or repr(function))


def _clip(arguments: dict[str, Any], columns: ir.Block, builder: Builder) -> ir.Block:
    """np.clip with two numbers (None: no bound), by their old or their new names."""
    names = {"a_min": "min", "a_max": "max", "min": "min", "max": "max"}
    bounds = {"min": -math.inf, "max": math.inf}
    for name, value in arguments.items():
        is_bound = value is None or (isinstance(value, (int, float, np.number)) and value == value)
        if name not in names or not is_bound:
            builder.refuse(f"it calls np.clip with {name}={value!r}", "give numbers as bounds")
        if value is not None:
            bounds[names[name]] = float(value)
    if bounds["min"] > bounds["max"]:
        builder.refuse("it calls np.clip with a_min above a_max", "exchange the two")
    if bounds["min"] == -math.inf and bounds["max"] == math.inf:
        return columns
    if builder.sparse:
        builder.refuse("it calls np.clip on a sparse matrix", "make the steps before it give dense output")
    return builder.add(ir.Clip(columns, bounds["min"], bounds["max"]))


def _nan_to_num(arguments: dict[str, Any], columns: ir.Block, builder: Builder) -> ir.Block:
    """np.nan_to_num: `nan` (0) for missing, the largest doubles for infinities."""
    fill = arguments.pop("nan", 0.0)
    if arguments.keys() - {"copy"} or not isinstance(fill, (int, float, np.number)) or not math.isfinite(fill):
        builder.refuse("it calls np.nan_to_num with arguments other than a number for nan", "give that one alone")
    if builder.sparse:
        builder.refuse("it calls np.nan_to_num on a sparse matrix", "make the steps before it give dense output")
    filled = builder.add(ir.Impute(columns, np.full(len(columns), float(fill))))
    return builder.add(ir.Clip(filled, -FINITE, FINITE))


def _round(arguments: dict[str, Any], columns: ir.Block, builder: Builder) -> ir.Block:
    """np.round: the whole number next to x * 10^decimals, over 10^decimals; x / 10^-decimals below 0."""
    decimals = arguments.pop("decimals", 0)
    if arguments or not isinstance(decimals, (int, np.integer)) or abs(int(decimals)) > MAX_DECIMALS:
        builder.refuse("it calls np.round with other arguments than a few decimals", "give that one alone")
    if builder.sparse:
        builder.refuse("it calls np.round on a sparse matrix", "make the steps before it give dense output")
    if not decimals:
        return builder.add(ir.Elementwise(columns, Op.RINT))
    power = 10.0 ** abs(int(decimals))
    first, last = (scaled, divided) if decimals > 0 else (divided, scaled)
    return last(builder, builder.add(ir.Elementwise(first(builder, columns, power), Op.RINT)), power)


FRONTENDS: dict[type, Frontend] = {
    FunctionTransformer: function_transformer,
}

NOTES: dict[type, str] = {
    FunctionTransformer: "functions of numpy and scipy.special, recognised by identity; others are refused; "
    "np.reciprocal of whole numbers is 0 in numpy, and the gate refuses it: make them floats",
}
