"""Tablespaces that fill up."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import psycopg2

from .servers import Server


def may_mount() -> bool:
    """Whether this process may mount file systems."""
    with tempfile.TemporaryDirectory() as folder:
        may = os.geteuid() == 0 and not _mount(folder, 1).returncode
        if may:
            subprocess.run(["umount", folder], check=True)
        return may


@contextmanager
def small_tablespace(server: Server, megabytes: int) -> Iterator[Callable[[int], None]]:
    """A tablespace `small` on a file system of its own, of so many megabytes.

    What it yields gives it another size.
    """
    folder = tempfile.mkdtemp(prefix="pgscore-small-")
    _mount(folder, megabytes).check_returncode()
    try:
        with closing(psycopg2.connect(server.dsn())) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                place = os.path.join(folder, "space")
                os.mkdir(place)
                owner = os.stat(server.data)
                os.chown(place, owner.st_uid, owner.st_gid)
                cursor.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
                yield lambda size: _mount(folder, size, "remount").check_returncode()
                cursor.execute("DROP TABLESPACE small")
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        shutil.rmtree(folder)


def _mount(folder: str, megabytes: int, *options: str) -> subprocess.CompletedProcess[bytes]:
    command = ["mount", "-t", "tmpfs", "-o", ",".join([*options, f"size={megabytes}m", "mode=0777"]), "tmpfs", folder]
    return subprocess.run(command, capture_output=True, check=False)
