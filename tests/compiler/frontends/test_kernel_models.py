"""Kernel ridge, Gaussian processes, kernel PCA and Nystroem against scikit-learn's own answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import KernelPCA
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor, kernels
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from pgscore.compiler import ir
from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError
from tests.support.customers import NUMBERS, customers, rows_to_score

from .parity import assert_parity

FRAME = customers()[NUMBERS]


def fitted(model: Any, targets: int = 1) -> Any:
    amount = customers()["amount"].to_numpy()
    y = amount if targets == 1 else np.stack([amount, np.sqrt(np.abs(amount))], axis=1)
    return make_pipeline(StandardScaler(), model).fit(FRAME, y)


@pytest.mark.parametrize("targets", [1, 2])
@pytest.mark.parametrize(
    "options",
    [
        {"kernel": "linear"},
        {"kernel": "rbf"},
        {"kernel": "rbf", "gamma": 3.0},
        {"kernel": "laplacian"},
        {"kernel": "poly", "degree": 2, "coef0": 0.5},
        {"kernel": "sigmoid", "gamma": 0.1},
    ],
)
def test_kernel_ridge(options: dict[str, Any], targets: int) -> None:
    assert_parity(fitted(KernelRidge(**options), targets), rows_to_score(FRAME), rtol=1e-10)


@pytest.mark.parametrize("targets", [1, 2])
@pytest.mark.parametrize(
    "kernel",
    [
        None,
        2.0 * kernels.RBF([1.0, 3.0]) + kernels.WhiteKernel(),
        kernels.Matern(nu=0.5) + kernels.DotProduct(2.0),
        kernels.Matern([1.0, 2.0], nu=1.5) * kernels.ConstantKernel(3.0),
        kernels.Matern(nu=2.5),
        kernels.Matern(nu=np.inf),
        kernels.RationalQuadratic(2.0, 0.3),
        kernels.ExpSineSquared(1.0, 7.0) * kernels.RBF(2.0),
        kernels.DotProduct() ** 2,
        kernels.RBF(2.0) ** 1.5 + kernels.WhiteKernel() * kernels.RBF(),
    ],
)
def test_gaussian_processes(kernel: Any, targets: int) -> None:
    model = GaussianProcessRegressor(kernel, alpha=3.0, normalize_y=True, optimizer=None)
    assert_parity(fitted(model, targets), rows_to_score(FRAME), rtol=1e-9)


def test_nothing_but_noise() -> None:
    model = fitted(GaussianProcessRegressor(kernels.WhiteKernel(), optimizer=None, normalize_y=True))
    assert_parity(model, rows_to_score(FRAME))


def test_a_model_says_how_many_digits_it_keeps() -> None:
    smooth = GaussianProcessRegressor(kernels.RBF(3.0), alpha=1e-7, optimizer=None)
    program = to_program(fitted(smooth))
    assert program.tolerance > ir.TOLERANCE
    assert "cancel" in program.approximation
    with pytest.raises(UnsupportedError, match="rounding decides its answers"):
        to_program(fitted(GaussianProcessRegressor(kernels.RBF(100.0), alpha=1e-14, optimizer=None)))


@pytest.mark.parametrize("options", [{}, {"kernel": "poly", "degree": 2}, {"kernel": "laplacian", "gamma": 0.1}])
def test_nystroem(options: dict[str, Any]) -> None:
    model = make_pipeline(StandardScaler(), Nystroem(n_components=5, random_state=0, **options)).fit(FRAME)
    assert_parity(model, rows_to_score(FRAME), rtol=1e-9, atol=1e-12)


def test_nystroem_says_how_many_digits_it_keeps_of_dependent_components() -> None:
    """Five components of a linear kernel of two columns: three are combinations of the others."""
    rows = np.random.default_rng(0).normal(size=(60, 2))
    assert to_program(Nystroem(kernel="linear", n_components=2, random_state=0).fit(rows)).tolerance == ir.TOLERANCE
    model = Nystroem(kernel="linear", n_components=5, random_state=0).fit(rows)
    program = assert_parity(model, pd.DataFrame(rows), atol=1e-9)
    assert ir.TOLERANCE < program.tolerance < 1e-6
    with pytest.raises(UnsupportedError, match="fewer components"):
        to_program(Nystroem(kernel="poly", n_components=5, random_state=0).fit(rows[:, :1] * 1e6))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "options",
    [
        {"kernel": "linear"},
        {"kernel": "rbf", "gamma": 2.0},
        {"kernel": "poly", "degree": 2, "coef0": 0.5},
        {"kernel": "sigmoid", "gamma": 0.1},
        {"kernel": "rbf", "eigen_solver": "arpack", "random_state": 0},
        {"kernel": "rbf", "fit_inverse_transform": True, "remove_zero_eig": True},
    ],
)
def test_kernel_pca(options: dict[str, Any], dtype: Any) -> None:
    model = make_pipeline(StandardScaler(), KernelPCA(2, **options)).fit(FRAME.astype(dtype))
    assert_parity(model, rows_to_score(FRAME), rtol=1e-10, atol=1e-12)


def test_kernel_pca_in_front_of_a_predictor() -> None:
    """The linear kernel leaves two components; the others have eigenvalue 0, and are 0."""
    for n in (None, 4):
        model = make_pipeline(StandardScaler(), KernelPCA(n), Ridge()).fit(FRAME, customers()["amount"])
        assert_parity(model, rows_to_score(FRAME), rtol=1e-10)


def test_kernel_pca_of_one_hot_columns() -> None:
    """The training rows are kept as a sparse matrix."""
    train = customers()[["contract", "city"]]
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), KernelPCA(3, kernel="rbf")).fit(train)
    assert_parity(model, rows_to_score(train), rtol=1e-10, atol=1e-12)


def test_components_of_rounding_are_refused() -> None:
    model = make_pipeline(StandardScaler(), KernelPCA(kernel="rbf", gamma=1e-4)).fit(FRAME)
    with pytest.raises(UnsupportedError, match="keep fewer components"):
        to_program(model)


def test_one_column() -> None:
    frame = pd.DataFrame({"a": np.arange(12.0)})
    assert_parity(KernelRidge(kernel="rbf").fit(frame, np.sin(frame["a"])), frame, rtol=1e-11)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (KernelRidge(kernel="cosine"), "its kernel is 'cosine'"),
        (KernelPCA(1, kernel="cosine"), "its kernel is 'cosine'"),
        (KernelRidge(kernel="poly", degree=2.5, coef0=9.0), "its degree is 2.5"),
        (KernelRidge(kernel=lambda a, b: float(a @ b)), "a function of Python"),
        (GaussianProcessRegressor(kernels.Matern(nu=0.7), optimizer=None), "nu=0.7"),
        (GaussianProcessRegressor(kernels.PairwiseKernel(), optimizer=None), "holds PairwiseKernel"),
        (GaussianProcessRegressor(kernels.RBF() ** 12, optimizer=None), "the exponent 12"),
    ],
)
def test_what_has_no_exact_form_is_refused(model: Any, reason: str) -> None:
    with pytest.raises(UnsupportedError, match=reason):
        to_program(fitted(model))


def test_gaussian_process_classifiers_are_refused() -> None:
    model = GaussianProcessClassifier(optimizer=None).fit(FRAME, customers()["churn"])
    with pytest.raises(UnsupportedError, match="integral"):
        to_program(model)


def test_gaussian_processes_that_read_no_columns_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="not fitted"):
        to_program(GaussianProcessRegressor())
    noise = GaussianProcessRegressor(kernels.WhiteKernel() + kernels.ConstantKernel(), optimizer=None)
    noise.fit(FRAME.to_numpy(), customers()["amount"])
    with pytest.raises(UnsupportedError, match="reads no column"):
        to_program(noise)
