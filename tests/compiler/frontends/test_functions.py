"""FunctionTransformer: functions known by identity, with their domains; every other function is refused by name."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.special
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, OneHotEncoder, StandardScaler

from pgscore.compiler.frontends import to_program
from pgscore.compiler.frontends.functions import FUNCTIONS, OF_SPARSE
from pgscore.errors import UnsupportedError

from ...support.customers import NUMBERS, NUMBERS_MISSING, TEXTS, customers, rows_to_score
from .parity import assert_parity


def label(function: Any) -> str:
    return f"{getattr(function, '__module__', 'numpy')}.{function.__name__}"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("function", FUNCTIONS, ids=label)
@pytest.mark.parametrize("validate", [False, True])
def test_every_function(function: Any, validate: bool) -> None:
    train = customers()[NUMBERS if validate else NUMBERS_MISSING] / 7
    rows = rows_to_score(train)
    if function in (np.deg2rad, np.radians, np.rad2deg, np.degrees):  # arithmetic refuses the row of an infinity
        rows = rows[~np.isinf(rows).any(axis=1)]
    assert_parity(FunctionTransformer(function, validate=validate).fit(train), rows)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("function", sorted(OF_SPARSE, key=label), ids=label)
def test_functions_to_warm_a_sparse_matrix(function: Any) -> None:
    train = customers()[["contract", "visits"]].fillna(1.0)
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), FunctionTransformer(function), MaxAbsScaler())
    assert_parity(model.fit(train), rows_to_score(train))


@pytest.mark.parametrize("function", [np.cos, np.exp, scipy.special.expit, np.clip, np.nan_to_num, np.round], ids=label)
def test_functions_that_a_sparse_matrix_does_not_take_are_refused(function: Any) -> None:
    encoder = OneHotEncoder().fit(customers()[TEXTS])
    options = {"a_min": 0, "a_max": 1} if function is np.clip else None
    model = make_pipeline(encoder, FunctionTransformer(function, kw_args=options))
    refuse(model, "sparse")


@pytest.mark.parametrize("function", [np.round, np.around], ids=label)
@pytest.mark.parametrize("options", [None, {"decimals": 0}, {"decimals": 2}, {"decimals": np.int64(-1)}], ids=str)
@pytest.mark.parametrize("arrays", [True, False])
def test_round(function: Any, options: dict[str, Any] | None, arrays: bool) -> None:
    train = customers()[NUMBERS_MISSING] / 8  # many halves
    rows = pd.concat([rows_to_score(train), pd.DataFrame({"tenure": [0.5, 1.5, -2.5, 0.125, 0.375, 5.0, 15.0]})])
    rows = rows[~np.isinf(rows).any(axis=1)].reset_index(drop=True)
    model = FunctionTransformer(function, kw_args=options).fit(train.to_numpy() if arrays else train)
    assert_parity(model, rows, exact=True)


@pytest.mark.parametrize("options", [{"decimals": 40}, {"decimals": 1.5}, {"decimals": 1, "out": None}], ids=str)
def test_other_ways_to_round_are_refused(options: dict[str, Any]) -> None:
    refuse(FunctionTransformer(np.round, kw_args=options).fit(customers()[NUMBERS]), r"np\.round")


@pytest.mark.parametrize(
    "bounds", [{"a_min": 2, "a_max": 30}, {"a_min": None, "a_max": 1.5}, {"a_min": None, "a_max": None}], ids=str
)
def test_clip(bounds: dict[str, Any]) -> None:
    train = customers()[NUMBERS_MISSING]
    rows = rows_to_score(train)
    assert_parity(FunctionTransformer(np.clip, kw_args=bounds).fit(train), rows, exact=True)


def test_nan_to_num() -> None:
    train = customers()[NUMBERS_MISSING]
    for options in (None, {"nan": -3.5}, {"copy": True}):
        assert_parity(FunctionTransformer(np.nan_to_num, kw_args=options).fit(train), rows_to_score(train), exact=True)


@pytest.mark.filterwarnings("ignore")
def test_a_composition_refuses_what_the_step_behind_refuses() -> None:
    train = customers()[NUMBERS].abs() + 1
    steps = [FunctionTransformer(np.log), FunctionTransformer(np.square), StandardScaler(), LinearRegression()]
    assert_parity(make_pipeline(*steps).fit(train, customers()["amount"]), rows_to_score(train), rtol=1e-11)


def refuse(model: Any, reason: str) -> None:
    with pytest.raises(UnsupportedError, match=reason):
        to_program(model)


def imitation(x: Any) -> Any:
    return np.log1p(x)


class Equal:
    """Says that it is any function."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash(np.log1p)

    def __call__(self, x: Any) -> Any:
        return x


@pytest.mark.parametrize(
    ("function", "options", "reason"),
    [
        (imitation, None, "imitation"),
        (Equal(), None, "Equal"),
        (np.sort, None, "sort"),
        (pd.DataFrame.copy, None, "copy"),
        (partial(np.clip, a_min=0, a_max=1), None, "partial"),
        (np.log1p, {"where": True}, "with where"),
        (None, {"a": 1}, "None"),
        (np.clip, {"a_min": np.zeros(2), "a_max": 1}, "a_min"),
        (np.clip, {"a_min": 3, "a_max": 1}, "above"),
        (np.nan_to_num, {"posinf": 1}, "nan_to_num"),
    ],
)
def test_other_functions_are_refused(function: Any, options: Any, reason: str) -> None:
    model = FunctionTransformer(function, kw_args=options)
    model.n_features_in_ = 2
    refuse(model, reason)
