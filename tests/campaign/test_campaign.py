"""Every estimator on every data set, four ways: numpy, SQL on PostgreSQL 15 and 18, ONNX in PL/Python on 15.

`make parity` runs this and writes the largest differences to compiler/parity.json: `pgscore check --list` and
docs/estimators.md have them from there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pgscore.compiler.artifact import Strategy
from pgscore.compiler.frontends import FRONTENDS

from . import harness
from .datasets import Dataset
from .estimators import recipe
from .recipes import BY_CHANCE, class_of, fitted, matching, name_of
from .variants import variants

CASES = [
    pytest.param(
        key,
        data,
        limit,
        id=f"{name_of(key)}-{name}",
        # Of a comparison only: what raises fails, and what no longer differs, unless chance decides.
        marks=[pytest.mark.xfail(reason=limit, raises=AssertionError, strict=limit not in BY_CHANCE)] if limit else [],
    )
    for key in FRONTENDS
    for name, data in variants(key).items()
    for limit in [matching(recipe(key).limits, name)]
]


@pytest.fixture
def connections(connection15: Any, connection18: Any) -> tuple[Any, Any]:
    return connection15, connection18


@pytest.mark.parametrize(("key", "data", "limit"), CASES)
def test_every_way_gives_the_models_answers(
    key: Any,
    data: Dataset,
    limit: str,
    connections: tuple[Any, Any],
    record_property: Callable[[str, object], None],
) -> None:
    model = fitted(class_of(key), recipe(key), data)
    case = harness.prepare(model, data)
    given = case.expected[Strategy.ONNX][case.onnx.functions[0].suffix]
    assert sum(answer is not None for answer in given) > len(given) / 4, "the model refuses nearly all rows"
    found = {
        "numpy": case.differences(case.onnx, harness.by_numpy(case)),
        "ONNX on 15": case.differences(case.onnx, harness.by_functions(connections[0], case.onnx, case.rows)),
    }
    if case.sql is not None:
        for way, connection in zip(("SQL on 15", "SQL on 18"), connections, strict=True):
            found[way] = case.differences(case.sql, harness.by_functions(connection, case.sql, case.rows))
    wrong = {
        f"{way} {suffix!r}": parity
        for way, functions in found.items()
        for suffix, parity in functions.items()
        if not parity.passed
    }
    record_property(
        "parity",
        {
            "estimator": name_of(key),
            "dataset": data.name,
            "rows": len(given),
            "differences": {way: max(f.max_difference for f in functions.values()) for way, functions in found.items()},
            "tolerance": case.program.tolerance,
            "approximation": case.program.approximation,
            "limit": limit,
        },
    )
    assert not wrong
