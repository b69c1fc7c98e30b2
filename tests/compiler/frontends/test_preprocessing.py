"""Scalers and SimpleImputer: bit by bit what scikit-learn computes, each option honoured or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError

from ...support.customers import EVERYTHING, NUMBERS_MISSING, customers, rows_to_score
from .parity import assert_parity

NUMERIC = [*NUMBERS_MISSING, "visits", "senior"]


@pytest.mark.parametrize(
    "scaler",
    [
        *(StandardScaler(with_mean=mean, with_std=std) for mean in (True, False) for std in (True, False)),
        *(RobustScaler(with_centering=mean, with_scaling=std) for mean in (True, False) for std in (True, False)),
        RobustScaler(quantile_range=(10, 75), unit_variance=True),
        MinMaxScaler(),
        MinMaxScaler((-5, 1e-3)),
        MinMaxScaler(clip=True),
        MinMaxScaler((np.float64(-0.1), 7), clip=True),
        MaxAbsScaler(),
        MaxAbsScaler(clip=True),
    ],
    ids=str,
)
def test_scalers_agree_bit_by_bit(scaler: Any) -> None:
    train = customers()[NUMERIC].astype(float)
    assert_parity(scaler.fit(train), rows_to_score(train), exact=True)


@pytest.mark.parametrize("scaler", [StandardScaler(), RobustScaler(), MinMaxScaler(), MaxAbsScaler()], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.float64])
def test_scalers_learn_from_other_types_and_constant_columns(scaler: Any, dtype: Any) -> None:
    train = pd.DataFrame({"a": np.arange(9) * 1.7, "constant": 3.3, "zero": 0.0}).astype(dtype)
    assert_parity(scaler.fit(train), rows_to_score(train.astype(float)), exact=True)


@pytest.mark.parametrize(
    "scaler",
    [StandardScaler(), StandardScaler(with_std=False), RobustScaler(), MinMaxScaler(clip=True), MaxAbsScaler()],
    ids=str,
)
@pytest.mark.parametrize("then", [None, SimpleImputer(), SimpleImputer(keep_empty_features=True)], ids=str)
def test_a_column_without_values_stays_missing(scaler: Any, then: Any) -> None:
    train = pd.DataFrame({"a": [1.0, 2.0, 4.0], "empty": [np.nan] * 3, "b": [0.1, np.nan, 0.3]})
    model = clone(scaler) if then is None else make_pipeline(clone(scaler), clone(then))
    score = pd.concat([rows_to_score(train.fillna(7.0)), train], ignore_index=True)
    assert_parity(model.fit(train), score, exact=True)


def test_a_column_of_huge_numbers_is_refused() -> None:
    scaler = RobustScaler().fit(pd.DataFrame({"a": [1e308, 1e308]}))
    with pytest.raises(UnsupportedError, match="not finite"):
        to_program(scaler)


def test_a_scaler_that_divides_by_0_is_refused() -> None:
    """The standard normal quantiles of 0 and 1 are infinite."""
    scaler = RobustScaler(quantile_range=(0, 100), unit_variance=True).fit(customers()[["tenure"]])
    with pytest.raises(UnsupportedError, match="divides by 0"):
        to_program(scaler)


def test_a_scaler_does_not_read_text() -> None:
    model = make_pipeline(SimpleImputer(strategy="constant", fill_value="none"), StandardScaler())
    model.steps[1] = ("scale", StandardScaler().fit([[1.0], [2.0]]))
    model.steps[0][1].fit(pd.DataFrame({"a": ["x", np.nan]}, dtype=object))
    with pytest.raises(UnsupportedError, match="step scale: reads"):
        to_program(model)


def test_unused_columns_of_everything_stay_out() -> None:
    train = customers()[EVERYTHING]
    assert len(to_program(StandardScaler().fit(train[NUMBERS_MISSING])).columns) == 3
