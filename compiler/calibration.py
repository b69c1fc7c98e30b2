"""Programs whose running times tell what the parts of a program cost, and the fit of the costs to these times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import nnls

from . import ir
from .artifact import Strategy
from .costs import DEFAULTS, Costs
from .strategy import Size
from .values import FloatArray

COLUMNS = 60
"""Columns of the table that the programs read."""
LEAST = {"row": 0.05, "start": 20.0, "batch": 0.05}
"""Microseconds below which a time counts as this: noise must not weigh more than what is measured well."""
MAX_ERROR = 0.5
"""From this error on costs are not those of the server."""


@dataclass(frozen=True)
class Timing:
    """Microseconds that a program of some size took in a strategy: for a row, and before the first row of a statement.

    `batch` is for a row where ONNX gets many at once.
    """

    strategy: Strategy
    size: Size
    row: float
    start: float
    batch: float = 0.0


@dataclass(frozen=True)
class Fit:
    """The costs, and for each group of them how far the times lie from what the costs say: the median, as a share.

    A group in `kept` has its defaults instead: no costs came within MAX_ERROR of the times.
    """

    costs: Costs
    errors: dict[str, float]

    @property
    def kept(self) -> list[str]:
        """The groups whose times no costs explain."""
        return [group for group, error in self.errors.items() if error > MAX_ERROR]


def programs() -> dict[str, ir.Program]:
    """Sums and trees, small and large, each reading the first columns of the table."""
    return {
        "sum of 5": _sum(5),
        "sum of 60": _sum(60),
        "largest of 10 sums": _largest(20, 10),
        "tree": _trees(1, 6),
        "10 trees": _trees(10, 5),
        "100 trees": _trees(100, 5),
    }


def _program(n: int, *nodes: ir.Node) -> ir.Program:
    columns = tuple(ir.Column(f"x{index}", ir.Dtype.NUMBER) for index in range(n))
    inputs = tuple(ir.Input((), index, ir.Dtype.NUMBER) for index in range(n))
    result = ir.Output(ir.Method.PREDICT, (ir.Ref(n + len(nodes), 0),))
    check = ir.Check(tuple(ir.Ref(index, 0) for index in range(n)), -ir.FINITE, ir.FINITE)
    return ir.Program(ir.ModelKind.REGRESSOR, columns, (*inputs, check, *nodes), (result,))


def _columns(n: int) -> ir.Block:
    """What a program's own nodes read: the columns, behind their check."""
    return tuple(ir.Ref(n, index) for index in range(n))


def _sum(n: int) -> ir.Program:
    return _program(n, ir.Affine(_columns(n), np.linspace(0.1, 0.9, n)[np.newaxis], np.ones(1)))


def _largest(n: int, n_sums: int) -> ir.Program:
    weights = np.random.default_rng(0).normal(size=(n_sums, n))
    sums = tuple(ir.Ref(n + 1, index) for index in range(n_sums))
    return _program(n, ir.Affine(_columns(n), weights, np.ones(n_sums)), ir.Reduce(sums, ir.Reduction.MAX))


def _trees(n_trees: int, depth: int, n: int = 10) -> ir.Program:
    """Complete trees; the children of node i of a tree are its nodes 2i + 1 and 2i + 2."""
    rng = np.random.default_rng(1)
    n_nodes, n_inner = 2 ** (depth + 1) - 1, 2**depth - 1
    roots = np.arange(n_trees) * n_nodes
    place = np.tile(np.arange(n_nodes), n_trees)
    inner = place < n_inner
    child = np.repeat(roots, n_nodes) + 2 * place
    forest = ir.Forest(
        roots=roots,
        feature=np.where(inner, rng.integers(0, n, len(place)), -1),
        threshold=np.where(inner, rng.uniform(size=len(place)), 0.0),
        left=np.where(inner, child + 1, -1),
        right=np.where(inner, child + 2, -1),
        missing_left=np.zeros(len(place), dtype=bool),
        value=np.where(inner, 0.0, rng.normal(size=len(place)))[:, np.newaxis],
        output=np.full(n_trees, -1),
        category_set=np.full(len(place), -1),
    )
    return _program(n, ir.Trees(_columns(n), forest, np.zeros(1)))


def fit(timings: Sequence[Timing]) -> Fit:
    """Non-negative least squares of relative errors. What was not measured, or not well, keeps its default."""
    costs, errors = DEFAULTS, {}

    def solve(group: str, of: Sequence[Timing], names: Sequence[str], kind: str) -> None:
        nonlocal costs
        if not of:
            return
        parts = np.array([[_amount(name, timing.size) for name in names] for timing in of])
        times = np.maximum([getattr(timing, kind) for timing in of], LEAST[kind])
        found, errors[group] = _non_negative(parts, times)
        if errors[group] <= MAX_ERROR:
            costs = replace(costs, **dict(zip(names, found, strict=True)))

    sql, plpgsql, onnx = ([t for t in timings if t.strategy is strategy] for strategy in Strategy)
    solve("characters to plan", sql, ("planning", "planning_character"), "start")
    solve("planning", sql, ("planning", "planning_operation", "planning_split"), "start")
    solve("inline", sql, ("inline", "inline_operation", "inline_step"), "row")
    solve("start of plpgsql", plpgsql, ("plpgsql_start", "plpgsql_split"), "start")
    solve("plpgsql", plpgsql, ("plpgsql", "plpgsql_operation", "plpgsql_step"), "row")
    solve("ONNX in batches", onnx, ("onnx", "onnx_input", "onnx_operation", "onnx_step"), "batch")
    beyond = [replace(t, row=t.row - t.batch) for t in onnx]
    solve("calls of ONNX", beyond, ("onnx_call",), "row")
    return Fit(costs, errors)


def _amount(name: str, size: Size) -> float:
    """How much of a part a program has, by the last word of the part's name."""
    match name.rpartition("_")[2]:
        case "operation":
            return size.operations
        case "split":
            return size.splits
        case "character":
            return size.characters
        case "input":
            return size.inputs
        case "step":
            return size.steps if name == "onnx_step" else size.walk
        case _:
            return 1.0


def _non_negative(parts: FloatArray, times: FloatArray) -> tuple[list[float], float]:
    """The amounts of time, none below 0, with the least squares of relative errors; and the median of these errors."""
    scaled = parts / times[:, np.newaxis]
    best, _ = nnls(scaled, np.ones(len(times)))
    return best.tolist(), float(np.median(np.abs(scaled @ best - 1)))
