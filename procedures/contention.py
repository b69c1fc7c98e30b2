"""Waiting for other sessions: short transactions that run again while others are in their way.

promote, rollback and the drops wait at most lock_timeout for a lock (docs/sql.md). Under psql that is all; from Python
they try again, so that a moment's contention is not an error.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import psycopg2

from pgscore.errors import PgscoreError, RefusedError

from .connection import Connection, is_contention

T = TypeVar("T")

PATIENCE = 15.0
"""Seconds after which no further attempt begins."""

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
"""Seconds between attempts: doubled each time, and moved by chance, so that two sessions do not meet again."""

LOOK_EVERY = 0.1
"""Seconds between two looks at who is in the way."""


def retried(
    connection: Connection, scope: Callable[[Connection], AbstractContextManager[Any]], work: Callable[[Any], T]
) -> T:
    """`work(cursor)` within `scope(connection)`; again, for PATIENCE seconds, where another session was in the way.

    `scope` is `transaction`, or within one `savepoint`: it undoes the attempt that failed. Raises RefusedError in the
    end, with the sessions that were waited for where they can be seen.
    """
    deadline = time.monotonic() + PATIENCE
    pause = FIRST_PAUSE
    with contextlib.ExitStack() as stack:
        watch: _Watch | None = None
        while True:
            try:
                with scope(connection) as cursor:
                    return work(cursor)
            except PgscoreError as error:
                if not isinstance(error.__cause__, psycopg2.Error) or not is_contention(error.__cause__):
                    raise
                if time.monotonic() > deadline:
                    seen = watch.seen if watch else ""
                    raise RefusedError(f"{error}{seen and f'; it waited for {seen}'}") from error.__cause__
            watch = watch or stack.enter_context(_Watch(connection))
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 (no secret)
            pause = min(2 * pause, LONGEST_PAUSE)


class _Watch:
    """Looks, from a connection of its own, at the sessions that `connection` waits for.

    Only while a session waits can another one see for whom. Where there is no second connection, nothing is seen.
    """

    def __init__(self, connection: Connection) -> None:
        self.seen = ""
        self._given = {**connection.info.dsn_parameters, "password": connection.info.password or None}
        self._watched = connection.info.backend_pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pgscore-watch", daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        with contextlib.suppress(psycopg2.Error):
            connection = psycopg2.connect(**self._given)
            with contextlib.closing(connection), connection.cursor() as cursor:
                connection.autocommit = True
                while not self._ended.wait(LOOK_EVERY):
                    # state is NULL for who may not see it.
                    cursor.execute(
                        """
                        SELECT concat_ws(', ', 'process ' || a.pid, nullif(a.application_name, ''), a.state)
                        FROM unnest(pg_catalog.pg_blocking_pids(%s)) AS b (pid)
                        JOIN pg_catalog.pg_stat_activity AS a ON a.pid = b.pid
                        ORDER BY a.pid
                        """,
                        (self._watched,),
                    )
                    self.seen = "; ".join(f"({row[0]})" for row in cursor.fetchall()) or self.seen
