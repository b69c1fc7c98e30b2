"""Boosters of LightGBM and XGBoost in the shape of an estimator, so that they are loaded, asked and compiled as one.

The libraries are optional; they are imported where they are needed.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, RegressorMixin


class _Native(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A fitted booster. `feature_names_in_` is there only where it was trained with names of columns."""

    booster: Any

    def fit(self) -> None:
        """Not here: check_is_fitted wants an estimator to have it."""
        raise NotImplementedError("a booster is trained by its own library")

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def _named(self, names: list[str] | None) -> None:
        if names is not None:
            self.feature_names_in_ = np.array(names, dtype=object)


class LightGBMModel(_Native):
    """A lightgbm.Booster; `predict` is its own."""

    def __init__(self, booster: Any) -> None:
        self.booster = booster
        self.n_features_in_: int = booster.num_feature()
        names = booster.feature_name()
        self._named(None if names == [f"Column_{index}" for index in range(len(names))] else names)

    def predict(self, X: Any) -> npt.NDArray[np.float64]:
        """`Booster.predict`: (n_rows) or (n_rows, n_classes)."""
        answers: npt.NDArray[np.float64] = self.booster.predict(X)
        return answers


class XGBoostModel(_Native):
    """A xgboost.Booster; `predict` is its own, of a DMatrix."""

    def __init__(self, booster: Any) -> None:
        self.booster = booster
        self.n_features_in_: int = booster.num_features()
        self._named(booster.feature_names)

    def predict(self, X: Any) -> npt.NDArray[np.float32]:
        """`Booster.predict`: (n_rows) or (n_rows, n_classes)."""
        xgboost = importlib.import_module("xgboost")
        frame = hasattr(X, "dtypes")
        types = None if frame else self.booster.feature_types
        answers: npt.NDArray[np.float32] = self.booster.predict(
            xgboost.DMatrix(X, feature_types=types, enable_categorical=True)
        )
        return answers


def wrapped(model: Any) -> Any:
    """A booster as an estimator; anything else as it is."""
    wrapper = _WRAPPERS.get(f"{type(model).__module__}.{type(model).__qualname__}")
    return model if wrapper is None else wrapper(model)


_WRAPPERS: dict[str, type[LightGBMModel | XGBoostModel]] = {
    "lightgbm.basic.Booster": LightGBMModel,
    "xgboost.core.Booster": XGBoostModel,
}
