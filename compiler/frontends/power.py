"""PowerTransformer: the Box-Cox and Yeo-Johnson curves of scipy, and their inverses as scikit-learn writes them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn.preprocessing import PowerTransformer

from .. import ir
from ..ir import FINITE, Op
from .builder import Builder, Frontend

EXP_ENDS = 800.0
"""exp of less than this below 0 is 0."""


def power_transformer(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """scipy.special.boxcox or scipy.stats.yeojohnson with `lambdas_`, then (x - mean) / scale if `standardize`."""
    lambdas = _lambdas(estimator, builder)
    if estimator.method == "box-cox":
        columns = builder.add(ir.Check(columns, low=math.ulp(0.0), high=FINITE, missing=True))
        log = builder.add(ir.Elementwise(columns, Op.LOG))
        result = _powered(builder, log, lambdas, np.abs(lambdas) < 1e-19)
    else:
        result = _yeo_johnson(builder, builder.finite(columns, missing=True), lambdas)
    if not estimator.standardize:
        return result
    return builder.add(ir.Standardize(result, *_scaling(estimator, builder)))


def inverse_power(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """PowerTransformer.inverse_transform."""
    lambdas = _lambdas(estimator, builder)
    columns = builder.finite(columns, missing=True)
    if estimator.standardize:
        center, scale = _scaling(estimator, builder)
        columns = builder.add(ir.MultiplyAdd(columns, scale, center))
    if estimator.method == "box-cox":
        return _inverse_box_cox(builder, columns, lambdas)
    return _inverse_yeo_johnson(builder, columns, lambdas)


def _lambdas(estimator: Any, builder: Builder) -> ir.FloatArray:
    lambdas: ir.FloatArray = estimator.lambdas_
    if not np.isfinite(lambdas).all():
        builder.refuse("a power is not finite", "leave out columns that are always missing or huge")
    return lambdas


def _scaling(estimator: Any, builder: Builder) -> tuple[ir.FloatArray, ir.FloatArray]:
    center, scale = estimator._scaler.mean_, estimator._scaler.scale_
    if not (np.isfinite(center).all() and np.isfinite(scale).all()):
        builder.refuse("its scaler learned a value that is not finite", "train on values of ordinary size")
    return center, scale


def _yeo_johnson(builder: Builder, columns: ir.Block, lambdas: ir.FloatArray) -> ir.Block:
    """Box-Cox of 1 + x from 0 on; minus Box-Cox of 1 - x with 2 - lambda below."""
    positive = builder.add(ir.Elementwise(builder.add(ir.Clip(columns, 0.0, FINITE)), Op.LOG1P))
    below = builder.add(ir.Elementwise(builder.add(ir.Clip(columns, -FINITE, 0.0)), Op.NEGATIVE))
    negative = builder.add(ir.Elementwise(below, Op.LOG1P))
    epsilon = np.finfo(np.float64).eps
    # 2 - lambda in the type of lambda, which is float32 after training on float32.
    mirrored = 2 - lambdas
    then = _powered(builder, positive, lambdas, np.abs(lambdas) < epsilon)
    otherwise = _powered(builder, negative, mirrored, np.abs(mirrored) <= epsilon)
    otherwise = builder.add(ir.Elementwise(otherwise, Op.NEGATIVE))
    return _from_zero(builder, columns, then, otherwise)


def _powered(builder: Builder, logs: ir.Block, powers: ir.FloatArray, none: ir.BoolArray) -> ir.Block:
    """expm1(power * log) / power, and the logarithm itself where the power counts as 0."""
    zeros = np.zeros(len(logs))
    factor = np.where(none, 1.0, powers)
    product = builder.add(ir.MultiplyAdd(logs, factor, zeros))
    curve = builder.add(ir.Standardize(builder.add(ir.Elementwise(product, Op.EXPM1)), zeros, factor))
    return tuple(log if is_none else c for log, c, is_none in zip(logs, curve, none.tolist(), strict=True))


def _from_zero(builder: Builder, columns: ir.Block, then: ir.Block, otherwise: ir.Block) -> ir.Block:
    """`then` where x >= 0, else `otherwise`, which is missing where x is."""
    return builder.add(ir.Select(builder.add(ir.Step(columns, inclusive=True)) + then + otherwise))


def _inverse_box_cox(builder: Builder, columns: ir.Block, lambdas: ir.FloatArray) -> ir.Block:
    """scipy.special.inv_boxcox: exp(log1p(lambda x) / lambda), and exp(x) where lambda is 0."""
    result: list[ir.Ref] = []
    for column, power in zip(columns, lambdas.tolist(), strict=True):
        block: ir.Block = (column,)
        if power != 0:
            product = builder.add(ir.MultiplyAdd(block, np.array([power]), np.zeros(1)))
            log = builder.add(ir.Elementwise(product, Op.LOG1P))
            if power > 0:  # at -1 / lambda the logarithm is -infinity, and the result 0
                log = builder.add(ir.Clip(log, -EXP_ENDS * power, FINITE))
            block = builder.add(ir.Standardize(log, np.zeros(1), np.array([power])))
        result += builder.add(ir.Elementwise(block, Op.EXP))
    return tuple(result)


def _inverse_yeo_johnson(builder: Builder, columns: ir.Block, lambdas: ir.FloatArray) -> ir.Block:
    """(lambda x + 1)^(1 / lambda) - 1 from 0 on, 1 - (1 - (2 - lambda) x)^(1 / (2 - lambda)) below."""
    result: list[ir.Ref] = []
    for column, power in zip(columns, lambdas, strict=True):
        above = builder.add(ir.Clip((column,), 0.0, FINITE))
        below = builder.add(ir.Elementwise(builder.add(ir.Clip((column,), -FINITE, 0.0)), Op.NEGATIVE))
        then = _root_less_1(builder, above, power, none=abs(power) < np.spacing(1.0))
        mirrored = 2 - power
        otherwise = _root_less_1(builder, below, mirrored, none=abs(mirrored) <= np.spacing(1.0))
        otherwise = builder.add(ir.Elementwise(otherwise, Op.NEGATIVE))
        result += _from_zero(builder, (column,), then, otherwise)
    return tuple(result)


def _root_less_1(builder: Builder, x: ir.Block, power: np.floating[Any], *, none: bool) -> ir.Block:
    """(power x + 1)^(1 / power) - 1, or exp(x) - 1 where the power counts as 0; x >= 0.

    scikit-learn rounds the root before it takes 1 away. expm1 + 1 - 1 rounds alike, next to 0 too.
    """
    one = np.ones(1)
    exponent = x
    if not none:
        inverse = float(1 / power)
        base = builder.add(ir.MultiplyAdd(x, np.array([float(power)]), one))
        if power < 0 and inverse == round(inverse):
            builder.refuse(f"its power is {float(power)!r}, minus one over a whole number", "train on other data")
        log = builder.add(ir.Elementwise(base, Op.LOG))
        exponent = builder.add(ir.MultiplyAdd(log, np.array([inverse]), np.zeros(1)))
    root = builder.add(ir.MultiplyAdd(builder.add(ir.Elementwise(exponent, Op.EXPM1)), one, one))
    return builder.add(ir.MultiplyAdd(root, one, -one))


FRONTENDS: dict[type, Frontend] = {
    PowerTransformer: power_transformer,
}
