"""OneHotEncoder, OrdinalEncoder and TargetEncoder over options, kinds of data, and values that training did not see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import VarianceThreshold
from sklearn.kernel_approximation import AdditiveChi2Sampler
from sklearn.linear_model import LarsCV, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    LabelBinarizer,
    LabelEncoder,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
    TargetEncoder,
)
from sklearn.tree import DecisionTreeClassifier

from pgscore.compiler.backends.numpy import evaluate
from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError

from ...support.customers import rows_to_score
from .parity import assert_parity

N = 40
_RNG = np.random.default_rng(3)
_TEXT = _RNG.choice(["b", "a", "ü'\\", "rare", "rarer"], N, p=[0.5, 0.3, 0.1, 0.05, 0.05])
_NUMBER = _RNG.choice([1.5, -2.0, 1e300, 0.1, 7.0], N, p=[0.5, 0.3, 0.1, 0.05, 0.05])
_GAPS = np.arange(N) % 7 == 0

DATA = {
    "text": pd.DataFrame({"a": _TEXT, "two": np.where(_GAPS, "no", "yes"), "one": "same"}, dtype=object),
    "text-nan": pd.DataFrame({"a": np.where(_GAPS, np.nan, _TEXT.astype(object)), "b": _TEXT}, dtype=object),
    "text-none": pd.DataFrame({"a": np.where(_GAPS, None, _TEXT.astype(object)), "b": _TEXT}, dtype=object),
    "text-pandas": pd.DataFrame({"a": pd.Series(_TEXT, dtype="str").where(~_GAPS), "b": pd.Categorical(_TEXT)}),
    "numbers": pd.DataFrame({"a": _NUMBER, "two": _GAPS.astype(float), "one": 5.0}),
    "numbers-nan": pd.DataFrame({"a": np.where(_GAPS, np.nan, _NUMBER), "nothing": np.nan}),
    "numbers-none": pd.DataFrame({"a": np.where(_GAPS, None, _NUMBER.astype(object))}, dtype=object),
    "integers": pd.DataFrame({"a": _RNG.integers(-3, 3, N), "b": _RNG.integers(0, 2, N).astype(np.int8)}),
    "booleans": pd.DataFrame({"a": _GAPS, "b": pd.Series(_GAPS, dtype=object)}),
    "float32": pd.DataFrame({"a": _RNG.choice([0.1, 0.2, 0.7], N).astype(np.float32)}),
}
ONE_HOT: list[dict[str, Any]] = [
    {},
    {"drop": "first"},
    {"drop": "if_binary", "min_frequency": 5},
    {"max_categories": 2},
    {"handle_unknown": "ignore"},
    {"handle_unknown": "ignore", "drop": "if_binary"},
    {"handle_unknown": "ignore", "drop": "first", "min_frequency": 0.15},
    {"handle_unknown": "infrequent_if_exist"},
    {"handle_unknown": "infrequent_if_exist", "max_categories": 1},
    {"handle_unknown": "infrequent_if_exist", "drop": "first", "max_categories": 2},
    {"handle_unknown": "warn", "drop": "if_binary", "min_frequency": 5},
]
ORDINAL: list[dict[str, Any]] = [
    {},
    {"encoded_missing_value": -1},
    {"encoded_missing_value": 50, "min_frequency": 0.15},
    {"max_categories": 2},
    {"handle_unknown": "use_encoded_value", "unknown_value": -1},
    {"handle_unknown": "use_encoded_value", "unknown_value": 99, "encoded_missing_value": -5},
    {"handle_unknown": "use_encoded_value", "unknown_value": np.nan, "encoded_missing_value": 50},
    {"handle_unknown": "use_encoded_value", "unknown_value": np.nan, "max_categories": 2},
    {"handle_unknown": "use_encoded_value", "unknown_value": -1, "encoded_missing_value": -2, "min_frequency": 5},
]


def hard(train: pd.DataFrame) -> pd.DataFrame:
    """Training rows as objects and doubles, then hard values."""
    kinds = {name: object if any(isinstance(value, str) for value in train[name]) else float for name in train}
    plain = pd.concat([train.iloc[:15], train.drop_duplicates()]).astype(kinds)
    complete = plain.fillna({name: 0.0 for name in plain if plain[name].isna().all()})
    return pd.concat([plain, rows_to_score(complete, 0).astype(kinds)], ignore_index=True)


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("options", ONE_HOT, ids=lambda options: "-".join(map(str, options.values())))
def test_one_hot(data: str, options: dict[str, Any]) -> None:
    assert_parity(OneHotEncoder(**options).fit(DATA[data]), hard(DATA[data]), exact=True)


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("options", ORDINAL, ids=lambda options: "-".join(map(str, options.values())))
def test_ordinal(data: str, options: dict[str, Any]) -> None:
    assert_parity(OrdinalEncoder(**options).fit(DATA[data]), hard(DATA[data]), exact=True)


TARGETS: dict[str, Any] = {
    "binary": np.where(_RNG.random(N) < 0.4, "yes", "no"),
    "continuous": _RNG.normal(size=N),
    "multiclass": _RNG.integers(0, 3, N),
}


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("smooth", ["auto", 0.0, 7.5])
def test_target(data: str, target: str, smooth: Any) -> None:
    encoder = TargetEncoder(smooth=smooth).fit(DATA[data], TARGETS[target])
    assert_parity(encoder, hard(DATA[data]), exact=True)
    assert_parity(TargetEncoder().fit(DATA["text"].to_numpy(str), TARGETS[target]), hard(DATA["text"]), exact=True)


def test_target_with_given_categories() -> None:
    train, order = pd.DataFrame({"a": ["x", "y", None] * 3}, dtype=object), [["y", None, "z", "x"]]
    encoder = TargetEncoder(categories=order, target_type="continuous").fit(train, np.arange(9) % 2)
    assert_parity(encoder, hard(train), exact=True)


def test_the_label_encoder_is_refused() -> None:
    refuse(LabelEncoder().fit(["a", "b", "c"]), "encodes the target")


LABELS: dict[str, Any] = {
    "text": ["b", "a", "c", "ü'\\", "a"],
    "two": ["yes", "no", "yes"],
    "one": ["same", "same"],
    "integers": [3, 1, 2, 7],
    "two-integers": [0, 1],
    "booleans": [True, False],
    "whole-floats": [1.0, 2.0, 5.0],
}


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize(
    "options",
    [{}, {"sparse_output": True}, {"neg_label": -2, "pos_label": 3}, {"neg_label": -1, "pos_label": 0}],
    ids=str,
)
def test_labels_are_binarized_one_at_a_time(labels: str, options: dict[str, Any]) -> None:
    binarizer = LabelBinarizer(**options).fit(LABELS[labels])
    text = isinstance(LABELS[labels][0], str)
    hard = [*LABELS[labels], *(["", "new", None] if text else [0.5, 4.0, -(2.0**63), 2.0**63, 1e300, np.inf, np.nan])]
    rows = np.array([[value] for value in hard], dtype=object if text else float)
    expected, refused = [], []
    for row in rows:
        try:
            answer = binarizer.transform(row)
        except ValueError:
            answer = None
        refused.append(answer is None)
        expected.append(
            None if answer is None else np.asarray(answer.toarray() if options.get("sparse_output") else answer)
        )
    (got,) = evaluate(to_program(binarizer), {"x0": rows[:, 0]}).values()
    assert np.isnan(got).any(axis=1).tolist() == refused
    assert 0 < sum(refused) < len(refused)
    np.testing.assert_array_equal(got[~np.array(refused)], np.vstack([e for e in expected if e is not None]))


def test_sets_of_labels_are_refused() -> None:
    refuse(LabelBinarizer().fit(np.array([[1, 0, 1], [0, 1, 1]])), "multilabel-indicator")


@pytest.mark.parametrize("encoder", [OneHotEncoder, OrdinalEncoder])
def test_a_missing_value_that_was_not_learned_is_an_unknown_category(encoder: Any) -> None:
    train = DATA["text"]
    rows = pd.concat([train, train.iloc[:1].assign(a=np.nan), train.iloc[:1].assign(a="new")], ignore_index=True)
    assert_parity(encoder().fit(train), rows, exact=True)
    lenient = (
        {"handle_unknown": "ignore"}
        if encoder is OneHotEncoder
        else {"handle_unknown": "use_encoded_value", "unknown_value": 9}
    )
    assert_parity(encoder(**lenient).fit(train), rows, exact=True)


def test_dropping_named_categories() -> None:
    for drop in (["a", "no", "same"], ["rarer", "yes", "same"]):
        assert_parity(OneHotEncoder(drop=drop).fit(DATA["text"]), hard(DATA["text"]), exact=True)
    assert_parity(OneHotEncoder(drop=[np.nan, "b"]).fit(DATA["text-nan"]), hard(DATA["text-nan"]), exact=True)
    grouped = OneHotEncoder(drop=["b", "yes", "same"], min_frequency=5, handle_unknown="infrequent_if_exist")
    assert_parity(grouped.fit(DATA["text"]), hard(DATA["text"]), exact=True)


@pytest.mark.parametrize("encoder", [OneHotEncoder, OrdinalEncoder])
def test_given_categories_keep_their_order(encoder: Any) -> None:
    train, order = pd.DataFrame({"a": ["x", "y", None] * 3}, dtype=object), [["y", None, "z", "x"]]
    assert_parity(encoder(categories=order).fit(train), hard(train), exact=True)
    grouped = encoder(categories=order, min_frequency=2)
    assert_parity(grouped.fit(train), hard(train), exact=True)


@pytest.mark.parametrize("encoder", [OneHotEncoder(dtype=np.int64), OrdinalEncoder(dtype=np.int32)])
def test_whole_number_codes(encoder: Any) -> None:
    assert_parity(
        make_pipeline(encoder, StandardScaler(with_mean=False)).fit(DATA["text"]), hard(DATA["text"]), exact=True
    )


def test_arrays_of_fixed_width_text() -> None:
    train = DATA["text"].to_numpy(dtype=str)
    for encoder in (OneHotEncoder(handle_unknown="ignore"), OrdinalEncoder()):
        assert_parity(encoder.fit(train), hard(DATA["text"]), exact=True)


def test_a_tree_follows_codes_with_missing_values() -> None:
    train = DATA["text-nan"].assign(n=_NUMBER)
    prep = ColumnTransformer([("codes", OrdinalEncoder(), ["a", "b"])], remainder="passthrough")
    model = make_pipeline(prep, DecisionTreeClassifier(max_depth=4)).fit(train.replace(1e300, 3.0), _TEXT)
    assert_parity(model, hard(train), exact=True)


def refuse(estimator: Any, reason: str) -> None:
    with pytest.raises(UnsupportedError, match=reason):
        to_program(estimator)


@pytest.mark.parametrize("encoder", [OneHotEncoder, OrdinalEncoder])
@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (["a", None, np.nan], "both None and NaN"),
        ([2**53 + 1, 1], r"beyond 2\^53"),
        ([None, None], "always missing"),
        (["nul\0", "b"], "NUL"),
        (["\ud800", "b"], "surrogate"),
        ([b"bytes", b"b"], "all text or all numbers"),
        (np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[D]"), "all text or all numbers"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_categories_that_sql_cannot_hold_are_refused(encoder: Any, values: Any, reason: str) -> None:
    dtype = None if isinstance(values, np.ndarray) or isinstance(values[0], int) else object
    refuse(encoder().fit(pd.DataFrame({"a": values}, dtype=dtype)), reason)


SMALL = [np.int8, np.uint8, np.int16, bool]


@pytest.mark.parametrize("dtype", SMALL)
@pytest.mark.parametrize("then", [StandardScaler(with_mean=False), LogisticRegression(), KNeighborsClassifier(1)])
def test_small_whole_numbers(dtype: Any, then: Any) -> None:
    train, classes = DATA["text"], TARGETS["multiclass"]
    for sparse in (True, False):
        encoder = OneHotEncoder(dtype=dtype, sparse_output=sparse, handle_unknown="ignore")
        assert_parity(make_pipeline(encoder, then).fit(train, classes), hard(train))
    if dtype is not bool:
        encoder = OrdinalEncoder(dtype=dtype, handle_unknown="use_encoded_value", unknown_value=100)
        assert_parity(make_pipeline(encoder, then).fit(train, classes), hard(train))


@pytest.mark.parametrize("dtype", SMALL)
def test_what_has_few_digits_on_small_whole_numbers_is_refused(dtype: Any) -> None:
    """numpy's functions of int8 give float16."""
    encoder = OneHotEncoder(dtype=dtype, sparse_output=False)
    refuse(make_pipeline(encoder, VarianceThreshold(), FunctionTransformer(np.exp)).fit(DATA["text"]), "few digits")
    if dtype is not bool:
        codes = OrdinalEncoder(dtype=dtype)
        refuse(make_pipeline(codes, FunctionTransformer(np.exp)).fit(DATA["text"]), "few digits")
    refuse(make_pipeline(encoder, AdditiveChi2Sampler()).fit(DATA["text"]), "cuts the fractions off")
    model = make_pipeline(encoder, LarsCV(cv=2)).fit(DATA["text"], np.arange(float(N)))
    assert model.predict(DATA["text"]).dtype == np.float32
    refuse(model, "float32")


def test_whole_numbers_in_functions() -> None:
    train = DATA["text"]
    encoder = OrdinalEncoder(dtype=np.int64)
    assert_parity(make_pipeline(encoder, FunctionTransformer(np.exp)).fit(train), train, rtol=1e-13)
    refuse(make_pipeline(encoder, FunctionTransformer(np.reciprocal)).fit(train), "few digits")


def test_types_that_do_not_hold_the_codes_are_refused() -> None:
    many = pd.DataFrame({"a": [f"c{index}" for index in range(130)]}, dtype=object)
    encoder = OrdinalEncoder(dtype=np.int8).fit(many)
    assert encoder.transform(many).min() < 0
    refuse(encoder, "dtype=int8 does not hold all of its codes")
    assert_parity(OrdinalEncoder(dtype=np.uint8).fit(many), many, exact=True)
    refuse(OrdinalEncoder(dtype=bool).fit(DATA["text"]), "dtype=bool does not hold")


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_types_that_change_later_steps_are_refused(dtype: Any) -> None:
    refuse(OneHotEncoder(dtype=dtype).fit(DATA["text"]), "dtype=")
    refuse(OrdinalEncoder(dtype=dtype).fit(DATA["text"]), "dtype=")
