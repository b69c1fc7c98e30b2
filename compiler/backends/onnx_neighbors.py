"""The nearest stored points in ONNX: TopK, which takes the first of equal ranks, or a mask of those within a radius."""

from __future__ import annotations

import math

import numpy as np
import onnx

from .. import ir
from ..ir import Metric
from ..values import BoolArray
from .onnx_graph import GraphWriter
from .onnx_kernels import absolute_distances, differences, squared_distances
from .onnx_rows import in_chunks


def neighbors(node: ir.Neighbors, x: str, writer: GraphWriter) -> str:
    """The means over each row's neighbours: (rows, width)."""

    def means(rows: str, inside: GraphWriter) -> str:
        return _means(node, rows, inside)

    found = in_chunks(x, len(node.points), node.width, means, writer)
    return writer.op("Where", writer.op("IsNaN", x), found, x) if node.fill else found


def _means(node: ir.Neighbors, x: str, writer: GraphWriter) -> str:
    ranks = _ranks(node, x, writer)
    parts, order = [], []
    groups: dict[bytes, list[int]] = {}
    for column in range(node.values.shape[1]):
        groups.setdefault(np.isnan(node.values[:, column]).tobytes(), []).append(column)
    reach = ""
    for columns in groups.values():
        donors = ~np.isnan(node.values[:, columns[0]])
        near = _Nearest(node, ranks, donors, writer)
        parts.append(near.means(columns))
        order += columns
        if 0 in columns and len(node.reach):
            reach = near.mean_reach()
    joined = writer.op("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
    if order != sorted(order):
        joined = writer.columns(joined, np.argsort(order).tolist())
    return writer.op("Concat", joined, reach, axis=1) if reach else joined


def _ranks(node: ir.Neighbors, x: str, writer: GraphWriter) -> str:
    """(rows, points); NaN where a distance is missing."""
    match node.metric:
        case Metric.EUCLIDEAN:
            return squared_distances(x, node.points, writer)
        case Metric.MANHATTAN:
            return absolute_distances(x, node.points, writer)
        case Metric.CHEBYSHEV:
            magnitudes = [writer.op("Abs", t) for t in differences(x, node.points, writer)]
            return writer.op("Max", *magnitudes)
        case Metric.MINKOWSKI:
            powers = [
                writer.op("Pow", writer.op("Abs", t), writer.constant(node.power))
                for t in differences(x, node.points, writer)
            ]
            return _added(powers, writer)
        case Metric.NAN_EUCLIDEAN:
            return _present_distances(node, x, writer)


def _added(terms: list[str], writer: GraphWriter) -> str:
    total = terms[0]
    for term in terms[1:]:
        total = writer.op("Add", total, term)
    return total


def _present_distances(node: ir.Neighbors, x: str, writer: GraphWriter) -> str:
    squares, both = [], []
    for t in differences(x, node.points, writer):
        missing = writer.op("IsNaN", t)
        squares.append(writer.op("Where", missing, writer.constant(0.0), writer.op("Mul", t, t)))
        both.append(writer.double(writer.op("Not", missing)))
    # 0 / 0 where no coordinate is left; infinite ones count as missing too.
    mean = writer.op("Div", _added(squares, writer), _added(both, writer))
    ranks = writer.op("Mul", mean, writer.constant(float(len(node.inputs))))
    return writer.op("Where", writer.op("IsInf", ranks), writer.constant(math.nan), ranks)


class _Nearest:
    """The neighbours of the rows of a chunk among `donors`, (rows, candidates)."""

    def __init__(self, node: ir.Neighbors, ranks: str, donors: BoolArray, writer: GraphWriter) -> None:
        self._node, self._writer = node, writer
        if not donors.all():
            ranks = writer.op("Where", writer.constant(donors[np.newaxis], np.bool_), ranks, writer.constant(math.nan))
        if node.count:
            # A missing rank comes last: below all others there is no NaN, which TopK would put anywhere.
            missing = writer.op("IsNaN", ranks)
            sortable = writer.op("Where", missing, writer.constant(math.inf), ranks)
            ranks, self._number = self._nearest(sortable)
            lost = writer.op("IsInf", ranks)
            if node.metric is Metric.NAN_EUCLIDEAN or not donors.all():
                self._found: str | None = writer.op("Not", lost)
            else:
                self._found = None
        else:
            self._number = ""
            self._found = writer.op("LessOrEqual", ranks, writer.constant(node.radius_rank))
            lost = writer.op("IsInf", ranks)
        distance = ranks
        if node.rank_power == 2:
            distance = writer.op("Sqrt", ranks)
        elif node.rank_power != 1:
            distance = writer.op("Pow", ranks, writer.constant(1 / node.rank_power))
        self._distance = writer.op("Where", lost, writer.constant(node.far), distance)
        if self._number:
            beyond = writer.constant(node.beyond, np.int64)
            self._number = writer.op("Where", lost, beyond, self._number)
        self._weight = self._weights()
        self._total = self._sum(self._weight)

    def _nearest(self, ranks: str) -> tuple[str, str]:
        """(ranks, numbers) of the nearest points."""
        writer = self._writer
        negated = writer.op("Neg", ranks)
        values = f"{writer.prefix}{len(writer.nodes)}v"
        numbers = f"{writer.prefix}{len(writer.nodes)}i"
        count = writer.constant([self._node.count], np.int64)
        writer.nodes.append(
            onnx.helper.make_node("TopK", [negated, count], [values, numbers], axis=1, largest=1, sorted=1)
        )
        return writer.op("Neg", values), numbers

    def _sum(self, x: str) -> str:
        return self._writer.op("ReduceSum", x, self._writer.constant([1], np.int64), keepdims=1)

    def _weights(self) -> str:
        """(rows, candidates); 0 for those that are no neighbours."""
        writer = self._writer
        if self._node.by_distance:
            weight = writer.op("Div", writer.constant(1.0), self._distance)
            at_point = writer.op("IsInf", weight)
            if self._found:
                at_point = writer.op("And", at_point, self._found)
            weight = writer.op("Where", writer.any_true(at_point), writer.double(at_point), weight)
        else:
            weight = writer.op("Where", writer.op("IsNaN", self._distance), self._distance, writer.constant(1.0))
        if self._found:
            weight = writer.op("Where", self._found, weight, writer.constant(0.0))
        return weight

    def means(self, columns: list[int]) -> str:
        """The weighted means of some columns of values: (rows, columns)."""
        writer = self._writer
        values = self._node.values[:, columns]
        if self._number:
            values = np.where(np.isnan(values), 0.0, values)
            near = writer.op("Gather", writer.constant(values), self._number, axis=0)
            weight = writer.op("Unsqueeze", self._weight, writer.constant([2], np.int64))
            axis = writer.constant([1], np.int64)
            total = writer.op("ReduceSum", writer.op("Mul", weight, near), axis, keepdims=0)
        else:
            total = writer.op("MatMul", self._weight, writer.constant(np.where(np.isnan(values), 0.0, values)))
        mean = writer.op("Div", total, self._total)
        if self._found:
            fallback = writer.constant(self._node.fallback[np.newaxis, columns])
            mean = writer.op("Where", writer.any_true(self._found), mean, fallback)
        return mean

    def mean_reach(self) -> str:
        """The mean of max(distance, reach): (rows, 1)."""
        writer = self._writer
        reach = writer.constant(self._node.reach[np.newaxis])
        if self._number:
            reach = writer.op("Gather", writer.constant(self._node.reach), self._number, axis=0)
        farther = writer.op("Where", writer.op("Less", self._distance, reach), reach, self._distance)
        if self._found:
            farther = writer.op("Where", self._found, farther, writer.constant(0.0))
        return writer.op("Div", self._sum(farther), self._total)
