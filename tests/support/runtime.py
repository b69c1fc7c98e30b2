"""The folder with numpy and onnxruntime for Debian's PL/Python, installed once and kept between sessions."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgscore.procedures.install import install
from pgscore.procedures.runtime_install import install_runtime

from .databases import copied, template
from .servers import Server


@pytest.fixture(scope="session")
def runtime_folder() -> Path:
    """PGSCORE_TEST_RUNTIME, else a folder of the system's temporary one, which the server's user can enter."""
    folder = Path(os.environ.get("PGSCORE_TEST_RUNTIME") or Path(tempfile.gettempdir(), "pgscore-test-runtime"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Several processes of pytest-xdist come here at the same time.
    with folder.with_name(folder.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return install_runtime(folder).folder


@pytest.fixture
def with_plpython(server15: Server, runtime_folder: Path) -> Iterator[str]:
    """The DSN, as superuser, of a database with pgscore and its PL/Python functions."""

    def prepare(connection: object) -> None:
        install(connection, plpython=True, runtime=runtime_folder)

    with copied(server15, template(server15, "pgscore_plpython", prepare)) as dsn:
        yield dsn
