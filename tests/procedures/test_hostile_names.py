"""Hostile search_paths and names, through every verb: each works exactly, or is refused before anything changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from pgscore.compiler.artifact import Strategy
from pgscore.errors import InvalidNameError, PgscoreError, RefusedError, SignatureError
from pgscore.procedures import rights
from pgscore.procedures.catalog import history, list_models, show
from pgscore.procedures.deploy import deploy
from pgscore.procedures.doctor import examine
from pgscore.procedures.export import export
from pgscore.procedures.install import install
from pgscore.procedures.lifecycle import drop, promote, rollback
from pgscore.procedures.refresh import create_job, drop_job, run_job, status
from pgscore.procedures.uninstall import uninstall
from pgscore.procedures.verify import verify

from ..support import hostile
from ..support.evil import make_evil
from ..support.projects import CHURN, DAILY, Checkout
from ..support.tiny import FRAME, NUMBERS, classifier, loaded, make_customers, mixed, opened, query


@pytest.fixture
def evil(database: str) -> Iterator[Any]:
    """A connection to a database without pgscore, in which a hostile schema comes first in the search_path."""
    with opened(database) as connection:
        make_customers(connection)
        make_evil(connection)
    with opened(database) as connection:
        yield connection


def test_a_hostile_schema_first_in_the_search_path(evil: Any) -> None:
    install(evil)
    # A target without a schema does go to the first of the path; nothing else is looked up there.
    assert [finding.subject for finding in examine(evil) if "evil" in finding.found] == ["refresh"]
    models = (mixed(), mixed(), classifier())
    for model, strategy in zip(models, (Strategy.SQL, Strategy.PLPGSQL, Strategy.SQL), strict=True):
        assert deploy(evil, model, name="churn", table="customers", strategy=strategy).report.passed
        assert verify(evil, "churn").passed
    assert promote(evil, "churn", 2) == 1
    assert promote(evil, "churn", 3) == 2
    assert rollback(evil, "churn") == 2
    create_job(evil, "daily", model="churn", source="customers", keys=["id"], target="public.scores")
    assert run_job(evil, "daily").inserted == 5
    assert run_job(evil, "daily").updated == 0
    assert [job.state for job in status(evil)] == ["fresh"]
    found = query(
        evil, "SELECT score.churn(c), pgscore.score('churn', pg_catalog.to_jsonb(c)) FROM customers c ORDER BY id"
    )
    expected = mixed().estimator.predict_proba(FRAME[["plan", "tenure", "monthly"]])[:, 1]
    np.testing.assert_allclose([list(row) for row in found], np.column_stack([expected, expected]), rtol=1e-12)
    assert "evil" not in show(evil, "churn").sql
    assert "evil" not in "".join(export(evil, "churn").files.values())
    assert list_models(evil)[0].live == 2
    assert len(history(evil, "churn")) == 7
    assert rights.grant(evil, "churn", "postgres") is not None
    rights.revoke(evil, "churn", "postgres")
    assert rights.list_grants(evil) == []
    drop_job(evil, "daily")
    drop(evil, "churn", 1)
    drop(evil, "churn")
    install(evil)
    uninstall(evil)


def test_a_hostile_schema_and_models_from_git(evil: Any, tmp_path: Path) -> None:
    install(evil)
    checkout = Checkout(tmp_path, evil)
    text = CHURN + 'grants = ["pgscore_monitor"]\n' + DAILY
    assert len(checkout.apply(text)) == 3
    assert len(checkout.apply(text.replace("a.skops", "b.skops"))) == 1
    assert run_job(evil, "daily").rows == 5


@pytest.fixture
def connection(installed: str) -> Iterator[Any]:
    with opened(installed) as connection:
        make_customers(connection)
        yield connection


@pytest.mark.parametrize("strategy", [Strategy.SQL, Strategy.PLPGSQL])
def test_hostile_names_through_every_verb(connection: Any, strategy: Strategy) -> None:
    hostile.make_table(connection)
    role, user = hostile.quoted("%s :x \\ $$ it's"), connection.info.user
    query(connection, f"CREATE ROLE {role} LOGIN; GRANT pgscore_owner TO {role}")
    try:
        query(connection, f"GRANT USAGE ON SCHEMA {hostile.SCHEMA} TO pgscore_owner, {role}")
        query(connection, f"GRANT SELECT ON {hostile.TABLE} TO {role}")
        query(connection, f"GRANT CREATE ON DATABASE {connection.info.dbname} TO {role}")
        query(connection, f"SET SESSION AUTHORIZATION {role}")
        everything(connection, strategy)
    finally:
        query(connection, f"SET SESSION AUTHORIZATION {user}; DROP OWNED BY {role} CASCADE; DROP ROLE {role}")
    assert query(connection, "SELECT count(*) FROM customers") == [(5,)]
    drop(connection, "hostile")
    query(connection, f"DROP SCHEMA {hostile.SCHEMA} CASCADE")
    uninstall(connection)


def everything(connection: Any, strategy: Strategy) -> None:
    """All verbs, as a role that is called as badly as all the rest."""
    model, frame = hostile.model(), hostile.frame()
    labels = model.estimator.predict(frame).tolist()
    for _ in range(2):
        deploy(connection, model, name="hostile", table=hostile.TABLE, strategy=strategy)
    promote(connection, "hostile", 2)
    rollback(connection, "hostile")
    calls = "score.hostile(c.*), pgscore.score('hostile', to_jsonb(c.*)) #>> '{}'"
    assert query(connection, f"SELECT {calls} FROM {hostile.TABLE} c") == [(label, label) for label in labels]
    assert verify(connection, "hostile", 2).passed
    details = show(connection, "hostile")
    assert {p["column"] for p in details.parameters} == set(hostile.NAMES)
    assert details.created_by == history(connection, "hostile")[0].by == "%s :x \\ $$ it's"
    target = f"{hostile.quoted('new; %s :x')}.{hostile.quoted(hostile.NAMES[0])}"
    key = hostile.KEY.strip('"')
    create_job(connection, "daily", model="hostile", source=hostile.TABLE, keys=[key], target=target)
    assert run_job(connection, "daily").inserted == 60
    assert run_job(connection, "daily").updated == 0
    assert query(connection, f"SELECT score FROM {target} ORDER BY {hostile.KEY}") == [(label,) for label in labels]
    assert [(job.state, job.keys, job.target) for job in status(connection)] == [("fresh", [key], target)]
    drop_job(connection, "daily")
    drop(connection, "hostile", 2)


def test_onnx_gives_hostile_labels(with_plpython: str) -> None:
    with opened(with_plpython) as connection:
        hostile.make_table(connection)
        query(connection, f"GRANT USAGE ON SCHEMA {hostile.SCHEMA} TO pgscore_owner")
        model = hostile.model()
        deploy(connection, model, name="hostile", table=hostile.TABLE, strategy=Strategy.ONNX)
        labels = [(label,) for label in model.estimator.predict(hostile.frame())]
        assert query(connection, f"SELECT score.hostile(c.*) FROM {hostile.TABLE} c") == labels
        key = hostile.KEY.strip('"')
        create_job(connection, "daily", model="hostile", source=hostile.TABLE, keys=[key], target='public."%s :x"')
        run_job(connection, "daily")
        assert query(connection, f'SELECT score FROM "%s :x" ORDER BY {hostile.KEY}') == labels


@pytest.mark.parametrize("name", [*hostile.NAMES, "", "x" * 64, "é" * 32, "a\0b", "select 1", "live@1"])
def test_names_that_are_refused(connection18: Any, name: str) -> None:
    if name in {"begin", "end", "r", "hostile_v1"}:  # plain names, whatever SQL means by them
        deploy(connection18, classifier(), name=name, table="customers", alias=name)
        create_job(connection18, name, model=name, source="customers", keys=["id"], target="public.scores")
        assert run_job(connection18, name).rows == 5
        return
    deploy(connection18, classifier(), name="churn", table="customers")
    create_job(connection18, "daily", model="churn", source="customers", keys=["id"], target="public.scores")
    before = state(connection18)
    job: dict[str, Any] = {"model": "churn", "source": "customers", "keys": ["id"], "target": "public.other"}
    options: list[dict[str, Any]] = [{"model": name}, {"source": name}, {"keys": [name]}, {"alias": name}]
    for verb in (
        lambda: deploy(connection18, classifier(), name=name, table="customers"),
        lambda: deploy(connection18, classifier(), name="churn", table="customers", alias=name, promote=True),
        lambda: deploy(connection18, classifier(), name="churn", table=name),
        lambda: promote(connection18, name, 1),
        lambda: promote(connection18, "churn", 1, alias=name),
        lambda: rollback(connection18, name),
        lambda: rollback(connection18, "churn", alias=name),
        lambda: show(connection18, name),
        lambda: history(connection18, name),
        lambda: verify(connection18, name),
        lambda: export(connection18, name),
        lambda: drop(connection18, name),
        lambda: create_job(connection18, name, **job),
        *(lambda option=option: create_job(connection18, "other", **{**job, **option}) for option in options),
        lambda: run_job(connection18, name),
        lambda: drop_job(connection18, name),
    ):
        with pytest.raises(PgscoreError) as caught:
            verb()
        assert caught.value.exit_code in {1, 2}
        connection18.rollback()
        assert state(connection18) == before


def state(connection: Any) -> list[tuple[Any, ...]]:
    tables = ("pg_proc", "pg_class", "pg_namespace", *(f"pgscore.{t}" for t in ("models", "history", "jobs", "runs")))
    return query(connection, "SELECT " + ", ".join(f"(SELECT count(*) FROM {table})" for table in tables))


@pytest.fixture
def connection18(installed18: str) -> Iterator[Any]:
    with opened(installed18) as connection:
        make_customers(connection)
        yield connection


def test_names_that_postgresql_would_cut_off(connection18: Any) -> None:
    """A column of 64 bytes is no column of 63, nor is one that would be cut within a character."""
    deploy(connection18, classifier(), name="churn", table="customers")
    for name in ("x" * 64, "é" * 32, "x" + "é" * 31 + "x"):
        model = loaded(LinearRegression().fit(pd.DataFrame({name: [1.0, 2.0, 4.0]}), [1.0, 2.0, 4.0]))
        query(connection18, f"DROP TABLE IF EXISTS long; CREATE TABLE long (id integer, {hostile.quoted(name)} float8)")
        with pytest.raises(SignatureError, match="has no column"):
            deploy(connection18, model, name="long", table="long")
        job: dict[str, Any] = {"model": "churn", "source": "customers", "target": "public.scores"}
        with pytest.raises(SignatureError, match="has no column"):
            create_job(connection18, "daily", **job, keys=[name])
        with pytest.raises(InvalidNameError, match="longer than 63 bytes"):
            create_job(connection18, "daily", **{**job, "target": f'public."{name}"'}, keys=["id"])
        with pytest.raises(InvalidNameError, match="longer than 63 bytes"):
            export(connection18, "churn", grant=[name])
    assert list(map(len, (list_models(connection18), status(connection18)))) == [1, 0]


def test_tables_that_are_called_like_ours(connection: Any) -> None:
    """Temporary ones come before all others, unless a path or a name says otherwise."""
    names = ("models", "versions", "aliases", "history", "jobs", "runs", "pg_class", "pg_proc", "pg_attribute")
    for name in (*names, "pgscore_scored", "pgscore_staged", "score", "pgscore", "unnest"):
        query(connection, f"CREATE TEMPORARY TABLE {name} (name date, version date, k1 date)")
    query(connection, "CREATE TABLE public.score (churn integer); CREATE TABLE public.pgscore (score integer)")
    for model in (classifier(), classifier(2.0)):
        assert deploy(connection, model, name="churn", table="customers").report.passed
    promote(connection, "churn", 2)
    assert rollback(connection, "churn") == 1
    create_job(connection, "daily", model="churn", source="customers", keys=["id"], target="public.scores")
    assert run_job(connection, "daily").inserted == 5
    assert [job.state for job in status(connection)] == ["fresh"]
    assert verify(connection, "churn").passed
    calls = "score.churn(c), pgscore.score('churn', to_jsonb(c))::float8"
    found = query(connection, f"SELECT {calls} FROM customers c ORDER BY id")
    expected = classifier().estimator.predict_proba(FRAME[NUMBERS])[:, 1]
    np.testing.assert_allclose(found, np.column_stack([expected, expected]), rtol=1e-12)
    assert "CREATE FUNCTION" in export(connection, "churn").files["deploy.sql"]
    query(connection, "CREATE TEMPORARY TABLE customers (tenure integer, monthly float8)")
    with pytest.raises(RefusedError, match="temporary"):
        deploy(connection, classifier(), name="churn", table="customers")
    assert deploy(connection, classifier(), name="churn", table="public.customers").report.passed
    drop_job(connection, "daily")
    drop(connection, "churn")
    uninstall(connection)
