"""Real PostgreSQL servers that the tests start and stop: Debian's 15 with PL/Python, and the embedded 18."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pgscore import embedded

DEBIAN = Path("/usr/lib/postgresql/15")


@dataclass(frozen=True)
class Server:
    """A running server. `dsn` connects as the superuser `postgres` to the maintenance database."""

    major: int
    host: str
    port: int
    plpython: bool

    def dsn(self, database: str = "postgres", user: str = "postgres") -> str:
        return f"postgresql://{user}@/{database}?host={self.host}&port={self.port}"


def debian_is_complete() -> bool:
    """Whether Debian's PostgreSQL 15, with PL/Python, is here."""
    return (DEBIAN / "bin/initdb").exists() and (DEBIAN / "lib/plpython3.so").exists()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def debian15(*settings: str) -> Iterator[Server]:
    """Debian's PostgreSQL 15 on a free port and a socket in a temporary folder; `settings` as in postgresql.conf."""
    folder = Path(tempfile.mkdtemp(prefix="pgscore-15-"))
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    data, port = folder / "data", _free_port()

    def run(*command: str) -> None:
        subprocess.run(command, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL, env={"LC_ALL": "C.UTF-8"})

    run(f"{DEBIAN}/bin/initdb", "-D", str(data), "-U", "postgres", "--auth=trust", "--no-sync", "--encoding=UTF8")
    lines = [
        "fsync = off",
        "listen_addresses = ''",
        f"unix_socket_directories = '{folder}'",
        f"port = {port}",
        *settings,
    ]
    with (data / "postgresql.conf").open("a") as conf:
        conf.write("\n".join(lines) + "\n")
    run(f"{DEBIAN}/bin/pg_ctl", "-D", str(data), "-w", "-l", str(folder / "log"), "start")
    try:
        yield Server(15, str(folder), port, plpython=True)
    finally:
        run(f"{DEBIAN}/bin/pg_ctl", "-D", str(data), "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def embedded18() -> Iterator[Server]:
    """The embedded PostgreSQL 18 in a temporary folder."""
    with embedded.server() as uri:
        host = uri.split("host=")[1]
        yield Server(18, host, 5432, plpython=False)
