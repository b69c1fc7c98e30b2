"""Which functions, imputers and splines a skops file may hold without --trust, and which damage is seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, MissingIndicator
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, PowerTransformer, SplineTransformer
from skops import io as skops_io

from pgscore.compiler.load import load_model
from pgscore.errors import UntrustedModelError
from tests.support.example import readable

TRAIN = np.random.default_rng(0).uniform(0.1, 5, size=(40, 2))


def saved(model: Any, folder: Path) -> Path:
    path = folder / "model.skops"
    skops_io.dump(model, path)
    return path


@pytest.mark.parametrize(
    "transformer",
    [
        FunctionTransformer(np.log1p, np.expm1),
        FunctionTransformer(scipy.special.expit),
        FunctionTransformer(np.clip, kw_args={"a_min": 0, "a_max": 1}),
        FunctionTransformer(np.nan_to_num),
        FunctionTransformer(np.round, kw_args={"decimals": 1}),
        FunctionTransformer(np.around),
        IterativeImputer(max_iter=2),
        KNNImputer(),
        MissingIndicator(),
        KBinsDiscretizer(3, encode="ordinal"),
        PowerTransformer(),
        SplineTransformer(),
        SplineTransformer(extrapolation="periodic"),
    ],
    ids=readable,
)
def test_a_file_with_it_needs_no_trust(transformer: Any, tmp_path: Path) -> None:
    loaded = load_model(saved(transformer.fit(TRAIN), tmp_path)).estimator
    np.testing.assert_array_equal(loaded.transform(TRAIN), transformer.transform(TRAIN))


def test_another_function_needs_trust(tmp_path: Path) -> None:
    model = FunctionTransformer(np.sort).fit(TRAIN)
    with pytest.raises(UntrustedModelError, match=r"numpy\.sort"):
        load_model(saved(model, tmp_path))


def few_knots(spline: Any) -> None:
    spline._t = spline._t[:4].copy()


def few_coefficients(spline: Any) -> None:
    spline._c = spline._c[:2].copy()


def other_numbers(spline: Any) -> None:
    spline._t = spline._t.astype(np.float32)


def high_degree(spline: Any) -> None:
    spline.k = 100


def unordered(spline: Any) -> None:
    spline._t = spline._t[::-1].copy()


def another_function(spline: Any) -> None:
    spline._asarray = np.clip


@pytest.mark.parametrize(
    "damage", [few_knots, few_coefficients, other_numbers, high_degree, unordered, another_function]
)
def test_a_damaged_spline_is_seen(damage: Callable[[Any], None], tmp_path: Path) -> None:
    model = SplineTransformer().fit(TRAIN)
    damage(model.bsplines_[0])
    with pytest.raises(UntrustedModelError, match="BSpline"):
        load_model(saved(model, tmp_path))
