"""CatBoost against its own predict: missing values, shapes of trees, losses, labels, refusals."""

from __future__ import annotations

from typing import Any

import catboost
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError

from .boosting_data import COMPLETE, FLAG, GROUPS, LEVEL, POSITIVE, TIER, X, Y, hard_rows
from .parity import assert_parity

FEW: dict[str, Any] = {"iterations": 6, "depth": 3, "verbose": 0, "allow_writing_files": False, "thread_count": 1}


def regressor(**options: Any) -> Any:
    return catboost.CatBoostRegressor(**{**FEW, **options})


def classifier(**options: Any) -> Any:
    return catboost.CatBoostClassifier(**{**FEW, **options})


@pytest.mark.parametrize("train", [X, COMPLETE], ids=["gaps", "complete"])
@pytest.mark.parametrize(
    "options",
    [
        *({}, {"nan_mode": "Max"}, {"boost_from_average": False}, {"loss_function": "MAE"}),
        *({"grow_policy": name} for name in ("Depthwise", "Lossguide")),
    ],
    ids=str,
)
def test_sums_are_bit_equal(train: pd.DataFrame, options: dict[str, Any]) -> None:
    assert_parity(regressor(**options).fit(train, Y), hard_rows(), exact=True)


@pytest.mark.parametrize("loss", ["Poisson", "Tweedie:variance_power=1.5", "RMSEWithUncertainty", "LogLinQuantile"])
def test_losses(loss: str) -> None:
    assert_parity(regressor(loss_function=loss).fit(X, POSITIVE), hard_rows())


@pytest.mark.parametrize(
    ("options", "target"),
    [
        *(({}, target) for target in (TIER, FLAG, np.where(FLAG, "yes", "no"), LEVEL * 3 - 1, FLAG * 2.5)),
        *(({"loss_function": name}, TIER) for name in ("MultiClass", "MultiClassOneVsAll")),
        ({"loss_function": "MultiClass"}, FLAG),
        ({"loss_function": "CrossEntropy"}, FLAG.astype(int)),
        *(({"grow_policy": name}, TIER) for name in ("Depthwise", "Lossguide")),
        ({"auto_class_weights": "Balanced"}, np.arange(len(X)) % 10),
    ],
)
def test_classes(options: dict[str, Any], target: Any) -> None:
    assert_parity(classifier(**options).fit(X, target), hard_rows())


@pytest.mark.parametrize("threshold", [0.2, 0.65])
def test_a_threshold_of_probability(threshold: float) -> None:
    model = classifier().fit(X, FLAG)
    model.set_probability_threshold(threshold)
    assert_parity(model, hard_rows())


def test_scale_and_bias() -> None:
    model = regressor().fit(X, Y)
    model.set_scale_and_bias(2.5, -0.3)
    assert_parity(model, hard_rows(), exact=True)


def test_several_targets() -> None:
    model = regressor(loss_function="MultiRMSE").fit(X, np.column_stack([Y, POSITIVE]))
    assert_parity(model, hard_rows(), exact=True)


def test_the_best_model() -> None:
    model = classifier(iterations=200, learning_rate=0.9, early_stopping_rounds=3)
    model.fit(X[:200], LEVEL[:200], eval_set=(X[200:], LEVEL[200:]))
    assert model.tree_count_ < 200
    assert_parity(model, hard_rows())


def test_ranks_and_raw_scores() -> None:
    assert_parity(catboost.CatBoostRanker(**FEW).fit(X, LEVEL, group_id=GROUPS), hard_rows(), exact=True)
    assert_parity(catboost.CatBoost({**FEW, "loss_function": "Logloss"}).fit(X, FLAG), hard_rows(), exact=True)


def test_arrays_have_no_names() -> None:
    program = assert_parity(regressor().fit(X.to_numpy(), Y), hard_rows(), exact=True)
    assert [column.name for column in program.columns] == ["x0", "x1", "x2", "x3"]


def test_in_a_pipeline_with_sparse_columns() -> None:
    frame = X.assign(kind=np.where(LEVEL == 1, "x", "y"))
    encode = ColumnTransformer([("kind", OneHotEncoder(), ["kind"])], remainder="passthrough", sparse_threshold=1)
    model = make_pipeline(encode, regressor()).fit(frame, Y)
    rows = hard_rows().assign(kind="x")
    rows["kind"] = rows["kind"].astype(object)
    assert_parity(model, rows, exact=True)


def test_categories_are_refused() -> None:
    train = X.assign(kind=TIER)
    with pytest.raises(UnsupportedError, match="it takes categories, of which the model keeps only hashes"):
        to_program(regressor(cat_features=["kind"]).fit(train, Y))


def test_several_labels_are_refused() -> None:
    model = classifier(loss_function="MultiLogloss").fit(X, np.column_stack([FLAG, ~FLAG]).astype(int))
    with pytest.raises(UnsupportedError, match="several labels at once"):
        to_program(model)
