"""Commands of pgscore in processes that can be killed, and servers that crash and come back."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions

from pgscore.cli import run
from pgscore.procedures.connection import connect

from .servers import DEBIAN, Server
from .tiny import query

# Forked from a process that has imported it all: a child is there in some milliseconds.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        __name__,
        "pgscore.procedures.deploy",
        "pgscore.compiler.load",
        "onnxruntime",
        "pandas",
        "pydantic.json_schema",  # which typer imports when it is first called
        "pydantic.type_adapter",
        "skops.io",
        "sklearn.linear_model",
    ]
)


def started(arguments: list[str], errors: Path, statements: int | None = None) -> BaseProcess:
    """The command in a process of its own, which writes its stderr to the file.

    After so many `statements` it kills itself, as it is about to send the next one.
    """
    process = _FORKS.Process(target=_command, args=(arguments, errors, statements), daemon=True)
    process.start()
    return process


def _command(arguments: list[str], errors: Path, statements: int | None) -> None:
    if statements is not None:
        left = iter(range(statements))

        class Cursor(psycopg2.extensions.cursor):  # type: ignore[misc]
            def execute(self, *given: object) -> None:
                if next(left, None) is None:
                    os.kill(os.getpid(), signal.SIGKILL)
                super().execute(*given)

        psycopg2.connect = partial(psycopg2.connect, cursor_factory=Cursor)
    with errors.open("w") as file, Path(os.devnull).open("w") as nothing:
        os.dup2(file.fileno(), 2)
        os.dup2(nothing.fileno(), 1)
        sys.exit(run(arguments))


@dataclass
class Commands:
    """Commands on one database, each in a process of its own; to be killed, with what works for it."""

    server: Server
    dsn: str
    folder: Path
    connection: Any
    """Lives as long as the server."""

    def start(self, *arguments: str, statements: int | None = None) -> BaseProcess:
        address = ["--dsn", f"{self.dsn}&application_name=victim"]
        return started([*arguments, *address], self.errors, statements)

    @property
    def errors(self) -> Path:
        return self.folder / "stderr"

    def complete(self, *arguments: str) -> float:
        """Runs a command to its end, which must be good; the seconds that it took."""
        begun = time.perf_counter()
        process = self.start(*arguments)
        process.join(60)
        assert process.exitcode == 0, self.errors.read_text()
        return time.perf_counter() - begun

    def kill(self, what: str, after: float, *arguments: str) -> None:
        """Starts a command, and kills it, its backend, or the server under it, so many seconds later.

        When this returns, nothing works for it any more.
        """
        process = self.start(*arguments)
        time.sleep(after)
        if what == "client":
            process.kill()
        elif what == "server":
            kill_postmaster(self.server)
        else:
            for backend in self.backends()[:1]:
                with contextlib.suppress(ProcessLookupError):  # it has ended just now
                    os.kill(backend, signal.SIGKILL)
                    self.wait_for_the_crash()
        process.join(60)
        if what != "client":
            wait_until_back(self.dsn)
            self.connection.close()
            self.connection = connect(self.dsn)
            if process.exitcode != 0:
                # What the server says while psycopg2 connects, libpq prints by itself.
                said = [line for line in self.errors.read_text().splitlines() if not line.startswith("FATAL: ")]
                assert (process.exitcode, len(said)) == (3, 1), said
        self.wait()

    def wait_for_the_crash(self) -> None:
        """Until the server has noticed that one of its processes was killed: it ends all others then.

        Not for long: the process may have been about to end by itself.
        """
        with contextlib.suppress(psycopg2.Error):
            for _ in range(200):
                query(self.connection, "SELECT")
                time.sleep(0.01)

    def wait(self) -> None:
        """Until nothing in the server works for a command."""
        while self.backends():
            time.sleep(0.01)

    def backends(self) -> list[int]:
        """The processes in the server that work for a command."""
        return [
            pid
            for (pid,) in query(
                self.connection,
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'victim' ORDER BY backend_start",
            )
        ]


def kill_postmaster(server: Server) -> None:
    """SIGKILL, and a new start: the others of its processes see that it is gone, and end."""
    postmaster = int((server.data / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGKILL)
    command = [DEBIAN / "bin/pg_ctl", "-D", server.data, "-w", "-l", server.log, "start"]
    user = "postgres" if os.geteuid() == 0 else None
    for _ in range(100):
        # It refuses to start while an old process still uses the shared memory.
        if not subprocess.run(command, user=user, cwd=server.data, capture_output=True, check=False).returncode:
            return
        time.sleep(0.1)
    raise AssertionError(f"the server did not come back: {server.log.read_text()[-2000:]}")


def wait_until_back(dsn: str) -> None:
    """Until the server lets one in again."""
    for _ in range(300):
        try:
            with closing(psycopg2.connect(dsn)):
                return
        except psycopg2.OperationalError:
            time.sleep(0.05)
    raise AssertionError("the server did not come back")
