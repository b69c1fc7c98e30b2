"""AdaBoost and bagging, of trees and of other members."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Perceptron, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier

from pgscore.compiler import ir
from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError
from tests.support.customers import NUMBERS, NUMBERS_MISSING, customers, rows_to_score
from tests.support.tree_models import numbers, one, target, three, two

from .parity import assert_parity

SEED: dict[str, Any] = {"random_state": 0}


def fitted(model: Any, columns: list[str], label: str) -> tuple[Any, pd.DataFrame]:
    train = customers()[columns]
    return model.fit(train, customers()[label]), rows_to_score(train)


@pytest.mark.parametrize("label", ["churn", "tier", "level", "flag", "grade"])
@pytest.mark.parametrize(
    "member", [None, DecisionTreeClassifier(max_depth=3), LogisticRegression(), ExtraTreeClassifier()]
)
def test_ada_boost_classifier(member: Any, label: str) -> None:
    model = AdaBoostClassifier(member, n_estimators=6, learning_rate=0.7, **SEED)
    assert_parity(*fitted(model, NUMBERS, label))


def test_ada_boost_of_a_perfect_member_has_one() -> None:
    frame = numbers()
    model = AdaBoostClassifier(DecisionTreeClassifier(), **SEED).fit(frame, three(frame))
    assert len(model.estimators_) == 1
    assert_parity(model, frame)


def test_ada_boost_of_one_class() -> None:
    frame = numbers()
    assert_parity(AdaBoostClassifier(**SEED).fit(frame, one(frame)), frame)


def test_ada_boost_classifier_adds_trees_as_one_forest() -> None:
    frame = numbers()
    program = to_program(AdaBoostClassifier(n_estimators=20, **SEED).fit(frame, three(frame)))
    (forest,) = [node.forest for node in program.nodes if isinstance(node, ir.Trees)]
    assert forest.n_trees == 20


@pytest.mark.parametrize("loss", ["linear", "square", "exponential"])
@pytest.mark.parametrize("member", [None, LinearRegression(), make_pipeline(StandardScaler(), Ridge())])
@pytest.mark.parametrize("n", [1, 2, 7, 30])
def test_ada_boost_regressor(member: Any, loss: str, n: int) -> None:
    model = AdaBoostRegressor(member, n_estimators=n, loss=loss, **SEED)
    assert_parity(*fitted(model, NUMBERS, "amount"), exact=member is None)


def test_members_of_equal_weight_have_a_plain_median() -> None:
    frame = numbers(columns=1)
    model = AdaBoostRegressor(DecisionTreeRegressor(max_depth=2), n_estimators=6, **SEED).fit(frame, target(frame))
    model.estimator_weights_[:] = 0.1
    assert_parity(model, frame, exact=True)


@pytest.mark.parametrize("make", [AdaBoostClassifier, AdaBoostRegressor])
def test_ada_boost_takes_nothing_missing(make: Any) -> None:
    frame = numbers()
    model = make(n_estimators=3, **SEED).fit(frame, two(frame))
    rows = frame.head(30).copy()
    rows.iloc[3, 1] = np.nan
    rows.iloc[5, 2] = np.inf
    assert_parity(model, rows)


def test_ada_boost_of_text_is_refused() -> None:
    codes = make_pipeline(ColumnTransformer([("codes", OneHotEncoder(), [0])]), Ridge())
    model = AdaBoostRegressor(codes, n_estimators=2, **SEED).fit(customers()[["contract"]], customers()["amount"])
    with pytest.raises(UnsupportedError, match="as text, which holds numbers"):
        to_program(model)


def test_members_without_weight_are_refused() -> None:
    frame = numbers()
    model = AdaBoostClassifier(n_estimators=2, **SEED).fit(frame, two(frame))
    model.estimator_weights_[:] = 0
    with pytest.raises(UnsupportedError, match="no weight"):
        to_program(model)


@pytest.mark.parametrize("label", ["churn", "tier", "level", "flag"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_features": 0.5},
        {"max_features": 2, "bootstrap_features": True, "max_samples": 5},
        {"bootstrap": False, "max_samples": 0.4},
    ],
    ids=str,
)
def test_bagged_trees_are_exact(options: dict[str, Any], label: str) -> None:
    model = BaggingClassifier(n_estimators=7, **options, **SEED)
    assert_parity(*fitted(model, [*NUMBERS_MISSING, "visits"], label), exact=True)


@pytest.mark.parametrize(
    "member",
    [
        LogisticRegression(),
        LinearSVC(),
        Perceptron(),
        make_pipeline(StandardScaler(), LogisticRegression()),
        RandomForestClassifier(3, max_depth=2, **SEED),
    ],
    ids=lambda member: type(member).__name__,
)
@pytest.mark.parametrize("label", ["churn", "tier"])
def test_bagged_members(member: Any, label: str) -> None:
    model = BaggingClassifier(member, n_estimators=5, max_features=0.7, **SEED)
    assert_parity(*fitted(model, [*NUMBERS, "senior"], label))


def test_a_member_that_saw_some_of_the_classes_only() -> None:
    member = make_pipeline(StandardScaler(), RandomForestClassifier(3, max_depth=2))
    model, rows = fitted(BaggingClassifier(member, n_estimators=8, max_samples=4, **SEED), NUMBERS, "tier")
    assert len({len(member.classes_) for member in model.estimators_}) > 1
    assert_parity(model, rows, exact=True)


def test_bagged_pipelines_read_text() -> None:
    codes = ColumnTransformer(
        [("codes", OneHotEncoder(handle_unknown="ignore"), [3]), ("numbers", SimpleImputer(), [0, 1, 2])]
    )
    member = make_pipeline(codes, StandardScaler(with_mean=False), LogisticRegression())
    assert_parity(*fitted(BaggingClassifier(member, n_estimators=3, **SEED), [*NUMBERS_MISSING, "city"], "tier"))


def test_bagging_leaves_rows_to_its_members() -> None:
    model, rows = fitted(BaggingClassifier(n_estimators=3, max_features=1, **SEED), NUMBERS_MISSING, "churn")
    program = assert_parity(model, rows, exact=True)
    assert all(check.missing for check in program.nodes if isinstance(check, ir.Check))


@pytest.mark.parametrize("labels", [["amount"], ["amount", "level"]], ids=len)
@pytest.mark.parametrize("member", [None, LinearRegression()])
def test_bagging_regressor(member: Any, labels: list[str]) -> None:
    train = customers()[NUMBERS]
    y = customers()[labels].to_numpy()
    model = BaggingRegressor(member, n_estimators=5, max_features=0.6, **SEED).fit(train, y.squeeze())
    assert_parity(model, rows_to_score(train), exact=member is None)


def test_members_with_other_classes_are_refused() -> None:
    model, _ = fitted(BaggingClassifier(LogisticRegression(), n_estimators=2, **SEED), NUMBERS, "churn")
    model.estimators_[0].classes_ = np.array(["a", "b"])
    with pytest.raises(UnsupportedError, match="which is no class of the whole"):
        to_program(model)
