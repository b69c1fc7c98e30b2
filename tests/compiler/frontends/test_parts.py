"""The parts of composites: for names of columns, for descriptions, for `pgscore check`."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier, StackingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import StandardScaler

from pgscore.compiler.frontends import compose
from pgscore.compiler.load import describe
from tests.support.customers import NUMBERS, customers
from tests.support.ensemble_models import ENSEMBLE_EXAMPLES, scaled

from .parity import assert_parity

WRAPPERS = [
    lambda member: GridSearchCV(member, {"model__C": [1.0]}, cv=2),
    lambda member: CalibratedClassifierCV(member, cv=2),
    FixedThresholdClassifier,
    lambda member: VotingClassifier([("a", member), ("b", member)]),
    lambda member: StackingClassifier([("a", member)], cv=2),
    OneVsRestClassifier,
    lambda member: BaggingClassifier(member, n_estimators=2),
    lambda member: Pipeline([("nothing", None), ("wrapped", GridSearchCV(member, {"model__C": [1.0]}, cv=2))]),
]


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_names_come_from_a_step_that_knows_them(wrap: Any) -> None:
    """The first step of the member is "passthrough", and scikit-learn asks only that one."""
    train = customers()[NUMBERS]
    model = wrap(scaled(LogisticRegression())).fit(train, customers()["churn"])
    assert compose.input_names(model) == NUMBERS
    assert_parity(model, train)
    unnamed = wrap(scaled(LogisticRegression())).fit(train.to_numpy(), customers()["churn"])
    assert compose.input_names(unnamed) == ["x0", "x1"]


def test_names_come_from_any_member() -> None:
    train = customers()[NUMBERS]
    members = [
        ("blind", Pipeline([("none", "passthrough"), ("model", LogisticRegression())])),
        ("tree", RandomForestClassifier(2)),
    ]
    model = VotingClassifier(members, voting="soft").fit(train, customers()["churn"])
    assert compose.input_names(model) == NUMBERS


def test_names_go_through_frozen_wrappers() -> None:
    inside = GridSearchCV(scaled(LogisticRegression()), {"model__C": [1.0]}, cv=2)
    model = FrozenEstimator(inside.fit(customers()[NUMBERS], customers()["churn"]))
    assert compose.input_names(model) == NUMBERS
    assert compose.input_names(FrozenEstimator(FrozenEstimator(model))) == NUMBERS


@pytest.mark.parametrize("cls", ENSEMBLE_EXAMPLES)
def test_every_composite_has_parts_and_says_so(cls: type) -> None:
    model = next(iter(ENSEMBLE_EXAMPLES[cls].values()))().estimator
    found = compose.parts(model)
    if cls.__name__ in {"IsolationForest", "RandomTreesEmbedding"}:
        assert found is None
        return
    assert found
    assert describe(model).startswith(f"{type(model).__name__}({describe(found[0][1])}")
    assert compose.parts(clone(model) if cls is not FrozenEstimator else cls(Pipeline([]))) is not None


def test_names_of_parts() -> None:
    train, y = customers()[NUMBERS], customers()["churn"]
    stack = StackingClassifier([("one", LogisticRegression()), ("gone", "drop")], cv=2).fit(train, y)
    assert [name for name, _ in compose.parts(stack) or []] == ["one", "final_estimator"]
    union = FeatureUnion([("a", StandardScaler()), ("b", "drop")]).fit(train)
    assert [name for name, _ in compose.parts(union) or []] == ["a", "b"]
    columns = ColumnTransformer([("a", StandardScaler(), NUMBERS)]).fit(train)
    assert [name for name, _ in compose.parts(columns) or []] == ["a"]


def test_descriptions() -> None:
    model = GridSearchCV(scaled(LogisticRegression()), {"model__C": [1.0]}, cv=2)
    assert describe(model) == "GridSearchCV"
    model.fit(customers()[NUMBERS], customers()["churn"])
    assert describe(model) == "GridSearchCV(Pipeline(passthrough, StandardScaler, LogisticRegression))"
