"""Forests of two classes, which the graph adds up for the second class alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgscore.compiler import ir
from pgscore.compiler.backends import numpy as reference
from pgscore.compiler.backends import onnx as backend
from pgscore.compiler.backends import onnx_session
from pgscore.compiler.ir import Column, Dtype, Method, ModelKind, Output, Program, Ref

Values = npt.NDArray[np.float64]

N_COLUMNS = 4
X = (*(ir.Input((), index) for index in range(N_COLUMNS)),)
INPUTS = tuple(Ref(index, 0) for index in range(N_COLUMNS))


def forest(second: Values, columns: Values) -> ir.Forest:
    """Stumps at 0.5: by column `columns[t]`, tree t gives the second class `second[t, 0]` or `second[t, 1]`."""
    n = len(second)
    value = np.zeros((3 * n, 2))
    value[1::3, 1], value[2::3, 1] = second[:, 0], second[:, 1]
    value[1::3, 0], value[2::3, 0] = 1 - second[:, 0], 1 - second[:, 1]
    nodes = np.arange(3 * n)
    root = nodes % 3 == 0
    return ir.Forest(
        roots=nodes[root],
        feature=np.where(root, np.repeat(columns, 3), -1),
        threshold=np.where(root, 0.5, 0.0),
        left=np.where(root, nodes + 1, -1),
        right=np.where(root, nodes + 2, -1),
        missing_left=np.zeros(3 * n, dtype=bool),
        value=value,
        output=np.full(n, -1),
        category_set=np.full(3 * n, -1),
    )


def classifier(trees: ir.Forest, *between: ir.Node) -> Program:
    """A program that gives the label, 0 or 1, and both sums, as scikit-learn's forests do."""
    nodes = [*X, ir.Trees(INPUTS, trees, np.zeros(2)), *between]
    last = len(nodes) - 1
    both = (Ref(last, 0), Ref(last, 1))
    nodes.append(ir.ArgMax(both))
    label = Output(Method.PREDICT, (Ref(last + 1, 0),), (0, 1))
    columns = tuple(Column(f"x{index}", Dtype.NUMBER) for index in range(N_COLUMNS))
    return Program(
        ModelKind.BINARY_CLASSIFIER, columns, tuple(nodes), (label, Output(Method.PREDICT_PROBA, both, (0, 1)))
    )


def answers(program: Program, rows: Values) -> tuple[Values, Values]:
    """What the graph gives and what the reference gives, both (n_rows, 3)."""
    columns = {f"x{index}": rows[:, index] for index in range(N_COLUMNS)}
    expected = np.hstack(list(reference.evaluate(program, columns).values()))
    (found,) = onnx_session.run(backend.export(program), ["outputs"], {"features": rows})
    return found, expected


def operators(program: Program) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(backend.export(program)).graph.node]


ALL_ROWS = np.array(np.meshgrid(*[[0.0, 1.0]] * N_COLUMNS)).reshape(N_COLUMNS, -1).T
"""Each way through the stumps."""
SHARES = ir.Standardize((Ref(N_COLUMNS, 0), Ref(N_COLUMNS, 1)), np.zeros(2), np.full(2, 8.0))


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 10)] * 2), min_size=10, max_size=14), st.randoms(use_true_random=False))
def test_ties_are_decided_as_by_two_sums(tenths: list[tuple[int, int]], random: object) -> None:
    """Votes of tenths make ties that nothing but the rounding of each sum decides."""
    rng = np.random.default_rng(random.getrandbits(32))  # type: ignore[attr-defined]
    second = np.array(tenths) / 10
    # Each vote and its opposite: half of all votes for each class, up to rounding, in many a row.
    second = np.vstack([second, 1 - second])[rng.permutation(2 * len(second))]
    columns = rng.integers(0, N_COLUMNS, len(second))
    found, expected = answers(classifier(forest(second, columns)), ALL_ROWS)
    assert (found[:, 0] == expected[:, 0]).all()
    assert (found[:, 2] == expected[:, 2]).all()
    np.testing.assert_allclose(found[:, 1], expected[:, 1], rtol=0, atol=1e-13)


def test_rounding_decides_a_tie() -> None:
    """What the property above is worth: there are votes of which the rest after the second sum says another label."""
    rng = np.random.default_rng(0)
    turned = 0
    for _ in range(200):
        half = rng.integers(0, 11, (10, 2)) / 10
        second = np.vstack([half, 1 - half])[rng.permutation(20)]
        program = classifier(forest(second, rng.integers(0, N_COLUMNS, 20)))
        found, expected = answers(program, ALL_ROWS)
        assert (found[:, 0] == expected[:, 0]).all()
        turned += int(((len(second) - expected[:, 2] < expected[:, 2]) != (expected[:, 0] == 1)).sum())
    assert turned > 10


def test_one_sum_is_enough() -> None:
    """Votes that are added without rounding need no second sum; many others have one for the rows near a tie."""
    columns = np.arange(20) % N_COLUMNS
    whole = classifier(forest(np.tile([0.0, 1.0], (8, 1)), columns[:8]), SHARES)
    assert operators(whole).count("TreeEnsemble") == 1
    assert "Compress" not in operators(whole)
    found, expected = answers(whole, ALL_ROWS)
    assert (found == expected).all()
    tenths = classifier(forest(np.tile([0.3, 0.9], (20, 1)), columns), SHARES)
    assert operators(tenths).count("TreeEnsemble") == 2
    assert "Compress" in operators(tenths)
    few = classifier(forest(np.tile([0.3, 0.9], (8, 1)), columns[:8]), SHARES)
    assert "Compress" not in operators(few)


@pytest.mark.parametrize(
    "nodes",
    [
        (ir.Elementwise((Ref(N_COLUMNS, 0), Ref(N_COLUMNS, 1)), ir.Op.LOG),),
        (ir.Standardize((Ref(N_COLUMNS, 0), Ref(N_COLUMNS, 1)), np.zeros(2), np.array([8.0, 4.0])),),
        (ir.Standardize((Ref(N_COLUMNS, 0), Ref(N_COLUMNS, 1)), np.array([0.0, 1.0]), np.full(2, 8.0)),),
        (SHARES, ir.Step((Ref(N_COLUMNS + 1, 0),), 0.5), ir.Select(
            (Ref(N_COLUMNS + 2, 0),) * 2 + (Ref(N_COLUMNS + 1, 0), Ref(N_COLUMNS + 1, 1)) * 2)),
    ],
    ids=["logarithms", "two divisors", "two centers", "a threshold of its own"],
)  # fmt: skip
def test_where_the_first_sum_counts_by_itself_both_are_taken(nodes: tuple[ir.Node, ...]) -> None:
    program = classifier(forest(np.tile([0.3, 0.9], (20, 1)), np.arange(20) % N_COLUMNS), *nodes)
    assert "Compress" not in operators(program)
    found, expected = answers(program, ALL_ROWS)
    np.testing.assert_allclose(found, expected, rtol=1e-15)
