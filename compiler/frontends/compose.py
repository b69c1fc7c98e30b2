"""Composition: Pipeline, ColumnTransformer, FeatureUnion. Selecting and joining columns is wiring and adds no node.

scikit-learn hands some steps a sparse matrix, which changes the answer in two ways: scalers multiply by the reciprocal
instead of dividing, and no predictor takes a missing value. So each step is told whether its input is sparse.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import IsolationForest
from sklearn.isotonic import IsotonicRegression
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import LabelBinarizer

from .. import ir
from .answers import scaled
from .builder import Builder, Frontend, Predictions
from .parts import members, parts
from .sparsity import gives_sparse

__all__ = ["FRONTENDS", "input_names", "parts", "predictions", "wrapped"]

TAKE_ANYTHING = (IsolationForest, DummyClassifier, DummyRegressor)
"""Predictors that take a missing value in a sparse matrix too; so do those of these libraries."""
_LIBRARIES = ("lightgbm.", "xgboost.", "catboost.")


def pipeline(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block | Predictions:
    """The steps one after the other. The last one may be a predictor or a transformer."""
    sparse, before = builder.sparse, builder.before
    *transformers, (last_name, last) = estimator.steps
    try:
        for name, step in transformers:
            columns = _transform(builder, name, step, columns, sparse=sparse)
            sparse = gives_sparse(step, sparse)
            builder.before = (*builder.before, step)
        if _passes(last) or not hasattr(last, "predict"):
            return _transform(builder, last_name, last, columns, sparse=sparse)
        with _step(builder, last_name, sparse=sparse):
            return builder.convert(last, _accepted(builder, last, columns))
    finally:
        builder.before = before


def wrapped(builder: Builder, name: str, part: Any, columns: ir.Block) -> ir.Block | Predictions:
    """A wrapper's one part, which answers as the wrapper does; a transformer perhaps."""
    with builder.step(name):
        return builder.convert(part, _accepted(builder, part, columns))


def predictions(
    builder: Builder, name: str, part: Any, columns: ir.Block, *, sparse: bool | None = None
) -> Predictions:
    """The predictions of a composite's part. `sparse` as for the composite itself unless it says otherwise."""
    with _step(builder, name, sparse=builder.sparse if sparse is None else sparse):
        return builder.predictions(part, _accepted(builder, part, columns))


def _accepted(builder: Builder, part: Any, columns: ir.Block) -> ir.Block:
    """The columns for a predictor, which takes nothing missing in sparse rows; a composite leaves that to its parts."""
    refuses = builder.sparse and hasattr(part, "predict") and parts(part) is None
    takes_anything = isinstance(part, TAKE_ANYTHING) or type(part).__module__.startswith(_LIBRARIES)
    return builder.finite(columns) if refuses and not takes_anything else columns


def column_transformer(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """Each part on its own columns, side by side in the order of `transformers_`; the remainder comes last."""
    parts: list[ir.Ref] = []
    for name, part, _ in estimator.transformers_:
        indices = estimator._transformer_to_input_indices[name]
        if _drops(part) or not len(indices):
            continue
        block = _transform(builder, name, part, tuple(columns[i] for i in indices), sparse=builder.sparse)
        parts += _weighted(builder, name, estimator.transformer_weights, block)
    return tuple(parts)


def feature_union(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """Each part on all columns, side by side."""
    parts: list[ir.Ref] = []
    for name, part in estimator.transformer_list:
        if not _drops(part):
            block = _transform(builder, name, part, columns, sparse=builder.sparse)
            parts += _weighted(builder, name, estimator.transformer_weights, block)
    return tuple(parts)


def input_names(estimator: Any) -> list[str]:
    """The model's columns by `feature_names_in_`, else x0, x1, …; none where it does not know (it is not fitted, say).

    Composites ask one of their parts, which fails where that is "passthrough" or "drop", or does not know the names
    that another part knows.
    """
    if type(estimator) in (IsotonicRegression, LabelBinarizer):
        return ["x0"]  # they have one column, and do not count it
    names = getattr(estimator, "feature_names_in_", None)
    if names is None and type(estimator).__module__.startswith("catboost."):
        given = estimator.feature_names_ or []
        nameless = given == [str(index) for index in range(len(given))]
        names = _unnamed(len(given)) if nameless else given
    if names is not None:
        return [str(name) for name in names]
    found = [input_names(part) for _, part in members(estimator) if not (_passes(part) or _drops(part))]
    found = [names for names in found if names]
    if isinstance(estimator, Pipeline) and found:
        return found[0]
    own = _unnamed(getattr(estimator, "n_features_in_", 0))
    return next((names for names in found if names != _unnamed(len(names))), own or next(iter(found), []))


def _unnamed(n: int) -> list[str]:
    return [f"x{index}" for index in range(n)]


def _passes(part: Any) -> bool:
    return part is None or (isinstance(part, str) and part == "passthrough")


def _drops(part: Any) -> bool:
    return isinstance(part, str) and part == "drop"


def _transform(builder: Builder, name: str, part: Any, columns: ir.Block, *, sparse: bool) -> ir.Block:
    if _passes(part):
        return columns
    with _step(builder, name, sparse=sparse):
        return builder.transform(part, columns)


@contextmanager
def _step(builder: Builder, name: str, *, sparse: bool) -> Iterator[None]:
    before, builder.sparse = builder.sparse, sparse
    try:
        with builder.step(name):
            yield
    finally:
        builder.sparse = before


def _weighted(builder: Builder, name: str, weights: dict[str, float] | None, block: ir.Block) -> ir.Block:
    weight = (weights or {}).get(name)
    if weight is None or not block:
        return block
    return scaled(builder, block, weight)


FRONTENDS: dict[type, Frontend] = {
    Pipeline: pipeline,
    ColumnTransformer: column_transformer,
    FeatureUnion: feature_union,
}
