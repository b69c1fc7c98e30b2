"""XGBoost: boosters, read from their JSON, and the scikit-learn wrappers around them.

It computes in float32: it rounds each value, asks whether that is below the threshold, and adds leaf after leaf to the
base score. Both are met bit for bit. So are its probabilities but for the last bit of expf, which is the library's own:
expf of the C library may differ from the exponential rounded to float32 in one row of two thousand.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import ir
from ..native import XGBoostModel
from . import boosting
from .builder import Builder, Frontend, Predictions
from .classes import kind, labels_of
from .float32 import float32_below, float32_threshold

# Of ten million margins around 0, 0.03 % had another last bit, and one differed by more than 1e-5 as 1 - p.
_TOLERANCE, _REASON = 1e-6, "XGBoost answers in float32"
_OF_BOTH, _REASON_OF_BOTH = 1e-5, "XGBoost answers in float32, and 1 - p has fewer digits than p"
_LARGEST_CATEGORY = float(2**24)
_NEAR_ZERO = np.float32(1e-6)
_EXP_END = float(np.float32(88.7))
"""The largest argument that XGBoost's sigmoid hands to expf."""

_LOGISTIC = frozenset({"binary:logistic", "reg:logistic"})
_EXPONENTIAL = frozenset({"count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft"})
_IDENTITY = frozenset(
    {
        *("reg:squarederror", "reg:squaredlogerror", "reg:absoluteerror", "reg:pseudohubererror", "reg:linear"),
        *("reg:quantileerror", "reg:expectileerror", "binary:logitraw"),
        *("rank:ndcg", "rank:map", "rank:pairwise"),
    }
)


def booster(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """`Booster.predict` of a DMatrix, which refuses numbers beyond float32; it uses all trees."""
    model = _Model(estimator.booster, columns, builder, _Rows(limited=True))
    return boosting.regressor(builder.given_in_float32(model.answers()))


def regressor(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """XGBRegressor, XGBRanker and XGBRFRegressor answer as their booster."""
    return boosting.regressor(builder.given_in_float32(_wrapped(estimator, columns, builder).answers()))


def classifier(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The second class where its probability is above 1/2; of several, the first that is most probable."""
    model = _wrapped(estimator, columns, builder)
    names = labels_of(estimator, builder)
    if model.width == 1 and len(names) == 2:
        positive = model.answers()
        if model.objective in _LOGISTIC:
            builder.approximate(_OF_BOTH, _REASON_OF_BOTH)
        proba = builder.given_in_float32(model.rounded(boosting.both(positive, builder)[:1]) + positive)
        return Predictions(kind(names), builder.add(ir.Step(positive, 0.5)), names, proba=proba)
    if model.width != len(names) or len(names) < 3:
        builder.refuse(
            f"its objective gives {model.width} numbers for {len(names)} classes",
            "train one model for each label, and let XGBoost choose the objective",
        )
    proba = builder.given_in_float32(model.softmax())
    chosen = model.margin if model.objective == "multi:softmax" else proba
    return Predictions(kind(names), builder.add(ir.ArgMax(chosen)), names, proba=proba)


def _wrapped(estimator: Any, columns: ir.Block, builder: Builder) -> _Model:
    """The booster of a wrapper, up to its best iteration.

    The wrapper predicts on the rows as they are, with infinities, but for linear boosters. In a sparse matrix it takes
    what is not stored, 0, as missing.
    """
    missing = float(np.float32(estimator.missing))
    if math.isinf(missing):
        builder.refuse("it takes infinity as missing", "replace infinities by NaN")
    linear = estimator.booster == "gblinear"
    best = None if linear else getattr(estimator, "best_iteration", None)
    rows = _Rows(missing, sparse=builder.sparse, limited=linear)
    return _Model(estimator.get_booster(), columns, builder, rows, None if best is None else best + 1)


@dataclass(frozen=True)
class _Rows:
    """How the rows reach the booster: the float32 that stands for missing beside NaN; whether 0 is not stored.

    With `limited`, as a DMatrix, which takes nothing beyond float32.
    """

    missing: float = math.nan
    sparse: bool = False
    limited: bool = False

    def numbers(self, columns: ir.Block, builder: Builder) -> ir.Block:
        """Columns of numbers as the booster sees them."""
        if self.limited:
            columns = builder.finite(columns, missing=True, limit=ir.FLOAT32_LIMIT)
        if self.sparse and columns:
            stored = builder.add(ir.Step(builder.add(ir.Elementwise(columns, ir.Op.ABS))))
            nothing = builder.add(ir.Constant((), np.full(1, np.nan)))
            columns = builder.add(ir.Select((*stored, *columns, *nothing * len(columns))))
        if math.isnan(self.missing):
            return columns
        return tuple(ref for column in columns for ref in self._without_missing(column, builder))

    def _without_missing(self, column: ir.Ref, builder: Builder) -> ir.Block:
        """The column, missing where float32 makes it the number that stands for missing."""
        first = np.nextafter(float32_below(np.array([self.missing])), np.inf)
        after = np.nextafter(float32_threshold(np.array([self.missing])), np.inf)
        inside = np.array([0.0, 1.0, 0.0]).reshape(3, 1, 1)
        is_missing = builder.add(ir.Piecewise((column,), np.concatenate([first, after]), np.zeros(3), inside))
        return boosting.without(is_missing, (column,), builder)


Float32 = npt.NDArray[np.float32]


class _Model:
    """A booster on its columns: its margins, and what its objective makes of them.

    `width` is the number of classes or targets, `rounds` how many iterations count (None: all).
    """

    def __init__(
        self, booster: Any, columns: ir.Block, builder: Builder, rows: _Rows, rounds: int | None = None
    ) -> None:
        learner = json.loads(bytes(booster.save_raw("json")))["learner"]
        parameters = learner["learner_model_param"]
        self._builder = builder
        self._rows = rows
        self.objective: str = learner["objective"]["name"]
        self.width = max(1, int(parameters["num_class"]), int(parameters["num_target"]))
        # Newer versions write a list, with one score for each target.
        written = json.loads(parameters["base_score"])
        score = np.atleast_1d(np.array(written, dtype=np.float32))
        gradient_booster = learner["gradient_booster"]
        untrained = not booster.num_boosted_rounds()
        if untrained and gradient_booster["name"] != "gbtree":
            builder.refuse("it was trained for no round", "train it for one round or more")
        # What the first round is to estimate counts as a margin until then.
        base = score if untrained and parameters.get("boost_from_average") == "1" else self._link(score)
        if gradient_booster["name"] == "gblinear":
            # Every class starts from the score of the first one.
            self.margin = self._linear(gradient_booster["model"], columns, np.repeat(base[:1], self.width))
            return
        base = np.broadcast_to(base, self.width)
        dropped = gradient_booster.get("weight_drop")
        model = gradient_booster["gbtree"]["model"] if dropped is not None else gradient_booster["model"]
        count = len(model["trees"]) if rounds is None else model["iteration_indptr"][rounds]
        weights = None if dropped is None else np.array(dropped[:count], dtype=np.float32)
        self.margin = self._trees(model, count, weights, columns, base)

    def _link(self, score: Float32) -> Float32:
        """The base score as a margin, in float32. That of a probability keeps a distance from 0 and 1."""
        one = np.float32(1)
        if self.objective in _LOGISTIC:
            score = np.clip(score, _NEAR_ZERO, one - _NEAR_ZERO)
            margin = -np.log((one / score - one).astype(np.float64)).astype(np.float32)
        elif self.objective in _EXPONENTIAL:
            with np.errstate(divide="ignore"):
                margin = np.log(score.astype(np.float64)).astype(np.float32)
        else:
            margin = score
        if not np.isfinite(margin).all():
            self._builder.refuse("its base score is no finite margin", "train it on targets that are not all 0")
        return margin

    def _trees(self, model: Any, count: int, weights: Any, columns: ir.Block, base: Float32) -> ir.Block:
        given, output = model["trees"][:count], np.array(model["tree_info"][:count], dtype=np.int64)
        if any(int(tree["tree_param"]["size_leaf_vector"]) > 1 for tree in given):
            self._builder.refuse(
                'multi_strategy="multi_output_tree" puts several numbers in a leaf',
                'train it with multi_strategy="one_output_per_tree"',
            )
        sizes = [len(tree["left_children"]) for tree in given]

        def of_nodes(name: str) -> ir.FloatArray:
            return np.array([value for tree in given for value in tree[name]], dtype=np.float64)

        left, right = of_nodes("left_children").astype(np.int64), of_nodes("right_children").astype(np.int64)
        leaf = left == -1
        condition = of_nodes("split_conditions").astype(np.float32)
        feature = np.where(leaf, boosting.LEAF, of_nodes("split_indices").astype(np.int64))
        default_left = of_nodes("default_left") != 0
        by_category = ~leaf & (of_nodes("split_type") == 1)
        sets, set_of = _sets(given, sizes)
        value = np.where(leaf, condition, np.float32(0))
        if weights is not None:
            value = _weighted(value, weights.repeat(sizes), base[output].repeat(sizes), in_place=not self._rows.limited)
        if not np.isfinite(value).all() or np.abs(value).max(initial=0) * len(sizes) > ir.FLOAT32_LIMIT / 2:
            self._builder.refuse("its leaves overflow float32", "train it on targets and weights of ordinary size")
        forest = boosting.trees(
            sizes,
            feature=feature,
            threshold=float32_below(np.where(leaf, 0, condition)),
            # A value in the set of a split goes right.
            left=np.where(by_category, right, left),
            right=np.where(by_category, left, right),
            missing_left=default_left ^ by_category,
            value=value.reshape(-1, 1),
            output=output,
            sets=sets,
            set_of=np.where(by_category, set_of, -1),
        )
        rows = self._columns(model, columns, frozenset(feature[by_category].tolist()))
        return self._builder.add(ir.Trees(rows, forest, base.astype(np.float64), single=True))

    def _columns(self, model: Any, columns: ir.Block, by_category: frozenset[int]) -> ir.Block:
        """What the trees compare: pandas' categories as codes, other categories as whole numbers."""
        encoded = model.get("cats", {}).get("enc", [])
        known = {index: names for index, e in enumerate(encoded) if (names := _categories(e, self._builder))}
        if known and not math.isnan(self._rows.missing):
            self._builder.refuse("missing is a number, which may be a category's too", "train it with missing=np.nan")
        numbers = [index for index in range(len(columns)) if index not in known]
        found = list(columns)
        for index, ref in zip(
            numbers, self._rows.numbers(tuple(columns[i] for i in numbers), self._builder), strict=True
        ):
            # A fraction belongs to the category below it, and a negative number to none.
            whole = index in by_category
            found[index] = self._builder.add(ir.Elementwise((ref,), ir.Op.FLOOR))[0] if whole else ref
        for index, names in known.items():
            (found[index],) = boosting.codes(names, columns[index], self._builder, closed=True)
        return tuple(found)

    def _linear(self, model: Any, columns: ir.Block, base: Float32) -> ir.Block:
        """Bias and base, then feature after feature, each product and sum rounded. A missing value adds nothing."""
        add, width = self._builder.add, self.width
        weights = np.array(model["weights"], dtype=np.float32).reshape(-1, width)
        total = add(ir.Constant((), (weights[-1] + base).astype(np.float64)))
        pairs = np.hstack([np.eye(width)] * 2)
        columns = self._rows.numbers(columns, self._builder)
        filled = add(ir.Impute(columns, np.zeros(len(columns))))
        rounded = self.rounded(filled)
        for column, row in zip(rounded, weights[:-1].astype(np.float64), strict=True):
            product = self.rounded(add(ir.MultiplyAdd((column,) * width, row, np.zeros(width))))
            total = self.rounded(add(ir.Affine(total + product, pairs, np.zeros(width))))
        return total

    def rounded(self, columns: ir.Block) -> ir.Block:
        """The nearest float32."""
        return self._builder.add(ir.Elementwise(columns, ir.Op.FLOAT32))

    def answers(self) -> ir.Block:
        """What `predict` of the booster gives."""
        add = self._builder.add
        if self.objective in _IDENTITY:
            return self.margin
        if self.objective in _LOGISTIC:
            return self._sigmoid()
        if self.objective in _EXPONENTIAL:
            self._builder.approximate(_TOLERANCE, _REASON)
            return self.rounded(add(ir.Elementwise(self.margin, ir.Op.EXP)))
        other: dict[str, Callable[[], ir.Block]] = {
            "binary:hinge": lambda: add(ir.Step(self.margin)),
            "multi:softprob": self.softmax,
            "multi:softmax": lambda: add(ir.ArgMax(self.margin)),
        }
        if self.objective not in other:
            self._builder.refuse(
                f"pgscore does not know its objective {self.objective!r}", "use one of XGBoost's named objectives"
            )
        return other[self.objective]()

    def _sigmoid(self) -> ir.Block:
        """1 / (1 + exp(-x)), each step rounded. Below exp(-87) the sum is 1."""
        add = self._builder.add
        self._builder.approximate(_TOLERANCE, _REASON)
        negated = add(ir.Clip(add(ir.Elementwise(self.margin, ir.Op.NEGATIVE)), -87.0, _EXP_END))
        e = self.rounded(add(ir.Elementwise(negated, ir.Op.EXP)))
        total = self.rounded(add(ir.MultiplyAdd(e, np.ones(len(e)), np.ones(len(e)))))
        one = add(ir.Constant((), np.ones(1)))
        return self.rounded(add(ir.Divide(one * len(total) + total)))

    def softmax(self) -> ir.Block:
        """exp(x - largest) over their sum, each step rounded, but the sum only at its end."""
        add, n = self._builder.add, self.width
        self._builder.approximate(_TOLERANCE, _REASON)
        largest = add(ir.Reduce(self.margin))
        less = np.hstack([np.eye(n), np.full((n, 1), -1.0)])
        shifted = self.rounded(add(ir.Affine(self.margin + largest, less, np.zeros(n))))
        # Below exp(-104) a float32 is 0.
        e = self.rounded(add(ir.Elementwise(add(ir.Clip(shifted, -104.0, 0.0)), ir.Op.EXP)))
        total = self.rounded(add(ir.Affine(e, np.ones((1, n)), np.zeros(1))))
        return self.rounded(add(ir.Divide(e + total * n)))


def _weighted(value: Float32, weight: Float32, base: Float32, *, in_place: bool) -> Float32:
    """The leaves of dart with the weight of their tree, in float32.

    Where it predicts in place, XGBoost first adds the base to each leaf and takes it off again.
    """
    return ((base + value) - base if in_place else value) * weight


def _sets(trees: list[Any], sizes: list[int]) -> tuple[list[tuple[float, ...]], ir.IntArray]:
    """The sets of categories of all trees, and for each node the number of its set, -1 for none."""
    sets: list[tuple[float, ...]] = []
    set_of = np.full(sum(sizes), -1)
    start = 0
    for tree, size in zip(trees, sizes, strict=True):
        for node, begin, length in zip(
            tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True
        ):
            set_of[start + node] = len(sets)
            members = tree["categories"][begin : begin + length]
            sets.append(tuple(float(member) for member in members if member < _LARGEST_CATEGORY))
        start += size
    return sets, set_of


def _categories(encoded: dict[str, Any], builder: Builder) -> list[Any]:
    """The categories of one feature, in the order of their codes: bytes of text between offsets, or numbers."""
    values = encoded["values"]
    if "offsets" not in encoded:
        return list(values)
    text = bytes(value % 256 for value in values)
    if not text.isascii():  # their ends are counted in characters, and lie within others
        builder.refuse("XGBoost 3.2 cuts off the names of categories that are not ASCII", "use ASCII names")
    ends = encoded["offsets"]
    return [text[start:end].decode() for start, end in pairwise(ends)]


FRONTENDS: dict[type | str, Frontend] = {
    XGBoostModel: booster,
    "xgboost.sklearn.XGBClassifier": classifier,
    "xgboost.sklearn.XGBRegressor": regressor,
    "xgboost.sklearn.XGBRanker": regressor,
    "xgboost.sklearn.XGBRFClassifier": classifier,
    "xgboost.sklearn.XGBRFRegressor": regressor,
}

_LEAVES = (
    "multi_output_tree and several labels at once are refused; probabilities are float32, and what a stack's linear "
    "model or a transformed target computes from its answers is within 1e-4"
)
NOTES: dict[type | str, str] = {
    XGBoostModel: "a .json or .ubj file, or a Booster; multi_output_tree is refused",
    **dict.fromkeys((name for name in FRONTENDS if isinstance(name, str)), _LEAVES),
}
