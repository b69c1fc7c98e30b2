"""Adversarial rows meet every value at which a model changes its mind, and stay within what a column can hold."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest

from pgscore.compiler.artifact import Parameter, SqlType
from pgscore.procedures.cases import SEVERAL, Row, Space, adversarial, evenly, perturbed, synthetic_bases

PARAMETERS = (
    Parameter("charge", SqlType.DOUBLE),
    Parameter("tenure", SqlType.INTEGER),
    Parameter("plan", SqlType.TEXT),
    Parameter("senior", SqlType.BOOLEAN),
)
PROBES: dict[str, tuple[float | str, ...]] = {"charge": (0.1, 20.5), "tenure": (12.5, 30.0), "plan": ("gold", "it's")}
BASES: list[Row] = [
    {"charge": 5.0, "tenure": 7, "plan": "gold", "senior": True},
    {"charge": 25.0, "tenure": 40, "plan": "it's", "senior": False},
]


def bits(value: object) -> bytes:
    assert isinstance(value, float)
    return struct.pack(">d", value)


def test_each_column_meets_its_thresholds_neighbours_and_extremes() -> None:
    cases = adversarial(Space(PARAMETERS, PROBES), BASES)
    charges = {bits(value) for value in cases.columns["charge"] if value is not None}
    for threshold in (0.1, 20.5):
        assert {bits(threshold), bits(math.nextafter(threshold, 99)), bits(math.nextafter(threshold, -99))} <= charges
        single = np.float32(threshold)
        assert {bits(float(np.nextafter(single, np.float32(s)))) for s in (99, -99)} <= charges
    extremes = (math.inf, -math.inf, 1e300, -1e300, 3.5e38, 1e-300, 0.0, -0.0, 5e-324)
    assert {bits(value) for value in extremes} <= charges
    assert any(isinstance(value, float) and math.isnan(value) for value in cases.columns["charge"])
    assert {12, 13, 29, 30, 31, -(2**31), 2**31 - 1, None} <= set(cases.columns["tenure"])
    assert {"gold", "it's", "", "never seen before", "gold ", "GOLD", None} <= set(cases.columns["plan"])
    assert {True, False, None} == set(cases.columns["senior"])
    assert all(value is None for value in (values[0] for values in cases.columns.values()))


def test_a_varied_column_is_the_only_one_that_left_the_base_row() -> None:
    cases = adversarial(Space(PARAMETERS, PROBES), BASES)
    singles = [row for row, name in enumerate(cases.varied) if name != SEVERAL]
    assert singles
    for row in singles:
        others = {name: values[row] for name, values in cases.columns.items() if name != cases.varied[row]}
        assert others == {name: value for name, value in BASES[0].items() if name != cases.varied[row]}


def test_no_row_holds_two_extremes() -> None:
    """They may cancel out in a sum: what is left depends on the order of the additions, and says nothing."""
    numbers = tuple(Parameter(f"c{i}", SqlType.DOUBLE) for i in range(5))
    base: Row = {p.name: 1.0 for p in numbers}
    cases = adversarial(Space(numbers, {}), [base])
    for row in zip(*cases.columns.values(), strict=True):
        assert sum(isinstance(value, float) and abs(value) > 1e30 for value in row) <= 1


def test_it_is_deterministic_and_capped() -> None:
    space = Space(PARAMETERS, PROBES)
    assert repr(adversarial(space, BASES)) == repr(adversarial(space, BASES))
    assert repr(adversarial(space, BASES)) != repr(adversarial(space, BASES, seed=1))
    assert len(adversarial(space, BASES)) <= 2000
    assert len(adversarial(space, BASES, max_rows=50)) == 50
    wide = tuple(Parameter(f"c{i}", SqlType.DOUBLE) for i in range(1000))
    base: Row = {p.name: 1.0 for p in wide}
    cases = adversarial(Space(wide, {p.name: (1.0, 2.0) for p in wide}), [base])
    assert len(cases) == 200
    assert len({name for name in cases.varied if name != SEVERAL}) > 90


def test_limits_keep_values_within_the_columns_type() -> None:
    space = Space(PARAMETERS, PROBES, {"charge": "real", "tenure": "smallint", "plan": "known"})
    cases = adversarial(space, BASES)
    charges = [value for value in cases.columns["charge"] if isinstance(value, float) and math.isfinite(value)]
    with np.errstate(over="raise", under="raise"):
        assert all(float(np.float32(value)) == value for value in charges)
    assert float(np.float32(0.1)) in charges
    assert all(value is None or -(2**15) <= value < 2**15 for value in cases.columns["tenure"])  # type: ignore[operator]
    assert set(cases.columns["plan"]) == {None, "gold", "it's"}


def test_base_rows_are_quantiles_common_values_and_categories() -> None:
    space = Space(PARAMETERS, PROBES)
    quantiles = {"charge": [50.0, 10.0], "tenure": [30, 3]}
    first, second = synthetic_bases(space, quantiles, {"plan": "it's", "senior": True})
    assert first == {"charge": 50.0, "tenure": 30, "plan": "it's", "senior": True}
    assert (second["charge"], second["tenure"]) == (10.0, 3)
    assert second["plan"] in PROBES["plan"]


def test_a_text_that_is_no_category_does_not_enter_the_stored_cases() -> None:
    rows = synthetic_bases(Space(PARAMETERS, PROBES), {}, {"plan": "Jane Doe, 12 High Street"})
    assert [row["plan"] for row in rows] == ["gold"]


def test_an_empty_table_gives_base_rows_from_the_probes() -> None:
    (row,) = synthetic_bases(Space(PARAMETERS, PROBES), {"charge": [], "tenure": []}, {"plan": None, "senior": None})
    assert row == {"charge": 20.5, "tenure": 30, "plan": "gold", "senior": False}


def test_perturbed_rows_move_one_column_onto_an_edge() -> None:
    cases = perturbed(Space(PARAMETERS, PROBES), BASES, 300)
    assert len(cases) == 300
    for row, name in enumerate(cases.varied):
        others = {n: values[row] for n, values in cases.columns.items() if n != name}
        assert others in [{n: v for n, v in base.items() if n != name} for base in BASES]
    moved = {cases.columns["charge"][row] for row, name in enumerate(cases.varied) if name == "charge"}
    assert {0.1, math.nextafter(20.5, 99)} <= moved


@pytest.mark.parametrize("count", [1, 2, 3, 9, 10, 11])
def test_evenly_keeps_order_and_both_ends(count: int) -> None:
    picked = evenly(list(range(10)), count)
    assert picked == sorted(set(picked))
    assert len(picked) == min(count, 10)
    assert picked[0] == 0
    assert count == 1 or picked[-1] == 9
