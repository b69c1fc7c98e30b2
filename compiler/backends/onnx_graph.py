"""Writing an ONNX graph operator by operator; what the exporters of onnx.py and onnx_trees.py share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

FEATURES = "features"
"""The graph's one input."""

ML_DOMAIN = "ai.onnx.ml"


@dataclass
class GraphWriter:
    """Collects operators and constants. Names of tensors are made up: only the input and the output have lasting ones.

    Every block is a tensor of doubles (rows, width). `refused` collects tensors of booleans (rows, 1). `opset` is the
    version of ONNX's own domain that the graph is written for, `prefix` starts the names.
    """

    nodes: list[Any] = field(default_factory=list)
    initializers: list[Any] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    opset: int = 18
    prefix: str = "t"
    _constants: dict[tuple[str, tuple[int, ...], bytes], str] = field(default_factory=dict)
    _rows: str | None = None

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Appends an operator with one output, and gives the output's name."""
        name = f"{self.prefix}{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(kind, inputs, [name], domain=domain, **attributes))
        return name

    def append(self, node: Any, *inputs: str) -> str:
        """Appends an operator that was built elsewhere, and gives the name of its one output."""
        node.input.extend(inputs)
        node.output.append(f"{self.prefix}{len(self.nodes)}")
        self.nodes.append(node)
        return str(node.output[0])

    def constant(self, values: npt.ArrayLike, dtype: npt.DTypeLike = np.float64) -> str:
        """The name of a constant tensor; equal constants are stored once."""
        array = np.array(values, dtype=dtype, order="C")
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = f"c{len(self._constants)}"
            self.initializers.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def nested(self) -> GraphWriter:
        """A writer for the body of a loop: names of its own, constants of the graph around it."""
        return replace(self, nodes=[], refused=[], prefix=f"{self.prefix}{len(self.nodes)}_")

    def columns(self, tensor: str, indices: list[int]) -> str:
        """The chosen columns of a block. Gather copies number by number, Slice the columns of a row at once."""
        if not indices or indices != list(range(indices[0], indices[0] + len(indices))):
            return self.op("Gather", tensor, self.constant(indices, np.int64), axis=1)
        bounds = ([indices[0]], [indices[-1] + 1], [1])
        return self.op("Slice", tensor, *(self.constant(bound, np.int64) for bound in bounds))

    def fill(self, values: npt.NDArray[np.float64]) -> str:
        """The same numbers in each row: (rows, len(values))."""
        if self._rows is None:
            shape = self.op("Shape", FEATURES)
            self._rows = self.op("Slice", shape, self.constant([0], np.int64), self.constant([1], np.int64))
        width = self.constant([len(values)], np.int64)
        return self.op("Expand", self.constant(values[np.newaxis]), self.op("Concat", self._rows, width, axis=0))

    def positions(self, values: Sequence[float], x: str, *, missing: float, unknown: float) -> str:
        """The position of each value of column `x` in `values`, which differ."""
        position = self.fill(np.array([unknown]))
        if values:
            position = self.op(
                "LabelEncoder",
                x,
                domain=ML_DOMAIN,
                keys_tensor=numpy_helper.from_array(np.array(values, dtype=np.float64)),
                values_tensor=numpy_helper.from_array(np.arange(len(values), dtype=np.float64)),
                default_tensor=numpy_helper.from_array(np.array([unknown])),
            )
        return self.op("Where", self.op("IsNaN", x), self.constant(missing), position)

    def rows_of(self, table: npt.NDArray[np.float64], default: npt.NDArray[np.float64], x: str) -> str:
        """Row `x` of `table`, or `default` where `x` (rows, 1) is not the number of a row: (rows, len(default))."""
        end = self.constant(float(len(table)))
        whole = self.op("Equal", x, self.op("Floor", x))
        inside = self.op("And", self.op("GreaterOrEqual", x, self.constant(0.0)), self.op("Less", x, end))
        row = self.op("Where", self.op("And", whole, inside), x, end)
        index = self.op("Squeeze", self.op("Cast", row, to=onnx.TensorProto.INT64), self.constant([1], np.int64))
        return self.op("Gather", self.constant(np.vstack([table, default])), index, axis=0)

    def double(self, condition: str) -> str:
        """Booleans as 0 and 1."""
        return self.op("Cast", condition, to=onnx.TensorProto.DOUBLE)

    def any_true(self, condition: str) -> str:
        """Per row, whether one of the booleans (rows, width) is true: (rows, 1)."""
        axis = self.constant([1], np.int64)
        return self.op("Greater", self.op("ReduceSum", self.double(condition), axis, keepdims=1), self.constant(0.0))

    def refuse(self, condition: str) -> None:
        """Refuses the rows in which one of the booleans (rows, width) is true."""
        self.refused.append(self.any_true(condition))


Exporter = Callable[..., str]
"""Takes a node, its input block (or blocks) and the writer; appends operators and gives the node's block."""


def refuse_overflow(x: str, writer: GraphWriter) -> str:
    """The block; rows with an infinity in it are refused."""
    writer.refuse(writer.op("IsInf", x))
    return x
