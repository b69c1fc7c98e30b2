"""Full runs that swap, beside readers and other runs, killed and cancelled: whole states, nothing left over."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from pgscore.errors import PgscoreError
from pgscore.procedures import lifecycle
from pgscore.procedures.freshness import runs
from pgscore.procedures.refresh import drop_job, run_job
from pgscore.procedures.uninstall import uninstall

from ..support.incremental import another
from ..support.refreshing import (
    N,
    churn_job,
    connection,
    connection15,
    connection18,
    fetch,
    run,
)
from ..support.swapping import LEFT_OVER, swapped, truth

__all__ = ["connection", "connection15", "connection18"]

# Readers.


def test_a_reader_with_an_older_snapshot_never_finds_an_empty_table(connection: Any) -> None:
    """Its transaction is waited for; when it does not end, the difference is written."""
    churn_job(connection)
    swapped(connection)
    lifecycle.promote(connection, "churn", 2)
    run(connection, "SET pgscore.writes = 'swap'; SET lock_timeout = '300ms'")
    with another(connection) as reader, reader.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT 1")
        result = run_job(connection, "daily")
        assert (result.written, result.because) == (
            "difference",
            "a transaction stays open that began before the new rows were there",
        )
        cursor.execute("SELECT count(*), min(model_version), max(model_version) FROM scores")
        assert cursor.fetchall() == [(N, 1, 1)]
        reader.commit()
        # One that only stands idle, with no snapshot, is in nobody's way.
        cursor.execute("SELECT 1")
        lifecycle.promote(connection, "churn", 1)
        assert run_job(connection, "daily").written == "swap"
    truth(connection)
    assert fetch(connection, LEFT_OVER) == []


def test_a_reader_that_does_not_end_is_not_queued_behind_for_longer_than_lock_timeout(connection: Any) -> None:
    churn_job(connection)
    swapped(connection)
    lifecycle.promote(connection, "churn", 2)
    run(connection, "SET pgscore.writes = 'swap'; SET lock_timeout = '300ms'")
    with another(connection) as reader, reader.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM scores")
        # Its snapshot is gone, its lock is not.
        result = run_job(connection, "daily")
        assert (result.written, result.because) == ("difference", "others held the table all the time")
        reader.commit()
    truth(connection, 2)
    assert fetch(connection, LEFT_OVER) == []


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ"])
def test_readers_see_whole_states_only(connection: Any, isolation: str) -> None:
    """Each read is of all rows and one version, in whatever transaction; in an older one, of what was there before."""
    churn_job(connection)
    swapped(connection)
    stop = threading.Event()
    wrong: list[Any] = []
    reads = [0]

    def read(pause: float) -> None:
        with another(connection) as reader, reader.cursor() as cursor:
            while not stop.is_set():
                cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
                cursor.execute("SELECT 1")
                time.sleep(pause)
                cursor.execute("SELECT count(*), min(model_version), max(model_version) FROM scores")
                ((count, first, last),) = cursor.fetchall()
                reads[0] += 1
                if count != N or first != last:
                    wrong.append((count, first, last))
                reader.commit()

    threads = [threading.Thread(target=read, args=(pause,)) for pause in (0, 0.003, 0.02)]
    for thread in threads:
        thread.start()
    try:
        run(connection, "SET pgscore.writes = 'swap'")
        how = set()
        for turn in range(12):
            lifecycle.promote(connection, "churn", 2 - turn % 2)
            how.add(run_job(connection, "daily").written)
            if wrong:
                break
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert how == {"swap"}
    assert reads[0] > 50


# Killed runs.


def test_killed_between_its_two_transactions(connection: Any) -> None:
    """The old rows stay, and what was built goes with the next run, or with the job."""
    churn_job(connection)
    swapped(connection)
    for ends in ("run", "uninstall" if connection.info.server_version > 160000 else "drop"):
        lifecycle.promote(connection, "churn", 2)
        with another(connection) as reader, another(connection) as runner:
            run(reader, "SET default_transaction_isolation = 'repeatable read'")
            reading = reader.cursor()
            reading.execute("SELECT 1")
            run(runner, "SET pgscore.writes = 'swap'; SET lock_timeout = '20s'")
            errors: list[BaseException] = []

            def runs_it(runner: Any = runner, errors: list[BaseException] = errors) -> None:
                try:
                    run_job(runner, "daily")
                except PgscoreError as error:
                    errors.append(error)

            thread = threading.Thread(target=runs_it)
            thread.start()
            while not fetch(connection, LEFT_OVER):
                time.sleep(0.01)
            run(connection, f"SELECT pg_terminate_backend({runner.info.backend_pid})")
            thread.join(20)
            assert len(errors) == 1
            reader.rollback()
        truth(connection)
        assert len(fetch(connection, LEFT_OVER)) == 1
        assert len(fetch(connection, "SELECT relation FROM pgscore.builds")) == 1
        if ends == "run":
            swapped(connection)
            truth(connection, 2)
            lifecycle.promote(connection, "churn", 1)
            swapped(connection)
        elif ends == "drop":
            drop_job(connection, "daily")
            assert fetch(connection, "SELECT count(*) FROM pgscore.builds") == [(0,)]
        else:
            uninstall(connection)
        assert fetch(connection, LEFT_OVER) == []


def test_a_cancel_while_it_waits_takes_along_what_was_built(connection: Any) -> None:
    churn_job(connection)
    swapped(connection)
    lifecycle.promote(connection, "churn", 2)
    with another(connection) as reader, another(connection) as runner:
        run(reader, "SET default_transaction_isolation = 'repeatable read'")
        with reader.cursor() as cursor:
            cursor.execute("SELECT 1")
            run(runner, "SET pgscore.writes = 'swap'; SET lock_timeout = '20s'; SET statement_timeout = '2s'")
            with pytest.raises(PgscoreError, match="statement timeout"):
                run_job(runner, "daily")
    truth(connection)
    assert fetch(connection, LEFT_OVER) == []
    assert [one.state for one in runs(connection, "daily", 9)] == ["failed", "done"]
    swapped(connection)
    truth(connection, 2)


def test_another_run_while_it_waits_is_not_overwritten(connection: Any) -> None:
    churn_job(connection)
    swapped(connection)
    lifecycle.promote(connection, "churn", 2)
    # The runner stops between its two transactions, where it holds no lock.
    with another(connection) as runner, another(connection) as holder, holder.cursor() as cursor:
        lock = "PERFORM pgscore.lock_job(job, run_id);"
        whole = fetch(connection, "SELECT pg_get_functiondef('pgscore.run_job'::regproc)")[0][0]
        assert whole.count(lock) == 1
        run(
            connection,
            whole.replace(
                lock,
                "IF built AND current_setting('test.waits', true) = 'yes' THEN"
                " PERFORM pg_advisory_xact_lock(77); END IF;" + lock,
            ),
        )
        run(runner, "SET pgscore.writes = 'swap'; SET test.waits = 'yes'")
        cursor.execute("SELECT pg_advisory_xact_lock(77)")
        errors: list[BaseException] = []

        def runs_it() -> None:
            try:
                run_job(runner, "daily")
            except PgscoreError as error:
                errors.append(error)

        thread = threading.Thread(target=runs_it)
        thread.start()
        while not fetch(connection, "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
            time.sleep(0.01)
        lifecycle.promote(connection, "churn", 1)
        run_job(connection, "daily")
        holder.rollback()
        thread.join(20)
    assert "built beside public.scores is gone" in str(errors[0]) or "came between" in str(errors[0])
    truth(connection)
    assert fetch(connection, LEFT_OVER) == []
