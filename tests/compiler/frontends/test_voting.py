"""Voting and stacking: members of several kinds on the same columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import (
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Perceptron, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError
from tests.support.customers import EVERYTHING, NUMBERS, NUMBERS_MISSING, customers, rows_to_score
from tests.support.models import churn_pipeline

from .parity import assert_parity

SEED: dict[str, Any] = {"random_state": 0}


def fitted(model: Any, columns: list[str], label: str) -> tuple[Any, pd.DataFrame]:
    train = customers()[columns]
    return model.fit(train, customers()[label]), rows_to_score(train)


def voters() -> list[tuple[str, Any]]:
    trees = [(f"tree{depth}", DecisionTreeClassifier(max_depth=depth, **SEED)) for depth in (1, 2, 3)]
    return [("linear", LogisticRegression()), ("gone", "drop"), *trees, ("forest", RandomForestClassifier(3, **SEED))]


@pytest.mark.parametrize("label", ["churn", "tier", "level", "flag", "grade"])
@pytest.mark.parametrize("voting", ["hard", "soft"])
@pytest.mark.parametrize("weights", [None, [1, 7, 2, 2, 0.1, 3], [0.1, 9, 0.2, 0.3, 0, 0.6]], ids=str)
def test_voting_classifier(voting: str, weights: Any, label: str) -> None:
    assert_parity(*fitted(VotingClassifier(voters(), voting=voting, weights=weights), NUMBERS, label))


@pytest.mark.parametrize("label", ["churn", "tier"])
@pytest.mark.parametrize("voting", ["hard", "soft"])
def test_ties_of_trees_go_to_the_same_class(voting: str, label: str) -> None:
    model = VotingClassifier(voters()[2:], voting=voting)
    assert_parity(*fitted(model, NUMBERS_MISSING, label), exact=True)


@pytest.mark.parametrize("weights", [None, [2, 1, 0.5]], ids=str)
def test_voting_regressor(weights: Any) -> None:
    members = [
        ("a", LinearRegression()),
        ("b", RandomForestRegressor(3, **SEED)),
        ("c", DecisionTreeRegressor(max_depth=2)),
    ]
    assert_parity(*fitted(VotingRegressor(members, weights=weights), NUMBERS, "amount"))


@pytest.mark.parametrize(
    "model",
    [
        VotingClassifier(voters()),
        VotingClassifier(voters(), voting="soft"),
        StackingClassifier(voters(), cv=2),
        StackingClassifier(voters(), cv=2, passthrough=True),
    ],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.parametrize("label", ["churn", "tier"])
def test_as_a_step_they_give_what_their_members_answer(model: Any, label: str) -> None:
    assert_parity(*fitted(make_pipeline(model, StandardScaler(), LogisticRegression()), NUMBERS, label))


def test_regressors_as_steps() -> None:
    members = [("a", Ridge()), ("b", DecisionTreeRegressor(max_depth=2))]
    for model in (VotingRegressor(members), StackingRegressor(members, cv=2, passthrough=True)):
        assert_parity(*fitted(make_pipeline(model, Ridge()), NUMBERS, "amount"))


def test_members_are_pipelines_on_text() -> None:
    members = [("a", churn_pipeline(LogisticRegression())), ("b", churn_pipeline(RandomForestClassifier(3, **SEED)))]
    for model in (VotingClassifier(members, voting="soft"), StackingClassifier(members, cv=2)):
        program = assert_parity(*fitted(model, EVERYTHING, "tier"))
        assert [column.name for column in program.columns] == EVERYTHING


def test_a_member_that_takes_missing_values_makes_no_other_take_them() -> None:
    trees = [
        ("a", DecisionTreeClassifier(max_depth=2)),
        ("b", make_pipeline(StandardScaler(), DecisionTreeClassifier())),
    ]
    assert_parity(*fitted(VotingClassifier(trees, voting="soft"), NUMBERS_MISSING, "churn"), exact=True)
    train = customers()[NUMBERS]
    model = VotingClassifier([*trees, ("c", LogisticRegression())], voting="soft").fit(train, customers()["churn"])
    rows = rows_to_score(train)
    rows.loc[0, "tenure"] = np.nan
    assert_parity(model, rows)


@pytest.mark.parametrize("label", ["churn", "tier", "flag"])
@pytest.mark.parametrize("passthrough", [False, True])
@pytest.mark.parametrize("final", [None, RandomForestClassifier(3, max_depth=2, **SEED), LinearSVC()])
def test_stacking_classifier(final: Any, passthrough: bool, label: str) -> None:
    members = [*voters(), ("svc", LinearSVC()), ("perceptron", Perceptron())]
    model = StackingClassifier(members, final, cv=2, passthrough=passthrough)
    assert_parity(*fitted(model, NUMBERS, label))


@pytest.mark.parametrize("method", ["predict", "decision_function", "predict_proba"])
@pytest.mark.parametrize("label", ["churn", "tier"])
def test_stack_method(method: str, label: str) -> None:
    members = [("a", LogisticRegression()), ("b", make_pipeline(StandardScaler(), LogisticRegression(C=0.1)))]
    assert_parity(*fitted(StackingClassifier(members, cv=2, stack_method=method), NUMBERS, label))


def test_a_stack_of_models_that_were_fitted_before() -> None:
    train, y = customers()[NUMBERS], customers()["tier"]
    members = [
        ("a", LogisticRegression().fit(train, y)),
        ("b", FrozenEstimator(DecisionTreeClassifier(max_depth=2).fit(train, y))),
    ]
    assert_parity(*fitted(StackingClassifier(members, cv="prefit"), NUMBERS, "tier"))


@pytest.mark.parametrize("final", [None, DecisionTreeRegressor(max_depth=3)])
def test_stacking_regressor(final: Any) -> None:
    members = [("a", Ridge()), ("gone", "drop"), ("b", RandomForestRegressor(3, **SEED))]
    assert_parity(*fitted(StackingRegressor(members, final, cv=2), NUMBERS, "amount"))


def refusal(model: Any, label: str = "churn") -> str:
    model, _ = fitted(model, NUMBERS, label)
    with pytest.raises(UnsupportedError) as caught:
        to_program(model)
    return f"{caught.value.step}: {caught.value.reason}"


def test_what_is_refused() -> None:
    three = [("a", Perceptron()), ("b", LogisticRegression()), ("c", LinearSVC())]
    assert "negatively" in refusal(VotingClassifier(three, weights=[1, 1, -1]))
    folded = VotingClassifier(voters(), voting="soft", flatten_transform=False)
    model, _ = fitted(make_pipeline(StandardScaler(), folded), NUMBERS, "churn")
    model.steps.append(("last", LogisticRegression().fit(np.eye(2), [0, 1])))
    with pytest.raises(UnsupportedError, match=r"VotingClassifier\.transform"):
        to_program(model)


def test_a_stack_of_several_targets_is_refused() -> None:
    train = customers()[NUMBERS]
    y = np.column_stack([customers()["flag"], ~customers()["flag"]]).astype(int)
    members = [("a", RandomForestClassifier(2, max_depth=2)), ("b", RandomForestClassifier(2, max_depth=2))]
    model = StackingClassifier(members, RandomForestClassifier(2), cv=2).fit(train, y)
    with pytest.raises(UnsupportedError, match="more than one target"):
        to_program(model)


def test_messages_name_the_member() -> None:
    class Strange(LogisticRegression):  # type: ignore[misc]
        def predict_proba(self, X: Any) -> Any:
            return super().predict_proba(X) ** 2

    message = refusal(VotingClassifier([("a", LogisticRegression()), ("odd", Strange())]))
    assert message.startswith("odd: ")
    assert "Strange" in message
