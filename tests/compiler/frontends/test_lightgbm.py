"""LightGBM against its own predict: missing values, categories, objectives, kinds of boosting, refusals."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from pgscore.compiler import ir
from pgscore.compiler.frontends import to_program
from pgscore.compiler.native import LightGBMModel
from pgscore.errors import UnsupportedError

from .boosting_data import COMPLETE, FLAG, LEVEL, POSITIVE, TIER, X, Y, hard_rows, mixed, of_mixed
from .parity import assert_parity

FEW: dict[str, Any] = {"n_estimators": 6, "num_leaves": 9, "min_child_samples": 5, "verbose": -1, "n_jobs": 1}
BY_CATEGORY: dict[str, Any] = {**FEW, "min_data_per_group": 2, "cat_smooth": 1, "cat_l2": 0.1}


def regressor(**options: Any) -> Any:
    return lightgbm.LGBMRegressor(**{**FEW, **options})


def classifier(**options: Any) -> Any:
    return lightgbm.LGBMClassifier(**{**FEW, **options})


@pytest.mark.parametrize("train", [X, COMPLETE], ids=["gaps", "complete"])
@pytest.mark.parametrize(
    "options", [{}, {"zero_as_missing": True}, {"use_missing": False}], ids=["default", "zero", "none"]
)
def test_missing_values_and_zero(train: pd.DataFrame, options: dict[str, Any]) -> None:
    assert_parity(regressor(**options).fit(train, Y), hard_rows(), exact=True)


@pytest.mark.parametrize(
    "options",
    [
        *({"objective": name} for name in ("l1", "huber", "fair", "quantile", "mape")),
        *({"boosting_type": "dart"}, {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}),
        *({"boosting_type": "goss"}, {"extra_trees": True}, {"reg_sqrt": True}, {"boost_from_average": False}),
        {"monotone_constraints": [1, 0, -1, 0]},
    ],
    ids=str,
)
def test_sums_are_bit_equal(options: dict[str, Any]) -> None:
    assert_parity(regressor(**options).fit(X, POSITIVE), hard_rows(), exact=True)


@pytest.mark.parametrize("objective", ["poisson", "gamma", "tweedie", "cross_entropy", "cross_entropy_lambda"])
def test_objectives_that_change_the_answer(objective: str) -> None:
    target = POSITIVE / (POSITIVE.max() + 1)
    assert_parity(regressor(objective=objective).fit(X, target), hard_rows())


@pytest.mark.parametrize(
    ("options", "target"),
    [
        ({}, TIER),
        ({}, FLAG),
        ({}, np.where(FLAG, "yes", "no")),
        ({}, LEVEL * 3 - 1),
        ({"sigmoid": 2.5}, FLAG),
        ({"objective": "multiclassova"}, TIER),
        ({"objective": "cross_entropy"}, FLAG.astype(int)),
        ({"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}, TIER),
        ({"is_unbalance": True}, LEVEL == 0),
        ({}, np.arange(len(X)) % 10),
    ],
)
def test_classes(options: dict[str, Any], target: Any) -> None:
    program = assert_parity(classifier(**options).fit(X, target), hard_rows())
    assert {o.method for o in program.outputs} == set(ir.Method) - {ir.Method.TRANSFORM, ir.Method.DISTANCE}


def test_ranking_scores() -> None:
    model = lightgbm.LGBMRanker(**FEW).fit(X, LEVEL, group=[100, 100, 100])
    assert_parity(model, hard_rows(), exact=True)


def test_the_best_iteration() -> None:
    stop = lightgbm.early_stopping(3, verbose=False)
    model = regressor(n_estimators=200, learning_rate=0.7)
    model.fit(X[:200], Y[:200], eval_set=[(X[200:], Y[200:])], callbacks=[stop])
    assert 0 < model.best_iteration_ < 200
    program = assert_parity(model, hard_rows(), exact=True)
    forests = [node.forest for node in program.nodes if isinstance(node, ir.Trees)]
    assert forests[0].n_trees == model.best_iteration_


def test_a_booster_has_its_own_best_iteration() -> None:
    booster = regressor().fit(X, Y).booster_
    booster.best_iteration = 2
    program = assert_parity(LightGBMModel(booster), hard_rows(), exact=True)
    assert sum(node.forest.n_trees for node in program.nodes if isinstance(node, ir.Trees)) == 2


@pytest.mark.parametrize("target", [Y, TIER], ids=["number", "classes"])
def test_boosters(target: Any) -> None:
    fitted = (regressor() if target is Y else classifier()).fit(X, target)
    assert_parity(LightGBMModel(fitted.booster_), hard_rows())


def test_arrays_have_no_names() -> None:
    program = assert_parity(regressor().fit(X.to_numpy(), Y), hard_rows(), exact=True)
    assert [column.name for column in program.columns] == ["x0", "x1", "x2", "x3"]


def test_a_constant_target_is_one_leaf() -> None:
    assert_parity(regressor().fit(X, np.ones(len(X))), hard_rows(), exact=True)


@pytest.mark.parametrize("one_hot", [1, 9], ids=["sets", "one-hot"])
@pytest.mark.parametrize("seed", range(3))
def test_categories_of_pandas(seed: int, one_hot: int) -> None:
    """Unseen, missing and reordered ones; text and whole numbers."""
    train = mixed(seed)
    model = lightgbm.LGBMRegressor(**BY_CATEGORY, max_cat_to_onehot=one_hot).fit(train, of_mixed(train))
    rows = train.head(40).copy()
    rows["text"] = pd.Categorical(
        [*rows["text"][:36], "new", "", None, "it's"], categories=["new", "", "it's", "e", "b"]
    )
    rows["whole"] = pd.Categorical([*rows["whole"][:36], 7, 8, None, 35], categories=[35, 8, 7])
    program = assert_parity(model, rows, exact=True)
    assert {c.name: c.categories for c in program.columns}["text"] == ("d", "it's", "b", "never", "c\\", "e")


def test_a_category_column_that_decides_nothing() -> None:
    """The model does not answer without it."""
    train = mixed()
    train["text"] = pd.Categorical(["same"] * len(train))
    model = lightgbm.LGBMRegressor(**BY_CATEGORY).fit(train, train["a"])
    program = assert_parity(model, train.head(20), exact=True)
    assert "text" in {column.name for column in program.columns}


def test_categories_by_number() -> None:
    """Fractions are cut off; negative numbers, numbers beyond the integers and missing ones belong to no category."""
    train = pd.DataFrame({"a": X["a"], "k": np.random.default_rng(3).integers(0, 40, len(X)).astype(float)})
    target = np.sin(train["k"] * 3) + X["a"].fillna(0)
    model = lightgbm.LGBMRegressor(**BY_CATEGORY, max_cat_to_onehot=1).fit(
        train.to_numpy(), target, categorical_feature=[1]
    )
    values = [0.0, 0.5, 1.9, 3, 39, 40, -0.5, -1, -3, 1e9, 3e9, 1e300, np.nan, np.inf, -np.inf, -0.0, 31.99, 32]
    rows = pd.DataFrame({"a": 0.25, "k": values})
    assert_parity(model, pd.concat([train.head(60), rows], ignore_index=True), exact=True)


def test_in_a_pipeline_with_sparse_columns() -> None:
    frame = X.assign(kind=np.where(LEVEL == 1, "x", "y"))
    encode = ColumnTransformer([("kind", OneHotEncoder(), ["kind"])], remainder="passthrough", sparse_threshold=1)
    model = make_pipeline(encode, regressor()).fit(frame, Y)
    rows = hard_rows().assign(kind="x")
    rows["kind"] = rows["kind"].astype(object)
    assert_parity(model, rows, exact=True)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (regressor(linear_tree=True).fit(COMPLETE, Y), "linear_tree"),
        (classifier(pred_early_stop=True).fit(X, FLAG), "pred_early_stop changes how it predicts"),
        (
            classifier(objective=lambda y, p: (p - y, np.ones(len(y)))).fit(X, FLAG),
            "its objective is a Python function",
        ),
        (classifier().fit(X, np.ones(len(X))), "it knows one class only"),
    ],
    ids=["linear", "early", "custom", "one-class"],
)
def test_refused(model: Any, reason: str) -> None:
    with pytest.raises(UnsupportedError, match=reason):
        to_program(model)


def test_ordered_categories_are_refused() -> None:
    train = mixed()
    train["text"] = train["text"].cat.as_ordered()
    with pytest.raises(UnsupportedError, match="which of its columns were pandas' categories"):
        to_program(lightgbm.LGBMRegressor(**BY_CATEGORY).fit(train, of_mixed(train)))


@pytest.mark.parametrize("given", [["k"], ["k", "text"]], ids=str)
def test_categories_of_pandas_beside_other_categorical_columns_are_refused(given: list[str]) -> None:
    """The model keeps which columns are categorical, and the categories of pandas, but not whose these are."""
    train = mixed().assign(k=LEVEL)
    train = train if "text" in given else train.drop(columns="whole")
    model = lightgbm.LGBMRegressor(**BY_CATEGORY).fit(train, of_mixed(mixed()) + LEVEL, categorical_feature=given)
    with pytest.raises(UnsupportedError, match="which of its columns were pandas' categories"):
        to_program(model)


def test_a_category_that_training_did_not_see() -> None:
    """Its code is the last one; a flag beside it may be taken for codes by nobody."""
    train = mixed().assign(flag=FLAG.astype(int))
    train["text"] = train["text"].cat.add_categories(["unseen"])
    model = lightgbm.LGBMRegressor(**BY_CATEGORY).fit(train, of_mixed(mixed()) + FLAG)
    assert_parity(model, train.head(40), exact=True)
