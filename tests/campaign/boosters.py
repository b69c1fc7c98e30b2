"""What the campaign does otherwise for the boosting libraries and for ONNX files."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from pgscore.compiler.native import LightGBMModel, XGBoostModel
from pgscore.compiler.onnx_model import OnnxModel
from tests.support.onnx_models import converted

from .datasets import Dataset
from .recipes import Options, Recipe

LIGHTGBM: Options = {"verbose": -1, "n_jobs": 1, "min_child_samples": 5, "num_leaves": 6}
XGBOOST: Options = {"n_jobs": 1, "max_depth": 3}
CATBOOST: Options = {"iterations": 4, "depth": 3, "verbose": 0, "allow_writing_files": False, "thread_count": 1}
DARTS = ({}, {"boosting_type": "dart", "drop_rate": 0.5})
COUNTS: tuple[Options, ...] = ({}, {"objective": "poisson"}, {"objective": "tweedie"})
XGBOOST_COUNTS: tuple[Options, ...] = ({}, {"objective": "count:poisson"}, {"booster": "dart", "rate_drop": 0.5})


def _in_groups(option: str, *, sizes: bool) -> Callable[[Any, Any, Any], Any]:
    """Training a ranker: half of the rows are one query, half another."""

    def fit(model: Any, x: Any, y: Any) -> Any:
        half = len(y) // 2
        name = f"{model.steps[-1][0]}__{option}" if isinstance(model, Pipeline) else option
        return model.fit(x, y, **{name: [half, len(y) - half] if sizes else np.repeat([0, 1], [half, len(y) - half])})

    return fit


def _made(name: str) -> Callable[[Dataset, Options], Any]:
    def make(_: Dataset, options: Options) -> Any:
        module, _, cls = name.partition(".")
        return getattr(importlib.import_module(module), cls)(n_estimators=4, **options)

    return make


def _native(wrap: Callable[[Any], Any]) -> Callable[[Any, Any, Any], Any]:
    """Training the wrapper of the library, and taking the booster out of it."""

    def fit(model: Any, x: Any, y: Any) -> Any:
        model.fit(x, y)
        if not isinstance(model, Pipeline):
            return wrap(model)
        *before, (name, last) = model.steps
        return Pipeline([*before, (name, wrap(last))])

    return fit


def _exported(model: Any, x: Any, y: Any) -> OnnxModel:
    return OnnxModel(converted(model.fit(x, y), np.shape(x)[1]))


WHOLE = {"integers*": "an array holds nothing but whole numbers, some beyond 2^24: LightGBM rounds it to float32"}

BOOSTERS: dict[Any, Recipe] = {
    "lightgbm.sklearn.LGBMClassifier": Recipe(base=LIGHTGBM, options=DARTS, limits=WHOLE),
    "lightgbm.sklearn.LGBMRegressor": Recipe(base=LIGHTGBM, options=COUNTS, target="count", limits=WHOLE),
    "lightgbm.sklearn.LGBMRanker": Recipe(
        base=LIGHTGBM, target="codes", fit=_in_groups("group", sizes=True), limits=WHOLE
    ),
    "xgboost.sklearn.XGBClassifier": Recipe(base=XGBOOST, target="codes"),
    "xgboost.sklearn.XGBRegressor": Recipe(base=XGBOOST, options=XGBOOST_COUNTS, target="count"),
    "xgboost.sklearn.XGBRanker": Recipe(base=XGBOOST, target="codes", fit=_in_groups("qid", sizes=False)),
    "xgboost.sklearn.XGBRFClassifier": Recipe(base=XGBOOST, target="codes"),
    "xgboost.sklearn.XGBRFRegressor": Recipe(base=XGBOOST, target="number"),
    "catboost.core.CatBoostClassifier": Recipe(base=CATBOOST, target="classes"),
    "catboost.core.CatBoostRegressor": Recipe(base=CATBOOST, target="number"),
    "catboost.core.CatBoostRanker": Recipe(base=CATBOOST, target="codes", fit=_in_groups("group_id", sizes=False)),
    "catboost.core.CatBoost": Recipe(base={"params": CATBOOST}, target="number"),
    LightGBMModel: Recipe(
        make=_made("lightgbm.LGBMRegressor"),
        base=LIGHTGBM,
        limits=WHOLE,
        target="number",
        fit=_native(lambda m: LightGBMModel(m.booster_)),
    ),
    XGBoostModel: Recipe(
        make=_made("xgboost.XGBRegressor"),
        base=XGBOOST,
        target="number",
        fit=_native(lambda m: XGBoostModel(m.get_booster())),
    ),
    OnnxModel: Recipe(
        make=lambda *_: LogisticRegression(max_iter=300),
        target="classes",
        fit=_exported,
        skip={"mixed*": "the graph has one tensor of numbers", "missing*": "as mixed"},
    ),
}  # fmt: skip
