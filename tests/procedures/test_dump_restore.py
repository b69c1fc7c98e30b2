"""pg_dump and pg_restore bring everything back: models, functions, grants, jobs, predictions and the history."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sklearn.ensemble import GradientBoostingRegressor

from pgscore.compiler.artifact import Strategy
from pgscore.errors import RefusedError
from pgscore.procedures.connection import errors
from pgscore.procedures.deploy import deploy
from pgscore.procedures.lifecycle import history, list_models, promote, rollback
from pgscore.procedures.refresh import Top, create_job, run_job, status

from ..cli.conftest import pgscore
from ..support import servers
from ..support.databases import copied, template
from ..support.runtime import plpython_template
from ..support.servers import Server
from ..support.tiny import FRAME, NUMBERS, loaded, make_customers, opened, query, recommender, value
from ..support.versions import MODELS, answers, moving
from ..support.whole import assert_catalog_is_whole

ROLES = ("dump_analyst", "dump_reporting")
TABLES = """
    SELECT c.oid::regclass::text FROM pg_class AS c
    WHERE c.relnamespace IN ('pgscore'::regnamespace, 'public'::regnamespace) AND c.relkind IN ('r', 'm', 'v')"""
THERE_AND_BACK = """
    UPDATE public.customers SET tenure = tenure + 1 WHERE id = {0};
    UPDATE public.customers SET tenure = tenure - 1 WHERE id = {0}"""
OURS = "IN ('pgscore'::regnamespace, 'score'::regnamespace, 'public'::regnamespace)"


def rights(acl: str, default: str) -> str:
    """SQL for the rights as text. What is the default may be written down or not; MAINTAIN came with 17."""
    return f"""ARRAY(
        SELECT concat_ws(' ', a.grantee::regrole, a.privilege_type, a.grantor::regrole)
        FROM aclexplode(coalesce({acl}, acldefault({default}))) AS a WHERE a.privilege_type <> 'MAINTAIN' ORDER BY 1)"""


RELATION_RIGHTS = rights("c.relacl", """CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, c.relowner""")
FACTS = {
    "functions": f"""
        SELECT p.oid::regprocedure::text, pg_get_userbyid(p.proowner), {rights("p.proacl", "'f', p.proowner")},
               obj_description(p.oid, 'pg_proc'), pg_get_functiondef(p.oid)
        FROM pg_proc AS p WHERE p.pronamespace {OURS} AND p.prokind <> 'a'""",
    "relations": f"""
        SELECT c.oid::regclass::text, pg_get_userbyid(c.relowner), obj_description(c.oid, 'pg_class'),
               CASE WHEN c.relkind = 'i' THEN pg_get_indexdef(c.oid)
                    ELSE {RELATION_RIGHTS}::text
               END
        FROM pg_class AS c WHERE c.relnamespace {OURS}""",
    "columns": f"""
        SELECT a.attrelid::regclass::text, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull,
               a.attidentity::text, a.attgenerated::text, pg_get_expr(d.adbin, d.adrelid),
               col_description(a.attrelid, a.attnum)
        FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE c.relnamespace {OURS} AND a.attnum > 0""",
    "schemas": f"""
        SELECT n.nspname::text, pg_get_userbyid(n.nspowner), {rights("n.nspacl", "'n', n.nspowner")}
        FROM pg_namespace AS n WHERE n.nspname IN ('pgscore', 'score')""",
    "triggers": f"""
        SELECT tgrelid::regclass::text, tgname::text, tgenabled::text FROM pg_trigger
        WHERE NOT tgisinternal AND tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace {OURS})
       """,
    "constraints": """
        SELECT conrelid::regclass::text, conname::text, convalidated, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'pgscore'::regnamespace AND contype <> 'n'""",
    "sequences": "SELECT sequencename::text, last_value FROM pg_sequences WHERE schemaname = 'pgscore'",
}


def state(connection: Any) -> dict[str, Any]:
    """All that a dump must bring back, in rows that can be compared."""
    told: dict[str, Any] = {name: query(connection, text) for name, text in FACTS.items()}
    for (table,) in query(connection, TABLES):
        if table != "pgscore.freshness":  # it tells how old the predictions are
            told[table] = sorted(row[0] for row in query(connection, f"SELECT r::text FROM {table} AS r"))
    return told


def fill(connection: Any) -> None:
    """Models of each strategy, with all that can depend on them."""
    make_customers(connection)
    for role in ROLES:
        query(connection, f"DO $$ BEGIN IF to_regrole('{role}') IS NULL THEN CREATE ROLE {role} LOGIN; END IF; END $$")
    query(connection, "GRANT pgscore_scorer TO dump_analyst; GRANT SELECT ON public.customers TO dump_analyst")
    for model in MODELS:
        deploy(connection, model, name="churn", table="customers", strategy=Strategy.SQL)
    promote(connection, "churn", 2)
    promote(connection, "churn", 3)
    rollback(connection, "churn")
    forest = loaded(GradientBoostingRegressor(n_estimators=5, random_state=0).fit(FRAME[NUMBERS], FRAME.monthly))
    deploy(connection, forest, name="amount", table="customers", strategy=Strategy.PLPGSQL)
    if value(connection, "SELECT to_regprocedure('pgscore.onnx_row(text, float8[])') IS NOT NULL"):
        for model in MODELS[:2]:
            deploy(connection, model, name="risk", table="customers", strategy=Strategy.ONNX)
    query(
        connection,
        """
        GRANT EXECUTE ON FUNCTION score.churn(public.customers), score.amount_v1(public.customers) TO dump_reporting;
        CREATE INDEX by_score ON public.customers (score.churn_v1(customers));
        CREATE TABLE public.leads (
            id integer, tenure integer, monthly float8,
            score float8 GENERATED ALWAYS AS (score.churn_v2(tenure => tenure, monthly => monthly)) STORED,
            CHECK (score.amount_v1(tenure => tenure, monthly => monthly) IS NOT NULL));
        INSERT INTO public.leads VALUES (1, 2, 3.5), (2, 30, 70);
        CREATE VIEW public.a_view AS SELECT id, score.churn(c) AS score, score.churn_proba(c) AS proba FROM customers c;
        CREATE MATERIALIZED VIEW public.a_stored_view AS SELECT c.id, score.amount_v1(c) AS amount FROM customers c;
        CREATE FUNCTION public.wrapped(c public.customers) RETURNS float8 LANGUAGE sql STABLE RETURN score.churn(c)""",
    )
    create_job(connection, "daily", model="churn", source="public.customers", keys=["id"], target="public.scores")
    run_job(connection, "daily")
    now = {"model": "amount", "source": "public.customers", "keys": ["id"], "target": "public.amounts"}
    create_job(connection, "now", mode="incremental", **now)
    run_job(connection, "now")
    deploy(connection, recommender(), name="taste", table="customers")
    seen = {"model": "taste", "source": "public.customers", "keys": ["id", "tenure"], "target": "public.recommended"}
    create_job(connection, "recs", mode="incremental", top=Top(2), **seen)
    run_job(connection, "recs")
    query(connection, THERE_AND_BACK.format(2))


@contextmanager
def shop(server: Server, request: pytest.FixtureRequest, *, onnx: bool) -> Iterator[str]:
    source = plpython_template(server, request.getfixturevalue("runtime_folder")) if onnx else template(server)
    with copied(server, template(server, f"pgscore_dump_{'onnx' if onnx else 'sql'}", fill, source)) as dsn:
        yield dsn


@pytest.fixture(scope="module")
def other15() -> Iterator[Server]:
    """Another cluster, without our roles."""
    with servers.debian15() as server:
        yield server


def said(server: Server, program: str, *arguments: str | Path) -> str:
    """What the program says; it must end well."""
    running = server.client(program, *arguments)
    output = running.communicate()[0]
    assert running.returncode == 0, output
    return str(output)


def assert_it_lives(dsn: str) -> None:
    """Whether a restored database goes on: scores, verifies, deploys, promotes, refreshes, and guards its rows."""
    with opened(dsn) as connection:
        assert_catalog_is_whole(connection)
        assert moving(connection) == pytest.approx(answers(2), rel=1e-9)
        verified = pgscore("verify", "--all", "--dsn", dsn)
        assert verified.code == 0, verified.out + verified.err
        assert run_job(connection, "daily").rows == 5
        # What was queued, and what the restored triggers queue.
        query(connection, THERE_AND_BACK.format(3))
        assert run_job(connection, "now").rows == 2
        assert run_job(connection, "recs").rows == 4
        with pytest.raises(RefusedError, match="its rows never change"), errors(), connection.cursor() as cursor:
            cursor.execute("UPDATE pgscore.taste_v1_users SET f1 = f1")
        connection.rollback()
        for table in ("history", "versions", "parity_cases", "onnx_graphs"):
            with pytest.raises(RefusedError, match="its rows never change"), errors(), connection.cursor() as cursor:
                cursor.execute(f"TRUNCATE pgscore.{table} CASCADE")
            connection.rollback()
        assert rollback(connection, "churn") == 1
        for name in {"churn", "risk"} & {model.model for model in list_models(connection)}:
            strategy = Strategy.ONNX if name == "risk" else Strategy.SQL
            deployed = deploy(connection, MODELS[0], name=name, table="customers", strategy=strategy, promote=True)
            assert deployed.version == (3 if name == "risk" else 4)
        assert moving(connection) == pytest.approx(answers(1), rel=1e-9)
        assert run_job(connection, "daily").updated == 5
        run_job(connection, "now")
        assert [job.state for job in status(connection)] == ["fresh", "fresh", "fresh"]
        events = [(event.action, event.to_version) for event in history(connection, "churn") if event.alias == "live"]
        assert events == [
            ("promote", 1), ("promote", 2), ("promote", 3), ("rollback", 2), ("rollback", 1), ("promote", 4),
        ]  # fmt: skip
        assert_catalog_is_whole(connection)
    with opened(dsn.replace("postgres@", "dump_analyst@")) as dump_analyst:
        assert moving(dump_analyst) == pytest.approx(answers(1), rel=1e-9)


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, rows in expected.items():
        assert [row for row in rows if row not in found[name]] == [], f"{name}: lost or changed"
        assert [row for row in found[name] if row not in rows] == [], f"{name}: new"


def restored(server: Server, dump: Path, database: str) -> None:
    if dump.suffix == ".sql":
        said(server, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", dump)
    else:
        said(server, "pg_restore", "--exit-on-error", "-j", "2", "-d", database, dump)


@pytest.mark.parametrize("form", ["custom", "plain"])
def test_into_another_database(server: Server, request: pytest.FixtureRequest, form: str, tmp_path: Path) -> None:
    dump = tmp_path / ("dump.sql" if form == "plain" else "dump")
    with shop(server, request, onnx=server.plpython) as dsn, copied(server, "template0") as target:
        said(server, "pg_dump", "-F", form, "-f", dump, dsn)
        restored(server, dump, target)
        with opened(dsn) as before, opened(target) as after:
            assert_same(state(after), state(before))
        assert_it_lives(target)


def test_a_dump_that_met_a_promote_is_mended_by_a_promote(
    server: Server, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """pg_dump has the order of the functions from its beginning, and their bodies from when it writes them."""
    with shop(server, request, onnx=False) as dsn, copied(server, "template0") as target:
        with opened(dsn) as connection, opened(dsn) as other, connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("SELECT pg_export_snapshot()")
            (snapshot,) = cursor.fetchone()
            promote(other, "churn", 3)
            said(server, "pg_dump", "-Fc", f"--snapshot={snapshot}", "-f", tmp_path / "dump", dsn)
        restoring = server.client("pg_restore", "-d", target, tmp_path / "dump")
        assert "function score.churn_v3(public.customers) does not exist" in restoring.communicate()[0]
        with opened(target) as connection:
            assert value(connection, "SELECT to_regprocedure('score.churn(public.customers)') IS NULL")
            told = history(connection, "churn")
            assert promote(connection, "churn", 2) == 2
            assert history(connection, "churn") == told
        assert_it_lives(target)


def test_into_another_cluster_as_documented(
    server15: Server,
    other15: Server,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs/operations.md").read_text()
    with shop(server15, request, onnx=True) as dsn:
        name = dsn.split("/")[3].split("?")[0]
        target = other15.dsn(name)
        monkeypatch.setenv("PGSCORE_DSN", target)
        for server, block in zip((server15, other15), re.findall(r"^```sh\n(.*?)^```", page, re.S | re.M), strict=True):
            for line in block.splitlines():
                program, *arguments = shlex.split(re.sub(r"\bshop\b(?!\.)", name, line))
                if program == "pgscore":
                    assert pgscore(*arguments).code == 0
                else:
                    said(server, program, *arguments)
        with opened(dsn) as before, opened(target) as after:
            assert_same(state(after), state(before))
        assert_it_lives(target)


def test_into_a_newer_major_version(
    server15: Server, server18: Server, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with shop(server15, request, onnx=False) as dsn, copied(server18, "template0") as target:
        said(server15, "pg_dumpall", "--roles-only", "-f", tmp_path / "roles.sql")
        said(server15, "pg_dump", "-Fc", "-f", tmp_path / "dump", dsn)
        said(server18, "psql", "-X", "-d", "postgres", "-f", tmp_path / "roles.sql")
        restored(server18, tmp_path / "dump", target)
        with opened(dsn) as before, opened(target) as after:
            assert_same(state(after), state(before))
        assert_it_lives(target)
