"""The weighted median in ONNX: sorts each row with TopK and adds up the weights in that order."""

from __future__ import annotations

import numpy as np
import onnx

from .. import ir
from .onnx_graph import GraphWriter


def weighted_median(node: ir.WeightedMedian, x: str, writer: GraphWriter) -> str:
    """The value at the first place where the running sum of weights reaches half of the last one."""
    n = len(node.inputs)
    values = writer.op("TopK", x, writer.constant([n], np.int64), axis=1, largest=0, sorted=1)
    places = f"{values}_places"
    writer.nodes[-1].output.append(places)
    weights = writer.op("Gather", writer.constant(node.weights), places, axis=0)
    running = writer.op("CumSum", weights, writer.constant(1, np.int64))
    half = writer.op("Mul", writer.columns(running, [n - 1]), writer.constant(0.5))
    reached = writer.op("Cast", writer.op("GreaterOrEqual", running, half), to=onnx.TensorProto.INT64)
    first = writer.op("ArgMax", reached, axis=1, keepdims=1, select_last_index=0)
    return writer.op("GatherElements", values, first, axis=1)
