"""ONNX graphs into nodes: the operators of tabular models, one function each in `OPERATORS`.

A graph that holds anything else is left as it is (`NotImportedError`) and runs as ONNX only. Nodes compute in double:
of a graph that computes in float32 they give the same numbers but for its rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ... import ir
from . import arithmetic as a
from . import ensembles, learned, own, structure
from .values import Graph, NotImportedError, Value

__all__ = ["Graph", "NotImportedError", "import_graph"]

Operator = Callable[[Graph, list[str], Mapping[str, Any]], "Value | list[Value]"]

OPERATORS: Mapping[str, Operator] = {
    "Add": a.add,
    "Sub": a.subtract,
    "Mul": a.multiply,
    "Div": a.divide,
    "Pow": a.power,
    "MatMul": a.matmul,
    "Gemm": a.gemm,
    "Sigmoid": a.sigmoid,
    "Softmax": a.softmax,
    "Relu": a.relu,
    "Clip": a.clip,
    "Tanh": a.curve(ir.Op.TANH),
    "Exp": a.curve(ir.Op.EXP),
    "Log": a.curve(ir.Op.LOG),
    "Sqrt": a.curve(ir.Op.SQRT),
    "Abs": a.curve(ir.Op.ABS),
    "Neg": a.curve(ir.Op.NEGATIVE),
    "Sign": a.curve(ir.Op.SIGN),
    "Floor": a.curve(ir.Op.FLOOR),
    "Ceil": a.curve(ir.Op.CEIL),
    "Round": a.curve(ir.Op.RINT),
    "Sin": a.curve(ir.Op.SIN),
    "Cos": a.curve(ir.Op.COS),
    "ReduceSum": a.reduce("sum"),
    "ReduceMean": a.reduce("mean"),
    "ReduceMax": a.reduce("max"),
    "ReduceMin": a.reduce("min"),
    "ReduceL2": a.reduce("norm"),
    "ReduceSumSquare": a.reduce("squares"),
    "ArgMax": a.argmax,
    "ArgMin": a.argmin,
    "Greater": a.compare(">"),
    "GreaterOrEqual": a.compare(">="),
    "Less": a.compare("<"),
    "LessOrEqual": a.compare("<="),
    "Equal": a.compare("="),
    "Not": a.negate,
    "And": a.both,
    "Or": a.either,
    "IsNaN": a.is_nan,
    "Where": a.where,
    "Identity": structure.identity,
    "Dropout": structure.identity,
    "Cast": structure.cast,
    "Reshape": structure.reshape,
    "Flatten": structure.flatten,
    "Squeeze": structure.squeeze,
    "Unsqueeze": structure.unsqueeze,
    "Concat": structure.concat,
    "Gather": structure.gather,
    "Slice": structure.slice_,
    "Expand": structure.expand,
    "ArrayFeatureExtractor": structure.array_feature_extractor,
    "Scaler": learned.scaler,
    "Imputer": learned.imputer,
    "Normalizer": learned.normalizer,
    "LinearRegressor": learned.linear_regressor,
    "LinearClassifier": learned.linear_classifier,
    "OneHotEncoder": learned.one_hot_encoder,
    "LabelEncoder": learned.label_encoder,
    "TreeEnsembleRegressor": ensembles.regressor,
    "TreeEnsembleClassifier": ensembles.classifier,
    "TreeEnsemble": ensembles.ensemble,
}
"""Every operator that has a form in nodes, but Split, Shape and Constant."""

_SKIPPED = frozenset({"Shape"})
"""Operators whose result only tells others how many rows there are."""


def import_graph(graph: Graph, model: Any, tensors: Sequence[str]) -> list[Value]:
    """What the tensors are, computed from those that `graph` already knows. Raises NotImportedError."""
    from onnx import numpy_helper

    for tensor in model.graph.initializer:
        graph.values.setdefault(tensor.name, numpy_helper.to_array(tensor))
    producers = {name: node for node in model.graph.node for name in node.output}
    wanted, ranges = list(tensors), []
    if graph.own:
        constants = {name: value for name, value in graph.values.items() if isinstance(value, np.ndarray)}
        pairs = [own.refusals(name, producers, constants) for name in tensors]
        wanted = [name for name, _ in pairs]
        ranges = [one for _, found in pairs for one in found]
    needed = _needed([*wanted, *(one[0] for one in ranges)], producers)
    for one in ranges:
        if one[0] in graph.values:  # before what reads the columns
            own.check(graph, one)
    for node in model.graph.node:
        if not needed.isdisjoint(node.output):
            _place(graph, node)
            for one in ranges:
                if one[0] in node.output:
                    own.check(graph, one)
    return [graph[name] for name in wanted]


def _needed(names: Sequence[str], producers: Mapping[str, Any]) -> set[str]:
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            if name in producers:
                todo += list(producers[name].input)
    return found


def _place(graph: Graph, node: Any) -> None:
    """The operator's outputs, from its inputs."""
    import onnx

    if node.op_type in _SKIPPED or (graph.own and _counts_rows(graph, node)):
        return
    try:
        made = _made(graph, node)
    except NotImportedError as error:
        raise NotImportedError(f"{node.op_type}: {error}") from None
    except (KeyError, IndexError, ValueError, TypeError, onnx.checker.ValidationError) as error:
        raise NotImportedError(f"{node.op_type}: {type(error).__name__}") from error
    values = made if isinstance(made, list) else [made]
    graph.values.update(zip((name for name in node.output if name), values, strict=False))


def _made(graph: Graph, node: Any) -> Value | list[Value]:
    attributes = {one.name: _attribute(one) for one in node.attribute}
    inputs = list(node.input)
    if node.op_type == "Constant":
        return np.asarray(next(iter(attributes.values())))
    if node.op_type == "Split":
        return structure.split(graph, inputs, attributes, len(node.output))
    if node.op_type not in OPERATORS:
        raise NotImportedError("it has no form in SQL")
    return OPERATORS[node.op_type](graph, inputs, attributes)


def _counts_rows(graph: Graph, node: Any) -> bool:
    """Whether the operator works on the number of rows, for pgscore's own Expand."""
    return node.op_type in ("Slice", "Concat") and node.input[0] not in graph.values


def _attribute(attribute: Any) -> Any:
    import onnx
    from onnx import numpy_helper

    value = onnx.helper.get_attribute_value(attribute)
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value
