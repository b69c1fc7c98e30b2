"""ONNX graphs that a server should survive."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.parser
from onnx import TensorProto, helper, numpy_helper


def changed(content: bytes, change: Any) -> bytes:
    """The graph after `change(model)`."""
    made = onnx.load_from_string(content)
    change(made)
    return bytes(made.SerializeToString())


def parsed(operators: str, *, columns: int = 1, ml: int = 5) -> bytes:
    """A graph from `x`, rows of doubles, to `y`, one double for each row."""
    return bytes(
        onnx.parser.parse_model(
            f'<ir_version: 8, opset_import: ["" : 18, "ai.onnx.ml" : {ml}]>\n'
            f"g (double[rows, {columns}] x) => (double[rows, 1] y) {{ {operators} }}"
        ).SerializeToString()
    )


def _loop(turns: str, constant: str, body: str) -> bytes:
    """A loop that carries x; `constant` may say how many turns, or whether to begin."""
    return parsed(
        f"c = Constant<value = {constant}>() y = Loop({turns}, x) "
        f"<body = b (int64 turn, bool go, double[rows, 1] v) => (bool still, double[rows, 1] w) {{ {body} }}>"
    )


_CHOICE = """
    still = Identity(go) zero = Constant<value = double {0.0}>() s = ReduceSum<keepdims = 0>(v) above = Greater(s, zero)
    w = If(above) <then_branch = t () => (double[rows, 1] p) { p = Neg(v) },
                   else_branch = e () => (double[rows, 1] q) { q = Abs(v) }>"""
ENDLESS = {
    "its condition stays true": _loop('"", c', "bool {1}", "still = Identity(go) w = Neg(v)"),
    "more turns than anyone waits for": _loop('c, ""', f"int64 {{{2**62}}}", "still = Identity(go) w = Neg(v)"),
    "a choice in each turn": _loop('"", c', "bool {1}", _CHOICE),
}
"""Loops without an end, by what keeps them going."""


def ensemble(**changes: Any) -> bytes:
    """A TreeEnsemble of one split, x0 <= 0.5, with leaves 1 and 2; or with other attributes (None: without it)."""
    attributes = {
        "n_targets": 1,
        "aggregate_function": 1,
        "post_transform": 0,
        "tree_roots": [0],
        "nodes_featureids": [0],
        "nodes_splits": tensor([0.5]),
        "nodes_modes": tensor([0], np.uint8),
        "nodes_truenodeids": [0],
        "nodes_trueleafs": [1],
        "nodes_falsenodeids": [1],
        "nodes_falseleafs": [1],
        "leaf_targetids": [0, 0],
        "leaf_weights": tensor([1.0, 2.0]),
    } | changes
    return model([learned("TreeEnsemble", attributes)])


def old_ensemble(kind: str = "Regressor", **changes: Any) -> bytes:
    """A TreeEnsembleRegressor or TreeEnsembleClassifier of one split, in float32 as they are."""
    what, extra = ("class", {"classlabels_int64s": [0, 1, 2]}) if kind == "Classifier" else ("target", {"n_targets": 1})
    attributes = {
        **extra,
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [0, 0, 0],
        "nodes_values": [0.5, 0.0, 0.0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        f"{what}_treeids": [0, 0],
        f"{what}_nodeids": [1, 2],
        f"{what}_ids": [0, 0],
        f"{what}_weights": [1.0, 2.0],
    } | {name.replace("weighted", what): value for name, value in changes.items()}
    node = learned(f"TreeEnsemble{kind}", attributes, inputs=["f"], outputs=["l", "s"] if what == "class" else ["s"])
    cast = helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT)
    back = helper.make_node("Cast", ["s"], ["y"], to=TensorProto.DOUBLE)
    return model([cast, node, back], width=3 if what == "class" else 1, ml=3)


def learned(kind: str, attributes: dict[str, Any], inputs: Any = ("x",), outputs: Any = ("y",)) -> Any:
    """An operator of ai.onnx.ml; lists may be empty."""
    node = helper.make_node(kind, inputs, outputs, domain="ai.onnx.ml")
    for name, value in attributes.items():
        if value is not None:
            empty = isinstance(value, list) and not value
            node.attribute.append(helper.make_attribute(name, value, attr_type=7 if empty else None))
    return node


def tensor(values: Any, dtype: Any = np.float64) -> Any:
    return numpy_helper.from_array(np.array(values, dtype=dtype))


def model(nodes: Any, *, columns: int = 2, width: int = 1, ml: int = 5, initializers: Any = ()) -> bytes:
    x = helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["rows", columns])
    y = helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["rows", width])
    made = helper.make_graph(nodes, "g", [x], [y], initializers)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", ml)]
    return bytes(helper.make_model(made, opset_imports=opsets, ir_version=9).SerializeToString())


LARGE = {
    "Expand": "s = Constant<value = int64[2] {100000, 100000}>() t = Expand(x, s) y = ReduceMax<keepdims = 1>(t)",
    "ConstantOfShape": "s = Constant<value = int64[2] {1000000, 10000}>() t = ConstantOfShape(s) d = Cast<to = 11>(t) "
    "m = ReduceMax<keepdims = 0>(d) y = Add(x, m)",
    "Tile": "s = Constant<value = int64[2] {30000, 30000}>() t = Tile(x, s) y = ReduceMax<keepdims = 1>(t)",
    "Range": "a = Constant<value = int64 {0}>() b = Constant<value = int64 {100000000000}>() "
    "d = Constant<value = int64 {1}>() r = Range(a, b, d) f = Cast<to = 11>(r) m = ReduceMax<keepdims = 0>(f) "
    "y = Add(x, m)",
    "Pad": "p = Constant<value = int64[4] {0, 0, 100000, 100000}>() t = Pad(x, p) y = ReduceMax<keepdims = 1>(t)",
    "a value of the row": "i = Cast<to = 7>(x) o = Constant<value = int64[1] {-1}>() s = Reshape(i, o) "
    "t = ConstantOfShape(s) m = ReduceMax<keepdims = 0>(t) d = Cast<to = 11>(m) y = Add(x, d)",
}
"""Graphs that make tensors of 80 GB, from a few bytes."""
