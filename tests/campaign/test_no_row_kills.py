"""No row kills a query: whatever the row, SQL answers as the model does, or NULL, and never raises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pgscore.compiler import ir
from pgscore.compiler.artifact import Parameter, SqlType
from pgscore.compiler.frontends import FRONTENDS, to_program
from pgscore.compiler.oracle import Oracle
from pgscore.procedures.cases import Cases
from tests.support import sqlrun

from . import harness
from .datasets import Dataset
from .estimators import recipe
from .recipes import class_of, fitted, name_of
from .variants import variants

DOUBLES = (
    *(0.0, -0.0, 5e-324, -5e-324, 1e-300, -1e-300, 2.2250738585072014e-308, 1.0, -1.0, 0.1),
    *(3.5e38, -3.5e38, 1e154, 1e300, -1e300, 1.7976931348623157e308, -1.7976931348623157e308),
    *(float("nan"), float("inf"), float("-inf")),
)
TEXTS = ("", " ", "'", "''", '"', "\\", "\\'", "$$", "$body$", "%s", "{}", "NULL", "\N{PILE OF POO}", "ÿ́", "x" * 10_000)
LIMITS = {SqlType.INTEGER: 2**31, SqlType.BIGINT: 2**63}

CASES = [
    pytest.param(key, data, id=f"{name_of(key)}-{name}")
    for key in FRONTENDS
    for name, data in variants(key).items()
    if name == ("mixed" if recipe(key).takes in ("anything", "labels") else "numeric")
]


def hard_values(parameter: Parameter, doubles: st.SearchStrategy[float]) -> st.SearchStrategy[Any]:
    """What no one expects in a column of this type; of doubles, those in DOUBLES and `doubles`."""
    match parameter.type:
        case SqlType.DOUBLE:
            chosen = st.sampled_from(DOUBLES) | doubles
        case SqlType.TEXT:
            chosen = st.sampled_from(TEXTS) | st.text(
                st.characters(exclude_characters="\0", codec="utf-8"), max_size=20
            )
        case SqlType.BOOLEAN:
            chosen = st.booleans()
        case _:
            limit = LIMITS[parameter.type]
            chosen = st.sampled_from((0, 1, -1, limit - 1, -limit)) | st.integers(-limit, limit - 1)
    return st.none() | chosen


@st.composite
def batches(draw: st.DrawFn, parameters: Sequence[Parameter], known: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Rows of the table with one hard value.

    Two hard numbers may cancel out, and one of 1e16 takes all but a digit of the others with it: what is left of a
    difference or a cosine is noise, in the model's own answer too, and cannot be compared.
    """
    rows = []
    for _ in range(draw(st.integers(5, 15))):
        parameter = draw(st.sampled_from(parameters))
        rows.append(
            {**draw(st.sampled_from(known)), parameter.name: draw(hard_values(parameter, st.floats(-1e6, 1e6)))}
        )
    return rows


@st.composite
def wild(draw: st.DrawFn, parameters: Sequence[Parameter]) -> list[Any]:
    """Rows in which every value is hard."""
    row = st.fixed_dictionaries({p.name: hard_values(p, st.floats()) for p in parameters})
    return draw(st.lists(row, min_size=1, max_size=8))


def as_cases(parameters: Sequence[Parameter], rows: Sequence[Mapping[str, Any]]) -> Cases:
    return Cases({p.name: [row[p.name] for row in rows] for p in parameters}, ("",) * len(rows))


@pytest.fixture(params=["connection15", "connection18"])
def connection(request: pytest.FixtureRequest) -> Iterator[Any]:
    yield request.getfixturevalue(request.param)
    request.getfixturevalue(request.param).rollback()


@pytest.mark.parametrize(("key", "data"), CASES)
def test_sql_answers_as_the_model_whatever_the_row(connection: Any, key: Any, data: Dataset) -> None:
    model = fitted(class_of(key), recipe(key), data)
    case = harness.prepare(model, data)
    artifact = case.sql
    assert artifact is not None, "it has no form in SQL"
    oracle = Oracle(model, artifact.parameters, artifact.functions, artifact.strategy)
    known = [dict(zip(case.rows.columns, row, strict=True)) for row in zip(*case.rows.columns.values(), strict=True)][
        : len(data.frame)
    ]
    sqlrun.create(connection, artifact)

    @settings(
        max_examples=4,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),
    )
    @given(batches(artifact.parameters, known), wild(artifact.parameters))
    def check(comparable: list[Any], hard: list[Any]) -> None:
        rows = as_cases(artifact.parameters, [*comparable, *hard])
        found = sqlrun.evaluate(connection, artifact, rows.columns)
        rows = as_cases(artifact.parameters, comparable)
        compared = replace(case, rows=rows, expected={artifact.strategy: oracle.answers(rows.columns)})
        answers = {suffix: values[: len(comparable)] for suffix, values in found.items()}
        wrong = {s: p for s, p in compared.differences(artifact, answers).items() if not p.passed}
        assert not wrong

    check()


def test_every_kind_of_node_is_met() -> None:
    """Each kind with a form in SQL occurs in a model of the campaign, so that its SQL has met such rows."""
    wanted = set(ir.NODE_KINDS) - {ir.Subgraph}
    met: set[type[ir.Node]] = set()
    for key in FRONTENDS:
        for name, data in variants(key).items():
            if not wanted <= met and name in ("numeric", "mixed"):
                program = to_program(fitted(class_of(key), recipe(key), data))
                met |= {type(node) for node in program.nodes}
    assert wanted - met == set()
