"""Several targets, one member for each, side by side and in chains."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor, RegressorChain
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from pgscore.compiler import ir
from pgscore.compiler.backends.numpy import evaluate
from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError
from tests.support.customers import EVERYTHING, NUMBERS, NUMBERS_MISSING, customers, rows_to_score
from tests.support.ensemble_models import flags
from tests.support.models import churn_pipeline

from .parity import assert_parity

FOREST = RandomForestClassifier(3, max_depth=2, random_state=0)
NUMBERS_TO_PREDICT = customers()[["amount", "level", "grade"]].to_numpy()


def fit(model: Any, columns: list[str], targets: Any) -> tuple[Any, Any]:
    train = customers()[columns]
    return model.fit(train, targets), rows_to_score(train)


@pytest.mark.parametrize(
    "member", [Ridge(), DecisionTreeRegressor(max_depth=3), make_pipeline(StandardScaler(), Ridge())]
)
def test_multi_output_regressor(member: Any) -> None:
    assert_parity(*fit(MultiOutputRegressor(member), NUMBERS, NUMBERS_TO_PREDICT))


def test_members_decide_about_missing_values() -> None:
    member = HistGradientBoostingRegressor(max_iter=3, min_samples_leaf=5)
    assert_parity(*fit(MultiOutputRegressor(member), NUMBERS_MISSING, NUMBERS_TO_PREDICT))


@pytest.mark.parametrize("member", [LogisticRegression(), FOREST, LinearSVC()], ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("names", [["churn", "tier"], ["flag"], ["level", "grade"]], ids=str)
def test_multi_output_classifier(member: Any, names: list[str]) -> None:
    program = assert_parity(*fit(MultiOutputClassifier(member), NUMBERS, customers()[names].to_numpy()))
    assert program.kind is ir.ModelKind.MULTI_OUTPUT_CLASSIFIER


def test_pipelines_on_text_for_several_targets() -> None:
    model = MultiOutputClassifier(churn_pipeline(LogisticRegression()))
    program = assert_parity(*fit(model, EVERYTHING, customers()[["churn", "tier"]].to_numpy()))
    assert [column.name for column in program.columns] == EVERYTHING


@pytest.mark.parametrize("order", [None, [2, 0, 1], (1, 2, 0), "random"], ids=str)
@pytest.mark.parametrize("member", [Ridge(), DecisionTreeRegressor(max_depth=3)])
def test_regressor_chain(member: Any, order: Any) -> None:
    model = RegressorChain(member, order=order, random_state=0)
    assert_parity(*fit(model, NUMBERS, NUMBERS_TO_PREDICT))


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
@pytest.mark.parametrize("order", [None, [1, 0]], ids=str)
@pytest.mark.parametrize("cv", [None, 2])
def test_classifier_chain(method: str, order: Any, cv: int | None) -> None:
    model = ClassifierChain(LogisticRegression(), order=order, cv=cv, chain_method=method)
    program = assert_parity(*fit(model, NUMBERS, flags()))
    assert program.outputs[0].targets == ((0.0, 1.0), (0.0, 1.0))


@pytest.mark.parametrize("member", [FOREST, LinearSVC()], ids=lambda m: type(m).__name__)
def test_chains_of_members_with_one_kind_of_score(member: Any) -> None:
    assert_parity(*fit(ClassifierChain(member), NUMBERS, flags() * 7 - 2))


def test_a_chain_takes_nothing_missing() -> None:
    model, rows = fit(ClassifierChain(DecisionTreeClassifier(max_depth=2)), NUMBERS, flags())
    rows.loc[1, "tenure"] = np.nan
    assert_parity(model, rows, exact=True)


def test_a_chain_of_three_classes_has_labels_only() -> None:
    targets = np.column_stack([customers()["level"], customers()["flag"]]).astype(int)
    model, rows = fit(ClassifierChain(LogisticRegression(max_iter=500)), NUMBERS, targets)
    program = to_program(model)
    (output,) = program.outputs
    rows = rows.head(25)
    indices = evaluate(program, {name: rows[name].to_numpy() for name in NUMBERS})[ir.Method.PREDICT].astype(int)
    got = [[labels[i] for labels, i in zip(output.targets or (), row, strict=True)] for row in indices]
    assert got == model.predict(rows).tolist()


def test_what_is_refused() -> None:
    model, _ = fit(ClassifierChain(LogisticRegression(), chain_method="predict_log_proba"), NUMBERS, flags())
    with pytest.raises(UnsupportedError, match="predict_log_proba"):
        to_program(model)
