"""Feature selectors: which columns stay, and which rows each selector refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import (
    RFE,
    RFECV,
    GenericUnivariateSelect,
    SelectFdr,
    SelectFpr,
    SelectFromModel,
    SelectFwe,
    SelectKBest,
    SelectPercentile,
    SequentialFeatureSelector,
    VarianceThreshold,
    chi2,
    mutual_info_classif,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Lasso, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from pgscore.compiler import ir
from pgscore.compiler.frontends import to_program
from pgscore.compiler.frontends.selection import FRONTENDS
from pgscore.errors import UnsupportedError

from ...support.customers import NUMBERS_MISSING, customers, rows_to_score
from ...support.example import readable
from .parity import assert_parity

THREE = ["tenure", "monthly", "level"]
FOREST = RandomForestClassifier(3, max_depth=3, random_state=0)
SELECTORS = [
    VarianceThreshold(),
    VarianceThreshold(600.0),
    SelectKBest(k=1),
    SelectKBest(k="all"),
    SelectKBest(mutual_info_classif, k=2),
    SelectPercentile(percentile=40),
    SelectFpr(alpha=1e-6),
    SelectFdr(),
    SelectFwe(),
    GenericUnivariateSelect(mode="percentile", param=70),
    SelectFromModel(LogisticRegression(), threshold="0.5*mean"),
    SelectFromModel(FOREST, max_features=2, threshold=-np.inf),
    SelectFromModel(Lasso(0.1)),
    SequentialFeatureSelector(LogisticRegression(), n_features_to_select=2, cv=2),
    SequentialFeatureSelector(FOREST, direction="backward", n_features_to_select=1, cv=2),
]


def _target(model: Any) -> Any:
    regresses = isinstance(getattr(model, "estimator", None), (Lasso, Ridge, DecisionTreeRegressor))
    return customers()["amount" if regresses else "churn"].to_numpy()


def test_each_estimator_is_tried() -> None:
    assert {type(model) for model in SELECTORS} | {RFE, RFECV} == set(FRONTENDS)


@pytest.mark.parametrize("model", SELECTORS, ids=readable)
def test_selectors(model: Any) -> None:
    """Infinite and missing values pass exactly where the selector lets them."""
    train = customers()[THREE]
    assert_parity(clone(model).fit(train, _target(model)), rows_to_score(train, 20), exact=True)


@pytest.mark.parametrize("model", SELECTORS, ids=readable)
def test_selectors_trained_on_arrays(model: Any) -> None:
    train = customers()[THREE]
    fitted = clone(model).fit(train.to_numpy(), _target(model))
    assert_parity(fitted, rows_to_score(train, 20), exact=True)


@pytest.mark.parametrize("model", SELECTORS, ids=readable)
def test_a_data_frame_that_stays_one_is_not_checked(model: Any) -> None:
    train = customers()[THREE]
    fitted = clone(model).set_output(transform="pandas").fit(train, _target(model))
    assert_parity(fitted, rows_to_score(train, 20), exact=True)


@pytest.mark.parametrize("model", [VarianceThreshold(5.0), SelectFromModel(FOREST)], ids=readable)
def test_missing_values_pass(model: Any) -> None:
    train = customers()[[*NUMBERS_MISSING, "visits"]]
    assert_parity(clone(model).fit(train, _target(model)), rows_to_score(train, 40), exact=True)
    steps = [clone(model), SimpleImputer(), StandardScaler(), LogisticRegression()]
    assert_parity(make_pipeline(*steps).fit(train, _target(model)), rows_to_score(train, 40))


def test_sparse_rows() -> None:
    train = customers()[["contract", "city"]]
    for model in (SelectKBest(chi2, k=4), VarianceThreshold(0.05), SelectFromModel(LogisticRegression())):
        fitted = make_pipeline(OneHotEncoder(handle_unknown="ignore"), model).fit(train, customers()["churn"])
        assert_parity(fitted, rows_to_score(train, 40), exact=True)


def test_no_column_left_is_refused() -> None:
    model = SelectFpr(alpha=1e-300).fit(customers()[THREE[:2]], customers()["flag"])
    with pytest.raises(UnsupportedError, match="no columns"):
        to_program(model)


RECURSIVE = [
    RFE(LogisticRegression(), n_features_to_select=1),
    RFE(LogisticRegression(), n_features_to_select=2, step=0.5),
    RFE(Ridge(), n_features_to_select=2),
    RFE(DecisionTreeClassifier(max_depth=3, random_state=0), n_features_to_select=2),
    RFECV(LogisticRegression(), cv=2),
    RFECV(DecisionTreeRegressor(max_depth=3, random_state=0), cv=2, min_features_to_select=2),
]


@pytest.mark.parametrize("model", RECURSIVE, ids=readable)
@pytest.mark.parametrize("target", ["churn", "tier"])
def test_recursive_elimination_predicts(model: Any, target: str) -> None:
    train = customers()[THREE]
    y = _target(model) if isinstance(model.estimator, (Ridge, DecisionTreeRegressor)) else customers()[target]
    program = assert_parity(clone(model).fit(train, y), rows_to_score(train, 40))
    assert program.kind is not ir.ModelKind.TRANSFORMER
    assert_parity(make_pipeline(StandardScaler(), clone(model)).fit(train, y), rows_to_score(train, 40))


@pytest.mark.parametrize("model", RECURSIVE, ids=readable)
def test_recursive_elimination_in_the_middle_only_selects(model: Any) -> None:
    """The rows that its estimator would refuse pass on: a tree takes no number beyond float32, a scaler does."""
    train = customers()[THREE]
    fitted = make_pipeline(clone(model), StandardScaler()).fit(train, _target(model))
    program = assert_parity(fitted, rows_to_score(train, 40), exact=True)
    assert {type(node) for node in program.nodes} <= {ir.Input, ir.Check, ir.Standardize}


def test_recursive_elimination_around_what_cannot_be_compiled() -> None:
    """The estimator is not needed for the selection."""

    class Unknown(LinearSVC):  # type: ignore[misc]
        pass

    train = pd.DataFrame(StandardScaler().fit_transform(customers()[THREE]), columns=THREE)
    model = RFE(Unknown(), n_features_to_select=2)
    assert_parity(make_pipeline(model, StandardScaler()).fit(train, customers()["churn"]), train)
    with pytest.raises(UnsupportedError, match="Unknown has no exact form"):
        to_program(model)
