"""CouplePairwise in ONNX: a loop over libsvm's iterations, in which rows that have settled stay as they are."""

from __future__ import annotations

import numpy as np
import onnx

from .. import ir
from .onnx_graph import GraphWriter
from .onnx_rows import loop_body


def couple(node: ir.CouplePairwise, x: str, writer: GraphWriter) -> str:
    """Probabilities: (rows, n_classes)."""
    q = _quadratic_form(node, x, writer)
    start = writer.fill(np.full(node.width, 1 / node.width))
    unsettled = writer.op("GreaterOrEqual", writer.columns(start, [0]), writer.constant(0.0))
    inside = writer.nested()
    names = [f"{inside.prefix}{name}" for name in ("turn", "go", "p", "active")]
    p, active = names[2:]
    products = [_added([_times(q[t][j], _column(p, j, inside), inside) for j in range(node.width)], inside)
                for t in range(node.width)]  # fmt: skip
    total = _added([_times(_column(p, t, inside), products[t], inside) for t in range(node.width)], inside)
    errors = [inside.op("Abs", inside.op("Sub", product, total)) for product in products]
    error = inside.op("Max", *errors)
    active = inside.op("And", active, inside.op("GreaterOrEqual", error, inside.constant(node.tolerance)))
    better = inside.op("Where", active, _sweep(node, q, p, products, total, inside), p)
    any_active = inside.op("ReduceSum", inside.double(active), keepdims=0)
    go_on = inside.op("Greater", any_active, inside.constant(0.0))
    graph = loop_body(inside, names, [go_on, better, active], [onnx.TensorProto.DOUBLE, onnx.TensorProto.BOOL])
    result = f"{writer.prefix}{len(writer.nodes)}"
    turns = writer.constant(node.max_iterations, np.int64)
    outputs = [result, f"{result}_active"]
    writer.nodes.append(onnx.helper.make_node("Loop", [turns, "", start, unsettled], outputs, body=graph))
    return result


def _quadratic_form(node: ir.CouplePairwise, x: str, writer: GraphWriter) -> list[list[str]]:
    """Q (n_classes, n_classes) as columns of rows: (rows, 1) each."""
    n = node.width
    one = writer.constant(1.0)
    r = [[""] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1, n):
            r[i][j] = writer.columns(x, [node.pair(i, j)])
            r[j][i] = writer.op("Sub", one, r[i][j])
    q = [[""] * n for _ in range(n)]
    for t in range(n):
        q[t][t] = _added([_times(r[j][t], r[j][t], writer) for j in range(n) if j != t], writer)
        for j in range(t + 1, n):
            q[t][j] = q[j][t] = writer.op("Neg", _times(r[j][t], r[t][j], writer))
    return q


def _sweep(  # noqa: PLR0913, PLR0917 - the state of the iteration
    node: ir.CouplePairwise, q: list[list[str]], p: str, products: list[str], total: str, writer: GraphWriter
) -> str:
    """Each class adjusted once."""
    one, two = writer.constant(1.0), writer.constant(2.0)
    shares = [_column(p, t, writer) for t in range(node.width)]
    for t in range(node.width):
        diff = writer.op("Div", writer.op("Sub", total, products[t]), q[t][t])
        shares[t] = writer.op("Add", shares[t], diff)
        divisor = writer.op("Add", one, diff)
        inner = writer.op("Add", _times(diff, q[t][t], writer), _times(two, products[t], writer))
        total = writer.op("Add", total, _times(diff, inner, writer))
        total = writer.op("Div", writer.op("Div", total, divisor), divisor)
        products = [
            writer.op("Div", writer.op("Add", product, _times(diff, q[t][j], writer)), divisor)
            for j, product in enumerate(products)
        ]
        shares = [writer.op("Div", share, divisor) for share in shares]
    return writer.op("Concat", *shares, axis=1)


def _column(x: str, index: int, writer: GraphWriter) -> str:
    return writer.columns(x, [index])


def _times(a: str, b: str, writer: GraphWriter) -> str:
    return writer.op("Mul", a, b)


def _added(terms: list[str], writer: GraphWriter) -> str:
    total = terms[0]
    for term in terms[1:]:
        total = writer.op("Add", total, term)
    return total
