"""Each rewrite keeps every answer and every refusal of the reference interpreter."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler

from pgscore.compiler import ir, rewrites, tree_rewrites
from pgscore.compiler.backends import numpy as reference
from pgscore.compiler.frontends import to_program
from pgscore.compiler.ir import Method, Output, Program, Ref
from tests.support import programs
from tests.support.models import all_examples
from tests.support.programs import N, T, block, forest, inputs, program


def assert_equal_answers(before: Program, after: Program, rtol: float = 0) -> None:
    columns = programs.as_arrays(before, programs.hard_columns(before))
    want, got = reference.evaluate(before, columns), reference.evaluate(after, columns)
    assert want.keys() == got.keys()
    for method, values in want.items():
        # Where the model's own arithmetic overflows, folded weights may overflow a little earlier or later.
        ordinary = [
            i for i in range(len(values)) if not programs.too_large({k: list(v) for k, v in columns.items()}, i)
        ]
        rows = ordinary if rtol else list(range(len(values)))
        np.testing.assert_allclose(got[method][rows], values[rows], rtol=rtol, atol=1e-13 if rtol else 0)


def kinds(p: Program) -> list[type[ir.Node]]:
    return [type(node) for node in p.nodes]


@pytest.mark.parametrize("name", programs.ALL)
def test_simplify_keeps_every_answer(name: str) -> None:
    p = programs.ALL[name]
    rtol = 1e-12 if ir.Affine in kinds(p) else 0
    assert_equal_answers(p, rewrites.simplify(p), rtol)
    if all(column.dtype is N for column in p.columns):
        assert_equal_answers(p, rewrites.simplify(p, frozenset(range(len(p.columns)))), rtol)


@pytest.mark.parametrize(
    "model",
    [GaussianMixture(3, covariance_type="diag", random_state=0), SplineTransformer(extrapolation="periodic")],
    ids=["mixture", "periodic splines"],
)
def test_simplify_keeps_how_a_sum_is_rounded_that_cancels(model: Any) -> None:
    """Far from what it was trained on, each share of a mixture and each place within a period is what is left over."""
    train = np.random.default_rng(0).normal(30, 20, size=(80, 2))
    model = make_pipeline(StandardScaler(), model).fit(train)
    p = to_program(model)
    far = np.array([[-(2.0**31), 31.25], [2.0**31 - 1, -7.5], [123456789.0, 1e6], [-7e8, 3e9]])
    output = p.outputs[-1]
    expected = getattr(model, output.method.value)(far)
    got = reference.evaluate(rewrites.simplify(p, frozenset({0})), dict(zip(("x0", "x1"), far.T, strict=True)))[
        output.method
    ]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["Pipeline-churn", "Pipeline-tiers", "ColumnTransformer-mixed", "SimpleImputer-text"])
def test_simplify_keeps_a_pipeline_s_answers(name: str) -> None:
    p = to_program(all_examples()[name]().estimator)
    assert_equal_answers(p, rewrites.simplify(p), 1e-12)


def test_prune_drops_dead_nodes_but_no_input_and_no_check() -> None:
    p = program(
        [N, N],
        ir.Sigmoid((Ref(0, 0),)),
        ir.Check((Ref(1, 0),), 0.0, 1.0),
        ir.Step((Ref(0, 0),)),
        ir.Step((Ref(2, 0),)),
        outputs=(Output(Method.PREDICT, (Ref(4, 0),)), Output(Method.TRANSFORM, (Ref(5, 0),))),
    )
    pruned = rewrites.prune(p, [p.outputs[0]])
    assert kinds(pruned) == [ir.Input, ir.Input, ir.Check, ir.Step]
    assert [o.method for o in pruned.outputs] == [Method.PREDICT]
    columns = programs.as_arrays(p, programs.hard_columns(p))
    np.testing.assert_array_equal(
        reference.evaluate(pruned, columns)[Method.PREDICT], reference.evaluate(p, columns)[Method.PREDICT]
    )


@pytest.mark.parametrize("scale", [0.07, -3.5, 1e-5, 1e9])
@pytest.mark.parametrize("limits", [(-ir.FLOAT32_LIMIT, ir.FLOAT32_LIMIT), (-0.25, 3.0), (-5.0, ir.FINITE)])
def test_checks_behind_arithmetic_become_exact_ranges_of_the_input(scale: float, limits: tuple[float, float]) -> None:
    p = program(
        [N],
        ir.Impute(inputs(1), np.array([3.0])),
        ir.Standardize(block(1, 1), np.array([2.7]), np.array([scale])),
        ir.MultiplyAdd(block(2, 1), np.array([1.1]), np.array([-0.3])),
        ir.Check(block(3, 1), *limits),
    )
    settled = rewrites.settle_checks(p)
    (check,) = (node for node in settled.nodes if isinstance(node, ir.Check))
    assert check.inputs == inputs(1)
    assert_equal_answers(p, settled)
    with np.errstate(over="ignore"):
        edges = [np.nextafter(edge, to) for edge in (check.low, check.high) for to in (-math.inf, edge, math.inf)]
    columns = {"x0": np.array([*edges, check.low, check.high, math.nan])}
    want, got = reference.evaluate(p, columns), reference.evaluate(settled, columns)
    np.testing.assert_array_equal(got[Method.TRANSFORM], want[Method.TRANSFORM])


def test_checks_of_one_column_are_merged() -> None:
    p = program(
        [N, N],
        ir.Check(inputs(2), -ir.FINITE, ir.FINITE, missing=True),
        ir.Check(block(2, 2), -5.0, 400.0, missing=True),
        ir.Check((Ref(3, 1),), -9.0, 3.0),
        outputs=(Output(Method.TRANSFORM, block(3, 2)),),
    )
    settled = rewrites.settle_checks(p)
    assert_equal_answers(p, settled)
    first, second = settled.outputs[0].columns
    checks = {node.inputs: (node.low, node.high, node.missing) for node in settled.nodes if isinstance(node, ir.Check)}
    assert checks == {(first,): (-5.0, 400.0, True), (second,): (-5.0, 3.0, False)}


def test_checks_that_contradict_each_other_refuse_every_row() -> None:
    p = program([N], ir.Check(inputs(1), 0.0, 1.0), ir.Check(block(1, 1), 2.0, 3.0))
    assert_equal_answers(p, rewrites.settle_checks(p))


def scaled_affine(center: float, scale: float) -> Program:
    return program(
        [N, N],
        ir.Check(inputs(2), -ir.FINITE, ir.FINITE),
        ir.Standardize(block(2, 2), np.array([center, 0.0]), np.array([scale, 4.0])),
        ir.MultiplyAdd(block(3, 2), np.array([2.0, 3.0]), np.array([0.5, 0.0])),
        ir.Affine(block(4, 2), np.array([[0.25, -1.0], [0.0, 2.0]]), np.array([1.0, 0.0])),
    )


def test_a_check_of_our_own_stays_apart_from_the_models() -> None:
    """A row that only ours refuses is told from one that the model refuses."""
    p = program([N], ir.Check(inputs(1), -10.0, 10.0), ir.Check(block(1, 1), -1.0, 1.0, own=True))
    settled = rewrites.settle_checks(p)
    own = {node.own: (node.low, node.high) for node in settled.nodes if isinstance(node, ir.Check)}
    assert own == {False: (-10.0, 10.0), True: (-1.0, 1.0)}
    rows = {"x0": np.array([0.5, 5.0, 50.0, math.nan])}
    assert reference.refuses(settled, rows).tolist() == [False, True, True, True]
    assert reference.overflows(settled, rows).tolist() == reference.overflows(p, rows).tolist()


def test_overflow_counts_for_the_outputs_that_depend_on_it() -> None:
    square, nothing = Output(Method.PREDICT, block(1, 1)), Output(Method.TRANSFORM, block(2, 1))
    p = program([N], ir.Multiply(inputs(1) * 2), ir.Constant((), np.zeros(1)), outputs=(square, nothing))
    rows = {"x0": np.array([1.0, 1e200])}
    assert reference.overflows(p, rows).tolist() == [False, True]
    assert reference.overflows(p, rows, square).tolist() == [False, True]
    assert reference.overflows(p, rows, nothing).tolist() == [False, False]


def test_scaling_goes_into_weights_and_a_far_center_stays() -> None:
    p = scaled_affine(1e9, 0.5)
    folded = rewrites.prune(rewrites.fold_scalers(rewrites.settle_checks(p), frozenset([0, 1])))
    assert ir.MultiplyAdd not in kinds(folded)
    (left,) = (node for node in folded.nodes if isinstance(node, ir.Standardize))
    assert left.center.tolist() == [1e9]
    assert left.scale.tolist() == [1.0]
    assert_equal_answers(p, folded, 1e-13)


@pytest.mark.parametrize(("small", "stays"), [(frozenset({0}), False), (frozenset[int](), True)])
def test_a_near_center_goes_into_the_bias_for_whole_numbers_only(small: frozenset[int], stays: bool) -> None:
    p = scaled_affine(30.0, 12.0)
    folded = rewrites.prune(rewrites.fold_scalers(rewrites.settle_checks(p), small))
    assert (ir.Standardize in kinds(folded)) is stays
    assert_equal_answers(p, folded, 1e-12)


def test_folding_that_would_lose_digits_is_left_alone() -> None:
    p = program(
        [N],
        ir.Standardize(inputs(1), np.zeros(1), np.array([1e-200])),
        ir.Affine(block(1, 1), np.array([[1e200]]), np.array([0.0])),
    )
    assert ir.Standardize in kinds(rewrites.fold_scalers(p))


def sums(inner: int, outer: int) -> Program:
    """`inner` sums of four columns, and `outer` sums of these and of the first column itself."""
    rng = np.random.default_rng(0)
    return program(
        [N] * 4,
        ir.Affine(inputs(4), rng.normal(size=(inner, 4)), rng.normal(size=inner)),
        ir.Affine((*block(4, inner), Ref(0, 0)), rng.normal(size=(outer, inner + 1)), rng.normal(size=outer)),
    )


@pytest.mark.parametrize(("inner", "outer", "folds"), [(3, 1, True), (3, 2, True), (1, 5, False)])
def test_a_sum_of_sums_becomes_one_where_that_has_no_more_terms(inner: int, outer: int, folds: bool) -> None:
    p = sums(inner, outer)
    folded = rewrites.prune(rewrites.fold_sums(p))
    assert kinds(folded).count(ir.Affine) == (1 if folds else 2)
    assert_equal_answers(p, folded, 1e-12)


def test_a_mean_of_sums_has_the_terms_of_one() -> None:
    p = sums(10, 1)
    (affine,) = (node for node in rewrites.prune(rewrites.fold_sums(p)).nodes if isinstance(node, ir.Affine))
    assert affine.inputs == inputs(4)


def test_a_sum_of_sums_that_would_lose_digits_or_overflow_is_left_alone() -> None:
    for first, second in ((1e-200, 1e-120), (1e200, 1e200)):
        inner = ir.Affine(inputs(1), np.array([[first]]), np.ones(1))
        p = program([N], inner, ir.Affine(block(1, 1), np.array([[second]]), np.ones(1)))
        assert kinds(rewrites.prune(rewrites.fold_sums(p))).count(ir.Affine) == 2


@pytest.mark.parametrize("kept", [(True, False), (False, True)])
def test_a_sum_that_is_kept_is_not_taken_apart_and_takes_none_apart(kept: tuple[bool, bool]) -> None:
    inner, outer = (
        ir.Affine(inputs(2), np.array([[0.1, 0.2]]), np.zeros(1), kept=kept[0]),
        ir.Affine(block(3, 1), np.array([[0.5]]), np.zeros(1), kept=kept[1]),
    )
    p = program([N, N], inner, ir.Standardize(block(2, 1), np.array([0.3]), np.array([0.7])), outer)
    assert [n.kept for n in rewrites.simplify(p).nodes if isinstance(n, ir.Affine)] == [*kept]


@pytest.mark.parametrize("between", [(), (ir.MultiplyAdd(block(3, 2), np.full(2, 2.0), np.ones(2)),)])
def test_a_sum_of_sums_that_trees_compare_is_left_alone(between: tuple[ir.Node, ...]) -> None:
    """Terms that cancel leave another rest in another order, and a threshold may be that rest, scaled or not."""
    inner = ir.Affine(inputs(2), np.array([[0.1, 0.2], [0.3, -0.2]]), np.zeros(2))
    outer = ir.Affine(block(2, 2), np.ones((2, 2)), np.zeros(2))
    trees = ir.Trees(block(3 + len(between), 2), forest(), np.zeros(2))
    p = program([N, N], inner, outer, *between, trees)
    assert kinds(rewrites.prune(rewrites.fold_sums(p))).count(ir.Affine) == 2


@pytest.mark.parametrize("missing", [math.nan, 3.0, -1.0])
@pytest.mark.parametrize("group", [(0.0,), (0.0, -1.0)])
def test_one_hot_columns_become_one_lookup(missing: float, group: tuple[float, ...]) -> None:
    p = program(
        [T],
        ir.Codes(inputs(1), ("a", "b", "it's"), missing=missing),
        ir.OneHot(block(1, 1), (group, (1.0,), (2.0, 3.0))),
        ir.Affine(block(2, 3), np.array([[0.5, -1.0, 2.0], [0.0, 4.0, 8.0]]), np.array([0.25, 0.0])),
    )
    rewritten = rewrites.prune(rewrites.one_hot_to_lookup(p))
    fits = not (missing != missing and -1.0 in group)
    assert (ir.Lookup in kinds(rewritten)) is fits
    assert (ir.OneHot in kinds(rewritten)) is not fits
    assert_equal_answers(p, rewritten)


def test_trees_take_the_fill_value_s_way_instead_of_imputing() -> None:
    for fill in ([7.0, 255.0], [1.5, -40.0], [-3.0, 2.0]):
        p = program(
            [N, N],
            ir.Impute(inputs(2), np.array(fill)),
            ir.Trees(block(2, 2), forest(), np.zeros(2)),
        )
        rewritten = rewrites.prune(tree_rewrites.impute_in_trees(p))
        assert ir.Impute not in kinds(rewritten)
        assert_equal_answers(p, rewritten)


@pytest.mark.parametrize("center", [0.0, 30.2, -1e9, 1e-300, 7e307])
@pytest.mark.parametrize("scale", [17.130661516707402, 1e-5, 3e-310, 1e300])
def test_thresholds_before_a_scaler_decide_every_double_alike(center: float, scale: float) -> None:
    """Each tree is a stump on the scaled column, and its threshold and all neighbours of it are tried."""
    thresholds = [-1e300, -0.4038073867559433, 0.0, 5e-324, 0.017162210308015343, 1.0, 1e300]
    n = len(thresholds)
    stumps = ir.Forest(
        roots=np.arange(n) * 3,
        feature=np.tile([0, -1, -1], n),
        threshold=np.repeat(thresholds, 3),
        left=np.arange(3 * n) // 3 * 3 + 1,
        right=np.arange(3 * n) // 3 * 3 + 2,
        missing_left=np.arange(3 * n) % 2 == 0,
        value=np.tile([[0.0], [1.0], [0.0]], (n, 1)),
        output=np.arange(n),
        category_set=np.full(3 * n, -1),
    )
    p = program(
        [N],
        ir.Standardize(inputs(1), np.array([center]), np.array([scale])),
        ir.MultiplyAdd(block(1, 1), np.array([0.7]), np.array([0.1])),
        ir.Trees(block(2, 1), stumps, np.zeros(n)),
        outputs=(Output(Method.TRANSFORM, block(3, n)),),
    )
    moved = rewrites.prune(tree_rewrites.unscale_trees(p))
    assert kinds(moved) == [ir.Input, ir.Trees]
    found = next(node.forest.threshold for node in moved.nodes if isinstance(node, ir.Trees))
    near = [t + 0.0 for t in found if np.isfinite(t)]
    rows = [math.nan, math.inf, -math.inf, 0.0, -0.0, center, *near]
    for t in near:
        rows += [math.nextafter(t, math.inf), math.nextafter(t, -math.inf)]
    x = {p.columns[0].name: np.array(rows)}
    want, got = reference.evaluate(p, x)[Method.TRANSFORM], reference.evaluate(moved, x)[Method.TRANSFORM]
    # Where scaling overflows the program refuses the row, and without scaling nothing overflows.
    answered = ~reference.overflows(p, x)
    assert answered.any()
    np.testing.assert_array_equal(got[answered], want[answered])


def test_a_scale_that_turns_the_order_around_stays() -> None:
    p = program(
        [N, N],
        ir.Standardize(inputs(2), np.zeros(2), np.array([-2.0, 3.0])),
        ir.Trees(block(2, 2), forest(), np.zeros(2)),
        outputs=(Output(Method.TRANSFORM, block(3, 2)),),
    )
    # The second column is also split by a set of values.
    assert ir.Standardize in kinds(rewrites.prune(tree_rewrites.unscale_trees(p)))
    assert_equal_answers(p, rewrites.simplify(p))


def test_level_pieces_under_a_sum_are_one() -> None:
    levels = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])[:, :, np.newaxis]
    p = program(
        [N, N],
        ir.Piecewise(block(0, 1), np.array([1.0, 2.5]), np.zeros(3), levels),
        ir.Affine((*block(2, 3), Ref(1, 0)), np.array([[1.0, -2.0, 4.0, 0.5], [0.0, 3.0, 0.0, 1.0]]), np.ones(2)),
        outputs=(Output(Method.TRANSFORM, block(3, 2)),),
    )
    merged = rewrites.prune(rewrites.add_up_steps(p))
    (steps,) = (node for node in merged.nodes if isinstance(node, ir.Piecewise))
    assert steps.coefficients[:, :, 0].tolist() == [[1.0, 0.0], [-2.0, 3.0], [4.0, 0.0]]
    assert_equal_answers(p, merged)


def test_pieces_that_are_not_level_stay() -> None:
    slopes = np.ones((2, 2, 2))
    p = program(
        [N],
        ir.Piecewise(block(0, 1), np.array([1.0]), np.zeros(2), slopes),
        ir.Affine(block(1, 2), np.array([[1.0, -2.0]]), np.zeros(1)),
        outputs=(Output(Method.TRANSFORM, block(2, 1)),),
    )
    assert rewrites.add_up_steps(p).nodes == p.nodes


def test_a_scaler_between_two_sums_leaves_one_sum() -> None:
    rng = np.random.default_rng(3)
    p = program(
        [N, N, N],
        ir.Affine(inputs(3), rng.normal(size=(2, 3)), rng.normal(size=2)),
        ir.Standardize(block(3, 2), np.array([1e-17, 0.3]), np.array([2.0, 0.7])),
        ir.Affine(block(4, 2), rng.normal(size=(1, 2)), rng.normal(size=1)),
        outputs=(Output(Method.PREDICT, block(5, 1)),),
    )
    folded = rewrites.simplify(p)
    assert kinds(folded) == [ir.Input] * 3 + [ir.Affine]
    assert_equal_answers(p, folded, 1e-12)
