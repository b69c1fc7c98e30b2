"""Which texts each column of an ONNX graph may hold: its encoders may raise for any other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .onnx_signature import Tensor

_PASSING = frozenset({"Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze"})
_CHOOSING = frozenset({"Gather", "ArrayFeatureExtractor"})
_CATEGORIES = frozenset({"cats_strings", "keys_strings"})


def texts_by_column(model: Any, tensors: tuple[Tensor, ...]) -> Mapping[int, tuple[str, ...]]:
    """For each column of text, texts that the encoders behind it know; one empty text where none is found."""
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    columns: dict[str, tuple[int, ...]] = {t.name: t.columns for t in tensors if t.element is None}
    known: dict[int, tuple[str, ...]] = {column: ("",) for group in columns.values() for column in group}
    for node in model.graph.node:
        read = [columns.get(name) for name in node.input]
        if not read or read[0] is None:
            continue
        if node.op_type in _PASSING:
            columns[node.output[0]] = read[0]
        elif node.op_type == "Concat" and None not in read:
            columns[node.output[0]] = tuple(column for group in read if group for column in group)
        elif node.op_type in _CHOOSING and node.input[1] in constants:
            chosen = numpy_helper.to_array(constants[node.input[1]]).ravel().tolist()
            if all(-len(read[0]) <= index < len(read[0]) for index in chosen):
                columns[node.output[0]] = tuple(read[0][index] for index in chosen)
        for texts in _categories(node):
            known.update((column, texts) for column in read[0])
    return known


def _categories(node: Any) -> list[tuple[str, ...]]:
    found = [a.strings for a in node.attribute if a.name in _CATEGORIES and len(a.strings)]
    return [tuple(value.decode("utf-8", "replace") for value in values) for values in found]
