"""What the examples of tests/support/tree_models.py, which test_registry.py runs, do not show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pgscore.compiler import ir
from pgscore.compiler.backends.numpy import evaluate
from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError
from tests.support.example import Example
from tests.support.tree_models import TREE_EXAMPLES, categories, numbers, one, positive, target, three, two

from .parity import answers, assert_parity

CLASSIFIERS = {
    f"{cls.__name__}-{name}": make
    for cls in (GradientBoostingClassifier, HistGradientBoostingClassifier)
    for name, make in TREE_EXAMPLES[cls].items()
}


@pytest.mark.parametrize("make", CLASSIFIERS.values(), ids=CLASSIFIERS)
def test_raw_predictions_are_bit_equal(make: Callable[[], Example]) -> None:
    """Probabilities may differ from scikit-learn's in the last digit of exp; what they are made of may not."""
    example = make()
    program = to_program(example.estimator)
    got = evaluate(program, {c.name: example.frame[c.name].to_numpy() for c in program.columns})
    expected, refused = answers(example.estimator.decision_function, example.frame)
    np.testing.assert_array_equal(got[ir.Method.DECISION_FUNCTION][~refused], expected)


def test_arrays_without_names() -> None:
    frame = numbers(missing=True)
    assert_parity(HistGradientBoostingRegressor(max_iter=5).fit(frame.to_numpy(), target(frame)), frame, exact=True)


def test_a_raw_prediction_of_zero_is_the_second_class_in_gradient_boosting_only() -> None:
    frame = pd.DataFrame({"f0": np.ones(80)})
    label = np.arange(80) % 2
    exact = GradientBoostingClassifier(n_estimators=2, init="zero").fit(frame, label)
    histogram = HistGradientBoostingClassifier(max_iter=2).fit(frame, label)
    for estimator, expected in ((exact, 1), (histogram, 0)):
        assert estimator.decision_function(frame)[0] == 0
        assert estimator.predict(frame)[0] == expected
        assert_parity(estimator, frame)


def test_histogram_trees_compare_doubles() -> None:
    """Neighbouring doubles on both sides of a threshold, which float32 cannot tell apart, get different answers."""
    frame = pd.DataFrame({"f0": np.repeat([1.0, 1 + 2.0**-40], 60)})
    estimator = HistGradientBoostingRegressor(max_iter=1, min_samples_leaf=5).fit(frame, np.repeat([0.0, 8.0], 60))
    assert len(np.unique(estimator.predict(frame))) == 2
    assert_parity(estimator, frame, exact=True)


def test_histogram_trees_take_infinities() -> None:
    frame = numbers()
    estimator = HistGradientBoostingRegressor(max_iter=5).fit(frame, target(frame))
    rows = frame.head(4).copy()
    rows["f0"] = [np.inf, -np.inf, 1e300, np.nan]
    _, refused = answers(estimator.predict, rows)
    assert not refused.any()
    assert_parity(estimator, rows, exact=True)


def test_split_between_missing_and_the_rest() -> None:
    """Its threshold is infinity."""
    frame = pd.DataFrame({"f0": np.where(np.arange(200) % 2, np.nan, 1.0)})
    estimator = HistGradientBoostingRegressor(max_iter=2).fit(frame, np.arange(200) % 2)
    assert np.isinf(estimator._predictors[0][0].nodes["num_threshold"]).any()
    rows = pd.DataFrame({"f0": [np.nan, 1.0, np.inf, -np.inf, 1e300]})
    assert_parity(estimator, rows, exact=True)


def test_categories_behind_the_columns_order() -> None:
    """The trees number categories first, whatever their place in the table; unseen ones go the way of missing ones."""
    frame = categories("object")[["f0", "plan", "f1"]]
    model = HistGradientBoostingClassifier(max_iter=6, min_samples_leaf=4, categorical_features=["plan"])
    model.fit(frame, three(frame))
    rows = frame.head(9).copy()
    rows["plan"] = ["it's", "basic", "pro\\", "Ü", "none", np.nan, "never", "", "BASIC"]
    program = assert_parity(model, rows, rtol=1e-14)
    assert [column.dtype for column in program.columns] == [ir.Dtype.NUMBER, ir.Dtype.TEXT, ir.Dtype.NUMBER]


def test_infinite_category_is_refused() -> None:
    frame = categories("float64")
    model = HistGradientBoostingRegressor(max_iter=3, categorical_features=["code"]).fit(frame, target(frame))
    rows = frame.head(4).copy()
    rows["code"] = [np.inf, -np.inf, 1e300, 0.5]
    assert answers(model.predict, rows)[1].tolist() == [True, True, False, False]
    assert_parity(model, rows, exact=True)


def test_in_a_pipeline() -> None:
    frame = numbers()
    boosted = GradientBoostingRegressor(n_estimators=5, random_state=0)
    assert_parity(make_pipeline(StandardScaler(), boosted).fit(frame, positive(frame)), frame, exact=True)


@pytest.mark.parametrize("init", [LinearRegression(), RandomForestRegressor(2)])
def test_other_init_estimators_are_refused_by_name(init: Any) -> None:
    frame = numbers()
    model = GradientBoostingRegressor(n_estimators=2, init=init).fit(frame, target(frame))
    with pytest.raises(UnsupportedError, match=f"{type(init).__name__} as init has no exact form; use init=None"):
        to_program(model)


def test_random_init_is_refused() -> None:
    frame = numbers()
    init = DummyClassifier(strategy="stratified", random_state=0)
    with pytest.raises(UnsupportedError, match="DummyClassifier as init"):
        to_program(GradientBoostingClassifier(n_estimators=2, init=init).fit(frame, two(frame)))


def test_one_class_is_refused_in_histogram_boosting() -> None:
    frame = numbers()
    with pytest.raises(UnsupportedError, match="one class only; train it on at least two classes"):
        to_program(HistGradientBoostingClassifier(max_iter=2).fit(frame, one(frame)))


@pytest.mark.parametrize("make", [HistGradientBoostingRegressor, HistGradientBoostingClassifier])
def test_an_unknown_link_is_refused(make: Callable[[], Any]) -> None:
    frame = numbers()
    model = make().set_params(max_iter=2).fit(frame, two(frame).astype(int))
    model._loss.link = object()
    with pytest.raises(UnsupportedError, match="link that pgscore does not know"):
        to_program(model)
