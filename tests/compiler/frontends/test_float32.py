from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pgscore.compiler import ir
from pgscore.compiler.frontends.float32 import float32_below, float32_threshold

SMALLEST = 2.0**-149
EDGES = [0.0, -0.0, np.inf, -np.inf, 1e300, -1e300, 1e-300, -1e-300, 5e-324, -5e-324, SMALLEST, -SMALLEST,
         SMALLEST / 2, -SMALLEST / 2, float(np.finfo(np.float32).max), ir.FLOAT32_LIMIT, -ir.FLOAT32_LIMIT]  # fmt: skip
doubles = st.floats(allow_nan=False)
singles = st.floats(width=32, allow_nan=False)


@st.composite
def near_singles(draw: st.DrawFn) -> float:
    """A float32, or the midpoint of it and the next, where ties to even decide; or the double on either side."""
    low = draw(singles)
    with np.errstate(all="ignore"):
        high = float(np.nextafter(np.float32(low), np.float32(np.inf)))
    value = low + (high - low) / 2 if draw(st.booleans()) and np.isfinite(high - low) else low
    return draw(st.sampled_from([value, np.nextafter(value, np.inf), np.nextafter(value, -np.inf)]))


def _passes(x: float, t: float) -> bool:
    with np.errstate(over="ignore", under="ignore"):
        return bool(np.float64(np.float32(x)) <= t)


@given(t=st.one_of(doubles, near_singles(), st.sampled_from(EDGES)), x=st.one_of(doubles, near_singles()))
@example(t=1.0, x=1 + 2.0**-24)  # a tie that goes to the even 1.0
@example(t=1 + 2.0**-23, x=1 + 3 * 2.0**-24)  # a tie that leaves the odd one
def test_moved_threshold_decides_as_float32_does(t: float, x: float) -> None:
    moved = float(float32_threshold(np.array([t]))[0])
    candidates = [x, t, moved, np.nextafter(moved, np.inf), np.nextafter(moved, -np.inf), *EDGES]
    for value in candidates:
        assert _passes(value, t) == (value <= moved), value


@pytest.mark.parametrize(
    ("t", "moved"),
    [
        (np.inf, np.inf),
        (1e300, ir.FLOAT32_LIMIT),
        (0.0, SMALLEST / 2),
        (-0.0, SMALLEST / 2),
        (1.0, 1 + 2.0**-24),
        (1 + 2.0**-23, np.nextafter(1 + 3 * 2.0**-24, 0)),
    ],
)
def test_moved_threshold_is_the_largest_double_that_passes(t: float, moved: float) -> None:
    assert float32_threshold(np.array([t]))[0] == moved


def test_keeps_the_shape() -> None:
    assert float32_threshold(np.zeros((2, 3))).shape == (2, 3)
    assert float32_threshold(np.zeros(0)).shape == (0,)


@given(t=st.one_of(singles, st.sampled_from([-np.inf, np.inf])), x=st.one_of(doubles, near_singles()))
def test_a_threshold_that_belongs_to_the_other_side(t: float, x: float) -> None:
    moved = float(float32_below(np.array([t]))[0])
    for value in [x, t, moved, np.nextafter(moved, np.inf), *EDGES]:
        with np.errstate(over="ignore", under="ignore"):
            below = bool(np.float32(value) < np.float32(t))
        assert below == (value <= moved) or t == -np.inf, value
