"""Operators that compute: sums and products, functions of one number, comparisons, reductions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ... import ir
from ..float32 import float32_threshold
from .values import Attributes, Constant, Graph, Numbers, count

Inputs = list[str]


def _row(constant: Constant, graph: Graph) -> ir.FloatArray:
    """A constant that is the same for each row, as (k,)."""
    if constant.ndim > 2 or (constant.ndim == 2 and constant.shape[0] != 1):
        graph.leave("a constant has a row of its own for some rows")
    row = constant.astype(np.float64).ravel()
    if not np.isfinite(row).all():
        graph.leave("a constant is not finite")
    return row


def _spread(refs: ir.Block, width: int, graph: Graph) -> ir.Block:
    if len(refs) == width:
        return refs
    if len(refs) != 1:
        graph.leave("its inputs have other numbers of columns")
    return refs * width


def _shape(one: tuple[int, ...], other: tuple[int, ...], graph: Graph) -> tuple[int, ...]:
    """The shape of a result; a flat tensor (rows) goes with a flat one only."""
    if len(one) != len(other):
        graph.leave("its inputs have other numbers of dimensions")
    return tuple(max(a, b) for a, b in zip(one, other, strict=True))


def _with_constant(x: Numbers, constant: Constant, graph: Graph) -> tuple[ir.Block, ir.FloatArray, tuple[int, ...]]:
    row = _row(constant, graph)
    if not x.shape and constant.ndim and constant.size > 1:
        graph.leave("its inputs have other numbers of dimensions")
    width = max(len(x.refs), len(row))
    shape = x.shape if width == len(x.refs) else (*x.shape[:-1], width)
    return _spread(x.refs, width, graph), np.broadcast_to(row, width), shape


def _pair(a: Numbers, b: Numbers, graph: Graph) -> tuple[ir.Block, ir.Block, tuple[int, ...]]:
    shape = _shape(a.shape, b.shape, graph)
    width = count(shape)
    return _spread(a.refs, width, graph), _spread(b.refs, width, graph), shape


def _product(
    graph: Graph, node: ir.Multiply | ir.Divide, like: Numbers, exact: bool, shape: tuple[int, ...]
) -> Numbers:
    """Of two blocks; missing where one of them is."""
    made = graph.made(node, like, exact=exact, shape=shape)
    pairs = zip(made.refs, node.inputs[: node.width], node.inputs[node.width :], strict=True)
    graph.missing.update(new for new, a, b in pairs if a in graph.missing or b in graph.missing)
    return made


def _sum(graph: Graph, a: Numbers, b: Numbers, sign: float) -> Numbers:
    left, right, shape = _pair(a, b, graph)
    eye = np.eye(len(left))
    node = ir.Affine(graph.present(left + right), np.hstack([eye, sign * eye]), np.zeros(len(left)))
    return graph.made(node, a, exact=False, shape=shape)


def add(graph: Graph, inputs: Inputs, _attributes: Attributes) -> Numbers:
    """x + y."""
    a, b = (graph[name] for name in inputs)
    if isinstance(a, np.ndarray):
        a, b = b, a
    if not isinstance(a, Numbers):
        graph.leave("it reads what is no column of numbers")
    if isinstance(b, Numbers):
        return _sum(graph, a, b, 1.0)
    refs, row, shape = _with_constant(a, graph.constant(inputs[1] if b is graph[inputs[1]] else inputs[0]), graph)
    return graph.made(ir.MultiplyAdd(refs, np.ones(len(row)), row), a, exact=a.exact, shape=shape)


def subtract(graph: Graph, inputs: Inputs, _attributes: Attributes) -> Numbers:
    """x - y."""
    a, b = (graph[name] for name in inputs)
    if isinstance(a, Numbers) and isinstance(b, Numbers):
        return _sum(graph, a, b, -1.0)
    if isinstance(a, Numbers):
        refs, row, shape = _with_constant(a, graph.constant(inputs[1]), graph)
        return graph.made(ir.Standardize(refs, row, np.ones(len(row))), a, exact=a.exact, shape=shape)
    x = graph.numbers(inputs[1])
    refs, row, shape = _with_constant(x, graph.constant(inputs[0]), graph)
    return graph.made(ir.MultiplyAdd(refs, -np.ones(len(row)), row), x, exact=x.exact, shape=shape)


def multiply(graph: Graph, inputs: Inputs, _attributes: Attributes) -> Numbers:
    """x * y."""
    a, b = (graph[name] for name in inputs)
    if isinstance(a, Numbers) and isinstance(b, Numbers):
        left, right, shape = _pair(a, b, graph)
        return _product(graph, ir.Multiply(left + right), a, a.exact and b.exact, shape)
    x, constant = (inputs[1], inputs[0]) if isinstance(a, np.ndarray) else (inputs[0], inputs[1])
    numbers = graph.numbers(x)
    refs, row, shape = _with_constant(numbers, graph.constant(constant), graph)
    node = ir.MultiplyAdd(refs, row, np.zeros(len(row)))
    return graph.made(node, numbers, exact=numbers.exact, shape=shape)


def divide(graph: Graph, inputs: Inputs, _attributes: Attributes) -> Numbers:
    """x / y. A row with a divisor of 0 is refused, unless pgscore wrote the graph: it then chooses another value."""
    a, b = (graph[name] for name in inputs)
    if isinstance(a, Numbers) and isinstance(b, np.ndarray):
        refs, row, shape = _with_constant(a, b, graph)
        if not row.all():
            graph.leave("it divides by 0")
        return graph.made(ir.Standardize(refs, np.zeros(len(row)), row), a, exact=a.exact, shape=shape)
    divisor = graph.numbers(inputs[1])
    if isinstance(a, np.ndarray):
        refs, row, shape = _with_constant(divisor, a, graph)
        a = Numbers(graph.add(ir.Constant((), row)), shape, divisor.element)
    if not isinstance(a, Numbers):
        graph.leave("it reads what is no column of numbers")
    left, right, shape = _pair(a, replace(divisor, refs=graph.rounded(divisor)), graph)
    if not graph.own:
        sign = graph.add(ir.Elementwise(graph.add(ir.Elementwise(graph.present(right), ir.Op.SIGN)), ir.Op.ABS))
        graph.add(ir.Check(sign, 1.0, 1.0))
    return _product(graph, ir.Divide(left + right), a, a.exact and divisor.exact, shape)


def power(graph: Graph, inputs: Inputs, _attributes: Attributes) -> Numbers:
    """x^2; no other power."""
    x, exponent = graph.numbers(inputs[0]), graph.constant(inputs[1])
    if exponent.size != 1 or float(exponent.ravel()[0]) != 2.0:
        graph.leave("the power is not 2")
    return graph.made(ir.Elementwise(x.refs, ir.Op.SQUARE), x, exact=x.exact)


def matmul(graph: Graph, inputs: Inputs, _attributes: Attributes) -> Numbers:
    """x (rows, k) times a constant (k, m)."""
    x, weights = graph.numbers(inputs[0]), graph.constant(inputs[1]).astype(np.float64)
    return _affine(graph, x, weights.T, np.zeros(weights.shape[-1] if weights.ndim == 2 else 1))


def gemm(graph: Graph, inputs: Inputs, attributes: Attributes) -> Numbers:
    """alpha x w + beta c."""
    x, weights = graph.numbers(inputs[0]), graph.constant(inputs[1]).astype(np.float64)
    if attributes.get("transA", 0):
        graph.leave("it transposes the rows")
    weights = attributes.get("alpha", 1.0) * (weights if attributes.get("transB", 0) else weights.T)
    bias = np.zeros(1)
    if len(inputs) > 2 and inputs[2]:
        bias = attributes.get("beta", 1.0) * _row(graph.constant(inputs[2]), graph)
    return _affine(graph, x, weights, np.broadcast_to(bias, len(weights)))


def _affine(graph: Graph, x: Numbers, weights: ir.FloatArray, bias: ir.FloatArray) -> Numbers:
    if weights.ndim != 2 or len(x.shape) != 1 or weights.shape[1] != len(x.refs):
        graph.leave("it is no product of rows and a matrix")
    if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
        graph.leave("its weights are not finite")
    node = ir.Affine(graph.present(x.refs), weights, bias)
    return graph.made(node, x, exact=False, shape=(len(weights),))


def curve(op: ir.Op) -> Callable[[Graph, Inputs, Attributes], Numbers]:
    """A function of one number."""

    def operator(graph: Graph, inputs: Inputs, _attributes: Attributes) -> Numbers:
        x = graph.numbers(inputs[0])
        single = x.element is ir.Element.FLOAT
        if not x.exact and not graph.own and (op in _JUMPS or (single and op in _STEEP)):
            graph.leave("it reads numbers that were computed in float32, or by sums")
        refs = graph.rounded(x) if op in _JUMPS or op in _STEEP else x.refs
        return graph.made(ir.Elementwise(refs, op), x, exact=x.exact and op in _EXACT)

    return operator


_JUMPS = frozenset({ir.Op.SIGN, ir.Op.FLOOR, ir.Op.CEIL, ir.Op.RINT})
"""The floor of 0.9999999999 is 1 in float32, which rounds it to 1 first: what jumps needs the very number."""
_STEEP = frozenset({ir.Op.SIN, ir.Op.COS, ir.Op.LOG})
"""Functions of which the rounding of a large or tiny number changes more than the last digits."""
_EXACT = frozenset({*_JUMPS, ir.Op.ABS, ir.Op.NEGATIVE, ir.Op.SQRT})
"""Functions that IEEE 754 defines to the last bit."""


def sigmoid(graph: Graph, inputs: Inputs, _attributes: Attributes) -> Numbers:
    """1 / (1 + exp(-x))."""
    x = graph.numbers(inputs[0])
    return graph.made(ir.Sigmoid(graph.present(x.refs)), x, exact=False)


def softmax(graph: Graph, inputs: Inputs, attributes: Attributes) -> Numbers:
    """Over the columns."""
    x = graph.numbers(inputs[0])
    if len(x.shape) != 1 or attributes.get("axis", -1) not in (-1, 1):
        graph.leave("it is not over the columns")
    return graph.made(ir.Softmax(graph.within(x)), x, exact=False)


def relu(graph: Graph, inputs: Inputs, _attributes: Attributes) -> Numbers:
    """max(x, 0)."""
    x = graph.numbers(inputs[0])
    return graph.made(ir.Clip(graph.present(x.refs), 0.0, ir.FINITE), x, exact=x.exact)


def clip(graph: Graph, inputs: Inputs, attributes: Attributes) -> Numbers:
    """Between two constants, as inputs or (before opset 11) as attributes."""
    x = graph.numbers(inputs[0])
    bounds = []
    for position, (name, end) in enumerate((("min", -ir.FINITE), ("max", ir.FINITE)), start=1):
        given = len(inputs) > position and inputs[position]
        bound = float(graph.constant(inputs[position]).ravel()[0]) if given else float(attributes.get(name, end))
        bounds.append(max(-ir.FINITE, min(ir.FINITE, bound)))
    if not bounds[0] <= bounds[1]:
        graph.leave("its bounds are no range")
    return graph.made(ir.Clip(graph.present(x.refs), *bounds), x, exact=x.exact)


def reduce(kind: str) -> Callable[[Graph, Inputs, Attributes], Numbers]:
    """A reduction over the columns."""

    def operator(graph: Graph, inputs: Inputs, attributes: Attributes) -> Numbers:
        x = graph.numbers(inputs[0])
        axes = graph.constant(inputs[1]).ravel().tolist() if len(inputs) > 1 and inputs[1] else attributes.get("axes")
        if len(x.shape) != 1 or list(axes or ()) not in ([1], [-1]):
            graph.leave("it is not over the columns")
        refs, shape = graph.present(x.refs), (1,) if attributes.get("keepdims", 1) else ()
        if kind in ("max", "min"):
            return graph.made(ir.Reduce(refs, ir.Reduction(kind)), x, exact=x.exact, shape=shape)
        if kind in ("norm", "squares"):
            refs = graph.add(ir.Multiply(refs + refs))
        weight = 1 / len(refs) if kind == "mean" else 1.0
        total = graph.made(ir.Affine(refs, np.full((1, len(refs)), weight), np.zeros(1)), x, exact=False, shape=shape)
        if kind == "norm":
            total = replace(total, refs=graph.within(total))
            return graph.made(ir.Elementwise(total.refs, ir.Op.SQRT), total, exact=False)
        return total

    return operator


def argmax(graph: Graph, inputs: Inputs, attributes: Attributes) -> Numbers:
    """The first of the largest columns."""
    return _arg(graph, inputs, attributes, 1.0)


def argmin(graph: Graph, inputs: Inputs, attributes: Attributes) -> Numbers:
    """The first of the smallest columns."""
    return _arg(graph, inputs, attributes, -1.0)


def _arg(graph: Graph, inputs: Inputs, attributes: Attributes, sign: float) -> Numbers:
    x = graph.numbers(inputs[0])
    if len(x.shape) != 1 or attributes.get("axis", 0) not in (-1, 1) or attributes.get("select_last_index", 0):
        graph.leave("it is not the first of the columns")
    refs = graph.present(graph.rounded(x))
    if sign < 0:
        refs = graph.add(ir.MultiplyAdd(refs, np.full(len(refs), sign), np.zeros(len(refs))))
    shape = (1,) if attributes.get("keepdims", 1) else ()
    return Numbers(graph.add(ir.ArgMax(refs)), shape, ir.Element.INT64)


# Conditions are columns of 0 and 1.


def compare(kind: str) -> Callable[[Graph, Inputs, Attributes], Numbers]:
    """x > y and its like; `kind` is the operator."""

    def operator(graph: Graph, inputs: Inputs, _attributes: Attributes) -> Numbers:
        a, b = (graph[name] for name in inputs)
        sign = kind
        if isinstance(a, np.ndarray):
            a, b, sign = b, a, _MIRRORED[kind]
        if not isinstance(a, Numbers):
            graph.leave("it reads what is no column of numbers")
        if isinstance(b, Numbers):
            a, b = (replace(side, refs=graph.rounded(side)) for side in (a, b))
            whole = a.element is ir.Element.INT64  # of which the difference may go beyond the whole doubles
            a, b = _sum(graph, replace(a, element=ir.Element.DOUBLE) if whole else a, b, -1.0), np.zeros(1)
        if not isinstance(b, np.ndarray):
            graph.leave("it compares labels")
        refs, row, shape = _with_constant(a, b, graph)
        if sign == "=":
            return Numbers(_equal(graph, a, refs, row), shape, ir.Element.BOOL)
        return Numbers(_compared(graph, a, refs, row, sign), shape, ir.Element.BOOL)

    return operator


_MIRRORED = {">": "<", "<": ">", ">=": "<=", "<=": ">=", "=": "="}


def _compared(graph: Graph, x: Numbers, refs: ir.Block, row: ir.FloatArray, sign: str) -> ir.Block:
    """x > t, or its opposite x <= t; of x rounded to float32, with the threshold moved."""
    single = x.element is ir.Element.FLOAT and x.exact
    if single:
        row = row.astype(np.float32).astype(np.float64)
    strict = sign in (">", "<=")
    if single and not strict:
        row = np.nextafter(row.astype(np.float32), np.float32(-np.inf)).astype(np.float64)
        strict = True
    if single:
        row = float32_threshold(row)
    graph.present(refs)
    made = tuple(
        column
        for ref, threshold in zip(refs, row, strict=True)
        for column in graph.builder.add(ir.Step((ref,), float(threshold), inclusive=not strict))
    )
    return made if sign[0] == ">" else _negated(graph, made)


def _equal(graph: Graph, x: Numbers, refs: ir.Block, row: ir.FloatArray) -> ir.Block:
    if x.element is ir.Element.FLOAT:
        graph.leave("it compares rounded numbers")
    graph.present(refs)
    if len(set(refs)) == 1:  # one column against several values
        values = list(dict.fromkeys(row.tolist()))
        (code,) = graph.builder.add(ir.Codes(refs[:1], tuple(values)))
        return graph.builder.add(ir.OneHot((code,), tuple((float(values.index(value)),) for value in row.tolist())))
    made: list[ir.Ref] = []
    for ref, value in zip(refs, row.tolist(), strict=True):
        (code,) = graph.builder.add(ir.Codes((ref,), (value,)))
        made += graph.builder.add(ir.OneHot((code,), ((0.0,),)))
    return tuple(made)


def _negated(graph: Graph, refs: ir.Block) -> ir.Block:
    return graph.builder.add(ir.MultiplyAdd(refs, np.full(len(refs), -1.0), np.ones(len(refs))))


def negate(graph: Graph, inputs: Inputs, _attributes: Attributes) -> Numbers:
    """Not."""
    x = graph.numbers(inputs[0])
    return Numbers(_negated(graph, x.refs), x.shape, ir.Element.BOOL)


def both(graph: Graph, inputs: Inputs, _attributes: Attributes) -> Numbers:
    """And."""
    left, right, shape = _pair(graph.numbers(inputs[0]), graph.numbers(inputs[1]), graph)
    return Numbers(graph.builder.add(ir.Multiply(graph.present(left + right))), shape, ir.Element.BOOL)


def either(graph: Graph, inputs: Inputs, _attributes: Attributes) -> Numbers:
    """Or."""
    left, right, shape = _pair(graph.numbers(inputs[0]), graph.numbers(inputs[1]), graph)
    return Numbers(graph.builder.add(ir.Select(graph.present(left + left + right))), shape, ir.Element.BOOL)


def is_nan(graph: Graph, inputs: Inputs, _attributes: Attributes) -> Numbers:
    """Whether it is missing."""
    x = graph.numbers(inputs[0])
    return Numbers(graph.builder.add(ir.IsMissing(x.refs)), x.shape, ir.Element.BOOL)


def where(graph: Graph, inputs: Inputs, _attributes: Attributes) -> Numbers:
    """A choice between two blocks; the one that fills a column's missing values is an Impute."""
    condition = graph.numbers(inputs[0])
    sides = [graph[name] for name in inputs[1:]]
    element = next((side.element for side in sides if isinstance(side, Numbers)), None)
    if element is None:
        element = ir.Element.DOUBLE if sides[0].dtype == np.float64 else ir.Element.FLOAT  # type: ignore[union-attr]
    shape = condition.shape
    for side in sides:
        shape = _shape(shape, side.shape, graph) if isinstance(side, Numbers) else shape
    width = max(count(shape), *(side.size for side in sides if isinstance(side, np.ndarray)), 1)
    shape = (*shape[:-1], width) if shape else shape
    chosen, other = sides
    if isinstance(chosen, np.ndarray) and isinstance(other, Numbers) and _fills(graph, condition, other):
        row = np.broadcast_to(_row(chosen, graph), width)
        return Numbers(graph.builder.add(ir.Impute(other.refs, row)), shape, element, other.exact)
    blocks: list[ir.Block] = []
    for side in sides:
        if isinstance(side, np.ndarray):
            blocks.append(graph.builder.add(ir.Constant((), np.broadcast_to(_row(side, graph), width))))
        elif isinstance(side, Numbers):
            blocks.append(graph.present(_spread(side.refs, width, graph)))
        else:
            graph.leave("it chooses between labels")
    exact = all(side.exact for side in sides if isinstance(side, Numbers))
    refs = _spread(condition.refs, width, graph)
    return Numbers(graph.builder.add(ir.Select(refs + blocks[0] + blocks[1])), shape, element, exact)


def _fills(graph: Graph, condition: Numbers, x: Numbers) -> bool:
    """Whether the condition is that x is missing."""
    nodes: list[Any] = [graph.builder.nodes[ref.node] for ref in condition.refs]
    return len(condition.refs) == len(x.refs) and all(
        isinstance(node, ir.IsMissing) and node.inputs[ref.column] == given
        for node, ref, given in zip(nodes, condition.refs, x.refs, strict=True)
    )
