"""Which transformers give a sparse matrix: what follows computes in another way on one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from sklearn.cluster import Birch, BisectingKMeans, FeatureAgglomeration, KMeans, MiniBatchKMeans
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import NMF, PCA, IncrementalPCA, KernelPCA, MiniBatchNMF, TruncatedSVD
from sklearn.ensemble import (
    RandomTreesEmbedding,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.kernel_approximation import Nystroem, PolynomialCountSketch, RBFSampler
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, QuantileTransformer, SplineTransformer
from sklearn.random_projection import GaussianRandomProjection, SparseRandomProjection

from .builder import Builder
from .parts import SEARCHES, parts

GIVE_ARRAYS = (
    *(KMeans, MiniBatchKMeans, BisectingKMeans, Birch, FeatureAgglomeration),
    *(PCA, IncrementalPCA, KernelPCA, TruncatedSVD, NMF, MiniBatchNMF, GaussianRandomProjection),
    *(RBFSampler, Nystroem, PolynomialCountSketch, VotingClassifier, VotingRegressor),
)
"""Transformers that take a sparse matrix and give an array."""


def gives_sparse(part: Any, takes_sparse: bool) -> bool:
    """Whether the step's `transform` gives a sparse matrix; steps not named here give what they take."""
    rule = _RULES.get(type(part))
    return bool(rule(part, takes_sparse)) if rule else takes_sparse


def refuse_stored_zeros(builder: Builder) -> None:
    """Refuses a sparse matrix that may store a 0, for a step that tells such a 0 from no entry."""
    if builder.sparse and any(map(_stores_zeros, _all_parts(builder.before))):
        builder.refuse(
            "on a sparse matrix it takes a 0 that is stored for another number than one that is not",
            "make the steps before it give dense output",
        )


def refuse_unsorted(builder: Builder) -> None:
    """Refuses a sparse matrix whose rows may have their columns out of order, for a step that relies on it."""
    if builder.sparse and any(isinstance(step, SparseRandomProjection) for step in _all_parts(builder.before)):
        builder.refuse(
            "of a sparse matrix whose columns are not in order scikit-learn multiplies other columns",
            "use SparseRandomProjection(dense_output=True)",
        )


def _stores_zeros(step: Any) -> bool:
    if isinstance(step, SimpleImputer):
        return 0 in step.statistics_.tolist()
    weights = getattr(step, "transformer_weights", None) or {}
    return isinstance(step, (SplineTransformer, QuantileTransformer, SparseRandomProjection)) or 0 in weights.values()


def _all_parts(steps: Iterable[Any]) -> Iterator[Any]:
    for step in steps:
        yield step
        yield from _all_parts(part for _, part in parts(step) or ())


def _pipeline(estimator: Any, sparse: bool) -> bool:
    for _, step in estimator.steps:
        sparse = gives_sparse(step, sparse)
    return sparse


def _union(estimator: Any, sparse: bool) -> bool:
    return any(
        gives_sparse(part, sparse)
        for _, part in estimator.transformer_list
        if not isinstance(part, str) or part != "drop"
    )


def _missing_indicator(estimator: Any, sparse: bool) -> bool:
    return sparse if estimator.sparse == "auto" else bool(estimator.sparse)


_RULES: Mapping[type, Callable[[Any, bool], bool]] = {
    Pipeline: _pipeline,
    FeatureUnion: _union,
    MissingIndicator: _missing_indicator,
    ColumnTransformer: lambda e, _: e.sparse_output_,
    KBinsDiscretizer: lambda e, _: e.encode == "onehot",
    SparseRandomProjection: lambda e, sparse: sparse and not e.dense_output,
    FrozenEstimator: lambda e, sparse: gives_sparse(e.estimator, sparse),
    **dict.fromkeys(SEARCHES, lambda e, sparse: gives_sparse(e.best_estimator_, sparse)),
    **dict.fromkeys((StackingClassifier, StackingRegressor), lambda e, sparse: sparse and e.passthrough),
    **dict.fromkeys((OneHotEncoder, RandomTreesEmbedding, SplineTransformer), lambda e, _: e.sparse_output),
    **dict.fromkeys(GIVE_ARRAYS, lambda _e, _: False),
}
