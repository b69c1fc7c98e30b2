"""Discriminant analysis: solvers, shrinkage, priors and kinds of label; LDA's axes as a step in the middle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.covariance import OAS
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from pgscore.compiler import ir
from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError

from ...support.customers import NUMBERS, customers, rows_to_score
from .parity import assert_parity

TARGETS = ["churn", "flag", "tier", "level", "grade", "ten"]
SHRUNK: list[dict[str, Any]] = [
    {},
    {"shrinkage": "auto"},
    {"shrinkage": 0.3},
    {"covariance_estimator": OAS()},
]


def train() -> pd.DataFrame:
    frame = customers()[NUMBERS]
    return ((frame - frame.mean()) / frame.std()).assign(
        noise=np.random.default_rng(3).normal(size=90),
    )


def target(name: str) -> Any:
    return pd.qcut(customers()["amount"], 10, labels=False) if name == "ten" else customers()[name]


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("solver", ["svd", "lsqr", "eigen"])
def test_linear(solver: str, name: str) -> None:
    model = LinearDiscriminantAnalysis(solver=solver).fit(train(), target(name))
    program = assert_parity(model, rows_to_score(train()), atol=1e-14)
    assert program.output(ir.Method.DECISION_FUNCTION) is not None


@pytest.mark.parametrize("options", [*SHRUNK, {"priors": [0.5, 0.3, 0.2]}], ids=str)
@pytest.mark.parametrize("solver", ["lsqr", "eigen"])
def test_options_of_linear(solver: str, options: dict[str, Any]) -> None:
    model = LinearDiscriminantAnalysis(solver=solver, **options).fit(train(), target("tier"))
    assert_parity(model, rows_to_score(train()), atol=1e-14)


@pytest.mark.parametrize("count", [None, 1, 2])
@pytest.mark.parametrize("solver", ["svd", "eigen"])
def test_axes_as_a_step_in_the_middle(solver: str, count: int | None) -> None:
    model = make_pipeline(LinearDiscriminantAnalysis(solver=solver, n_components=count), Ridge())
    assert_parity(model.fit(train(), target("level")), rows_to_score(train()), atol=1e-13)


def test_a_solver_without_axes_cannot_stand_in_the_middle() -> None:
    last = Ridge().fit(train(), target("level"))
    model = make_pipeline(LinearDiscriminantAnalysis(solver="lsqr").fit(train(), target("level")), last)
    with pytest.raises(UnsupportedError, match=r"LinearDiscriminantAnalysis\.transform"):
        to_program(model)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("reg_param", [0.0, 0.4])
def test_quadratic(name: str, reg_param: float) -> None:
    model = QuadraticDiscriminantAnalysis(reg_param=reg_param).fit(train(), target(name))
    program = assert_parity(model, rows_to_score(train()), atol=1e-13)
    decision = program.output(ir.Method.DECISION_FUNCTION)
    assert decision is not None
    assert len(decision.columns) == (1 if name in {"churn", "flag"} else len(model.classes_))


@pytest.mark.parametrize("options", [*SHRUNK, {"priors": [0.5, 0.3, 0.2]}, {"store_covariance": True}], ids=str)
def test_options_of_quadratic(options: dict[str, Any]) -> None:
    model = QuadraticDiscriminantAnalysis(solver="eigen", **options).fit(train(), target("tier"))
    assert_parity(model, rows_to_score(train()), atol=1e-13)


@pytest.mark.parametrize("make", [LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis])
def test_a_single_column_and_float32(make: Any) -> None:
    for frame in (train()[["monthly"]], train().astype(np.float32)):
        assert_parity(make().fit(frame, target("tier")), rows_to_score(frame.astype(float)), atol=1e-13)


def test_a_constant_column() -> None:
    frame = train().assign(same=1.5)
    assert_parity(LinearDiscriminantAnalysis().fit(frame, target("tier")), rows_to_score(frame), atol=1e-13)
    model = QuadraticDiscriminantAnalysis(reg_param=0.2).fit(frame, target("tier"))
    assert_parity(model, rows_to_score(frame), atol=1e-13)


def test_priors_of_zero_are_refused() -> None:
    for make in (LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis):
        with pytest.raises(UnsupportedError, match="not finite"):
            to_program(make(priors=[0.0, 1.0]).fit(train(), target("churn")))
