"""`Subgraph`: the operators of another graph, inlined under names of their own, with casts at the borders.

One graph has one version of each domain. Ours is the oldest that has what we use; a part that was exported for a newer
one raises it for all (our operators mean the same in all of them), and a part for an older one is converted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import onnx

from pgscore.errors import UnsupportedError

from .. import ir
from .onnx_graph import ML_DOMAIN, GraphWriter

OLD_TREES = frozenset({"TreeEnsembleClassifier", "TreeEnsembleRegressor"})
"""Operators that ai.onnx.ml 5 no longer has."""
_TREES, _ENCODER = 5, 4
"""The versions of ai.onnx.ml that our own operators came with: TreeEnsemble, and LabelEncoder of doubles."""
_LARGEST_WHOLE = 2.0**53


def versions(model: Any) -> dict[str, int]:
    """The version of each domain that a graph is written for."""
    found: dict[str, int] = {}
    for opset in model.opset_import:
        domain = "" if opset.domain == "ai.onnx" else opset.domain
        found[domain] = max(found.get(domain, 0), opset.version)
    return found


def opset(program: ir.Program, ours: int) -> int:
    """The version of ONNX's own domain that the whole program is written for."""
    parts = [node for node in program.nodes if isinstance(node, ir.Subgraph)]
    return max([ours, *(versions(onnx.load_from_string(part.content)).get("", 0) for part in parts)])


def ml_opset(program: ir.Program, nodes: Iterable[Any], ours: int) -> int | None:
    """The version of ai.onnx.ml for all operators, None where there are none of it.

    Raises UnsupportedError where one part has operators that another's version no longer has.
    """
    parts = [onnx.load_from_string(node.content) for node in program.nodes if isinstance(node, ir.Subgraph)]
    used = {node.op_type for node in nodes if node.domain == ML_DOMAIN}
    if not used:
        return None
    if not parts:
        return ours
    own = [_TREES if "TreeEnsemble" in used else 0, _ENCODER if "LabelEncoder" in used else 0]
    version = max([*own, *(versions(part).get(ML_DOMAIN, 0) for part in parts)])
    if version >= _TREES and used & OLD_TREES:
        raise UnsupportedError(
            "model",
            "one graph cannot hold both its own trees and those of an ONNX graph of an older ai.onnx.ml",
            "export that part with ai.onnx.ml 5, or deploy the parts as models of their own",
        )
    return version


def subgraph(node: ir.Subgraph, x: str, writer: GraphWriter) -> str:
    """The block of the graph's columns."""
    model = upgraded(onnx.load_from_string(node.content), writer.opset)
    prefix = f"g{len(writer.nodes)}."
    names = {feed.tensor: _fed(feed, x, len(node.inputs), writer) for feed in node.feeds}

    def renamed(name: str) -> str:
        return names.get(name, prefix + name) if name else name

    for tensor in model.graph.initializer:
        copy = onnx.TensorProto()
        copy.CopyFrom(tensor)
        copy.name = renamed(tensor.name)
        writer.initializers.append(copy)
    for part in model.graph.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(part)
        copy.name = prefix + part.name if part.name else ""
        copy.input[:], copy.output[:] = map(renamed, part.input), map(renamed, part.output)
        writer.nodes.append(copy)
    blocks = [_fetched(fetch, renamed(fetch.tensor), writer) for fetch in node.fetches]
    return blocks[0] if len(blocks) == 1 else writer.op("Concat", *blocks, axis=1)


def upgraded(model: Any, version: int) -> Any:
    """The graph for at least this version of ONNX's own domain, with each domain named once."""
    known = versions(model)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _name_domains(copy, known)
    if "" in known and known[""] < version:
        copy = onnx.version_converter.convert_version(copy, version)
        _name_domains(copy, {**known, "": version})
    return copy


def _name_domains(model: Any, known: dict[str, int]) -> None:
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(domain, number) for domain, number in sorted(known.items()))


def _fed(feed: ir.Feed, x: str, width: int, writer: GraphWriter) -> str:
    """The input of the graph that the columns make."""
    whole = feed.columns == tuple(range(width))
    block = x if whole else writer.columns(x, list(feed.columns))
    if feed.element in (ir.Element.INT64, ir.Element.BOOL):
        # Casting what no whole number stands for may give any number, even one that makes an index of the graph fail.
        inside = writer.op("LessOrEqual", writer.op("Abs", block), writer.constant(_LARGEST_WHOLE))
        block = writer.op("Where", inside, block, writer.constant(0.0))
    if feed.element is not ir.Element.DOUBLE:
        kinds = {
            ir.Element.FLOAT: onnx.TensorProto.FLOAT,
            ir.Element.INT64: onnx.TensorProto.INT64,
            ir.Element.BOOL: onnx.TensorProto.BOOL,
        }
        block = writer.op("Cast", block, to=kinds[feed.element])
    return writer.op("Reshape", block, writer.constant([-1], "int64")) if feed.flat else block


def _fetched(fetch: ir.Fetch, tensor: str, writer: GraphWriter) -> str:
    """The columns (rows, width) of doubles that an output of the graph makes."""
    if fetch.labels is not None:
        tensor = writer.op(
            "LabelEncoder",
            tensor,
            domain=ML_DOMAIN,
            keys_strings=list(fetch.labels),
            values_floats=[float(index) for index in range(len(fetch.labels))],
            default_float=math.nan,
        )
    block = writer.op("Reshape", tensor, writer.constant([-1, fetch.width], "int64"))
    return writer.op("Cast", block, to=onnx.TensorProto.DOUBLE)
