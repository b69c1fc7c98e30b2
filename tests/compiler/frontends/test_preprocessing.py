"""Scalers and SimpleImputer: bit by bit what scikit-learn computes, each option honoured or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, OneHotEncoder, RobustScaler, StandardScaler

from pgscore.compiler import ir
from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError

from ...support.customers import EVERYTHING, NUMBERS_MISSING, TEXTS_MISSING, customers, rows_to_score
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


@pytest.mark.parametrize("scaler", [StandardScaler(), RobustScaler(), MinMaxScaler(), MaxAbsScaler()], ids=str)
def test_a_column_without_values_is_refused(scaler: Any) -> None:
    scaler.fit(pd.DataFrame({"a": [1.0, 2.0], "empty": [np.nan, np.nan]}))
    with pytest.raises(UnsupportedError, match="not finite"):
        to_program(scaler)


@pytest.mark.parametrize("add_indicator", [False, True])
@pytest.mark.parametrize("keep_empty_features", [False, True])
@pytest.mark.parametrize("strategy", ["mean", "median", "most_frequent", "constant", lambda x: max(x, default=np.nan)])
def test_imputers_of_numbers(strategy: Any, keep_empty_features: bool, add_indicator: bool) -> None:
    train = customers()[NUMERIC].astype(float).assign(empty=np.nan, last=1.5)
    imputer = SimpleImputer(
        strategy=strategy,
        fill_value=-0.7 if strategy == "constant" else None,
        keep_empty_features=keep_empty_features,
        add_indicator=add_indicator,
    )
    assert_parity(imputer.fit(train), rows_to_score(train.assign(empty=train["empty"].fillna(0.0))), exact=True)


@pytest.mark.parametrize("add_indicator", [False, True])
@pytest.mark.parametrize("missing", [np.nan, None], ids=str)
@pytest.mark.parametrize("strategy", ["most_frequent", "constant"])
def test_imputers_of_text(strategy: str, missing: Any, add_indicator: bool) -> None:
    train = customers()[TEXTS_MISSING]
    train = train.where(train.notna(), missing)
    imputer = SimpleImputer(strategy=strategy, missing_values=missing, fill_value="ü\\'", add_indicator=add_indicator)
    model = make_pipeline(imputer, OneHotEncoder(handle_unknown="ignore"))
    program = assert_parity(model.fit(train), rows_to_score(customers()[TEXTS_MISSING]), exact=True)
    assert [column.none for column in program.columns] == [missing is None] * 3


def test_imputers_of_text_and_numbers_side_by_side() -> None:
    model = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    train = customers()[["visits", "payment", "senior"]].astype(object)
    program = assert_parity(
        model.fit(train), rows_to_score(customers()[["visits", "payment"]]).assign(senior=True), exact=True
    )
    assert [column.dtype for column in program.columns] == [ir.Dtype.NUMBER, ir.Dtype.TEXT, ir.Dtype.NUMBER]


def test_imputers_fill_in_what_the_type_of_the_training_data_holds() -> None:
    train = pd.DataFrame({"a": [0.1, np.nan, 0.3]}, dtype=np.float32)
    for imputer in (SimpleImputer(), SimpleImputer(strategy="constant", fill_value=0.1)):
        assert_parity(imputer.fit(train), rows_to_score(pd.DataFrame({"a": [0.1, 0.2]})), exact=True)
    whole = SimpleImputer(strategy="most_frequent", add_indicator=True).fit(pd.DataFrame({"a": [1, 1, 2]}))
    assert_parity(whole, rows_to_score(pd.DataFrame({"a": [1, 2]})), exact=True)


@pytest.mark.parametrize("sentinel", [-1, 0.0, 999])
def test_a_value_of_the_data_as_the_missing_one_is_refused(sentinel: float) -> None:
    imputer = SimpleImputer(missing_values=sentinel).fit(pd.DataFrame({"a": [1.0, sentinel, 3.0]}))
    with pytest.raises(UnsupportedError, match="missing_values="):
        to_program(imputer)


def test_text_as_the_missing_value_is_refused() -> None:
    train = pd.DataFrame({"a": ["x", "?", "x"]}, dtype=object)
    with pytest.raises(UnsupportedError, match="missing_values="):
        to_program(SimpleImputer(missing_values="?", strategy="most_frequent").fit(train))


def test_a_fill_value_that_is_neither_text_nor_a_number_is_refused() -> None:
    imputer = SimpleImputer(strategy="most_frequent").fit(pd.DataFrame({"a": [(1, 2), (1, 2)]}, dtype=object))
    with pytest.raises(UnsupportedError, match=r"fills in \(1, 2\)"):
        to_program(imputer)


def test_a_scaler_does_not_read_text() -> None:
    model = make_pipeline(SimpleImputer(strategy="constant", fill_value="none"), StandardScaler())
    model.steps[1] = ("scale", StandardScaler().fit([[1.0], [2.0]]))
    model.steps[0][1].fit(pd.DataFrame({"a": ["x", np.nan]}, dtype=object))
    with pytest.raises(UnsupportedError, match="step scale: reads"):
        to_program(model)


def test_unused_columns_of_everything_stay_out() -> None:
    train = customers()[EVERYTHING]
    assert len(to_program(StandardScaler().fit(train[NUMBERS_MISSING])).columns) == 3
