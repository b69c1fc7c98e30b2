"""Small fitted decompositions, projections and feature selectors, and a covariance."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.cluster import FeatureAgglomeration
from sklearn.covariance import EllipticEnvelope
from sklearn.decomposition import (
    PCA,
    DictionaryLearning,
    FactorAnalysis,
    FastICA,
    IncrementalPCA,
    MiniBatchDictionaryLearning,
    MiniBatchSparsePCA,
    SparseCoder,
    SparsePCA,
    TruncatedSVD,
)
from sklearn.feature_selection import (
    RFE,
    RFECV,
    GenericUnivariateSelect,
    SelectFdr,
    SelectFpr,
    SelectFromModel,
    SelectFwe,
    SelectKBest,
    SelectPercentile,
    SequentialFeatureSelector,
    VarianceThreshold,
)
from sklearn.kernel_approximation import AdditiveChi2Sampler, RBFSampler, SkewedChi2Sampler
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KernelCenterer, MinMaxScaler, StandardScaler
from sklearn.random_projection import GaussianRandomProjection, SparseRandomProjection

from .customers import NUMBERS, NUMBERS_MISSING, customers, example, rows_to_score
from .example import Example

THREE = ["tenure", "monthly", "level"]


def _kernel() -> Example:
    """A linear kernel among seven customers, and that between them and others."""
    train = customers()[NUMBERS].to_numpy()
    columns = [f"k{i}" for i in range(7)]
    frame = customers()[NUMBERS].iloc[:25].dot(train[:7].T).set_axis(columns, axis=1)
    return Example(KernelCenterer().fit(frame.iloc[:7]), rows_to_score(frame))


REDUCTION_EXAMPLES: dict[type, dict[str, Callable[[], Example]]] = {
    EllipticEnvelope: {"default": example(EllipticEnvelope(random_state=0), THREE)},
    PCA: {"whiten": example(PCA(2, whiten=True), THREE)},
    IncrementalPCA: {"default": example(IncrementalPCA(2), THREE)},
    TruncatedSVD: {"default": example(TruncatedSVD(2, random_state=0), THREE)},
    FactorAnalysis: {"default": example(FactorAnalysis(2, random_state=0), THREE)},
    FastICA: {"default": example(FastICA(2, random_state=0), THREE)},
    SparsePCA: {"default": example(SparsePCA(2, random_state=0), THREE)},
    MiniBatchSparsePCA: {"default": example(MiniBatchSparsePCA(2, random_state=0), THREE)},
    DictionaryLearning: {
        "threshold": example(
            DictionaryLearning(2, transform_algorithm="threshold", transform_alpha=20, max_iter=5, random_state=0),
            THREE,
        )
    },
    MiniBatchDictionaryLearning: {
        "split-sign": example(
            MiniBatchDictionaryLearning(
                2, transform_algorithm="threshold", split_sign=True, max_iter=5, random_state=0
            ),
            THREE,
        )
    },
    SparseCoder: {
        "threshold": example(
            SparseCoder(np.array([[0.6, 0.8], [0.8, -0.6]]), transform_algorithm="threshold", transform_alpha=9),
            NUMBERS,
        )
    },
    GaussianRandomProjection: {"default": example(GaussianRandomProjection(2, random_state=0), THREE)},
    SparseRandomProjection: {
        "scaled": example(make_pipeline(StandardScaler(), SparseRandomProjection(3, random_state=1)), THREE)
    },
    FeatureAgglomeration: {"mean": example(FeatureAgglomeration(2), THREE, exact=True)},
    RBFSampler: {
        "scaled": example(
            make_pipeline(StandardScaler(), RBFSampler(gamma=0.1, n_components=4, random_state=0)), NUMBERS
        )
    },
    SkewedChi2Sampler: {
        "scaled": example(make_pipeline(MinMaxScaler(), SkewedChi2Sampler(n_components=2, random_state=1)), NUMBERS)
    },
    AdditiveChi2Sampler: {
        "scaled": example(make_pipeline(MinMaxScaler(), AdditiveChi2Sampler()), NUMBERS),
    },
    KernelCenterer: {"linear": _kernel},
    VarianceThreshold: {"missing": example(VarianceThreshold(20), [*NUMBERS_MISSING, "visits"], exact=True)},
    SelectKBest: {"two": example(SelectKBest(k=2), THREE, "churn", exact=True)},
    SelectPercentile: {"half": example(SelectPercentile(percentile=50), THREE, "churn", exact=True)},
    SelectFpr: {"default": example(SelectFpr(), THREE, "churn", exact=True)},
    SelectFdr: {"default": example(SelectFdr(), THREE, "churn", exact=True, arrays=True)},
    SelectFwe: {"default": example(SelectFwe(), THREE, "churn", exact=True)},
    GenericUnivariateSelect: {
        "k-best": example(GenericUnivariateSelect(mode="k_best", param=1), THREE, "churn", exact=True)
    },
    SelectFromModel: {"logistic": example(SelectFromModel(LogisticRegression()), THREE, "tier", exact=True)},
    SequentialFeatureSelector: {
        "ridge": example(SequentialFeatureSelector(Ridge(), n_features_to_select=1), THREE, "amount", exact=True)
    },
    RFE: {
        "classifier": example(RFE(LogisticRegression(), n_features_to_select=1), NUMBERS, "churn"),
        "middle": example(make_pipeline(RFE(Ridge(), n_features_to_select=2), Ridge()), THREE, "amount"),
    },
    RFECV: {"regressor": example(RFECV(Ridge(), cv=3), THREE, "amount")},
}
"""By class, then by what is special about the example."""
