"""Programs as ONNX graphs in double precision, for onnxruntime inside PL/Python.

One exporter for each kind of node, in `EXPORTERS`. They use operators whose answer in double precision was compared
with backends/numpy.py bit for bit, and avoid the others: onnxruntime's Sigmoid flushes to 0 below -709, its Clip and
Min drop NaN, its TreeEnsemble rounds to whole numbers where it tests set membership. Exporters never import
scikit-learn and know no database.

A row is refused where a `Check` fails and where arithmetic overflows a double; each output of such a row is NaN.
"""

from __future__ import annotations

import functools
import itertools
import json
import math

import numpy as np
import onnx

from .. import ir
from .onnx_coupling import couple
from .onnx_curves import elementwise, piecewise
from .onnx_graph import FEATURES, ML_DOMAIN, Exporter, GraphWriter, refuse_overflow
from .onnx_kernels import kernel
from .onnx_medians import weighted_median
from .onnx_neighbors import neighbors
from .onnx_shares import shared_votes, votes
from .onnx_subgraph import ml_opset, opset, subgraph
from .onnx_trees import trees

WORTH_A_SLICE = 4
"""Columns that a piece of a tensor should have for it to be copied by an operator of its own."""
OUTPUTS = "outputs"
"""The graph's one output: the columns of the program's outputs side by side."""

# The oldest that have every operator used here (TreeEnsemble came with ai.onnx.ml 5, which onnx ties to IR 10), so that
# servers with an older onnxruntime load the graph too.
OPSET = 18
ML_OPSET = 5
IR_VERSION = 10


def export(program: ir.Program) -> bytes:
    """The serialised graph: `features` (rows, n_features) to `outputs` (rows, n_outputs), both double.

    Feature i is `program.features()[i]`, NaN where missing; `outputs` are the columns of `program.outputs` one after
    the other, NaN for NULL. Text nodes are not in the graph: what they give enters as features. The model's metadata
    name the features and the outputs (JSON), for readers of an exported file.
    """
    return bytes(_model(program).SerializeToString())


def _model(program: ir.Program) -> onnx.ModelProto:
    writer = GraphWriter(opset=opset(program, OPSET))
    features = program.features()
    of_shares = shared_votes(program)
    sources: dict[ir.Ref, tuple[str, int, int]] = {
        ref: (FEATURES, position, len(features)) for position, ref in enumerate(features)
    }
    for position, (node, is_text) in enumerate(zip(program.nodes, program.text_nodes(), strict=True)):
        if is_text or isinstance(node, ir.Input):
            continue
        n_blocks = SIDE_BY_SIDE.get(type(node), 1)
        blocks = [_block(refs, sources, writer) for refs in _parts(node.inputs, n_blocks)]
        exporter: Exporter = _votes if position in of_shares else EXPORTERS[type(node)]
        tensor = exporter(node, *blocks, writer)
        sources.update((ir.Ref(position, column), (tensor, column, node.width)) for column in range(node.width))
    outputs = _block(tuple(ref for output in program.outputs for ref in output.columns), sources, writer)
    _finish(outputs, writer)
    n_outputs = sum(len(output.columns) for output in program.outputs)
    graph = onnx.helper.make_graph(
        writer.nodes,
        "pgscore",
        [onnx.helper.make_tensor_value_info(FEATURES, onnx.TensorProto.DOUBLE, ["rows", len(features)])],
        [onnx.helper.make_tensor_value_info(OUTPUTS, onnx.TensorProto.DOUBLE, ["rows", n_outputs])],
        writer.initializers,
    )
    domains = [onnx.helper.make_opsetid("", writer.opset)]
    ml_version = ml_opset(program, writer.nodes, ML_OPSET)
    if ml_version is not None:
        domains.append(onnx.helper.make_opsetid(ML_DOMAIN, ml_version))
    model = onnx.helper.make_model(graph, opset_imports=domains, ir_version=IR_VERSION, producer_name="pgscore")
    onnx.helper.set_model_props(
        model,
        {
            "features": json.dumps(_names(program)),
            "outputs": json.dumps(_outputs(program)),
            "kind": json.dumps(program.kind.value),
        },
    )
    return model


def _block(refs: ir.Block, sources: dict[ir.Ref, tuple[str, int, int]], writer: GraphWriter) -> str:
    """The columns side by side: whole tensors where possible, else chosen columns of each, joined."""
    runs: list[tuple[str, list[int], int]] = []
    for ref in refs:
        tensor, column, width = sources[ref]
        if runs and runs[-1][0] == tensor:
            runs[-1][1].append(column)
        else:
            runs.append((tensor, [column], width))
    parts = [
        tensor if stretch == list(range(width)) else writer.columns(tensor, stretch)
        for tensor, columns, width in runs
        for stretch in _stretches(columns)
    ]
    if not parts:
        return writer.columns(FEATURES, [])
    return parts[0] if len(parts) == 1 else writer.op("Concat", *parts, axis=1)


def _parts(refs: ir.Block, n: int) -> list[ir.Block]:
    """So many blocks of one width that stand side by side."""
    width = len(refs) // n
    return [refs[i * width : (i + 1) * width] for i in range(n)]


def _stretches(columns: list[int]) -> list[list[int]]:
    """The columns cut where the next one is not the next of the tensor, unless the pieces are short."""
    cuts = [0, *(i for i in range(1, len(columns)) if columns[i] != columns[i - 1] + 1), len(columns)]
    pieces = [columns[start:stop] for start, stop in itertools.pairwise(cuts)]
    return pieces if len(pieces) * WORTH_A_SLICE <= len(columns) else [columns]


def _finish(outputs: str, writer: GraphWriter) -> None:
    """Names the output; NaN in all of it for refused rows, and instead of an infinity that was passed through."""
    unusable = functools.reduce(
        lambda one, other: writer.op("Or", one, other), writer.refused, writer.op("IsInf", outputs)
    )
    writer.nodes.append(onnx.helper.make_node("Where", [unusable, writer.constant(math.nan), outputs], [OUTPUTS]))


def _names(program: ir.Program) -> list[str]:
    """What each feature is: the column's name, with the node's kind where SQL computes it from text."""
    names = []
    for ref in program.features():
        node, path = program.nodes[ref.node], ""
        while not isinstance(node, ir.Input):
            path = f" → {type(node).__name__}{path}"
            column = ref.column if len(node.inputs) > 1 else 0
            ref = node.inputs[column]  # noqa: PLW2901
            node = program.nodes[ref.node]
        names.append(program.columns[node.index].name + path)
    return names


def _outputs(program: ir.Program) -> list[dict[str, object]]:
    return [
        {"method": output.method.value, "columns": len(output.columns), "labels": output.labels}
        for output in program.outputs
    ]


def _check(node: ir.Check, x: str, writer: GraphWriter) -> str:
    if not node.inputs:
        return x
    # Written as "not inside", so that NaN, of which no comparison is true, is refused too.
    above = writer.op("GreaterOrEqual", x, writer.constant(node.low))
    fine = writer.op("And", above, writer.op("LessOrEqual", x, writer.constant(node.high)))
    if node.missing:
        fine = writer.op("Or", fine, writer.op("IsNaN", x))
    writer.refuse(writer.op("Not", fine))
    return x


def _impute(node: ir.Impute, x: str, writer: GraphWriter) -> str:
    return writer.op("Where", writer.op("IsNaN", x), writer.constant(node.fill[np.newaxis]), x)


def _is_missing(_node: ir.IsMissing, x: str, writer: GraphWriter) -> str:
    return writer.double(writer.op("IsNaN", x))


def _select(_node: ir.Select, chosen: str, then: str, otherwise: str, writer: GraphWriter) -> str:
    # Nothing equals NaN, and a missing condition is none.
    is_zero = writer.op("Or", writer.op("Equal", chosen, writer.constant(0.0)), writer.op("IsNaN", chosen))
    return writer.op("Where", is_zero, otherwise, then)


def _multiply(_node: ir.Multiply, x: str, y: str, writer: GraphWriter) -> str:
    return refuse_overflow(writer.op("Mul", x, y), writer)


def _divide(node: ir.Divide, dividend: str, divisor: str, writer: GraphWriter) -> str:
    is_zero = writer.op("Equal", divisor, writer.constant(0.0))
    quotient = writer.op("Div", dividend, writer.op("Where", is_zero, writer.constant(1.0), divisor))
    return refuse_overflow(writer.op("Where", is_zero, writer.constant(node.at_zero), quotient), writer)


def _reduce(node: ir.Reduce, x: str, writer: GraphWriter) -> str:
    kind = "ReduceMax" if node.reduction is ir.Reduction.MAX else "ReduceMin"
    return writer.op(kind, x, writer.constant([1], np.int64), keepdims=1)


def _codes(node: ir.Codes, x: str, writer: GraphWriter) -> str:
    categories = [float(category) for category in node.categories]
    return writer.positions(categories, x, missing=node.missing, unknown=node.unknown)


def _one_hot(node: ir.OneHot, x: str, writer: GraphWriter) -> str:
    if all(len(group) == 1 for group in node.groups):
        return writer.double(writer.op("Equal", x, writer.constant([[group[0] for group in node.groups]])))
    codes = sorted({code for group in node.groups for code in group})
    member = np.array([[float(code in group) for group in node.groups] for code in codes]).reshape(
        len(codes), node.width
    )
    is_code = writer.double(writer.op("Equal", x, writer.constant(np.array([codes]))))
    return writer.op("MatMul", is_code, writer.constant(member))


def _lookup(node: ir.Lookup, x: str, writer: GraphWriter) -> str:
    return writer.rows_of(node.table, node.default, x)


def _standardize(node: ir.Standardize, x: str, writer: GraphWriter) -> str:
    centred = writer.op("Sub", x, writer.constant(node.center[np.newaxis]))
    return refuse_overflow(writer.op("Div", centred, writer.constant(node.scale[np.newaxis])), writer)


def _multiply_add(node: ir.MultiplyAdd, x: str, writer: GraphWriter) -> str:
    product = writer.op("Mul", x, writer.constant(node.factor[np.newaxis]))
    return refuse_overflow(writer.op("Add", product, writer.constant(node.offset[np.newaxis])), writer)


def _clip(node: ir.Clip, x: str, writer: GraphWriter) -> str:
    low, high = writer.constant(node.low), writer.constant(node.high)
    raised = writer.op("Where", writer.op("Less", x, low), low, x)
    return writer.op("Where", writer.op("Greater", x, high), high, raised)


def _affine(node: ir.Affine, x: str, writer: GraphWriter) -> str:
    if not node.inputs:
        return writer.fill(node.bias)
    product = writer.op("MatMul", x, writer.constant(node.weights.T))
    total = writer.op("Add", product, writer.constant(node.bias[np.newaxis]))
    # inf - inf is NaN: an overflow on both sides. Its inputs are never missing, a Check stands before them.
    writer.refuse(writer.op("IsNaN", total))
    return refuse_overflow(total, writer)


def _sigmoid(_node: ir.Sigmoid, x: str, writer: GraphWriter) -> str:
    one = writer.constant(1.0)
    e = writer.op("Exp", writer.op("Neg", writer.op("Abs", x)))
    numerator = writer.op("Where", writer.op("GreaterOrEqual", x, writer.constant(0.0)), one, e)
    return writer.op("Div", numerator, writer.op("Add", one, e))


def _softmax(_node: ir.Softmax, x: str, writer: GraphWriter) -> str:
    axis = writer.constant([1], np.int64)
    e = writer.op("Exp", writer.op("Sub", x, writer.op("ReduceMax", x, axis, keepdims=1)))
    return writer.op("Div", e, writer.op("ReduceSum", e, axis, keepdims=1))


def _normalize(node: ir.Normalize, x: str, writer: GraphWriter) -> str:
    total = writer.op("ReduceSum", x, writer.constant([1], np.int64), keepdims=1)
    refuse_overflow(total, writer)
    is_zero = writer.op("Equal", total, writer.constant(0.0))
    return writer.op("Where", is_zero, writer.constant(1 / node.width), writer.op("Div", x, total))


def _arg_max(_node: ir.ArgMax, x: str, writer: GraphWriter) -> str:
    return writer.double(writer.op("ArgMax", x, axis=1, keepdims=1, select_last_index=0))


def _step(node: ir.Step, x: str, writer: GraphWriter) -> str:
    kind = "GreaterOrEqual" if node.inclusive else "Greater"
    return writer.double(writer.op(kind, x, writer.constant(node.threshold)))


def _trees(node: ir.Trees, x: str, writer: GraphWriter) -> str:
    return refuse_overflow(trees(node, x, writer), writer)


def _votes(node: ir.Trees, x: str, writer: GraphWriter) -> str:
    return refuse_overflow(votes(node, x, writer), writer)


EXPORTERS: dict[type[ir.Node], Exporter] = {
    ir.Constant: lambda node, x, writer: writer.fill(node.values),
    ir.Check: _check,
    ir.Impute: _impute,
    ir.IsMissing: _is_missing,
    ir.Select: _select,
    ir.Codes: _codes,
    ir.OneHot: _one_hot,
    ir.Lookup: _lookup,
    ir.Standardize: _standardize,
    ir.MultiplyAdd: _multiply_add,
    ir.Clip: _clip,
    ir.Affine: _affine,
    ir.Multiply: _multiply,
    ir.Divide: _divide,
    ir.Reduce: _reduce,
    ir.WeightedMedian: weighted_median,
    ir.Elementwise: elementwise,
    ir.Piecewise: piecewise,
    ir.Trees: _trees,
    ir.Kernel: kernel,
    ir.Neighbors: neighbors,
    ir.CouplePairwise: couple,
    ir.Sigmoid: _sigmoid,
    ir.Softmax: _softmax,
    ir.Normalize: _normalize,
    ir.ArgMax: _arg_max,
    ir.Step: _step,
    ir.Subgraph: subgraph,
}
"""Every kind of node but Input, which is a column of `features`, and FillText: text is SQL's part."""

SIDE_BY_SIDE: dict[type[ir.Node], int] = {ir.Multiply: 2, ir.Divide: 2, ir.Select: 3}
"""The kinds whose exporters take several blocks: how many their inputs are made of."""
