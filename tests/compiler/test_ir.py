"""Nodes are values, validated when built; programs refuse what does not fit together."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pgscore.compiler import ir
from pgscore.compiler.backends.numpy import INTERPRETERS, evaluate

X = ir.Input((), 0)
FIRST = (ir.Ref(0, 0),)


def program(*nodes: ir.Node, columns: tuple[ir.Column, ...] = (ir.Column("a", ir.Dtype.NUMBER),)) -> ir.Program:
    last = (ir.Ref(len(nodes) - 1, 0),)
    return ir.Program(ir.ModelKind.TRANSFORMER, columns, nodes, (ir.Output(ir.Method.TRANSFORM, last),))


def stump(**changes: object) -> ir.Forest:
    fields: dict[str, object] = {
        "roots": [0],
        "feature": [0, -1, -1],
        "threshold": [1.5, 0, 0],
        "left": [1, -1, -1],
        "right": [2, -1, -1],
        "missing_left": [True, False, False],
        "value": [[0.0], [10.0], [20.0]],
        "output": [-1],
        "category_set": [-1, -1, -1],
    }
    return ir.Forest(**(fields | changes))  # type: ignore[arg-type]


def test_nodes_are_compared_by_value_with_arrays_and_nan() -> None:
    assert ir.Impute(FIRST, np.array([np.nan])) == ir.Impute(FIRST, np.array([np.nan]))
    assert ir.Impute(FIRST, np.array([1.0])) != ir.Impute(FIRST, np.array([2.0]))
    assert ir.Codes(FIRST, ("a",)) == ir.Codes(FIRST, ("a",))
    assert ir.Clip(FIRST, 0, 1) != ir.Step(FIRST)
    assert ir.Trees(FIRST, stump(), np.zeros(1)) == ir.Trees(FIRST, stump(), np.zeros(1))


def test_nodes_do_not_change() -> None:
    node = ir.Impute(FIRST, np.array([1.0]))
    with pytest.raises(dataclasses.FrozenInstanceError):
        node.fill = np.zeros(1)  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        node.fill[0] = 2


def test_an_array_given_to_a_node_can_change_without_changing_the_node() -> None:
    given = np.array([1.0])
    node = ir.Impute(FIRST, given)
    given[0] = 2
    assert node.fill[0] == 1


def test_a_changed_copy_shares_the_other_arrays() -> None:
    """A forest has millions of nodes, and rewrites change an array or two."""
    forest = stump()
    changed = dataclasses.replace(forest, missing_left=np.zeros(3, dtype=bool))
    assert changed.value is forest.value
    view = np.arange(3.0)[:]
    view.flags.writeable = False
    assert ir.Impute(FIRST * 3, view).fill is not view


@pytest.mark.parametrize(
    "build",
    [
        lambda: ir.Input(FIRST, 0),
        lambda: ir.Impute(FIRST, np.zeros(2)),
        lambda: ir.Standardize(FIRST, np.zeros(1), np.zeros(1)),
        lambda: ir.Affine(FIRST, np.zeros((1, 2)), np.zeros(1)),
        lambda: ir.Affine(FIRST, np.full((1, 1), np.inf), np.zeros(1)),
        lambda: ir.Codes(FIRST, ("a", "a")),
        lambda: ir.Codes(FIRST, (1.0, float("nan"))),
        lambda: ir.Check(FIRST),
        lambda: ir.Check(FIRST, low=1, high=0),
        lambda: ir.Clip(FIRST, 1, 0),
        lambda: ir.Trees(FIRST, stump(feature=[1, -1, -1]), np.zeros(1)),
        lambda: ir.Trees(FIRST, stump(output=[3]), np.zeros(1)),
        lambda: ir.Trees(FIRST, stump(), np.zeros(2)),
        lambda: stump(left=[7, -1, -1]),
        lambda: stump(threshold=[1.0]),
        lambda: stump(output=[0, 0]),
        lambda: stump(value=[[0.0], [np.nan], [1.0]]),
    ],
)
def test_a_node_that_makes_no_sense_is_not_built(build: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each kind words its own message
        build()  # type: ignore[operator]


def test_a_program_reads_only_what_exists_before() -> None:
    with pytest.raises(ValueError, match="not before it"):
        program(X, ir.Sigmoid((ir.Ref(1, 0),)))
    with pytest.raises(ValueError, match="does not exist"):
        program(X, ir.Sigmoid((ir.Ref(0, 1),)))


def test_a_program_keeps_text_and_numbers_apart() -> None:
    text = (ir.Column("a", ir.Dtype.TEXT),)
    with pytest.raises(ValueError, match="reads text"):
        program(ir.Input((), 0, ir.Dtype.TEXT), ir.Sigmoid(FIRST), columns=text)
    with pytest.raises(ValueError, match="as number"):
        program(X, ir.Sigmoid(FIRST), columns=text)
    with pytest.raises(ValueError, match="reads number"):
        program(X, ir.Codes(FIRST, ("a", "b")))


def test_text_nodes_and_features_are_the_cut_between_sql_and_arithmetic() -> None:
    columns = (ir.Column("plan", ir.Dtype.TEXT), ir.Column("age", ir.Dtype.NUMBER))
    nodes = (
        ir.Input((), 0, ir.Dtype.TEXT),
        ir.Input((), 1),
        ir.FillText((ir.Ref(0, 0),), ("a",)),
        ir.Codes((ir.Ref(2, 0),), ("a", "b")),
        ir.OneHot((ir.Ref(3, 0),), ((0.0,), (1.0,))),
        ir.Affine((ir.Ref(1, 0), ir.Ref(4, 0), ir.Ref(4, 1)), np.ones((1, 3)), np.zeros(1)),
    )
    output = ir.Output(ir.Method.PREDICT, (ir.Ref(5, 0),))
    whole = ir.Program(ir.ModelKind.REGRESSOR, columns, nodes, (output,))
    assert whole.text_nodes() == [True, False, True, True, False, False]
    assert whole.features() == (ir.Ref(1, 0), ir.Ref(3, 0))


def test_the_reference_interpreter_knows_every_kind() -> None:
    assert set(INTERPRETERS) | {ir.Input, ir.Constant} == set(ir.NODE_KINDS)


def test_a_refused_row_has_no_answer() -> None:
    checked = program(X, ir.Check(FIRST, low=0, high=5))
    answers = evaluate(checked, {"a": np.array([1.0, 6.0, np.nan, -1.0])})[ir.Method.TRANSFORM][:, 0]
    assert answers[0] == 1
    assert np.isnan(answers[1:]).all()


def test_trees_send_missing_values_where_they_learned() -> None:
    trees = program(X, ir.Trees(FIRST, stump(), np.array([1.0])))
    answers = evaluate(trees, {"a": np.array([1.5, 1.6, np.nan])})[ir.Method.TRANSFORM][:, 0]
    assert answers.tolist() == [11, 21, 11]


def test_trees_test_membership_of_categories() -> None:
    forest = stump(category_set=[0, -1, -1], category_sets=((3.0, 5.0),))
    trees = program(X, ir.Trees(FIRST, forest, np.zeros(1)))
    answers = evaluate(trees, {"a": np.array([3.0, 4.0, 5.0, 0.0])})[ir.Method.TRANSFORM][:, 0]
    assert answers.tolist() == [10, 20, 10, 20]
