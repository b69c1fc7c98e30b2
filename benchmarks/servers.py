"""The server that the benchmarks start for themselves, in memory where there is room."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import make_dsn

from pgscore.procedures.connection import connect
from pgscore.procedures.install import install
from pgscore.procedures.runtime_install import install_runtime
from tests.support import servers

# Vacuuming is done between measurements, and so are checkpoints, behind which no log is kept: it may lie in memory.
SETTINGS = (
    "shared_buffers = 2GB", "max_wal_size = 16GB", "wal_recycle = off", "autovacuum = off", "checkpoint_timeout = 1h",
)  # fmt: skip
SESSION = "-c jit=off -c max_parallel_workers_per_gather=0 -c work_mem=64MB"
"""One core for each query, so that µs per row are of one core; jobs run as the server has them."""


@dataclass(frozen=True)
class Place:
    """A server with pgscore. `folder` is readable by the server; `plpython` says whether ONNX runs there.

    With `postmaster`, its process id, what is measured is not the time that passes but the processor time that this
    process and the server take.
    """

    dsn: str
    folder: Path
    plpython: bool
    name: str
    postmaster: int | None = None

    def seconds(self, call: Callable[[], object]) -> float:
        """How long it takes."""
        if self.postmaster is None:
            started = time.perf_counter()
            call()
            return time.perf_counter() - started
        # Looking takes time of ours, so it is outside.
        of_server = _processor_seconds(self.postmaster)
        started = time.process_time()
        call()
        of_ours = time.process_time() - started
        return of_ours + _processor_seconds(self.postmaster) - of_server

    def connect(self) -> Any:
        """A new session as the superuser, with the settings of SESSION."""
        return psycopg2.connect(self.dsn, options=SESSION)

    def alone(self, statement: str) -> None:
        """Runs a statement that may be in no transaction, such as VACUUM."""
        with contextlib.closing(self.connect()) as connection:
            connection.autocommit = True
            connection.cursor().execute(statement)

    def database(self, name: str, *, plpython: bool) -> Place:
        """A new database of the same server, with pgscore."""
        self.alone(f"CREATE DATABASE {name}")
        made = replace(self, dsn=make_dsn(self.dsn, dbname=name), plpython=plpython)
        made.install()
        return made

    def install(self) -> None:
        """Installs pgscore."""
        runtime = install_runtime(self.folder / "runtime").folder if self.plpython else None
        with contextlib.closing(connect(self.dsn)) as connection:
            install(connection, plpython=self.plpython, runtime=runtime)


def _processor_seconds(postmaster: int) -> float:
    """What the server's processes have computed: those that run, and those that have ended."""
    running = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text("ascii").split()
    total = 0.0
    for pid in (str(postmaster), *running):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            total += int(Path(f"/proc/{pid}/schedstat").read_text("ascii").split()[0]) / 1e9
    fields = Path(f"/proc/{postmaster}/stat").read_text("ascii").rpartition(")")[2].split()
    ended = int(fields[13]) + int(fields[14])  # cutime and cstime of proc(5)
    return total + ended / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def started(*, processor_time: bool) -> Iterator[Place]:
    """Debian's PostgreSQL 15 with PL/Python; where it is not here, the embedded 18, which has none."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pgscore-bench-")))
        folder.chmod(0o755)
        plpython = servers.debian_is_complete()
        server = stack.enter_context(servers.debian15(*SETTINGS) if plpython else servers.embedded18())
        postmaster = int((server.data / "postmaster.pid").read_text("ascii").split()[0]) if processor_time else None
        place = Place(server.dsn(), folder, plpython, f"PostgreSQL {server.major}", postmaster)
        place.install()
        yield place
