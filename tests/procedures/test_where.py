"""Versions for the rows of a condition: the model's own answers for them, NULL for others, gated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression

from pgscore.compiler.artifact import Strategy
from pgscore.compiler.build import build
from pgscore.compiler.frontends import to_program
from pgscore.compiler.oracle import Oracle
from pgscore.compiler.where import parse_where
from pgscore.errors import PgscoreError, UsageError
from pgscore.procedures.binding import bind
from pgscore.procedures.deploy import deploy, judge_of
from pgscore.procedures.functions import VersionPlan
from pgscore.procedures.lifecycle import history, list_models, promote, show
from pgscore.procedures.plan import apply
from pgscore.procedures.refresh import create_job, run_job
from pgscore.procedures.verify import gate, subject, verify

from ..support.gating import customers, filled, linear_model, tree_model
from ..support.tiny import FRAME, loaded, make_customers, mixed, opened, query, recommender

WHERE = "plan = 'basic' and (tenure >= 2)"
SCORES = "SELECT {0}(c), {0}_label(c), {0}_proba(c) FROM customers AS c ORDER BY id"


@pytest.fixture
def connection(installed: str) -> Iterator[Any]:
    with opened(installed) as connection:
        make_customers(connection)
        yield connection


@pytest.fixture
def connection18(installed18: str) -> Iterator[Any]:
    with filled(installed18) as connection:
        yield connection


def holds(frame: pd.DataFrame) -> Any:
    return (frame.plan == "basic") & (frame.tenure >= 2)


def assert_answers(found: list[Any], model: Any, frame: pd.DataFrame, inside: Any) -> None:
    """The answers of a binary classifier where `inside`, else nothing."""
    proba, labels = model.predict_proba(frame), model.predict(frame)
    for row, (score, label, both) in enumerate(found):
        if not inside.iloc[row]:
            assert (score, label, both) == (None, None, None)
            continue
        np.testing.assert_allclose([score, *both], [proba[row, 1], *proba[row]], rtol=1e-9)
        assert label == labels[row]


@pytest.mark.parametrize("strategy", [Strategy.SQL, Strategy.PLPGSQL])
def test_answers_inside_and_null_outside(connection: Any, strategy: Strategy) -> None:
    model = mixed()
    done = deploy(connection, model, name="churn", table="customers", strategy=strategy, where=WHERE)
    assert done.report.passed
    assert 0 < done.report.refused_rows < done.report.rows
    inside = holds(FRAME)
    assert 0 < inside.sum() < len(inside)
    for name in ("score.churn", "score.churn_v1"):
        assert_answers(query(connection, SCORES.format(name)), model.estimator, FRAME, inside)
    # A NULL in a column of the condition makes it NULL.
    assert query(connection, "SELECT score.churn(tenure => NULL, monthly => 1, plan => 'basic')") == [(None,)]
    assert query(connection, "SELECT score.churn(tenure => 9, monthly => 1, plan => NULL)") == [(None,)]


def test_what_the_catalog_says(connection: Any) -> None:
    said = "plan = 'basic' AND tenure >= 2"
    deploy(connection, mixed(), name="churn", table="customers", where=WHERE)
    assert (show(connection, "churn").condition, list_models(connection)[0].condition) == (said, said)
    assert history(connection, "churn")[0].note == f"for rows where {said}"
    (comment,) = query(connection, "SELECT obj_description('score.churn_v1(customers)'::regprocedure, 'pg_proc')")[0]
    assert comment.endswith(f", for rows where {said}; NULL for others")
    assert str(subject(connection, "churn").where) == said
    deploy(connection, mixed(), name="churn", table="customers")
    assert show(connection, "churn", 2).condition is None
    assert history(connection, "churn")[-1].note is None


def test_verify_knows_the_condition(connection: Any) -> None:
    model = mixed()
    done = deploy(connection, model, name="churn", table="customers", where=WHERE)
    it = subject(connection, "churn")
    oracle = judge_of(model, it.parameters, it.functions, Strategy.SQL, it.where)
    again = verify(connection, "churn", oracle=oracle)
    assert again.passed
    assert again.real_rows == done.report.real_rows == len(FRAME)
    assert verify(connection, "churn").passed
    # Rows that no longer get what the model says.
    query(
        connection,
        "CREATE OR REPLACE FUNCTION score.churn_v1_label(tenure integer, monthly double precision, plan text)"
        " RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN 1",
    )
    assert not verify(connection, "churn").passed


def test_promote_between_general_and_specialised(connection: Any) -> None:
    model = mixed()
    deploy(connection, model, name="churn", table="customers", where=WHERE)
    deploy(connection, model, name="churn", table="customers", promote=True)
    everything = pd.Series([True] * len(FRAME))
    assert_answers(query(connection, SCORES.format("score.churn")), model.estimator, FRAME, everything)
    promote(connection, "churn", 1)
    assert_answers(query(connection, SCORES.format("score.churn")), model.estimator, FRAME, holds(FRAME))


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("plan = 'basic' OR tenure > 3", "OR tenure > 3': terms are joined by AND alone"),
        ("lower(plan) = 'basic'", "at \"(plan) = 'basic'\": this is no comparison"),
        ("region = 'EU'", "'region', which is no input of the model: "),
        ("plan > 'basic'", "depends on how it is sorted"),
        ("plan = 3", "compare it with a text in single quotes"),
        ("tenure = 'x'", "compare it with a number"),
        ("tenure > 5 AND tenure < 5", "no row can satisfy"),
        ("plan = NULL", "write IS NULL"),
        ("", "a column of the model should stand here"),
        ("tenure IS NULL", "refuses"),
    ],
)
def test_what_is_not_understood_is_refused_before_anything_changes(connection: Any, where: str, message: str) -> None:
    with pytest.raises(PgscoreError) as caught:
        deploy(connection, mixed(), name="churn", table="customers", where=where)
    assert message in str(caught.value)
    assert caught.value.exit_code == 2
    assert query(connection, "SELECT count(*) FROM pgscore.models") == [(0,)]
    assert query(connection, "SELECT count(*) FROM pg_proc WHERE pronamespace = 'score'::regnamespace") == [(0,)]


def test_a_recommender_has_no_condition(connection: Any) -> None:
    with pytest.raises(UsageError, match="leave out --where"):
        deploy(connection, recommender(), name="taste", table="customers", where="id = 1")


def test_an_empty_table_and_one_of_other_rows(connection: Any) -> None:
    nobody = deploy(connection, mixed(), name="churn", table="customers", where="plan = 'full' AND tenure > 1000")
    assert nobody.report.passed
    assert "no row of the table satisfies the condition: adversarial rows only" in nobody.report.notes
    query(connection, "TRUNCATE customers")
    empty = deploy(connection, mixed(), name="churn", table="customers", where=WHERE)
    assert "the table is empty: adversarial rows only" in empty.report.notes


@pytest.mark.parametrize("strategy", [Strategy.SQL, Strategy.PLPGSQL])
@pytest.mark.parametrize(
    ("made_for", "said"),
    [
        (None, "tenure >= 12"),
        ("tenure >= 13", "tenure >= 12"),
        ("tenure >= 12", "tenure >= 13"),
        ("plan = 'gold'", "plan = 'it''s'"),
        ("charge >= 20", "charge > 20"),
        ("charge < 50", "charge < 50 AND charge <> 30"),
    ],
)
def test_the_gate_refuses_functions_for_other_rows(
    connection18: Any, strategy: Strategy, made_for: str | None, said: str
) -> None:
    """Both those that answer where they should not and those that do not where they should."""
    model = linear_model()
    program = to_program(model)
    binding = bind(connection18, program.columns, "customers")
    right = build(program, binding.parameters, strategy=strategy, where=parse_where(said))
    where = None if made_for is None else parse_where(made_for)
    wrong = replace(right, functions=build(program, binding.parameters, strategy=strategy, where=where).functions)
    for artifact, passes in ((wrong, False), (right, True)):
        apply(connection18, VersionPlan("m", 1, artifact, binding).statements())
        oracle = Oracle(model, artifact.parameters, artifact.functions, strategy, artifact.where)
        report, _ = gate(connection18, artifact, name="m", version=1, table=binding.table, oracle=oracle)
        connection18.rollback()
        assert report.passed is passes, report.summary()


@pytest.mark.parametrize(
    "where",
    [
        "charge >= 40.05",
        "charge = 0.1",
        "charge IN (0.1, -0.0)",
        "tenure BETWEEN 10.5 AND 20",
        "plan = 'it''s'",
        "plan NOT IN ('gold', '100% \\ \"quoted\"')",
        "NOT senior AND tenure <> 12",
        "senior IS NOT TRUE AND charge IS NOT NULL AND tenure < 3000000000",
        "plan IS NULL",
        "charge IS NULL AND tenure = 4",
    ],
)
def test_conditions_that_pass_the_gate(connection18: Any, where: str) -> None:
    query(
        connection18,
        "INSERT INTO customers VALUES (900, 12, 'NaN', NULL, NULL), (901, 4, NULL, 'gold', true),"
        " (902, 4, 0.1, 'it''s', NULL), (903, NULL, '-Infinity', 'gold', false)",
    )
    for model in (linear_model(), *([] if {"plan", "senior", "IS"} & {*where.split()} else [tree_model()])):
        assert deploy(connection18, loaded(model), name="m", table="customers", where=where, dry_run=True).report.passed


def test_columns_hold_what_the_parameters_type_makes_of_them(connection18: Any) -> None:
    """A real is not 0.1, and a numeric of more digits is: the parameter is a double."""
    query(connection18, "CREATE TABLE t (a real, b numeric, c float8)")
    query(connection18, "INSERT INTO t VALUES (0.1, 0.1, 0), (0.5, 0.1000000000000000000001, 1), (0.5, 0.2, 2)")
    frame = pd.DataFrame({"a": [1.0, 2.0, 4.0], "b": [3.0, 1.0, 2.0], "c": [0.0, 1.0, 2.0]})
    model = loaded(LinearRegression().fit(frame, [1.0, 2.0, 5.0]))
    deploy(connection18, model, name="a", table="t", where="a = 0.1")
    deploy(connection18, model, name="b", table="t", where="b = 0.1")
    found = query(connection18, "SELECT score.a(t) IS NULL, score.b(t) IS NULL FROM t ORDER BY c")
    assert found == [(True, False), (True, False), (True, True)]


def test_a_model_of_more_than_100_columns(connection18: Any) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.integers(0, 9, size=(60, 101)).astype(float), columns=[f"c {i}" for i in range(101)])
    model = HistGradientBoostingRegressor(max_iter=3, min_samples_leaf=5).fit(frame, frame["c 0"] * frame["c 1"])
    query(connection18, "CREATE TABLE wide (" + ", ".join(f'"{name}" smallint' for name in frame) + ")")
    with connection18, connection18.cursor() as cursor:
        rows = frame.astype(int).values.tolist()
        cursor.executemany(f"INSERT INTO wide VALUES ({', '.join(['%s'] * 101)})", rows)
    done = deploy(connection18, loaded(model), name="wide", table="wide", where='"c 0" >= 3 AND "c 5" IS NOT NULL')
    assert 0 < done.report.refused_rows < done.report.rows
    found = [score for (score,) in query(connection18, "SELECT score.wide(w) FROM wide w")]
    wanted = [p if a >= 3 else None for p, a in zip(model.predict(frame), frame["c 0"], strict=True)]
    assert found == pytest.approx(wanted)


def test_onnx_asks_for_the_condition_too(with_plpython: str) -> None:
    """One row at a time, and in a refresh in batches."""
    with filled(with_plpython) as connection:
        model = linear_model()
        where = "plan = 'gold' AND tenure >= 12"
        frame = customers()
        done = deploy(connection, loaded(model), name="m", table="customers", strategy=Strategy.ONNX, where=where)
        assert (done.artifact.strategy, done.report.passed) == (Strategy.ONNX, True)
        inside = (frame.plan == "gold") & (frame.tenure >= 12)
        assert_answers(query(connection, SCORES.format("score.m")), model, frame, inside)
        create_job(connection, "daily", model="m", source="customers", keys=["id"], target="scores")
        assert run_job(connection, "daily").refused == int((~inside).sum())
        found = [score for (score,) in query(connection, "SELECT score FROM scores ORDER BY id")]
        wanted = np.where(inside, model.predict_proba(frame)[:, 1], np.nan)
        np.testing.assert_allclose(np.array(found, dtype=float), wanted, rtol=1e-9)


def test_a_refresh_writes_null_for_other_rows(connection18: Any) -> None:
    model, frame = linear_model(), customers()
    deploy(connection18, loaded(model), name="m", table="customers", where="senior AND charge < 60")
    create_job(connection18, "daily", model="m", source="customers", keys=["id"], target="scores")
    inside = frame.senior & (frame.charge < 60)
    assert run_job(connection18, "daily").refused == int((~inside).sum())
    found = [score for (score,) in query(connection18, "SELECT score FROM scores ORDER BY id")]
    np.testing.assert_allclose(
        np.array(found, dtype=float), np.where(inside, model.predict_proba(frame)[:, 1], np.nan), rtol=1e-9
    )
    create_job(
        connection18,
        "seniors",
        model="m",
        query="SELECT * FROM customers WHERE senior AND charge < 60",
        keys=["id"],
        target="senior_scores",
    )
    assert run_job(connection18, "seniors").refused == 0
    assert query(connection18, "SELECT count(*), count(score) FROM senior_scores") == [(inside.sum(), inside.sum())]
