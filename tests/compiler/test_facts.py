"""What the facts say of a column holds for every row that is not refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pgscore.compiler import ir
from pgscore.compiler.artifact import Parameter, SqlType
from pgscore.compiler.backends import numpy as reference
from pgscore.compiler.build import default_parameters
from pgscore.compiler.facts import Guard, analyse
from pgscore.compiler.ir import Method, Output, Program, Ref
from pgscore.compiler.rewrites import settle_checks
from pgscore.errors import UnsupportedError
from tests.support import programs
from tests.support.programs import N, T, block, inputs, program


def every_column(p: Program) -> Program:
    """The program with each number of each node as its output."""
    refs = [Ref(i, c) for i, node in enumerate(p.nodes) for c in range(node.width)]
    numbers = tuple(ref for ref in refs if p.dtype(ref) is N)
    return Program(p.kind, p.columns, p.nodes, (Output(Method.TRANSFORM, numbers),))


@pytest.mark.parametrize("name", programs.ALL)
def test_no_row_contradicts_the_facts(name: str) -> None:
    p = every_column(settle_checks(programs.ALL[name]))
    facts = analyse(p, default_parameters(p))
    columns = programs.hard_columns(p)
    for ref, guard in facts.inputs.items():
        node = p.nodes[ref.node]
        assert isinstance(node, ir.Input)
        values = columns[p.columns[node.index].name]
        inside = [v for v in values if isinstance(v, float) and guard.low <= v <= guard.high]
        columns[p.columns[node.index].name] = (inside * len(values))[: len(values)]
    outputs = reference.evaluate(p, programs.as_arrays(p, columns))[Method.TRANSFORM]
    guarded = np.ones(len(outputs), dtype=bool)
    for column, ref in enumerate(p.outputs[0].columns):
        for guard in facts.computed.get(ref, []):
            guarded &= ((outputs[:, column] >= guard.low) & (outputs[:, column] <= guard.high)) | np.isnan(
                outputs[:, column]
            )
    kept = outputs[guarded & ~np.isnan(outputs).all(axis=1)]
    assert len(kept)
    for values, ref in zip(kept.T, p.outputs[0].columns, strict=True):
        fact = facts.of[ref]
        present = values[np.isfinite(values)]
        assert (present >= fact.low).all(), ref
        assert (present <= fact.high).all(), ref
        assert (np.abs(present[present != 0]) >= fact.tiny * (1 - 1e-9)).all() or isinstance(
            p.nodes[ref.node], ir.Softmax | ir.Sigmoid | ir.Elementwise | ir.Normalize
        )
        assert fact.missing or not np.isnan(values).any(), ref


@pytest.mark.parametrize(
    ("type_", "missing", "nan", "bound"),
    [
        (SqlType.DOUBLE, True, True, math.inf),
        (SqlType.INTEGER, True, False, 2.0**31),
        (SqlType.BIGINT, True, False, 2.0**63),
        (SqlType.BOOLEAN, True, False, 1.0),
    ],
)
def test_the_type_of_a_column_bounds_it(type_: SqlType, missing: bool, nan: bool, bound: float) -> None:
    p = program([N], ir.Step(inputs(1)))
    facts = analyse(p, [Parameter("x0", type_)])
    fact = facts.of[Ref(0, 0)]
    assert (fact.missing, fact.nan) == (missing, nan)
    assert max(-fact.low, fact.high) == bound
    assert not facts.inputs


def test_a_guard_that_the_type_makes_true_is_left_out() -> None:
    p = program([N], ir.Check(inputs(1), -ir.FINITE, ir.FINITE, missing=True))
    assert not analyse(p, [Parameter("x0", SqlType.INTEGER)]).inputs
    assert analyse(p, [Parameter("x0", SqlType.DOUBLE)]).inputs == {Ref(0, 0): Guard(-ir.FINITE, ir.FINITE, True)}


def test_a_check_that_the_categories_make_true_is_left_out() -> None:
    p = program([T], ir.Codes(inputs(1), ("a",), missing=0.0), ir.Check(block(1, 1), -1.0, 5.0))
    facts = analyse(p, default_parameters(p))
    assert not facts.computed
    strict = program([T], ir.Codes(inputs(1), ("a",), missing=0.0), ir.Check(block(1, 1), 0.0, 5.0))
    facts = analyse(strict, default_parameters(strict))
    assert facts.computed == {Ref(1, 0): [Guard(0.0, 5.0, False)]}
    assert facts.of[Ref(1, 0)].low == 0


def test_inputs_are_guarded_against_overflow_of_what_is_computed_from_them() -> None:
    p = program(
        [N, N],
        ir.Impute(inputs(2), np.zeros(2)),
        ir.Standardize(block(2, 2), np.zeros(2), np.array([0.5, 2.0])),
        ir.Affine(block(3, 2), np.array([[100.0, -100.0]]), np.array([1.0])),
    )
    facts = analyse(p, default_parameters(p))
    total = 100 * (facts.inputs[Ref(0, 0)].high / 0.5 + facts.inputs[Ref(1, 0)].high / 2)
    assert 1e305 < facts.inputs[Ref(0, 0)].high < facts.inputs[Ref(1, 0)].high
    assert math.isfinite(total)
    assert facts.inputs[Ref(0, 0)].missing


def test_a_model_whose_own_numbers_overflow_is_refused() -> None:
    huge = programs.forest(value=np.full((9, 2), 1e308))
    p = program([N, N], ir.Trees(inputs(2), huge, np.zeros(2)))
    with pytest.raises(UnsupportedError, match="overflow a double"):
        analyse(p, default_parameters(p))
