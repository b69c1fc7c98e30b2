"""What an ONNX graph may hold before onnxruntime is given its bytes.

Whoever may deploy decides what runs in the server's own process, so a graph may name only the standard operators and
no file: onnxruntime would read "external data" from the data directory. The `onnx` package is not on the server; a walk
over the protobuf wire format (https://protobuf.dev/programming-guides/encoding) reads the few fields that matter and
skips the rest.
"""

from __future__ import annotations

import re

from .libraries import ScoringError

MAX_GRAPH_BYTES = 512 * 2**20
DOMAINS = frozenset({b"", b"ai.onnx", b"ai.onnx.ml"})

_MODEL, _GRAPH, _NODE, _ATTRIBUTE, _TENSOR, _OPSET = range(6)

# Fields that hold a message to look into (onnx.proto).
_INSIDE = {
    _MODEL: {7: _GRAPH, 8: _OPSET},
    _GRAPH: {1: _NODE, 5: _TENSOR},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 10: _TENSOR, 6: _GRAPH, 11: _GRAPH},
    _TENSOR: {},
    _OPSET: {},
}
_DOMAIN = {_NODE: 7, _OPSET: 1}
_REFUSED = {
    (_MODEL, 20): "training information",
    (_MODEL, 25): "functions of its own",
    (_GRAPH, 15): "sparse tensors",
    (_ATTRIBUTE, 22): "sparse tensors",
    (_ATTRIBUTE, 23): "sparse tensors",
    (_TENSOR, 13): "external data",
    (_TENSOR, 14): "external data",
}

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# An attribute's integers (field 8) come one by one, hundreds of thousands of them for a forest: skipped in one go.
_INTS = re.compile(rb"(?:\x40[\x80-\xff]{0,9}[\x00-\x7f])+")


def check(content: bytes) -> None:
    """Raises ScoringError unless the graph keeps to the standard operators and to its own bytes."""
    if len(content) > MAX_GRAPH_BYTES:
        raise ScoringError(f"the graph has {len(content)} bytes, more than the limit of {MAX_GRAPH_BYTES}")
    todo = [(_MODEL, 0, len(content))]
    while todo:
        message, at, end = todo.pop()
        while at < end:
            if message == _ATTRIBUTE and content[at] == 0x40 and (ints := _INTS.match(content, at, end)):
                at = ints.end()
                continue
            tag, at = _varint(content, at, end)
            if tag >> 32:
                # Other parsers would drop the high bits, and see another field.
                raise ScoringError("the graph is no ONNX model")
            field, kind = tag >> 3, tag & 7
            start, at = _value(content, at, end, kind)
            if refused := _REFUSED.get((message, field)):
                raise ScoringError(f"the graph holds {refused}")
            if kind != _BYTES:
                continue
            if _DOMAIN.get(message) == field and content[start:at] not in DOMAINS:
                raise ScoringError("the graph holds operators of an unknown domain")
            if field in _INSIDE[message]:
                todo.append((_INSIDE[message][field], start, at))


def _value(content: bytes, at: int, end: int, kind: int) -> tuple[int, int]:
    """Where the field's value starts and ends."""
    if kind == _VARINT:
        return at, _varint(content, at, end)[1]
    if kind == _BYTES:
        length, at = _varint(content, at, end)
    elif kind in {_FIXED64, _FIXED32}:
        length = 8 if kind == _FIXED64 else 4
    else:
        length = end
    if at + length > end:
        raise ScoringError("the graph is no ONNX model")
    return at, at + length


def _varint(content: bytes, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ScoringError("the graph is no ONNX model")
