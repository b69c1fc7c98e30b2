"""Functions of one number in ONNX: named ones, and piecewise polynomials. As numpy, they give NaN outside a domain."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx

from .. import ir
from ..ir import Op
from .normal_cdf import CENTRE, FAR_SIDE, ROOT_HALF, SIDE
from .normal_quantile import EXP_MINUS_2, FAR_TAIL, MIDDLE, ROOT_2PI, TAIL, Ratio
from .onnx_graph import GraphWriter, refuse_overflow

ARCTAN: Ratio = (
    (-8.750608600031904122785e-1, -1.615753718733365076637e1, -7.500855792314704667340e1, -1.228866684490136173410e2,
     -6.485021904942025371773e1),
    (1.0, 2.485846490142306297962e1, 1.650270098316988542046e2, 4.328810604912902668951e2, 4.853903996359136964868e2,
     1.945506571482613964425e2),
)  # fmt: skip
"""(atan(x) - x) / x^3 as a function of x^2, up to x = 0.66 (Cephes)."""
ARCTAN_FAR = 1 + math.sqrt(2)
"""The tangent of 3 pi / 8."""


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


def _float32(x: str, writer: GraphWriter) -> str:
    single = writer.op("Cast", x, to=onnx.TensorProto.FLOAT)
    return writer.op("Cast", single, to=onnx.TensorProto.DOUBLE)


def _sinh(x: str, writer: GraphWriter) -> str:
    """(e + e / (e + 1)) / 2 with e = expm1(|x|); beyond exp, exp(|x|/2)^2 / 2."""
    size = writer.op("Abs", x)
    e, one, half = _expm1(size, writer), writer.constant(1.0), writer.constant(0.5)
    total = writer.op("Mul", half, writer.op("Add", e, writer.op("Div", e, writer.op("Add", e, one))))
    far = _half_of_exp(size, writer)
    return writer.op("Mul", writer.op("Sign", x), _where_far(size, far, total, writer))


def _cosh(x: str, writer: GraphWriter) -> str:
    """(e + 1/e) / 2 with e = exp(|x|); beyond exp, exp(|x|/2)^2 / 2."""
    size = writer.op("Abs", x)
    e = writer.op("Exp", size)
    total = writer.op("Mul", writer.constant(0.5), writer.op("Add", e, writer.op("Reciprocal", e)))
    return _where_far(size, _half_of_exp(size, writer), total, writer)


def _half_of_exp(x: str, writer: GraphWriter) -> str:
    root = writer.op("Exp", writer.op("Mul", x, writer.constant(0.5)))
    return writer.op("Mul", writer.op("Mul", root, writer.constant(0.5)), root)


def _where_far(x: str, far: str, near: str, writer: GraphWriter) -> str:
    return writer.op("Where", writer.op("Greater", x, writer.constant(700.0)), far, near)


def _arcsinh(x: str, writer: GraphWriter) -> str:
    """Of a = |x|: log1p(a + a^2 / (1 + sqrt(a^2 + 1))), and log(a) + log(2) beyond 1e8."""
    size, one = writer.op("Abs", x), writer.constant(1.0)
    square = writer.op("Mul", size, size)
    root = writer.op("Add", one, writer.op("Sqrt", writer.op("Add", square, one)))
    near = _log1p(writer.op("Add", size, writer.op("Div", square, root)), writer)
    far = writer.op("Add", writer.op("Log", size), writer.constant(math.log(2.0)))
    chosen = writer.op("Where", writer.op("Greater", size, writer.constant(1e8)), far, near)
    return writer.op("Mul", writer.op("Sign", x), chosen)


def _arctan(x: str, writer: GraphWriter) -> str:
    """Cephes atan: a rational function next to 0, to which -1/x and (x - 1) / (x + 1) lead back."""
    size, one, zero = writer.op("Abs", x), writer.constant(1.0), writer.constant(0.0)
    is_far = writer.op("Greater", size, writer.constant(ARCTAN_FAR))
    is_near = writer.op("LessOrEqual", size, writer.constant(0.66))
    middle = writer.op("Div", writer.op("Sub", size, one), writer.op("Add", size, one))
    reduced = writer.op("Where", is_near, size, middle)
    reduced = writer.op("Where", is_far, writer.op("Neg", writer.op("Reciprocal", size)), reduced)
    start = writer.op("Where", is_near, zero, writer.constant(math.pi / 4))
    start = writer.op("Where", is_far, writer.constant(math.pi / 2), start)
    square = writer.op("Mul", reduced, reduced)
    bent = writer.op("Mul", reduced, writer.op("Mul", square, _ratio(ARCTAN, square, writer)))
    return writer.op("Mul", writer.op("Sign", x), writer.op("Add", start, writer.op("Add", reduced, bent)))


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


def _normal_cdf(x: str, writer: GraphWriter) -> str:
    """Cephes ndtr: see normal_cdf.py."""
    one, half = writer.constant(1.0), writer.constant(0.5)
    z = writer.op("Mul", x, writer.constant(ROOT_HALF))
    size, square = writer.op("Abs", z), writer.op("Mul", z, z)
    erf = writer.op("Mul", z, _ratio(CENTRE, square, writer))
    centre = writer.op("Add", half, writer.op("Mul", half, erf))
    # Beyond 27 exp(-z^2) is 0, and the ratio must not be infinite over infinite.
    bounded = writer.op("Where", writer.op("Greater", size, writer.constant(30.0)), writer.constant(30.0), size)
    near, far = _ratio(SIDE, bounded, writer), _ratio(FAR_SIDE, bounded, writer)
    side = writer.op("Where", writer.op("Less", size, writer.constant(8.0)), near, far)
    tail = writer.op("Mul", half, writer.op("Mul", writer.op("Exp", writer.op("Neg", square)), side))
    above = writer.op("Where", writer.op("Greater", x, writer.constant(0.0)), writer.op("Sub", one, tail), tail)
    return writer.op("Where", writer.op("Less", size, one), centre, above)


def _ratio(table: Ratio, x: str, writer: GraphWriter) -> str:
    return writer.op("Div", _horner(table[0], x, writer), _horner(table[1], x, writer))


def _horner(coefficients: Sequence[float], x: str, writer: GraphWriter) -> str:
    total = writer.constant(coefficients[0])
    for coefficient in coefficients[1:]:
        total = writer.op("Add", writer.op("Mul", total, x), writer.constant(coefficient))
    return total


CURVES: dict[Op, Callable[[str, GraphWriter], str]] = {
    Op.EXP: _operator("Exp"),
    Op.EXP2: lambda x, writer: writer.op("Pow", writer.constant(2.0), x),
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
    Op.SINH: _sinh,
    Op.COSH: _cosh,
    Op.ARCSINH: _arcsinh,
    Op.ARCTAN: _arctan,
    Op.NORMAL_QUANTILE: _normal_quantile,
    Op.FLOAT32: _float32,
    Op.NORMAL_CDF: _normal_cdf,
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
