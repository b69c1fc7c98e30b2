"""Tablespaces that fill up."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import psycopg2
import pytest

from .servers import Server


@contextmanager
def small_tablespace(server: Server, megabytes: int) -> Iterator[Callable[[int], None]]:
    """A tablespace `small` on a file system of its own, of so many megabytes; skips where none can be mounted.

    What it yields gives it another size.
    """
    folder = tempfile.mkdtemp(prefix="pgscore-small-", dir="/tmp")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0777", "tmpfs", folder]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        shutil.rmtree(folder)
        pytest.skip("needs the right to mount a tmpfs")
    try:
        with closing(psycopg2.connect(server.dsn())) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                place = os.path.join(folder, "space")
                os.mkdir(place)
                owner = os.stat(server.data)
                os.chown(place, owner.st_uid, owner.st_gid)
                cursor.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
                yield lambda size: resize(folder, size)
                cursor.execute("DROP TABLESPACE small")
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        shutil.rmtree(folder)


def resize(folder: str, megabytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={megabytes}m", folder], check=True)
