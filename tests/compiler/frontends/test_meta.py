"""Wrappers around one estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - makes the next import possible
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, QuantileTransformer, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.tree import DecisionTreeClassifier

from pgscore.compiler import ir
from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError
from tests.support.customers import EVERYTHING, NUMBERS, NUMBERS_MISSING, customers, rows_to_score
from tests.support.ensemble_models import scaled
from tests.support.models import churn_pipeline

from .parity import assert_parity


def fit(model: Any, columns: list[str], targets: Any) -> tuple[Any, Any]:
    train = customers()[columns]
    return model.fit(train, customers()[targets] if isinstance(targets, str) else targets), rows_to_score(train)


@pytest.mark.parametrize(
    "make",
    [
        GridSearchCV,
        lambda *args, **more: RandomizedSearchCV(*args, n_iter=1, random_state=0, **more),
        lambda *args, **more: HalvingGridSearchCV(*args, random_state=0, **more),
        lambda *args, **more: HalvingRandomSearchCV(*args, n_candidates=2, random_state=0, **more),
    ],
)
def test_a_search_is_its_best_estimator(make: Any) -> None:
    model = make(churn_pipeline(LogisticRegression(max_iter=500)), {"model__C": [0.1, 1.0]}, cv=2)
    program = assert_parity(*fit(model, EVERYTHING, "churn"))
    assert [column.name for column in program.columns] == EVERYTHING


def test_a_search_that_was_not_refitted_is_refused() -> None:
    model, _ = fit(GridSearchCV(LogisticRegression(), {"C": [1.0]}, refit=False, cv=2), NUMBERS, "churn")
    with pytest.raises(UnsupportedError, match="refit=False"):
        to_program(model)


def test_wrapped_transformers_transform() -> None:
    frozen = FrozenEstimator(StandardScaler().fit(customers()[NUMBERS]))
    assert_parity(*fit(frozen, NUMBERS, "amount"), exact=True)
    assert_parity(*fit(make_pipeline(frozen, Ridge()), NUMBERS, "amount"))
    searched = GridSearchCV(make_pipeline(StandardScaler(), PCA()), {"pca__n_components": [1, 2]}, cv=2)
    assert_parity(*fit(searched, NUMBERS, "amount"), atol=1e-14)


def test_a_frozen_encoder_gives_a_sparse_matrix() -> None:
    """On which a scaler multiplies by the reciprocal."""
    codes = ColumnTransformer([("codes", OneHotEncoder(), ["contract"])], remainder="passthrough", sparse_threshold=1.0)
    columns = [*NUMBERS, "contract"]
    frozen = FrozenEstimator(codes.fit(customers()[columns]))
    model = make_pipeline(frozen, StandardScaler(with_mean=False), DecisionTreeClassifier(max_depth=3))
    assert_parity(*fit(model, columns, "tier"), exact=True)


@pytest.mark.parametrize("wrap", [FrozenEstimator, lambda m: GridSearchCV(m, {"max_depth": [3]}, cv=2)])
def test_a_wrapped_tree_takes_nothing_missing_in_a_sparse_matrix(wrap: Any) -> None:
    codes = ColumnTransformer([("codes", OneHotEncoder(), ["contract"])], remainder="passthrough", sparse_threshold=1.0)
    columns = [*NUMBERS, "contract"]
    tree = DecisionTreeClassifier(max_depth=3)
    if wrap is FrozenEstimator:
        tree.fit(codes.fit_transform(customers()[columns]), customers()["tier"])
    model, rows = fit(make_pipeline(codes, wrap(tree)), columns, "tier")
    rows.loc[1, "tenure"] = np.nan
    assert_parity(model, rows, exact=True)


def test_self_training() -> None:
    known = np.where(np.arange(90) % 3 == 0, -1, customers()["flag"].astype(int))
    assert_parity(*fit(SelfTrainingClassifier(LogisticRegression()), NUMBERS, known))
    assert_parity(*fit(SelfTrainingClassifier(DecisionTreeClassifier(max_depth=3)), NUMBERS_MISSING, known), exact=True)


@pytest.mark.parametrize(("label", "positive"), [("churn", None), ("churn", "yes"), ("churn", "no"), ("flag", False)])
@pytest.mark.parametrize("response", ["auto", "predict_proba", "decision_function"])
@pytest.mark.parametrize("threshold", ["auto", 0.3, 0.8, -2.0])
def test_fixed_threshold(threshold: Any, response: str, label: str, positive: Any) -> None:
    model = FixedThresholdClassifier(
        scaled(LogisticRegression()), threshold=threshold, pos_label=positive, response_method=response
    )
    assert_parity(*fit(model, NUMBERS, label))


def test_scores_on_the_threshold_are_positive() -> None:
    member = DecisionTreeClassifier(max_depth=2)
    fitted, rows = fit(member, NUMBERS, "churn")
    scores = np.unique(
        fitted.predict_proba(rows[np.isfinite(rows).all(axis=1) & (rows.abs() < 1e30).all(axis=1)])[:, 1]
    )
    for threshold in scores:
        for positive in ("yes", "no"):
            model = FixedThresholdClassifier(member, threshold=float(threshold), pos_label=positive)
            assert_parity(*fit(model, NUMBERS, "churn"), exact=True)


@pytest.mark.parametrize("positive", ["yes", "no"])
@pytest.mark.parametrize("response", ["auto", "decision_function"])
def test_tuned_threshold(response: str, positive: str) -> None:
    model = TunedThresholdClassifierCV(
        LogisticRegression(), scoring=make_scorer(f1_score, pos_label=positive), response_method=response, cv=2
    )
    assert_parity(*fit(model, NUMBERS, "churn"))


@pytest.mark.parametrize(
    "model",
    [
        TransformedTargetRegressor(),
        TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1),
        TransformedTargetRegressor(Ridge(), transformer=MinMaxScaler()),
        TransformedTargetRegressor(scaled(LinearRegression()), transformer=StandardScaler()),
        TransformedTargetRegressor(LinearRegression(), transformer=QuantileTransformer(n_quantiles=10)),
    ],
    ids=lambda model: type(model.transformer).__name__ if model.transformer else str(model.func),
)
def test_transformed_target(model: Any) -> None:
    assert_parity(*fit(model, NUMBERS, customers()["amount"].abs().to_numpy()), atol=1e-13)


def test_transformed_targets() -> None:
    model = TransformedTargetRegressor(Ridge(), transformer=StandardScaler())
    program = assert_parity(*fit(model, NUMBERS, customers()[["amount", "level"]].to_numpy()))
    assert len(program.outputs[0].columns) == 2


def test_a_target_transformed_by_python_is_refused() -> None:
    model = TransformedTargetRegressor(Ridge(), func=lambda y: y + 1, inverse_func=lambda y: y - 1)
    with pytest.raises(UnsupportedError) as caught:
        to_program(fit(model, NUMBERS, "amount")[0])
    assert caught.value.step == "transformer"


def test_a_pipeline_ends_in_a_wrapper() -> None:
    model = make_pipeline(StandardScaler(), GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=2))
    assert assert_parity(*fit(model, NUMBERS, "churn")).kind is ir.ModelKind.BINARY_CLASSIFIER
