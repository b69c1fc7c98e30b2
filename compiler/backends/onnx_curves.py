"""Functions of one number in ONNX: named ones, and piecewise polynomials. As numpy, they give NaN outside a domain."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx

from .. import ir
from ..ir import Op
from .normal_quantile import EXP_MINUS_2, FAR_TAIL, MIDDLE, ROOT_2PI, TAIL, Ratio
from .onnx_graph import GraphWriter, refuse_overflow


def elementwise(node: ir.Elementwise, x: str, writer: GraphWriter) -> str:
    """op(x) for a block."""
    return CURVES[node.op](x, writer)


def _operator(kind: str) -> Callable[[str, GraphWriter], str]:
    return lambda x, writer: writer.op(kind, x)


def _expm1(x: str, writer: GraphWriter) -> str:
    """(e - 1) (x / ln e) with e = exp(x): the rounding of e cancels (Kahan)."""
    one = writer.constant(1.0)
    e = writer.op("Exp", x)
    less = writer.op("Sub", e, one)
    quotient = writer.op("Mul", less, writer.op("Div", x, writer.op("Log", e)))
    is_plain = writer.op("Or", writer.op("Equal", less, writer.constant(-1.0)), writer.op("IsInf", e))
    return writer.op("Where", writer.op("Equal", e, one), x, writer.op("Where", is_plain, less, quotient))


def _log1p(x: str, writer: GraphWriter) -> str:
    """ln(s) x / (s - 1) with s = 1 + x: the rounding of the sum cancels (Kahan)."""
    one = writer.constant(1.0)
    total = writer.op("Add", one, x)
    log = writer.op("Log", total)
    corrected = writer.op("Mul", log, writer.op("Div", x, writer.op("Sub", total, one)))
    is_plain = writer.op("Or", writer.op("IsInf", total), writer.op("IsInf", log))
    return writer.op("Where", writer.op("Equal", total, one), x, writer.op("Where", is_plain, log, corrected))


def _scaled_log(base: float) -> Callable[[str, GraphWriter], str]:
    return lambda x, writer: writer.op("Div", writer.op("Log", x), writer.constant(math.log(base)))


def _cbrt(x: str, writer: GraphWriter) -> str:
    """One step of Newton after the power, which is not right to the last digits."""
    magnitude = writer.op("Abs", x)
    root = writer.op("Pow", magnitude, writer.constant(1 / 3))
    square = writer.op("Mul", root, root)
    twice = writer.op("Mul", root, writer.constant(2.0))
    better = writer.op("Div", writer.op("Add", twice, writer.op("Div", magnitude, square)), writer.constant(3.0))
    plain = writer.op("Or", writer.op("Equal", x, writer.constant(0.0)), writer.op("IsInf", x))
    return writer.op("Mul", writer.op("Sign", x), writer.op("Where", plain, root, better))


def _normal_quantile(x: str, writer: GraphWriter) -> str:
    """Cephes ndtri: see normal_quantile.py."""
    one, half, zero = writer.constant(1.0), writer.constant(0.5), writer.constant(0.0)
    centred = writer.op("Sub", x, half)
    square = writer.op("Mul", centred, centred)
    bent = writer.op("Mul", centred, writer.op("Mul", square, _ratio(MIDDLE, square, writer)))
    middle = writer.op("Mul", writer.op("Add", centred, bent), writer.constant(ROOT_2PI))
    lower, upper = writer.op("Neg", _tail(x, writer)), _tail(writer.op("Sub", one, x), writer)
    low, high = writer.constant(EXP_MINUS_2), writer.constant(1 - EXP_MINUS_2)
    inner = writer.op("Where", writer.op("Greater", x, high), upper, middle)
    result = writer.op("Where", writer.op("LessOrEqual", x, low), lower, inner)
    result = writer.op("Where", writer.op("Equal", x, zero), writer.constant(-math.inf), result)
    return writer.op("Where", writer.op("Equal", x, one), writer.constant(math.inf), result)


def _tail(y: str, writer: GraphWriter) -> str:
    r = writer.op("Sqrt", writer.op("Mul", writer.op("Log", y), writer.constant(-2.0)))
    z = writer.op("Reciprocal", r)
    near, far = (writer.op("Mul", z, _ratio(table, z, writer)) for table in (TAIL, FAR_TAIL))
    correction = writer.op("Where", writer.op("Less", r, writer.constant(8.0)), near, far)
    main = writer.op("Sub", r, writer.op("Div", writer.op("Log", r), r))
    return writer.op("Sub", main, correction)


def _ratio(table: Ratio, x: str, writer: GraphWriter) -> str:
    return writer.op("Div", _horner(table[0], x, writer), _horner(table[1], x, writer))


def _horner(coefficients: Sequence[float], x: str, writer: GraphWriter) -> str:
    total = writer.constant(coefficients[0])
    for coefficient in coefficients[1:]:
        total = writer.op("Add", writer.op("Mul", total, x), writer.constant(coefficient))
    return total


CURVES: dict[Op, Callable[[str, GraphWriter], str]] = {
    Op.EXP: _operator("Exp"),
    Op.EXPM1: _expm1,
    Op.LOG: _operator("Log"),
    Op.LOG1P: _log1p,
    Op.LOG2: _scaled_log(2.0),
    Op.LOG10: _scaled_log(10.0),
    Op.SQRT: _operator("Sqrt"),
    Op.CBRT: _cbrt,
    Op.SQUARE: lambda x, writer: writer.op("Mul", x, x),
    Op.RECIPROCAL: lambda x, writer: writer.op("Div", writer.constant(1.0), x),
    Op.ABS: _operator("Abs"),
    Op.NEGATIVE: _operator("Neg"),
    Op.SIGN: _operator("Sign"),
    Op.FLOOR: _operator("Floor"),
    Op.CEIL: _operator("Ceil"),
    Op.RINT: _operator("Round"),
    Op.SIN: _operator("Sin"),
    Op.COS: _operator("Cos"),
    Op.TANH: _operator("Tanh"),
    Op.NORMAL_QUANTILE: _normal_quantile,
}
"""Every function of `ir.Elementwise`."""


def piecewise(node: ir.Piecewise, x: str, writer: GraphWriter) -> str:
    """Counts the knots below x, gathers that piece's coefficients, and evaluates its polynomials."""
    powers = node.coefficients.shape[2]
    axis = writer.constant([1], np.int64)
    below = writer.fill(np.zeros(1))
    if len(node.knots):
        below = writer.double(writer.op("GreaterOrEqual", x, writer.constant(node.knots[np.newaxis])))
    count = writer.op("ReduceSum", below, axis, keepdims=0)
    piece = writer.op("Cast", count, to=onnx.TensorProto.INT64)
    shifted = writer.op("Sub", x, writer.op("Gather", writer.constant(node.origin[:, np.newaxis]), piece, axis=0))
    # A level piece is level at infinity too.
    is_level = writer.constant(~node.coefficients[:, :, 1:].any(axis=2), np.bool_)
    t = writer.op("Where", writer.op("Gather", is_level, piece, axis=0), writer.constant(0.0), shifted)
    gathered = [
        writer.op("Gather", writer.constant(node.coefficients[:, :, power]), piece, axis=0) for power in range(powers)
    ]
    total = gathered[-1]
    for coefficient in reversed(gathered[:-1]):
        total = writer.op("Add", writer.op("Mul", total, t), coefficient)
    return refuse_overflow(writer.op("Where", writer.op("IsNaN", x), writer.constant(math.nan), total), writer)
