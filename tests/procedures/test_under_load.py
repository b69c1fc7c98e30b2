"""Promotes and rollbacks under load: sessions that score see no error, and each answer is one version's."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from pgscore.compiler.artifact import Strategy
from pgscore.procedures.deploy import deploy
from pgscore.procedures.lifecycle import promote, rollback

from ..support.databases import copied, template
from ..support.runtime import plpython_template
from ..support.servers import Server
from ..support.tiny import FRAME, NUMBERS, loaded, make_customers, opened, query, value
from ..support.whole import assert_catalog_is_whole

SECONDS = int(os.environ.get("PGSCORE_LOAD_SECONDS", "8"))
EVERY = 0.1
"""Seconds between two moves of each model."""

# What each session runs: an answer that no version gives divides by zero. Functions that stand side by side in one
# statement may be of two versions, where it is planned while a promote commits: that is counted.
SCRIPTS = {
    "row": r"""
        \set id random(1, 5)
        WITH a AS MATERIALIZED (
            SELECT c.id, score.{m}(c) AS score, score.{m}_label(c) AS label, score.{m}_proba(c) AS proba
            FROM public.customers AS c WHERE c.id = :id
        ), n AS (
            SELECT count(*) FILTER (WHERE a.score = e.score) * count(*) FILTER (WHERE a.label = e.label)
                 * count(*) FILTER (WHERE a.proba = e.proba) AS parts,
                   count(*) FILTER (WHERE (a.score, a.label, a.proba) = (e.score, e.label, e.proba)) AS whole
            FROM a JOIN public.expected_{m} AS e USING (id)
        )
        INSERT INTO public.mixed SELECT 1 / parts FROM n WHERE whole = 0;""",
    "named": r"""
        \set id random(1, 5)
        WITH a AS MATERIALIZED (
            SELECT c.id, score.{m}(tenure => tenure, monthly => monthly) AS score
            FROM public.customers AS c WHERE c.id = :id)
        SELECT 1 / count(*) FROM a JOIN public.expected_{m} AS e USING (id, score);""",
    "table": """
        WITH a AS MATERIALIZED (SELECT c.id, score.{m}(c) AS score FROM public.customers AS c)
        SELECT 1 / (count(*) = 5 AND count(DISTINCT e.version) = 1)::integer
        FROM a JOIN public.expected_{m} AS e USING (id, score);""",
    "view": r"""
        \set id random(1, 5)
        SELECT 1 / count(*)
        FROM public.view_{m} AS a JOIN public.expected_{m} AS e USING (id, score) WHERE id = :id;""",
    "function": r"""
        \set id random(1, 5)
        WITH a AS MATERIALIZED (SELECT :id::integer AS id, public.asked_{m}(:id) AS score)
        SELECT 1 / count(*) FROM a JOIN public.expected_{m} AS e USING (id, score);""",
    "json": r"""
        \set id random(1, 5)
        WITH a AS MATERIALIZED (
            SELECT c.id, pgscore.score('{m}', to_jsonb(c))::float8 AS score FROM public.customers AS c WHERE c.id = :id)
        SELECT 1 / count(*) FROM a JOIN public.expected_{m} AS e USING (id, score);""",
}
OBJECTS = """
    CREATE TABLE public.expected_{m} AS
        SELECT 1 AS version, id, score.{m}_v1(c) AS score, score.{m}_v1_label(c) AS label,
               score.{m}_v1_proba(c) AS proba
        FROM public.customers AS c
        UNION ALL
        SELECT 2, id, score.{m}_v2(c), score.{m}_v2_label(c), score.{m}_v2_proba(c) FROM public.customers AS c;
    CREATE VIEW public.view_{m} AS SELECT c.id, score.{m}(c) AS score FROM public.customers AS c OFFSET 0;
    CREATE FUNCTION public.asked_{m}(wanted integer) RETURNS float8 LANGUAGE plpgsql STABLE AS
        $$ BEGIN RETURN (SELECT score.{m}(c) FROM public.customers AS c WHERE c.id = wanted); END $$;"""

# Two models that disagree about every row, in all that they say of it.
CLASSES = np.array([1, 0, 0, 1, 1])
MODELS = [loaded(LogisticRegression().fit(FRAME[NUMBERS], y)) for y in (CLASSES, 1 - CLASSES)]


def fill(connection: Any, strategies: list[Strategy]) -> None:
    make_customers(connection)
    query(connection, "CREATE TABLE public.mixed (parts bigint)")
    for strategy in strategies:
        for model in MODELS:
            deploy(connection, model, name=strategy.value, table="customers", strategy=strategy)
        query(connection, OBJECTS.format(m=strategy.value))
        for version, model in enumerate(MODELS, start=1):
            expected = f"SELECT score, proba FROM public.expected_{strategy.value} WHERE version = %s ORDER BY id"
            proba = model.estimator.predict_proba(FRAME[NUMBERS])
            found = query(connection, expected, (version,))
            np.testing.assert_allclose([row[0] for row in found], proba[:, 1], rtol=1e-9)
            np.testing.assert_allclose([row[1] for row in found], proba, rtol=1e-9)


@pytest.fixture
def loaded_database(server: Server, request: pytest.FixtureRequest) -> Iterator[tuple[Server, str, list[str]]]:
    """A server, a database in it, and its models, one of each strategy: two versions, of which the first is live."""
    strategies = [Strategy.SQL, Strategy.PLPGSQL]
    source = template(server)
    if server.plpython:
        strategies.append(Strategy.ONNX)
        source = plpython_template(server, request.getfixturevalue("runtime_folder"))
    with copied(server, template(server, "pgscore_load", lambda own: fill(own, strategies), source)) as dsn:
        yield server, dsn, [strategy.value for strategy in strategies]


def bench(server: Server, dsn: str, scripts: list[Path], clients: int, *options: str) -> subprocess.Popen[str]:
    files = [part for script in scripts for part in ("-f", script)]
    return server.client("pgbench", "-n", "-T", str(SECONDS), "-c", str(clients), *options, *files, dsn)


def scripts(folder: Path, models: list[str]) -> list[Path]:
    written = []
    for model, (kind, text) in itertools.product(models, SCRIPTS.items()):
        written.append(folder / f"{kind}_{model}.sql")
        written[-1].write_text(textwrap.dedent(text.format(m=model)))
    return written


def test_moves_under_load(loaded_database: tuple[Server, str, list[str]], tmp_path: Path) -> None:
    server, dsn, models = loaded_database
    with opened(dsn) as connection:
        logged = server.log.stat().st_size
        # A new session takes long to import onnxruntime, so those that are opened for one transaction do without.
        every = scripts(tmp_path, models)
        quick = [script for script in every if not script.stem.endswith(Strategy.ONNX.value)]
        benches = [
            bench(server, dsn, every, 3, "-M", "prepared"),
            bench(server, dsn, every, 3, "-M", "simple"),
            bench(server, dsn, quick, 2, "-M", "simple", "-C"),
        ]
        moves = 0
        while any(running.poll() is None for running in benches):
            for model in models:
                if moves % 2:
                    rollback(connection, model)
                else:
                    promote(connection, model, 2)
            moves += 1
            time.sleep(EVERY)
        told = [running.communicate()[0] for running in benches]
        with server.log.open() as log:
            log.seek(logged)
            assert [line for line in log if re.search("ERROR|FATAL|PANIC", line)] == []
        for running, said in zip(benches, told, strict=True):
            assert running.returncode == 0, said
            assert "number of failed transactions: 0 " in said, said
        assert_catalog_is_whole(connection)
        answered = sum(int(re.search(r"actually processed: (\d+)", said)[1]) for said in told)  # type: ignore[index]
        mixed = value(connection, "SELECT count(*) FROM public.mixed")
    print(f"\nPostgreSQL {server.major}: {answered:,} transactions, {moves:,} moves of each model, {mixed} mixed rows")


def version_of(connection: Any, call: str) -> list[int]:
    """The versions that the scores in the single row of a query belong to; the table's first customer is scored."""
    [row] = query(connection, call)
    known = [MODELS[v].estimator.predict_proba(FRAME[NUMBERS])[0, 1] for v in (0, 1)]
    return [1 + int(np.argmin([abs(k - found) for k in known])) for found in row]


CALLS = {
    "statement": "SELECT score.{m}(c) FROM public.customers AS c WHERE c.id = $1",
    "named": "SELECT score.{m}(tenure, monthly::float8) FROM public.customers WHERE id = $1",
    "view": "SELECT score FROM public.view_{m} WHERE id = $1",
    "plpgsql": "SELECT public.asked_{m}($1)",
    "json": "SELECT pgscore.score('{m}', to_jsonb(c))::float8 FROM public.customers AS c WHERE c.id = $1",
}


def test_open_sessions_follow_the_switch(loaded_database: tuple[Server, str, list[str]]) -> None:
    """Plans that a session keeps are made anew: from its next transaction on at the latest."""
    _, dsn, models = loaded_database
    with opened(dsn) as connection, opened(dsn) as session:
        query(session, "SET plan_cache_mode = force_generic_plan")
        for model, (name, call) in itertools.product(models, CALLS.items()):
            query(session, f"PREPARE {name}_{model} (integer) AS {call.format(m=model)}")
        for expected in (1, 2, 1):
            for model in models:
                promote(connection, model, expected)
            for model, name in itertools.product(models, CALLS):
                for _ in range(2):
                    assert version_of(session, f"EXECUTE {name}_{model} (1)") == [expected], (model, name)


def test_a_statement_that_is_planned_while_a_promote_commits(loaded_database: tuple[Server, str, list[str]]) -> None:
    """Each call in it is one version's, the first and the last perhaps not the same one's; the next time all are new.

    The middle one holds up the planner, which works it out as the constant that it is.
    """
    _, dsn, models = loaded_database
    with opened(dsn) as connection, opened(dsn) as session:
        query(
            connection,
            """
            CREATE FUNCTION public.held_up(integer) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS $$
            BEGIN
                PERFORM pg_advisory_xact_lock(1);
                PERFORM FROM public.lock_of_its_own;
                RETURN 0;
            END $$;
            CREATE TABLE public.lock_of_its_own ()""",
        )
        query(session, "SET plan_cache_mode = force_generic_plan")
        for model in models:
            promote(connection, model, 1)
            call = f"score.{model}(c) + public.held_up(1), score.{model}(c)"
            query(session, f"PREPARE {model} (integer) AS SELECT {call} FROM public.customers AS c WHERE c.id = $1")
            with opened(dsn) as holder, ThreadPoolExecutor(1) as pool:
                query(holder, "SELECT pg_advisory_lock(1)")
                answer = pool.submit(version_of, session, f"EXECUTE {model} (1)")
                waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"
                while not value(holder, waits):
                    time.sleep(0.01)
                promote(connection, model, 2)
                query(holder, "SELECT pg_advisory_unlock(1)")
                assert answer.result() == [1, 2]
            assert version_of(session, f"EXECUTE {model} (1)") == [2, 2]
