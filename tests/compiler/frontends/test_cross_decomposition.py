"""Partial least squares and canonical correlation: one target and several, predicted or as a step in the middle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.cross_decomposition import CCA, PLSSVD, PLSCanonical, PLSRegression
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from ...support.customers import NUMBERS, customers, rows_to_score
from .parity import assert_parity

COLUMNS = [*NUMBERS, "senior"]


def train() -> pd.DataFrame:
    return customers()[COLUMNS].astype(float)


def targets(count: int) -> Any:
    amount = customers()["amount"]
    return amount if count == 0 else pd.DataFrame({"amount": amount, "level": customers()["level"]}).iloc[:, :count]


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("make", [PLSRegression, PLSCanonical, CCA])
def test_predictions(make: Any, scale: bool, count: int) -> None:
    model = make(n_components=1, scale=scale).fit(train(), targets(count))
    program = assert_parity(model, rows_to_score(train()), atol=1e-13)
    assert len(program.outputs[0].columns) == max(count, 1)


def test_several_components() -> None:
    assert_parity(PLSRegression(n_components=3).fit(train(), targets(2)), rows_to_score(train()), atol=1e-13)


def test_a_constant_column_and_a_single_column() -> None:
    for frame in (train().assign(same=3.0), train()[["monthly"]]):
        assert_parity(PLSRegression(n_components=1).fit(frame, targets(1)), rows_to_score(frame), atol=1e-13)


@pytest.mark.parametrize("make", [PLSRegression, PLSCanonical, CCA, PLSSVD])
def test_scores_as_a_step_in_the_middle(make: Any) -> None:
    """Put together by hand: fit_transform gives the scores of the targets too, which no step takes."""
    scores = make(n_components=2).fit(train(), targets(2))
    model = make_pipeline(scores, Ridge().fit(scores.transform(train()), targets(0)))
    assert_parity(model, rows_to_score(train()), atol=1e-12)


@pytest.mark.parametrize("scale", [True, False])
def test_pls_svd(scale: bool) -> None:
    model = PLSSVD(n_components=2, scale=scale).fit(train(), targets(2))
    assert_parity(model, rows_to_score(train()), atol=1e-14)


def test_trained_on_float32() -> None:
    frame = train().astype(np.float32)
    assert_parity(PLSRegression().fit(frame, targets(2)), rows_to_score(frame.astype(float)), atol=1e-13)
