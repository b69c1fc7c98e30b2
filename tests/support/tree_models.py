"""Small fitted trees, forests and boosted trees, and the rows that are hardest for them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from pgscore.compiler import ir
from pgscore.compiler.frontends import to_program

from .example import Example

Values = npt.NDArray[Any]

HARD = (
    *(
        ir.FLOAT32_LIMIT,
        -ir.FLOAT32_LIMIT,
        np.nextafter(ir.FLOAT32_LIMIT, np.inf),
        np.nextafter(-ir.FLOAT32_LIMIT, -np.inf),
    ),
    *(np.nan, np.inf, -np.inf, 1e300, -1e300, 3.5e38, -3.5e38, 1e-300, -1e-300, 5e-324, 0.0, -0.0),
)
"""Missing, infinite, beyond float32 by a hair and by far, and too small for it."""


def numbers(*, missing: bool = False, columns: int = 4) -> pd.DataFrame:
    """400 rows: a smooth column, whole numbers, values that differ only beyond float32, and a heavy tail."""
    rng = np.random.default_rng(7)
    values = np.column_stack(
        [rng.normal(size=400), rng.integers(-3, 9, 400), 1 + rng.integers(0, 40, 400) * 3e-8, rng.standard_cauchy(400)]
    )
    if missing:
        values[rng.random(values.shape) < 0.15] = np.nan
    return pd.DataFrame(values[:, :columns], columns=[f"f{i}" for i in range(columns)])


def categories(dtype: str) -> pd.DataFrame:
    """Numbers around two columns of categories, of type `category`, `object` or `float64`; some values are missing."""
    rng = np.random.default_rng(8)
    frame = numbers(missing=True, columns=2)
    plans, codes = np.array(["it's", "basic", "pro\\", "Ü", "none"], dtype=object), np.array([-2.0, 0.5, 7.0, 1e6])
    text = plans[rng.integers(0, 5, 400)]
    number = codes[rng.integers(0, 4, 400)]
    text[rng.random(400) < 0.1] = np.nan
    number[rng.random(400) < 0.1] = np.nan
    frame.insert(1, "plan", pd.Series(text, dtype="object" if dtype == "float64" else dtype))
    frame.insert(3, "code", pd.Series(number, dtype="category" if dtype == "category" else "float64"))
    return frame.drop(columns="plan") if dtype == "float64" else frame


def target(frame: pd.DataFrame) -> Values:
    """A number that depends on every column, with noise."""
    rng = np.random.default_rng(9)
    y = rng.normal(size=len(frame))
    for weight, name in enumerate(frame.columns, 1):
        column = frame[name] if frame[name].dtype == np.float64 else pd.factorize(frame[name])[0]
        y += weight * pd.Series(column).rank(pct=True).fillna(0.3).to_numpy()
    return y


def two(frame: pd.DataFrame) -> Values:
    """Labels False and True."""
    return target(frame) > np.median(target(frame))


def three(frame: pd.DataFrame) -> Values:
    """Three labels of text."""
    return np.array(["low", "mid dle", "o'high"], dtype=object)[pd.qcut(target(frame), [0, 0.2, 0.7, 1], labels=False)]


def whole(frame: pd.DataFrame) -> Values:
    """Labels that are whole numbers, not from 0."""
    return np.array([10, -4, 7])[pd.qcut(target(frame), 3, labels=False)]


def positive(frame: pd.DataFrame) -> Values:
    """Numbers above 0."""
    return np.exp(target(frame) / 4)


def one(frame: pd.DataFrame) -> Values:
    """The same label for every row."""
    return np.full(len(frame), "only")


def two_and_three(frame: pd.DataFrame) -> Values:
    """Two targets: three labels of text, and two."""
    return np.column_stack([three(frame), np.where(two(frame), "yes", "no")]).astype(object)


def two_numbers(frame: pd.DataFrame) -> Values:
    """Two targets that are numbers."""
    return np.column_stack([target(frame), positive(frame)])


def hard_rows(estimator: Any, frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of `frame`, then a row for each threshold's neighbours and each hard value in each column of numbers."""
    rows = [frame.head(60)]
    thresholds = split_values(to_program(estimator))
    for name in frame.columns:
        if frame[name].dtype != np.float64:
            continue
        around = np.array(thresholds.get(name, ()))
        values = np.concatenate([_neighbours(around[:: max(1, len(around) // 15)]), HARD])
        block = pd.concat([frame.iloc[[3]]] * len(values), ignore_index=True)
        block[name] = values
        rows.append(block)
    return pd.concat(rows, ignore_index=True)


def _neighbours(t: Values) -> Values:
    single = t.astype(np.float32)
    around = [np.nextafter(single, np.float32(side)).astype(float) for side in (-np.inf, np.inf)]
    return np.concatenate([t, np.nextafter(t, np.inf), np.nextafter(t, -np.inf), single.astype(float), *around])


def split_values(program: ir.Program) -> dict[str, list[float]]:
    """The finite thresholds at which the program's trees split each input column of numbers."""
    splits: dict[str, list[float]] = {}
    for trees in (node for node in program.nodes if isinstance(node, ir.Trees)):
        assert trees.forest is not None
        forest = trees.forest
        for feature, ref in enumerate(trees.inputs):
            node = program.nodes[ref.node]
            if isinstance(node, ir.Check):
                node = program.nodes[node.inputs[ref.column].node]
            if isinstance(node, ir.Input):
                here = (forest.feature == feature) & (forest.category_set < 0) & np.isfinite(forest.threshold)
                splits[program.columns[node.index].name] = np.unique(forest.threshold[here]).tolist()
    return splits


def _example(
    make: Callable[[], Any],
    label: Callable[[pd.DataFrame], Values],
    data: Callable[[], pd.DataFrame] = numbers,
    *,
    exact: bool = True,
    weighted: bool = False,
) -> Callable[[], Example]:
    def fit() -> Example:
        frame = data()
        weight = np.random.default_rng(1).integers(0, 4, len(frame)).astype(float) if weighted else None
        estimator = make().fit(frame, label(frame), sample_weight=weight)
        return Example(estimator, hard_rows(estimator, _with_unseen(frame)), exact)

    return fit


def _with_unseen(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with categories that no training row has, in rows 0 and 1."""
    frame = frame.copy()
    for name in frame.columns:
        if frame[name].dtype != np.float64:
            is_text = any(isinstance(value, str) for value in frame[name])
            column = frame[name].astype(object)
            column[[0, 1]] = ["unseen", ""] if is_text else [0.25, -1.0]
            frame[name] = column.astype(frame[name].dtype if frame[name].dtype == object else "category")
    return frame


def _constant() -> pd.DataFrame:
    return pd.DataFrame({"f0": np.ones(60), "f1": np.zeros(60)})


_missing = partial(numbers, missing=True)
_one_column = partial(numbers, columns=1)
_seed = {"random_state": 0}
_few: dict[str, Any] = {"n_estimators": 9, **_seed}
_boost: dict[str, Any] = {"max_iter": 8, "min_samples_leaf": 5, **_seed}


def _tree_group(classifier: type, regressor: type) -> dict[type, dict[str, Callable[[], Example]]]:
    return {
        classifier: {
            "two": _example(lambda: classifier(**_seed), two),
            "three": _example(lambda: classifier(**_seed, max_leaf_nodes=12), three),
            "whole": _example(lambda: classifier(**_seed, criterion="entropy", max_depth=5), whole),
            "missing": _example(lambda: classifier(**_seed, max_depth=6), three, _missing),
            "weighted": _example(lambda: classifier(**_seed, class_weight="balanced"), three, weighted=True),
            "leaf": _example(lambda: classifier(**_seed), lambda f: np.arange(len(f)) % 3, _constant),
            "one_class": _example(lambda: classifier(**_seed), one),
            "one_column": _example(lambda: classifier(**_seed), two, _one_column),
            "targets": _example(lambda: classifier(**_seed, max_depth=4), two_and_three),
        },
        regressor: {
            "default": _example(lambda: regressor(**_seed), target),
            "missing": _example(lambda: regressor(**_seed, min_samples_leaf=4), target, _missing),
            "poisson": _example(lambda: regressor(**_seed, criterion="poisson"), positive),
            "absolute_error": _example(
                lambda: regressor(**_seed, criterion="absolute_error", max_depth=3), target, weighted=True
            ),
            "leaf": _example(lambda: regressor(**_seed), lambda f: np.arange(len(f)) / 7, _constant),
            "targets": _example(lambda: regressor(**_seed, max_depth=4), two_numbers, _missing),
        },
    }


def _forest_group(classifier: type, regressor: type) -> dict[type, dict[str, Callable[[], Example]]]:
    return {
        classifier: {
            "two": _example(lambda: classifier(**_few), two),
            "three": _example(lambda: classifier(**_few, class_weight="balanced_subsample", bootstrap=True), three),
            "missing": _example(lambda: classifier(**_few, max_depth=6), whole, _missing),
            "weighted": _example(lambda: classifier(**_few, max_leaf_nodes=9), three, weighted=True),
            "one_tree": _example(lambda: classifier(n_estimators=1, **_seed), three),
            "one_class": _example(lambda: classifier(**_few), one),
            "targets": _example(lambda: classifier(**_few, max_depth=3), two_and_three, _missing),
        },
        regressor: {
            "default": _example(lambda: regressor(**_few), target),
            "missing": _example(lambda: regressor(**_few, max_depth=6), target, _missing),
            "one_tree": _example(lambda: regressor(n_estimators=1, **_seed), target),
            "leaf": _example(lambda: regressor(**_few), lambda f: np.arange(len(f)) / 7, _constant),
            "targets": _example(lambda: regressor(**_few, max_depth=3), two_numbers),
        },
    }


def _gradient_boosting_group() -> dict[type, dict[str, Callable[[], Example]]]:
    classifier = partial(GradientBoostingClassifier, **_few)
    regressor = partial(GradientBoostingRegressor, **_few)
    losses = ("squared_error", "absolute_error", "huber", "quantile")
    return {
        GradientBoostingClassifier: {
            "two": _example(classifier, two, exact=False),
            "three": _example(classifier, three, exact=False),
            "exponential": _example(partial(classifier, loss="exponential"), two, exact=False),
            "zero": _example(partial(classifier, init="zero", learning_rate=0.37), three, exact=False),
            "uniform": _example(partial(classifier, init=DummyClassifier(strategy="uniform")), two, exact=False),
            "certain": _example(
                lambda: classifier(init=DummyClassifier(strategy="constant", constant=True)), two, exact=False
            ),
            "frequent": _example(
                lambda: classifier(init=DummyClassifier(strategy="most_frequent")), three, exact=False
            ),
            "tree": _example(lambda: classifier(init=DecisionTreeClassifier(max_depth=2)), two, exact=False),
            "trees": _example(lambda: classifier(init=ExtraTreeClassifier(max_depth=2, **_seed)), three, exact=False),
            "early": _example(
                partial(classifier, subsample=0.7, n_iter_no_change=2, tol=0.1), whole, exact=False, weighted=True
            ),
        },
        GradientBoostingRegressor: {
            **{loss: _example(partial(regressor, loss=loss), target) for loss in losses},
            "zero": _example(partial(regressor, init="zero", max_leaf_nodes=5), target),
            "median": _example(lambda: regressor(init=DummyRegressor(strategy="median")), target),
            "tree": _example(lambda: regressor(init=DecisionTreeRegressor(max_depth=2)), target, weighted=True),
        },
    }


def _histogram_group() -> dict[type, dict[str, Callable[[], Example]]]:
    classifier = partial(HistGradientBoostingClassifier, **_boost)
    regressor = partial(HistGradientBoostingRegressor, **_boost)
    by_name = ["plan", "code"]
    return {
        HistGradientBoostingClassifier: {
            "two": _example(classifier, two, exact=False),
            "three": _example(classifier, three, exact=False),
            "missing": _example(classifier, three, _missing, exact=False),
            "weighted": _example(partial(classifier, class_weight="balanced"), two, exact=False, weighted=True),
            "dtype": _example(classifier, two, partial(categories, "category"), exact=False),
            "names": _example(
                partial(classifier, categorical_features=by_name), three, partial(categories, "object"), exact=False
            ),
            "mask": _example(
                partial(classifier, categorical_features=[False, True, False]),
                two,
                partial(categories, "float64"),
                exact=False,
            ),
            "only": _example(
                partial(classifier, categorical_features=[0]),
                two,
                lambda: categories("object")[["plan"]],
                exact=False,
            ),
            "leaf": _example(classifier, lambda f: np.arange(len(f)) % 2, _constant, exact=False),
        },
        HistGradientBoostingRegressor: {
            "squared_error": _example(regressor, target),
            "absolute_error": _example(partial(regressor, loss="absolute_error"), target),
            "quantile": _example(partial(regressor, loss="quantile", quantile=0.8), target, _missing),
            # numpy's exp differs from the C library's in the last bit, on some processors.
            "poisson": _example(partial(regressor, loss="poisson"), positive, _missing, exact=False),
            "gamma": _example(partial(regressor, loss="gamma"), positive, weighted=True, exact=False),
            "monotonic": _example(partial(regressor, monotonic_cst=[1, 0, -1, 0]), target),
            "dtype": _example(regressor, target, partial(categories, "category")),
        },
    }


TREE_EXAMPLES: dict[type, dict[str, Callable[[], Example]]] = {
    **_tree_group(DecisionTreeClassifier, DecisionTreeRegressor),
    **_tree_group(ExtraTreeClassifier, ExtraTreeRegressor),
    **_forest_group(RandomForestClassifier, RandomForestRegressor),
    **_forest_group(ExtraTreesClassifier, ExtraTreesRegressor),
    **_gradient_boosting_group(),
    **_histogram_group(),
}
