"""Boosted trees: GradientBoosting* (float32 rows, none missing) and HistGradientBoosting* (float64, categories too).

Both add, to a base, tree after tree in the order of training (in an iteration, class after class), and pass the sum
through the inverse link of their loss.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn._loss import link as links
from sklearn.base import is_classifier
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from .. import ir
from .builder import Builder, Frontend, Predictions
from .classes import from_decision, kind, labels_of
from .trees import stack

_CLASSIFIER_LINKS = (links.LogitLink, links.HalfLogitLink, links.MultinomialLogit)
_REGRESSOR_LINKS = (links.IdentityLink, links.LogLink)


def gradient_boosting(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """init's raw prediction plus learning_rate * value of each tree. Missing values are refused."""
    n_stages, width = estimator.estimators_.shape
    base, init_trees, init_values = _initial(estimator, builder)
    stages = [t.tree_ for t in estimator.estimators_.ravel()]
    values = [*init_values, *(estimator.learning_rate * t.value[:, 0, :1] for t in stages)]
    rows = builder.finite(columns, limit=ir.FLOAT32_LIMIT)
    output = np.tile(np.arange(width), n_stages + len(init_trees) // width)
    nodes = stack([*init_trees, *stages], values, output, builder)
    raw = builder.add(ir.Trees(rows, nodes, base))
    if is_classifier(estimator):
        # Unlike everywhere else in scikit-learn, a binary raw prediction of exactly 0 is the second class.
        return _classify(estimator, raw, builder, zero_is_positive=True)
    return _regress(estimator, raw, builder)


def _initial(estimator: Any, builder: Builder) -> tuple[ir.FloatArray, list[Any], list[ir.FloatArray]]:
    """The raw prediction that boosting starts from: a constant, and trees before all others, with their leaf values.

    The leaves of a single tree as `init` go through the link here, so that its answer is added as one more tree (for
    several classes, one copy for each). Other estimators would read rows that were rounded to float32 before.
    """
    init, width = estimator.init_, estimator.estimators_.shape[1]
    if isinstance(init, str):  # "zero"
        return np.zeros(width), [], []
    if type(init) in (DummyClassifier, DummyRegressor) and init.strategy != "stratified":
        row = np.zeros((1, estimator.n_features_in_), dtype=np.float32)
        answer = init.predict_proba(row) if is_classifier(estimator) else init.predict(row).reshape(1, 1)
        return _link(estimator, answer)[0], [], []
    if type(init) not in (DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor):
        builder.refuse(f"{type(init).__name__} as init has no exact form", 'use init=None, "zero", or a single tree')
    leaves = _link(estimator, init.tree_.value[:, 0, :])
    return np.zeros(width), [init.tree_] * width, [leaves[:, k : k + 1] for k in range(width)]


def _link(estimator: Any, answers: ir.FloatArray) -> ir.FloatArray:
    """Raw predictions (n, width) for the init estimator's answers (n, 1 or classes)."""
    answers = answers.astype(np.float64)
    if is_classifier(estimator):
        epsilon = np.finfo(np.float64).eps
        answers = np.clip(answers, epsilon, 1 - epsilon)
        if estimator.n_classes_ == 2:
            answers = answers[:, 1:]
    raw: ir.FloatArray = estimator._loss.link.link(answers)
    return raw


def hist_gradient_boosting(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The baseline plus each tree's leaf value. Every number is taken, infinities and missing ones too."""
    if estimator.is_categorical_ is not None:
        columns = _encoded(estimator, columns, builder)
    raw = builder.add(_histogram_trees(estimator, columns, builder))
    if is_classifier(estimator):
        if len(estimator.classes_) == 1:
            builder.refuse("it knows one class only", "train it on at least two classes")
        return _classify(estimator, raw, builder, zero_is_positive=False)
    return _regress(estimator, raw, builder)


def _encoded(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """The columns as the trees number them: categories as codes first, then the numbers.

    A category that training did not see becomes missing, as a missing one stays.
    """
    encoder = estimator._preprocessor.named_transformers_["encoder"]
    categorical = estimator.is_categorical_
    with builder.step("categorical_features"):
        codes = builder.transform(encoder, tuple(c for c, is_code in zip(columns, categorical, strict=True) if is_code))
    return (*codes, *(c for c, is_code in zip(columns, categorical, strict=True) if not is_code))


def _histogram_trees(estimator: Any, rows: ir.Block, builder: Builder) -> ir.Trees:
    predictors = [p for iteration in estimator._predictors for p in iteration]
    sizes = [len(p.nodes) for p in predictors]
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    offset = np.repeat(roots, sizes)
    nodes = np.concatenate([p.nodes for p in predictors])
    leaf = nodes["is_leaf"] != 0
    by_category = ~leaf & (nodes["is_categorical"] != 0)

    # A bitset is 256 bits in eight uint32, bit c for code c; each predictor numbers its own.
    bitsets = np.concatenate([p.raw_left_cat_bitsets for p in predictors]).astype("<u4")
    first_bitset = np.cumsum([0] + [len(p.raw_left_cat_bitsets) for p in predictors])[:-1]
    unique, position = np.unique(bitsets, axis=0, return_inverse=True)
    bits = np.unpackbits(np.ascontiguousarray(unique).view(np.uint8), axis=1, bitorder="little")
    category_set = np.full(len(nodes), -1)
    category_set[by_category] = position.ravel()[(np.repeat(first_bitset, sizes) + nodes["bitset_idx"])[by_category]]

    if not np.isfinite(nodes["value"][leaf]).all():
        builder.refuse("a leaf holds a value that is not finite", "train it on targets and weights of ordinary size")
    width = estimator.n_trees_per_iteration_
    forest = ir.Forest(
        roots=roots,
        feature=np.where(leaf, -1, nodes["feature_idx"]),
        threshold=np.where(leaf | by_category, 0.0, nodes["num_threshold"]),
        left=np.where(leaf, -1, nodes["left"] + offset),
        right=np.where(leaf, -1, nodes["right"] + offset),
        missing_left=~leaf & (nodes["missing_go_to_left"] != 0),
        value=np.where(leaf, nodes["value"], 0.0).reshape(-1, 1),
        output=np.tile(np.arange(width), len(estimator._predictors)),
        category_set=category_set,
        category_sets=tuple(tuple(map(float, np.flatnonzero(row))) for row in bits),
    )
    return ir.Trees(rows, forest, estimator._baseline_prediction.ravel())


def _classify(estimator: Any, raw: ir.Block, builder: Builder, *, zero_is_positive: bool) -> Predictions:
    link = type(estimator._loss.link)
    if link not in _CLASSIFIER_LINKS:
        builder.refuse(f"the loss {estimator.loss!r} has a link that pgscore does not know", "use loss='log_loss'")
    names = labels_of(estimator, builder)
    if link is links.MultinomialLogit:
        return from_decision(builder, names, raw, builder.add(ir.Softmax(raw)))
    twice = builder.add(ir.MultiplyAdd(raw, np.full(1, 2.0), np.zeros(1))) if link is links.HalfLogitLink else raw
    positive = builder.add(ir.Sigmoid(twice))
    negative = builder.add(ir.MultiplyAdd(positive, np.full(1, -1.0), np.ones(1)))
    predict = builder.add(ir.Step(raw, inclusive=zero_is_positive))
    return Predictions(kind(names), predict, names, proba=negative + positive, decision=raw)


def _regress(estimator: Any, raw: ir.Block, builder: Builder) -> Predictions:
    link = type(estimator._loss.link)
    if link not in _REGRESSOR_LINKS:
        builder.refuse(
            f"the loss {estimator.loss!r} has a link that pgscore does not know", "use one of its named losses"
        )
    answer = builder.add(ir.Elementwise(raw, ir.Op.EXP)) if link is links.LogLink else raw
    return Predictions(ir.ModelKind.REGRESSOR, answer)


FRONTENDS: dict[type, Frontend] = {
    GradientBoostingClassifier: gradient_boosting,
    GradientBoostingRegressor: gradient_boosting,
    HistGradientBoostingClassifier: hist_gradient_boosting,
    HistGradientBoostingRegressor: hist_gradient_boosting,
}
