"""inverse_transform of every transformer that has one here, and the refusal of the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)

from pgscore.compiler import ir
from pgscore.compiler.backends.numpy import evaluate
from pgscore.compiler.frontends import FRONTENDS
from pgscore.compiler.frontends.builder import Builder
from pgscore.compiler.frontends.inverses import INVERSES, inverse
from pgscore.errors import UnsupportedError

_RNG = np.random.default_rng(5)
TRAIN = np.column_stack(
    [
        _RNG.lognormal(size=80),
        _RNG.normal(size=80) * 100,
        np.r_[np.zeros(60), _RNG.normal(size=20)],
        np.full(80, 3.3),
    ]
)
POSITIVE = np.column_stack([TRAIN[:, 0], np.abs(TRAIN[:, 1]) + 0.1])
GIVEN = np.concatenate(
    [_RNG.normal(size=(60, 4)), np.linspace(-9, 9, 61)[:, np.newaxis] * np.ones(4), _RNG.normal(size=(9, 4)) * 1e-9]
)
GIVEN[::17, 1] = np.nan


def outcome(transformer: Any, given: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    builder = Builder([f"x{index}" for index in range(given.shape[1])], FRONTENDS)
    program = builder.finish(inverse(transformer, builder.inputs, builder))
    columns = {column.name: given[:, int(column.name[1:])] for column in program.columns}
    return evaluate(program, columns)[ir.Method.TRANSFORM]


def assert_inverse(transformer: Any, given: npt.NDArray[np.float64], rtol: float) -> None:
    with np.errstate(all="ignore"):
        expected = transformer.inverse_transform(given)
    got = outcome(transformer, given)
    np.testing.assert_allclose(
        np.where(np.isfinite(got), got, np.nan), np.where(np.isfinite(expected), expected, np.nan), rtol=rtol
    )


@pytest.mark.parametrize(
    "transformer",
    [
        StandardScaler(),
        StandardScaler(with_mean=False, with_std=False),
        MinMaxScaler((-3, 5), clip=True),
        MaxAbsScaler(),
        RobustScaler(),
        RobustScaler(with_centering=False),
        QuantileTransformer(n_quantiles=1),
        QuantileTransformer(n_quantiles=30),
        QuantileTransformer(n_quantiles=30, output_distribution="normal"),
        make_pipeline(StandardScaler(), "passthrough", MinMaxScaler()),
    ],
    ids=str,
)
def test_bit_by_bit(transformer: Any) -> None:
    assert_inverse(transformer.fit(TRAIN), GIVEN, rtol=0)


@pytest.mark.filterwarnings("ignore:Some values in column")
@pytest.mark.parametrize("standardize", [True, False])
def test_powers(standardize: bool) -> None:
    assert_inverse(PowerTransformer(standardize=standardize).fit(TRAIN), GIVEN, rtol=1e-13)
    assert_inverse(PowerTransformer("box-cox", standardize=standardize).fit(POSITIVE), GIVEN[:, :2], rtol=1e-13)


@pytest.mark.filterwarnings("ignore:Some values in column")
@pytest.mark.parametrize("power", [0.0, 1e-17, 1e-3, 0.5, 1.0, 2.0, 2 + 1e-16, 3.7, -0.7])
def test_given_powers(power: float) -> None:
    transformer = PowerTransformer(standardize=False).fit(TRAIN)
    transformer.lambdas_ = np.full(4, power)
    assert_inverse(transformer, GIVEN, rtol=1e-12)
    transformer = PowerTransformer("box-cox", standardize=False).fit(POSITIVE)
    transformer.lambdas_ = np.full(2, power)
    assert_inverse(transformer, GIVEN[:, :2], rtol=1e-12)


def test_functions_go_back_by_their_inverse() -> None:
    for validate in (False, True):
        transformer = FunctionTransformer(np.log1p, np.expm1, validate=validate).fit(POSITIVE)
        assert_inverse(transformer, GIVEN[1:16, :2], rtol=0)
    assert_inverse(FunctionTransformer(np.log1p).fit(POSITIVE), GIVEN[:, :2], rtol=0)


def test_others_are_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match=r"SplineTransformer\.inverse_transform"):
        outcome(SplineTransformer().fit(TRAIN), GIVEN)
    with pytest.raises(UnsupportedError, match="sort"):
        outcome(FunctionTransformer(inverse_func=np.sort).fit(TRAIN), GIVEN)
    transformer = PowerTransformer().fit(TRAIN)
    transformer.lambdas_ = np.full(4, -0.5)
    with pytest.raises(UnsupportedError, match="whole number"):
        outcome(transformer, GIVEN)
    scaler = StandardScaler().fit(TRAIN)
    scaler.mean_ = np.full(4, np.inf)
    with pytest.raises(UnsupportedError, match="not finite"):
        outcome(scaler, GIVEN)


def test_every_inverse_is_of_a_transformer_that_is_compiled() -> None:
    assert set(INVERSES) <= set(FRONTENDS)
