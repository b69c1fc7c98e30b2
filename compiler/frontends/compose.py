"""Composition: Pipeline, ColumnTransformer, FeatureUnion. Selecting and joining columns is wiring and adds no node.

scikit-learn hands some steps a sparse matrix, which changes the answer in two ways: scalers multiply by the reciprocal
instead of dividing, and no predictor takes a missing value. So each step is told whether its input is sparse.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from .. import ir
from .builder import Builder, Frontend, Predictions


def pipeline(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block | Predictions:
    """The steps one after the other. The last one may be a predictor or a transformer."""
    sparse = builder.sparse
    *transformers, (last_name, last) = estimator.steps
    for name, step in transformers:
        columns = _transform(builder, name, step, columns, sparse=sparse)
        sparse = _gives_sparse(step, sparse)
    if _passes(last) or not hasattr(last, "predict"):
        return _transform(builder, last_name, last, columns, sparse=sparse)
    with _step(builder, last_name, sparse=sparse):
        if sparse and type(last) is not Pipeline:
            columns = builder.finite(columns)
        return builder.convert(last, columns)


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


def function_transformer(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """What scikit-learn fits for "passthrough": no function, no validation."""
    if estimator.func is not None or estimator.validate:
        builder.refuse("FunctionTransformer calls Python", "do the same with other transformers, or in the table")
    return columns


def input_names(estimator: Any) -> list[str]:
    """The model's columns by `feature_names_in_`, else x0, x1, …; none where it does not know (it is not fitted, say).

    Pipeline and FeatureUnion ask their first part alone, which fails where that is "passthrough" or "drop".
    """
    parts = {Pipeline: "steps", FeatureUnion: "transformer_list"}.get(type(estimator))
    if parts is not None:
        names = (input_names(part) for _, part in getattr(estimator, parts) if not (_passes(part) or _drops(part)))
        return next((found for found in names if found), [])
    found = getattr(estimator, "feature_names_in_", None)
    if found is None:
        return [f"x{index}" for index in range(getattr(estimator, "n_features_in_", 0))]
    return [str(name) for name in found]


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
    return builder.add(ir.MultiplyAdd(block, np.full(len(block), weight), np.zeros(len(block))))


def _gives_sparse(part: Any, takes_sparse: bool) -> bool:
    """Whether the step's `transform` gives a sparse matrix; steps not named here give what they take."""
    match part:
        case OneHotEncoder():
            return bool(part.sparse_output)
        case ColumnTransformer():
            return bool(part.sparse_output_)
        case FeatureUnion():
            return any(_gives_sparse(p, takes_sparse) for _, p in part.transformer_list if not _drops(p))
        case Pipeline():
            for _, step in part.steps:
                takes_sparse = _gives_sparse(step, takes_sparse)
    return takes_sparse


FRONTENDS: dict[type, Frontend] = {
    Pipeline: pipeline,
    ColumnTransformer: column_transformer,
    FeatureUnion: feature_union,
    FunctionTransformer: function_transformer,
}
