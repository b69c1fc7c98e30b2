"""XGBoost against its own predict: float32 thresholds and sums, objectives, boosters, categories, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor, StackingRegressor, VotingRegressor
from sklearn.linear_model import Ridge
from sklearn.multioutput import RegressorChain
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from pgscore.compiler import ir
from pgscore.compiler.frontends import to_program
from pgscore.compiler.native import XGBoostModel
from pgscore.errors import UnsupportedError

from .boosting_data import COMPLETE, FLAG, GROUPS, LEVEL, POSITIVE, X, Y, hard_rows, mixed, of_mixed
from .parity import assert_parity

FEW: dict[str, Any] = {"n_estimators": 6, "max_depth": 4, "learning_rate": 0.4, "n_jobs": 1}
BINARY = FLAG.astype(int)


def regressor(**options: Any) -> Any:
    return xgboost.XGBRegressor(**{**FEW, **options})


def classifier(**options: Any) -> Any:
    return xgboost.XGBClassifier(**{**FEW, **options})


@pytest.mark.parametrize(
    "options",
    [
        *({"tree_method": name} for name in ("hist", "exact", "approx")),
        *({"base_score": 3.3}, {"num_parallel_tree": 3, "subsample": 0.5}, {"grow_policy": "lossguide"}),
        *({"booster": "dart", "rate_drop": 0.4}, {"booster": "gblinear"}, {"max_depth": 1}),
        *({"missing": -1}, {"missing": 0}, {"missing": 1.1}),
        *({"objective": f"reg:{name}error"} for name in ("squaredlog", "absolute", "pseudohuber")),
        {"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.5, 0.9]},
    ],
    ids=str,
)
def test_sums_are_bit_equal(options: dict[str, Any]) -> None:
    assert_parity(regressor(**options).fit(X, POSITIVE), hard_rows(), exact=True)


@pytest.mark.parametrize("objective", ["count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "reg:logistic"])
def test_objectives_that_change_the_answer(objective: str) -> None:
    target = POSITIVE / POSITIVE.max()
    program = assert_parity(regressor(objective=objective).fit(X, target), hard_rows(), rtol=1e-6)
    assert program.tolerance == 1e-6
    assert "float32" in program.approximation


@pytest.mark.parametrize(
    ("options", "target"),
    [
        ({}, BINARY),
        ({}, LEVEL),
        ({}, np.arange(len(X)) % 10),
        *(({"base_score": score}, BINARY) for score in (0.01, 0.3, 0.55, 0.7)),
        ({"scale_pos_weight": 3}, BINARY),
        *(({"objective": name}, BINARY) for name in ("binary:hinge", "binary:logitraw")),
        ({"objective": "multi:softmax"}, LEVEL),
        *(({"booster": name}, target) for name in ("dart", "gblinear") for target in (BINARY, LEVEL)),
    ],
    ids=str,
)
def test_classes(options: dict[str, Any], target: Any) -> None:
    assert_parity(classifier(**options).fit(X, target), hard_rows())


def test_ranks_and_random_forests() -> None:
    few = {**FEW, "learning_rate": 1.0}
    assert_parity(xgboost.XGBRanker(**FEW).fit(X, LEVEL, qid=GROUPS), hard_rows(), exact=True)
    assert_parity(xgboost.XGBRFRegressor(**few).fit(X, Y), hard_rows(), exact=True)
    assert_parity(xgboost.XGBRFClassifier(**few).fit(X, LEVEL), hard_rows())


def test_several_targets() -> None:
    program = assert_parity(regressor().fit(X, np.column_stack([Y, POSITIVE])), hard_rows(), exact=True)
    assert len(program.outputs[0].columns) == 2


@pytest.mark.parametrize("booster", ["gbtree", "dart"])
def test_the_best_iteration(booster: str) -> None:
    model = classifier(n_estimators=60, learning_rate=0.9, early_stopping_rounds=3, booster=booster)
    model.fit(X[:200], LEVEL[:200], eval_set=[(X[200:], LEVEL[200:])], verbose=False)
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    program = assert_parity(model, hard_rows())
    trees = [node for node in program.nodes if isinstance(node, ir.Trees)]
    assert trees[0].forest.n_trees == 3 * (model.best_iteration + 1)
    assert_parity(XGBoostModel(model.get_booster()), hard_rows())


@pytest.mark.parametrize(
    "options",
    [
        *({"objective": name, "num_class": 3} for name in ("multi:softmax", "multi:softprob")),
        *({"booster": "dart", "rate_drop": 0.4}, {"booster": "gblinear"}, {"objective": "rank:ndcg"}),
    ],
    ids=str,
)
def test_boosters_refuse_what_float32_does_not_hold(options: dict[str, Any]) -> None:
    data = xgboost.DMatrix(X.to_numpy(), label=LEVEL, group=[100, 100, 100] if "rank" in str(options) else None)
    program = assert_parity(XGBoostModel(xgboost.train({**options, "nthread": 1}, data, 5)), hard_rows())
    assert any(isinstance(node, ir.Check) for node in program.nodes)


@pytest.mark.parametrize("one_hot", [1, 9], ids=["sets", "one-hot"])
@pytest.mark.parametrize("seed", range(3))
def test_categories_of_pandas(seed: int, one_hot: int) -> None:
    train = mixed(seed)
    model = regressor(enable_categorical=True, max_cat_to_onehot=one_hot).fit(train, of_mixed(train))
    rows = train.head(60).copy()
    rows["text"] = rows["text"].cat.reorder_categories(["e", "b", "never", "it's", "c\\", "d"])
    rows["whole"] = rows["whole"].cat.set_categories([35, 10])
    program = assert_parity(model, rows, exact=True)
    assert {c.name: c.closed for c in program.columns} == {"a": False, "text": True, "whole": True, "z": False}
    assert_parity(XGBoostModel(model.get_booster()), rows, exact=True)


def test_categories_by_number() -> None:
    """Fractions are cut off; other numbers belong to no category."""
    train = pd.DataFrame({"a": X["a"], "k": np.random.default_rng(3).integers(0, 40, len(X)).astype(float)})
    target = np.sin(train["k"] * 3) + X["a"].fillna(0)
    model = regressor(feature_types=["q", "c"], enable_categorical=True, max_cat_to_onehot=1)
    model.fit(train.to_numpy(), target)
    values = [0.0, 0.5, 1.9, 3, 39, 40, -0.5, -1, -3, 1e9, 3e9, np.nan, 17e6, 2.0**24, -0.0, 31.99, 32, 33.5]
    rows = pd.concat([train.head(60), pd.DataFrame({"a": 0.25, "k": values})], ignore_index=True)
    assert_parity(model, rows, exact=True)
    assert_parity(XGBoostModel(model.get_booster()), rows, exact=True)


def test_what_a_sparse_matrix_does_not_store_is_missing() -> None:
    frame = X.assign(kind=np.where(LEVEL == 1, "x", "y"))
    encode = ColumnTransformer([("kind", OneHotEncoder(), ["kind"])], remainder="passthrough", sparse_threshold=1)
    model = make_pipeline(encode, regressor()).fit(frame, Y)
    rows = hard_rows().assign(kind="x")
    rows["kind"] = rows["kind"].astype(object)
    assert_parity(model, rows, exact=True)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (regressor(multi_strategy="multi_output_tree").fit(X, np.column_stack([Y, Y])), "multi_output_tree"),
        (classifier().fit(X, np.column_stack([BINARY, 1 - BINARY])), "train one model for each label"),
        (regressor(missing=np.inf).fit(X, Y), "infinity as missing"),
        (regressor(objective="count:poisson").fit(X, np.zeros(len(X))), "its base score is no finite margin"),
        (regressor(n_estimators=0, booster="gblinear").fit(X, Y), "for no round"),
    ],
    ids=["multi-output-tree", "labels", "missing", "base-score", "no-round"],
)
def test_refused(model: Any, reason: str) -> None:
    with pytest.raises(UnsupportedError, match=reason):
        to_program(model)


def test_categories_that_are_not_ascii_are_refused() -> None:
    train = mixed()
    train["text"] = train["text"].cat.rename_categories({"d": "Łódź"})
    with pytest.raises(UnsupportedError, match="not ASCII"):
        to_program(regressor(enable_categorical=True).fit(train, of_mixed(train)))


@pytest.mark.parametrize("score", [0.0, 1e-8, 1e-6, 0.5, 0.9999999, 1.0])
@pytest.mark.parametrize("objective", ["binary:logistic", "reg:logistic", "binary:logitraw"])
def test_base_scores_at_the_ends(objective: str, score: float) -> None:
    """Of a probability XGBoost takes none nearer to 0 or 1 than a millionth."""
    assert_parity(regressor(objective=objective, base_score=score).fit(X, BINARY), hard_rows())


@pytest.mark.parametrize("options", [{}, {"base_score": 0.5}, {"base_score": 0.2}], ids=str)
def test_without_a_tree(options: dict[str, Any]) -> None:
    """The score is a margin where the first round would have estimated it."""
    for target in (BINARY, LEVEL):
        assert_parity(classifier(n_estimators=0, **options).fit(X, target), X)


def test_a_booster_of_one_class() -> None:
    data = xgboost.DMatrix(X.to_numpy(), label=np.zeros(len(X)))
    assert_parity(XGBoostModel(xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, 2)), X)


def pair(count: int = 2, **options: Any) -> list[tuple[str, Any]]:
    return [(f"m{seed}", regressor(max_depth=2 + seed % 3, **options)) for seed in range(count)]


@pytest.mark.parametrize(
    "model",
    [
        VotingRegressor(pair()),
        VotingRegressor(pair(3)),
        VotingRegressor(pair(), weights=[1, 3]),
        VotingRegressor([("voting", VotingRegressor(pair())), ("other", regressor())]),
        VotingRegressor([*pair(), ("tree", DecisionTreeRegressor(max_depth=3))]),
        BaggingRegressor(regressor(), n_estimators=5, random_state=0),
        StackingRegressor(pair(), final_estimator=DecisionTreeRegressor(max_depth=4)),
        StackingRegressor([*pair(), ("tree", DecisionTreeRegressor(max_depth=3))], final_estimator=Ridge()),
        RegressorChain(regressor()),
    ],
    ids=["two", "three", "weights", "nested", "doubles", "bagging", "trees", "stack", "chain"],
)
def test_ensembles_add_its_answers_in_float32(model: Any) -> None:
    """numpy adds float32 in float32, and one member that answers in doubles makes all sums doubles."""
    target = np.column_stack([Y, POSITIVE]) if isinstance(model, RegressorChain) else Y
    program = assert_parity(model.fit(COMPLETE, target), COMPLETE, rtol=1e-12)
    assert not program.approximation


@pytest.mark.parametrize(
    "model",
    [
        VotingRegressor(pair(8)),
        StackingRegressor(pair(), final_estimator=Ridge()),
        TransformedTargetRegressor(regressor(), func=np.log1p, inverse_func=np.expm1),
        TransformedTargetRegressor(regressor(), transformer=StandardScaler()),
    ],
    ids=["eight", "stack", "function", "scaler"],
)
def test_what_computes_from_its_answers_has_their_digits(model: Any) -> None:
    program = assert_parity(model.fit(COMPLETE, POSITIVE), COMPLETE)
    assert "float32" in program.approximation
    assert program.tolerance <= 1e-4
