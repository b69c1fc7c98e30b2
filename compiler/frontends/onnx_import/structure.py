"""Operators that compute nothing: they choose, join, reshape and cast columns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ... import ir
from .values import Attributes, Constant, Graph, Labels, Numbers, Texts, Value, count

Inputs = list[str]


def identity(graph: Graph, inputs: Inputs, _attributes: Attributes) -> Value:
    """The same; Dropout is that too."""
    return graph[inputs[0]]


def cast(graph: Graph, inputs: Inputs, attributes: Attributes) -> Value:
    """To another type of number. A label keeps its index."""
    import onnx

    to, value = attributes["to"], graph[inputs[0]]
    elements = {
        onnx.TensorProto.FLOAT: ir.Element.FLOAT,
        onnx.TensorProto.DOUBLE: ir.Element.DOUBLE,
        onnx.TensorProto.INT64: ir.Element.INT64,
        onnx.TensorProto.BOOL: ir.Element.BOOL,
    }
    if isinstance(value, np.ndarray):
        graph.leave("it casts a constant")
    if isinstance(value, Texts) or to not in elements:
        if isinstance(value, Labels) and to == onnx.TensorProto.STRING and isinstance(value.labels[0], str):
            return value
        graph.leave("it casts text")
    element = elements[to]
    if isinstance(value, Labels):
        if isinstance(value.labels[0], str) or element is ir.Element.BOOL:
            graph.leave("it casts labels")
        return value
    whole = value.element in (ir.Element.INT64, ir.Element.BOOL)
    if element is ir.Element.FLOAT:
        return replace(value, element=element)
    if value.element is ir.Element.FLOAT and element is ir.Element.DOUBLE:
        graph.rounds = True  # each number is rounded to float32
        return replace(value, element=element, exact=False)
    to_whole = element is ir.Element.INT64 and (value.element is ir.Element.BOOL or (graph.own and value.exact))
    if not (to_whole or element is ir.Element.DOUBLE or (whole and element is value.element)):
        graph.leave("it cuts off digits")
    return replace(value, element=element)


def reshape(graph: Graph, inputs: Inputs, attributes: Attributes) -> Value:
    """To rows of another shape with the same numbers."""
    value = graph[inputs[0]]
    target = graph.constant(inputs[1]).ravel().tolist() if len(inputs) > 1 else list(attributes.get("shape", ()))
    if isinstance(value, np.ndarray):
        graph.leave("it reshapes a constant")
    size = count(value.shape)
    if not target or target[0] not in (-1, 0):
        graph.leave("it does not keep the rows")
    shape = tuple(int(dim) for dim in target[1:])
    if -1 in shape and shape.count(-1) == 1 and target[0] == 0:
        known = count(tuple(dim for dim in shape if dim != -1))
        shape = tuple(size // known if dim == -1 else dim for dim in shape)
    if any(dim < 1 for dim in shape) or count(shape) != size:
        graph.leave("it does not keep the rows")
    return replace(value, shape=shape)


def flatten(graph: Graph, inputs: Inputs, attributes: Attributes) -> Value:
    """To (rows, k)."""
    value = graph[inputs[0]]
    if isinstance(value, np.ndarray) or attributes.get("axis", 1) != 1:
        graph.leave("it does not keep the rows")
    return replace(value, shape=(count(value.shape),))


def squeeze(graph: Graph, inputs: Inputs, attributes: Attributes) -> Value:
    """Without a dimension of one."""
    value = graph[inputs[0]]
    axes = _axes(graph, inputs, attributes)
    if isinstance(value, np.ndarray) or axes is None:
        graph.leave("it does not say which dimension")
    rank = len(value.shape) + 1
    gone = {axis % rank for axis in axes}
    if 0 in gone or any(value.shape[axis - 1] != 1 for axis in gone):
        graph.leave("it does not keep the rows")
    return replace(value, shape=tuple(dim for axis, dim in enumerate(value.shape, start=1) if axis not in gone))


def unsqueeze(graph: Graph, inputs: Inputs, attributes: Attributes) -> Value:
    """With one more dimension of one."""
    value, axes = graph[inputs[0]], _axes(graph, inputs, attributes)
    if isinstance(value, np.ndarray) or axes is None or len(axes) != 1:
        graph.leave("it does not say which dimension")
    axis = axes[0] % (len(value.shape) + 2)
    if axis == 0:
        graph.leave("it does not keep the rows")
    return replace(value, shape=(*value.shape[: axis - 1], 1, *value.shape[axis - 1 :]))


def _axes(graph: Graph, inputs: Inputs, attributes: Attributes) -> list[int] | None:
    if len(inputs) > 1 and inputs[1]:
        return [int(axis) for axis in graph.constant(inputs[1]).ravel()]
    return list(attributes["axes"]) if "axes" in attributes else None


def concat(graph: Graph, inputs: Inputs, attributes: Attributes) -> Value:
    """Columns side by side."""
    parts = [graph[name] for name in inputs]
    shapes = [part.shape for part in parts if not isinstance(part, np.ndarray)]
    rank = {len(shape) for shape in shapes}
    if len(shapes) != len(parts) or len(rank) != 1 or min(rank) < 1 or attributes["axis"] not in (-1, min(rank)):
        graph.leave("it does not join columns")
    if any(count(shape[:-1]) != 1 for shape in shapes):
        graph.leave("it does not join columns")
    shape = (*shapes[0][:-1], sum(shape[-1] for shape in shapes))
    if all(isinstance(part, Texts) for part in parts):
        return Texts(tuple(ref for part in parts for ref in part.refs), shape)  # type: ignore[union-attr]
    numbers = [part for part in parts if isinstance(part, Numbers)]
    if len(numbers) != len(parts) or len({part.element for part in numbers}) != 1:
        graph.leave("it joins labels")
    exact = all(part.exact for part in numbers)
    return Numbers(tuple(ref for part in numbers for ref in part.refs), shape, numbers[0].element, exact)


def _chosen(graph: Graph, value: Value, positions: list[int], shape: tuple[int, ...] | None = None) -> Value:
    if not isinstance(value, Numbers | Texts) or len(value.shape) != 1:
        graph.leave("it does not choose columns")
    width = len(value.refs)
    if any(not -width <= position < width for position in positions):
        graph.leave("it chooses a column that does not exist")
    refs = tuple(value.refs[position] for position in positions)
    return replace(value, refs=refs, shape=(len(refs),) if shape is None else shape)


def gather(graph: Graph, inputs: Inputs, attributes: Attributes) -> Value:
    """Columns; or of a list of classes, the one whose number was computed."""
    data, index = graph[inputs[0]], graph[inputs[1]]
    if isinstance(data, np.ndarray):
        if attributes.get("axis", 0) not in (0, -1) or data.ndim != 1:
            graph.leave("it reads a table of its own")
        return _of_list(graph, data, index)
    if attributes.get("axis", 0) not in (1, -1) or not isinstance(index, np.ndarray):
        graph.leave("it does not choose columns")
    return _chosen(graph, data, index.ravel().tolist(), () if index.ndim == 0 else None)


def array_feature_extractor(graph: Graph, inputs: Inputs, _attributes: Attributes) -> Value:
    """As `gather`, of ai.onnx.ml."""
    data, index = graph[inputs[0]], graph[inputs[1]]
    if isinstance(data, np.ndarray):
        found = _of_list(graph, data.ravel(), index)
        return replace(found, shape=(1, *found.shape)[:2] if found.shape else (1,))
    if not isinstance(index, np.ndarray):
        graph.leave("it does not choose columns")
    return _chosen(graph, data, index.ravel().tolist())


def _of_list(graph: Graph, data: Constant, index: Value) -> Labels:
    if not isinstance(index, Numbers) or index.element is not ir.Element.INT64 or len(index.refs) != 1:
        graph.leave("it reads a table of its own")
    node = graph.builder.nodes[index.refs[0].node]
    if not isinstance(node, ir.ArgMax) or len(node.inputs) > len(data):
        graph.leave("it reads a table of its own")
    values = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in data.tolist()]
    if len(set(values)) != len(values) or not all(isinstance(value, str | int) for value in values):
        graph.leave("it reads a table of its own")
    return Labels(index.refs[0], index.shape, tuple(values))


def slice_(graph: Graph, inputs: Inputs, _attributes: Attributes) -> Value:
    """A range of columns (opset 10 and newer)."""
    value = graph[inputs[0]]
    starts, ends = (graph.constant(name).ravel().tolist() for name in inputs[1:3])
    axes = graph.constant(inputs[3]).ravel().tolist() if len(inputs) > 3 and inputs[3] else [0]
    steps = graph.constant(inputs[4]).ravel().tolist() if len(inputs) > 4 and inputs[4] else [1]
    if axes not in ([1], [-1]) or isinstance(value, np.ndarray) or len(value.shape) != 1 or steps[0] == 0:
        graph.leave("it does not choose columns")
    return _chosen(graph, value, list(range(value.shape[0]))[starts[0] : ends[0] : steps[0]])


def split(graph: Graph, inputs: Inputs, attributes: Attributes, n_outputs: int) -> list[Value]:
    """Blocks of columns that stand side by side."""
    value = graph[inputs[0]]
    if attributes.get("axis", 0) not in (1, -1) or isinstance(value, np.ndarray) or len(value.shape) != 1:
        graph.leave("it does not split columns")
    width = value.shape[0]
    if len(inputs) > 1 and inputs[1]:
        sizes = graph.constant(inputs[1]).ravel().tolist()
    else:
        even = -(-width // n_outputs)
        sizes = list(attributes.get("split", [even] * (n_outputs - 1) + [width - even * (n_outputs - 1)]))
    ends = np.cumsum(sizes).tolist()
    return [_chosen(graph, value, list(range(end - size, end))) for size, end in zip(sizes, ends, strict=True)]


def expand(graph: Graph, inputs: Inputs, _attributes: Attributes) -> Value:
    """The same constants for each row, as pgscore writes them."""
    row = graph[inputs[0]]
    if not graph.own or not isinstance(row, np.ndarray) or row.ndim != 2 or row.dtype != np.float64:
        graph.leave("it repeats what pgscore did not write")
    return Numbers(graph.builder.add(ir.Constant((), row[0])), (row.shape[1],), ir.Element.DOUBLE)
