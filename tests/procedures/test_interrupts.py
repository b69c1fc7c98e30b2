"""A long scoring ends soon after PostgreSQL wants it to, with PostgreSQL's own error, and the session goes on."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from ..support.hostile_graphs import ENDLESS, parsed
from ..support.scoring import add_graph, connect
from ..support.servers import DEBIAN

SECONDS = 10.0
"""Far more than it takes, on any machine."""

ROW = "SELECT pgscore.onnx_row('{}', ARRAY[1.0])"
BATCH = "SELECT pgscore.onnx_batch('{}', ARRAY[[1.0], [2.0]], 0)"
MANY_ROWS = "SELECT sum((pgscore.onnx_row('{}', ARRAY[i]))[1]) FROM generate_series(1.0, 1e9) AS i"
MANY_BATCHES = """
    SELECT sum((pgscore.onnx_batch('{}', ARRAY[[i]]::float8[], 0))[1])
    FROM generate_series(1.0, 1e9) AS i"""
LARGE_BATCH = """
    SELECT pgscore.onnx_batch('{}', array_agg(ARRAY[i]::float8[]), 0)
    FROM generate_series(1, 100000) AS i"""

SLOW = "".join(f"a{i + 1} = Sin(a{i}) " for i in range(3000)).replace("a0", "x") + "y = Neg(a3000)"
"""Some milliseconds for a row, and some seconds for 100,000."""


@pytest.fixture
def admin(with_plpython: str) -> Iterator[Any]:
    connection = connect(with_plpython)
    with connection.cursor() as cursor:
        yield cursor
    connection.close()


@pytest.fixture
def scorer(with_plpython: str, admin: Any) -> Iterator[Any]:
    """A session that has loaded the libraries. After the test it still scores."""
    good = ROW.format(add_graph(admin, parsed("y = Neg(x)")))
    connection = connect(with_plpython)
    with connection.cursor() as cursor:
        cursor.execute(good)
        yield cursor
        if not connection.closed:
            cursor.execute("SET statement_timeout = 0")
            cursor.execute(good)
            assert cursor.fetchone() == ([-1.0],)
    connection.close()


@contextmanager
def ended(error: type[psycopg2.Error], message: str) -> Iterator[None]:
    """The block ends in time, with this error of PostgreSQL."""
    started = time.monotonic()
    with pytest.raises(error, match=message) as caught:
        yield
    assert time.monotonic() - started < SECONDS
    assert "pgscore." not in (caught.value.diag.message_primary or "")


def wait_until_it_runs(admin: Any, backend: int) -> None:
    """Until the session is in a statement that scores, for a moment already."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        admin.execute(
            "SELECT FROM pg_stat_activity WHERE pid = %s AND state = 'active' AND query LIKE '%%pgscore.onnx%%' "
            "AND query_start < clock_timestamp() - interval '0.3 s'",
            (backend,),
        )
        if admin.rowcount:
            return
        time.sleep(0.02)
    raise AssertionError("the statement did not start")


@pytest.mark.parametrize("query", [ROW, BATCH], ids=["row", "batch"])
@pytest.mark.parametrize("content", ENDLESS.values(), ids=ENDLESS)
def test_statement_timeout_ends_a_run_without_end(admin: Any, scorer: Any, content: bytes, query: str) -> None:
    endless = query.format(add_graph(admin, content))
    scorer.execute("SET statement_timeout = '200ms'")
    with ended(psycopg2.errors.QueryCanceled, "canceling statement due to statement timeout"):
        scorer.execute(endless)


@pytest.mark.parametrize("query", [MANY_ROWS, MANY_BATCHES, LARGE_BATCH], ids=["rows", "batches", "one batch"])
def test_statement_timeout_ends_many_runs(admin: Any, scorer: Any, query: str) -> None:
    many = query.format(add_graph(admin, parsed(SLOW)))
    scorer.execute(ROW.format(add_graph(admin, parsed(SLOW))))
    scorer.execute("SET statement_timeout = '200ms'")
    with ended(psycopg2.errors.QueryCanceled, "canceling statement due to statement timeout"):
        scorer.execute(many)


@pytest.mark.parametrize(
    ("call", "end"),
    [
        ("pg_cancel_backend", (psycopg2.errors.QueryCanceled, "canceling statement due to user request")),
        ("pg_terminate_backend", (psycopg2.OperationalError, "server closed the connection")),
    ],
)
@pytest.mark.parametrize("query", [ROW, BATCH], ids=["row", "batch"])
def test_cancel_and_terminate(
    admin: Any, scorer: Any, query: str, call: str, end: tuple[type[psycopg2.Error], str]
) -> None:
    endless = query.format(add_graph(admin, ENDLESS["its condition stays true"]))
    backend = scorer.connection.info.backend_pid
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(scorer.execute, endless)
        wait_until_it_runs(admin, backend)
        admin.execute(f"SELECT {call}(%s)", (backend,))
        with ended(*end):
            running.result()
    admin.execute("SELECT 1")  # a crash would have ended all sessions


def test_control_c_in_psql(admin: Any, scorer: Any, with_plpython: str) -> None:
    endless = ROW.format(add_graph(admin, ENDLESS["a choice in each turn"]))
    good = ROW.format(add_graph(admin, parsed("y = Neg(x)")))
    command = [str(DEBIAN / "bin/psql"), "-X", "-q", "-A", "-t", with_plpython]
    script = f"SELECT pg_backend_pid();\n{endless};\n{good};\n"
    with subprocess.Popen([*command, "-f", "-"], stdin=-1, stdout=-1, stderr=-1, text=True) as psql:
        assert psql.stdin is not None
        assert psql.stdout is not None
        psql.stdin.write(script)
        psql.stdin.flush()
        wait_until_it_runs(admin, int(psql.stdout.readline()))
        psql.send_signal(signal.SIGINT)
        out, err = psql.communicate(timeout=60)
    assert "canceling statement due to user request" in err
    assert out in ("", "{-1}\n")  # psql may give up the rest of the script


def test_an_interrupt_while_a_graph_loads(admin: Any, scorer: Any) -> None:
    """The statement ends, nothing half loaded is kept, and the next one loads the graph."""
    content = parsed(SLOW.replace("Sin", "Neg"))
    query = ROW.format(add_graph(admin, content))
    scorer.execute("SET statement_timeout = '20ms'")
    with ended(psycopg2.errors.QueryCanceled, "canceling statement due to statement timeout"):
        scorer.execute(query)
    scorer.execute("SET statement_timeout = 0")
    scorer.execute(query)
    assert scorer.fetchone() == ([-1.0],)


def test_other_threads_get_no_signals(admin: Any, scorer: Any) -> None:
    """PostgreSQL's handlers run in its own thread, whatever threads the libraries start; those of guards are gone."""
    unsteady = "b = Cast<to = 9>(x) i = NonZero(b) s = Shape(i) d = Cast<to = 11>(s) m = ReduceMin(d) y = Add(x, m)"
    query = ROW.format(add_graph(admin, parsed(unsteady)))
    for _ in range(20):
        scorer.execute(query)
    backend = scorer.connection.info.backend_pid
    blocked = {}
    for task in Path(f"/proc/{backend}/task").iterdir():
        status = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
        blocked[int(task.name)] = int(status["SigBlk"], 16)
    del blocked[backend]
    wanted = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGALRM, signal.SIGURG}
    for mask in blocked.values():
        assert all(mask & 1 << (number - 1) for number in wanted)
    assert len(blocked) <= 2
