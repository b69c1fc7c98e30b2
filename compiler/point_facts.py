"""What is known of the results of nodes that hold points: kernels, neighbours, coupled probabilities; and limits."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from . import ir
from .fact import SMALLEST, Fact
from .ir import FINITE, Ref, kernels

Limiter = Callable[[Ref, float], None]


def farthest(n_inputs: int) -> float:
    """The coordinate up to which squared distances to stored points, all added, are doubles."""
    return math.sqrt(FINITE / (16 * n_inputs))


def kernel(node: ir.Kernel, known: list[Fact]) -> list[Fact]:
    """Each output lies between what its weights make of the smallest and the largest K."""
    reach = np.array([max(abs(f.low), abs(f.high)) for f in known])
    high = bound(node.form, _dot_bound(node, reach))
    low = 0.0 if _is_positive(node.form) else -high
    facts = []
    for weights, bias in zip(node.weights, node.bias.tolist(), strict=True):
        positive, negative = float(weights[weights > 0].sum()), float(weights[weights < 0].sum())
        ends = (
            bias + _times(positive, low) + _times(negative, high),
            bias + _times(positive, high) + _times(negative, low),
        )
        slack = (abs(bias) + _times(positive - negative, max(high, -low))) * 1e-9
        facts.append(Fact(ends[0] - slack, ends[1] + slack))
    return facts


def limit_kernel(node: ir.Kernel, out: list[float], limit: Limiter) -> None:
    """Products of rows and points stay so small that their kernels can be added up; distances, where they must."""
    total = max(1.0, float(np.abs(node.weights).sum(axis=1).max(initial=0.0)))
    most = min([FINITE, *out]) / 8 / total
    if _argument(node.form, 1.0):
        low, high = -300.0, 308.0
        for _ in range(60):
            middle = (low + high) / 2
            dot = 10.0**middle
            fits = bound(node.form, dot) <= most and _argument(node.form, dot) <= FINITE / 8
            low, high = (middle, high) if fits else (low, middle)
        largest = np.abs(node.points).max(axis=0, initial=0.0) * len(node.inputs)
        for ref, size in zip(node.inputs, largest.tolist(), strict=True):
            limit(ref, min(FINITE, 10.0**low / max(size, SMALLEST * 2**60)))
    for part in _parts(node):
        if isinstance(part, kernels.Periodic) or (isinstance(part, kernels.Matern) and part.nu > 0.5):
            scale = np.broadcast_to(np.array(kernels.scale_of(part)), len(node.inputs))
            for ref, size in zip(node.inputs, scale.tolist(), strict=True):
                limit(ref, farthest(len(node.inputs)) * size / 4)


def bound(form: kernels.Form, dot: float) -> float:  # noqa: PLR0911 - one for each kernel
    """The largest |K| where |x·p| is at most `dot`."""
    match form:
        case kernels.Dot():
            return dot
        case kernels.Polynomial(gamma, coef0, degree):
            return _power(abs(gamma) * dot + abs(coef0), degree)
        case kernels.Sum(left, right):
            return bound(left, dot) + bound(right, dot)
        case kernels.Product(left, right):
            return _times(bound(left, dot), bound(right, dot))
        case kernels.Power(base, exponent):
            return _power(bound(base, dot), exponent)
        case kernels.Uniform(value):
            return abs(value)
        case _:
            return 1.0


def neighbors(node: ir.Neighbors, known: list[Fact]) -> list[Fact]:
    """Means lie among the values; the mean reach is as large as a distance, or infinite."""
    facts = []
    for column, fallback in zip(node.values.T, node.fallback.tolist(), strict=True):
        values = np.append(column, fallback)
        values = values[~np.isnan(values)] if not np.isnan(values).all() else np.zeros(1)
        slack = float(np.abs(values).max()) * 1e-9
        alone = node.count == 0 or np.isnan(column).any() or node.metric is ir.Metric.NAN_EUCLIDEAN
        missing = (math.isnan(fallback) and alone) or (node.by_distance and node.far == math.inf)
        facts.append(Fact(float(values.min()) - slack, float(values.max()) + slack, null=bool(missing)))
    if node.fill:
        facts = [Fact(min(a.low, b.low), max(a.high, b.high), null=a.null) for a, b in zip(facts, known, strict=True)]
    if len(node.reach):
        facts.append(Fact(0.0, math.inf, null=facts[0].null))
    return facts


def limit_neighbors(node: ir.Neighbors, _out: list[float], limit: Limiter) -> None:
    """Sums of absolute differences are doubles; sums of powers may be infinite."""
    if node.rank_power == 1:
        for ref in node.inputs:
            limit(ref, FINITE / (4 * len(node.inputs)))


def couple(node: ir.CouplePairwise, _known: list[Fact]) -> list[Fact]:
    """Probabilities, short of rounding and of an iteration that has not settled."""
    return [Fact(-10.0, 10.0)] * node.width


def _argument(form: kernels.Form, dot: float) -> float:
    """The largest number that a kernel of dot products is a function of; 0 where there is no such kernel."""
    largest = 0.0
    for part in kernels.leaves(form):
        match part:
            case kernels.Dot():
                largest = max(largest, dot)
            case kernels.Polynomial() | kernels.Tanh():
                largest = max(largest, dot, abs(part.gamma) * dot + abs(part.coef0))
    return largest


def _dot_bound(node: ir.Kernel, reach: ir.FloatArray) -> float:
    """The largest |x·p| for rows within `reach`."""
    with np.errstate(all="ignore"):
        products = np.where(node.points == 0, 0.0, np.abs(node.points) * reach)
    return float(products.sum(axis=1).max(initial=0.0))


def _parts(node: ir.Kernel) -> list[kernels.Leaf]:
    return list(kernels.leaves(node.form))


def _is_positive(form: kernels.Form) -> bool:
    """Whether K is never negative."""
    match form:
        case kernels.Dot() | kernels.Polynomial() | kernels.Tanh():
            return False
        case kernels.Sum(left, right) | kernels.Product(left, right):
            return _is_positive(left) and _is_positive(right)
        case kernels.Power(base, _):
            return _is_positive(base)
        case kernels.Uniform(value):
            return value >= 0
        case _:
            return True


def _times(a: float, b: float) -> float:
    return 0.0 if 0 in (a, b) else a * b


def _power(base: float, exponent: float) -> float:
    try:
        return float(base**exponent)
    except OverflowError:
        return math.inf
