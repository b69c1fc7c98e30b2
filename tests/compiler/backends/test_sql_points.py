"""Stored points in SQL: names that clash, and what has no inline form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import psycopg2
import pytest

from pgscore.compiler import ir
from pgscore.compiler.artifact import Strategy
from pgscore.compiler.build import build, default_parameters
from pgscore.errors import UnsupportedError
from tests.support import programs, sqlrun
from tests.support.databases import copied
from tests.support.point_programs import POINT_PROGRAMS, neighbors
from tests.support.servers import Server


@pytest.fixture(scope="module")
def connection(server15: Server) -> Iterator[Any]:
    with copied(server15) as dsn:
        connection = psycopg2.connect(dsn)
        yield connection
        connection.close()


NAMES = [("t", "p0"), ("i", "rank"), ("r", "n"), ("s", "m0"), ("k", "c0"), ("d", "w"), ("f", "j"), ("x1", "ranks")]


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize(
    ("kind", "name"),
    [(ir.Kernel, "many-wide"), (ir.Neighbors, "donors"), (ir.Neighbors, "distance"), (ir.Neighbors, "fill")],
)
def test_columns_may_be_called_like_those_of_the_points(
    connection: Any, kind: type[ir.Node], name: str, names: tuple[str, str]
) -> None:
    plain = POINT_PROGRAMS[kind][name]
    renamed = replace(plain, columns=tuple(ir.Column(n, ir.Dtype.NUMBER) for n in names))
    rows = dict(zip(names, np.random.default_rng(0).normal(size=(2, 20)).tolist(), strict=True))
    artifact = build(renamed, default_parameters(renamed), strategy=Strategy.PLPGSQL)
    try:
        got = sqlrun.run(connection, artifact, rows)[""]
    finally:
        connection.rollback()
    np.testing.assert_allclose(np.array(got, dtype=float), programs.expected(renamed, rows), rtol=1e-12)


@pytest.mark.parametrize(("kind", "name"), [(ir.Kernel, "many"), (ir.Neighbors, "three"), (ir.CouplePairwise, "3")])
def test_what_needs_statements_is_not_inlined(kind: type[ir.Node], name: str) -> None:
    program = POINT_PROGRAMS[kind][name]
    with pytest.raises(UnsupportedError, match="use --strategy plpgsql"):
        build(program, default_parameters(program), strategy=Strategy.SQL)
    both = frozenset({Strategy.SQL, Strategy.PLPGSQL})
    assert build(program, default_parameters(program), available=both).strategy is Strategy.PLPGSQL


def test_many_points_go_through_onnx() -> None:
    program = neighbors(np.random.default_rng(0).normal(size=(5000, 2)), count=5)
    assert build(program, default_parameters(program)).strategy is Strategy.ONNX


def test_more_columns_than_a_select_may_have_are_refused() -> None:
    n = 1700
    inputs = tuple(ir.Ref(index, 0) for index in range(n))
    start = (*(ir.Input((), index) for index in range(n)), ir.Check(inputs, -ir.FINITE, ir.FINITE))
    checked = tuple(ir.Ref(n, column) for column in range(n))
    node = ir.Neighbors(checked, np.zeros((2, n)), np.zeros((2, 1)), count=1)
    output = ir.Output(ir.Method.TRANSFORM, (ir.Ref(n + 1, 0),))
    columns = tuple(ir.Column(f"x{index}", ir.Dtype.NUMBER) for index in range(n))
    program = ir.Program(ir.ModelKind.TRANSFORMER, columns, (*start, node), (output,))
    with pytest.raises(UnsupportedError, match="use --strategy onnx"):
        build(program, default_parameters(program), strategy=Strategy.PLPGSQL)
