"""The operators, constants and names of an ONNX graph, read from its bytes (onnx.proto), and the limits of their size.

Other parsers must see what this one sees: a field that they would merge or overwrite is refused where it comes twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import operators, wire
from .interrupts import check_interrupts
from .libraries import ScoringError
from .wire import BYTES, NO_MODEL

MAX_GRAPH_BYTES = 512 * 2**20
MAX_NODES = 100_000
MAX_DEPTH = 8
"""Levels of graphs within graphs."""
MAX_TENSOR_AXES = 32

_SPARSE_TENSORS = "sparse tensors"

# Of each type of element (onnx.proto, TensorProto.DataType) the bits, and the field that holds elements one by one.
_TYPES = {
    1: (32, 4), 2: (8, 5), 3: (8, 5), 4: (16, 5), 5: (16, 5), 6: (32, 5), 7: (64, 7), 8: (None, 6), 9: (8, 5),
    10: (16, 5), 11: (64, 10), 12: (32, 11), 13: (64, 11), 16: (16, 5),
}  # fmt: skip
_DATA = frozenset(field for _, field in _TYPES.values())


@dataclass
class Tensor:
    """A constant: the length of its axes, its type, and its raw bytes, or the fields of elements written one by one."""

    dims: tuple[int, ...]
    type: int
    raw: bytes | None
    written: dict[int, int]

    @property
    def n(self) -> int:
        """How many elements it has, by its axes."""
        return int(np.prod(np.array(self.dims, dtype=object))) if self.dims else 1


@dataclass
class Attribute:
    """An attribute of an operator: numbers, texts, a tensor or graphs."""

    content: bytes
    number: int | None = None
    text: bytes | None = None
    tensor: Tensor | None = None
    graphs: list[Graph] = field(default_factory=list)
    n_floats: int = 0
    pieces: list[tuple[int, int, int]] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)

    def whole(self) -> Any:
        """Its list of whole numbers (n,), int64."""
        check_interrupts()
        parts = [wire.whole(self.content, *piece) for piece in self.pieces]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


@dataclass
class Node:
    """An operator."""

    name: bytes = b""
    domain: bytes = b""
    inputs: list[bytes] = field(default_factory=list)
    outputs: list[bytes] = field(default_factory=list)
    attributes: dict[bytes, Attribute] = field(default_factory=dict)

    def graphs(self) -> list[Graph]:
        """The graphs within it."""
        return [graph for attribute in self.attributes.values() for graph in attribute.graphs]


@dataclass
class Graph:
    """Operators in order, and the names of constants, inputs and outputs."""

    nodes: list[Node] = field(default_factory=list)
    constants: list[bytes] = field(default_factory=list)
    inputs: list[bytes] = field(default_factory=list)
    outputs: list[bytes] = field(default_factory=list)


class _Once(set[tuple[int, ...]]):
    """Fields that a message may have once: of two, parsers take the last, or merge them."""

    def take(self, *key: int) -> None:
        if key in self:
            raise ScoringError(NO_MODEL)
        self.add(key)


class Reader:
    """Reads a graph. Raises ScoringError for what none may hold."""

    def __init__(self, content: bytes) -> None:
        if len(content) > MAX_GRAPH_BYTES:
            raise ScoringError(f"the graph has {len(content)} bytes, more than the limit of {MAX_GRAPH_BYTES}")
        self.content = content
        self.n_nodes = 0

    def model(self) -> Graph:
        """The main graph."""
        graph = None
        for number, kind, start, stop in wire.fields(self.content, 0, len(self.content)):
            if number in (20, 25):
                what = "training information" if number == 20 else "functions of its own"
                raise ScoringError(f"the graph holds {what}")
            if kind != BYTES:
                continue
            if number == 8:
                self._opset(start, stop)
            if number == 7:
                if graph is not None:
                    raise ScoringError(NO_MODEL)
                graph = self._graph(start, stop, 1)
        if graph is None:
            raise ScoringError(NO_MODEL)
        return graph

    def _opset(self, at: int, end: int) -> None:
        for number, kind, start, stop in wire.fields(self.content, at, end):
            if number == 1 and kind == BYTES and self.content[start:stop] not in operators.DOMAINS:
                raise ScoringError("the graph holds operators of an unknown domain")

    def _graph(self, at: int, end: int, depth: int) -> Graph:
        if depth > MAX_DEPTH:
            raise ScoringError(f"the graph holds graphs within graphs, more than {MAX_DEPTH} levels of them")
        graph = Graph()
        for number, kind, start, stop in wire.fields(self.content, at, end):
            if number == 15:
                raise ScoringError(f"the graph holds {_SPARSE_TENSORS}")
            if kind != BYTES:
                continue
            if number == 1:
                graph.nodes.append(self._node(start, stop, depth))
            elif number == 5:
                graph.constants.append(self._tensor(start, stop)[0])
            elif number in (11, 12):
                (graph.inputs if number == 11 else graph.outputs).append(self._name(start, stop))
        return graph

    def _name(self, at: int, end: int) -> bytes:
        names = [(a, b) for number, kind, a, b in wire.fields(self.content, at, end) if (number, kind) == (1, BYTES)]
        if len(names) > 1:
            raise ScoringError(NO_MODEL)
        return self.content[slice(*names[0])] if names else b""

    def _node(self, at: int, end: int, depth: int) -> Node:
        check_interrupts()
        self.n_nodes += 1
        if self.n_nodes > MAX_NODES:
            raise ScoringError(f"the graph holds more than {MAX_NODES} operators")
        node, once = Node(), _Once()
        for number, kind, start, stop in wire.fields(self.content, at, end):
            if kind != BYTES:
                continue
            if number in (1, 2):
                (node.inputs if number == 1 else node.outputs).append(self.content[start:stop])
            elif number in (4, 7):
                once.take(number)
                value = self.content[start:stop]
                node.name, node.domain = (value, node.domain) if number == 4 else (node.name, value)
            elif number == 5:
                name, attribute = self._attribute(start, stop, depth)
                if name in node.attributes:
                    raise ScoringError(NO_MODEL)
                node.attributes[name] = attribute
        return node

    def _attribute(self, at: int, end: int, depth: int) -> tuple[bytes, Attribute]:
        name, found, once = b"", Attribute(self.content), _Once()
        for number, kind, start, stop in wire.fields(self.content, at, end, runs=True):
            if number in (22, 23):
                raise ScoringError(f"the graph holds {_SPARSE_TENSORS}")
            if number in (wire.FLOATS, wire.INTS, wire.STRINGS):
                self._list(found, number, kind, start, stop)
            elif (number, kind) == (3, wire.VARINT):
                once.take(number)
                found.number = _signed(wire.varint(self.content, start, stop)[0])
            elif kind == BYTES and number in (1, 4):
                once.take(number)
                value = self.content[start:stop]
                name, found.text = (value, found.text) if number == 1 else (name, value)
            elif kind == BYTES and number in (5, 10):  # one tensor, or one of several
                if number == 5:
                    once.take(number)
                    found.tensor = self._tensor(start, stop)[1]
                else:
                    self._tensor(start, stop)
            elif kind == BYTES and number in (6, 11):
                if number == 6:
                    once.take(number)
                found.graphs.append(self._graph(start, stop, depth + 1))
        return name, found

    def _list(self, found: Attribute, number: int, kind: int, start: int, stop: int) -> None:
        """Adds a field of a list, or a whole run of them, to the attribute."""
        if number == wire.INTS and kind in (wire.VARINT, BYTES, wire.RUN):
            found.pieces.append((kind, start, stop))
        elif number == wire.FLOATS and kind in (wire.FIXED32, BYTES, wire.RUN):
            found.n_floats += (stop - start) // (5 if kind == wire.RUN else 4)
        elif number == wire.STRINGS and kind == wire.RUN:
            found.texts.extend(_branches(self.content[start:stop]))
        elif number == wire.STRINGS and kind == BYTES:
            found.texts.append(self.content[start:stop])

    def _tensor(self, at: int, end: int) -> tuple[bytes, Tensor]:
        name, dims, kind_of, raw, once = b"", [], 0, None, _Once()
        written: dict[int, int] = {}
        for number, kind, start, stop in wire.fields(self.content, at, end):
            if number in (13, 14):
                raise ScoringError("the graph holds external data")
            if number == 1 and kind in (wire.VARINT, BYTES):
                dims.extend(wire.whole(self.content, kind, start, stop).tolist())
                if len(dims) > MAX_TENSOR_AXES:
                    raise ScoringError(f"the graph holds a tensor of more than {MAX_TENSOR_AXES} axes")
            elif (number, kind) == (2, wire.VARINT):
                once.take(number)
                kind_of = _signed(wire.varint(self.content, start, stop)[0])
            elif (number, kind) in ((8, BYTES), (9, BYTES)):
                once.take(number)
                name, raw = (self.content[start:stop], raw) if number == 8 else (name, self.content[start:stop])
            elif number in _DATA:
                written[number] = written.get(number, 0) + self._count(number, kind, start, stop)
        tensor = Tensor(tuple(dims), kind_of, raw, written)
        _check_size(tensor)
        return name, tensor

    def _count(self, number: int, kind: int, start: int, stop: int) -> int:
        """How many elements a field of a tensor holds: floats 4, int32 5, texts 6, int64 7, doubles 10, uint64 11."""
        if kind != BYTES or number == 6:
            return 1
        if number in (4, 10):
            return (stop - start) // (4 if number == 4 else 8)
        return len(wire.whole(self.content, kind, start, stop))


def _check_size(tensor: Tensor) -> None:
    """A tensor holds all that it claims: onnxruntime would make room for it first."""
    if any(axis < 0 for axis in tensor.dims):
        raise ScoringError("the graph holds a tensor with a negative number of elements")
    if tensor.type not in _TYPES:
        raise ScoringError("the graph holds a tensor of a type that pgscore does not run")
    bits, field_of_elements = _TYPES[tensor.type]
    if tensor.raw is None:
        fine = tensor.written == ({field_of_elements: tensor.n} if tensor.n else {})
    else:
        fine = bits is not None and tensor.n * bits == 8 * len(tensor.raw) and not tensor.written
    if not fine:
        raise ScoringError("the graph holds a tensor that claims another number of elements than it holds")


def _signed(value: int) -> int:
    return value - 2**64 if value >> 63 else value


def _branches(run: bytes) -> list[bytes]:
    """The names of branches in a run of the field `strings`; none of them holds the tag, which is J."""
    return [part[1:] for part in run.split(b"J")[1:]]
