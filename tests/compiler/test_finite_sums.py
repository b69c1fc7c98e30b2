"""The Checks of columns that one sum reads move to the sum, and refuse the same rows there."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from pgscore.compiler import ir
from pgscore.compiler.artifact import Parameter, SqlType
from pgscore.compiler.backends import numpy as reference
from pgscore.compiler.build import default_parameters, simplified
from pgscore.compiler.facts import analyse, with_overflow_checks
from pgscore.compiler.finite_sums import check_sums
from pgscore.compiler.ir import FINITE, Method, ModelKind, Output, Program, Ref
from tests.support import programs
from tests.support.programs import N, block, inputs, program


def regressor(*nodes: ir.Node, n: int = 2) -> Program:
    result = Output(Method.PREDICT, block(n + len(nodes) - 1, 1))
    return program([N] * n, *nodes, outputs=(result,), kind=ModelKind.REGRESSOR)


def linear(weights: Sequence[float], bias: float = 0.5, **check: float | bool) -> Program:
    n = len(weights)
    limits = {"low": -FINITE, "high": FINITE, **check}
    return regressor(
        ir.Check(inputs(n), **limits),  # type: ignore[arg-type]
        ir.Affine(block(n, n), np.array([weights]), np.array([bias])),
        n=n,
    )


def checked(p: Program) -> dict[type[ir.Node], list[tuple[float, bool]]]:
    """What is checked, by the kind of node: the range, and whether it is our own."""
    found: dict[type[ir.Node], list[tuple[float, bool]]] = {}
    for node in p.nodes:
        if isinstance(node, ir.Check):
            for ref in node.inputs:
                found.setdefault(type(p.nodes[ref.node]), []).append((node.high, node.own))
    return found


def answers(p: Program, columns: dict[str, np.ndarray]) -> list[float]:
    values: list[float] = reference.evaluate(p, columns)[Method.PREDICT][:, 0].tolist()
    return values


def test_the_sum_is_checked_and_cannot_overflow() -> None:
    p = simplified(linear([3.0, -40.0]), default_parameters(linear([3.0, -40.0])))
    assert checked(p) == {ir.Affine: [(FINITE, False), (pytest.approx(FINITE / 2**7), True)]}
    (affine,) = (node for node in p.nodes if isinstance(node, ir.Affine))
    assert affine.weights.tolist() == [[3 / 2**7, -40 / 2**7]]
    assert affine.bias.tolist() == [0.5 / 2**7]
    assert not analyse(p, default_parameters(p)).inputs
    assert math.isfinite(FINITE * np.abs(affine.weights).sum() + 0.5)


def test_each_answer_and_each_refusal_stays() -> None:
    p = linear([3.0, -40.0])
    moved = simplified(p, default_parameters(p))
    columns = programs.as_arrays(p, programs.hard_columns(p))
    want, got = answers(p, columns), answers(moved, columns)
    assert np.isfinite(want).any()
    assert np.isnan(want).any()
    for row, (a, b) in enumerate(zip(want, got, strict=True)):
        assert a == pytest.approx(b, rel=1e-15, abs=0, nan_ok=True) or abs(a) > FINITE / 4, row


def test_whole_numbers_need_no_smaller_weights() -> None:
    p = linear([3.0, -40.0])
    types = [Parameter("x0", SqlType.INTEGER), Parameter("x1", SqlType.BIGINT)]
    moved = simplified(p, types)
    assert checked(moved) == {ir.Affine: [(FINITE, False)]}
    facts = analyse(moved, types)
    assert not facts.inputs
    ((guard,),) = facts.computed.values()
    assert (guard.low, guard.high, guard.missing) == (-math.inf, math.inf, False)


def test_what_a_scaler_makes_infinite_is_refused_by_the_sum() -> None:
    """x / 0.25 is infinite from 4.5e307 on, and the model behind the scaler refuses it."""
    p = regressor(
        ir.Check(inputs(2), -FINITE, FINITE),
        ir.Standardize(block(2, 2), np.array([1.0, 0.0]), np.array([0.25, 2.0])),
        ir.Check(block(3, 2), -FINITE, FINITE),
        ir.Affine(block(4, 2), np.array([[0.25, 2.0]]), np.array([0.5])),
    )
    moved = simplified(p, default_parameters(p))
    assert ir.Input not in checked(moved)
    columns = {"x0": np.array([1e302, 4.4e307, 4.6e307, -4.6e307, 2.0]), "x1": np.array([1.0, 1.0, 1.0, 1.0, 1e302])}
    refused = np.isnan(answers(moved, columns)).tolist()
    assert refused == [False, True, True, True, False]
    assert reference.overflows(moved, columns).tolist() == refused


def test_what_is_computed_from_the_sum_does_not_overflow_either() -> None:
    p = linear([3.0, -40.0])
    scaled = ir.MultiplyAdd(block(3, 1), np.array([1000.0]), np.array([1.0]))
    p = regressor(*p.nodes[2:], scaled)
    moved = simplified(p, default_parameters(p))
    facts = analyse(moved, default_parameters(p))
    assert not facts.inputs
    assert all(math.isfinite(facts.of[ref].high) for ref in moved.outputs[0].columns)
    columns = {"x0": np.array([1.0, 1e300, 1e305]), "x1": np.zeros(3)}
    refused = np.isnan(answers(with_overflow_checks(moved, default_parameters(p)), columns))
    assert refused.tolist() == [False, False, True]


def other_reader() -> Program:
    nodes = linear([1.0, 2.0]).nodes[2:]
    both = Output(Method.PREDICT, block(3, 1)), Output(Method.TRANSFORM, block(4, 1))
    return program([N, N], *nodes, ir.Sigmoid((Ref(2, 0),)), outputs=both, kind=ModelKind.REGRESSOR)


def two_sums() -> Program:
    p = linear([1.0, 2.0])
    affine = ir.Affine(block(2, 2), np.array([[1.0, 2.0], [3.0, 4.0]]), np.zeros(2))
    return program([N, N], p.nodes[2], affine, kind=ModelKind.TRANSFORMER)


STAYING = {
    "another reader": other_reader(),
    "two sums": two_sums(),
    "a narrow range": linear([1.0, 2.0], low=-5.0, high=5.0),
    "missing values": linear([1.0, 2.0], missing=True),
    "our own": linear([1.0, 2.0], own=True),
    "weights that would lose digits": linear([1.0, 4e-308]),
    "weights beyond all measure": linear([1e30, 1.0]),
}


@pytest.mark.parametrize("name", STAYING)
def test_checks_stay_where_the_sum_would_not_say_the_same(name: str) -> None:
    p = STAYING[name]
    settled = simplified(p, default_parameters(p))
    assert len(checked(settled)[ir.Input]) >= 1
    assert len(analyse(settled, default_parameters(settled)).inputs) >= 1


def test_a_column_without_weight_keeps_its_check() -> None:
    p = linear([1.0, 0.0, 2.0])
    moved = simplified(p, default_parameters(p))
    assert list(analyse(moved, default_parameters(moved)).inputs) == [Ref(1, 0)]
    columns = {"x0": np.ones(3), "x1": np.array([1.0, math.nan, math.inf]), "x2": np.ones(3)}
    assert np.isnan(answers(moved, columns)).tolist() == [False, True, True]


def test_a_program_without_such_a_sum_stays_as_it_is() -> None:
    p = regressor(ir.Trees(inputs(2), programs.forest(), np.zeros(2)))
    assert check_sums(p, default_parameters(p)) is p
