"""The reference interpreter: a program on numpy arrays. Short rather than fast; the other two are held against it.

One function for each kind of node takes the node and its input columns, (n_rows, n_inputs) of doubles or of objects
for text, and gives (n_rows, width). `Check` gives in addition the rows it refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from .. import ir
from .coupling_functions import couple
from .kernel_functions import kernel
from .neighbor_functions import neighbors
from .onnx_session import subgraph

Values = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]
N = TypeVar("N", bound=ir.Node)


def evaluate(program: ir.Program, columns: Mapping[str, Values]) -> dict[ir.Method, Values]:
    """Each output of the program as (n_rows, n_columns) doubles; NaN in all outputs of a refused row.

    `columns` maps each input's name to n_rows doubles (NaN: missing) or objects (None: missing). Outputs with labels
    hold the class index.
    """
    results, refused, _ = _run(program, columns)
    outputs = {o.method: _block(results, o.columns, len(refused)).astype(np.float64) for o in program.outputs}
    for values in outputs.values():
        values[refused] = np.nan
    return outputs


def refuses(program: ir.Program, columns: Mapping[str, Values]) -> Flags:
    """The rows that the program refuses."""
    return _run(program, columns)[1]


def overflows(program: ir.Program, columns: Mapping[str, Values], output: ir.Output | None = None) -> Flags:
    """The refused rows in which the arithmetic leaves the doubles, or all digits are lost; the model may go on there.

    Not the rows that a `Check` refuses because the model does. With `output` what only others depend on does not count,
    but the inputs do.
    """
    counts = None
    if output is not None:
        counts = ir.needed(program.nodes, [output], checks=False)
        counts = [kept or isinstance(node, ir.Input) for node, kept in zip(program.nodes, counts, strict=True)]
        counts = [
            kept or (isinstance(node, ir.Check) and any(counts[ref.node] for ref in node.inputs))
            for node, kept in zip(program.nodes, counts, strict=True)
        ]
    return _run(program, columns, counts)[2]


def _run(
    program: ir.Program, columns: Mapping[str, Values], counts: Sequence[bool] | None = None
) -> tuple[list[Values], Flags, Flags]:
    """What each node gives, which rows are refused, and which of these for overflow in the nodes that count."""
    n_rows = len(next(iter(columns.values()))) if columns else 1
    refused, overflown = np.zeros(n_rows, dtype=bool), np.zeros(n_rows, dtype=bool)
    results: list[Values] = []
    with np.errstate(all="ignore"):
        for position, node in enumerate(program.nodes):
            if isinstance(node, ir.Input):
                column = program.columns[node.index]
                dtype = object if column.dtype is ir.Dtype.TEXT else np.float64
                result = np.asarray(columns[column.name], dtype=dtype).reshape(n_rows, 1)
            elif isinstance(node, ir.Constant):
                result = np.tile(node.values, (n_rows, 1))
            else:
                values = _block(results, node.inputs, n_rows)
                result = INTERPRETERS[type(node)](node, values)
                if isinstance(node, ir.Check) and not node.own:
                    refused |= _refused(node, values)
                elif counts is not None and not counts[position]:
                    pass
                elif isinstance(node, ir.Check):
                    overflown |= _refused(node, values)
                elif node.arithmetic:
                    overflown |= _overflown(values, result)
            results.append(result)
    return results, refused | overflown, overflown


def _block(results: list[Values], refs: ir.Block, n_rows: int) -> Values:
    """The columns side by side."""
    if not refs:
        return np.zeros((n_rows, 0))
    return np.column_stack([results[ref.node][:, ref.column] for ref in refs])


def _refused(node: ir.Check, x: Values) -> Flags:
    fine = (x >= node.low) & (x <= node.high) | (np.isnan(x) if node.missing else False)
    return np.logical_not(fine.all(axis=1))


def _overflown(x: Values, result: Values) -> Flags:
    """The rows in which finite numbers gave one that is not. Where x is missing, so may the result be."""
    missing = np.isnan(x) if x.shape == result.shape else np.isnan(x).any(axis=1, keepdims=True)
    return np.asarray((~np.isfinite(result) & ~missing).any(axis=1))


def _is_missing(x: Values) -> Flags:
    return np.array([v is None or v != v for v in x.ravel()], dtype=bool).reshape(x.shape)


def _fill_text(node: ir.FillText, x: Values) -> Values:
    replaced = _is_missing(x) if node.marker is None else np.equal(x, node.marker, dtype=object).astype(bool)
    return np.where(replaced, np.array(node.fill, dtype=object), x)


def _codes(node: ir.Codes, x: Values) -> Values:
    position = {category: float(code) for code, category in enumerate(node.categories)}
    missing = _is_missing(x)[:, 0]
    codes = [node.missing if m else position.get(v, node.unknown) for v, m in zip(x[:, 0], missing, strict=True)]
    return np.array(codes, dtype=np.float64).reshape(-1, 1)


def _one_hot(node: ir.OneHot, x: Values) -> Values:
    return np.column_stack([np.isin(x[:, 0], group) for group in node.groups]).astype(np.float64)


def _lookup(node: ir.Lookup, x: Values) -> Values:
    known = np.isin(x[:, 0], np.arange(len(node.table)))
    rows = np.tile(node.default, (len(x), 1))
    rows[known] = node.table[x[known, 0].astype(np.int64)]
    return rows


def _trees(node: ir.Trees, x: Values) -> Values:
    forest = node.forest
    total: Values = np.tile(node.base, (len(x), 1)).astype(np.float32 if node.single else np.float64)
    sets = [np.array(s) for s in forest.category_sets]
    for root, output in zip(forest.roots, forest.output, strict=True):
        at = np.full(len(x), root)
        active = forest.feature[at] >= 0
        while active.any():
            rows, nodes = np.flatnonzero(active), at[active]
            value = x[rows, forest.feature[nodes]]
            left = value <= forest.threshold[nodes]
            for s in np.unique(forest.category_set[nodes]) if sets else ():
                if s >= 0:
                    here = forest.category_set[nodes] == s
                    left[here] = np.isin(value[here], sets[s])
            left = np.where(np.isnan(value), forest.missing_left[nodes], left)
            at[rows] = np.where(left, forest.left[nodes], forest.right[nodes])
            active = forest.feature[at] >= 0
        if output < 0:
            total = total + forest.value[at].astype(total.dtype)
        else:
            total[:, output] = total[:, output] + forest.value[at, 0].astype(total.dtype)
    return total.astype(np.float64)


def _softmax(node: ir.Softmax, x: Values) -> Values:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    shares: Values = e / e.sum(axis=1, keepdims=True)
    return shares


def _normalize(node: ir.Normalize, x: Values) -> Values:
    total = x.sum(axis=1, keepdims=True)
    return np.where(total == 0, 1 / x.shape[1], x / np.where(total == 0, 1, total))


def _select(node: ir.Select, x: Values) -> Values:
    chosen, then, otherwise = np.split(x, 3, axis=1)
    return np.where((chosen != 0) & ~np.isnan(chosen), then, otherwise)


def _multiply(node: ir.Multiply, x: Values) -> Values:
    left, right = np.split(x, 2, axis=1)
    product: Values = left * right
    return product


def _divide(node: ir.Divide, x: Values) -> Values:
    dividend, divisor = np.split(x, 2, axis=1)
    return np.where(divisor == 0, node.at_zero, dividend / divisor)


def _reduce(node: ir.Reduce, x: Values) -> Values:
    reduce = np.max if node.reduction is ir.Reduction.MAX else np.min
    reduced: Values = reduce(x, axis=1, keepdims=True)
    return reduced


def _weighted_median(node: ir.WeightedMedian, x: Values) -> Values:
    order = np.argsort(x, axis=1)
    running = np.cumsum(node.weights[order], axis=1)
    first = (running >= 0.5 * running[:, -1:]).argmax(axis=1)[:, np.newaxis]
    return np.take_along_axis(x, np.take_along_axis(order, first, axis=1), axis=1)


def _piecewise(node: ir.Piecewise, x: Values) -> Values:
    piece = np.searchsorted(node.knots, x[:, 0], side="right")
    coefficients = node.coefficients[piece]
    # A level piece is level at infinity too.
    t = np.where(coefficients[:, :, 1:].any(axis=2), x - node.origin[piece][:, np.newaxis], 0.0)
    total = coefficients[:, :, -1]
    for power in range(coefficients.shape[2] - 2, -1, -1):
        total = total * t + coefficients[:, :, power]
    return np.where(np.isnan(x), np.nan, total)


UFUNCS: dict[ir.Op, Callable[[Values], Values]] = {
    ir.Op.EXP: np.exp,
    ir.Op.EXP2: lambda x: np.power(2.0, x),  # not np.exp2, which rounds otherwise
    ir.Op.EXPM1: np.expm1,
    ir.Op.LOG: np.log,
    ir.Op.LOG1P: np.log1p,
    ir.Op.LOG2: np.log2,
    ir.Op.LOG10: np.log10,
    ir.Op.SQRT: np.sqrt,
    ir.Op.CBRT: np.cbrt,
    ir.Op.SQUARE: np.square,
    ir.Op.RECIPROCAL: np.reciprocal,
    ir.Op.ABS: np.abs,
    ir.Op.NEGATIVE: np.negative,
    ir.Op.SIGN: np.sign,
    ir.Op.FLOOR: np.floor,
    ir.Op.CEIL: np.ceil,
    ir.Op.RINT: np.rint,
    ir.Op.SIN: np.sin,
    ir.Op.COS: np.cos,
    ir.Op.TANH: np.tanh,
    ir.Op.SINH: np.sinh,
    ir.Op.COSH: np.cosh,
    ir.Op.ARCSINH: np.arcsinh,
    ir.Op.ARCTAN: np.arctan,
    ir.Op.NORMAL_QUANTILE: ndtri,
    ir.Op.FLOAT32: lambda x: x.astype(np.float32).astype(np.float64),
    ir.Op.NORMAL_CDF: ndtr,
}
"""Every function of `Elementwise`."""

INTERPRETERS: dict[type[ir.Node], Callable[[Any, Values], Values]] = {
    ir.Check: lambda node, x: x,
    ir.Impute: lambda node, x: np.where(np.isnan(x), node.fill, x),
    ir.FillText: _fill_text,
    ir.IsMissing: lambda node, x: _is_missing(x).astype(np.float64),
    ir.Codes: _codes,
    ir.OneHot: _one_hot,
    ir.Lookup: _lookup,
    ir.Standardize: lambda node, x: (x - node.center) / node.scale,
    ir.MultiplyAdd: lambda node, x: x * node.factor + node.offset,
    ir.Clip: lambda node, x: np.clip(x, node.low, node.high),
    ir.Affine: lambda node, x: x @ node.weights.T + node.bias,
    ir.Select: _select,
    ir.Multiply: _multiply,
    ir.Divide: _divide,
    ir.Reduce: _reduce,
    ir.WeightedMedian: _weighted_median,
    ir.Elementwise: lambda node, x: UFUNCS[node.op](x),
    ir.Piecewise: _piecewise,
    ir.Trees: _trees,
    ir.Kernel: kernel,
    ir.Neighbors: neighbors,
    ir.CouplePairwise: couple,
    ir.Sigmoid: lambda node, x: np.where(x >= 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x))),
    ir.Softmax: _softmax,
    ir.Normalize: _normalize,
    ir.ArgMax: lambda node, x: x.argmax(axis=1).astype(np.float64).reshape(-1, 1),
    ir.Step: lambda node, x: (x >= node.threshold if node.inclusive else x > node.threshold).astype(np.float64),
    ir.Subgraph: subgraph,
}
"""Every kind of node but Input and Constant, which read nothing."""
