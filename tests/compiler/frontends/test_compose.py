"""Pipeline, ColumnTransformer, FeatureUnion: the right columns, in the right order, with the right name in messages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import TransformerMixin, clone
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import AdditiveChi2Sampler
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)
from sklearn.random_projection import SparseRandomProjection
from sklearn.tree import DecisionTreeRegressor

from pgscore.compiler import ir
from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError

from ...support.customers import EVERYTHING, NUMBERS, NUMBERS_MISSING, TEXTS, customers, rows_to_score
from ...support.models import churn_pipeline
from .parity import assert_parity


def fit(estimator: Any, columns: list[str], target: str = "churn") -> tuple[Any, pd.DataFrame]:
    train = customers()[columns]
    return estimator.fit(train, customers()[target]), rows_to_score(train)


def refusal(estimator: Any) -> UnsupportedError:
    with pytest.raises(UnsupportedError) as caught:
        to_program(estimator)
    return caught.value


@pytest.mark.parametrize(
    "columns",
    [
        ["total", "tenure"],
        [2, 0],
        [-1, 0],
        slice(1, 3),
        slice("monthly", "total"),
        slice(None),
        [False, True, True],
        np.array([True, False, True]),
        pd.Index(["monthly"]),
        pytest.param(make_column_selector(pattern="^t"), id="by pattern"),
        pytest.param(make_column_selector(dtype_include=np.number), id="by dtype"),
    ],
    ids=str,
)
@pytest.mark.parametrize("remainder", ["drop", "passthrough", MinMaxScaler()], ids=str)
def test_columns_are_chosen_as_in_scikit_learn(columns: Any, remainder: Any) -> None:
    model, rows = fit(ColumnTransformer([("part", StandardScaler(), columns)], remainder=remainder), NUMBERS_MISSING)
    assert_parity(model, rows, exact=True)


def test_column_transformer_learns_from_arrays_too() -> None:
    train = customers()[NUMBERS_MISSING].to_numpy()
    model = ColumnTransformer([("b", MinMaxScaler(), [1]), ("a", "passthrough", [2])], remainder=RobustScaler())
    program = assert_parity(model.fit(train), rows_to_score(customers()[NUMBERS_MISSING]), exact=True)
    assert [column.name for column in program.columns] == ["x0", "x1", "x2"]


def test_a_column_may_go_to_several_parts() -> None:
    parts = [("a", StandardScaler(), ["tenure"]), ("b", MinMaxScaler(), ["tenure"]), ("c", "passthrough", ["tenure"])]
    model, rows = fit(ColumnTransformer(parts), NUMBERS)
    assert_parity(model, rows, exact=True)


def test_columns_that_nothing_reads_are_not_in_the_signature() -> None:
    model, rows = fit(ColumnTransformer([("a", "drop", ["city"]), ("b", StandardScaler(), ["tenure"])]), EVERYTHING)
    assert [column.name for column in assert_parity(model, rows, exact=True).columns] == ["tenure"]


@pytest.mark.parametrize("threshold", [0.0, 1.0])
@pytest.mark.parametrize(
    "scaler", [MaxAbsScaler(clip=True), StandardScaler(with_mean=False), RobustScaler(with_centering=False)], ids=str
)
def test_scalers_multiply_by_the_reciprocal_on_sparse_input(threshold: float, scaler: Any) -> None:
    prep = ColumnTransformer(
        [("num", "passthrough", NUMBERS_MISSING), ("cat", OneHotEncoder(handle_unknown="ignore"), TEXTS)],
        sparse_threshold=threshold,
    )
    model, rows = fit(Pipeline([("prep", prep), ("scaler", scaler)]), [*NUMBERS_MISSING, *TEXTS])
    program = assert_parity(model, rows, exact=True)
    kinds = {type(node) for node in program.nodes}
    assert (ir.MultiplyAdd in kinds, ir.Standardize in kinds) == (threshold == 1.0, threshold == 0.0)


def test_sparseness_goes_through_unions_and_nested_pipelines() -> None:
    sparse = make_pipeline(OneHotEncoder(handle_unknown="ignore"), "passthrough")
    union = FeatureUnion([("a", "drop"), ("b", "passthrough"), ("c", sparse)])
    model, rows = fit(make_pipeline(union, StandardScaler(with_mean=False), MaxAbsScaler()), ["visits"])
    assert_parity(model, rows, exact=True)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_tree_takes_a_missing_value_from_dense_input_only(threshold: float, nested: bool) -> None:
    prep = ColumnTransformer(
        [("num", "passthrough", NUMBERS), ("cat", OneHotEncoder(handle_unknown="ignore"), TEXTS)],
        sparse_threshold=threshold,
    )
    tree: Any = DecisionTreeRegressor(max_depth=3)
    model, rows = fit(
        Pipeline([("prep", prep), ("tree", make_pipeline(tree) if nested else tree)]), [*NUMBERS, *TEXTS], "amount"
    )
    assert_parity(model, rows, exact=True)


def test_weights_multiply_what_a_part_gives() -> None:
    parts = [
        ("a", StandardScaler(), ["tenure"]),
        ("b", OneHotEncoder(), ["contract"]),
        ("c", "passthrough", ["monthly"]),
    ]
    model = ColumnTransformer(parts, transformer_weights={"a": 1 / 3, "b": -2, "c": 0.1})
    assert_parity(*fit(model, [*NUMBERS, "contract"]), exact=True)


def test_pandas_output_changes_nothing() -> None:
    prep = ColumnTransformer(
        [
            ("num", StandardScaler(), NUMBERS),
            ("cat", OneHotEncoder(sparse_output=False, handle_unknown="ignore"), TEXTS),
        ]
    )
    model, rows = fit(Pipeline([("prep", prep), ("model", LogisticRegression())]), [*NUMBERS, *TEXTS])
    model.set_output(transform="pandas")
    assert_parity(model, rows, atol=1e-15)


def test_pipeline_ends_in_a_transformer_or_in_nothing() -> None:
    for last in (StandardScaler(), "passthrough", None, Pipeline([("inner", MinMaxScaler())])):
        model, rows = fit(Pipeline([("first", MaxAbsScaler()), ("last", last)]), NUMBERS_MISSING)
        assert assert_parity(model, rows, exact=True).kind is ir.ModelKind.TRANSFORMER


def test_input_names_are_found_behind_passthrough_and_drop() -> None:
    union = FeatureUnion([("none", "drop"), ("scale", StandardScaler())])
    model, rows = fit(Pipeline([("nothing", None), ("union", union), ("model", Ridge())]), NUMBERS, "amount")
    assert [column.name for column in assert_parity(model, rows).columns] == NUMBERS


def test_messages_name_the_step_by_its_path() -> None:
    prep = ColumnTransformer([("num", Pipeline([("scaler", StandardScaler()), ("loud", Louder())]), NUMBERS)])
    error = refusal(fit(Pipeline([("prep", prep), ("model", LogisticRegression())]), NUMBERS)[0])
    assert error.step == "prep.num.loud"
    assert "Louder" in error.reason


@pytest.mark.parametrize(
    "wrap",
    [
        lambda part: Pipeline([("middle", part), ("model", LogisticRegression())]),
        lambda part: make_pipeline(FeatureUnion([("middle", part)]), LogisticRegression()),
        lambda part: make_pipeline(ColumnTransformer([("middle", part, NUMBERS)]), LogisticRegression()),
    ],
)
def test_a_clusterer_that_is_used_as_a_transformer_gives_distances(wrap: Any) -> None:
    assert_parity(*fit(wrap(KMeans(2, n_init=1, random_state=0)), NUMBERS))


class Louder(StandardScaler):  # type: ignore[misc]
    def transform(self, X: Any) -> Any:
        return 10 * super().transform(X)


class Loudest(Pipeline, TransformerMixin):  # type: ignore[misc]
    pass


def test_a_subclass_has_no_frontend() -> None:
    error = refusal(fit(Pipeline([("scale", Louder()), ("model", LogisticRegression())]), NUMBERS)[0])
    assert (error.step, "Louder" in error.reason) == ("scale", True)
    # skl2onnx knows pipelines by their base class, and is measured.
    program = to_program(fit(Loudest([("scale", StandardScaler())]), NUMBERS)[0])
    assert "Loudest goes through skl2onnx" in program.approximation


@pytest.mark.parametrize(
    "model", [StandardScaler(), churn_pipeline(LogisticRegression()), FeatureUnion([("a", MinMaxScaler())])]
)
def test_a_model_that_is_not_fitted_is_refused(model: Any) -> None:
    assert "not fitted" in refusal(model).reason


@pytest.mark.parametrize("value", [{"a": 1}, "model", None, 3.0])
def test_what_is_no_estimator_is_refused(value: Any) -> None:
    assert type(value).__name__ in refusal(value).reason


def test_a_column_that_is_read_as_text_and_as_numbers_is_refused() -> None:
    model = FeatureUnion([("text", SimpleImputer(strategy="constant", fill_value="none")), ("codes", OrdinalEncoder())])
    train = pd.DataFrame({"a": [1.0, 2.0, np.nan]}, dtype=object)
    error = refusal(model.fit(train))
    assert (error.step, "'a'" in error.reason) == ("codes", True)


def test_a_result_that_holds_text_is_refused() -> None:
    imputer = SimpleImputer(strategy="most_frequent")
    assert "text" in refusal(fit(imputer, TEXTS)[0]).reason
    parts = [("onehot", OneHotEncoder(), ["city"]), ("same", "passthrough", ["city"])]
    assert "text" in refusal(fit(ColumnTransformer(parts), TEXTS)[0]).reason


def test_a_result_without_columns_is_refused() -> None:
    assert "no columns" in refusal(SimpleImputer().fit(pd.DataFrame({"a": [np.nan, np.nan]}))).reason


def test_missing_values_of_two_kinds_are_refused() -> None:
    nones, nans = pd.DataFrame({"a": ["x", None]}, dtype=object), pd.DataFrame({"a": ["x", np.nan]}, dtype=object)
    model = FeatureUnion([("nan", OneHotEncoder()), ("none", OneHotEncoder())]).fit(nans)
    model.transformer_list[1] = ("none", OneHotEncoder().fit(nones))
    error = refusal(model)
    assert error.step == "none"
    assert "both None and NaN" in error.reason


def sparse_table(**options: Any) -> ColumnTransformer:
    parts = [("c", OneHotEncoder(), ["contract"]), ("n", MinMaxScaler(), ["tenure"])]
    return ColumnTransformer(parts, sparse_threshold=1.0, **options)


@pytest.mark.parametrize(
    "then", [QuantileTransformer(n_quantiles=5, output_distribution="normal"), AdditiveChi2Sampler()]
)
def test_zeros_that_a_sparse_matrix_stores(then: Any) -> None:
    """They are numbers like others to a step that leaves alone what is not stored."""
    train = customers()[["contract", "tenure"]]
    assert_parity(make_pipeline(sparse_table(), then).fit(train), train, rtol=1e-10)
    splines = make_pipeline(SplineTransformer(sparse_output=True), then).fit(train[["tenure"]])
    weighted = make_pipeline(sparse_table(transformer_weights={"c": 0}), clone(then)).fit(train)
    for model in (splines, weighted):
        with pytest.raises(UnsupportedError, match="a 0 that is stored"):
            to_program(model)


def test_products_of_columns_out_of_order_are_refused() -> None:
    """scikit-learn takes the columns of each row as sorted, which a product of sparse matrices is not."""
    train = customers()[["contract", "city"]]
    for dense in (True, False):
        projection = SparseRandomProjection(3, random_state=0, dense_output=dense)
        model = make_pipeline(OneHotEncoder(), projection, PolynomialFeatures(2)).fit(train)
        if dense:
            assert_parity(model, train, rtol=1e-12, atol=1e-12)
        else:
            with pytest.raises(UnsupportedError, match="not in order"):
                to_program(model)
