"""Which transformers give a sparse matrix: what follows computes in another way on one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from sklearn.impute import MissingIndicator
from sklearn.kernel_approximation import Nystroem, PolynomialCountSketch, RBFSampler
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, SplineTransformer
from sklearn.random_projection import GaussianRandomProjection, SparseRandomProjection

from .parts import SEARCHES

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
