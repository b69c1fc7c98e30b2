"""Small hand-built programs, one for each kind of node, and the rows that are hardest for them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx.parser

from pgscore.compiler import ir
from pgscore.compiler.backends import numpy as reference
from pgscore.compiler.ir import Column, Dtype, Method, ModelKind, Output, Program, Ref

from .point_programs import POINT_PROGRAMS

HARD = (
    *(0.0, 1.0, -1.0, 0.5, 1.5, 2.0, 3.0, 255.0, math.pi, -745.2, -708.5, -40.0, 36.9, 709.5, 710.0),
    *(1e300, -1e300, 1e-300, -1e-300, 5e-324, -5e-324, ir.FINITE, -ir.FINITE, math.inf, -math.inf, math.nan),
    *(ir.FLOAT32_LIMIT, float(np.nextafter(ir.FLOAT32_LIMIT, math.inf))),
    *(float(np.nextafter(1.5, 2)), float(np.nextafter(1.5, 1)), -0.0, 1e39, 2.0**53, 2.0**31),
)
TEXTS = ("a", "b", "it's", "\\", "line\nbreak", "", "never seen", "Ünï", None, "A", "a ")

REFUSING_BEYOND = 1e301
"""SQL may refuse a row with a number beyond this, though the model's own arithmetic just about survives it."""


def block(node: int, width: int) -> ir.Block:
    return tuple(Ref(node, column) for column in range(width))


def inputs(n: int) -> ir.Block:
    return tuple(Ref(index, 0) for index in range(n))


def program(
    columns: Sequence[Dtype], *nodes: ir.Node, outputs: tuple[Output, ...] = (), kind: ModelKind = ModelKind.TRANSFORMER
) -> Program:
    """`nodes` over columns x0, x1, …; the output is all of the last node unless `outputs` says."""
    last = len(columns) + len(nodes) - 1
    outputs = outputs or (Output(Method.TRANSFORM, block(last, nodes[-1].width)),)
    start = tuple(ir.Input((), index, dtype) for index, dtype in enumerate(columns))
    return Program(kind, tuple(Column(f"x{i}", d) for i, d in enumerate(columns)), start + nodes, outputs)


N, T = Dtype.NUMBER, Dtype.TEXT


def forest(**changes: object) -> ir.Forest:
    """Three trees over two columns: a split on each, a categorical split, and a single leaf; two outputs."""
    arrays: dict[str, object] = {
        "roots": [0, 5, 8],
        "feature": [0, -1, 1, -1, -1, 1, -1, -1, -1],
        "threshold": [1.5, 0, -40.0, 0, 0, 0, 0, 0, 0],
        "left": [1, -1, 3, -1, -1, 6, -1, -1, -1],
        "right": [2, -1, 4, -1, -1, 7, -1, -1, -1],
        "missing_left": [False, False, True, False, False, True, False, False, False],
        "value": [[0, 0], [0.1, 0.9], [0, 0], [0.3, 0.7], [1, 0], [0, 0], [0.2, 0.1], [0.7, 0.7], [1e-3, 1]],
        "output": [-1, -1, -1],
        "category_set": [-1, -1, -1, -1, -1, 0, -1, -1, -1],
        "category_sets": ((1.0, 3.0, 255.0),),
    }
    return ir.Forest(**{**arrays, **changes})  # type: ignore[arg-type]


def _single(**changes: object) -> ir.Forest:
    """The forest with leaves in float32."""
    return forest(**{"value": forest().value.astype(np.float32), **changes})


def _checked(*nodes: ir.Node, n: int = 2) -> Program:
    """`nodes` behind a Check of their inputs, which start at node `n`."""
    return program([N] * n, ir.Check(inputs(n), -ir.FINITE, ir.FINITE), *nodes)


def interpolation(knots: Sequence[float], values: Sequence[float], start: int = 0) -> ir.Piecewise:
    """Of the first column of node `start`: straight lines between the points, level outside."""
    x, y = np.array(knots), np.array(values)
    slope = np.concatenate([[0.0], np.diff(y) / np.diff(x), [0.0]])
    coefficients = np.stack([np.concatenate([y[:1], y]), slope], axis=1)[:, np.newaxis, :]
    return ir.Piecewise((Ref(start, 0),), x, np.concatenate([x[:1], x]), coefficients)


PROGRAMS: dict[type[ir.Node], dict[str, Program]] = {
    ir.Input: {"number": program([N, N], ir.Clip(inputs(2), -1e9, 1e9))},
    ir.Constant: {"two": program([N], ir.Constant((), np.array([1.5, -0.1])))},
    ir.Check: {
        "finite": program([N, N], ir.Check(inputs(2), -ir.FINITE, ir.FINITE)),
        "float32": program([N], ir.Check(inputs(1), -ir.FLOAT32_LIMIT, ir.FLOAT32_LIMIT, missing=True)),
        "range": program([N], ir.Check(inputs(1), -1.0, 2.5, missing=True)),
        "codes": program([T], ir.Codes(inputs(1), ("a", "b", "it's")), ir.Check(block(1, 1), 0.0, ir.FINITE)),
        "codes-missing": program(
            [T], ir.Codes(inputs(1), ("a", "b")), ir.Check(block(1, 1), 0.0, ir.FINITE, missing=True)
        ),
        "computed": program(
            [N, N], ir.Affine(inputs(2), np.array([[1.0, 2.0]]), np.array([0.5])), ir.Check(block(2, 1), -3.0, 300.0)
        ),
        "scaled": program(
            [N],
            ir.Check(inputs(1), -ir.FINITE, ir.FINITE, missing=True),
            ir.Standardize(block(1, 1), np.array([3.25]), np.array([0.07])),
            ir.Check(block(2, 1), -ir.FLOAT32_LIMIT, ir.FLOAT32_LIMIT, missing=True),
        ),
    },
    ir.Impute: {"two": program([N, N], ir.Impute(inputs(2), np.array([2.5, -1.0])))},
    ir.FillText: {
        "codes": program([T], ir.FillText(inputs(1), ("b",)), ir.Codes(block(1, 1), ("a", "b", "", "line\nbreak"))),
        "marker": program([T], ir.FillText(inputs(1), ("b",), "it's"), ir.Codes(block(1, 1), ("a", "b", "it's", ""))),
    },
    ir.IsMissing: {"both": program([N, T], ir.IsMissing(inputs(2)))},
    ir.Codes: {
        "text": program([T], ir.Codes(inputs(1), ("a", "b", "it's", "\\", "line\nbreak", "Ünï"))),
        "missing-known": program([T], ir.Codes(inputs(1), ("a", "b"), missing=1.0, unknown=0.0)),
        "missing-unknown": program([T], ir.Codes(inputs(1), ("a", "b"), missing=-1.0, unknown=-1.0)),
        "numbers": program([N], ir.Codes(inputs(1), (0.0, 1.5, -40.0, 2.0), missing=7.0, unknown=-2.0)),
        "unknown-nan": program([N], ir.Codes(inputs(1), (0.5, 3.0), missing=math.nan, unknown=math.nan)),
        "many": program([T], ir.Codes(inputs(1), (*(f"c{i}" for i in range(70)), "a", ""), missing=70.0)),
    },
    ir.OneHot: {
        "text": program(
            [T], ir.Codes(inputs(1), ("a", "b", "it's")), ir.OneHot(block(1, 1), ((0.0,), (1.0, 2.0), (-1.0, 0.0)))
        ),
        "missing": program(
            [T],
            ir.Codes(inputs(1), ("a", "b"), missing=2.0),
            ir.OneHot(block(1, 1), ((0.0,), (2.0,), (-1.0,), (-1.0, 2.0), (-1.0, 0.0, 1.0))),
        ),
        "numbers": program(
            [N], ir.Codes(inputs(1), (0.5, 3.0), missing=2.0), ir.OneHot(block(1, 1), ((0.0,), (2.0,), (-1.0, 1.0)))
        ),
        "plain": program([N], ir.OneHot(inputs(1), ((0.0, 1.0), (3.0,)))),
    },
    ir.Lookup: {
        "text": program(
            [T],
            ir.Codes(inputs(1), ("a", "b", "it's")),
            ir.Lookup(block(1, 1), np.array([[1.5, 0.0], [-2.0, 1.0], [-2.0, 3.0]]), np.array([0.25, -1.0])),
        ),
        "missing": program(
            [T],
            ir.Codes(inputs(1), ("a", "b"), missing=2.0),
            ir.Lookup(block(1, 1), np.array([[1.0], [2.0], [3.0]]), np.array([4.0])),
        ),
        "many-numbers": program(
            [N],
            ir.Codes(inputs(1), (*(float(i) - 40.5 for i in range(99)), 255.0), missing=3.0),
            ir.Lookup(block(1, 1), np.arange(200.0).reshape(-1, 2) / 7, np.array([-1.0, 2.0])),
        ),
        "plain": program([N], ir.Lookup(inputs(1), np.array([[1.0], [math.nan], [3.0]]), np.array([4.0]))),
        "many": program(
            [T],
            ir.Codes(inputs(1), (*(f"c{i}" for i in range(99)), "a", "b", "Ünï")),
            ir.Lookup(block(1, 1), np.arange(102.0).reshape(-1, 1) / 7, np.array([-1.0])),
        ),
    },
    ir.Standardize: {
        "centered": program([N, N], ir.Standardize(inputs(2), np.array([3.25, 1e-300]), np.array([0.07, 1e5]))),
        "scaled": program([N, N], ir.Standardize(inputs(2), np.zeros(2), np.array([0.5, 1e250]))),
    },
    ir.MultiplyAdd: {
        "two": program([N, N], ir.MultiplyAdd(inputs(2), np.array([0.03, -3e5]), np.array([0.0, 2.5]))),
        "tiny": program([N, N], ir.MultiplyAdd(inputs(2), np.array([1e-250, 1.0]), np.array([0.0, 0.0]))),
        "zero": program([N], ir.MultiplyAdd(inputs(1), np.array([0.0]), np.array([2.0]))),
    },
    ir.Clip: {
        "missing": program([N], ir.Clip(inputs(1), -1.0, 2.5)),
        "present": _checked(ir.Clip(block(2, 2), 0, 1)),
        "one-bound": _checked(ir.Clip(block(2, 2), 0.0, math.inf), ir.Clip(block(3, 2), -math.inf, 0.5)),
        "missing-one-bound": program([N], ir.Clip(inputs(1), -math.inf, 2.5)),
    },
    ir.Affine: {
        "three": _checked(
            ir.Affine(block(2, 2), np.array([[0.03, -2.0], [1.0, -1.0], [0.0, 1e-200]]), np.array([0.5, 0.0, 0.0]))
        ),
        "missing": program([N, N], ir.Affine(inputs(2), np.array([[0.03, -2.0]]), np.array([0.0]))),
        "nothing": _checked(ir.Affine(block(1, 1), np.zeros((1, 1)), np.array([0.0])), n=1),
        "negative": program([N, N], ir.Affine(inputs(2), np.array([[-1.0, -1.0]]), np.array([1.0]))),
        "layers": _checked(
            ir.Affine(block(2, 2), np.array([[1e3, -2.0], [1.0, 1e-200]]), np.array([0.5, 0.0])),
            ir.Clip(block(3, 2), 0.0, math.inf),
            ir.Affine(block(4, 2), np.array([[1e3, -1e-3]]), np.array([0.1])),
        ),
    },
    ir.Trees: {
        "missing": program([N, N], ir.Trees(inputs(2), forest(), np.array([0.5, 0.0]))),
        "checked": _checked(ir.Trees(block(2, 2), forest(), np.array([0.5, 0.0]))),
        "imputed": program(
            [N, N],
            ir.Impute(inputs(2), np.array([7.0, 255.0])),
            ir.Trees(block(2, 2), forest(), np.array([0.5, 0.0])),
        ),
        "one-output-each": program(
            [N, N], ir.Trees(inputs(2), forest(output=[1, 0, 1], value=forest().value[:, :1]), np.array([0.5, 0.25]))
        ),
        "codes": program(
            [T, T],
            ir.Codes((Ref(0, 0),), ("a", "b", "it's")),
            ir.Codes((Ref(1, 0),), ("a", "b", "it's", "\\")),
            ir.Trees((Ref(2, 0), Ref(3, 0)), forest(), np.zeros(2)),
        ),
        "one-hot": program(
            [T],
            ir.Codes(inputs(1), ("a", "b", "it's")),
            ir.OneHot(block(1, 1), ((0.0,), (1.0, -1.0))),
            ir.Trees(
                block(2, 2),
                forest(threshold=[0.5, 0, 0.5, 0, 0, 0, 0, 0, 0], category_sets=((1.0,),)),
                np.array([0.5, 0.0]),
            ),
        ),
        "single": program([N, N], ir.Trees(inputs(2), _single(), np.array([0.5, 0.0]), single=True)),
        "single-one-output-each": program(
            [N, N],
            ir.Trees(
                inputs(2),
                _single(output=[1, 0, 1], value=_single().value[:, :1]),
                np.array([0.5, 0.25]),
                single=True,
            ),
        ),
        "no-trees": program([N, N], ir.Trees(inputs(2), forest(roots=[], output=[]), np.array([0.0, 2.0]))),
    },
    ir.Sigmoid: {"two": _checked(ir.Sigmoid(block(2, 2)))},
    ir.Softmax: {"three": _checked(ir.Softmax(block(3, 3)), n=3), "one": _checked(ir.Softmax(block(1, 1)), n=1)},
    ir.Elementwise: {
        **{op.value: program([N, N], ir.Elementwise(inputs(2), op)) for op in ir.Op},
        "checked": _checked(ir.Elementwise(block(1, 1), ir.Op.EXP), n=1),
        "chain": program(
            [N],
            ir.Elementwise(inputs(1), ir.Op.LOG),
            ir.Check(block(1, 1), -ir.FINITE, ir.FINITE),
            ir.Elementwise(block(2, 1), ir.Op.SQUARE),
            ir.MultiplyAdd(block(3, 1), np.array([-2.5]), np.array([1.0])),
        ),
        "summed": _checked(
            ir.MultiplyAdd(block(2, 2), np.array([0.9, 0.9]), np.zeros(2)),
            ir.Elementwise(block(3, 2), ir.Op.EXP),
            ir.Affine(block(4, 2), np.array([[2.0, -1.0]]), np.array([0.5])),
        ),
    },
    ir.Piecewise: {
        "steps": program(
            [N],
            ir.Piecewise(
                inputs(1), np.array([-1.0, 0.5, 2.0]), np.zeros(4), np.array([0.0, 1.0, 2.0, 3.0]).reshape(4, 1, 1)
            ),
        ),
        "interpolation": program(
            [N], interpolation([-1.0, 0.0, 0.5, 2.0, 3.0, 255.0], [0.1, 0.3, 0.3, 0.9, 1.5, -7.0])
        ),
        "checked": program(
            [N], ir.Check(inputs(1), -ir.FINITE, ir.FINITE), interpolation([-1.0, 0.0, 0.5], [0.1, 0.3, 0.9], start=1)
        ),
        "cubic": program(
            [N],
            ir.Piecewise(
                inputs(1),
                np.array([-1.0, 0.5]),
                np.array([-1.0, -1.0, 0.5]),
                np.arange(24.0).reshape(3, 2, 4) / 7 - 1.5,
            ),
        ),
        "no-knots": program([N], ir.Piecewise(inputs(1), np.zeros(0), np.zeros(1), np.array([[[1.0, 2.0]]]))),
    },
    ir.Select: {
        "flags": program([N, N, N], ir.IsMissing(inputs(1)), ir.Select((Ref(3, 0), Ref(1, 0), Ref(2, 0)))),
        "numbers": program([N, N, N], ir.Select(inputs(3))),
        "text": program(
            [T, N, N], ir.Codes(inputs(1), ("a", "b"), missing=0.0), ir.Select((Ref(3, 0), Ref(1, 0), Ref(2, 0)))
        ),
    },
    ir.Multiply: {
        "two": _checked(ir.Multiply(block(2, 2))),
        "square": _checked(ir.Multiply((*block(1, 1), *block(1, 1))), n=1),
        "missing": program([N, N], ir.Multiply(inputs(2))),
        "squared-distance": _checked(
            ir.Standardize(block(2, 2), np.array([0.5, 1e-3]), np.array([1.0, 2.0])),
            ir.Multiply((*block(3, 2), *block(3, 2))),
            ir.Affine(block(4, 2), np.array([[-0.5, -0.5]]), np.array([1.0])),
        ),
    },
    ir.Divide: {
        "two": _checked(ir.Divide(block(2, 2), at_zero=-1.0)),
        "missing": program([N, N], ir.Divide(inputs(2))),
        "norm": _checked(
            ir.Elementwise(block(2, 2), ir.Op.ABS),
            ir.Affine(block(3, 2), np.ones((1, 2)), np.zeros(1)),
            ir.Divide((*block(2, 2), Ref(4, 0), Ref(4, 0))),
        ),
    },
    ir.Reduce: {
        "max": _checked(ir.Reduce(block(3, 3)), n=3),
        "min": _checked(ir.Reduce(block(3, 3), ir.Reduction.MIN), n=3),
        "one": _checked(ir.Reduce(block(1, 1)), n=1),
    },
    ir.WeightedMedian: {
        "three": _checked(ir.WeightedMedian(block(3, 3), np.array([0.7, 1.3, 0.4])), n=3),
        "equal": _checked(ir.WeightedMedian(block(4, 4), np.full(4, 0.1)), n=4),
        "zero": _checked(ir.WeightedMedian(block(2, 2), np.zeros(2))),
        "one": _checked(ir.WeightedMedian(block(1, 1), np.array([2.0])), n=1),
    },
    ir.Normalize: {
        "sigmoids": _checked(ir.Sigmoid(block(3, 3)), ir.Normalize(block(4, 3)), n=3),
        "zeros": _checked(ir.Step(block(2, 2)), ir.Normalize(block(3, 2))),
    },
    ir.ArgMax: {f"{n}": _checked(ir.ArgMax(block(n, n)), n=n) for n in (1, 2, 3, 5)},
    ir.Step: {
        "strict": program([N, N], ir.Step(inputs(2), 1.5)),
        "inclusive": program([N, N], ir.Step(inputs(2), 1.5, inclusive=True)),
    },
    **POINT_PROGRAMS,
}
"""By the kind that the program is about."""

_DOUBLED = """\
<ir_version: 8, opset_import: ["" : 15]>
graph (float[rows, 2] x, int64[rows] n) => (float[rows, 2] y, int64[rows] m) {
    two = Constant <value_float = 2.0> ()
    y = Mul(x, two)
    m = Neg(n)
}
"""


def _subgraph() -> Program:
    """Two columns as floats and one as a whole number, through a graph of an older version."""
    content = onnx.parser.parse_model(_DOUBLED).SerializeToString()
    feeds = (ir.Feed("x", ir.Element.FLOAT, (0, 2)), ir.Feed("n", ir.Element.INT64, (1,), flat=True))
    fetches = (ir.Fetch("m", 1), ir.Fetch("y", 2))
    return program([N, N, N], ir.Subgraph(inputs(3), content, feeds, fetches))


ONLY_ONNX: dict[type[ir.Node], dict[str, Program]] = {ir.Subgraph: {"floats": _subgraph()}}
"""The same for kinds that have no form in SQL."""

ALL = {f"{kind.__name__}-{name}": p for kind, group in PROGRAMS.items() for name, p in group.items()}


def hard_columns(p: Program, rows: int = 300, seed: int = 0) -> dict[str, list[object]]:
    """Each hard value in each column next to ordinary ones, then random mixtures; NULL and NaN for missing."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[object]] = {}
    for index, column in enumerate(p.columns):
        hard: Sequence[object] = TEXTS if column.dtype is T else (*HARD, None)
        ordinary: list[object] = ["a"] * rows if column.dtype is T else rng.normal(scale=3, size=rows).tolist()
        swept = [hard[i // len(p.columns)] if i % len(p.columns) == index else ordinary[i % rows]
                 for i in range(len(hard) * len(p.columns))]  # fmt: skip
        mixed = [hard[k] if rng.random() < 0.7 else ordinary[i] for i, k in enumerate(rng.integers(0, len(hard), rows))]
        found[column.name] = swept + mixed
    n = max(map(len, found.values()))
    return {name: (values * 3)[:n] for name, values in found.items()}


def as_arrays(p: Program, columns: Mapping[str, Sequence[object]]) -> dict[str, npt.NDArray[np.generic]]:
    """The columns as the reference takes them."""
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for column in p.columns:
        values = columns[column.name]
        if column.dtype is N:
            arrays[column.name] = np.array([math.nan if v is None else float(v) for v in values])  # type: ignore[arg-type]
        else:
            arrays[column.name] = np.array(values, dtype=object)
    return arrays


def expected(p: Program, columns: Mapping[str, Sequence[object]]) -> npt.NDArray[np.float64]:
    """The reference's outputs side by side; NaN for what SQL gives as NULL: missing, refused, infinite."""
    outputs = np.concatenate(list(reference.evaluate(p, as_arrays(p, columns)).values()), axis=1)
    return np.where(np.isfinite(outputs), outputs, math.nan)


def too_large(columns: Mapping[str, Sequence[object]], row: int) -> bool:
    """Whether the row holds a number so large that SQL may refuse it."""
    values = [values[row] for values in columns.values()]
    return any(isinstance(v, float) and abs(v) > REFUSING_BEYOND for v in values)
