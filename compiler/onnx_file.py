"""ONNX files: what one may hold before anything is made of it. It runs no code, but may name files and operators.

A graph that passes keeps to the standard operators, to its own bytes, and to one answer for each row and each run: the
server's own check (procedures/runtime/graphs.py) is made here too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pgscore.procedures.runtime import graphs, operators
from pgscore.procedures.runtime.libraries import ScoringError

MAX_BYTES = 512 * 2**20
"""As on the server."""
MAX_OPSET, MAX_ML_OPSET = 22, 5
"""The newest that the oldest onnxruntime we allow on a server runs."""
DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
RANDOM = frozenset({
    "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
})  # fmt: skip
MAX_LINE = 300


class OnnxFileError(ValueError):
    """Why the content is no ONNX graph that pgscore takes; one line."""


def is_onnx(content: bytes) -> bool:
    """Whether the content looks like an ONNX model: its first field is the version of the format."""
    if not content.startswith(b"\x08"):
        return False
    model = _parsed(content)
    return model is not None and model.HasField("graph") and len(model.opset_import) > 0


def read(content: bytes) -> Any:
    """The model (onnx.ModelProto). Raises OnnxFileError where it is damaged or holds what pgscore does not take."""
    import onnx

    if len(content) > MAX_BYTES:
        raise OnnxFileError(f"it has {len(content):,} bytes, more than the limit of {MAX_BYTES:,}")
    model = _parsed(content)
    if model is None or not model.HasField("graph") or not len(model.opset_import):
        raise OnnxFileError("it is no ONNX model, or a damaged one")
    _check_domains(model)
    _check_contents(model)
    for node in model.graph.node:
        _check_node(node)
    _check_as_the_server(content, model)
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # whatever a damaged file brings up
        raise OnnxFileError(f"it is no valid ONNX model: {_line(error)}") from error
    return model


def _check_as_the_server(content: bytes, model: Any) -> None:
    """What onnxruntime would crash on is refused here as well. Of a ZipMap, what stands before it is taken later."""
    if any(node.op_type == "ZipMap" for node in model.graph.node):
        without = type(model)()
        without.CopyFrom(model)
        del without.graph.node[:]
        without.graph.node.extend(node for node in model.graph.node if node.op_type != "ZipMap")
        content = without.SerializeToString()
    try:
        graphs.check(content, operators.CHECKED_SINCE)
    except ScoringError as error:
        raise OnnxFileError(str(error).replace("the graph", "it", 1)) from None


def _parsed(content: bytes) -> Any:
    """The message; None where the bytes are none."""
    import onnx

    try:
        return onnx.load_from_string(content)
    except Exception:  # noqa: BLE001 - protobuf's own DecodeError, which has no types
        return None


def _check_domains(model: Any) -> None:
    for opset in model.opset_import:
        if opset.domain not in DOMAINS:
            raise OnnxFileError(f"it has operators of the domain {opset.domain[:MAX_LINE]!r}, which is no standard one")
        limit = MAX_ML_OPSET if opset.domain == "ai.onnx.ml" else MAX_OPSET
        if opset.version > limit:
            name = opset.domain or "ai.onnx"
            raise OnnxFileError(f"it is written for {name} {opset.version}; export it for {limit} or older")


def _check_contents(model: Any) -> None:
    """What stands beside the operators."""
    import onnx

    graph = model.graph
    if len(model.functions):
        raise OnnxFileError("it holds functions of its own; inline them when you export it")
    if len(model.training_info):
        raise OnnxFileError("it holds training information; export it for inference")
    if len(graph.sparse_initializer):
        raise OnnxFileError("it holds sparse tensors; export it with dense ones")
    attributes = (attribute.t for node in graph.node for attribute in node.attribute if attribute.HasField("t"))
    for tensor in (*graph.initializer, *attributes):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or len(tensor.external_data):
            raise OnnxFileError("its tensors are in other files (external data); save it as one file")


def _check_node(node: Any) -> None:
    if node.domain not in DOMAINS:
        raise OnnxFileError(f"it has an operator of the domain {node.domain[:MAX_LINE]!r}, which is no standard one")
    if node.op_type in RANDOM:
        raise OnnxFileError(f"its operator {node.op_type} gives another answer each time")
    if node.op_type == "LabelEncoder" and any(a.name == "classes_strings" for a in node.attribute):
        raise OnnxFileError("its LabelEncoder is of ai.onnx.ml 1; export it for ai.onnx.ml 2 or newer")
    if node.op_type == "TreeEnsembleClassifier":
        _check_classes(node)
    for attribute in node.attribute:
        if attribute.HasField("g") or len(attribute.graphs):
            raise OnnxFileError(
                f"its operator {node.op_type} has a graph within (If, Loop, Scan), which pgscore refuses"
            )
        if attribute.HasField("sparse_tensor") or len(attribute.sparse_tensors):
            raise OnnxFileError("it holds sparse tensors; export it with dense ones")


def _check_classes(node: Any) -> None:
    """Refuses ensembles for which onnxruntime ends the process, or answers with memory that it never wrote."""
    import onnx

    given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    labels = given.get("classlabels_strings") or given.get("classlabels_int64s") or ()
    if len(labels) < 2:
        raise OnnxFileError("its TreeEnsembleClassifier has fewer than two classes, which ends onnxruntime's process")
    if len(labels) > 2:
        return
    tensor = given.get("base_values_as_tensor")
    n_base = len(given.get("base_values", ())) if tensor is None else int(np.prod(tensor.dims))
    one_for_both = n_base == 1 and len(set(given.get("class_ids", ()))) == 2
    if one_for_both or given.get("post_transform") == b"PROBIT":
        what = "one base value for two classes" if one_for_both else "PROBIT for two classes"
        raise OnnxFileError(f"its TreeEnsembleClassifier has {what}: onnxruntime leaves a score undefined")


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).partition("\n")[0][:MAX_LINE]
