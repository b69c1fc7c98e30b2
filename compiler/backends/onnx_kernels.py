"""Kernel machines in ONNX. Distances are sums over coordinates, which lose no digits where a matrix product would."""

from __future__ import annotations

import math

import numpy as np

from .. import ir
from ..ir import kernels
from ..values import FloatArray
from .onnx_graph import GraphWriter, refuse_overflow
from .onnx_rows import in_chunks


def kernel(node: ir.Kernel, x: str, writer: GraphWriter) -> str:
    """bias + the weighted sum of K over the points: (rows, width)."""

    def summed(rows: str, inside: GraphWriter) -> str:
        similarities = _similarities(node.form, rows, node.points, inside)
        return inside.op("MatMul", similarities, inside.constant(node.weights.T))

    total = in_chunks(x, len(node.points), node.width, summed, writer)
    total = writer.op("Add", total, writer.constant(node.bias[np.newaxis]))
    # Its inputs are never missing: NaN is infinity less infinity.
    writer.refuse(writer.op("IsNaN", total))
    return refuse_overflow(total, writer)


def _similarities(  # noqa: PLR0911, PLR0912 - one for each kernel
    form: kernels.Form, x: str, points: FloatArray, writer: GraphWriter
) -> str:
    """K(x, p): (rows, points)."""

    def op(kind: str, *inputs: str | float) -> str:
        return writer.op(kind, *(writer.constant(i) if isinstance(i, float) else i for i in inputs))

    match form:
        case kernels.Sum(left, right) | kernels.Product(left, right):
            sides = _similarities(left, x, points, writer), _similarities(right, x, points, writer)
            return op("Add" if isinstance(form, kernels.Sum) else "Mul", *sides)
        case kernels.Power(base, exponent):
            return op("Pow", _similarities(base, x, points, writer), exponent)
        case kernels.Dot():
            return _dot(x, points, writer)
        case kernels.Polynomial(gamma, coef0, degree):
            return op("Pow", op("Add", op("Mul", _dot(x, points, writer), gamma), coef0), float(degree))
        case kernels.Tanh(gamma, coef0):
            return op("Tanh", op("Add", op("Mul", _dot(x, points, writer), gamma), coef0))
        case kernels.Gaussian(gamma, scale):
            return op("Exp", op("Mul", squared_distances(x, points, writer, scale), -gamma))
        case kernels.Laplacian(gamma):
            return op("Exp", op("Mul", absolute_distances(x, points, writer), -gamma))
        case kernels.Matern(nu, scale):
            r = op("Sqrt", squared_distances(x, points, writer, scale))
            t = op("Mul", r, kernels.MATERN_ROOTS[nu])
            decay = op("Exp", op("Neg", t))
            if nu == 0.5:
                return decay
            polynomial = op("Add", t, 1.0)
            if nu == 2.5:
                polynomial = op("Add", polynomial, op("Div", op("Mul", t, t), 3.0))
            return op("Mul", polynomial, decay)
        case kernels.RationalQuadratic(alpha, length):
            ratio = op("Div", squared_distances(x, points, writer), 2 * alpha * length**2)
            return op("Pow", op("Add", ratio, 1.0), -alpha)
        case kernels.Periodic(length, period):
            r = op("Sqrt", squared_distances(x, points, writer))
            sine = op("Div", op("Sin", op("Mul", r, math.pi / period)), length)
            return op("Exp", op("Mul", op("Mul", sine, sine), -2.0))
        case kernels.Uniform(value):
            zero = op("Mul", _dot(x, np.zeros_like(points), writer), 0.0)
            return op("Add", zero, value)


def _dot(x: str, points: FloatArray, writer: GraphWriter) -> str:
    return writer.op("MatMul", x, writer.constant(points.T))


def squared_distances(x: str, points: FloatArray, writer: GraphWriter, scale: tuple[float, ...] = (1.0,)) -> str:
    """(rows, points), added up over the coordinates in their order, each divided by its scale."""
    if scale != (1.0,):
        x = writer.op("Div", x, writer.constant(np.broadcast_to(np.array(scale), (1, points.shape[1]))))
    total = ""
    for t in differences(x, points / np.array(scale), writer):
        square = writer.op("Mul", t, t)
        total = writer.op("Add", total, square) if total else square
    return total


def absolute_distances(x: str, points: FloatArray, writer: GraphWriter) -> str:
    """(rows, points), added up over the coordinates in their order."""
    total = ""
    for t in differences(x, points, writer):
        magnitude = writer.op("Abs", t)
        total = writer.op("Add", total, magnitude) if total else magnitude
    return total


def differences(x: str, points: FloatArray, writer: GraphWriter) -> list[str]:
    """What each coordinate of the rows is more than that of the points: (rows, points) for each coordinate."""
    return [
        writer.op("Sub", writer.columns(x, [j]), writer.constant(points[np.newaxis, :, j]))
        for j in range(points.shape[1])
    ]
