"""What goes wrong in a run, by no fault of pgscore: each has a state that says so, and the old predictions stay."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from pgscore.errors import PgscoreError
from pgscore.procedures.connection import connect
from pgscore.procedures.refresh import Freshness, run_job, status

from ..conftest import require
from ..support.databases import copied, template
from ..support.incremental import another, incremental, truth
from ..support.refreshing import churn_job, connection, fetch, fill, run
from ..support.servers import Server
from ..support.tablespaces import may_mount, small_tablespace

__all__ = ["connection"]

MODES = pytest.mark.parametrize("mode", ["full", "incremental"])
PREDICTIONS = "SELECT id, score, model_version, scored_at FROM scores ORDER BY id"


@MODES
def test_a_full_disk(server15: Server, mode: str) -> None:
    require(may_mount(), "needs the right to mount a tmpfs")
    with (
        small_tablespace(server15, 2) as resize,
        copied(server15, template(server15, "pgscore_refresh", fill, template(server15))) as dsn,
    ):
        connection = connect(f"{dsn}&options=-cdefault_tablespace%3Dsmall")
        try:
            churn_job(connection, mode=mode)
            run_job(connection, "daily")
            before = fetch(connection, PREDICTIONS)
            run(
                connection,
                "INSERT INTO customers SELECT region, id + 3000 * i, tenure, charge, plan"
                " FROM customers, generate_series(1, 20) AS i",
            )
            with pytest.raises(PgscoreError, match="No space left on device"):
                run_job(connection, "daily")
            assert "No space left on device" in str(failed(connection).error)
            assert fetch(connection, PREDICTIONS) == before
            resize(64)
            finishes(connection)
        finally:
            connection.close()


@MODES
def test_a_cancelled_statement(connection: Any, mode: str) -> None:
    job(connection, mode)
    before = fetch(connection, PREDICTIONS)
    run(connection, "UPDATE customers SET tenure = 3 WHERE id < 100")
    raised: list[PgscoreError] = []

    def refresh(runner: Any) -> None:
        try:
            run_job(runner, "daily")
        except PgscoreError as error:
            raised.append(error)

    with another(connection) as runner, another(connection) as holder, holder.cursor() as cursor:
        cursor.execute("LOCK TABLE customers")
        running = threading.Thread(target=refresh, args=(runner,))
        running.start()
        cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = {}"
        while not fetch(connection, cancel.format(runner.info.backend_pid)):
            time.sleep(0.01)
        running.join(60)
        holder.rollback()
    assert "canceling statement due to user request" in str(raised[0])
    assert "canceling statement due to user request" in str(failed(connection).error)
    assert fetch(connection, PREDICTIONS) == before
    finishes(connection)


@MODES
def test_a_column_that_the_source_has_lost(connection: Any, mode: str) -> None:
    run(connection, "CREATE TABLE people (LIKE customers); INSERT INTO people TABLE customers")
    job(connection, mode, source="people")
    before = fetch(connection, PREDICTIONS)
    run(connection, "ALTER TABLE people DROP COLUMN charge; UPDATE people SET tenure = 3 WHERE id < 100")
    with pytest.raises(PgscoreError, match="people has no column charge, which churn_v1 reads"):
        run_job(connection, "daily")
    assert "people has no column charge, which churn_v1 reads" in str(failed(connection).error)
    assert fetch(connection, PREDICTIONS) == before
    run(connection, "ALTER TABLE people ADD COLUMN charge float8")
    finishes(connection, "people")


def job(connection: Any, mode: str, **options: Any) -> None:
    """The job `daily`, which has run once."""
    if mode == "incremental":
        incremental(connection, **options)
    else:
        churn_job(connection, **options)
    run_job(connection, "daily")


def failed(connection: Any) -> Freshness:
    (job,) = status(connection)
    assert (job.state, job.fresh) == ("failed", False)
    return job


def finishes(connection: Any, source: str = "customers") -> None:
    """The next run is good."""
    run_job(connection, "daily")
    truth(connection, source)
    assert [job.state for job in status(connection)] == ["fresh"]
