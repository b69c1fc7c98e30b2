"""Classifiers of several classes made of binary ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from pgscore.compiler import ir
from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError
from tests.support.customers import EVERYTHING, NUMBERS, NUMBERS_MISSING, customers, rows_to_score
from tests.support.ensemble_models import flags
from tests.support.models import churn_pipeline

from .parity import assert_parity

MEMBERS = [
    LogisticRegression(),
    LinearSVC(),
    RandomForestClassifier(3, max_depth=2, random_state=0),
    make_pipeline(StandardScaler(), LogisticRegression()),
]


def fit(model: Any, columns: list[str], targets: Any) -> tuple[Any, Any]:
    train = customers()[columns]
    return model.fit(train, customers()[targets] if isinstance(targets, str) else targets), rows_to_score(train)


@pytest.mark.parametrize("member", MEMBERS, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("label", ["churn", "tier", "flag", "level"])
@pytest.mark.parametrize("make", [OneVsRestClassifier, OneVsOneClassifier, OutputCodeClassifier])
def test_labels_and_scores(make: Any, label: str, member: Any) -> None:
    options = {"random_state": 0, "code_size": 2} if make is OutputCodeClassifier else {}
    assert_parity(*fit(make(member, **options), NUMBERS, label), atol=1e-15)


@pytest.mark.parametrize("make", [OneVsRestClassifier, OneVsOneClassifier])
def test_ten_classes(make: Any) -> None:
    rank = customers()["amount"].rank(method="first").astype(int)
    assert_parity(*fit(make(DecisionTreeClassifier(max_depth=3)), NUMBERS, (rank % 10).to_numpy()))


@pytest.mark.parametrize("seed", range(4))
def test_two_classes_of_one_code_are_the_first_one(seed: int) -> None:
    model = OutputCodeClassifier(DecisionTreeClassifier(max_depth=2), code_size=1, random_state=seed)
    assert_parity(*fit(model, NUMBERS, "tier"))


@pytest.mark.parametrize("member", MEMBERS, ids=lambda m: type(m).__name__)
def test_several_labels_for_a_row(member: Any) -> None:
    program = assert_parity(*fit(OneVsRestClassifier(member), NUMBERS, flags()))
    assert program.kind is ir.ModelKind.MULTI_OUTPUT_CLASSIFIER
    assert program.outputs[0].targets == ((0, 1), (0, 1))


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("constant", [0, 1])
def test_a_class_that_is_in_every_row_or_in_none(place: int, constant: int) -> None:
    targets = np.insert(flags(), place, constant, axis=1)
    assert_parity(*fit(OneVsRestClassifier(LogisticRegression()), NUMBERS, targets))


@pytest.mark.parametrize("label", ["churn", "tier"])
def test_members_may_be_regressors(label: str) -> None:
    assert_parity(*fit(OneVsRestClassifier(LinearRegression()), NUMBERS, label))


@pytest.mark.parametrize("make", [OneVsRestClassifier, OutputCodeClassifier])
def test_members_read_text_and_missing_values(make: Any) -> None:
    program = assert_parity(*fit(make(churn_pipeline(LogisticRegression())), EVERYTHING, "tier"))
    assert [column.name for column in program.columns] == EVERYTHING
    assert_parity(*fit(make(DecisionTreeClassifier(max_depth=2)), NUMBERS_MISSING, "tier"))


def test_one_vs_one_leaves_missing_values_to_its_members() -> None:
    assert_parity(*fit(OneVsOneClassifier(DecisionTreeClassifier(max_depth=2)), NUMBERS_MISSING, "tier"), exact=True)


def test_what_is_refused() -> None:
    model, _ = fit(OneVsOneClassifier(LinearRegression()), NUMBERS, "tier")
    with pytest.raises(UnsupportedError, match="are regressors"):
        to_program(model)
    distances = customers()[NUMBERS].to_numpy() @ customers()[NUMBERS].to_numpy().T
    precomputed = OneVsOneClassifier(SVC(kernel="precomputed")).fit(distances, customers()["tier"])
    with pytest.raises(UnsupportedError, match="matrix of distances"):
        to_program(precomputed)
