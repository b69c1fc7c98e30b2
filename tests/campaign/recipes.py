"""How the campaign makes each estimator: by its class's defaults with small parameters, and what must be otherwise.

An estimator that is not named here gets the default recipe, which follows from its tags: so a new frontend is swept by
the campaign without a line. `Recipe.options` go round with the data sets, so that each one meets other options.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from sklearn.base import is_classifier, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.utils import get_tags

from .datasets import Dataset

Options = Mapping[str, Any]

SMALL: Options = {"n_estimators": 5, "random_state": 0, "n_init": 1, "n_clusters": 4, "n_components": 2}
"""Parameters that keep models small, where a class has them."""

NARROW = 10
"""The columns that a `narrow` estimator gets of the wide table."""


@dataclass(frozen=True)
class Recipe:
    """How to make an estimator.

    `base` are parameters that it always gets and `options` those that go round with the data sets; with `make` it is
    made by hand. `target` is a kind of `Dataset.target`, "" for the default, None for none. `takes` says what it can be
    given: "numbers" (text is encoded before it, gaps filled unless it takes them), "anything", "one" column, "bins"
    (whole numbers from 0 on), "positive" numbers, "labels" in place of the columns. `narrow` ones grow too large with
    the columns. `skip` maps patterns of names of variants (variants.py) to the reason why the estimator cannot be
    trained on them, `limits` to the reason why its answers differ there, which the gate of a deploy would find; of the
    reasons BY_CHANCE they differ on one processor and not on another. `fit` trains in another way than `fit(X, y)`.
    """

    base: Options = field(default_factory=dict)
    options: tuple[Options, ...] = ({},)
    make: Callable[[Dataset, Options], Any] | None = None
    target: str | None = ""
    takes: str = ""
    narrow: bool = False
    skip: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    fit: Callable[[Any, Any, Any], Any] | None = None


CANCELS = "large terms of its sum cancel, and with them all digits"
TIE = "a row lies on the boundary of two classes, to the last bit"
EQUALLY_FAR = "training rows lie equally far, of which scikit-learn takes any"
NARROW_KERNEL = "its kernel is so narrow that every row is far from all others"
FAR = "a column is constant, and a row beside it so unlikely that its probabilities keep nine digits"
BY_CHANCE = frozenset({CANCELS, TIE, EQUALLY_FAR, NARROW_KERNEL, FAR})
"""What rounding decides, of which every processor has its own."""


def matching(reasons: Mapping[str, str], name: str) -> str:
    """The reason of the first pattern that the name matches; "" where none does."""
    return next((reason for pattern, reason in reasons.items() if fnmatchcase(name, pattern)), "")


def class_of(key: Any) -> Any:
    """The class of a key of FRONTENDS: itself, or the one that a dotted name says."""
    if not isinstance(key, str):
        return key
    module, _, name = key.rpartition(".")
    return getattr(importlib.import_module(module), name)


def name_of(key: Any) -> str:
    """The name of the class, as the documentation has it."""
    return key.rpartition(".")[2] if isinstance(key, str) else str(key.__name__)


def fitted(cls: Any, recipe: Recipe, dataset: Dataset) -> Any:
    """The estimator, alone or behind the steps that it needs on this data set, trained on it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator = _made(cls, recipe, dataset)
    takes = recipe.takes or ("positive" if _tags(estimator).input_tags.positive_only else "numbers")
    before = _steps_before(estimator, takes, recipe.narrow, dataset)
    model = make_pipeline(*before, estimator) if before else estimator
    kind = recipe.target if recipe.target != "" else _target(estimator)
    y = None if kind is None else dataset.target(kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(dataset.x, y) if recipe.fit is None else recipe.fit(model, dataset.x, y)


def _made(cls: Any, recipe: Recipe, dataset: Dataset) -> Any:
    chosen = {**recipe.base, **recipe.options[dataset.turn % len(recipe.options)]}
    if recipe.make is not None:
        return recipe.make(dataset, chosen)
    known = cls._get_param_names() if hasattr(cls, "_get_param_names") else cls().get_params()
    small = {name: value for name, value in SMALL.items() if name in known}
    if dataset.frame.shape[1] == 1 and "n_components" in small:
        small["n_components"] = 1
    return cls(**{**small, **chosen})


def _steps_before(estimator: Any, takes: str, narrow: bool, dataset: Dataset) -> list[Any]:
    steps: list[Any] = []
    if takes == "labels":
        return steps
    columns = list(range(dataset.frame.shape[1]))
    if takes == "one":
        columns = columns[:1]
    elif narrow:
        columns = columns[:NARROW]
    if dataset.columns("O") and takes != "anything":
        steps.append(_encoded(dataset, columns))
    elif len(columns) < dataset.frame.shape[1]:
        steps.append(ColumnTransformer([("some", "passthrough", columns)]))
    if takes == "anything":
        return steps
    if dataset.has_gaps and not dataset.columns("O") and not _tags(estimator).input_tags.allow_nan:
        steps.append(SimpleImputer())
    if takes == "positive":
        steps.append(MinMaxScaler(clip=True))
    elif takes == "bins":
        steps.append(KBinsDiscretizer(3, encode="ordinal", quantile_method="averaged_inverted_cdf"))
    return steps


def _encoded(dataset: Dataset, columns: list[int]) -> ColumnTransformer:
    """Text to 0 and 1, numbers scaled, booleans as they are."""
    kinds = {kind: [i for i in dataset.columns(kind) if i in columns] for kind in ("fi", "b", "O")}
    parts = [
        ("numbers", StandardScaler(), kinds["fi"]),
        ("flags", "passthrough", kinds["b"]),
        ("texts", OneHotEncoder(handle_unknown="ignore"), kinds["O"]),
    ]
    return ColumnTransformer([part for part in parts if part[2]], sparse_threshold=0)


def _target(estimator: Any) -> str | None:
    tags = _tags(estimator)
    if is_classifier(estimator):
        return "classes" if tags.classifier_tags.multi_class else "two"
    if is_regressor(estimator):
        if not tags.target_tags.single_output:
            return "numbers"
        return "count" if tags.target_tags.positive_only else "number"
    return "classes" if tags.target_tags.required else None


def _tags(estimator: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return get_tags(estimator)
