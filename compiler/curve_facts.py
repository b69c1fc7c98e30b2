"""The facts of curves: of each named function, and of piecewise polynomials."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from . import ir
from .fact import EXP2_END, EXP2_LOW, EXP_HIGH, EXP_LOW, FLOAT32_SMALLEST, SLACK, SMALLEST, Fact, at_least_tiny
from .ir import Op


def elementwise(node: ir.Elementwise, known: list[Fact]) -> list[Fact]:
    """Missing where x is; outside its domain a function gives NULL."""
    return [CURVES[node.op](fact) for fact in known]


def _bounded(low: float, high: float) -> Callable[[Fact], Fact]:
    """Of a function whose values lie between two numbers."""
    return lambda fact: replace(fact, low=low, high=high, tiny=SMALLEST)


def _whole(f: Callable[[float], float]) -> Callable[[Fact], Fact]:
    """Of a rising function to whole numbers."""
    return lambda fact: replace(fact, low=_end(f, fact.low), high=_end(f, fact.high), tiny=1.0)


def _end(f: Callable[[float], float], x: float) -> float:
    return f(x) if math.isfinite(x) else x


def _rising(f: Callable[[float], float], low: float = -math.inf) -> Callable[[Fact], Fact]:
    """Of a rising function that is defined from `low` on; 0 at 0, so that a small x makes a small result."""

    def curve(fact: Fact) -> Fact:
        ends = [float(f(max(x, low))) for x in (fact.low, fact.high)]
        outside = fact.low < low
        return replace(
            fact,
            low=ends[0] - abs(ends[0]) * (SLACK - 1) if math.isfinite(ends[0]) else ends[0],
            high=ends[1] + abs(ends[1]) * (SLACK - 1) if math.isfinite(ends[1]) else ends[1],
            null=fact.null or outside,
            tiny=SMALLEST,
        )

    return curve


def _exp(fact: Fact) -> Fact:
    high = math.exp(fact.high) * SLACK if fact.high <= EXP_HIGH else math.inf
    low = math.exp(fact.low) / SLACK if EXP_LOW <= fact.low <= EXP_HIGH else 0.0
    return replace(fact, low=low, high=high, tiny=math.exp(EXP_LOW))


def _exp2(fact: Fact) -> Fact:
    high = 2.0**fact.high * SLACK if fact.high < EXP2_END else math.inf
    low = 2.0**fact.low / SLACK if EXP2_LOW <= fact.low < EXP2_END else 0.0
    return replace(fact, low=low, high=high, tiny=SMALLEST)


def _expm1(fact: Fact) -> Fact:
    high = math.expm1(fact.high) * SLACK if 0 <= fact.high <= EXP_HIGH else math.inf if fact.high > 0 else 0.0
    return replace(fact, low=-1.0 if fact.low < 0 else 0.0, high=high, tiny=SMALLEST)


def _logarithm(unit: float) -> Callable[[Fact], Fact]:
    def curve(fact: Fact) -> Fact:
        low = math.log(fact.low) / unit * SLACK - SLACK if fact.low > 0 and math.isfinite(fact.low) else -math.inf
        high = math.inf if fact.high == math.inf else math.log(max(fact.high, SMALLEST)) / unit + SLACK
        # Next to 1, the smallest logarithm is half a unit in its last place.
        return replace(fact, low=low, high=high, null=fact.null or fact.low < 0, tiny=2.0**-54)

    return curve


def _log1p(fact: Fact) -> Fact:
    low = math.log1p(fact.low) if fact.low > -1 and math.isfinite(fact.low) else -math.inf
    high = math.inf if fact.high == math.inf else math.log1p(max(fact.high, -1 + 2.0**-53))
    return replace(fact, low=low, high=high, null=fact.null or fact.low < -1, tiny=SMALLEST)


def _sqrt(fact: Fact) -> Fact:
    low, high = (math.sqrt(max(x, 0.0)) for x in (fact.low, fact.high))
    return replace(fact, low=low, high=high, null=fact.null or fact.low < 0, tiny=math.sqrt(fact.tiny) / SLACK)


def _square(fact: Fact) -> Fact:
    magnitude = max(abs(fact.low), abs(fact.high))
    return replace(fact, low=0.0, high=magnitude * magnitude, tiny=at_least_tiny(fact.tiny * fact.tiny))


def _reciprocal(fact: Fact) -> Fact:
    magnitude = 1 / fact.tiny if 1 / fact.tiny < math.inf else math.inf
    # At 0 the result is infinite.
    magnitude = math.inf if fact.low <= 0 <= fact.high else magnitude
    return replace(fact, low=-magnitude if fact.low < 0 else 0.0, high=magnitude, tiny=SMALLEST)


def _abs(fact: Fact) -> Fact:
    low = 0.0 if fact.low <= 0 <= fact.high else min(abs(fact.low), abs(fact.high))
    return replace(fact, low=low, high=max(abs(fact.low), abs(fact.high)))


def _float32(fact: Fact) -> Fact:
    with np.errstate(over="ignore"):
        low, high = (float(np.float32(end)) for end in (fact.low, fact.high))
    return replace(fact, low=low, high=high, tiny=max(fact.tiny / 2, FLOAT32_SMALLEST))


def _sign(fact: Fact) -> Fact:
    return replace(fact, low=-1.0 if fact.low < 0 else 0.0, high=1.0 if fact.high > 0 else 0.0, tiny=1.0)


def _normal_quantile(fact: Fact) -> Fact:
    inside = fact.low > 0 and fact.high < 1
    return replace(
        fact,
        low=-39.0 if inside else -math.inf,
        high=9.0 if inside else math.inf,
        null=fact.null or fact.low < 0 or fact.high > 1,
        tiny=SMALLEST,
    )


CURVES: dict[Op, Callable[[Fact], Fact]] = {
    Op.EXP: _exp,
    Op.EXP2: _exp2,
    Op.EXPM1: _expm1,
    Op.LOG: _logarithm(1.0),
    Op.LOG1P: _log1p,
    Op.LOG2: _logarithm(math.log(2)),
    Op.LOG10: _logarithm(math.log(10)),
    Op.SQRT: _sqrt,
    Op.CBRT: _rising(lambda x: float(np.cbrt(x))),
    Op.SQUARE: _square,
    Op.RECIPROCAL: _reciprocal,
    Op.ABS: _abs,
    Op.NEGATIVE: lambda fact: replace(fact, low=-fact.high, high=-fact.low),
    Op.SIGN: _sign,
    Op.FLOOR: _whole(math.floor),
    Op.CEIL: _whole(math.ceil),
    Op.RINT: _whole(round),
    Op.SIN: _bounded(-1.0, 1.0),
    Op.COS: _bounded(-1.0, 1.0),
    Op.TANH: _bounded(-1.0, 1.0),
    Op.SINH: _bounded(-math.inf, math.inf),
    Op.COSH: _bounded(1.0, math.inf),
    Op.ARCSINH: _rising(lambda x: float(np.arcsinh(x))),
    Op.ARCTAN: _bounded(-2.0, 2.0),
    Op.NORMAL_QUANTILE: _normal_quantile,
    Op.FLOAT32: _float32,
    Op.NORMAL_CDF: _bounded(0.0, 1.0),
}
"""What is known of op(x) from what is known of x, for every function of `Elementwise`."""


def piecewise(node: ir.Piecewise, known: list[Fact]) -> list[Fact]:
    """Polynomials are bounded by the sum of their terms at the ends of each interval."""
    (fact,) = known
    edges = np.concatenate([[fact.low], np.clip(node.knots, fact.low, fact.high), [fact.high]])
    reach = np.maximum(np.abs(edges[:-1] - node.origin), np.abs(edges[1:] - node.origin))
    results = []
    for column in range(node.width):
        coefficients = node.coefficients[:, column]
        constant, rest = coefficients[:, 0], np.abs(coefficients[:, 1:])
        powers = np.arange(1, coefficients.shape[1])
        # Not the power first, which may overflow where a small coefficient brings it back.
        terms = (rest ** (1 / powers) * reach[:, np.newaxis]) ** powers
        spread = np.where(rest > 0, terms, 0.0).sum(axis=1) * SLACK
        low, high = float((constant - spread).min()), float((constant + spread).max())
        nonzero = np.abs(constant[constant != 0])
        tiny = SMALLEST if rest.any() else float(nonzero.min(initial=math.inf))
        results.append(replace(fact, low=low, high=high, tiny=min(tiny, 1.0) if tiny == math.inf else tiny))
    return results
