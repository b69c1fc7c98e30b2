"""Sessions that deploy, promote, roll back and drop at once: one after the other, without error, and all recorded."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import psycopg2
import pytest

from pgscore.compiler.artifact import Strategy
from pgscore.errors import InvalidNameError, NotFoundError, PgscoreError, RefusedError
from pgscore.procedures import contention
from pgscore.procedures.connection import is_contention
from pgscore.procedures.deploy import deploy
from pgscore.procedures.lifecycle import drop, history, promote, rollback, show
from pgscore.procedures.refresh import create_job, run_job

from ..support.servers import Server
from ..support.tiny import FRAME, NUMBERS, classifier, make_customers, opened, query, value
from ..support.versions import MODELS, answers, moving, three_versions
from ..support.whole import assert_catalog_is_whole

ROUNDS = 3


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """How slow the machine is must not decide."""
    monkeypatch.setattr(contention, "PATIENCE", 120.0)


@pytest.fixture
def dsn(server: Server) -> Iterator[str]:
    with three_versions(server) as dsn:
        yield dsn


@pytest.fixture
def connection(dsn: str) -> Iterator[Any]:
    with opened(dsn) as connection:
        yield connection


def at_once(dsn: str, *works: Callable[[Any], object]) -> list[Any]:
    """Runs each work on a connection of its own, all from the same moment on; gives their results or raises."""
    barrier = threading.Barrier(len(works))

    def run(work: Callable[[Any], object]) -> object:
        with opened(dsn) as own:
            barrier.wait()
            return work(own)

    with ThreadPoolExecutor(len(works)) as pool:
        return [done.result() for done in [pool.submit(run, work) for work in works]]


@contextmanager
def while_it_waits(dsn: str, work: Callable[[Any], object]) -> Iterator[Callable[[], Any]]:
    """Starts `work` on a connection of its own and goes on when it waits for a lock; the callable gives its result."""
    with opened(dsn) as own, opened(dsn) as watching, ThreadPoolExecutor(1) as pool:
        done = pool.submit(work, own)
        waits = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
        while not done.done() and not value(watching, waits, (own.info.backend_pid,)):
            time.sleep(0.01)
        assert not done.done(), done.result()
        yield done.result


def moves(connection: Any, alias: str = "live") -> list[tuple[int | None, int | None]]:
    return [(e.from_version, e.to_version) for e in history(connection, "churn") if e.alias == alias]


def unless(pattern: str, work: Callable[[Any], object]) -> Callable[[Any], None]:
    """The work, which may be refused for this one reason."""

    def run(connection: Any) -> None:
        try:
            work(connection)
        except PgscoreError as error:
            if not re.search(pattern, str(error)):
                raise

    return run


roll_back_if_there_is_a_way = unless("no earlier version", lambda own: rollback(own, "churn"))


def grant(connection: Any) -> None:
    """As an administrator would, who has to try again: PostgreSQL lets one of two sessions that meet here fail."""
    for _ in range(20):
        try:
            query(connection, "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA score TO pg_monitor")
        except psycopg2.Error as error:
            if not is_contention(error):
                raise
        time.sleep(0.01)


def test_deploys_and_moves_at_once(connection: Any, dsn: str) -> None:
    create_job(connection, "daily", model="churn", source="public.customers", keys=["id"], target="public.scores")
    models = dict(enumerate(MODELS, start=1))
    chance = random.Random(5)

    def new_version(promoted: bool) -> Callable[[Any], object]:
        model = classifier(chance.uniform(0.001, 1))

        def work(own: Any) -> None:
            models[deploy(own, model, name="churn", table="customers", promote=promoted).version] = model

        return work

    def to(version: int) -> Callable[[Any], object]:
        return lambda own: promote(own, "churn", version)

    for _ in range(ROUNDS):
        at_once(
            dsn,
            new_version(True),
            new_version(False),
            *(to(chance.choice([1, 2, 3])) for _ in range(5)),
            *[roll_back_if_there_is_a_way] * 5,
            grant,
            lambda own: run_job(own, "daily"),
        )
        assert_catalog_is_whole(connection)
        live = models[show(connection, "churn").version]
        np.testing.assert_allclose(moving(connection), live.estimator.predict_proba(FRAME[NUMBERS])[:, 1], rtol=1e-9)
    assert len(models) == len(MODELS) + 2 * ROUNDS


def test_drops_and_promotes_at_once(connection: Any, dsn: str) -> None:
    drop_if_not_live = unless("2 of churn is in use: it is live|with a version 2", lambda own: drop(own, "churn", 2))
    promote_if_there = unless("no version 2", lambda own: promote(own, "churn", 2))
    for _ in range(ROUNDS):
        at_once(dsn, *[drop_if_not_live, promote_if_there] * 3, roll_back_if_there_is_a_way)
        assert_catalog_is_whole(connection)


def test_different_models_at_once(connection: Any, dsn: str) -> None:
    def life_of(name: str) -> Callable[[Any], object]:
        def work(own: Any) -> None:
            for model in MODELS[:2]:
                deploy(own, model, name=name, table="customers")
            promote(own, name, 2)
            drop(own, name, 1)

        return work

    at_once(dsn, *(life_of(name) for name in ("amber", "beryl", "coral", "drift")))
    assert_catalog_is_whole(connection)
    drops = [lambda own, name=name: drop(own, name) for name in ("amber", "beryl", "coral", "drift")]
    at_once(dsn, *drops, life_of("ember"))
    assert_catalog_is_whole(connection)
    assert query(connection, "SELECT model FROM pgscore.model_overview ORDER BY 1") == [("churn",), ("ember",)]


def test_two_first_promotes_of_an_alias(connection: Any, dsn: str) -> None:
    with connection, connection.cursor() as cursor, ExitStack() as stack:
        cursor.execute("SELECT pgscore.promote('churn', 2, 'champion')")
        second = stack.enter_context(while_it_waits(dsn, lambda own: promote(own, "churn", 3, alias="champion")))
        connection.commit()
        assert second() == 2
    assert moves(connection, "champion") == [(None, 2), (2, 3)]
    assert_catalog_is_whole(connection)


def test_two_drops_of_a_version(connection: Any, dsn: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pgscore.drop_version('churn', 3)")
        with while_it_waits(dsn, lambda own: drop(own, "churn", 3)) as second:
            connection.commit()
            with pytest.raises(NotFoundError, match="no model 'churn' with a version 3"):
                second()
    assert_catalog_is_whole(connection)


def test_two_new_models_whose_function_names_would_meet(connection: Any, dsn: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO pgscore.models (name, last_version) VALUES ('tier', 0)")
        with while_it_waits(dsn, lambda own: deploy(own, MODELS[0], name="tier_v2", table="customers")) as second:
            # Another model is held up by neither.
            with opened(dsn) as third:
                deploy(third, MODELS[0], name="tiers", table="customers")
            connection.commit()
            with pytest.raises(InvalidNameError, match="tier_v2 would share function names with model tier"):
                second()


def test_readers_wait_for_no_promote(connection: Any, dsn: str) -> None:
    with connection.cursor() as cursor, opened(dsn) as reader:
        query(reader, "SET lock_timeout = 100")
        cursor.execute("SELECT pgscore.promote('churn', 2)")
        np.testing.assert_allclose(moving(reader), answers(1), rtol=1e-12)
        connection.commit()
        np.testing.assert_allclose(moving(reader), answers(2), rtol=1e-12)


def short_lock_timeout(connection: Any) -> None:
    for function in ("promote(text, integer, text, text)", "rollback(text, text, text)"):
        query(connection, f"ALTER FUNCTION pgscore.{function} SET lock_timeout = '200ms'")


@contextmanager
def alias_held(dsn: str) -> Iterator[Any]:
    """A session that holds the alias until it is committed."""
    with opened(f"{dsn}&application_name=night_job") as holder, holder.cursor() as cursor:
        cursor.execute("SELECT FROM pgscore.aliases FOR UPDATE")
        yield holder


def test_a_lock_timeout_is_tried_again(connection: Any, dsn: str) -> None:
    short_lock_timeout(connection)
    with alias_held(dsn) as holder, ThreadPoolExecutor(1) as pool:
        promoted = pool.submit(promote, connection, "churn", 2)
        time.sleep(0.6)
        holder.commit()
        assert promoted.result() == 1


def test_patience_ends_and_the_session_in_the_way_is_named(
    connection: Any, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_lock_timeout(connection)
    monkeypatch.setattr(contention, "PATIENCE", 0.5)
    with alias_held(dsn) as holder:
        for move in (lambda: promote(connection, "churn", 2), lambda: rollback(connection, "churn")):
            with pytest.raises(RefusedError) as caught:
                move()
            process = f"(process {holder.info.backend_pid}, night_job, idle in transaction)"
            assert str(caught.value).endswith(f"try again later; it waited for {process}")
    assert promote(connection, "churn", 2) == 1


def test_a_transaction_of_the_callers_is_not_tried_again(connection: Any, dsn: str) -> None:
    """Its first part would be lost."""
    short_lock_timeout(connection)
    with alias_held(dsn):
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE public.mine ()")
        with pytest.raises(RefusedError, match="holds a lock"):
            promote(connection, "churn", 2)
    assert value(connection, "SELECT to_regclass('public.mine') IS NULL")


def test_a_deploy_does_not_compare_again_because_of_a_lock(connection: Any, dsn: str) -> None:
    short_lock_timeout(connection)
    told: list[str] = []
    with alias_held(dsn) as holder:
        timer = threading.Timer(0.6, holder.commit)

        def progress(message: str) -> None:
            told.append(message)
            if message.startswith("recording"):
                timer.start()

        done = deploy(connection, MODELS[1], name="churn", table="customers", promote=True, progress=progress)
        timer.join()
    assert (done.version, show(connection, "churn").version) == (4, 4)
    assert sum(message.startswith("comparing") for message in told) == 1
    assert_catalog_is_whole(connection)


def test_a_grant_that_meets_a_promote(connection: Any, dsn: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("GRANT EXECUTE ON FUNCTION score.churn(public.customers) TO pg_monitor")
        with while_it_waits(dsn, lambda own: promote(own, "churn", 2)) as promoted:
            connection.commit()
            assert promoted() == 1
    granted = "SELECT has_function_privilege('pg_monitor', 'score.churn(public.customers)', 'EXECUTE')"
    assert value(connection, granted)
    assert_catalog_is_whole(connection)


def test_a_deadlock_is_tried_again(connection: Any, dsn: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL deadlock_timeout = '1min'")  # the other one is the victim
        cursor.execute("GRANT EXECUTE ON FUNCTION score.churn(public.customers) TO pg_monitor")
        with while_it_waits(dsn, lambda own: promote(own, "churn", 2)) as promoted:
            cursor.execute("SELECT FROM pgscore.aliases FOR UPDATE")
            connection.commit()
            assert promoted() == 1


def test_serializable_sessions(connection: Any, dsn: str) -> None:
    name = value(connection, "SELECT current_database()::text")
    query(connection, f"ALTER DATABASE {name} SET default_transaction_isolation = serializable")
    at_once(dsn, *(lambda own, version=version: promote(own, "churn", version) for version in [2, 3] * 3))
    assert_catalog_is_whole(connection)


@pytest.fixture
def with_graphs(with_plpython: str) -> Iterator[tuple[Any, str]]:
    """Two models that share one ONNX graph."""
    with opened(with_plpython) as connection:
        make_customers(connection)
        for name in ("amber", "beryl"):
            for model in MODELS[:2]:
                deploy(connection, model, name=name, table="customers", strategy=Strategy.ONNX, promote=True)
        assert value(connection, "SELECT count(*) FROM pgscore.onnx_graphs") == 2
        yield connection, with_plpython


def test_a_drop_leaves_the_graph_that_a_deploy_counts_on(with_graphs: tuple[Any, str]) -> None:
    connection, dsn = with_graphs
    with opened(dsn) as other:

        def progress(message: str) -> None:
            if message.startswith("comparing"):
                for name in ("amber", "beryl"):
                    drop(other, name, 1)

        deploy(connection, MODELS[0], name="coral", table="customers", strategy=Strategy.ONNX, progress=progress)
    assert_catalog_is_whole(connection)
    np.testing.assert_allclose(
        [row[0] for row in query(connection, "SELECT score.coral(c) FROM customers c ORDER BY id")],
        answers(1),
        rtol=1e-9,
    )


def test_two_drops_that_share_a_graph_leave_no_orphan(with_graphs: tuple[Any, str]) -> None:
    connection, dsn = with_graphs
    with connection.cursor() as cursor:
        cursor.execute("SELECT pgscore.drop_version('amber', 1)")
        with while_it_waits(dsn, lambda own: drop(own, "beryl", 1)) as second:
            connection.commit()
            second()
    assert_catalog_is_whole(connection)
    assert value(connection, "SELECT count(*) FROM pgscore.onnx_graphs") == 1
