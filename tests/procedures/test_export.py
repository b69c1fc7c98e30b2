"""Exported versions in databases without pgscore: psql runs the scripts there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from pgscore.compiler.artifact import Strategy
from pgscore.compiler.load import LoadedModel
from pgscore.procedures.deploy import deploy

from ..support import psql
from ..support.databases import copied, template
from ..support.exports import exported, functions, objects, other_database
from ..support.servers import Server
from ..support.tiny import (
    FRAME,
    NUMBERS,
    classifier,
    labeller,
    loaded,
    make_customers,
    mixed,
    opened,
    query,
    regressor,
    value,
)


@pytest.fixture
def source(installed: str) -> Iterator[Any]:
    with opened(installed) as connection:
        make_customers(connection)
        yield connection


@pytest.fixture
def target(server: Server) -> Iterator[tuple[str, Any]]:
    """A database without pgscore, with the table: its DSN and a connection."""
    with other_database(server) as (dsn, connection):
        make_customers(connection)
        yield dsn, connection


def clusterer() -> LoadedModel:
    return loaded(Pipeline([("s", StandardScaler()), ("k", KMeans(2, n_init=1, random_state=0))]).fit(FRAME[NUMBERS]))


def forest() -> LoadedModel:
    labels = ["low", "mid", "high", "low", "mid"]
    return loaded(RandomForestClassifier(20, max_depth=3, random_state=0).fit(FRAME[NUMBERS], labels))


def scaler() -> LoadedModel:
    return loaded(StandardScaler().fit(FRAME[NUMBERS]))


@pytest.mark.parametrize("strategy", [Strategy.SQL, Strategy.PLPGSQL])
def test_models_of_every_kind(source: Any, target: tuple[str, Any], strategy: Strategy, tmp_path: Path) -> None:
    dsn, there = target
    models = {
        "binary": classifier(),
        "number": regressor(),
        "text": labeller(),
        "cluster": clusterer(),
        "forest": forest(),
        "scaled": scaler(),
        "mixed": mixed(),
    }
    before = objects(there)
    for name, model in models.items():
        deploy(source, model, name=name, table="customers", strategy=strategy)
        folder = exported(source, tmp_path, name)
        assert psql.done(dsn, folder / "deploy.sql") == ""
        said = psql.done(dsn, folder / "verify.sql")
        assert said.startswith(f"{name} version 1: parity holds: ")
        assert said.endswith("; 5 rows of public.customers\n")
    assert [name for name in functions(there) if "_v1" in name] == [name for name in functions(source) if "_v1" in name]
    assert functions(there) == functions(source)
    rows = {name: model.estimator for name, model in models.items()}
    x, all_inputs = FRAME[NUMBERS], FRAME[["plan", *NUMBERS]]
    numbers = {
        "binary": rows["binary"].predict_proba(x)[:, 1],
        "binary_proba": rows["binary"].predict_proba(x),
        "number": rows["number"].predict(x),
        "text_proba": rows["text"].predict_proba(x),
        "forest_proba": rows["forest"].predict_proba(x),
        "scaled": rows["scaled"].transform(x),
        "mixed": rows["mixed"].predict_proba(all_inputs)[:, 1],
    }
    for call, expected in numbers.items():
        found = [row[0] for row in query(there, f"SELECT score.{call}(c) FROM customers c ORDER BY id")]
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12, err_msg=call)
    for call, expected in {
        "binary_label": rows["binary"].predict(x),
        "text": rows["text"].predict(x),
        "forest": rows["forest"].predict(x),
        "cluster": rows["cluster"].predict(x),
        "mixed_label": rows["mixed"].predict(all_inputs),
    }.items():
        found = [row[0] for row in query(there, f"SELECT score.{call}(c) FROM customers c ORDER BY id")]
        assert found == expected.tolist(), call
    plan = str(query(there, "EXPLAIN (VERBOSE) SELECT score.binary(c), score.number(c) FROM customers c"))
    assert ("score." in plan) is (strategy is Strategy.PLPGSQL)
    for name in models:
        psql.done(dsn, tmp_path / f"{name}_v1" / "revert.sql")
    assert objects(there) == before


@pytest.mark.parametrize("upwards", [True, False], ids=["15 to 18", "18 to 15"])
def test_from_one_major_version_to_another(server15: Server, server18: Server, upwards: bool, tmp_path: Path) -> None:
    old, new = (server15, server18) if upwards else (server18, server15)
    with copied(old, template(old)) as dsn, opened(dsn) as source:
        make_customers(source)
        deploy(source, mixed(), name="mixed", table="customers", strategy=Strategy.SQL)
        folder = exported(source, tmp_path, "mixed")
    with other_database(new) as (dsn, there):
        make_customers(there)
        psql.done(dsn, folder / "deploy.sql")
        assert "parity holds" in psql.done(dsn, folder / "verify.sql")


def test_the_functions_are_the_invokers_and_nobody_elses(source: Any, target: tuple[str, Any], tmp_path: Path) -> None:
    dsn, there = target
    deploy(source, classifier(), name="churn", table="customers", strategy=Strategy.PLPGSQL)
    query(there, 'CREATE ROLE "an ""odd"" :role"; CREATE ROLE plain')
    try:
        folder = exported(source, tmp_path, "churn", grant=['an "odd" :role', "plain"])
        psql.done(dsn, folder / "deploy.sql")
        found = query(
            there,
            "SELECT DISTINCT prosecdef, pg_get_userbyid(proowner)::text, proparallel, proacl::text,"
            " proname ~ '_v1' = (provolatile = 'i') FROM pg_proc WHERE pronamespace = 'score'::regnamespace",
        )
        acl = r'{postgres=X/postgres,"\"an \"\"odd\"\" :role\"=X/postgres",plain=X/postgres}'
        assert found == [(False, "postgres", "s", acl, True)]
        assert value(there, "SELECT has_schema_privilege('plain', 'score', 'USAGE')")
        psql.done(dsn, folder / "revert.sql")
        query(there, "DROP ROLE plain")
        assert "there is no role plain, which should get EXECUTE" in psql.failed(dsn, folder / "deploy.sql")
        assert functions(there) == []
    finally:
        query(there, 'DROP ROLE IF EXISTS plain; DROP ROLE "an ""odd"" :role"')


def live(connection: Any) -> tuple[Any, ...]:
    """What score.churn answers for the first customer, and the version that it calls."""
    [row] = query(
        connection,
        "SELECT score.churn(c), substring(pg_get_functiondef(p.oid) FROM 'churn_v[0-9]+') FROM customers c, pg_proc p"
        " WHERE c.id = 1 AND p.oid = 'score.churn(customers)'::regprocedure",
    )
    return row


@pytest.fixture
def versions(source: Any, tmp_path: Path) -> list[Path]:
    """Folders of churn versions 1 to 3: two classifiers and a regressor."""
    for model in (classifier(), classifier(0.1), regressor()):
        deploy(source, model, name="churn", table="customers")
    return [exported(source, tmp_path, "churn", version) for version in (1, 2, 3)]


def test_versions_come_and_go(target: tuple[str, Any], versions: list[Path]) -> None:
    dsn, there = target
    one, two, three = versions
    before = objects(there)
    psql.done(dsn, one / "deploy.sql")
    first, alone = live(there), objects(there)
    query(there, "CREATE ROLE reader_of_exports")
    try:
        query(there, "GRANT EXECUTE ON FUNCTION score.churn(customers) TO reader_of_exports")
        psql.done(dsn, two / "deploy.sql")
        second = live(there)
        assert (first[1], second[1]) == ("churn_v1", "churn_v2")
        assert first[0] != second[0]
        # A regressor has fewer functions, and the main one gives a double as before: the grants stay.
        psql.done(dsn, three / "deploy.sql")
        assert live(there)[1] == "churn_v3"
        assert "score.churn_label(customers)" not in functions(there)
        granted = "SELECT has_function_privilege('reader_of_exports', 'score.churn(customers)', 'EXECUTE')"
        assert value(there, granted)
        for script in versions:
            psql.done(dsn, script / "verify.sql")
        # Taking away a version that is not live moves nothing; then the live one: its predecessor is gone.
        psql.done(dsn, two / "revert.sql")
        assert live(there)[1] == "churn_v3"
        psql.done(dsn, three / "revert.sql")
        assert live(there) == first
        assert value(there, granted)
        query(there, "REVOKE EXECUTE ON FUNCTION score.churn(customers) FROM reader_of_exports")
    finally:
        query(there, "DROP OWNED BY reader_of_exports; DROP ROLE reader_of_exports")
    assert objects(there)[0][:-1] == alone[0][:-1]
    psql.done(dsn, one / "revert.sql")
    assert objects(there) == before
    assert "churn version 1 is not in database" in psql.failed(dsn, one / "revert.sql")


def test_back_to_the_version_that_was_live_before(target: tuple[str, Any], versions: list[Path]) -> None:
    dsn, there = target
    one, two, three = versions
    for folder in (three, one, two):
        psql.done(dsn, folder / "deploy.sql")
    psql.done(dsn, two / "revert.sql")
    assert live(there)[1] == "churn_v1"
    psql.done(dsn, one / "revert.sql")
    assert live(there)[1] == "churn_v3"


def test_what_depends_on_a_function_stops_it(target: tuple[str, Any], versions: list[Path]) -> None:
    dsn, there = target
    one, two, three = versions
    psql.done(dsn, one / "deploy.sql")
    query(there, "CREATE VIEW seen AS SELECT id, score.churn(c), score.churn_label(c) AS label FROM customers c")
    psql.done(dsn, two / "deploy.sql")
    refused = psql.failed(dsn, three / "deploy.sql")
    assert "score.churn_label(public.customers) cannot leave version 2: view public.seen depends on it" in refused
    refused = psql.failed(dsn, one / "deploy.sql")
    assert "churn version 1 is here already: score.churn_v1(" in refused
    query(there, "DROP VIEW seen; CREATE INDEX kept ON customers (score.churn(customers))")
    before = objects(there), live(there)
    for script in (three / "deploy.sql", two / "revert.sql"):
        refused = psql.failed(dsn, script)
        assert "cannot leave version 2: index public.kept would keep results of it" in refused
    query(there, "DROP INDEX kept; CREATE INDEX kept ON customers (score.churn_v2(customers))")
    refused = psql.failed(dsn, two / "revert.sql")
    assert "version 2 of churn cannot be taken away: index public.kept depends on its functions" in refused
    assert (objects(there), live(there)) == before


def test_deploy_refuses_what_it_cannot_serve(
    source: Any, server: Server, target: tuple[str, Any], versions: list[Path]
) -> None:
    dsn, there = target
    query(there, "ALTER TABLE customers RENAME TO clients")
    script = versions[0] / "deploy.sql"
    assert "there is no table public.customers in database" in psql.failed(dsn, script)
    query(there, "CREATE VIEW customers AS SELECT id, tenure::text FROM clients")
    refused = psql.failed(dsn, script)
    assert "public.customers does not fit churn version 1: " in refused
    assert "column tenure is text and not integer" in refused
    assert "no column monthly (numeric)" in refused
    query(there, "DROP VIEW customers; CREATE VIEW customers AS SELECT * FROM clients")
    query(there, "CREATE SCHEMA score; CREATE FUNCTION score.churn(text) RETURNS text STABLE LANGUAGE sql RETURN $1")
    refused = psql.failed(dsn, script)
    assert "score.churn(text) is no function of this model" in refused
    query(there, "DROP FUNCTION score.churn")
    psql.done(dsn, script)
    psql.done(dsn, versions[0] / "verify.sql")
    psql.done(dsn, versions[0] / "revert.sql")
    assert value(there, "SELECT to_regnamespace('score') IS NOT NULL")
    for script in ("deploy.sql", "revert.sql"):
        assert "has pgscore itself" in psql.failed(source.dsn, versions[0] / script)


@pytest.mark.parametrize(
    ("function", "result", "complaint"),
    [
        ("churn_v1_label(tenure integer, monthly float8)", "bigint", "score.churn_v1_label (predict(X)) differs in "),
        ("churn_v1(tenure integer, monthly float8)", "float8", "score.churn_v1 (predict_proba(X)[:, 1]) differs in "),
        ("churn_v1_proba(r customers)", "float8[]", "called with a row, the functions differ in 5 of 5 rows"),
    ],
    ids=["label", "number", "row"],
)
def test_verify_finds_a_function_that_was_replaced(
    target: tuple[str, Any], versions: list[Path], function: str, result: str, complaint: str
) -> None:
    dsn, there = target
    psql.done(dsn, versions[0] / "deploy.sql")
    psql.done(dsn, versions[0] / "verify.sql")
    body = f"RETURNS {result} IMMUTABLE LANGUAGE sql RETURN NULL::{result}"
    query(there, f"CREATE OR REPLACE FUNCTION score.{function} {body}")
    assert complaint in psql.failed(dsn, versions[0] / "verify.sql")


def test_verify_finds_a_number_that_is_a_little_off(target: tuple[str, Any], versions: list[Path]) -> None:
    dsn, there = target
    psql.done(dsn, versions[0] / "deploy.sql")
    body = value(there, "SELECT pg_get_function_sqlbody('score.churn_v1(integer, float8)'::regprocedure)")
    create = "CREATE OR REPLACE FUNCTION score.churn_v1(tenure integer, monthly float8) RETURNS float8 IMMUTABLE"
    for off, passes in (("1e-10", True), ("1e-8", False)):
        body_off = body.removeprefix("RETURN ")
        query(there, f"{create} LANGUAGE sql RETURN ({body_off}) * (1 + {off}::float8)")
        run = psql.run(dsn, versions[0] / "verify.sql")
        assert (run.returncode == 0) is passes, run
        assert "largest difference 1.0e-10" in run.stdout if passes else "tenure" in run.stderr


def test_verify_writes_nothing(target: tuple[str, Any], versions: list[Path]) -> None:
    dsn, there = target
    psql.done(dsn, versions[0] / "deploy.sql")
    query(there, f"ALTER DATABASE {there.info.dbname} SET default_transaction_read_only = on")
    psql.done(dsn, versions[0] / "verify.sql")
    assert "read-only" in psql.failed(dsn, versions[0] / "revert.sql")
