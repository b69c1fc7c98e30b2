"""Functions of one number as SQL that cannot raise: named ones, and piecewise polynomials.

PostgreSQL raises outside the domain of a function, and where its result overflows or rounds to 0. Each form here gives
NULL outside the domain, infinity at a pole and beyond the doubles, and NULL for NULL.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from pgscore.quoting import number

from .. import ir
from ..fact import EXP2_END, EXP2_LOW, EXP_HIGH, EXP_LOW, FLOAT32_SMALLEST, UNDERFLOW, Fact
from ..ir import FLOAT32_LIMIT, Op, Ref
from .normal_cdf import CENTRE, END, FAR_SIDE, ROOT_HALF, SIDE
from .normal_quantile import EXP_MINUS_2, FAR_TAIL, MIDDLE, ROOT_2PI, TAIL, Ratio
from .sql_scope import Scope
from .sql_text import (
    EXACT_INTEGER,
    INFINITY,
    Form,
    Kind,
    Value,
    case,
    double,
    flushed,
    integer,
    strict,
    without_nan,
)

ONE, ZERO = number(1.0), number(0.0)
SQUARE_HIGH = 1.3e154
"""Its square is a double."""
SMALL = 1e-290
"""Terms of a polynomial are 0 or at least this."""


def elementwise(node: ir.Elementwise, ref: Ref, scope: Scope) -> Value:
    """op(x) for a column."""
    source = node.inputs[ref.column]
    value, fact = without_nan(double(scope[source])), scope.fact(source)
    result = CURVES[node.op](value, fact)
    return replace(result, null=scope.fact(ref).missing)


def _call(name: str) -> Callable[[Value, Fact], Value]:
    """A function that PostgreSQL has, and that takes and gives any double without raising."""
    return lambda x, _: Value(f"{name}({x.sql})", Kind.FLOAT, Form.ATOM)


def _branches(*branches: tuple[str, str]) -> Value:
    """The first branch whose condition holds; NULL for none, so that NULL stays NULL."""
    return Value(case(branches, None), Kind.FLOAT, Form.ATOM)


def _exp(x: Value, fact: Fact) -> Value:
    """Where it cannot overflow, x is written once, and the result is at least exp(-708), which counts as 0."""
    exp = f"exp({x.sql})"
    if fact.low >= EXP_LOW and fact.high <= EXP_HIGH:
        return Value(exp, Kind.FLOAT, Form.ATOM)
    if fact.high <= EXP_HIGH:
        return Value(f"exp({strict('larger', x.sql, EXP_LOW)})", Kind.FLOAT, Form.ATOM)
    low = [] if fact.low >= EXP_LOW else [(f"{x.operand} < {number(EXP_LOW)}", ZERO)]
    within = f"{x.operand} <= {number(EXP_HIGH)}"
    return _branches(*low, (within, exp), (f"{x.operand} > {number(EXP_HIGH)}", INFINITY))


def _exp2(x: Value, fact: Fact) -> Value:
    power = f"power({number(2.0)}, {x.sql})"
    if fact.low >= EXP2_LOW and fact.high < EXP2_END:
        return Value(power, Kind.FLOAT, Form.ATOM)
    return _branches(
        (f"{x.operand} < {number(EXP2_LOW)}", ZERO),
        (f"{x.operand} < {number(EXP2_END)}", power),
        (f"{x.operand} >= {number(EXP2_END)}", INFINITY),
    )


def _expm1(x: Value, fact: Fact) -> Value:
    """2 sinh(x/2) exp(x/2), which loses no digits next to 0."""
    half = f"{x.operand} * {number(0.5)}"
    middle = f"{number(2.0)} * sinh({half}) * exp({half})"
    return _branches(
        (f"abs({x.sql}) < {number(1e-17)}", x.sql),
        (f"{x.operand} < {number(-40.0)}", number(-1.0)),
        (f"{x.operand} <= {number(709.78)}", middle),
        (f"{x.operand} > {number(709.78)}", INFINITY),
    )


def _logarithm(base: float | None) -> Callable[[Value, Fact], Value]:
    def curve(x: Value, fact: Fact) -> Value:
        log = f"ln({x.sql})" if base != 10 else f"log({x.sql})"
        if base == 2:
            log = f"{log} / {number(math.log(2))}"
        if fact.low > 0 and not x.null:
            return Value(log, Kind.FLOAT)
        return _branches((f"{x.operand} > {ZERO}", log), (f"{x.operand} = {ZERO}", f"- {INFINITY}"))

    return curve


def _log1p(x: Value, _fact: Fact) -> Value:
    """ln(1 + x) times x over what 1 + x made of x: the rounding of the sum cancels (Kahan)."""
    total = f"({ONE} + {x.operand})"
    return _branches(
        (f"{total} = {ONE}", x.sql),
        (f"{total} = {INFINITY}", INFINITY),
        (f"{x.operand} > {number(-1.0)}", f"ln{total} * ({x.operand} / ({total} - {ONE}))"),
        (f"{x.operand} = {number(-1.0)}", f"- {INFINITY}"),
    )


def _sqrt(x: Value, fact: Fact) -> Value:
    if fact.low >= 0:
        return Value(f"sqrt({x.sql})", Kind.FLOAT, Form.ATOM)
    return _branches((f"{x.operand} >= {ZERO}", f"sqrt({x.sql})"))


def _square(x: Value, fact: Fact) -> Value:
    small = flushed(x, fact.tiny, 1e-162).operand if fact.tiny * fact.tiny < 1e-322 else x.operand
    if max(abs(fact.low), abs(fact.high)) <= SQUARE_HIGH:
        return Value(f"{small} * {small}", Kind.FLOAT)
    return _branches(
        (f"abs({x.sql}) <= {number(SQUARE_HIGH)}", f"{small} * {small}"),
        (f"abs({x.sql}) > {number(SQUARE_HIGH)}", INFINITY),
    )


def _reciprocal(x: Value, fact: Fact) -> Value:
    inverse = f"{ONE} / {x.operand}"
    return _branches(
        (f"abs({x.sql}) >= {number(1e-307)}", inverse),
        (f"{x.operand} >= {ZERO}", INFINITY),
        (f"{x.operand} < {ZERO}", f"- {INFINITY}"),
    )


def _periodic(name: str) -> Callable[[Value, Fact], Value]:
    def curve(x: Value, fact: Fact) -> Value:
        if math.isfinite(fact.low) and math.isfinite(fact.high):
            return Value(f"{name}({x.sql})", Kind.FLOAT, Form.ATOM)
        return _branches((f"abs({x.sql}) < {INFINITY}", f"{name}({x.sql})"))

    return curve


def _float32(x: Value, fact: Fact) -> Value:
    """The nearest float32. PostgreSQL raises where a cast over- or underflows, which it does from half a unit on."""
    single = f"{x.operand}::real::float8"
    branches = []
    if fact.tiny <= FLOAT32_SMALLEST / 2:
        branches.append((f"abs({x.sql}) <= {number(FLOAT32_SMALLEST / 2)}", ZERO))
    if max(-fact.low, fact.high) > FLOAT32_LIMIT:
        branches.append((f"{x.operand} > {number(FLOAT32_LIMIT)}", INFINITY))
        branches.append((f"{x.operand} < {number(-FLOAT32_LIMIT)}", f"- {INFINITY}"))
    return Value(case(branches, single), Kind.FLOAT, Form.ATOM)


def _normal_quantile(x: Value, _fact: Fact) -> Value:
    """The number below which a standard normal variable falls with probability x."""
    centred = f"({x.operand} - {number(0.5)})"
    square = f"({centred} * {centred})"
    middle = f"({centred} + {centred} * ({square} * {_ratio(MIDDLE, square)})) * {number(ROOT_2PI)}"
    lower, upper = _tail(x.operand), _tail(f"({ONE} - {x.operand})")
    return _branches(
        (f"{x.operand} = {ZERO}", f"- {INFINITY}"),
        (f"{x.operand} = {ONE}", INFINITY),
        (f"{x.operand} > {ZERO} AND {x.operand} <= {number(EXP_MINUS_2)}", f"- {lower}"),
        (f"{x.operand} > {number(EXP_MINUS_2)} AND {x.operand} <= {number(1 - EXP_MINUS_2)}", middle),
        (f"{x.operand} > {number(1 - EXP_MINUS_2)} AND {x.operand} < {ONE}", upper),
    )


def _tail(y: str) -> str:
    """r - ln(r)/r less a rational function of 1/r, with r = sqrt(-2 ln y); 0 < y < exp(-2)."""
    r = f"sqrt({number(-2.0)} * ln({y}))"
    z = f"({ONE} / {r})"
    near, far = (f"{z} * {_ratio(table, z)}" for table in (TAIL, FAR_TAIL))
    correction = case([(f"{r} < {number(8.0)}", near)], far)
    return f"({r} - ln({r}) / {r} - {correction})"


def _normal_cdf(x: Value, _fact: Fact) -> Value:
    """The probability that a standard normal variable falls below x."""
    z = f"({x.operand} * {number(ROOT_HALF)})"
    erf = f"{z} * {_ratio(CENTRE, f'({z} * {z})')}"
    size = f"abs({z})"
    side = case([(f"{size} < {number(8.0)}", _ratio(SIDE, size))], _ratio(FAR_SIDE, size))
    half_erfc = f"{number(0.5)} * (exp(- ({z} * {z})) * {side})"
    return _branches(
        (f"abs({x.sql}) < {number(1e-17)}", number(0.5)),
        (f"{size} < {ONE}", f"{number(0.5)} + {number(0.5)} * ({erf})"),
        (f"{x.operand} < {number(-END)}", ZERO),
        (f"{x.operand} > {number(END)}", ONE),
        (f"{x.operand} < {ZERO}", half_erfc),
        (f"{x.operand} > {ZERO}", f"{ONE} - {half_erfc}"),
    )


def _ratio(table: Ratio, x: str) -> str:
    return f"({_horner(table[0], x)} / {_horner(table[1], x)})"


def _horner(coefficients: Sequence[float], x: str) -> str:
    """The polynomial whose highest coefficient comes first."""
    sql = number(coefficients[0])
    for coefficient in coefficients[1:]:
        sql = f"({sql} * {x} + {number(coefficient)})"
    return sql


CURVES: dict[Op, Callable[[Value, Fact], Value]] = {
    Op.EXP: _exp,
    Op.EXP2: _exp2,
    Op.EXPM1: _expm1,
    Op.LOG: _logarithm(None),
    Op.LOG1P: _log1p,
    Op.LOG2: _logarithm(2.0),
    Op.LOG10: _logarithm(10.0),
    Op.SQRT: _sqrt,
    Op.CBRT: _call("cbrt"),
    Op.SQUARE: _square,
    Op.RECIPROCAL: _reciprocal,
    Op.ABS: _call("abs"),
    Op.NEGATIVE: lambda x, _: Value(f"- {x.operand}", Kind.FLOAT),
    Op.SIGN: _call("sign"),
    Op.FLOOR: _call("floor"),
    Op.CEIL: _call("ceil"),
    Op.RINT: _call("round"),
    Op.SIN: _periodic("sin"),
    Op.COS: _periodic("cos"),
    Op.TANH: _call("tanh"),
    Op.SINH: _call("sinh"),
    Op.COSH: _call("cosh"),
    Op.ARCSINH: _call("asinh"),
    Op.ARCTAN: _call("atan"),
    Op.NORMAL_QUANTILE: _normal_quantile,
    Op.FLOAT32: _float32,
    Op.NORMAL_CDF: _normal_cdf,
}
"""Every function of `ir.Elementwise`, of a double that is not NaN."""


def piecewise(node: ir.Piecewise, ref: Ref, scope: Scope) -> Value:
    """A binary search among the knots for the polynomial of x; pieces that are equal are one.

    Whole numbers are compared with whole numbers.
    """
    source = node.inputs[0]
    value, fact = without_nan(double(scope[source])), scope.fact(source)
    coefficients, origin = node.coefficients[:, ref.column], node.origin
    pieces = [_polynomial(value, fact, c, o) for c, o in zip(coefficients.tolist(), origin.tolist(), strict=True)]
    kept = [0, *(i for i in range(1, len(pieces)) if pieces[i] != pieces[i - 1])]
    compared = value if integer(scope[source]).kind is not Kind.INT else integer(scope[source])
    sql = _search(compared, [pieces[i] for i in kept], [float(node.knots[i - 1]) for i in kept[1:]])
    if value.null and not np.any(coefficients[:, 1:], axis=1).all():
        # A constant would answer for NULL as well.
        sql = case([(f"{value.operand} IS NOT NULL", sql)], None)
    form = Form.ATOM if len(kept) > 1 else Form.COMPOUND
    return Value(sql, Kind.FLOAT, form, null=value.null)


def _search(value: Value, pieces: Sequence[str], knots: Sequence[float]) -> str:
    if len(pieces) == 1:
        return pieces[0]
    if len(pieces) <= 4:
        return case([(_is_below(value, k), piece) for k, piece in zip(knots, pieces[:-1], strict=True)], pieces[-1])
    middle = len(pieces) // 2
    low = _search(value, pieces[:middle], knots[: middle - 1])
    high = _search(value, pieces[middle:], knots[middle:])
    return case([(_is_below(value, knots[middle - 1]), low)], high)


def _is_below(value: Value, knot: float) -> str:
    if value.kind is Kind.INT and abs(knot) < EXACT_INTEGER:
        return f"{value.operand} < {math.ceil(knot)}"
    return f"{double(value).operand} < {number(knot)}"


def _polynomial(value: Value, fact: Fact, coefficients: Sequence[float], origin: float) -> str:
    """Horner's scheme in x - origin."""
    highest = max((power for power, c in enumerate(coefficients) if c), default=0)
    if not highest:
        return number(coefficients[0])
    shifted = value.operand if origin == 0 else f"({value.operand} {'-' if origin > 0 else '+'} {number(abs(origin))})"
    tiny = fact.tiny if origin == 0 else abs(origin) * 2.0**-54
    # So large that its highest power, times the smallest coefficient, is no denormal.
    least = (SMALL / min(abs(c) for c in [1.0, *coefficients] if c)) ** (1 / highest)
    t = flushed(Value(shifted, Kind.FLOAT, Form.ATOM), tiny, UNDERFLOW / least)
    sql = number(coefficients[highest])
    for power in range(highest - 1, -1, -1):
        sql = f"{sql} * {t.operand}"
        if coefficients[power]:
            sql = f"({sql} + {number(coefficients[power])})"
    return sql
