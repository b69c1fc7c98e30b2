"""Operators of ai.onnx.ml other than trees: scalers, encoders, linear models."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import ir
from .values import Attributes, Graph, Labels, Numbers, Texts, Value, decoded

Inputs = list[str]


def _single(x: Numbers) -> Numbers:
    """As these operators read numbers: in float32."""
    return Numbers(x.refs, x.shape, ir.Element.FLOAT, x.exact)


def scaler(graph: Graph, inputs: Inputs, attributes: Attributes) -> Numbers:
    """(x - offset) * scale."""
    x = _single(graph.numbers(inputs[0]))
    offset = np.broadcast_to(np.asarray(attributes.get("offset", [0.0]), dtype=np.float64), len(x.refs))
    scale = np.broadcast_to(np.asarray(attributes.get("scale", [1.0]), dtype=np.float64), len(x.refs))
    centred = graph.add(ir.Standardize(x.refs, offset, np.ones(len(x.refs))))
    return graph.made(ir.MultiplyAdd(centred, scale, np.zeros(len(scale))), x, exact=False)


def imputer(graph: Graph, inputs: Inputs, attributes: Attributes) -> Numbers:
    """A fill value for what is missing."""
    x = graph.numbers(inputs[0])
    fill = attributes.get("imputed_value_floats")
    if fill is None or not math.isnan(attributes.get("replaced_value_float", 0.0)):
        graph.leave("it replaces a number, not what is missing")
    row = np.broadcast_to(np.asarray(fill, dtype=np.float64), len(x.refs))
    return Numbers(graph.builder.add(ir.Impute(x.refs, row)), x.shape, x.element, x.exact)


def normalizer(graph: Graph, inputs: Inputs, attributes: Attributes) -> Numbers:
    """x over the sum of the row's magnitudes, or over the root of its sum of squares."""
    x = _single(graph.numbers(inputs[0]))
    refs, n = graph.present(x.refs), len(x.refs)
    norm = attributes.get("norm", b"MAX")
    if norm not in (b"L1", b"L2"):
        graph.leave("its norm is the largest number")
    parts = graph.add(ir.Elementwise(refs, ir.Op.ABS) if norm == b"L1" else ir.Multiply(refs + refs))
    total = graph.add(ir.Affine(parts, np.ones((1, n)), np.zeros(1)))
    total = graph.within(Numbers(total, (1,), ir.Element.FLOAT))
    if norm == b"L2":
        total = graph.add(ir.Elementwise(total, ir.Op.SQRT))
    return graph.made(ir.Divide(refs + total * n), x, exact=False)


def linear_regressor(graph: Graph, inputs: Inputs, attributes: Attributes) -> Numbers:
    """coefficients x + intercepts."""
    x = _single(graph.numbers(inputs[0]))
    if attributes.get("post_transform", b"NONE") != b"NONE":
        graph.leave("it transforms its answer")
    return _scores(graph, x, attributes, int(attributes.get("targets", 1)))


def _scores(graph: Graph, x: Numbers, attributes: Attributes, n: int) -> Numbers:
    weights = np.asarray(attributes["coefficients"], dtype=np.float64).reshape(n, -1)
    bias = np.asarray(attributes.get("intercepts", [0.0] * n), dtype=np.float64)
    if weights.shape[1] != len(x.refs) or len(bias) != n or not np.isfinite(weights).all():
        graph.leave("its coefficients do not fit its input")
    return graph.made(ir.Affine(graph.present(x.refs), weights, bias), x, exact=False, shape=(n,))


def linear_classifier(graph: Graph, inputs: Inputs, attributes: Attributes) -> list[Value]:
    """A score for each class; the label is the first of the largest."""
    x = _single(graph.numbers(inputs[0]))
    labels = class_labels(graph, attributes)
    n = len(attributes["coefficients"]) // max(len(x.refs), 1)
    scores = _scores(graph, x, attributes, n)
    if n != len(labels) or n == 1:
        graph.leave("it has one score for two classes")
    (index,) = graph.builder.add(ir.ArgMax(scores.refs))
    return [Labels(index, (), labels), post_transform(graph, scores, attributes)]


def class_labels(graph: Graph, attributes: Attributes) -> tuple[ir.Label, ...]:
    """The classes that an operator names."""
    names = ("classlabels_strings", "classlabels_ints", "classlabels_int64s")
    named = next((attributes[name] for name in names if attributes.get(name)), None)
    if named is None:
        graph.leave("it names no classes")
    return decoded(named)


def post_transform(graph: Graph, scores: Numbers, attributes: Attributes) -> Numbers:
    """What an operator makes of its scores."""
    kind = attributes.get("post_transform", b"NONE")
    if kind == b"NONE":
        return scores
    if kind == b"LOGISTIC":
        return graph.made(ir.Sigmoid(scores.refs), scores, exact=False)
    if kind != b"SOFTMAX":
        graph.leave(f"its scores go through {decoded([kind])[0]}")
    return graph.made(ir.Softmax(graph.within(scores)), scores, exact=False)


def one_hot_encoder(graph: Graph, inputs: Inputs, attributes: Attributes) -> Numbers:
    """A column for each category. What is none is all 0, or refused."""
    value = graph[inputs[0]]
    if not isinstance(value, Numbers | Texts) or len(value.refs) != 1:
        graph.leave("it encodes several columns at once")
    text = isinstance(value, Texts)
    categories: tuple[Any, ...] = decoded(attributes.get("cats_strings" if text else "cats_int64s", ()))
    if not categories or len(set(categories)) != len(categories):
        graph.leave("its categories are not of the type of its column")
    if isinstance(value, Numbers) and value.element is not ir.Element.INT64:
        graph.leave("it cuts off digits")
    code = _code(graph, value, categories if text else tuple(map(float, categories)))
    if not attributes.get("zeros", 1):
        code = graph.builder.add(ir.Check(code, 0.0, float(len(categories))))
    groups = tuple((float(position),) for position in range(len(categories)))
    return Numbers(graph.builder.add(ir.OneHot(code, groups)), (*value.shape, len(groups)), ir.Element.FLOAT)


def _code(graph: Graph, value: Numbers | Texts, categories: tuple[Any, ...]) -> ir.Block:
    """The position among the categories, -1 for any other value; a missing text is refused."""
    code = graph.builder.add(ir.Codes(value.refs, categories))
    if isinstance(value, Texts):
        return graph.builder.add(ir.Check(code, -1.0, float(len(categories))))
    graph.present(value.refs)
    return code


def label_encoder(graph: Graph, inputs: Inputs, attributes: Attributes) -> Value:
    """A table from texts, labels or whole numbers to numbers, or to labels."""
    value = graph[inputs[0]]
    keys, results, default = (_table(attributes, name) for name in ("keys", "values", "default"))
    if keys is None or results is None or len(keys) != len(results):
        graph.leave("its table is not known")
    if len(set(keys)) != len(keys):
        graph.leave("its table has one key twice")
    if isinstance(value, Labels):
        code: ir.Block = (value.index,)
        order = [results[keys.index(label)] if label in keys else None for label in value.labels]
    elif isinstance(value, Numbers | Texts) and len(value.refs) == 1:
        if isinstance(value, Numbers) and value.element is ir.Element.FLOAT:
            graph.leave("it looks up rounded numbers")
        if isinstance(value, Numbers) and any(key != key for key in keys):
            graph.leave("it looks up what is missing")
        code = _code(graph, value, tuple(keys) if isinstance(value, Texts) else tuple(map(float, keys)))
        order = list(results)
    else:
        graph.leave("it encodes several columns at once")
    if isinstance(results[0], str):
        known = tuple(one for one in order if one is not None)
        if len(known) != len(order) or not isinstance(value, Labels):
            graph.leave("it gives text for what it does not know")
        return Labels(code[0], value.shape, known)
    otherwise = float(default[0]) if default else _DEFAULTS.get(_kind(attributes), 0.0)
    table = np.array([[otherwise if one is None else float(one)] for one in order])
    made = graph.builder.add(ir.Lookup(code, table, np.array([otherwise])))
    if not (np.isfinite(table).all() and math.isfinite(otherwise)):
        graph.missing.update(made)
    return Numbers(made, value.shape, _kind(attributes))


_DEFAULTS = {ir.Element.INT64: -1.0, ir.Element.FLOAT: -0.0}


def _kind(attributes: Attributes) -> ir.Element:
    if "values_int64s" in attributes:
        return ir.Element.INT64
    if "values_tensor" in attributes and attributes["values_tensor"].dtype == np.float64:
        return ir.Element.DOUBLE
    if "values_tensor" in attributes and attributes["values_tensor"].dtype == np.int64:
        return ir.Element.INT64
    return ir.Element.FLOAT


def _table(attributes: Attributes, name: str) -> list[Any] | None:
    """One side of the table, in whichever of the attributes it is."""
    for suffix in ("strings", "int64s", "floats"):
        if attributes.get(f"{name}_{suffix}"):
            return list(decoded(attributes[f"{name}_{suffix}"]))
    if name == "default":
        for suffix in ("int64", "float", "string"):
            if f"default_{suffix}" in attributes:
                return list(decoded([attributes[f"default_{suffix}"]]))
    if f"{name}_tensor" in attributes:
        return list(decoded(attributes[f"{name}_tensor"].ravel().tolist()))
    return None
