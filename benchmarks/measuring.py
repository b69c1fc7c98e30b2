"""Times, percentiles and memory. Rounds are interleaved: a slow minute of the machine hits all cases alike."""

from __future__ import annotations

import contextlib
import re
import statistics
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .servers import Place

Key = TypeVar("Key", bound=Hashable)
SECONDS_OF_ROWS = 1.5
"""How long one row is asked for again and again, of each case."""
WARM_UP = 20
"""Prepared statements get their generic plan after five."""
IN_TURN = 200
"""Rows of one case before it is the next one's turn: threads of a peer's library spin on for some milliseconds."""
SAMPLE_SECONDS = 0.005


def interleaved(
    place: Place,
    calls: Mapping[Key, Callable[[], object]],
    rounds: int,
    before: Callable[[Key], object] = lambda _: None,
) -> dict[Key, float]:
    """The median seconds of each call; `before` is called each time and not timed."""
    took: dict[Key, list[float]] = {key: [] for key in calls}
    for _ in range(rounds):
        for key, call in calls.items():
            before(key)
            took[key].append(place.seconds(call))
    return {key: statistics.median(times) for key, times in took.items()}


def single_rows(
    place: Place, statements: Mapping[Key, str], n_rows: int, repeats: int
) -> dict[Key, tuple[float, float]]:
    """Median and 99th percentile in seconds of each statement, prepared, for one $1 after the other.

    They run in turns, a slow one until SECONDS_OF_ROWS are over. Each has a session of its own: a library with threads
    makes what else its process does slower from then on.
    """
    took: dict[Key, list[float]] = {key: [] for key in statements}
    with contextlib.ExitStack() as stack:
        cursors = {}
        for key, statement in statements.items():
            connection = stack.enter_context(contextlib.closing(place.connect()))
            connection.autocommit = True
            cursors[key] = stack.enter_context(connection.cursor())
            cursors[key].execute(f"PREPARE one_row (bigint) AS {statement}")
        turns = [range(first, min(first + IN_TURN, repeats)) for first in range(0, repeats, IN_TURN)]
        for rows in (range(-WARM_UP, 0), *turns):
            for key, times in took.items():
                for row in rows:
                    if sum(times) > SECONDS_OF_ROWS:
                        break
                    call = partial(_fetch, cursors[key], f"EXECUTE one_row ({row * 7919 % n_rows})")
                    elapsed = place.seconds(call)
                    if row >= 0:
                        times.append(elapsed)
    return {key: tuple(np.percentile(times, [50, 99]).tolist()) for key, times in took.items()}


def _fetch(cursor: Any, statement: str) -> None:
    cursor.execute(statement)
    cursor.fetchall()


def cold_call(place: Place, statement: str, rounds: int) -> float:
    """The median seconds of a statement that is the first of its session but for SELECT 1."""
    took = []
    for _ in range(rounds):
        with contextlib.closing(place.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            took.append(place.seconds(lambda: cursor.execute(statement)))
    return statistics.median(took)


def peak_memory(place: Place, statement: str) -> int | None:
    """The bytes of its own that a server process holds at most while it runs this first statement of a session.

    None where the server's processes cannot be seen. Buffers that all processes share do not count.
    """
    with contextlib.closing(place.connect()) as connection, connection.cursor() as cursor:
        with _sampled(connection.info.backend_pid) as samples:
            cursor.execute(statement)
        return max(samples, default=None)


@contextlib.contextmanager
def _sampled(pid: int) -> Iterator[list[int]]:
    samples: list[int] = []
    over = threading.Event()

    def sample() -> None:
        with contextlib.suppress(OSError):
            while not over.wait(SAMPLE_SECONDS):
                found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("utf-8"))
                samples.extend([int(found[1]) * 1024] if found else [])

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


def catalog_bytes(cursor: Any, functions: str) -> int:
    """What stands in the catalog, as stored: the functions of this name (LIKE) and the graphs that they run."""
    cursor.execute(
        """
        WITH own AS (SELECT p.* FROM pg_proc AS p WHERE p.proname LIKE %s AND p.pronamespace = 'score'::regnamespace)
        SELECT (SELECT sum(pg_column_size(p.prosrc) + coalesce(pg_column_size(p.prosqlbody), 0)) FROM own AS p)
             + coalesce((SELECT sum(pg_column_size(g.content)) FROM pgscore.onnx_graphs AS g
                         WHERE EXISTS (SELECT FROM own AS p WHERE strpos(p.prosrc, g.sha256) > 0)), 0)
        """,
        [functions],
    )
    return int(cursor.fetchone()[0])
