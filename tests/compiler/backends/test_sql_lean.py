"""SQL that a DBA would write: comparisons of columns as they are, and no more than one CASE for a column of steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from pgscore.compiler.artifact import Parameter, SqlType, Strategy
from pgscore.compiler.build import build
from pgscore.compiler.frontends import to_program

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame({"tenure": RNG.integers(0, 60, 300), "spend": RNG.normal(50, 20, 300)})
TARGET = FRAME.tenure * 0.1 + (FRAME.spend > 40)
TYPES = {"tenure": SqlType.INTEGER, "spend": SqlType.DOUBLE}


def body(model: Any, target: Any = TARGET) -> str:
    program = to_program(model.fit(FRAME, target))
    parameters = [Parameter(column.name, TYPES[column.name]) for column in program.columns]
    artifact = build(program, parameters, strategy=Strategy.SQL)
    return artifact.functions[0].body.render(lambda index: parameters[index].name)


def test_trees_behind_a_scaler_compare_columns() -> None:
    sql = body(make_pipeline(StandardScaler(), DecisionTreeRegressor(max_depth=4, random_state=0)))
    assert "tenure::float8" not in sql
    assert " - " not in sql
    assert "tenure <= " in sql or "tenure > " in sql


def test_bins_are_one_case_for_each_column() -> None:
    bins = KBinsDiscretizer(4, encode="onehot-dense", quantile_method="averaged_inverted_cdf")
    sql = body(make_pipeline(bins, LogisticRegression()), TARGET.median() < TARGET)
    assert sql.count("+ CASE") == 2
    assert sql.count("tenure < ") == 3
    assert "tenure::float8" not in sql


@pytest.mark.parametrize("steps", [[PCA(2)], [PCA(1), StandardScaler()], [PCA(2, whiten=True), StandardScaler()]])
def test_chains_of_sums_are_one_sum(steps: list[Any]) -> None:
    sql = body(make_pipeline(StandardScaler(), *steps, LinearRegression()))
    assert sql.count("tenure::float8") == 1
    assert sql.count("spend - ") == 1


def test_a_sum_is_flushed_for_the_label_alone() -> None:
    """The probability is the same without: exp of 1e-300 is 1."""
    x = pd.DataFrame(RNG.normal(size=(200, 4)), columns=list("abcd"))
    program = to_program(LogisticRegression().fit(x, x.a > x.b))
    artifact = build(program, [Parameter(name, SqlType.DOUBLE) for name in x], strategy=Strategy.SQL)
    flushed = {function.suffix: "- '1e-" in function.body.text for function in artifact.functions}
    assert flushed == {"": False, "label": True, "proba": False}
    assert "exp(- " not in artifact.functions[0].body.text
    assert artifact.functions[0].body.text.count(" * '-") > artifact.functions[1].body.text.count(" * '-")


def test_doubles_that_may_be_missing_are_limited_by_one_condition() -> None:
    x = pd.DataFrame(RNG.normal(size=(200, 4)), columns=list("abcd"))
    program = to_program(DecisionTreeRegressor(max_depth=6).fit(x, x.sum(axis=1)))
    artifact = build(program, [Parameter(name, SqlType.DOUBLE) for name in x], strategy=Strategy.SQL)
    assert artifact.functions[0].body.text.count("IS NOT TRUE") == 2
