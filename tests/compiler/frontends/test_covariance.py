"""EllipticEnvelope: with and without a stored precision, correlated and single columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.covariance import EllipticEnvelope
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pgscore.compiler import ir
from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError

from ...support.customers import NUMBERS, customers, rows_to_score
from .parity import assert_parity


@pytest.mark.parametrize(
    "model",
    [
        EllipticEnvelope(random_state=0),
        EllipticEnvelope(contamination=0.4, random_state=0),
        EllipticEnvelope(store_precision=False, assume_centered=True, random_state=0),
        EllipticEnvelope(support_fraction=0.9, random_state=0),
        make_pipeline(StandardScaler(), EllipticEnvelope(random_state=0)),
    ],
    ids=str,
)
@pytest.mark.parametrize("columns", [NUMBERS, ["monthly"]], ids=str)
def test_outliers(model: Any, columns: list[str]) -> None:
    train = customers()[columns]
    program = assert_parity(model.fit(train), rows_to_score(train, 90))
    assert program.kind is ir.ModelKind.OUTLIER_DETECTOR
    assert program.outputs[0].labels == (-1, 1)


def test_correlated_columns() -> None:
    """The decision is a distance of up to 30, less the offset: next to 0 it has fewer digits."""
    rng = np.random.default_rng(0)
    train = pd.DataFrame(rng.normal(size=(80, 5)) @ rng.normal(size=(5, 5)) + 3, columns=list("abcde"))
    assert_parity(EllipticEnvelope(random_state=0).fit(train), rows_to_score(train, 80), atol=1e-12)


def test_a_covariance_that_is_not_finite_is_refused() -> None:
    model = EllipticEnvelope(random_state=0).fit(customers()[NUMBERS])
    model.precision_ = np.full((2, 2), np.nan)
    with pytest.raises(UnsupportedError, match="not finite"):
        to_program(model)
