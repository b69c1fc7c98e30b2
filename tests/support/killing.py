"""Commands of pgscore in processes that can be killed, and servers that crash and come back."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import psycopg2
import psycopg2.extensions

from pgscore.cli import run

from .servers import DEBIAN, Server

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
