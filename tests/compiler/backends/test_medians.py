"""The weighted median of more values than can be compared pair by pair: sorted in plpgsql and in ONNX."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import psycopg2
import pytest

from pgscore.compiler import ir
from pgscore.compiler.artifact import Strategy
from pgscore.compiler.backends import numpy as reference
from pgscore.compiler.backends.sql_medians import MAX_COMPARED
from pgscore.compiler.build import build, default_parameters
from pgscore.compiler.ir import Column, Dtype
from pgscore.errors import UnsupportedError
from tests.support import programs, sqlrun
from tests.support.databases import copied
from tests.support.programs import block, inputs, program

N = MAX_COMPARED + 3
MANY = program(
    [Dtype.NUMBER] * N,
    ir.Check(inputs(N), -ir.FINITE, ir.FINITE),
    ir.WeightedMedian(block(N, N), np.random.default_rng(0).random(N)),
)


@pytest.fixture(scope="module", params=["server15", "server18"])
def connection(request: pytest.FixtureRequest) -> Iterator[Any]:
    with copied(request.getfixturevalue(request.param)) as dsn:
        connection = psycopg2.connect(dsn)
        yield connection
        connection.close()


def test_as_one_expression_it_is_too_large() -> None:
    with pytest.raises(UnsupportedError, match="too large"):
        build(MANY, default_parameters(MANY), strategy=Strategy.SQL)
    assert (
        build(MANY, default_parameters(MANY), available=frozenset({Strategy.SQL, Strategy.PLPGSQL}))
        .functions[0]
        .language
        == "plpgsql"
    )


def test_sorted_values_give_what_the_reference_gives(connection: Any) -> None:
    """Columns may be called like anything in the sub-select."""
    names = ["value", "weight", "running", "total", "pair", "part", "whole"]
    renamed = [Column(name, Dtype.NUMBER) for name in [*names, *(f"x{i}" for i in range(len(names), N))]]
    p = replace(MANY, columns=tuple(renamed))
    columns: dict[str, list[object]] = programs.hard_columns(p)
    rng = np.random.default_rng(1)
    for name in columns:  # ordinary rows with ties, after the hard ones
        columns[name] += rng.integers(-3, 4, 200).astype(float).tolist()
    artifact = build(p, default_parameters(p), strategy=Strategy.PLPGSQL)
    got = sqlrun.run(connection, artifact, columns)[""]
    connection.rollback()
    want = reference.evaluate(p, programs.as_arrays(p, columns))[ir.Method.TRANSFORM][:, 0]
    found = [np.nan if answer is None else answer[0] for answer in got]
    np.testing.assert_array_equal(found, want)
    assert np.isfinite(want).sum() >= 200
