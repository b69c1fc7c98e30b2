"""The strategy follows from the size of the program and from what the server can do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pgscore.compiler import ir
from pgscore.compiler.artifact import Strategy, Use
from pgscore.compiler.costs import DEFAULTS, Costs
from pgscore.compiler.strategy import (
    FORCED_CHARACTERS,
    MAX_PLANNING,
    Size,
    choose,
    choose_others,
    estimates,
    inline_characters,
    measure,
)
from pgscore.errors import UnsupportedError
from tests.support import programs
from tests.support.programs import N, block, inputs, program

EVERYTHING = frozenset(Strategy)
WITHOUT_PYTHON = frozenset({Strategy.SQL, Strategy.PLPGSQL})

LINEAR = Size(operations=40, splits=0, steps=0)
TREE = Size(operations=1, splits=250, steps=8)
BOOSTED = Size(operations=2, splits=3000, steps=500)
FOREST = Size(operations=4, splits=26_000, steps=870)


@pytest.mark.parametrize(
    ("size", "available", "want"),
    [
        (LINEAR, EVERYTHING, Strategy.SQL),
        (TREE, EVERYTHING, Strategy.SQL),
        (BOOSTED, EVERYTHING, Strategy.PLPGSQL),
        (FOREST, EVERYTHING, Strategy.ONNX),
        (FOREST, WITHOUT_PYTHON, Strategy.PLPGSQL),
        (FOREST, frozenset({Strategy.SQL}), Strategy.SQL),
        (LINEAR, frozenset({Strategy.ONNX}), Strategy.ONNX),
    ],
)
def test_the_cheapest_available_strategy_is_taken(size: Size, available: frozenset[Strategy], want: Strategy) -> None:
    chosen, reason = choose(size, available)
    assert chosen is want
    assert "µs a row" in reason


def test_the_reason_says_when_it_is_second_best() -> None:
    assert "the best of what is available" in choose(FOREST, WITHOUT_PYTHON)[1]
    assert "the best of what is available" not in choose(FOREST, EVERYTHING)[1]


def test_a_long_body_is_not_inlined_however_few_its_operations() -> None:
    at_most = replace(LINEAR, characters=inline_characters(DEFAULTS))
    assert estimates(at_most)[Use.QUERY][Strategy.SQL].start == pytest.approx(MAX_PLANNING)
    assert "2.5 ms of planning" in choose(at_most, EVERYTHING)[1]
    longer = replace(LINEAR, characters=at_most.characters + 1000)
    assert choose(longer, EVERYTHING)[0] is Strategy.PLPGSQL


@pytest.mark.parametrize(
    ("size", "costs", "want"),
    [
        (LINEAR, replace(DEFAULTS, planning=3000.0), Strategy.PLPGSQL),
        (TREE, replace(DEFAULTS, planning_split=50.0), Strategy.PLPGSQL),
        (BOOSTED, replace(DEFAULTS, planning_split=0.5), Strategy.SQL),
        (BOOSTED, replace(DEFAULTS, onnx_call=5.0), Strategy.ONNX),
        (BOOSTED, replace(DEFAULTS, plpgsql_split=1.0), Strategy.ONNX),
        (FOREST, replace(DEFAULTS, onnx_call=500.0, plpgsql_split=0.01), Strategy.PLPGSQL),
    ],
)
def test_other_costs_make_another_choice(size: Size, costs: Costs, want: Strategy) -> None:
    assert choose(size, EVERYTHING, costs)[0] is want


def test_a_server_that_plans_in_no_time_inlines_what_it_may_hold() -> None:
    assert inline_characters(replace(DEFAULTS, planning_character=0.0)) == FORCED_CHARACTERS


def test_a_refresh_gives_onnx_many_rows_at_once() -> None:
    found = estimates(BOOSTED)
    assert found[Use.REFRESH][Strategy.ONNX].row < found[Use.REFRESH][Strategy.PLPGSQL].row
    assert found[Use.QUERY][Strategy.ONNX].row == pytest.approx(
        DEFAULTS.onnx_call + found[Use.REFRESH][Strategy.ONNX].row
    )
    assert found[Use.ONE][Strategy.PLPGSQL].one == pytest.approx(
        found[Use.QUERY][Strategy.PLPGSQL].row + DEFAULTS.plpgsql_start + DEFAULTS.plpgsql_split * BOOSTED.splits
    )


def test_nothing_available_is_an_error() -> None:
    with pytest.raises(UnsupportedError, match="no strategy"):
        choose(LINEAR, frozenset())


def test_the_size_counts_splits_and_the_steps_of_a_row() -> None:
    trees = program([N, N], ir.Trees(inputs(2), programs.forest(), np.zeros(2)))
    assert measure(trees) == Size(operations=0, splits=3, steps=2.5, inputs=2)
    linear = program(
        [N, N], ir.Affine(inputs(2), np.array([[1.0, 0.0], [2.0, 3.0]]), np.zeros(2)), ir.ArgMax(block(2, 2))
    )
    assert measure(linear) == Size(operations=4, splits=0, steps=0, inputs=2)


def test_what_no_result_reads_has_no_size() -> None:
    """A check of it stays in the program, and mostly always holds."""
    affine = ir.Affine(inputs(2), np.array([[1.0, 2.0]]), np.zeros(1))
    p = program([N, N], affine, ir.Check(block(2, 1), -ir.FINITE, ir.FINITE), ir.Step(inputs(2)))
    assert measure(p).operations == 2


def test_categories_cost_planning_but_are_searched() -> None:
    many = measure(program([N], ir.Codes(inputs(1), tuple(float(v) for v in range(10_000)))))
    assert many.categories == 10_000
    assert many.operations < 20
    assert choose(many, EVERYTHING)[0] is Strategy.PLPGSQL
    few = measure(program([N], ir.Codes(inputs(1), (1.0, 2.0))))
    assert choose(few, EVERYTHING)[0] is Strategy.SQL


@pytest.mark.parametrize(
    ("size", "available", "refresh", "one"),
    [
        (LINEAR, EVERYTHING, Strategy.SQL, Strategy.SQL),
        (TREE, EVERYTHING, Strategy.SQL, Strategy.PLPGSQL),
        (BOOSTED, EVERYTHING, Strategy.ONNX, Strategy.ONNX),
        (BOOSTED, WITHOUT_PYTHON, Strategy.PLPGSQL, Strategy.PLPGSQL),
        (replace(LINEAR, operations=1000), EVERYTHING, Strategy.ONNX, Strategy.PLPGSQL),
    ],
)
def test_other_uses_run_otherwise_where_it_is_worth_it(
    size: Size, available: frozenset[Strategy], refresh: Strategy, one: Strategy
) -> None:
    taken, _ = choose(size, available)
    found = {use: {s: of[s] for s in available} for use, of in estimates(size).items()}
    uses, reason = choose_others(found, taken, in_batches=True)
    assert uses == {Use.QUERY: taken, Use.REFRESH: refresh, Use.ONE: one}
    assert ("a refresh runs through ONNX" in reason) == (refresh is not taken)
    assert ("for one row there is score.NAME_one" in reason) == (one is not taken)
    by_row, _ = choose_others(found, taken, in_batches=False)
    assert by_row[Use.REFRESH] is taken


def test_onnx_answers_one_row_only_where_it_is_much_quicker_than_plpgsql() -> None:
    """A session's first call takes about 0.3 s."""
    found = estimates(TREE, replace(DEFAULTS, onnx_call=0.0))
    assert found[Use.ONE][Strategy.ONNX].one < found[Use.ONE][Strategy.PLPGSQL].one
    assert choose_others(found, Strategy.SQL, in_batches=True)[0][Use.ONE] is Strategy.PLPGSQL
