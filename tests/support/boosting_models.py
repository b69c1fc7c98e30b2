"""Small fitted models of LightGBM, XGBoost and CatBoost. The libraries are imported where an example is made."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pgscore.compiler.native import LightGBMModel, XGBoostModel

from .customers import EVERYTHING, NUMBERS_MISSING, TEXTS_MISSING, customers, rows_to_score
from .example import Example

WITH_CATEGORIES = [*EVERYTHING, "visits"]
_LIGHTGBM = {"n_estimators": 4, "num_leaves": 7, "min_child_samples": 5, "verbose": -1, "n_jobs": 1}
_FEW_ROWS = {"min_data_per_group": 3, "cat_smooth": 1, "max_cat_to_onehot": 2}
_XGBOOST = {"n_estimators": 4, "max_depth": 3, "n_jobs": 1}
_CATBOOST = {"iterations": 4, "depth": 3, "verbose": 0, "allow_writing_files": False, "thread_count": 1}


def fitted(name: str, options: Mapping[str, Any], X: Any, y: Any, **how: Any) -> Any:
    """`lightgbm.LGBMRegressor(**options)` and the like, fitted."""
    library, _, cls = name.partition(".")
    estimator = getattr(importlib.import_module(library), cls)(**options)
    return estimator.fit(X, y, **how)


def as_categories(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its columns of text and its `visits` as pandas' categories, those of this frame."""
    found = frame.copy()
    for name in set(TEXTS_MISSING) & set(frame):
        found[name] = pd.Categorical(frame[name])
    if "visits" in found:
        whole = np.unique(frame["visits"].dropna()).astype(np.int64)
        found["visits"] = pd.Categorical(frame["visits"], categories=whole)
    return found


def hard_categories(frame: pd.DataFrame, *, unseen: bool) -> pd.DataFrame:
    """rows_to_score, with categories that the frame does not have if `unseen`; else only those that it has."""
    rows = rows_to_score(frame)
    if "visits" in rows:
        rows["visits"] = rows["visits"].where(rows["visits"].isin([*frame["visits"], *([99.0] if unseen else [])]))
    if not unseen:
        for name in set(TEXTS_MISSING) & set(frame):
            rows[name] = rows[name].where(rows[name].isin(frame[name]), None)
    return as_categories(rows)


def _example(
    name: str,
    target: str,
    columns: Sequence[str] = NUMBERS_MISSING,
    *,
    exact: bool = False,
    native: Callable[[Any], Any] | None = None,
    groups: str = "",
    **options: Any,
) -> Callable[[], Example]:
    """With `native` what it makes of the estimator. `groups` is the option that takes each row's group of a ranking."""

    def make() -> Example:
        frame = customers()[list(columns)]
        has_text = any(column in TEXTS_MISSING for column in columns)
        y = customers()[target].to_numpy()
        how = {groups: [45, 45] if groups == "group" else np.repeat([0, 1], 45)} if groups else {}
        estimator = fitted(name, options, as_categories(frame) if has_text else frame, y, **how)
        unseen = not name.startswith("xgboost")  # which refuses the whole frame
        rows = hard_categories(frame, unseen=unseen) if has_text else rows_to_score(frame)
        return Example(native(estimator) if native else estimator, rows, exact)

    return make


def _early() -> Example:
    """A model that stopped early, where -1 stands for missing."""
    frame, y = customers()[NUMBERS_MISSING].fillna(-1), pd.factorize(customers()["tier"])[0]
    options = {**_XGBOOST, "n_estimators": 60, "learning_rate": 0.9, "early_stopping_rounds": 1, "missing": -1}
    model = fitted("xgboost.XGBClassifier", options, frame[:60], y[:60], eval_set=[(frame[60:], y[60:])], verbose=False)
    return Example(model, rows_to_score(customers()[NUMBERS_MISSING]))


def _codes(target: str) -> Callable[[], Example]:
    def make() -> Example:
        frame, y = customers()[NUMBERS_MISSING], pd.factorize(customers()[target])[0]
        return Example(fitted("xgboost.XGBRFClassifier", _XGBOOST, frame, y), rows_to_score(frame))

    return make


BOOSTING_EXAMPLES: dict[type | str, dict[str, Callable[[], Example]]] = {
    LightGBMModel: {
        "tier": _example(
            "lightgbm.LGBMClassifier", "tier", native=lambda m: LightGBMModel(m.booster_), **_LIGHTGBM
        ),
    },
    "lightgbm.sklearn.LGBMClassifier": {
        "categories": _example(
            "lightgbm.LGBMClassifier", "tier", WITH_CATEGORIES, **_LIGHTGBM, **_FEW_ROWS
        ),
        "rf": _example(
            "lightgbm.LGBMClassifier", "churn", boosting_type="rf", bagging_freq=1, bagging_fraction=0.7, **_LIGHTGBM
        ),
    },
    "lightgbm.sklearn.LGBMRegressor": {
        "zero": _example(
            "lightgbm.LGBMRegressor", "amount", [*NUMBERS_MISSING, "visits"],
            exact=True, zero_as_missing=True, boosting_type="dart", **_LIGHTGBM,
        ),
        "sqrt": _example("lightgbm.LGBMRegressor", "amount", exact=True, reg_sqrt=True, **_LIGHTGBM),
    },
    "lightgbm.sklearn.LGBMRanker": {
        "default": _example("lightgbm.LGBMRanker", "flag", exact=True, groups="group", **_LIGHTGBM)
    },
    XGBoostModel: {
        "default": _example(
            "xgboost.XGBClassifier", "flag", native=lambda m: XGBoostModel(m.get_booster()), **_XGBOOST
        )
    },
    "xgboost.sklearn.XGBClassifier": {
        "categories": _example(
            "xgboost.XGBClassifier",
            "flag",
            ["monthly", "contract", "payment", "visits"],
            enable_categorical=True,
            max_cat_to_onehot=2,
            **_XGBOOST,
        ),
        "early": _early,
    },
    "xgboost.sklearn.XGBRegressor": {
        "dart": _example(
            "xgboost.XGBRegressor", "amount", exact=True, booster="dart", rate_drop=0.5, random_state=0, **_XGBOOST
        ),
        "linear": _example("xgboost.XGBRegressor", "amount", exact=True, booster="gblinear", n_estimators=5, n_jobs=1),
    },
    "xgboost.sklearn.XGBRanker": {
        "default": _example("xgboost.XGBRanker", "flag", exact=True, groups="qid", **_XGBOOST)
    },
    "xgboost.sklearn.XGBRFClassifier": {"default": _codes("tier")},
    "xgboost.sklearn.XGBRFRegressor": {
        "default": _example("xgboost.XGBRFRegressor", "amount", exact=True, **_XGBOOST)
    },
    "catboost.core.CatBoostClassifier": {
        "tier": _example("catboost.CatBoostClassifier", "tier", **_CATBOOST),
        "flag": _example("catboost.CatBoostClassifier", "flag", nan_mode="Max", grow_policy="Depthwise", **_CATBOOST),
    },
    "catboost.core.CatBoostRegressor": {
        "default": _example("catboost.CatBoostRegressor", "amount", exact=True, **_CATBOOST),
        "uncertainty": _example(
            "catboost.CatBoostRegressor", "amount", loss_function="RMSEWithUncertainty", **_CATBOOST
        ),
    },
    "catboost.core.CatBoostRanker": {
        "default": _example("catboost.CatBoostRanker", "level", exact=True, groups="group_id", **_CATBOOST)
    },
    "catboost.core.CatBoost": {
        "default": _example("catboost.CatBoost", "amount", exact=True, params=_CATBOOST)
    },
}  # fmt: skip
