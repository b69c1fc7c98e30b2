"""ONNX files: brought into nodes where their operators have any, and else left as a graph, which only ONNX runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pgscore.errors import UnsupportedError

from .. import ir
from ..backends.numpy import evaluate
from ..onnx_model import WHOLE, OnnxModel, indices, limit, made_up
from ..onnx_signature import Answer
from ..probes import probes
from .builder import Builder, Frontend, Predictions
from .onnx_import import Graph, NotImportedError, import_graph
from .onnx_import.values import Labels, Numbers, Texts, Value, count

SINGLE = (1e-5, 3e-4)
"""How far, relative, SQL in double may lie from a graph that computes in float32: the first that is met.

float32 has an absolute error of 6e-8 of the terms of a sum, and of 1 - p. The gate counts a number as nothing below a
thousandth of the median (procedures/parity.py), where that error is 6e-5, or 1.2e-4 for one of two classes.
"""
_ROWS = 300


def onnx_model(estimator: OnnxModel, columns: ir.Block, builder: Builder) -> ir.Block | Predictions:
    """The graph in nodes if it has any that give its answers, else as it is."""
    try:
        tolerance = _imported(estimator).tolerance
    except NotImportedError as error:
        return _opaque(estimator, columns, builder, str(error))
    return _in_nodes(estimator, columns, builder, tolerance)


def program(estimator: OnnxModel) -> ir.Program:
    """The program of a file: in nodes, with the graph as it is for ONNX; or the latter alone, with the reason why.

    Raises UnsupportedError for a graph of text that has no nodes: text never enters ONNX.
    """
    try:
        found = _imported(estimator)
    except NotImportedError as error:
        return _as_is(estimator, str(error))
    if estimator.signature.texts:
        return found
    as_is = _as_is(estimator, "")
    return replace(found, as_is=as_is) if as_is.columns == found.columns else found


def _as_is(estimator: OnnxModel, reason: str) -> ir.Program:
    builder = Builder(list(estimator.feature_names_in_))
    return builder.finish(_opaque(estimator, builder.inputs, builder, reason))


def _imported(estimator: OnnxModel) -> ir.Program:
    """The program in nodes. Raises NotImportedError where there is none that gives the graph's answers."""
    for tolerance in SINGLE:
        builder = Builder(list(estimator.feature_names_in_))
        try:
            found = builder.finish(_in_nodes(estimator, builder.inputs, builder, tolerance))
        except (UnsupportedError, ValueError) as error:
            raise NotImportedError(str(error)) from error
        if _gives_the_same(estimator, found):
            return found
        if found.tolerance < tolerance:
            break
    raise NotImportedError("in SQL it would round otherwise")


def _checked(estimator: OnnxModel, columns: ir.Block, builder: Builder) -> ir.Block:
    """The columns, with the rows refused that OnnxModel refuses."""
    checked = list(columns)
    for tensor in estimator.signature.tensors:
        if tensor.element is None:
            continue
        for missing in (False, True):
            chosen = [column for column in tensor.columns if estimator.takes_missing[column] is missing]
            block = builder.finite(
                tuple(columns[column] for column in chosen), missing=missing, limit=limit(tensor.element)
            )
            if tensor.element in WHOLE and block:
                eye = np.eye(len(block))
                down = builder.add(ir.Elementwise(block, ir.Op.FLOOR))
                rest = builder.add(ir.Affine(block + down, np.hstack([eye, -eye]), np.zeros(len(block))))
                builder.add(ir.Check(rest, 0.0, 0.0))
            if tensor.element is ir.Element.BOOL and block:
                builder.add(ir.Check(block, 0.0, 1.0))
            for column, ref in zip(chosen, block, strict=True):
                checked[column] = ref
    return tuple(checked)


def _filled(estimator: OnnxModel, columns: ir.Block, builder: Builder) -> ir.Block:
    """The columns with a number in place of a missing value that refuses the row: operators may raise for NaN."""
    filled = list(columns)
    chosen = [column for column, may in enumerate(estimator.takes_missing) if not may]
    if chosen:
        block = tuple(columns[column] for column in chosen)
        for column, ref in zip(chosen, builder.add(ir.Impute(block, np.zeros(len(block)))), strict=True):
            filled[column] = ref
    return tuple(filled)


def _opaque(estimator: OnnxModel, columns: ir.Block, builder: Builder, reason: str) -> ir.Block | Predictions:
    given = estimator.signature
    if given.texts:
        name = estimator.feature_names_in_[min(given.texts)]
        builder.refuse(
            f"its graph reads text ({name}) and has an operator without a form in SQL ({reason})",
            "encode text before the graph, or give the model it was made from",
        )
    feeds = tuple(tensor.feed for tensor in given.tensors)
    rows = _filled(estimator, _checked(estimator, columns, builder), builder)
    why = f"it is an ONNX graph without a form in SQL ({reason})" if reason else ""
    node = ir.Subgraph(rows, given.content, feeds, given.fetches, why)
    made = builder.add(node)
    blocks: dict[ir.Method, ir.Block] = {}
    for answer in given.answers:
        block = tuple(made[column] for column in answer.columns)
        if answer.labels is not None and answer.values is not None:
            block = builder.add(ir.Codes(block, answer.values, unknown=np.nan))
        blocks[answer.method] = block
    return _predictions(estimator, blocks, builder, ir.FINITE)


def _in_nodes(estimator: OnnxModel, columns: ir.Block, builder: Builder, tolerance: float) -> ir.Block | Predictions:
    """The graph in nodes, within `tolerance` where it computes in float32. Raises NotImportedError."""
    import onnx

    given = estimator.signature
    model = onnx.load_from_string(given.content)
    graph = Graph(builder, own=model.producer_name == "pgscore" and model.graph.name == "pgscore")
    rows = _checked(estimator, columns, builder)
    for tensor in given.tensors:
        refs = tuple(rows[column] for column in tensor.columns)
        shape = () if tensor.flat else (len(refs),)
        if tensor.element is None:
            graph.values[tensor.name] = Texts(refs, shape)
            continue
        graph.values[tensor.name] = Numbers(refs, shape, tensor.element)
        graph.missing.update(
            ref for ref, column in zip(refs, tensor.columns, strict=True) if estimator.takes_missing[column]
        )
    found = import_graph(graph, model, [fetch.tensor for fetch in given.fetches])
    columns_of = _columns(found, [fetch.width for fetch in given.fetches], builder)
    blocks = {answer.method: _block(answer, columns_of, builder) for answer in given.answers}
    if graph.rounds:
        builder.approximate(tolerance, "the graph computes in float32, SQL in double")
    return _predictions(estimator, blocks, builder, ir.FLOAT32_LIMIT if graph.rounds else ir.FINITE)


def _columns(found: Sequence[Value], widths: Sequence[int], builder: Builder) -> list[ir.Ref | Labels]:
    """The columns of all outputs, side by side; a label as it is. Numbers that stand for float32 become that."""
    columns: list[ir.Ref | Labels] = []
    for value, width in zip(found, widths, strict=True):
        if isinstance(value, Labels):
            columns.append(value)
        elif isinstance(value, Numbers) and count(value.shape) == width:
            rounded = value.element is ir.Element.FLOAT and value.exact
            columns += builder.add(ir.Elementwise(value.refs, ir.Op.FLOAT32)) if rounded else value.refs
        else:
            raise NotImportedError("an output is constant")
    return columns


def _block(answer: Answer, columns: Sequence[ir.Ref | Labels], builder: Builder) -> ir.Block:
    """The columns of a method; a label as the index into the labels of the answer."""
    chosen = [columns[column] for column in answer.columns]
    if answer.labels is None:
        if any(isinstance(one, Labels) for one in chosen):
            raise NotImportedError("an output is text")
        return tuple(one for one in chosen if not isinstance(one, Labels))
    (one,) = chosen
    if not isinstance(one, Labels):
        return (one,) if answer.values is None else builder.add(ir.Codes((one,), answer.values, unknown=np.nan))
    if one.labels[: len(answer.labels)] == answer.labels:
        return (one.index,)
    order = [answer.labels.index(label) if label in answer.labels else np.nan for label in one.labels]
    return builder.add(ir.Lookup((one.index,), np.array(order)[:, np.newaxis], np.array([np.nan])))


def _predictions(
    estimator: OnnxModel, blocks: dict[ir.Method, ir.Block], builder: Builder, largest: float
) -> ir.Block | Predictions:
    """With rows refused whose label or scores are not finite, and numbers beyond `largest`."""
    given = estimator.signature
    labels = next((answer.labels for answer in given.answers if answer.labels is not None), None)
    if labels is not None or largest != ir.FINITE:
        for method, block in blocks.items():
            missing = labels is None and method is ir.Method.TRANSFORM
            blocks[method] = builder.finite(block, missing=missing, limit=largest)
    if ir.Method.TRANSFORM in blocks:
        return blocks[ir.Method.TRANSFORM]
    return Predictions(
        given.kind,
        blocks[ir.Method.PREDICT],
        labels,
        proba=blocks.get(ir.Method.PREDICT_PROBA),
        decision=blocks.get(ir.Method.DECISION_FUNCTION),
        distance=blocks.get(ir.Method.DISTANCE),
    )


# Whether the nodes give the graph's answers.


def _gives_the_same(estimator: OnnxModel, candidate: ir.Program) -> bool:
    """Whether the nodes answer made-up rows as the graph does."""
    rows = _rows(estimator, candidate)
    columns = {
        column.name: rows[:, list(estimator.feature_names_in_).index(column.name)] for column in candidate.columns
    }
    typed = {
        column.name: columns[column.name].astype(object if column.dtype is ir.Dtype.TEXT else np.float64)
        for column in candidate.columns
    }
    got = evaluate(candidate, typed)
    found = estimator.fetch(rows)
    # Apart, for what counts as nothing beside large numbers counts beside small ones.
    parts = (slice(0, _ROWS // 2), slice(_ROWS // 2, None))
    with np.errstate(all="ignore"):
        for answer in estimator.signature.answers:
            if answer.method not in got:
                continue
            want = found[:, list(answer.columns)]
            if answer.labels is not None:
                want = indices(answer, want)
            tolerance = 0.0 if answer.labels is not None else candidate.tolerance
            if not all(_agree(got[answer.method][part], want[part], tolerance) for part in parts):
                return False
    return True


def _agree(got: Any, want: Any, tolerance: float) -> bool:
    """Whether the numbers agree wherever both are finite, relative to them or to a thousandth of the median."""
    finite = np.isfinite(want)
    if not np.isfinite(got[finite]).all() or (np.isfinite(got) & ~finite).any():
        return False
    floor = 1e-3 * float(np.median(np.abs(want[finite]))) if finite.any() else 0.0
    size = np.maximum(np.maximum(np.abs(got), np.abs(want)), floor)
    return bool((np.abs(got - want)[finite] <= tolerance * size[finite]).all())


def _rows(estimator: OnnxModel, candidate: ir.Program) -> Any:
    """Made-up rows, also with each column missing where it may be, and on the values at which the nodes decide."""
    rows = _with_larger_numbers(estimator, made_up(estimator, _ROWS))
    names = list(estimator.feature_names_in_)
    changed = []
    for column, may in enumerate(estimator.takes_missing):
        if may:
            some = rows[:3].copy()
            some[:, column] = np.nan
            changed.append(some)
    for column in estimator.signature.texts:
        some = rows[:3].copy()
        some[:, column] = "never seen before"
        if _runs(estimator, some):
            changed.append(some)
    elements = {column: tensor.element for tensor in estimator.signature.tensors for column in tensor.columns}
    edges = max(2, min(40, _ROWS * 4 // len(names)))
    for name, values in probes(candidate).items():
        column = names.index(name)
        chosen = _fitting(elements[column], values[:: max(1, len(values) // edges)])
        some = rows[np.arange(len(chosen)) % len(rows)].copy()
        some[:, column] = chosen
        changed.append(some)
    return np.vstack([rows, *changed])


def _with_larger_numbers(estimator: OnnxModel, rows: Any) -> Any:
    """The rows, in the second half with whole numbers beyond 0 and 1, unless the graph raises for them, as an index."""
    wider = rows.copy()
    for tensor in estimator.signature.tensors:
        if tensor.element is ir.Element.INT64:
            shape = (len(rows) - _ROWS // 2, len(tensor.columns))
            wider[_ROWS // 2 :, list(tensor.columns)] = np.random.default_rng(1).integers(-30, 100, shape)
    return wider if _runs(estimator, wider) else rows


def _runs(estimator: OnnxModel, rows: Any) -> bool:
    """Whether the graph takes the rows: it may raise for a text or an index that it does not know."""
    try:
        estimator.fetch(rows)
    except Exception:  # noqa: BLE001 - onnxruntime raises classes of its own
        return False
    return True


def _fitting(element: ir.Element | None, values: Sequence[float | str]) -> list[Any]:
    """The values that a column of this type can hold, numbers with the doubles beside them."""
    if element is None:
        return [value for value in values if isinstance(value, str)]
    numbers = np.array([value for value in values if not isinstance(value, str)])
    if element in WHOLE:
        numbers = numbers[numbers == np.floor(numbers)]
    else:
        with np.errstate(over="ignore"):
            numbers = np.concatenate([numbers, np.nextafter(numbers, np.inf), np.nextafter(numbers, -np.inf)])
    low = 0.0 if element is ir.Element.BOOL else -limit(element)
    return list(numbers[(numbers >= low) & (numbers <= limit(element))].tolist())


FRONTENDS: dict[type, Frontend] = {OnnxModel: onnx_model}

NOTES: dict[type, str] = {
    OnnxModel: "an .onnx file; operators without a form in SQL run as ONNX only; "
    "graphs in float32 within 1e-5 in SQL, at worst 3e-4"
}
