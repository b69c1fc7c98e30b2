"""A full run that several connections score, on one exported snapshot (sql/33_parallel.sql)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Self

import psycopg2
from psycopg2.extensions import make_dsn

from pgscore.errors import PgscoreError, RefusedError

from .connection import Connection, connect, pinned, transaction

PARTS = 4
"""Parts of the source for each connection: the last ones to end are not long alone."""


def run_in_parallel(
    connection: Connection, job: str, jobs: int, progress: Callable[[str], None]
) -> tuple[int, int, int, int, int, int, int, str, str]:
    """Runs a job that `jobs` connections score; what pgscore.refresh gives, how the target was written, and why so.

    No other run of the job gets in between: the session of `connection` has its lock until the end. A failure leaves
    nothing of what was scored. Raises RefusedError where another run is going on, or the job takes no parallel run.
    """
    with _alone(connection, job):
        try:
            with _Workers(connection, job, jobs, progress) as workers:
                with transaction(connection) as cursor, pinned(cursor):
                    cursor.execute("SELECT pgscore.begin_parts(%s)", [job])
                    (built,) = cursor.fetchone()
                rows = _score(connection, job, workers)
            progress(f"writing {job}")
            done = None
            with transaction(connection) as cursor:
                with pinned(cursor):
                    cursor.execute("SELECT pgscore.end_parts(%s, %s)", [job, rows])
                    cursor.execute("SELECT set_config('pgscore.in_chunks', 'on', true)")
                if not built:
                    cursor.execute("CALL pgscore.refresh(%s, beside => true)", [job])
                    done = cursor.fetchone()[:7]
            with transaction(connection) as cursor, pinned(cursor):
                if done is None or done[0] is None:
                    cursor.execute("SELECT * FROM pgscore.write_built(%s)", [job])
                    done = cursor.fetchone()
                cursor.execute("SELECT w.written, w.because FROM pgscore.writing_of(%s, %s) AS w", [job, done[0]])
                return (*done, *cursor.fetchone())
        except BaseException:
            with suppress(psycopg2.Error, PgscoreError), transaction(connection) as cursor, pinned(cursor):
                cursor.execute("SELECT pgscore.end_chunks(%s), pgscore.drop_build(%s)", [job, job])
            raise


@contextmanager
def _alone(connection: Connection, job: str) -> Iterator[None]:
    """Holds the job's lock, which outlives transactions; the end of a session releases its own."""
    key = "hashtext('pgscore.refresh'), it.job_id) FROM pgscore.job_of(%s) AS it"
    with transaction(connection) as cursor, pinned(cursor):
        cursor.execute(f"SELECT pg_try_advisory_lock({key}", [job])
        if not cursor.fetchone()[0]:
            raise RefusedError(f"refresh job {job} is running already; wait for it to end")
    try:
        yield
    finally:
        with suppress(psycopg2.Error, PgscoreError), transaction(connection) as cursor, pinned(cursor):
            cursor.execute(f"SELECT pg_advisory_unlock({key}", [job])


def _score(connection: Connection, job: str, workers: _Workers) -> int:
    """Scores all parts; how many rows they have."""
    with transaction(connection) as cursor:
        # The snapshot lasts as long as this transaction, which does nothing meanwhile.
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        with pinned(cursor):
            cursor.execute("SELECT pg_export_snapshot()")
            (snapshot,) = cursor.fetchone()
            cursor.execute("SELECT pgscore.parts_of(%s, %s)", [job, workers.n * PARTS])
            conditions = [condition for (condition,) in cursor.fetchall()]
        return workers.score(snapshot, conditions)


class _Workers:
    """Connections that take part after part until none is left; the first that fails ends the others.

    They open, and load the model's graph, while the run begins.
    """

    def __init__(self, connection: Connection, job: str, n: int, progress: Callable[[str], None]) -> None:
        self.address = make_dsn(**connection.get_dsn_parameters(), password=connection.info.password or None)
        self.job = job
        self.n = n
        self.progress = progress
        self.snapshot = ""
        self.total = 0
        self.parts: SimpleQueue[tuple[int, str]] = SimpleQueue()
        self.connections: list[Connection] = []
        self.begun, self.stopped = threading.Event(), threading.Event()
        self.threads = ThreadPoolExecutor(n)
        self.working: list[Future[int]] = []

    def __enter__(self) -> Self:
        self.working = [self.threads.submit(self._work) for _ in range(self.n)]
        return self

    def __exit__(self, *_: object) -> None:
        # Also where the user interrupts, or the run did not begin.
        if not all(one.done() for one in self.working):
            self._stop()
        self.threads.shutdown()

    def score(self, snapshot: str, conditions: list[str]) -> int:
        """How many rows they scored. Raises what the first failed with."""
        self.snapshot, self.total = snapshot, len(conditions)
        for part in enumerate(conditions, start=1):
            self.parts.put(part)
        self.begun.set()
        done, _ = wait(self.working, return_when=FIRST_EXCEPTION)
        for one in done:
            one.result()
        return sum(one.result() for one in self.working)

    def _stop(self) -> None:
        self.stopped.set()
        self.begun.set()
        for connection in list(self.connections):
            with suppress(psycopg2.Error):
                connection.cancel()

    def _work(self) -> int:
        """How many rows this one scored."""
        connection = connect(self.address)
        self.connections.append(connection)
        rows = 0
        try:
            with transaction(connection) as cursor, pinned(cursor):
                cursor.execute(
                    "SELECT pgscore.warm_up(format('%%s@%%s', j.model, j.alias)) FROM pgscore.job_of(%s) AS j",
                    [self.job],
                )
            self.begun.wait()
            while not self.stopped.is_set():
                try:
                    number, condition = self.parts.get_nowait()
                except Empty:
                    break
                self.progress(f"scoring {self.job}, part {number} of {self.total}")
                with transaction(connection) as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                    cursor.execute("SET TRANSACTION SNAPSHOT %s", [self.snapshot])
                    with pinned(cursor):
                        cursor.execute(
                            "SELECT set_config('statement_timeout', l.statement_timeout, true)"
                            " FROM pgscore.limits_of(%s) AS l WHERE l.statement_timeout IS NOT NULL",
                            [self.job],
                        )
                        cursor.execute(
                            "SELECT rows FROM pgscore.score_part(%s, %s, NULL, %s)", [self.job, number, condition]
                        )
                        rows += cursor.fetchone()[0]
            return rows
        finally:
            connection.close()
