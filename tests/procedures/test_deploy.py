from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from pgscore.compiler.artifact import Strategy
from pgscore.errors import (
    InvalidNameError,
    NotFoundError,
    NotInstalledError,
    ParityError,
    PgscoreError,
    RefusedError,
    RightsError,
    SignatureError,
)
from pgscore.procedures.deploy import deploy
from pgscore.procedures.install import install
from pgscore.procedures.lifecycle import history, list_models, show
from pgscore.procedures.plan import as_script

from ..support import servers
from ..support.servers import Server
from ..support.tiny import FRAME, NUMBERS, classifier, loaded, make_customers, mixed, opened, query, regressor, value


@pytest.fixture
def connection(installed: str) -> Iterator[Any]:
    with opened(installed) as connection:
        make_customers(connection)
        yield connection


def functions(connection: Any) -> list[tuple[Any, ...]]:
    return query(
        connection,
        "SELECT oid::regprocedure::text, provolatile, proparallel, pg_get_functiondef(oid), proacl::text,"
        " obj_description(oid, 'pg_proc') FROM pg_proc WHERE pronamespace = 'score'::regnamespace ORDER BY 1",
    )


def test_what_a_deploy_makes(connection: Any) -> None:
    model = classifier()
    done = deploy(connection, model, name="churn", table="customers")
    assert (done.name, done.version, done.promoted, done.report.passed) == ("churn", 1, True, True)
    assert done.seconds.keys() == {"compile", "bind", "create", "check", "record"}
    made = {row[0]: row[1:] for row in functions(connection)}
    assert made.keys() == {
        f"score.churn{version}{suffix}({arguments})"
        for version in ("", "_v1")
        for suffix in ("", "_label", "_proba")
        for arguments in ("customers", "integer,double precision")
    }
    for name, (volatile, parallel, _, acl, comment) in made.items():
        assert (volatile, parallel) == ("i" if "_v1" in name else "s", "s")
        assert acl == (
            "{pgscore_owner=X/pgscore_owner,pgscore_deployer=X/pgscore_owner,pgscore_scorer=X/pgscore_owner}"
        )
        assert " of LogisticRegression" in comment
    assert made["score.churn_v1(customers)"][4] == "churn v1: predict_proba(X)[:, 1] of LogisticRegression"
    found = query(
        connection, "SELECT score.churn(c), score.churn_label(c), score.churn_proba(c) FROM customers c ORDER BY id"
    )
    proba = model.estimator.predict_proba(FRAME[NUMBERS])
    np.testing.assert_allclose([row[0] for row in found], proba[:, 1], rtol=1e-12)
    assert [row[1] for row in found] == model.estimator.predict(FRAME[NUMBERS]).tolist()
    np.testing.assert_allclose([row[2] for row in found], proba, rtol=1e-12)
    details = show(connection, "churn")
    assert details.parameters == [
        {"name": "tenure", "type": "integer", "column": "tenure"},
        {"name": "monthly", "type": "double precision", "column": "monthly"},
    ]
    assert (details.strategy, details.bound_table, details.created_by) == ("sql", "public.customers", "postgres")
    assert "CREATE FUNCTION" in details.sql
    assert details.parity["passed"]
    assert [(event.action, event.to_version) for event in history(connection, "churn")] == [
        ("deploy", 1),
        ("promote", 1),
    ]


def test_both_levels_are_inlined(connection: Any) -> None:
    deploy(connection, classifier(), name="churn", table="customers")
    for call in ("score.churn(c)", "score.churn(tenure => c.tenure, monthly => c.monthly::float8)"):
        plan = "\n".join(row[0] for row in query(connection, f"EXPLAIN (VERBOSE) SELECT {call} FROM customers c"))
        assert "score." not in plan
        assert "exp(" in plan


def test_dry_run_changes_nothing_and_its_script_does(connection: Any, installed: str) -> None:
    tables = "SELECT (SELECT count(*) FROM pgscore.models), (SELECT count(*) FROM pgscore.history)"
    planned = deploy(connection, classifier(), name="churn", table="customers", dry_run=True)
    assert (planned.version, planned.promoted, planned.report.passed) == (1, True, True)
    assert query(connection, tables) == [(0, 0)]
    assert functions(connection) == []
    done = deploy(connection, classifier(), name="churn", table="customers")
    wanted = functions(connection), [(event.action, event.to_version) for event in history(connection, "churn")]
    query(connection, "SELECT pgscore.drop_model('churn')")
    run = subprocess.run(
        [servers.DEBIAN / "bin/psql", "-X", "-q", "-f", "-", installed],
        input=as_script(planned.statements),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    after = [(event.action, event.to_version) for event in history(connection, "churn")]
    assert (functions(connection), after[-2:]) == wanted
    assert show(connection, "churn").sha256 == done.artifact.sha256


def test_promote_moves_and_alias_does_not_touch_live(connection: Any) -> None:
    first = deploy(connection, classifier(), name="churn", table="customers", alias="champion", promote=True)
    assert first.promoted
    assert list_models(connection)[0].aliases == {"champion": 1, "live": 1}
    assert not deploy(connection, classifier(2.0), name="churn", table="customers").promoted
    assert deploy(connection, classifier(3.0), name="churn", table="customers", promote=True).promoted
    assert list_models(connection)[0].aliases == {"champion": 1, "live": 3}


@pytest.mark.parametrize("strategy", [Strategy.SQL, Strategy.PLPGSQL])
def test_strategies_agree(connection: Any, strategy: Strategy) -> None:
    forest = RandomForestRegressor(5, max_depth=3, random_state=0).fit(FRAME[NUMBERS], FRAME["id"])
    done = deploy(connection, loaded(forest), name="forest", table="customers", strategy=strategy)
    assert done.artifact.strategy is strategy
    found = [row[0] for row in query(connection, "SELECT score.forest(c) FROM customers c ORDER BY id")]
    np.testing.assert_allclose(found, forest.predict(FRAME[NUMBERS]), rtol=1e-12)


def test_categories_that_are_searched_by_their_bytes(connection: Any) -> None:
    """So many categories that a body in SQL halves them again and again, in COLLATE "C"."""
    frame = pd.DataFrame({"plan": [f"plan {number}" for number in range(50)]}, dtype=object)
    encode = ColumnTransformer([("text", OneHotEncoder(), ["plan"])])
    model = Pipeline([("encode", encode), ("model", LinearRegression())]).fit(frame, np.arange(50.0) ** 2)
    query(connection, "CREATE TABLE plans AS SELECT n AS id, 'plan ' || n AS plan FROM generate_series(0, 49) AS n")
    deploy(connection, loaded(model), name="plans", table="plans", strategy=Strategy.SQL)
    assert "COLLATE" in value(connection, "SELECT pg_get_functiondef('score.plans_v1(text)'::regprocedure)")
    found = [row[0] for row in query(connection, "SELECT score.plans(p) FROM plans AS p ORDER BY id")]
    np.testing.assert_allclose(found, model.predict(frame), rtol=1e-9)


def test_onnx_needs_plpython(connection: Any) -> None:
    with pytest.raises(NotInstalledError, match="pgscore install --plpython"):
        deploy(connection, classifier(), name="churn", table="customers", strategy=Strategy.ONNX)


def test_hostile_names(connection: Any) -> None:
    table = '"; DROP TABLE x; --"'
    columns = ["it's", 'a "quoted" one', "$$", "%s", "$body$ %(x)s", "churn_v1", "select", "\\", "grün", "r"]
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(30, len(columns))), columns=columns)
    frame["text"] = np.where(frame["$$"] > 0, "'; DROP TABLE customers; --", "$body$ \\ %s {}")
    encode = ColumnTransformer([("text", OneHotEncoder(), ["text"])], remainder="passthrough")
    model = loaded(Pipeline([("encode", encode), ("model", LinearRegression())]).fit(frame, rng.normal(size=30)))
    quoted = ", ".join('"' + name.replace('"', '""') + '"' for name in frame)
    types = [*["float8"] * len(columns), "text"]
    with connection, connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE {table} ({', '.join(f'{q} {t}' for q, t in zip(quoted.split(', '), types, strict=True))})"
        )
        marks = ", ".join(["%s"] * len(types))
        cursor.executemany(f"INSERT INTO {table} VALUES ({marks})", frame.values.tolist())
    expected = model.estimator.predict(frame)
    for strategy in (Strategy.SQL, Strategy.PLPGSQL):
        deploy(connection, model, name="hostile", table=table, strategy=strategy, promote=True)
        found = query(
            connection, f"SELECT score.hostile(c), pgscore.score('hostile', to_jsonb(c))::float8 FROM {table} c"
        )
        np.testing.assert_allclose(found, np.column_stack([expected, expected]), rtol=1e-10)
    assert value(connection, "SELECT count(*) FROM customers") == 5


def test_more_than_100_inputs(connection: Any, server: Server) -> None:
    strategy = Strategy.SQL if server.major == 15 else Strategy.PLPGSQL
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(20, 101)), columns=[f"c {i}" for i in range(101)])
    model = loaded(LinearRegression().fit(frame, rng.normal(size=20)))
    query(connection, "CREATE TABLE wide (id integer, " + ", ".join(f'"c {i}" float8' for i in range(101)) + ")")
    with connection, connection.cursor() as cursor:
        rows = [[number, *row] for number, row in enumerate(frame.values.tolist())]
        cursor.executemany(f"INSERT INTO wide VALUES ({', '.join(['%s'] * 102)})", rows)
    deploy(connection, model, name="wide", table="wide", strategy=strategy)
    assert [row[0] for row in functions(connection)] == ["score.wide(wide)", "score.wide_v1(wide)"]
    text = "SELECT score.wide(w), pgscore.score('wide', to_jsonb(w))::float8 FROM wide w ORDER BY id"
    expected = model.estimator.predict(frame)
    np.testing.assert_allclose(query(connection, text), np.column_stack([expected, expected]), rtol=1e-9, atol=1e-9)


def test_views_partitions_enums_domains_and_other_case(connection: Any) -> None:
    query(
        connection,
        """
        CREATE TYPE plan AS ENUM ('basic', 'full', 'none');
        CREATE DOMAIN months AS smallint CHECK (value >= 0);
        CREATE TABLE parted ("TENURE" months, monthly real, plan plan) PARTITION BY RANGE (monthly);
        CREATE TABLE part PARTITION OF parted DEFAULT;
        INSERT INTO parted SELECT tenure, monthly, plan::plan FROM customers;
        CREATE VIEW seen AS SELECT * FROM customers;
        CREATE MATERIALIZED VIEW kept AS SELECT * FROM customers;
        """,
    )
    frame = FRAME[["plan", *NUMBERS]]
    encode = ColumnTransformer([("plan", OneHotEncoder(), ["plan"])], remainder="passthrough")
    model = loaded(Pipeline([("e", encode), ("m", LogisticRegression(max_iter=1000))]).fit(frame, [1, 0, 0, 1, 1]))
    expected = sorted(model.estimator.predict_proba(frame)[:, 1])
    for table in ("parted", "seen", "kept"):
        deploy(connection, model, name=f"of_{table}", table=table)
        found = query(
            connection,
            f"SELECT score.of_{table}(t), pgscore.score('of_{table}', to_jsonb(t))::float8 FROM {table} t ORDER BY 1",
        )
        np.testing.assert_allclose(found, np.column_stack([expected, expected]), rtol=1e-12)


def test_a_row_with_an_enum_is_inlined(connection: Any) -> None:
    query(connection, "CREATE TYPE plan AS ENUM ('basic', 'full', 'none')")
    query(connection, "CREATE TABLE typed AS SELECT id, tenure, monthly, plan::plan FROM customers")
    deploy(connection, mixed(), name="churn", table="typed")
    for name in ("score.churn", "score.churn_v1"):
        plan = "\n".join(row[0] for row in query(connection, f"EXPLAIN (VERBOSE) SELECT {name}(t) FROM typed t"))
        assert "score." not in plan
    found = {row[0]: row[1] for row in functions(connection)}
    assert (found["score.churn_v1(typed)"], found["score.churn_v1(text,integer,double precision)"]) == ("s", "i")


def test_concurrent_deploys_go_one_after_the_other(connection: Any, installed: str) -> None:
    def run(weight: float) -> None:
        try:
            with opened(installed) as own:
                barrier.wait()
                versions.append(deploy(own, classifier(weight), name="churn", table="customers").version)
        except PgscoreError as error:
            failed.append(error)

    versions: list[int] = []
    failed: list[PgscoreError] = []
    barrier = threading.Barrier(3)
    threads = [threading.Thread(target=run, args=(weight,)) for weight in (1.0, 2.0, 3.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sorted(versions) == [1, 2, 3]
    assert list_models(connection)[0].live == 1


def refused(connection: Any, error: type[Exception], message: str, **options: Any) -> None:
    counts = (f"(SELECT count(*) FROM {table})" for table in ("pgscore.models", "pgscore.history", "pg_proc"))
    state = f"SELECT {', '.join(counts)}"
    before = query(connection, state)
    with pytest.raises(error, match=message) as caught:
        deploy(connection, **{"model": classifier(), "name": "churn", "table": "customers", **options})
    assert "\n" not in str(caught.value)
    assert query(connection, state) == before


def test_bad_input_changes_nothing(connection: Any) -> None:
    refused(connection, InvalidNameError, "'Churn' is no name for a model", name="Churn")
    refused(connection, InvalidNameError, "no name for a model", name="x" * 41)
    refused(connection, InvalidNameError, "no name for an? alias", alias="Live")
    refused(connection, NotFoundError, "no table 'nowhere'", table="nowhere")
    refused(connection, NotFoundError, "no table", table="; DROP TABLE customers")
    refused(connection, NotFoundError, "no table", table="a.b.c.d")
    refused(connection, NotFoundError, "is no table, view", table="customers_pkey")
    query(
        connection,
        "CREATE TABLE other (tenure integer, monthly_fee numeric); CREATE TABLE typed (tenure text, monthly float8)",
    )
    refused(connection, SignatureError, r"other has no column 'monthly'.*is it 'monthly_fee'\?", table="other")
    refused(
        connection,
        SignatureError,
        "column 'tenure' of public.typed is text, and the model takes a number",
        table="typed",
    )
    query(connection, "CREATE TABLE padded AS SELECT id, tenure, monthly, plan::char(9) FROM customers")
    refused(connection, SignatureError, r"'plan' of public.padded is character\(9\)", model=mixed(), table="padded")
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE passing AS SELECT * FROM customers")
        connection.commit()
    refused(connection, RefusedError, "temporary", table="passing")


def test_a_mismatch_is_rolled_back(connection: Any) -> None:
    model = regressor()
    honest = model.estimator.predict
    model.estimator.predict = lambda x: honest(x) + 1e-3
    refused(
        connection, ParityError, r"model churn is not deployed: .*main function \(predict\(X\)\) differs", model=model
    )


def test_without_pgscore(database: str) -> None:
    with opened(database) as connection:
        make_customers(connection)
        with pytest.raises(NotInstalledError, match="run `pgscore install`"):
            deploy(connection, classifier(), name="churn", table="customers")


def test_rights(connection: Any, installed: str) -> None:
    query(connection, "CREATE SCHEMA sales; ALTER TABLE customers SET SCHEMA sales")
    query(
        connection,
        "CREATE ROLE deployer LOGIN; CREATE ROLE nobody LOGIN; GRANT USAGE ON SCHEMA sales TO deployer, nobody",
    )
    try:
        refusal = pytest.raises(RightsError, match='GRANT pgscore_deployer TO "nobody"')
        with opened(installed.replace("postgres@", "nobody@")) as stranger, refusal:
            deploy(stranger, classifier(), name="churn", table="sales.customers")
        query(connection, "GRANT pgscore_deployer TO deployer")
        with opened(installed.replace("postgres@", "deployer@")) as own:
            with pytest.raises(RightsError, match=r"GRANT SELECT ON sales\.customers"):
                deploy(own, classifier(), name="churn", table="sales.customers")
            query(connection, "GRANT SELECT ON sales.customers TO deployer")
            with pytest.raises(RightsError, match='GRANT USAGE ON SCHEMA "sales" TO pgscore_owner'):
                deploy(own, classifier(), name="churn", table="sales.customers")
            query(connection, "GRANT USAGE ON SCHEMA sales TO pgscore_owner")
            done = deploy(own, classifier(), name="churn", table="sales.customers")
            assert done.promoted
            assert value(own, "SELECT current_setting('role')") == "none"
        deploy(connection, classifier(2.0), name="churn", table="sales.customers")
        query(connection, "REVOKE USAGE ON SCHEMA sales FROM pgscore_owner")
        with pytest.raises(Exception, match="role pgscore_owner may not use schema sales"):
            query(connection, "SELECT pgscore.promote('churn', 2)")
        assert (
            value(connection, "SELECT pg_get_userbyid(proowner)::text FROM pg_proc WHERE proname = 'churn' LIMIT 1")
            == "pgscore_owner"
        )
        assert history(connection, "churn")[0].by == "deployer"
    finally:
        query(connection, "DROP OWNED BY deployer, nobody; DROP ROLE deployer, nobody")


def test_search_path_of_the_deployer_does_not_matter(connection: Any) -> None:
    query(
        connection,
        "CREATE SCHEMA evil; CREATE FUNCTION evil.exp(float8) RETURNS float8 LANGUAGE sql IMMUTABLE RETURN 0.5",
    )
    query(connection, "SET search_path = evil, pg_catalog, public")
    done = deploy(connection, classifier(), name="churn", table="customers")
    assert done.report.passed
    assert value(connection, "SHOW search_path") == "evil, pg_catalog, public"
    assert "evil" not in "".join(row[3] for row in functions(connection))


def test_deploy_into_an_installation_without_roles_of_ours(database: str) -> None:
    with opened(database) as admin:
        name = value(admin, "SELECT current_database()::text")
        query(admin, f"CREATE ROLE plain_deployer LOGIN; GRANT CREATE ON DATABASE {name} TO plain_deployer")
        query(admin, "CREATE SCHEMA own AUTHORIZATION plain_deployer")
        try:
            with opened(database.replace("postgres@", "plain_deployer@")) as own:
                install(own)
                query(own, "CREATE TABLE own.customers (tenure integer, monthly float8)")
                query(own, "INSERT INTO own.customers VALUES (1, 2)")
                assert deploy(own, classifier(), name="churn", table="own.customers").promoted
        finally:
            query(admin, "DROP OWNED BY plain_deployer; DROP ROLE plain_deployer")
