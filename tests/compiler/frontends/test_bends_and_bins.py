"""Polynomials, splines, bins, powers and quantiles: the very numbers of scikit-learn over all their options."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    Binarizer,
    KBinsDiscretizer,
    Normalizer,
    OneHotEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
)

from pgscore.compiler import ir
from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError

from ...support.customers import NUMBERS, NUMBERS_MISSING, customers, rows_to_score
from .parity import assert_parity

GAPS = [*NUMBERS_MISSING, "visits"]


def refuse(model: Any, reason: str) -> None:
    with pytest.raises(UnsupportedError, match=reason):
        to_program(model)


def sparse_rows() -> tuple[Any, pd.DataFrame]:
    """What makes a sparse matrix of two numbers and a category, and its training rows."""
    train = customers()[["tenure", "visits", "contract"]].fillna(0.0).replace(1e300, 1.0)
    part = [("n", "passthrough", ["tenure", "visits"]), ("c", OneHotEncoder(handle_unknown="ignore"), ["contract"])]
    return ColumnTransformer(part, sparse_threshold=1.0), train


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
def test_norms(norm: str) -> None:
    train = customers()[[*NUMBERS, "amount"]]
    assert_parity(Normalizer(norm=norm).fit(train), rows_to_score(train))
    for small in (1e-15, 1e-17):
        assert_parity(Normalizer(norm=norm).fit(train), (train - train.mean()) * small)
    assert_parity(Normalizer(norm=norm).fit(train[["tenure"]]), rows_to_score(train[["tenure"]]))


@pytest.mark.parametrize("threshold", [0, 20, -3.5])
def test_thresholds(threshold: float) -> None:
    train = customers()[NUMBERS]
    assert_parity(Binarizer(threshold=threshold).fit(train), rows_to_score(train), exact=True)


@pytest.mark.parametrize(
    "transformer",
    [
        *(Normalizer(norm=norm) for norm in ("l1", "l2", "max")),
        Binarizer(threshold=0.5),
        PolynomialFeatures(2),
        PolynomialFeatures((3, 3), include_bias=False),
        PolynomialFeatures(4, interaction_only=True),
        QuantileTransformer(n_quantiles=6),
        QuantileTransformer(n_quantiles=6, output_distribution="normal", ignore_implicit_zeros=True),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:'ignore_implicit_zeros'")
def test_sparse_matrices(transformer: Any) -> None:
    columns, train = sparse_rows()
    assert_parity(make_pipeline(columns, transformer).fit(train), rows_to_score(train))


@pytest.mark.parametrize("include_bias", [True, False])
@pytest.mark.parametrize("interaction_only", [True, False])
@pytest.mark.parametrize("degree", [1, 2, 4, (2, 3), (0, 2), (3, 3)])
def test_products(degree: Any, interaction_only: bool, include_bias: bool) -> None:
    train = customers()[[*NUMBERS, "amount"]]
    model = PolynomialFeatures(degree, interaction_only=interaction_only, include_bias=include_bias)
    assert_parity(model.fit(train), rows_to_score(train), exact=True)


def test_products_are_made_of_shorter_ones() -> None:
    train = customers()[NUMBERS]
    program = to_program(PolynomialFeatures((4, 4), include_bias=False).fit(train))
    assert [node.width for node in program.nodes if isinstance(node, ir.Multiply)] == [3, 4, 5]
    assert_parity(PolynomialFeatures(0).fit(train), rows_to_score(train), exact=True)


def test_no_products_are_no_columns() -> None:
    """scikit-learn counts them, and fails on their powers."""
    train = customers()[["tenure"]]
    nothing = PolynomialFeatures((2, 3), interaction_only=True, include_bias=False)
    with pytest.raises(UnsupportedError, match="no columns"):
        to_program(clone(nothing).fit(train))
    assert_parity(make_union(clone(nothing), StandardScaler()).fit(train), rows_to_score(train), exact=True)


SPLINES = [
    {"n_knots": n_knots, "degree": degree, "extrapolation": extrapolation}
    for extrapolation, (degree, n_knots) in itertools.product(
        ["constant", "linear", "continue", "error", "periodic"], [(1, 3), (2, 4), (3, 7), (5, 6)]
    )
]


@pytest.mark.parametrize("options", SPLINES, ids=lambda options: "-".join(map(str, options.values())))
@pytest.mark.parametrize("knots", ["uniform", "quantile"])
def test_splines(options: dict[str, Any], knots: str) -> None:
    train = customers()[NUMBERS].assign(few=customers()["tenure"] // 15, same=2.5)
    assert_parity(SplineTransformer(knots=knots, include_bias=False, **options).fit(train), rows_to_score(train))
    gaps = customers()[["tenure", "total"]]
    sparse = options["extrapolation"] in ("constant", "linear")
    model = SplineTransformer(knots=knots, handle_missing="zeros", sparse_output=sparse, **options)
    assert_parity(model.fit(gaps), rows_to_score(gaps))


def test_splines_keep_their_digits_where_they_vanish() -> None:
    model = SplineTransformer(5, 3, knots=np.array([[0.0], [1.0], [2.5], [3.0], [7.0]])).fit([[0.0], [7.0]])
    near = [knot + sign * 2.0**-power for knot in (0, 1, 2.5, 3, 7) for power in range(4, 50) for sign in (-1, 1)]
    assert_parity(model, pd.DataFrame({"x": near}))


@pytest.mark.parametrize("extrapolation", ["continue", "error", "periodic"])
def test_a_sparse_spline_of_one_column_with_missing_values(extrapolation: str) -> None:
    train = customers()[["total"]]
    model = SplineTransformer(extrapolation=extrapolation, handle_missing="zeros", sparse_output=True)
    assert_parity(model.fit(train), rows_to_score(train))


def test_periods_far_away() -> None:
    model = SplineTransformer(5, extrapolation="periodic").fit(np.array([[0.3], [7.1]]))
    far = [
        0.3 + 6.8 * n + step for n in (-(2.0**31), -1e6, -3, 0, 1, 7, 123456, 2.0**30) for step in (-1e-9, 0, 0.1, 3)
    ]
    assert_parity(model, pd.DataFrame({"x": far}), rtol=1e-11)


@pytest.mark.parametrize("extrapolation", ["constant", "linear"])
def test_splines_without_an_exact_form_are_refused(extrapolation: str) -> None:
    train = customers()[NUMBERS]
    refuse(SplineTransformer(degree=0, extrapolation=extrapolation).fit(train), "degree=0")
    refuse(
        SplineTransformer(extrapolation="error", handle_missing="zeros", sparse_output=True).fit(train), "sparse_output"
    )
    refuse(SplineTransformer(2, 1, extrapolation="linear").fit(train), "two knots")
    refuse(SplineTransformer(handle_missing="zeros").fit(train.assign(empty=np.nan) * [1, 1e308, 1]), "finite|close")
    refuse(SplineTransformer(3, 3).fit([[0.0], [1e-120]]), "too close")


@pytest.mark.filterwarnings("ignore:.*(constant|Bins whose)")
@pytest.mark.parametrize("encode", ["ordinal", "onehot", "onehot-dense"])
@pytest.mark.parametrize("strategy", ["uniform", "quantile", "kmeans"])
def test_bins(strategy: str, encode: str) -> None:
    train = customers()[NUMBERS].assign(same=2.5, few=customers()["tenure"] // 30)
    model = KBinsDiscretizer([2, 5, 3, 4], strategy=strategy, encode=encode, quantile_method="linear").fit(train)
    edges = pd.DataFrame([[e] * 4 for e in (*model.bin_edges_[0][1:], *model.bin_edges_[1])], columns=train.columns)
    assert_parity(model, pd.concat([rows_to_score(train), edges], ignore_index=True), exact=True)


def test_bins_in_float32_are_refused() -> None:
    model = KBinsDiscretizer(3, dtype=np.float32, quantile_method="linear")
    refuse(model.fit(customers()[NUMBERS]), "float32")


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_powers(standardize: bool, dtype: Any) -> None:
    train = customers()[GAPS].assign(same=3.3).astype(dtype)
    assert_parity(PowerTransformer(standardize=standardize).fit(train), rows_to_score(train.astype(float)))
    positive = customers()[GAPS].abs().astype(dtype) + 1
    rows = rows_to_score(positive.astype(float))
    assert_parity(PowerTransformer("box-cox", standardize=standardize).fit(positive), rows)


@pytest.mark.parametrize("power", [0.0, 1e-17, 0.5, 1.0, 2.0, 2 + 1e-16, 3.7, -0.5])
def test_given_powers(power: float) -> None:
    train = customers()[NUMBERS] - 30
    for model, frame in ((PowerTransformer(), train), (PowerTransformer("box-cox"), train.abs() + 0.5)):
        model.fit(frame)
        model.lambdas_ = np.full(2, power)
        assert_parity(model, rows_to_score(frame))


def test_powers_that_are_not_finite_are_refused() -> None:
    model = PowerTransformer().fit(customers()[NUMBERS])
    model._scaler.mean_ = np.full(2, np.inf)
    refuse(model, "scaler")
    model.lambdas_ = np.full(2, np.nan)
    refuse(model, "power")


@pytest.mark.filterwarnings("ignore:n_quantiles")
@pytest.mark.parametrize("n_quantiles", [1, 2, 10, 200])
@pytest.mark.parametrize("output_distribution", ["uniform", "normal"])
def test_quantiles(output_distribution: str, n_quantiles: int) -> None:
    train = customers()[GAPS].assign(same=3.3, tiny=customers()["visits"] * 1e-9)
    model = QuantileTransformer(n_quantiles=n_quantiles, output_distribution=output_distribution).fit(train)
    near = [
        q + step for q in (train["tenure"].min(), train["tenure"].max(), 3.3) for step in (-1e-7, 1e-7, -9e-8, 9e-8)
    ]
    ends = pd.DataFrame([[x] * 6 for x in near], columns=train.columns)
    assert_parity(model, pd.concat([rows_to_score(train), ends], ignore_index=True))


def test_a_column_without_quantiles_is_refused() -> None:
    with np.errstate(all="ignore"):
        model = QuantileTransformer(n_quantiles=3).fit(customers()[NUMBERS])
    model.quantiles_[:, 1] = np.nan
    refuse(model, "quantile")
