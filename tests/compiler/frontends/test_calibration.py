"""CalibratedClassifierCV: three curves, one member or one for each fold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError
from tests.support.customers import EVERYTHING, NUMBERS, NUMBERS_MISSING, customers, rows_to_score
from tests.support.models import churn_pipeline

from .parity import assert_parity

METHODS = ["sigmoid", "isotonic", "temperature"]
MEMBERS = [
    LinearSVC(),
    make_pipeline(StandardScaler(), LogisticRegression()),
    RandomForestClassifier(3, max_depth=3, random_state=0),
]


def fit(model: Any, columns: list[str], label: str) -> tuple[Any, Any]:
    train = customers()[columns]
    return model.fit(train, customers()[label]), rows_to_score(train)


# Not "level" with "temperature": scikit-learn 1.9 takes such labels for indices, and reads memory beyond its arrays.
WAYS = [(method, label) for method in METHODS for label in ("churn", "tier", "level", "flag")]
WAYS.remove(("temperature", "level"))


@pytest.mark.parametrize(("method", "label"), WAYS)
@pytest.mark.parametrize("member", MEMBERS, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("ensemble", [True, False])
def test_probabilities(ensemble: bool, label: str, member: Any, method: str) -> None:
    model = CalibratedClassifierCV(member, method=method, ensemble=ensemble, cv=3)
    # At a knot, a score that is off by a rounding leaves the 0 on one side of it.
    assert_parity(*fit(model, NUMBERS, label), atol=1e-14)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("label", ["churn", "tier"])
def test_a_frozen_pipeline(label: str, method: str) -> None:
    train = customers()[EVERYTHING]
    inside = FrozenEstimator(churn_pipeline(LogisticRegression(max_iter=500)).fit(train, customers()[label]))
    program = assert_parity(*fit(CalibratedClassifierCV(inside, method=method), EVERYTHING, label), atol=1e-14)
    assert [column.name for column in program.columns] == EVERYTHING


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_members_decide_about_missing_values(method: str) -> None:
    model = CalibratedClassifierCV(DecisionTreeClassifier(max_depth=3), method=method, cv=3)
    assert_parity(*fit(model, NUMBERS_MISSING, "tier"))


def test_a_member_without_scores_is_refused() -> None:
    model, _ = fit(CalibratedClassifierCV(LogisticRegression(), cv=2), NUMBERS, "churn")

    class Silent(LogisticRegression):  # type: ignore[misc]
        pass

    model.calibrated_classifiers_[0].estimator = Silent()
    with pytest.raises(UnsupportedError) as caught:
        to_program(model)
    assert caught.value.step == "estimator"


def test_a_member_that_has_not_seen_a_class_is_refused_by_temperature() -> None:
    target = np.array(["a", "b"] * 40 + ["c"] * 10)
    folds = [(np.arange(80), np.arange(60, 90)), (np.arange(90), np.arange(30, 90))]
    model = CalibratedClassifierCV(LogisticRegression(max_iter=500), method="temperature", cv=folds)
    model.fit(customers()[NUMBERS], target)
    with pytest.raises(UnsupportedError, match="every class"):
        to_program(model)
