"""Queries, refreshes and single rows may run in different ways, and all of them give the model's own answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeClassifier

from pgscore.compiler import build
from pgscore.compiler.artifact import OnnxGraph, Strategy, Use
from pgscore.compiler.frontends import to_program
from pgscore.compiler.load import LoadedModel
from pgscore.errors import InvalidNameError, ParityError
from pgscore.procedures.costs import write_costs
from pgscore.procedures.deploy import Deployment, deploy
from pgscore.procedures.explain import explain_job
from pgscore.procedures.export import export
from pgscore.procedures.lifecycle import drop, promote, rollback, show
from pgscore.procedures.refresh import create_job, run_job
from pgscore.procedures.uninstall import uninstall
from pgscore.procedures.verify import verify

from ..support.tiny import (
    FRAME,
    NUMBERS,
    SLOW_PLANS,
    THREE_WAYS,
    labeller,
    loaded,
    make_customers,
    mixed,
    opened,
    query,
    regressor,
    value,
)

SQL, PLPGSQL, ONNX = Strategy.SQL, Strategy.PLPGSQL, Strategy.ONNX


@pytest.fixture
def connection(with_plpython: str) -> Iterator[Any]:
    with opened(with_plpython) as connection:
        make_customers(connection)
        write_costs(connection, THREE_WAYS)
        connection.commit()
        yield connection


@pytest.fixture
def connection18(installed18: str) -> Iterator[Any]:
    with opened(installed18) as connection:
        make_customers(connection)
        write_costs(connection, SLOW_PLANS)
        connection.commit()
        yield connection


def clusterer() -> LoadedModel:
    return loaded(KMeans(2, random_state=0, n_init=1).fit(FRAME[NUMBERS]))


def flags() -> LoadedModel:
    return loaded(DecisionTreeClassifier(max_depth=2).fit(FRAME[NUMBERS], [True, False, False, True, True]))


def answers(connection: Any, text: str) -> list[Any]:
    return [row[0] for row in query(connection, text)]


def positive(model: LoadedModel) -> Any:
    return model.estimator.predict_proba(FRAME[["plan", *NUMBERS]])[:, 1]


def deployed(connection: Any, model: LoadedModel, **options: Any) -> Deployment:
    return deploy(connection, model, name="m", table="customers", **options)


@pytest.mark.parametrize("make", [regressor, labeller, clusterer, flags, mixed])
def test_each_use_runs_in_its_own_way(connection: Any, make: Callable[[], LoadedModel]) -> None:
    model = make()
    done = deployed(connection, model)
    assert done.artifact.uses == {Use.QUERY: SQL, Use.REFRESH: ONNX, Use.ONE: ONNX}
    columns = FRAME[["plan", *NUMBERS]] if make is mixed else FRAME[NUMBERS]
    expected = positive(model) if make is mixed else model.estimator.predict(columns)
    if make is flags:
        expected = model.estimator.predict_proba(columns)[:, 1]
    create_job(connection, "daily", model="m", source="customers", keys=["id"], target="scores")
    assert {r.topic: r.value for r in explain_job(connection, "daily")}["scoring"] == "onnx"
    run_job(connection, "daily")
    for text in (
        "SELECT score.m(c) FROM customers c ORDER BY id",
        "SELECT score.m_one(c) FROM customers c ORDER BY id",
        "SELECT score.m_v1_one(c) FROM customers c ORDER BY id",
        "SELECT score FROM scores ORDER BY id",
    ):
        found = answers(connection, text)
        if isinstance(found[0], float):
            np.testing.assert_allclose(found, expected, rtol=1e-12, err_msg=text)
        else:
            assert found == expected.tolist(), text


def test_each_use_of_a_version_for_some_rows(connection: Any) -> None:
    """All are NULL for the others; a refresh and verify, too."""
    model = mixed()
    done = deployed(connection, model, where="plan = 'basic' AND tenure >= 2")
    assert done.artifact.uses == {Use.QUERY: SQL, Use.REFRESH: ONNX, Use.ONE: ONNX}
    inside = ((FRAME.plan == "basic") & (FRAME.tenure >= 2)).to_numpy()
    assert 0 < inside.sum() < len(inside)
    expected = np.where(inside, positive(model), np.nan)
    create_job(connection, "daily", model="m", source="customers", keys=["id"], target="scores")
    assert run_job(connection, "daily").refused == (~inside).sum()
    for text in (
        "SELECT score.m(c) FROM customers c ORDER BY id",
        "SELECT score.m_one(c) FROM customers c ORDER BY id",
        "SELECT score FROM scores ORDER BY id",
    ):
        np.testing.assert_allclose(np.array(answers(connection, text), float), expected, rtol=1e-12, err_msg=text)
    assert verify(connection, "m").passed


def test_the_gate_holds_each_of_them_against_the_model(connection: Any) -> None:
    report = deployed(connection, mixed()).report
    assert report.passed
    assert set(report.functions) == {"", "label", "proba", "one"}
    assert {f.rows for f in report.functions.values()} == {report.rows}
    again = verify(connection, "m")
    assert again.passed
    assert set(again.functions) == set(report.functions)


@pytest.mark.parametrize(
    ("strategy", "says"),
    [
        (None, r"main function \(predict\(X\)\) differs in [0-9,]+ rows of a batch.*function 'one'"),
        (ONNX, "main function"),
    ],
)
def test_a_graph_that_differs_is_refused(
    connection: Any, monkeypatch: pytest.MonkeyPatch, strategy: Strategy | None, says: str
) -> None:
    right = build._graph
    program = to_program(LinearRegression().fit(FRAME[NUMBERS], [1.0, 2.0, 3.0, 4.0, 6.0]))
    other = right(program, build.default_parameters(program))

    def wrong(*args: Any) -> OnnxGraph:
        return replace(right(*args), content=other.content)

    monkeypatch.setattr(build, "_graph", wrong)
    with pytest.raises(ParityError, match=says):
        deployed(connection, regressor(), strategy=strategy)
    assert answers(connection, "SELECT count(*) FROM pgscore.versions") == [0]


def test_what_overflows_is_refused_in_each_way(connection: Any) -> None:
    """The distance squares its inputs, and SQL refuses for all functions what is too large for one."""
    query(connection, "CREATE TABLE public.wild AS SELECT id, tenure, 1e300::float8 AS monthly, plan FROM customers")
    deploy(connection, clusterer(), name="m", table="wild")
    create_job(connection, "daily", model="m", source="wild", keys=["id"], target="scores")
    run_job(connection, "daily")
    scored = "SELECT DISTINCT score.m(w), score.m_one(w), s.score FROM wild w JOIN scores s USING (id)"
    assert query(connection, scored) == [(None, None, None)]


def test_an_incremental_run_gives_what_a_full_one_gives(connection: Any) -> None:
    deployed(connection, mixed())
    create_job(connection, "changes", model="m", source="customers", keys=["id"], target="kept", mode="incremental")
    run_job(connection, "changes")
    query(connection, "UPDATE customers SET monthly = monthly * 1.7 WHERE id < 3")
    assert run_job(connection, "changes").rows == 2
    create_job(connection, "daily", model="m", source="customers", keys=["id"], target="scores")
    run_job(connection, "daily")
    differ = "SELECT count(*) FROM kept k JOIN scores s USING (id) WHERE k.score IS DISTINCT FROM s.score"
    assert value(connection, differ) == 0


def test_a_strategy_that_is_asked_for_is_taken_for_all(connection: Any) -> None:
    for strategy in Strategy:
        done = deployed(connection, mixed(), strategy=strategy)
        assert set(done.artifact.uses.values()) == {strategy}
        assert {f.suffix for f in done.artifact.functions} == {"", "label", "proba"}
        assert (done.artifact.onnx is not None) == (strategy is ONNX)


def test_the_catalog_says_how_each_function_runs(connection: Any) -> None:
    deployed(connection, mixed())
    found = show(connection, "m")
    assert {f["suffix"]: f["strategy"] for f in found.functions} == {
        "": "sql",
        "label": "sql",
        "proba": "sql",
        "one": "onnx",
    }
    assert found.onnx_sha256 is not None
    assert "a refresh runs through ONNX in batches" in found.reason
    assert "for one row there is score.NAME_one as onnx" in found.reason
    warmed = value(connection, "SELECT pgscore.warm_up('m') -> 'functions'")
    assert warmed == ["m_v1_one"]


def test_a_dynamic_call_is_for_one_row(connection: Any) -> None:
    model = mixed()
    deployed(connection, model)
    assert value(connection, "SELECT for_one_row FROM pgscore.resolve('m')") == "m_v1_one"
    found = answers(connection, "SELECT pgscore.score('m@1', to_jsonb(c)) FROM customers c ORDER BY id")
    np.testing.assert_allclose(found, positive(model), rtol=1e-12)
    deployed(connection, model, strategy=PLPGSQL, promote=True)
    assert value(connection, "SELECT for_one_row FROM pgscore.resolve('m')") == "m_v2_one"
    query(connection, "DELETE FROM pgscore.costs")
    deploy(connection, model, name="plain", table="customers")
    assert value(connection, "SELECT for_one_row FROM pgscore.resolve('plain')") == "plain_v1"


def test_once_there_the_function_for_one_row_stays(connection: Any) -> None:
    deployed(connection, regressor())
    query(connection, "DELETE FROM pgscore.costs")
    second = deployed(connection, regressor(), promote=True)
    assert second.artifact.functions[-1].suffix == "one"
    assert set(second.artifact.uses.values()) == {SQL}
    forced = deployed(connection, regressor(), strategy=PLPGSQL)
    assert {f.suffix: f.strategy for f in forced.artifact.functions} == {"": PLPGSQL, "one": PLPGSQL}
    expected = regressor().estimator.predict(FRAME[NUMBERS])
    for _ in range(2):
        found = answers(connection, "SELECT score.m_one(c) FROM customers c ORDER BY id")
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        promote(connection, "m", 3)
    assert rollback(connection, "m") == 2
    assert rollback(connection, "m") == 1
    assert answers(connection, "SELECT count(score.m_one(c)) FROM customers c") == [5]


def test_a_drop_takes_all_of_it_and_uninstall_knows_it(connection: Any) -> None:
    deployed(connection, mixed())
    uninstall(connection, dry_run=True)
    drop(connection, "m")
    assert value(connection, "SELECT count(*) FROM pg_proc WHERE pronamespace = 'score'::regnamespace") == 0
    assert value(connection, "SELECT count(*) FROM pgscore.onnx_graphs") == 0


def test_an_export_leaves_out_what_needs_the_graph(connection: Any) -> None:
    deployed(connection, mixed())
    for text in export(connection, "m").files.values():
        assert "m_v1" in text
        assert "m_one" not in text
        assert "m_v1_one" not in text
        assert "outputs" not in text


def test_a_model_called_like_the_function_for_one_row(connection: Any) -> None:
    """0.1.0 let them stand side by side."""
    query(connection, "ALTER TABLE pgscore.models DISABLE TRIGGER models_names_are_apart")
    deploy(connection, regressor(), name="m_one", table="customers", strategy=SQL)
    deployed(connection, regressor(), strategy=SQL)
    query(connection, "ALTER TABLE pgscore.models ENABLE TRIGGER models_names_are_apart")
    with pytest.raises(InvalidNameError, match="version 2 of model m has a function named as model m_one is"):
        deployed(connection, regressor())
    deployed(connection, regressor(), strategy=SQL)


def test_without_plpython_one_row_is_plpgsql(connection18: Any) -> None:
    model = regressor()
    done = deployed(connection18, model)
    assert done.artifact.uses == {Use.QUERY: SQL, Use.REFRESH: SQL, Use.ONE: PLPGSQL}
    assert done.artifact.onnx is None
    assert set(done.report.functions) == {"", "one"}
    found = answers(connection18, "SELECT score.m_one(tenure => tenure, monthly => monthly) FROM customers ORDER BY id")
    np.testing.assert_allclose(found, model.estimator.predict(FRAME[NUMBERS]), rtol=1e-12)
    files = export(connection18, "m").files
    assert 'CREATE FUNCTION "score"."m_v1_one"' in files["deploy.sql"]
