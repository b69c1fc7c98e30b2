"""Naive Bayes: kinds of label, smoothing, priors, categories; and the categories that a model refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from pgscore.compiler import ir
from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError

from ...support.customers import NUMBERS, TEXTS, customers, rows_to_score
from .parity import assert_parity

TARGETS = ["churn", "flag", "tier", "level", "grade", "ten", "one"]
PRIORS = [0.2, 0.5, 0.3]
DISCRETE: list[Any] = [MultinomialNB, ComplementNB, BernoulliNB, CategoricalNB]


def target(name: str) -> Any:
    if name == "ten":
        return pd.qcut(customers()["amount"], 10, labels=False)
    return np.full(90, "only") if name == "one" else customers()[name]


def scaled() -> pd.DataFrame:
    frame = customers()[NUMBERS]
    return (frame - frame.mean()) / frame.std()


def counts(columns: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    return pd.DataFrame(rng.poisson(1.5, (90, columns)).astype(float), columns=[f"n{i}" for i in range(columns)])


def some_counts(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of counts, then categories that are unknown, negative, and between two whole numbers."""
    rows = rows_to_score(frame)
    odd = frame.iloc[[0] * 9].assign(n0=(-0.5, -0.999, 0.999, 1.7, 2.5, 30, 3e9, 5e18, -1e-9))
    return pd.concat([rows, odd], ignore_index=True)


@pytest.mark.parametrize("name", TARGETS)
def test_gaussian(name: str) -> None:
    program = assert_parity(GaussianNB().fit(scaled(), target(name)), rows_to_score(scaled()), atol=1e-15)
    assert {output.method for output in program.outputs} == {ir.Method.PREDICT, ir.Method.PREDICT_PROBA}


@pytest.mark.parametrize("options", [{"priors": PRIORS}, {"var_smoothing": 0.0}, {"var_smoothing": 10.0}], ids=str)
def test_options_of_gaussian(options: dict[str, Any]) -> None:
    assert_parity(GaussianNB(**options).fit(scaled(), target("tier")), rows_to_score(scaled()), atol=1e-15)


def test_gaussian_on_columns_that_are_not_scaled() -> None:
    frame = customers()[[*NUMBERS, "senior"]].astype(float)
    assert_parity(GaussianNB().fit(frame, target("churn")), frame)


def test_gaussian_trained_on_float32_by_parts() -> None:
    frame = scaled().astype(np.float32)
    model = GaussianNB().partial_fit(frame[:50], target("churn")[:50], ["no", "yes"])
    model.partial_fit(frame[50:], target("churn")[50:])
    assert_parity(model, rows_to_score(frame.astype(float)), atol=1e-15)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("make", DISCRETE)
def test_counts(make: Any, name: str) -> None:
    model = make().fit(counts(), target(name))
    assert_parity(model, some_counts(counts()), atol=1e-15)


@pytest.mark.parametrize("make", DISCRETE)
@pytest.mark.parametrize(
    "options",
    [
        {"alpha": 0.01},
        {"alpha": 1e-12, "force_alpha": False},
        {"fit_prior": False},
        {"class_prior": PRIORS},
    ],
    ids=str,
)
def test_options_of_discrete_models(make: Any, options: dict[str, Any]) -> None:
    assert_parity(make(**options).fit(counts(), target("tier")), some_counts(counts()), atol=1e-15)


@pytest.mark.parametrize("binarize", [None, 0.0, 1.0, 2.5])
def test_bernoulli_binarizes(binarize: float | None) -> None:
    frame = counts() if binarize is not None else (counts() > 1).astype(float)
    assert_parity(BernoulliNB(binarize=binarize).fit(frame, target("tier")), some_counts(frame), atol=1e-15)


@pytest.mark.parametrize("name", ["churn", "tier", "one"])
def test_complement_with_a_second_normalisation(name: str) -> None:
    assert_parity(ComplementNB(norm=True).fit(counts(), target(name)), some_counts(counts()), atol=1e-15)


@pytest.mark.parametrize("min_categories", [12, [9, 11, 8]])
def test_categories_beyond_those_of_the_training_data(min_categories: Any) -> None:
    model = CategoricalNB(min_categories=min_categories).fit(counts(), target("tier"))
    assert_parity(model, some_counts(counts()), atol=1e-15)


def test_a_constant_column_and_a_single_column() -> None:
    for frame in (counts().assign(same=0.0), counts(1)):
        for make in DISCRETE:
            assert_parity(make().fit(frame, target("tier")), rows_to_score(frame), atol=1e-15)


def test_many_categories_and_columns() -> None:
    rng = np.random.default_rng(0)
    codes = pd.DataFrame({"many": rng.integers(0, 60, 90).astype(float), "two": rng.integers(0, 2, 90).astype(float)})
    for make, frame in ((CategoricalNB, codes), (MultinomialNB, counts(200)), (GaussianNB, counts(200))):
        assert_parity(make().fit(frame, target("ten")), frame, atol=1e-15)


@pytest.mark.parametrize("unknown", [-1, 50])
def test_categories_of_an_encoder(unknown: int) -> None:
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=unknown)
    model = make_pipeline(encoder, CategoricalNB()).fit(customers()[TEXTS], target("tier"))
    program = assert_parity(model, rows_to_score(customers()[TEXTS]))
    assert any(isinstance(node, ir.Lookup) for node in program.nodes)


@pytest.mark.parametrize("make", [MultinomialNB, ComplementNB, BernoulliNB])
def test_sparse_columns(make: Any) -> None:
    frame = customers()[TEXTS]
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), make()).fit(frame, target("tier"))
    assert_parity(model, rows_to_score(frame))


@pytest.mark.parametrize("make", DISCRETE)
def test_probabilities_of_zero_are_refused(make: Any) -> None:
    frame = counts().assign(n0=np.where(target("tier") == "gold", counts()["n0"], 0.0), n9=0.0)
    with pytest.raises(UnsupportedError, match="alpha and priors above 0"):
        to_program(make(alpha=0.0).fit(frame, target("tier")))


def test_priors_of_zero_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="priors above 0"):
        to_program(GaussianNB(priors=[0.0, 1.0]).fit(scaled(), target("churn")))
    with pytest.raises(UnsupportedError, match="priors above 0"):
        to_program(MultinomialNB(class_prior=[0.0, 1.0]).fit(counts(), target("churn")))


def test_variances_of_zero_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="var_smoothing"):
        to_program(GaussianNB(var_smoothing=0.0).fit(scaled().assign(same=1.0), target("churn")))
