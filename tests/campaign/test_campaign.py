"""Every estimator on every data set, four ways: numpy, SQL on PostgreSQL 15 and 18, ONNX in PL/Python on 15.

`make parity` runs this and writes the largest differences to compiler/parity.json: `pgscore check --list` and
docs/estimators.md have them from there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pgscore.compiler.frontends import FRONTENDS

from . import harness
from .datasets import DATASETS
from .estimators import recipe
from .recipes import class_of, fitted, name_of

CASES = [
    pytest.param(
        key,
        dataset,
        id=f"{name_of(key)}-{dataset}",
        # Strict, and of a comparison only: what raises, or no longer differs, fails.
        marks=[pytest.mark.xfail(reason=reason, raises=AssertionError, strict=True)] if reason else [],
    )
    for key in FRONTENDS
    for dataset in DATASETS
    if dataset not in recipe(key).skip
    for reason in [recipe(key).limits.get(dataset)]
]


@pytest.mark.parametrize(("key", "dataset"), CASES)
def test_every_way_gives_the_models_answers(
    key: Any, dataset: str, connection15: Any, connection18: Any, record_property: Callable[[str, object], None]
) -> None:
    model = fitted(class_of(key), recipe(key), DATASETS[dataset])
    case = harness.prepare(model, DATASETS[dataset])
    given = case.expected[case.onnx.functions[0].suffix]
    assert sum(answer is not None for answer in given) > len(given) / 4, "the model refuses nearly all rows"
    found = {
        "numpy": case.differences(case.onnx, harness.by_numpy(case)),
        "ONNX on 15": case.differences(case.onnx, harness.by_functions(connection15, case.onnx, case.rows)),
    }
    if case.sql is not None:
        for way, connection in (("SQL on 15", connection15), ("SQL on 18", connection18)):
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
            "dataset": dataset,
            "rows": len(given),
            "differences": {way: max(f.max_difference for f in functions.values()) for way, functions in found.items()},
            "tolerance": case.program.tolerance,
            "approximation": case.program.approximation,
            "limit": recipe(key).limits.get(dataset, ""),
        },
    )
    assert not wrong
