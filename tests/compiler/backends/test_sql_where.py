"""Specialised models end to end: scikit-learn's own answers for rows that satisfy the condition, NULL for others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from pgscore.compiler.artifact import Artifact, Parameter, SqlType
from pgscore.compiler.build import build, default_parameters
from pgscore.compiler.frontends import to_program
from pgscore.compiler.where import parse_where
from pgscore.errors import UsageError
from tests.support import sqlrun
from tests.support.conditions import around
from tests.support.databases import copied
from tests.support.example import Example
from tests.support.point_programs import strategies

from .test_sql_models import EXAMPLES, Case, compare, is_nothing, model_answers, prepared


@pytest.fixture(scope="module", params=["server15", "server18"])
def connection(request: pytest.FixtureRequest) -> Iterator[Any]:
    with copied(request.getfixturevalue(request.param)) as dsn:
        connection = psycopg2.connect(dsn)
        yield connection
        connection.close()


@pytest.mark.parametrize(
    ("connection", "name"),
    [(("server15", "server18")[turn % 2], name) for turn, name in enumerate(EXAMPLES)],
    indirect=["connection"],
)
def test_every_example_answers_as_the_model_inside_and_not_outside(connection: Any, name: str) -> None:
    """Each on one of the servers; the condition is about a row that the model answers."""
    case = prepared(name)
    program = to_program(case.example.estimator)
    parameters = default_parameters(program)
    answers = next(iter(case.answers.values()))
    answered = [row for row, answer in enumerate(answers) if not is_nothing(answer)]
    turn = len(name)
    row = answered[turn % len(answered)]
    condition = around(case.columns, parameters, row, turn)
    where = parse_where(condition.text)
    artifacts = tuple(build(program, parameters, strategy=s, where=where) for s in strategies(program))
    inside = [condition.holds(case.columns, r) for r in range(len(answers))]
    assert inside[row]
    wanted = {
        suffix: [answer if flag else None for answer, flag in zip(found, inside, strict=True)]
        for suffix, found in case.answers.items()
    }
    compare(connection, Case(case.example, artifacts, case.columns, wanted))


def people(n: int = 240) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "region": rng.choice(["EU", "US", "APAC", "it's"], n).astype(object),
            "tenure": rng.integers(-2, 40, n).astype(float),
            "spend": rng.normal(50, 20, n).round(1),
            "visits": rng.integers(0, 9, n),
            "active": rng.random(n) < 0.5,
        }
    )
    frame.loc[::13, "spend"] = np.nan
    frame.loc[::17, "region"] = None
    return frame


TYPES = {"region": SqlType.TEXT, "visits": SqlType.BIGINT, "active": SqlType.BOOLEAN}
NUMBERS = ["tenure", "spend", "visits", "active"]


def encoded(model: Any, *, ordinal: bool = False) -> Any:
    encoder = (
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
        if ordinal
        else OneHotEncoder(handle_unknown="ignore")
    )
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    return make_pipeline(ColumnTransformer([("text", encoder, ["region"]), ("numbers", numbers, NUMBERS)]), model)


def models() -> dict[str, tuple[Any, pd.DataFrame]]:
    frame = people()
    score = (frame.region == "EU") + frame.tenure / 20 + frame.spend.fillna(30) / 60 + frame.active
    target = np.where(score > score.median(), "yes", "no")
    boosted = HistGradientBoostingClassifier(max_iter=6, min_samples_leaf=5, categorical_features=["region"])
    codes = ColumnTransformer(
        [("region", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan), ["region"])],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    found = {
        "linear": encoded(LogisticRegression()),
        "tree": encoded(DecisionTreeClassifier(max_depth=6, random_state=0)),
        "forest": encoded(RandomForestClassifier(5, max_depth=5, random_state=0)),
        "ordinal tree": encoded(DecisionTreeClassifier(max_depth=6, random_state=0), ordinal=True),
        "boosting": make_pipeline(codes, boosted),
    }
    return {name: (model.fit(frame, target), frame) for name, model in found.items()}


MODELS = models()
numbers = st.sampled_from([-2.0, 0.0, 3.0, 7.5, 12.0, 19.0, 39.0, 1e300])
texts = st.sampled_from(["EU", "US", "APAC", "it's", "elsewhere", ""])


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


columns_of_numbers = st.sampled_from(["tenure", "spend", "visits"])
terms = st.one_of(
    st.builds("{} IS {}NULL".format, st.sampled_from(list(people())), st.sampled_from(["", "NOT "])),
    st.builds("region {} {}".format, st.sampled_from(["=", "<>"]), texts.map(quoted)),
    st.builds("region {} ({}, {})".format, st.sampled_from(["IN", "NOT IN"]), texts.map(quoted), texts.map(quoted)),
    st.sampled_from(["active", "NOT active", "active = FALSE", "active IS NOT TRUE", "active <> TRUE"]),
    st.builds("{} {} {!r}".format, columns_of_numbers, st.sampled_from(["=", "<>", "<", "<=", ">", ">="]), numbers),
    st.builds("{} BETWEEN {!r} AND {!r}".format, columns_of_numbers, numbers, numbers),
    st.builds("{} {} ({!r}, {!r})".format, columns_of_numbers, st.sampled_from(["IN", "NOT IN"]), numbers, numbers),
)
conditions = st.lists(terms, min_size=1, max_size=3).map(" AND ".join)


def as_sql(frame: pd.DataFrame) -> dict[str, list[object]]:
    """The frame as SQL's values; a missing number is now NULL, now NaN."""
    columns: dict[str, list[object]] = {}
    for name in frame:
        columns[str(name)] = [
            (None if row % 2 or name == "region" else float("nan")) if value is None or value != value
            else value
            for row, value in enumerate(frame[name].tolist())
        ]  # fmt: skip
    return columns


def satisfied(connection: Any, condition: str, artifact: Artifact, columns: dict[str, list[object]]) -> list[bool]:
    """Whether PostgreSQL holds the condition to be true of each row."""
    names = ", ".join(f'"{p.name}"' for p in artifact.parameters)
    arrays = [sqlrun.array(p.type, columns[p.name]) for p in artifact.parameters]
    source = ", ".join(f"%s::{p.type.value}[]" for p in artifact.parameters)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT ({condition}) IS TRUE FROM unnest({source}) WITH ORDINALITY AS t({names}, n) ORDER BY n", arrays
        )
        return [flag for (flag,) in cursor.fetchall()]


@pytest.mark.parametrize("name", MODELS)
@given(condition=conditions)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_condition(connection: Any, name: str, condition: str) -> None:
    """What PostgreSQL itself says of the condition decides which rows have an answer."""
    model, frame = MODELS[name]
    program = to_program(model)
    parameters = [Parameter(c.name, TYPES.get(c.name, SqlType.DOUBLE)) for c in program.columns]
    columns = as_sql(frame)
    for strategy in strategies(program):
        inside = satisfied(connection, condition, build(program, parameters), columns)
        try:
            artifact = build(program, parameters, strategy=strategy, where=parse_where(condition))
        except UsageError:
            assert not any(inside)
            return
        answers = {
            f.suffix: [answer if flag else None for answer, flag in zip(found, inside, strict=True)]
            for f in artifact.functions
            for found in [model_answers(model, f, frame)]
        }
        compare(connection, Case(Example(model, frame), (artifact,), columns, answers))
