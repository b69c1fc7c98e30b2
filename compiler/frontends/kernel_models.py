"""Models on kernels of all training rows, or of some: KernelRidge, GaussianProcessRegressor, KernelPCA, Nystroem."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.decomposition import KernelPCA
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics.pairwise import pairwise_kernels

from .. import ir
from ..ir import kernels
from .builder import Builder, Frontend, Predictions
from .kernel_forms import KNOWN_ROWS, add, dense, of_gaussian_process, pairwise, say_digits


def kernel_ridge(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """Dual coefficients times the kernels of the training rows, one sum for each target."""
    params = {"gamma": estimator.gamma, "degree": estimator.degree, "coef0": estimator.coef0}
    form = _pairwise(estimator, params, builder)
    points, dual = dense(estimator.X_fit_), np.asarray(estimator.dual_coef_, dtype=float)
    weights = np.atleast_2d(dual.T)
    known = np.asarray(estimator._get_kernel(estimator.X_fit_[:KNOWN_ROWS], estimator.X_fit_))
    say_digits(builder, known, weights, np.zeros(len(weights)), _noise(form, points))
    answer = add(builder, columns, form, points, weights, np.zeros(len(weights)))
    return Predictions(ir.ModelKind.REGRESSOR, answer)


def gaussian_process_regressor(estimator: Any, columns: ir.Block, builder: Builder) -> Predictions:
    """The mean: `alpha_` times the kernels of the training rows, in units of the target, for each target."""
    if not hasattr(estimator, "X_train_"):  # it predicts from its prior
        builder.refuse("GaussianProcessRegressor is not fitted", "fit the model before compiling it")
    if not columns:  # scikit-learn counts no columns for a kernel that reads none
        builder.refuse("its kernel reads no column", "use a kernel of the columns, such as RBF")
    form = of_gaussian_process(estimator.kernel_, builder)
    points = np.asarray(estimator.X_train_, dtype=float)
    alpha = np.asarray(estimator.alpha_, dtype=float)
    weights = np.atleast_2d(alpha.T)
    deviation, mean = (np.broadcast_to(a, len(weights)) for a in (estimator._y_train_std, estimator._y_train_mean))
    if form is None:
        form, weights = kernels.Uniform(1.0), np.zeros_like(weights)
    weights = weights * deviation[:, np.newaxis]
    say_digits(builder, estimator.kernel_(points[:KNOWN_ROWS], points), weights, mean)
    return Predictions(ir.ModelKind.REGRESSOR, add(builder, columns, form, points, weights, mean))


def nystroem(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """The kernels of the chosen rows, times a matrix."""
    form = _pairwise(estimator, estimator._get_kernel_params(), builder)
    weights = np.asarray(estimator.normalization_, dtype=float)
    points = estimator.components_
    params = estimator._get_kernel_params()
    known = pairwise_kernels(points[:KNOWN_ROWS], points, metric=estimator.kernel, filter_params=True, **params)
    advice = "take fewer components, or others: some are all but combinations of the rest"
    say_digits(builder, known, weights, np.zeros(len(weights)), _noise(form, dense(points)), advice)
    return add(builder, columns, form, estimator.components_, weights, np.zeros(len(weights)))


def kernel_pca(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """Centred kernels of all training rows times the scaled eigenvectors.

    Centring is linear: k less the mean of the training kernel's column, less the mean of k, plus the mean of all.
    """
    form = _pairwise(
        estimator, {"gamma": estimator.gamma_, "degree": estimator.degree, "coef0": estimator.coef0}, builder
    )
    values, vectors, centre = estimator.eigenvalues_, estimator.eigenvectors_, estimator._centerer
    scaled = np.zeros_like(vectors)
    scaled[:, values != 0] = vectors[:, values != 0] / np.sqrt(values[values != 0])
    alphas = np.asarray(scaled.T, dtype=float)
    totals = alphas.sum(axis=1)
    weights = alphas - totals[:, np.newaxis] / alphas.shape[1]
    bias = totals * float(centre.K_fit_all_) - alphas @ np.asarray(centre.K_fit_rows_, dtype=float)
    points, used = dense(estimator.X_fit_), alphas.any(axis=1)
    if used.any():
        known = np.asarray(estimator._get_kernel(estimator.X_fit_[:KNOWN_ROWS], estimator.X_fit_), dtype=float)
        advice = "keep fewer components: the last ones divide by eigenvalues next to 0"
        say_digits(builder, known, weights[used], bias[used], _noise(form, points), advice)
    return add(builder, columns, form, points, weights, bias)


def _pairwise(estimator: Any, params: dict[str, Any], builder: Builder) -> kernels.Form:
    if estimator.kernel == "precomputed":
        builder.refuse("its kernel is computed beforehand", "use linear, rbf, laplacian, poly or sigmoid")
    return pairwise(estimator.kernel, params, estimator.n_features_in_, builder)


def _noise(form: kernels.Form, points: ir.FloatArray) -> float:
    """Rounding errors of a kernel beside its last digit: scikit-learn takes squared distances from squared norms."""
    if not isinstance(form, kernels.Gaussian):
        return 1.0
    return 1.0 + 4 * form.gamma * float(np.median((points**2).sum(axis=1)))


FRONTENDS: dict[type, Frontend] = {
    KernelRidge: kernel_ridge,
    GaussianProcessRegressor: gaussian_process_regressor,
    KernelPCA: kernel_pca,
    Nystroem: nystroem,
}

NOTES: dict[type, str] = {
    KernelRidge: "kernels linear, rbf, laplacian, poly (whole degree up to 10) and sigmoid",
    GaussianProcessRegressor: "the mean; Matern with nu 0.5, 1.5, 2.5 and infinity",
    KernelPCA: "kernels linear, rbf, laplacian, poly (whole degree up to 10) and sigmoid; components whose "
    "eigenvalue is next to 0 are refused",
    Nystroem: "kernels linear, rbf, laplacian, poly (whole degree up to 10) and sigmoid",
}

REFUSED: dict[type | str, tuple[str, str]] = {
    GaussianProcessClassifier: (
        "its probability is an integral over a variance that takes a square of the training rows for each answer",
        "use SVC, or a GaussianProcessRegressor on 0 and 1",
    )
}
