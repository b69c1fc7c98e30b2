"""IsotonicRegression bit by bit: on, between and beyond the thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError

from .parity import assert_parity

HARD = (0.0, -0.0, 5e-324, 1e-300, 1e300, -1e300, 1e39, np.nan, np.inf, -np.inf)


def data(n_rows: int = 80) -> tuple[Any, Any]:
    rng = np.random.default_rng(2)
    x = np.round(rng.normal(0, 3, n_rows), 1)
    return x, np.cbrt(x) + rng.normal(0, 0.4, n_rows)


def rows(model: Any) -> pd.DataFrame:
    """On and right beside each threshold, between them, and hard values."""
    x = model.X_thresholds_
    between = np.linspace(x[0] - 2, x[-1] + 2, 301)
    return pd.DataFrame({"x0": np.concatenate([x, np.nextafter(x, 9), np.nextafter(x, -9), between, HARD])})


@pytest.mark.parametrize("outside", ["nan", "clip", "raise"])
@pytest.mark.parametrize(
    "options", [{}, {"increasing": False}, {"increasing": "auto"}, {"y_min": -1.0, "y_max": 0.5}], ids=str
)
def test_interpolation(outside: str, options: dict[str, Any]) -> None:
    model = IsotonicRegression(out_of_bounds=outside, **options).fit(*data())
    program = assert_parity(model, rows(model), exact=True)
    assert [column.name for column in program.columns] == ["x0"]


@pytest.mark.parametrize("outside", ["nan", "clip", "raise"])
@pytest.mark.parametrize(("x", "y"), [([2.0, 2.0], [1.0, 4.0]), ([1.0, 2.0, 3.0], [5.0, 5.0, 5.0])])
def test_a_lone_threshold_and_a_flat_line(outside: str, x: list[float], y: list[float]) -> None:
    model = IsotonicRegression(out_of_bounds=outside).fit(np.array(x), np.array(y))
    assert_parity(model, rows(model), exact=True)


@pytest.mark.parametrize("outside", ["nan", "clip", "raise"])
def test_behind_a_scaler(outside: str) -> None:
    x, y = data()
    frame = pd.DataFrame({"points": x})
    model = make_pipeline(StandardScaler(), IsotonicRegression(out_of_bounds=outside)).fit(frame, y)
    assert_parity(model, pd.DataFrame({"points": [*x, *np.linspace(-9, 9, 50), *HARD]}), exact=True)


def test_whole_numbers_and_weights() -> None:
    model = IsotonicRegression(out_of_bounds="clip").fit(
        np.arange(30) % 7, np.arange(30), sample_weight=np.arange(30) % 3
    )
    assert_parity(model, rows(model), exact=True)


def test_steep_slopes() -> None:
    x = np.array([0.0, 1e-200, 1.0, 1.0 + 2**-50, 1e10])
    model = IsotonicRegression(out_of_bounds="clip").fit(x, np.array([-1e50, 0.0, 1.0, 2.0, 1e60]))
    assert_parity(model, rows(model), exact=True)


def test_a_slope_beyond_the_doubles_is_refused() -> None:
    model = IsotonicRegression().fit(np.array([0.0, 1e-14]), np.array([0.0, 1e300]))
    with pytest.raises(UnsupportedError, match="slope"):
        to_program(model)


def test_float32_is_refused() -> None:
    x, y = data()
    with pytest.raises(UnsupportedError, match="float32"):
        to_program(IsotonicRegression().fit(x.astype(np.float32), y))
