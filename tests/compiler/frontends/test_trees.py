"""What the examples of tests/support/tree_models.py, which test_registry.py runs, do not show."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomTreesEmbedding
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier

from pgscore.compiler import ir
from pgscore.compiler.backends.numpy import evaluate
from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError
from tests.support.tree_models import numbers, target, three, two

from .parity import assert_parity


@pytest.mark.parametrize("missing", [False, True])
def test_rows_at_every_threshold_go_where_sklearn_sends_them(missing: bool) -> None:
    frame = numbers(missing=missing)
    estimator = DecisionTreeClassifier(random_state=0).fit(frame, three(frame))
    thresholds = np.unique(estimator.tree_.threshold[estimator.tree_.feature >= 0])
    around = [thresholds, thresholds.astype(np.float32).astype(float)]
    around += [np.nextafter(a, side) for a in around for side in (-np.inf, np.inf)]
    values = np.concatenate(around)
    values = values[np.abs(values) <= ir.FLOAT32_LIMIT]  # a split between missing and the rest lies at infinity
    rows = pd.concat([frame.sample(len(values), replace=True, random_state=0).assign(**{f: values}) for f in frame])
    program = assert_parity(estimator, rows, exact=True)

    # Without moved thresholds some of these rows get another answer: the rows are hard enough to tell.
    nodes = [_with_thresholds(node, estimator.tree_.threshold) for node in program.nodes]
    columns = {name: rows[name].to_numpy() for name in rows}
    naive = evaluate(dataclasses.replace(program, nodes=tuple(nodes)), columns)[ir.Method.PREDICT_PROBA]
    assert (naive != estimator.predict_proba(rows)).any()


def _with_thresholds(node: ir.Node, threshold: ir.FloatArray) -> ir.Node:
    if not isinstance(node, ir.Trees) or node.forest is None:
        return node
    return dataclasses.replace(node, forest=dataclasses.replace(node.forest, threshold=threshold))


def test_a_scaler_before_the_forest_does_not_move_rows() -> None:
    frame = numbers()
    model = make_pipeline(StandardScaler(), RandomForestClassifier(5, random_state=0)).fit(frame, two(frame))
    assert_parity(model, frame, exact=True)


def test_sparse_rows_take_no_missing_value() -> None:
    frame = numbers(columns=2)
    coded = ColumnTransformer([("codes", OneHotEncoder(), ["f1"])], remainder="passthrough", sparse_threshold=1.0)
    model = make_pipeline(coded, RandomForestClassifier(5, random_state=0)).fit(frame, two(frame))
    frame.loc[3, "f0"] = np.nan
    program = assert_parity(model, frame, exact=True)
    answers = evaluate(program, {c.name: frame[c.name].to_numpy() for c in program.columns})
    assert np.isnan(answers[ir.Method.PREDICT_PROBA][3]).all()


def test_a_missing_value_has_a_way_where_training_saw_none() -> None:
    frame = numbers()
    estimator = ExtraTreesClassifier(5, random_state=0).fit(frame, two(frame))
    rows = frame.head(20).copy()
    rows.iloc[:, 1] = np.nan
    assert_parity(estimator, rows, exact=True)


@pytest.mark.parametrize("make", [DecisionTreeRegressor, ExtraTreesRegressor])
def test_several_targets_of_numbers_are_exact(make: Callable[..., Any]) -> None:
    frame = numbers(missing=True)
    y = np.column_stack([target(frame), np.ones(len(frame)), -target(frame)])
    program = assert_parity(make(max_depth=4, random_state=0).fit(frame, y), frame, exact=True)
    assert len(program.outputs[0].columns) == 3


@pytest.mark.parametrize("dtype", [object, str, int, float, bool])
def test_several_targets_of_classes_keep_their_labels(dtype: Any) -> None:
    frame = numbers()
    labels = np.column_stack([two(frame), ~two(frame), np.ones(len(frame))]).astype(int)
    labels = labels.astype(str).astype(object) if dtype is object else labels.astype(dtype)
    model = ExtraTreeClassifier(max_depth=4, random_state=0).fit(frame, labels)
    assert assert_parity(model, frame, exact=True).kind is ir.ModelKind.MULTI_OUTPUT_CLASSIFIER


def test_labels_of_several_kinds_are_refused() -> None:
    frame = numbers()
    model = DecisionTreeClassifier(max_depth=2).fit(frame, np.column_stack([two(frame), two(frame)]))
    model.classes_ = [np.array(["a", 1], dtype=object), model.classes_[1]]
    with pytest.raises(UnsupportedError, match="several kinds"):
        to_program(model)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_the_embedding_names_every_leaf(missing: bool, sparse: bool) -> None:
    frame = numbers(missing=missing)
    model = RandomTreesEmbedding(4, max_depth=3, sparse_output=sparse, random_state=0).fit(frame)
    program = assert_parity(model, frame, exact=True)
    assert len(program.outputs[0].columns) == sum(t.get_n_leaves() for t in model.estimators_)


def test_a_scaler_behind_the_sparse_embedding_multiplies() -> None:
    frame = numbers()
    model = make_pipeline(RandomTreesEmbedding(3, max_depth=2, random_state=0), StandardScaler(with_mean=False))
    assert_parity(model.fit(frame), frame, exact=True)


def test_a_leaf_that_is_not_finite_is_refused() -> None:
    frame = numbers()
    estimator = DecisionTreeRegressor(max_depth=2).fit(frame, target(frame))
    estimator.tree_.value[:] = np.inf
    with pytest.raises(UnsupportedError, match="not finite"):
        to_program(estimator)


def test_arrays_of_the_forest_are_clean() -> None:
    """No leftover of scikit-learn's in places that mean nothing, so that equal models give equal programs."""
    frame = numbers()
    model = RandomForestClassifier(3, random_state=0).fit(frame, three(frame))
    forest = next(n for n in to_program(model).nodes if isinstance(n, ir.Trees)).forest
    assert forest is not None
    leaf = forest.feature < 0
    assert (forest.threshold[leaf] == 0).all()
    assert (forest.left[leaf] == -1).all()
    assert (forest.right[leaf] == -1).all()
    assert (forest.value[~leaf] == 0).all()
    assert not forest.missing_left[leaf].any()
