"""Small fitted models that keep training rows: support vectors, kernels, neighbours, centroids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.decomposition import KernelPCA
from sklearn.gaussian_process import GaussianProcessRegressor, kernels
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.neighbors import (
    KNeighborsClassifier,
    KNeighborsRegressor,
    LocalOutlierFactor,
    NearestCentroid,
    RadiusNeighborsClassifier,
    RadiusNeighborsRegressor,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM

from .customers import NUMBERS, example
from .example import Example


def _scaled(model: Any) -> Pipeline:
    return Pipeline([("scale", StandardScaler()), ("model", model)])


# Kernels are fixed: what an optimizer finds, and how many digits cancel there, depends on the machine's BLAS.
_GAUSS = 2.0 * kernels.RBF([1.0, 2.0]) + kernels.WhiteKernel()

POINT_EXAMPLES: dict[type, dict[str, Callable[[], Example]]] = {
    SVC: {
        "tiers": example(_scaled(SVC(gamma=0.5)), NUMBERS, "tier"),
        "probability": example(_scaled(SVC(probability=True, random_state=0)), NUMBERS, "level"),
    },
    NuSVC: {"polynomial": example(_scaled(NuSVC(nu=0.3, kernel="poly", coef0=1.0)), NUMBERS, "churn")},
    SVR: {"default": example(_scaled(SVR()), NUMBERS, "amount")},
    NuSVR: {"sigmoid": example(_scaled(NuSVR(kernel="sigmoid", gamma=0.1)), NUMBERS, "amount")},
    OneClassSVM: {"default": example(_scaled(OneClassSVM(gamma=0.1, nu=0.2)), NUMBERS)},
    KernelRidge: {"laplacian": example(_scaled(KernelRidge(kernel="laplacian", gamma=0.3)), NUMBERS, "amount")},
    GaussianProcessRegressor: {
        "anisotropic": example(
            _scaled(GaussianProcessRegressor(_GAUSS, normalize_y=True, optimizer=None)), NUMBERS, "amount"
        ),
        "matern": example(
            _scaled(GaussianProcessRegressor(kernels.Matern(nu=2.5) * kernels.DotProduct(), alpha=5.0, optimizer=None)),
            NUMBERS,
            "amount",
        ),
    },
    KernelPCA: {"default": example(_scaled(KernelPCA(2, kernel="rbf", gamma=0.5)), NUMBERS)},
    Nystroem: {"default": example(_scaled(Nystroem(gamma=2.0, n_components=4, random_state=0)), NUMBERS)},
    KNeighborsClassifier: {
        "default": example(KNeighborsClassifier(), NUMBERS, "churn"),
        "distance": example(KNeighborsClassifier(4, weights="distance", p=1), NUMBERS, "tier"),
    },
    KNeighborsRegressor: {"default": example(KNeighborsRegressor(3), NUMBERS, "amount")},
    RadiusNeighborsClassifier: {
        "outliers": example(RadiusNeighborsClassifier(9.0, outlier_label="none of them"), NUMBERS, "tier")
    },
    RadiusNeighborsRegressor: {
        "distance": example(RadiusNeighborsRegressor(12.0, weights="distance"), NUMBERS, "amount")
    },
    NearestCentroid: {
        "priors": example(NearestCentroid(priors="empirical"), NUMBERS, "tier"),
        "manhattan": example(NearestCentroid(metric="manhattan"), NUMBERS, "level"),
    },
    LocalOutlierFactor: {"novelty": example(LocalOutlierFactor(8, novelty=True), NUMBERS)},
}
