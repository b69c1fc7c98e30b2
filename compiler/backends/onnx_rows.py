"""Rows in chunks: what is large for each row is computed for a few rows at a time, so that memory stays small."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

from .onnx_graph import GraphWriter

CELLS = 2**17
"""Numbers in a tensor of one chunk: a megabyte, which a processor's cache holds."""
MAX_BATCH = 10_000
"""Rows that a refresh sends at once."""


def in_chunks(x: str, cells: int, width: int, body: Callable[[str, GraphWriter], str], writer: GraphWriter) -> str:
    """`body` of the block x, (rows, width), some rows at a time; it makes tensors of `cells` numbers for each row."""
    if cells * MAX_BATCH <= 8 * CELLS:
        return body(x, writer)
    chunk = max(1, CELLS // cells)
    rows = writer.op("Gather", writer.op("Shape", x), writer.constant([0], np.int64), axis=0)
    n_chunks = writer.op(
        "Div", writer.op("Add", rows, writer.constant([chunk - 1], np.int64)), writer.constant([chunk], np.int64)
    )
    trips = writer.op("Squeeze", n_chunks, writer.constant([0], np.int64))
    inside = writer.nested()
    names = {name: f"{inside.prefix}{name}" for name in ("turn", "go", "so_far")}
    start = inside.op(
        "Mul", inside.op("Reshape", names["turn"], inside.constant([1], np.int64)), inside.constant([chunk], np.int64)
    )
    stop = inside.op("Add", start, inside.constant([chunk], np.int64))
    part = inside.op("Slice", x, start, stop, inside.constant([0], np.int64))
    joined = inside.op("Concat", names["so_far"], body(part, inside), axis=0)
    keep = inside.op("Identity", names["go"])
    graph = loop_body(inside, list(names.values()), [keep, joined], [onnx.TensorProto.DOUBLE])
    start_with = writer.constant(np.zeros((0, width)))
    return writer.op("Loop", trips, "", start_with, body=graph)


def loop_body(inside: GraphWriter, inputs: list[str], outputs: list[str], carried: list[int]) -> onnx.GraphProto:
    """The graph of a Loop: `inputs` are the number of the turn, whether to go on, and what is carried; shapes vary."""
    kinds = [onnx.TensorProto.INT64, onnx.TensorProto.BOOL, *carried]
    scalar: list[list[int] | None] = [[], [], *([None] * len(carried))]
    taken = [
        onnx.helper.make_tensor_value_info(name, kind, shape)
        for name, kind, shape in zip(inputs, kinds, scalar, strict=True)
    ]
    given = [
        onnx.helper.make_tensor_value_info(name, kind, shape)
        for name, kind, shape in zip(outputs, kinds[1:], scalar[1:], strict=True)
    ]
    return onnx.helper.make_graph(inside.nodes, f"{inside.prefix}body", taken, given)
