"""What an ONNX graph takes and gives, in the terms of a model: columns in, and a scikit-learn method for each output.

The graph says the names and types of its tensors. What else there is to know is read from its operators (the classes
behind a label) or from the metadata that pgscore writes into the graphs it exports.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import ir
from .backends.onnx_subgraph import upgraded
from .onnx_file import OnnxFileError

OPSET = 18
"""Older graphs are converted when they are read: see backends/onnx.py."""


@dataclass(frozen=True)
class Tensor:
    """An input of the graph: which columns it reads; `element` is None for text. `flat`: its shape is (rows)."""

    name: str
    element: ir.Element | None
    columns: tuple[int, ...]
    flat: bool = False

    @property
    def feed(self) -> ir.Feed:
        """As a part of a `Subgraph`. Raises ValueError for text."""
        if self.element is None:
            raise ValueError(f"{self.name} holds text")
        return ir.Feed(self.name, self.element, self.columns, self.flat)


@dataclass(frozen=True)
class Answer:
    """A method of the model: which columns of all fetched ones it is made of.

    With `labels` its one column holds an index into them, or `values[index]` where there are `values`.
    """

    method: ir.Method
    columns: tuple[int, ...]
    labels: tuple[ir.Label, ...] | None = None
    values: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Signature:
    """The graph, serialised, with the outputs that are read; the names of its columns; its tensors and methods."""

    content: bytes
    columns: tuple[str, ...]
    tensors: tuple[Tensor, ...]
    fetches: tuple[ir.Fetch, ...]
    answers: tuple[Answer, ...]
    kind: ir.ModelKind

    @property
    def texts(self) -> frozenset[int]:
        """The columns that hold text."""
        return frozenset(column for t in self.tensors if t.element is None for column in t.columns)


@dataclass(frozen=True)
class Found:
    """An output of the graph: the tensor to read, whether it holds labels, and the classes that a ZipMap names."""

    tensor: str
    element: int
    is_label: bool
    classes: tuple[ir.Label, ...] | None = None

    @property
    def is_text(self) -> bool:
        """Whether it holds text."""
        import onnx

        return self.element == int(onnx.TensorProto.STRING)


def read_inputs(model: Any) -> tuple[tuple[str, ...], tuple[Tensor, ...]]:
    """The columns and the tensors made of them. Raises OnnxFileError for inputs that are no columns of a table."""
    constants = {tensor.name for tensor in model.graph.initializer}
    given = [value for value in model.graph.input if value.name not in constants]
    if not given:
        raise OnnxFileError("it takes no inputs")
    names: list[str] = []
    tensors: list[Tensor] = []
    for value in given:
        width, flat = _width(value)
        element = _element(value)
        columns = tuple(range(len(names), len(names) + width))
        tensors.append(Tensor(value.name, element, columns, flat))
        names += [value.name] if width == 1 else [f"{value.name}_{index}" for index in range(width)]
    named = _metadata(model, "features")
    if len(given) == 1 and isinstance(named, list) and len(named) == len(names) and all(map(_is_name, named)):
        names = list(named)
    if len(set(names)) != len(names):
        raise OnnxFileError("two of its input columns have one name; rename its inputs")
    return tuple(names), tuple(tensors)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value) and "\0" not in value


def _width(value: Any) -> tuple[int, bool]:
    """How many columns the tensor has, and whether it is one without a second dimension."""
    if not value.type.HasField("tensor_type"):
        raise OnnxFileError(f"its input {value.name!r} is no tensor")
    dims = value.type.tensor_type.shape.dim
    if len(dims) not in (1, 2) or not value.type.tensor_type.HasField("shape"):
        raise OnnxFileError(f"its input {value.name!r} is no table: it must be rows of columns")
    if dims[0].HasField("dim_value"):
        raise OnnxFileError(
            f"its input {value.name!r} takes {dims[0].dim_value} rows at once; export it for any number of rows"
        )
    if len(dims) == 1:
        return 1, True
    if dims[1].dim_value < 1:
        raise OnnxFileError(
            f"its input {value.name!r} does not say how many columns it has; export it with their number"
        )
    return int(dims[1].dim_value), False


def _element(value: Any) -> ir.Element | None:
    import onnx

    kinds = {
        onnx.TensorProto.FLOAT: ir.Element.FLOAT,
        onnx.TensorProto.DOUBLE: ir.Element.DOUBLE,
        onnx.TensorProto.INT64: ir.Element.INT64,
        onnx.TensorProto.BOOL: ir.Element.BOOL,
        onnx.TensorProto.STRING: None,
    }
    number = value.type.tensor_type.elem_type
    if number not in kinds:
        name = onnx.TensorProto.DataType.Name(number).lower()
        raise OnnxFileError(
            f"its input {value.name!r} holds {name}; export it with float, double, int64, bool or string"
        )
    return kinds[number]


def read_outputs(model: Any) -> tuple[bytes, list[Found]]:
    """The graph without its ZipMaps, for OPSET or newer, and what it gives."""
    import onnx

    model = upgraded(model, OPSET)
    graph = model.graph
    zipped = {node.output[0]: node for node in graph.node if node.op_type == "ZipMap"}
    found = []
    for value in graph.output:
        node = zipped.get(value.name)
        if node is not None:
            classes = _labels_in(node, "classlabels_strings", "classlabels_int64s")
            found.append(Found(node.input[0], onnx.TensorProto.FLOAT, False, classes))
            continue
        if not value.type.HasField("tensor_type"):
            raise OnnxFileError(f"its output {value.name!r} is no tensor; export it without ZipMap")
        element = value.type.tensor_type.elem_type
        found.append(Found(value.name, element, _is_label(element)))
    kept = [node for node in graph.node if node.op_type != "ZipMap"]
    del graph.node[:]
    graph.node.extend(kept)
    # Without types: onnxruntime finds them, and a ZipMap may stand behind doubles.
    outputs = [onnx.ValueInfoProto(name=one.tensor) for one in found]
    del graph.output[:]
    graph.output.extend(outputs)
    return bytes(model.SerializeToString()), found


def _is_label(element: int) -> bool:
    import onnx

    return element in (onnx.TensorProto.INT64, onnx.TensorProto.STRING, onnx.TensorProto.BOOL)


def signature(model: Any, content: bytes, found: Sequence[Found], widths: Sequence[int], probable: bool) -> Signature:
    """What the graph is for. `widths` are the columns of each output; `probable`: its numbers look like probabilities.

    Raises OnnxFileError where its outputs are none of: a label, perhaps with a score for each class; numbers.
    """
    columns, tensors = read_inputs(model)
    own = _own_answers(model, sum(widths))
    if own is not None:
        answers, kind = own
        return Signature(content, columns, tensors, _fetches(found, widths), answers, kind)
    labels = [one for one in found if one.is_label]
    numbers = [(one, width) for one, width in zip(found, widths, strict=True) if not one.is_label]
    if not labels or (len(found) == 1 and _is_numbers(model, found, widths)):
        several = len(found) > 1 or widths[0] > 1
        method = ir.Method.TRANSFORM if several else ir.Method.PREDICT
        kind = ir.ModelKind.TRANSFORMER if several else ir.ModelKind.REGRESSOR
        answer = Answer(method, tuple(range(sum(widths))))
        return Signature(content, columns, tensors, _fetches(found, widths), (answer,), kind)
    if len(labels) > 1 or len(numbers) > 1:
        names = ", ".join(repr(one.tensor) for one in found)
        raise OnnxFileError(f"its outputs are {names}; keep one, or a label and the scores of the classes")
    classes = classes_behind(model, found)
    if classes is None:
        raise OnnxFileError(
            f"the classes of its label {labels[0].tensor!r} cannot be read; export it with ZipMap, or the scores alone"
        )
    if widths[found.index(labels[0])] > 1:
        raise OnnxFileError(
            f"its label {labels[0].tensor!r} has several columns; keep one, with the scores of its classes"
        )
    text = isinstance(classes[0], str)
    label = ir.Fetch(labels[0].tensor, 1, tuple(map(str, classes)) if text else None)
    values = None if text else tuple(float(value) for value in classes)
    answers = (Answer(ir.Method.PREDICT, (0,), classes, values),)
    fetches: tuple[ir.Fetch, ...] = (label,)
    if numbers:
        scores, width = numbers[0]
        fetches += (ir.Fetch(scores.tensor, width),)
        method = ir.Method.PREDICT_PROBA if probable and width == len(classes) else ir.Method.DECISION_FUNCTION
        answers += (Answer(method, tuple(range(1, 1 + width))),)
    kind = ir.ModelKind.BINARY_CLASSIFIER if len(classes) == 2 else ir.ModelKind.MULTICLASS_CLASSIFIER
    return Signature(content, columns, tensors, fetches, answers, kind)


def _fetches(found: Sequence[Found], widths: Sequence[int]) -> tuple[ir.Fetch, ...]:
    return tuple(ir.Fetch(one.tensor, width) for one, width in zip(found, widths, strict=True))


def _is_numbers(model: Any, found: Sequence[Found], widths: Sequence[int]) -> bool:
    """Whether the only output, which could be a label by its type, is one or several numbers."""
    import onnx

    (one,), (width,) = found, widths
    if one.is_text:
        return False
    return width > 1 or (one.element == int(onnx.TensorProto.INT64) and classes_behind(model, found) is None)


def _own_answers(model: Any, width: int) -> tuple[tuple[Answer, ...], ir.ModelKind] | None:
    """The methods that pgscore itself wrote into a graph it exported; None for any other graph."""
    written, kind = _metadata(model, "outputs"), _metadata(model, "kind")
    if model.producer_name != "pgscore" or not isinstance(written, list) or not isinstance(kind, str):
        return None
    answers: list[Answer] = []
    start = 0
    try:
        for one in written:
            method, count, labels = ir.Method(one["method"]), int(one["columns"]), one["labels"]
            columns = tuple(range(start, start + count))
            answers.append(Answer(method, columns, None if labels is None else tuple(labels)))
            start += count
        found = ir.ModelKind(kind)
    except (KeyError, TypeError, ValueError):
        raise OnnxFileError("its metadata are not as pgscore writes them") from None
    if found is ir.ModelKind.MULTI_OUTPUT_CLASSIFIER:
        raise OnnxFileError("it predicts classes of several targets; deploy the model that it was exported from")
    if start != width:
        raise OnnxFileError("its metadata do not fit its outputs")
    return tuple(answers), found


def _metadata(model: Any, key: str) -> object:
    """The parsed value of one of the graph's metadata; None where there is none."""
    for entry in model.metadata_props:
        if entry.key == key:
            try:
                parsed: object = json.loads(entry.value)
            except ValueError:
                return None
            return parsed
    return None


# The classes behind a label.

_PASSING = frozenset({"Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Flatten"})
_CLASSIFIERS = frozenset({"LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier"})


def classes_behind(model: Any, found: Sequence[Found]) -> tuple[ir.Label, ...] | None:
    """The classes that the graph's label can be, in the order of the scores; None where its operators do not say."""
    import onnx

    label = next((one for one in found if one.is_label), None)
    named = next((one.classes for one in found if one.classes), None)
    if named is not None or label is None:
        return named
    if label.element == onnx.TensorProto.BOOL:
        return (False, True)
    producers = {name: node for node in model.graph.node for name in node.output}
    node = producers.get(label.tensor)
    passed = 0
    while node is not None and node.op_type in _PASSING and passed < len(producers):
        node, passed = producers.get(node.input[0]), passed + 1
    return None if node is None else _classes_of(model, node)


def _classes_of(model: Any, node: Any) -> tuple[ir.Label, ...] | None:
    """The classes that an operator chooses from."""
    if node.op_type in _CLASSIFIERS:
        return _labels_in(node, "classlabels_strings", "classlabels_ints", "classlabels_int64s")
    if node.op_type == "LabelEncoder":
        labels, keys = _labels_in(node, "values_strings", "values_int64s"), _labels_in(node, "keys_int64s")
        in_order = labels is not None and keys == tuple(range(len(labels)))
        return labels if in_order else None
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    chosen = node.op_type in ("ArrayFeatureExtractor", "Gather") and node.input[0] in constants
    return _labels_of(constants[node.input[0]]) if chosen else None


def _labels_in(node: Any, *attributes: str) -> tuple[ir.Label, ...] | None:
    import onnx

    found: Mapping[str, Any] = {a.name: a for a in node.attribute}
    for name in attributes:
        if name in found:
            values = onnx.helper.get_attribute_value(found[name])
            labels = tuple(v.decode("utf-8", "replace") if isinstance(v, bytes) else int(v) for v in values)
            return labels if labels and len(set(labels)) == len(labels) else None
    return None


def _labels_of(tensor: Any) -> tuple[ir.Label, ...] | None:
    from onnx import numpy_helper

    values = numpy_helper.to_array(tensor).ravel().tolist()
    labels = tuple(v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in values)
    whole = all(isinstance(v, str) for v in labels) or all(type(v) is int for v in labels)
    return labels if labels and whole and len(set(labels)) == len(labels) else None
