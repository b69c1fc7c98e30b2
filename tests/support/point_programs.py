"""Programs of the kinds that hold points: kernels, neighbours, coupled probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from pgscore.compiler import ir
from pgscore.compiler.artifact import Strategy
from pgscore.compiler.backends.sql_kernels import UNROLLED
from pgscore.compiler.ir import Column, Dtype, Method, Metric, ModelKind, Output, Program, Ref, kernels


def strategies(p: Program) -> tuple[Strategy, ...]:
    """The languages that all functions of a program have: neighbours and many points need statements of plpgsql."""
    statements = any(
        isinstance(node, ir.Neighbors | ir.CouplePairwise)
        or (isinstance(node, ir.Kernel) and node.points.size > UNROLLED)
        for node in p.nodes
    )
    return (Strategy.PLPGSQL,) if statements else (Strategy.SQL, Strategy.PLPGSQL)


_POINTS = np.array([[0.0, 1.0], [1.5, -0.25], [-3.0, 2.0], [0.1, 0.2], [3.0, 3.0], [0.0, 0.0], [1.5, -0.25]])
_MANY = np.random.default_rng(3).normal(scale=3, size=(150, 2))
_GAPS = np.where(np.random.default_rng(4).random(_MANY.shape) < 0.2, np.nan, _MANY)


def _program(
    n: int, *nodes: ir.Node, low: float = -ir.FINITE, high: float = ir.FINITE, missing: bool = False
) -> Program:
    """`nodes` behind a Check of n columns."""
    inputs = tuple(Ref(index, 0) for index in range(n))
    start = (*(ir.Input((), index) for index in range(n)), ir.Check(inputs, low, high, missing=missing))
    output = Output(Method.TRANSFORM, tuple(Ref(n + len(nodes), c) for c in range(nodes[-1].width)))
    columns = tuple(Column(f"x{index}", Dtype.NUMBER) for index in range(n))
    return Program(ModelKind.TRANSFORMER, columns, start + nodes, (output,))


def _block(node: int, width: int) -> ir.Block:
    return tuple(Ref(node, column) for column in range(width))


def kernel(form: kernels.Form, points: Any = _POINTS, width: int = 1, *, limit: float = ir.FINITE) -> Program:
    """A kernel over two columns up to `limit`, its weights about 1."""
    weights = np.linspace(-1.0, 1.25, width * len(points)).reshape(width, -1)
    node = ir.Kernel(_block(2, 2), points, weights, np.linspace(0.75, 2, width), form)
    return _program(2, node, low=-limit, high=limit)


def neighbors(points: Any = _POINTS, values: Any = None, **options: Any) -> Program:
    """Neighbours of two columns; the values are two columns unless given."""
    if values is None:
        values = np.stack([np.arange(len(points)) * 0.7 - 1, np.cos(np.arange(len(points)))], axis=1)
    missing = options.get("metric") is Metric.NAN_EUCLIDEAN
    return _program(2, ir.Neighbors(_block(2, 2), points, values, **options), missing=missing)


def couple(n_classes: int) -> Program:
    """Coupled sigmoids of as many columns as there are pairs."""
    n = n_classes * (n_classes - 1) // 2
    return _program(
        n, ir.Sigmoid(_block(n, n)), ir.Clip(_block(n + 1, n), 1e-7, 1 - 1e-7), ir.CouplePairwise(_block(n + 2, n))
    )


_GAUSS = kernels.Gaussian(0.5, (1.0, 2.5))

POINT_PROGRAMS: dict[type[ir.Node], dict[str, Program]] = {
    ir.Kernel: {
        "dot": kernel(kernels.Dot()),
        "polynomial": kernel(kernels.Polynomial(0.5, 1.0, 3)),
        # Beyond, a product of two columns is infinite or missing, by the order in which a processor adds.
        "tanh": kernel(kernels.Tanh(0.01, -0.5), width=2, limit=1e300),
        "gaussian": kernel(kernels.Gaussian(0.3)),
        "gaussian-scales": kernel(_GAUSS, width=3),
        "laplacian": kernel(kernels.Laplacian(0.2)),
        "matern-0.5": kernel(kernels.Matern(0.5, (2.0,))),
        "matern-1.5": kernel(kernels.Matern(1.5, (2.0, 0.5))),
        "matern-2.5": kernel(kernels.Matern(2.5), width=2),
        "rational-quadratic": kernel(kernels.RationalQuadratic(0.7, 1.3)),
        "periodic": kernel(kernels.Periodic(1.2, 3.0)),
        "sum": kernel(kernels.Sum(kernels.Product(kernels.Uniform(2.0), _GAUSS), kernels.Dot())),
        "product": kernel(kernels.Product(kernels.Gaussian(0.002), kernels.RationalQuadratic(1.0, 30.0))),
        "power": kernel(kernels.Power(kernels.Sum(kernels.Dot(), kernels.Uniform(3.0)), 2.0)),
        "many": kernel(kernels.Gaussian(0.05), _MANY),
        # Not more of Dot: 150 terms of 10 cancel, and leave a digit less on some processors.
        "many-wide": kernel(
            kernels.Sum(kernels.Matern(2.5, (2.0,)), kernels.Product(kernels.Uniform(0.01), kernels.Dot())),
            _MANY,
            width=3,
        ),
        "many-laplacian": kernel(kernels.Laplacian(0.1), _MANY),
        "chunks": kernel(kernels.Gaussian(0.05), np.random.default_rng(5).normal(scale=3, size=(600, 2)), width=2),
    },
    ir.Neighbors: {
        "three": neighbors(count=3),
        "one": neighbors(count=1, beyond=2),
        "distance": neighbors(count=4, by_distance=True),
        "distance-far": neighbors(count=4, by_distance=True, far=1e154, beyond=1),
        "manhattan": neighbors(count=3, metric=Metric.MANHATTAN, by_distance=True),
        "chebyshev": neighbors(count=2, metric=Metric.CHEBYSHEV),
        "minkowski": neighbors(count=3, metric=Metric.MINKOWSKI, power=3.0, by_distance=True),
        "radius": neighbors(radius=2.5),
        "radius-distance": neighbors(radius=3.0, by_distance=True, fallback=np.array([0.25, -7.0])),
        "reach": neighbors(count=3, reach=np.linspace(0, 2, len(_POINTS))),
        "many": neighbors(_MANY, count=5, by_distance=True),
        "fill": neighbors(_GAPS, _GAPS, count=3, metric=Metric.NAN_EUCLIDEAN, fallback=np.array([1.0, 2.0]), fill=True),
        "donors": neighbors(
            _GAPS, np.where(np.isnan(_GAPS), np.nan, 1 / (1 + _GAPS**2)), count=4, metric=Metric.NAN_EUCLIDEAN,
            by_distance=True, fallback=np.array([1.0, 2.0]),
        ),
        "chunks": neighbors(np.random.default_rng(5).normal(scale=3, size=(600, 2)), count=3),
    },
    ir.CouplePairwise: {"2": couple(2), "3": couple(3), "4": couple(4)},
}  # fmt: skip
"""By the kind that the program is about."""
