"""The models that are measured: how each is made, of which columns, and which of its answers is the score."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import lightgbm
import numpy as np
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from .data import Data, numbers_and_texts

# Peers give arrays to models that were fitted on frames.
warnings.filterwarnings("ignore", message="X does not have valid feature names")

TRAINING_ROWS = 20_000
"""As many rows as give each tree its full size."""
NO_CONVERTER = "has no such estimator"


def _one_hot() -> Any:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = make_column_transformer(
        (numbers, ["month", "hour", "dep_delay", "distance", "air_time"]),
        (OneHotEncoder(handle_unknown="ignore"), ["carrier", "origin", "dest"]),
    )
    return make_pipeline(columns, LogisticRegression(max_iter=1000))


@dataclass(frozen=True)
class Recipe:
    """A model to be fitted on the data of that name. `orbital` says why it is not measured there, if it is not."""

    data: str
    make: Callable[[], Any]
    orbital: str = ""
    texts: bool = False


@dataclass(frozen=True)
class Subject:
    """A fitted model and the rows that it is to score."""

    name: str
    recipe: Recipe
    data: Data
    columns: list[str]
    model: Any

    @property
    def slug(self) -> str:
        """The name as an SQL identifier."""
        return "".join(c if c.isalnum() else "_" for c in self.name)

    def score(self, x: Any) -> Any:
        """The model's own answer (n,): the probability of the second class, or the cluster."""
        if hasattr(self.model, "predict_proba"):
            return self.model.predict_proba(x)[:, 1]
        return self.model.predict(x)

    @cached_property
    def answers(self) -> Any:
        """The score (n_rows,) of every row, in the order of the key."""
        return np.asarray(self.score(self.data.x[self.columns]), dtype=float)


def fitted(name: str, recipe: Recipe, data: Data) -> Subject:
    """The recipe's model, trained on the first rows."""
    numbers, texts = numbers_and_texts(list(data.x), data.x)
    columns = numbers + texts if recipe.texts else numbers
    x, y = data.x[columns].head(TRAINING_ROWS), data.y.head(TRAINING_ROWS)
    return Subject(name, recipe, data, columns, recipe.make().fit(x, y))


def boosted(n_trees: int) -> Recipe:
    """LightGBM with so many trees of 31 leaves."""
    return Recipe(
        "synthetic",
        lambda: lightgbm.LGBMClassifier(n_estimators=n_trees, num_leaves=31, verbose=-1),
        NO_CONVERTER,
    )


MODELS = {
    "logistic": Recipe("synthetic", LogisticRegression),
    "tree d8": Recipe("synthetic", lambda: DecisionTreeClassifier(max_depth=8, random_state=0)),
    "hist boosting 100": Recipe(
        "synthetic", lambda: HistGradientBoostingClassifier(early_stopping=False, random_state=0), NO_CONVERTER
    ),
    "lightgbm 100": boosted(100),
    "forest 100": Recipe(
        "synthetic",
        lambda: RandomForestClassifier(100, max_depth=10, n_jobs=-1, random_state=0),
        "plans its SQL for minutes",
    ),
    "kmeans 8": Recipe("synthetic", lambda: KMeans(8, n_init=1, random_state=0), NO_CONVERTER),
    "mlp 32,16": Recipe(
        "synthetic",
        lambda: make_pipeline(StandardScaler(), MLPClassifier((32, 16), max_iter=20, random_state=0)),
        "its SQL repeats each layer until the server has no memory left",
    ),
    "one-hot logistic": Recipe("flights", _one_hot, texts=True),
    "flights boosting": Recipe(
        "flights", lambda: HistGradientBoostingClassifier(early_stopping=False, random_state=0), NO_CONVERTER
    ),
}
