"""Imputers and MissingIndicator: what scikit-learn fills in, with gaps and with markers for missing values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, MissingIndicator, SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from pgscore.compiler import ir
from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError

from ...support.customers import NUMBERS_MISSING, TEXTS_MISSING, customers, rows_to_score
from .parity import assert_parity

NUMERIC = [*NUMBERS_MISSING, "visits", "senior"]
CONTINUOUS = ["monthly", "total", "amount"]


def gaps() -> pd.DataFrame:
    """Numbers with gaps, each of another kind, and a column of nothing but gaps."""
    frame = customers()[[*NUMBERS_MISSING, "visits"]].astype(float)
    frame.loc[::7, "tenure"] = np.nan
    return frame.assign(empty=np.nan)


def rows(train: pd.DataFrame) -> pd.DataFrame:
    return rows_to_score(train.fillna({name: 0.0 for name in train if train[name].isna().all()}))


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


def test_a_fill_value_that_is_neither_text_nor_a_number_is_refused() -> None:
    imputer = SimpleImputer(strategy="most_frequent").fit(pd.DataFrame({"a": [(1, 2), (1, 2)]}, dtype=object))
    with pytest.raises(UnsupportedError, match=r"fills in \(1, 2\)"):
        to_program(imputer)


@pytest.mark.parametrize("marker", [-1, 0.0, 999, np.float32(0.5)])
@pytest.mark.parametrize("strategy", ["mean", "most_frequent", "constant"])
def test_numbers_that_mark_missing_values(strategy: str, marker: float) -> None:
    train = customers()[[*NUMBERS_MISSING, "visits"]].fillna(marker).assign(empty=float(marker))
    for options in ({}, {"add_indicator": True, "keep_empty_features": True}):
        imputer = SimpleImputer(missing_values=marker, strategy=strategy, fill_value=7.0, **options)
        assert_parity(imputer.fit(train), rows(train), exact=True)
        assert_parity(imputer.fit(train), rows(customers()[[*NUMBERS_MISSING, "visits"]].assign(empty=1.0)), exact=True)


@pytest.mark.parametrize("marker", ["?", "it's", ""])
@pytest.mark.parametrize("strategy", ["most_frequent", "constant"])
def test_texts_that_mark_missing_values(strategy: str, marker: str) -> None:
    train = customers()[TEXTS_MISSING].fillna(marker)
    imputer = SimpleImputer(missing_values=marker, strategy=strategy, fill_value="none")
    model = make_pipeline(imputer, OneHotEncoder(handle_unknown="ignore"))
    assert_parity(model.fit(train), rows_to_score(train), exact=True)
    assert_parity(model, rows_to_score(customers()[TEXTS_MISSING]), exact=True)


def test_pandas_missing_value() -> None:
    train = customers()[TEXTS_MISSING]
    model = make_pipeline(SimpleImputer(missing_values=pd.NA, strategy="most_frequent"), OneHotEncoder())
    assert_parity(model.fit(train), rows_to_score(train), exact=True)


@pytest.mark.parametrize("marker", [np.nan, -1])
@pytest.mark.parametrize("error_on_new", [True, False])
@pytest.mark.parametrize("features", ["missing-only", "all"])
def test_indicators(features: str, error_on_new: bool, marker: float) -> None:
    train = customers()[[*NUMBERS_MISSING, "visits"]].fillna(marker)
    indicator = MissingIndicator(missing_values=marker, features=features, error_on_new=error_on_new)
    assert_parity(indicator.fit(train), rows_to_score(train), exact=True)


def test_indicators_of_text() -> None:
    train = customers()[TEXTS_MISSING].fillna("?")
    assert_parity(MissingIndicator(missing_values="?").fit(train), rows_to_score(train), exact=True)


@pytest.mark.parametrize("missing", [None, np.nan])
@pytest.mark.parametrize("first", [True, False])
def test_indicators_of_text_that_another_step_encodes(missing: Any, first: bool) -> None:
    """Which of the two comes first, and is the first to say what the column holds, is no matter."""
    train = customers()[TEXTS_MISSING]
    train = train.where(train.notna(), missing).astype(object)
    encoder = OneHotEncoder(handle_unknown="ignore")
    encoding = make_pipeline(SimpleImputer(missing_values=missing, strategy="most_frequent"), encoder)
    parts = [MissingIndicator(missing_values=missing, features="all"), encoding]
    assert_parity(make_union(*parts[:: 1 if first else -1]).fit(train), rows_to_score(train), exact=True)


def test_indicators_refuse_infinities_in_numbers_alone() -> None:
    train = customers()[["total", "payment"]]
    train = train.assign(payment=train["payment"].where(train["payment"].notna(), np.nan).astype(object))
    union = make_union(
        make_pipeline(MissingIndicator(features="all")),
        ColumnTransformer([("c", OneHotEncoder(handle_unknown="ignore"), ["payment"])]),
    )
    assert_parity(union.fit(train), rows_to_score(train), exact=True)


@pytest.mark.parametrize("n_neighbors", [1, 3, 200])
@pytest.mark.parametrize(
    "options", [{}, {"add_indicator": True}, {"keep_empty_features": True, "add_indicator": True}], ids=str
)
def test_neighbours(n_neighbors: int, options: dict[str, Any]) -> None:
    train = customers()[CONTINUOUS].assign(empty=np.nan)
    assert_parity(KNNImputer(n_neighbors=n_neighbors, **options).fit(train), rows(train))


def test_neighbours_of_marked_values() -> None:
    train = customers()[CONTINUOUS].fillna(-1)
    assert_parity(KNNImputer(missing_values=-1).fit(train), rows_to_score(train))


@pytest.mark.parametrize("options", [{"weights": "distance"}, {"weights": np.sqrt}, {"metric": np.hypot}], ids=str)
def test_neighbours_that_are_not_exact_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError, match="weights="):
        to_program(KNNImputer(**options).fit(customers()[CONTINUOUS]))
    with pytest.raises(UnsupportedError, match="1e150"):
        to_program(KNNImputer().fit([[1e200], [1.0]]))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"add_indicator": True, "keep_empty_features": True},
        {"min_value": 0, "max_value": [50, 100, 3000, 2, 1]},
        {"initial_strategy": "median", "imputation_order": "roman", "skip_complete": True},
        {"initial_strategy": "constant", "fill_value": 3.5, "imputation_order": "random", "random_state": 0},
        {"n_nearest_features": 2, "random_state": 0},
        {"estimator": DecisionTreeRegressor(max_depth=3)},
        {"estimator": make_pipeline(LinearRegression())},
        {"max_iter": 0},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:.*Early stopping")
def test_rounds(options: dict[str, Any]) -> None:
    train = gaps()
    assert_parity(IterativeImputer(**{"max_iter": 3, **options}).fit(train), rows(train), rtol=1e-11)


@pytest.mark.filterwarnings("ignore:.*Early stopping")
def test_rounds_over_marked_values_and_over_one_column() -> None:
    train = gaps().drop(columns="empty").fillna(-1)
    assert_parity(IterativeImputer(missing_values=-1, max_iter=2).fit(train), rows(train), rtol=1e-11)
    assert_parity(IterativeImputer().fit(train[["total"]]), rows(train[["total"]]))


@pytest.mark.filterwarnings("ignore")
def test_rounds_that_draw_numbers_or_predict_classes_are_refused() -> None:
    train = gaps()[["tenure", "visits"]]
    with pytest.raises(UnsupportedError, match="sample_posterior"):
        to_program(IterativeImputer(sample_posterior=True).fit(train))
    tree = DecisionTreeClassifier()
    with pytest.raises(UnsupportedError, match="no regressor"):
        to_program(IterativeImputer(tree, initial_strategy="most_frequent", max_iter=1).fit(train))


def test_markers_of_the_other_type_are_refused() -> None:
    mixed = pd.DataFrame({"a": ["x", "y", "x"], "b": [1.0, 2.0, -1.0]}, dtype=object)
    with pytest.raises(UnsupportedError, match="in a column of text"):
        to_program(SimpleImputer(missing_values=-1, strategy="most_frequent").fit(mixed))
    with pytest.raises(UnsupportedError, match="in a column of numbers"):
        to_program(SimpleImputer(missing_values="y", strategy="most_frequent").fit(mixed))
