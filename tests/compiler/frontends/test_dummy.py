"""Dummies: every strategy that gives the same answer each time, whatever the row holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pgscore.compiler import ir
from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError

from ...support.customers import NUMBERS_MISSING, customers, rows_to_score
from .parity import assert_parity

TARGETS = ["churn", "flag", "tier", "level", "grade"]


def train() -> Any:
    return customers()[NUMBERS_MISSING]


@pytest.mark.parametrize("strategy", ["prior", "most_frequent", "constant"])
@pytest.mark.parametrize("name", TARGETS)
def test_classifier(name: str, strategy: str) -> None:
    target = customers()[name]
    model = DummyClassifier(strategy=strategy, constant=[target[3]] if strategy == "constant" else None)
    program = assert_parity(model.fit(train(), target), rows_to_score(train()), exact=True)
    assert [column.name for column in program.columns] == NUMBERS_MISSING[:1]


@pytest.mark.parametrize("strategy", ["prior", "most_frequent"])
def test_one_class_and_weights(strategy: str) -> None:
    weight = np.arange(90.0)
    model = DummyClassifier(strategy=strategy).fit(train(), customers()["tier"], sample_weight=weight)
    assert_parity(model, rows_to_score(train()), exact=True)
    assert_parity(DummyClassifier(strategy=strategy).fit(train(), ["only"] * 90), rows_to_score(train()), exact=True)


@pytest.mark.parametrize("options", [{}, {"strategy": "most_frequent"}, {"strategy": "constant", "constant": [5, 15]}])
def test_classifier_of_several_targets(options: dict[str, Any]) -> None:
    target = np.column_stack([customers()["level"], customers()["level"][::-1]])
    model = DummyClassifier(**options).fit(train(), target)
    program = to_program(model)
    assert program.kind is ir.ModelKind.MULTI_OUTPUT_CLASSIFIER
    assert program.outputs[0].targets == ((-5, 5, 15),) * 2


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"strategy": "median"},
        {"strategy": "quantile", "quantile": 0.2},
        {"strategy": "constant", "constant": 3},
    ],
    ids=str,
)
def test_regressor(options: dict[str, Any]) -> None:
    assert_parity(DummyRegressor(**options).fit(train(), customers()["amount"]), rows_to_score(train()), exact=True)


@pytest.mark.parametrize("options", [{}, {"strategy": "constant", "constant": [1.5, -2.0]}], ids=str)
def test_regressor_of_several_targets(options: dict[str, Any]) -> None:
    model = DummyRegressor(**options).fit(train(), customers()[["amount", "level"]])
    assert_parity(model, rows_to_score(train()), exact=True)


def test_the_steps_before_it_refuse_their_rows() -> None:
    model = make_pipeline(StandardScaler(), DummyRegressor()).fit(train(), customers()["amount"])
    program = assert_parity(model, rows_to_score(train()), exact=True)
    assert len(program.columns) == 3


@pytest.mark.parametrize("strategy", ["stratified", "uniform"])
def test_chance_is_refused(strategy: str) -> None:
    with pytest.raises(UnsupportedError, match="at random"):
        to_program(DummyClassifier(strategy=strategy).fit(train(), customers()["churn"]))


def test_a_constant_of_another_type_is_refused() -> None:
    model = DummyClassifier(strategy="constant", constant=[1.0]).fit(train(), customers()["level"] // 10)
    with pytest.raises(UnsupportedError, match=r"constant 1\.0 is no int"):
        to_program(model)


def test_no_columns_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="without a column"):
        to_program(DummyRegressor().fit([1, 2, 3], [1.0, 2.0, 3.0]))


def test_targets_in_a_sparse_matrix() -> None:
    target = csr_array(np.array([[0, 1], [1, 0], [1, 0]] * 30))
    program = to_program(DummyClassifier().fit(train(), target))
    assert program.outputs[0].targets == ((0, 1), (0, 1))


def test_constants_that_fit_no_target_are_refused() -> None:
    classifier = DummyClassifier(strategy="constant", constant=[["no"]]).fit(train(), customers()["churn"])
    with pytest.raises(UnsupportedError, match="a matrix"):
        to_program(classifier)
    regressor = DummyRegressor(strategy="constant", constant=[1.0, 2.0]).fit(train(), customers()["amount"])
    with pytest.raises(UnsupportedError, match="2 constants for 1 targets"):
        to_program(regressor)
