"""LightGBM: boosters, read from the text of the model, and the scikit-learn wrappers around them.

Trees compare and add in double. Every number is taken. Before a split is asked, a value within ±1e-35 is 0 (not so in
a sparse matrix), and so is a missing one where training saw none; with `zero_as_missing`, 0 is missing as well.
Categories are looked up by their codes; missing, negative and unknown ones go right.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .. import ir
from ..native import LightGBMModel
from . import boosting
from .answers import scaled
from .builder import Builder, Frontend, Predictions
from .classes import kind

_ZERO = float(np.float32(1e-35))
"""kZeroThreshold of LightGBM: what is no larger in magnitude is 0."""
_BY_CATEGORY, _DEFAULT_LEFT = 1, 2
_NO_MISSING, _ZERO_MISSING = 0, 1
_IDENTITY = frozenset(
    {
        *("regression", "regression_l1", "huber", "fair", "quantile", "mape"),
        *("lambdarank", "rank_xendcg", "custom"),
    }
)
_EXPONENTIAL = frozenset({"poisson", "gamma", "tweedie"})
_PREDICT_OPTIONS = ("pred_early_stop", "start_iteration_predict", "num_iteration_predict")


@dataclass(frozen=True)
class _Model:
    """The text of a booster, taken apart."""

    header: dict[str, str]
    trees: list[dict[str, str]]
    parameters: dict[str, str]
    pandas_categories: list[list[Any]]

    @property
    def width(self) -> int:
        """How many trees an iteration has: one for each class."""
        return int(self.header["num_tree_per_iteration"])


def booster(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """`Booster.predict`: what the objective makes of the sum of the trees."""
    return boosting.regressor(_answers(estimator.booster, columns, builder)[1])


def regressor(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """LGBMRegressor and LGBMRanker answer as their booster."""
    _check_options(estimator, builder)
    return boosting.regressor(_answers(estimator.booster_, columns, builder)[1])


def classifier(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The first class with the largest probability."""
    _check_options(estimator, builder)
    if callable(estimator.objective_):
        builder.refuse("its objective is a Python function, for which it predicts no classes", "name an objective")
    raw, answers = _answers(estimator.booster_, columns, builder)
    names, proba = boosting.classifier(estimator, answers, builder)
    if len(answers) == 2:
        builder.refuse("it has an objective of several classes for two", 'train it with objective="binary"')
    decision = raw if hasattr(estimator, "decision_function") else None  # LightGBM 4.7 brought it
    return Predictions(kind(names), builder.add(ir.ArgMax(proba)), names, proba=proba, decision=decision)


def _check_options(estimator: Any, builder: Builder) -> None:
    given = estimator.get_params()
    for name in _PREDICT_OPTIONS:
        if given.get(name):
            builder.refuse(f"{name} changes how it predicts", f"train it without {name}")


def _answers(model: Any, columns: ir.Block, builder: Builder) -> tuple[ir.Block, ir.Block]:
    """The sums of the trees, and what `Booster.predict` gives."""
    parsed = _parse(model.model_to_string(), model.pandas_categorical or [])
    raw = builder.add(_trees(parsed, columns, builder))
    return raw, _converted(parsed, raw, builder)


def check(text: str) -> None:
    """Raises ValueError where the text of a model holds no trees, UnsupportedError where it does not compile."""
    model = _parse(text, [])
    builder = Builder([f"x{index}" for index in range(int(model.header["max_feature_idx"]) + 1)])
    _trees(model, builder.inputs, builder)


def _parse(text: str, pandas_categories: list[list[Any]]) -> _Model:
    body, _, tail = text.partition("\nend of trees")
    head, *blocks = body.split("\nTree=")
    parameters = dict(line[1:-1].split(": ", 1) for line in tail.splitlines() if line.startswith("[") and ": " in line)
    return _Model(_pairs(head), [_pairs(block) for block in blocks], parameters, pandas_categories)


def _pairs(block: str) -> dict[str, str]:
    found = {}
    for line in block.splitlines():
        name, _, value = line.partition("=")
        found[name] = value
    return found


def _trees(model: _Model, columns: ir.Block, builder: Builder) -> ir.Trees:
    """The forest on the columns as it compares them."""
    if any(tree.get("is_linear", "0") != "0" for tree in model.trees):
        builder.refuse("linear_tree puts a linear model in each leaf", "train it with linear_tree=False")
    sizes = [2 * int(tree["num_leaves"]) - 1 for tree in model.trees]
    n_inner = [int(tree["num_leaves"]) - 1 for tree in model.trees]
    roots = np.cumsum(sizes) - sizes
    split = np.arange(sum(sizes)) - np.repeat(roots, sizes) < np.repeat(n_inner, sizes)

    def of_splits(name: str, default: float = 0.0) -> ir.FloatArray:
        """An array of the splits of all trees, spread over all nodes."""
        given = [tree[name].split() for tree, inner in zip(model.trees, n_inner, strict=True) if inner]
        spread = np.full(len(split), default)
        spread[split] = np.array([word for words in given for word in words], dtype=np.float64)
        return spread

    inner_of = np.repeat(n_inner, sizes)
    children = [of_splits(name).astype(np.int64) for name in ("left_child", "right_child")]
    left, right = (np.where(child >= 0, child, inner_of + ~child) for child in children)
    decision = of_splits("decision_type").astype(np.int64)
    feature = np.where(split, of_splits("split_feature").astype(np.int64), boosting.LEAF)
    threshold = of_splits("threshold")
    value = np.zeros((len(split), 1))
    value[~split, 0] = np.array([word for tree in model.trees for word in tree["leaf_value"].split()], dtype=np.float64)
    if not np.isfinite(value).all():
        builder.refuse("a leaf holds a value that is not finite", "train it on targets and weights of ordinary size")

    by_category = split & (decision & _BY_CATEGORY > 0)
    missing = decision >> 2 & 3
    default_left = decision & _DEFAULT_LEFT > 0
    sets, first = _sets(model)
    number = np.where(by_category, threshold, 0).astype(np.int64)  # of a set within its tree
    n_sets = np.repeat([int(tree["num_cat"]) for tree in model.trees], sizes)
    if np.any(by_category & ((number < 0) | (number >= n_sets))):
        raise ValueError("a split has no set of categories")
    set_of = np.where(by_category, number + np.repeat(first, sizes), -1)
    forest = boosting.trees(
        sizes,
        feature=feature,
        threshold=threshold if builder.sparse else _beside_zero(threshold),
        left=left,
        right=right,
        missing_left=~by_category & np.where(missing == _NO_MISSING, threshold >= 0, default_left),
        value=value,
        output=np.arange(len(sizes)) % model.width,
        sets=sets,
        set_of=set_of,
    )
    with_zero = frozenset(feature[split & ~by_category & (missing == _ZERO_MISSING)].tolist())
    without_zero = frozenset(feature[split & ~by_category & (missing != _ZERO_MISSING)].tolist())
    if with_zero & without_zero:
        builder.refuse("its trees disagree on whether 0 is missing", "train all of it with one zero_as_missing")
    rows = _columns(model, columns, frozenset(feature[by_category].tolist()), with_zero, builder)
    return ir.Trees(rows, forest, np.zeros(model.width))


def _sets(model: _Model) -> tuple[list[tuple[float, ...]], list[int]]:
    """The sets of categories of all trees, and where those of each tree begin. A set is a string of bits."""
    sets: list[tuple[float, ...]] = []
    first = []
    for tree in model.trees:
        first.append(len(sets))
        if int(tree["num_cat"]):
            bounds = [int(word) for word in tree["cat_boundaries"].split()]
            words = np.array(tree["cat_threshold"].split(), dtype=np.int64).astype("<u4")
            for start, stop in pairwise(bounds):
                bits = np.unpackbits(words[start:stop].view(np.uint8), bitorder="little")
                sets.append(tuple(map(float, np.flatnonzero(bits))))
    return sets, first


def _beside_zero(threshold: ir.FloatArray) -> ir.FloatArray:
    """Thresholds that decide about x as they decide about x with all that is 0 to LightGBM set to 0."""
    below, above = np.nextafter(-_ZERO, -np.inf), _ZERO
    moved = np.where((threshold >= -_ZERO) & (threshold < 0), below, threshold)
    return np.where((threshold >= 0) & (threshold < _ZERO), above, moved)


def _columns(
    model: _Model, columns: ir.Block, by_category: frozenset[int], with_zero: frozenset[int], builder: Builder
) -> ir.Block:
    """What the trees compare: categories as codes, and numbers without what counts as missing."""
    named = dict(_pandas_columns(model, builder))
    found = list(columns)
    for index, column in enumerate(columns):
        if index in named:
            (found[index],) = boosting.codes(named[index], column, builder, closed=False)
        elif index in by_category:
            (found[index],) = _truncated(column, builder)
        elif index in with_zero:
            magnitude = builder.add(ir.Elementwise((column,), ir.Op.ABS))
            is_zero = builder.add(ir.Step(builder.add(ir.Elementwise(magnitude, ir.Op.NEGATIVE)), -_ZERO, True))
            (found[index],) = boosting.without(is_zero, (column,), builder)
    return tuple(found)


def _truncated(column: ir.Ref, builder: Builder) -> ir.Block:
    """A number without its fraction, as C casts it to an integer."""
    up, down = (builder.add(ir.Elementwise((column,), op)) for op in (ir.Op.CEIL, ir.Op.FLOOR))
    is_positive = builder.add(ir.Step((column,), inclusive=True))
    return builder.add(ir.Select(is_positive + down + up))


def _pandas_columns(model: _Model, builder: Builder) -> Iterator[tuple[int, list[Any]]]:
    """The columns that pandas held as categories, with these. The model keeps their number and order, not their names.

    They are its categorical features, unless some are ordered categories, which it takes as numbers.
    """
    given = model.parameters.get("categorical_feature", "")
    indices = [int(index) for index in given.split(",")] if given.replace(",", "").isdigit() else []
    if not model.pandas_categories:
        return
    infos = model.header["feature_infos"].split()
    last = [len(categories) - 1 for categories in model.pandas_categories]
    largest = [max((int(c) for c in infos[i].split(":") if c.lstrip("-").isdigit()), default=-1) for i in indices]
    # Where other columns were named as categorical ones, those of pandas are numbers from 0 to their last code.
    unsure = {end for most, end in zip(largest, last, strict=False) if most != end}
    if (
        len(indices) != len(last)
        or any(most > end for most, end in zip(largest, last, strict=True))
        or any(f"[0:{end}]" in infos for end in unsure)
    ):
        builder.refuse(
            "it does not tell which of its columns were pandas' categories",
            "let all columns of that dtype be unordered, and give no other categorical_feature",
        )
    yield from zip(sorted(indices), model.pandas_categories, strict=True)


def _converted(model: _Model, raw: ir.Block, builder: Builder) -> ir.Block:
    """What the objective makes of the sum: `ObjectiveFunction::ConvertOutput`."""
    if "average_output" in model.header:
        rounds = len(model.trees) // model.width
        raw = builder.add(ir.Standardize(raw, np.zeros(len(raw)), np.full(len(raw), float(rounds))))
    name, *options = model.header.get("objective", "custom").split()
    settings = dict(option.split(":") for option in options if ":" in option)
    if name in _EXPONENTIAL:
        return builder.add(ir.Elementwise(raw, ir.Op.EXP))
    if name in ("binary", "multiclassova", "cross_entropy"):
        slope = float(settings.get("sigmoid", 1.0))
        steeper = scaled(builder, raw, slope) if slope != 1 else raw
        return builder.add(ir.Sigmoid(steeper))
    if name == "multiclass":
        return builder.add(ir.Softmax(raw))
    if name == "cross_entropy_lambda":
        return builder.add(ir.Elementwise(builder.add(ir.Elementwise(raw, ir.Op.EXP)), ir.Op.LOG1P))
    if "sqrt" in options:
        return builder.add(ir.Multiply(raw + builder.add(ir.Elementwise(raw, ir.Op.ABS))))
    if name not in _IDENTITY:
        builder.refuse(f"pgscore does not know its objective {name!r}", "use one of LightGBM's named objectives")
    return raw


FRONTENDS: dict[type | str, Frontend] = {
    LightGBMModel: booster,
    "lightgbm.sklearn.LGBMClassifier": classifier,
    "lightgbm.sklearn.LGBMRegressor": regressor,
    "lightgbm.sklearn.LGBMRanker": regressor,
}

_REFUSED = "linear_tree and pandas' categories that are ordered or beside other categorical_feature are refused"
NOTES: dict[type | str, str] = {
    LightGBMModel: f"a text file or a Booster; {_REFUSED}",
    "lightgbm.sklearn.LGBMClassifier": f"objectives that are Python functions, {_REFUSED}",
    "lightgbm.sklearn.LGBMRegressor": _REFUSED,
    "lightgbm.sklearn.LGBMRanker": f"its scores; {_REFUSED}",
}
