"""What counts as the same answer, and what a report says."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgscore.procedures import parity
from pgscore.procedures.parity import FunctionParity, ParityReport, compare


def judge(one: object, other: object, *, exact: bool = False) -> FunctionParity:
    """One pair among a hundred answers of about 1."""
    return compare("predict(X)", [1.0] * 99 + [one], [1.0] * 99 + [other], [""] * 99 + ["tenure"], exact=exact)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (2.0, 2.0),
        (2.0, 2.0 * (1 + 1e-10)),
        (0.0, 1e-13),
        (-0.0, 0.0),
        (None, None),
        (None, [None, None]),
        ([1.0, None], [1.0, None]),
        ([1.0, 2.0], [1.0, 2.0 + 1e-12]),
        (1e300, 1e300 * (1 + 1e-12)),
        (3, 3),
    ],
)
def test_same(one: object, other: object) -> None:
    assert judge(one, other).passed


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (2.0, 2.0 * (1 + 3e-9)),
        (0.0, 1e-11),
        (None, 0.0),
        (0.0, None),
        (None, math.nan),
        (1.0, math.nan),
        (1.0, math.inf),
        (1e308, -1e308),
        ([1.0, 2.0], [1.0, None]),
        ([1.0, None], None),
        ([1.0, 2.0], [1.0]),
        ([1.0, 2.0], [2.0, 1.0]),
    ],
)
def test_different(one: object, other: object) -> None:
    verdict = judge(one, other)
    assert (verdict.mismatches, verdict.columns, verdict.passed) == (1, ("tenure",), False)
    assert math.isfinite(verdict.max_difference)


def test_a_place_of_an_array_has_its_own_size() -> None:
    """Beside flags that are mostly 0, a sum that cancels out is nothing beside other such sums, and a flag is not."""

    def differs(place: int, by: float) -> bool:
        expected = [[0.0, 0.0, 1.0, 50.0] for _ in range(9)] + [[0.0, 0.0, 0.0, 0.0]]
        actual = [list(row) for row in expected]
        actual[-1][place] += by
        return not compare("transform(X)", expected, actual, [""] * 10, exact=False).passed

    assert not differs(3, 1e-12)
    assert differs(3, 1e-9)
    assert differs(0, 1e-12)


NUMBER = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, 1.0, 1e-300])
ANSWER = NUMBER | st.sampled_from([math.nan, math.inf, 1.0 + 1e-12])


def rows_of(width: int, value: st.SearchStrategy[float | None]) -> st.SearchStrategy[object]:
    return st.none() | st.lists(value, min_size=width, max_size=width)


@given(
    st.lists(st.tuples(NUMBER, ANSWER), min_size=1)
    | st.integers(1, 3).flatmap(lambda n: st.lists(st.tuples(rows_of(n, NUMBER), rows_of(n, ANSWER)), min_size=1))
)
def test_all_rows_at_once_are_compared_as_each_by_itself(pairs: list[tuple[object, object]]) -> None:
    expected, actual = ([pair[side] for pair in pairs] for side in (0, 1))
    floors = parity.floors(expected)
    found = parity._differences(expected, actual, floors, exact=False)
    for one, other, difference in zip(expected, actual, found, strict=True):
        assert difference == parity._difference(one, other, floors, exact=False)


def test_labels_are_equal_or_not() -> None:
    assert judge("yes", "yes", exact=True).passed
    assert not judge("yes", "no", exact=True).passed
    assert not judge("yes", None, exact=True).passed
    assert not judge(1.5, 1.5 * (1 + 1e-12), exact=True).passed
    assert not judge(True, "true", exact=True).passed


def test_the_largest_difference_is_relative_and_zero_means_bit_equal() -> None:
    assert judge(5.0, 5.0).max_difference == 0
    assert judge(4.0, 4.0 + 4e-10).max_difference == pytest.approx(1e-10, rel=1e-5)


def report(*functions: FunctionParity, rows: int = 10) -> ParityReport:
    names = ["", "label", "proba"]
    return ParityReport(rows, rows - 4, 4, 1, dict(zip(names, functions, strict=False)), ("a note",))


GOOD = FunctionParity("predict(X)", 10, 0, 1e-15)
BAD = FunctionParity("predict(X)", 10, 2, 0.5, columns=("tenure", "plan"))
RAISES = FunctionParity("predict(X)", 0, 0, 0.0, error="raises SQLSTATE 22003 where charge varied")


def test_a_report_passes_only_if_every_function_does_over_at_least_one_row() -> None:
    assert report(GOOD, GOOD).passed
    assert not report(GOOD, BAD).passed
    assert not report(GOOD, RAISES).passed
    assert not report().passed
    assert not report(GOOD, rows=0).passed


def test_a_report_survives_json() -> None:
    for one in (report(GOOD, BAD, RAISES), report(GOOD)):
        assert ParityReport.from_json(one.to_json()) == one


def test_the_summary_names_functions_and_columns() -> None:
    assert report(GOOD, GOOD).summary() == (
        "parity holds: 10 rows (6 real, 4 adversarial, 1 refused), 2 functions, largest difference 1.0e-15; a note"
    )
    failing = report(GOOD, BAD, RAISES).summary()
    assert "function 'label' (predict(X)) differs in 2 of 10 rows where tenure, plan varied" in failing
    assert "raises SQLSTATE 22003 where charge varied" in failing
    assert "no row was compared" in report(GOOD, rows=0).summary()
