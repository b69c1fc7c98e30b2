"""What a model keeps of its training, such as metrics, splitters and choosers of columns, needs no --trust."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor, make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.feature_selection import RFECV, SequentialFeatureSelector
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import f1_score, fbeta_score, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    RandomizedSearchCV,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedShuffleSplit,
    TimeSeriesSplit,
    TunedThresholdClassifierCV,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from skops import io as skops_io

from pgscore.compiler.frontends import to_program
from pgscore.compiler.load import load_model
from pgscore.errors import UntrustedModelError
from tests.support.example import readable

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(RNG.normal(size=(60, 3)), columns=["a", "b", "c"]).assign(
    text=pd.Series(RNG.choice(["u", "v"], 60), dtype=object)
)
NUMBERS = FRAME[["a", "b", "c"]]
LABELS = (FRAME["a"] + RNG.normal(scale=0.5, size=60) > 0).astype(int)
CLASSIFIER = LogisticRegression()
GRID = {"C": [0.1, 1.0]}


def saved(model: Any, folder: Path) -> Path:
    path = folder / "model.skops"
    skops_io.dump(model, path)
    return path


@pytest.mark.parametrize(
    "model",
    [
        make_column_transformer((StandardScaler(), make_column_selector("^[ab]$")), remainder="drop"),
        make_column_transformer((StandardScaler(), make_column_selector(dtype_include=np.number)), remainder="drop"),
        make_column_transformer(
            (StandardScaler(), make_column_selector(dtype_include=["floating", np.integer])),
            (OneHotEncoder(), make_column_selector(dtype_include=object)),
        ),
    ],
    ids=["pattern", "number", "object"],
)
def test_columns_may_be_chosen_by_a_selector(model: Any, tmp_path: Path) -> None:
    model = make_pipeline(clone(model), LogisticRegression()).fit(FRAME, LABELS)
    assert to_program(load_model(saved(model, tmp_path)).estimator) == to_program(model)


@pytest.mark.parametrize(
    "model",
    [
        GridSearchCV(CLASSIFIER, GRID, cv=2, scoring="f1"),
        GridSearchCV(CLASSIFIER, GRID, cv=2, scoring=["accuracy", "roc_auc", "neg_log_loss"], refit="roc_auc"),
        GridSearchCV(CLASSIFIER, GRID, cv=RepeatedStratifiedKFold(n_splits=2, n_repeats=2)),
        GridSearchCV(CLASSIFIER, GRID, cv=ShuffleSplit(2), scoring=make_scorer(fbeta_score, beta=2)),
        GridSearchCV(CLASSIFIER, GRID, cv=TimeSeriesSplit(2)),
        GridSearchCV(HistGradientBoostingRegressor(max_iter=2), {"max_depth": [2, 3]}, cv=2),
        RandomizedSearchCV(CLASSIFIER, GRID, n_iter=2, cv=StratifiedShuffleSplit(2), scoring="matthews_corrcoef"),
        RFECV(CLASSIFIER, cv=2, scoring=make_scorer(f1_score)),
        SequentialFeatureSelector(CLASSIFIER, n_features_to_select=1, cv=ShuffleSplit(2), scoring="recall_macro"),
        TransformedTargetRegressor(HistGradientBoostingRegressor(max_iter=2), func=np.log1p, inverse_func=np.expm1),
        TunedThresholdClassifierCV(CLASSIFIER, scoring="f1", cv=2),
        make_pipeline(SimpleImputer(strategy=np.median), Ridge()),
    ],
    ids=readable,
)
def test_a_search_needs_no_trust(model: Any, tmp_path: Path) -> None:
    model = clone(model).fit(NUMBERS, LABELS)
    assert to_program(load_model(saved(model, tmp_path)).estimator) == to_program(model)


def test_a_distribution_needs_trust(tmp_path: Path) -> None:
    """scipy restores it by `exec` of a text that is in the file."""
    model = RandomizedSearchCV(CLASSIFIER, {"C": stats.uniform(0.1, 1)}, n_iter=2, cv=2).fit(NUMBERS, LABELS)
    with pytest.raises(UntrustedModelError, match="rv_continuous_frozen"):
        load_model(saved(model, tmp_path))
    assert to_program(load_model(saved(model.best_estimator_, tmp_path)).estimator) == to_program(model)


def test_histogram_trees_without_a_number_of_columns_are_seen(tmp_path: Path) -> None:
    model = HistGradientBoostingRegressor(max_iter=2).fit(NUMBERS, LABELS)
    del model.n_features_in_
    with pytest.raises(UntrustedModelError, match="HistGradientBoostingRegressor"):
        load_model(saved(model, tmp_path))
