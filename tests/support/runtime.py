"""The folder with numpy and onnxruntime for Debian's PL/Python, installed once in each run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgscore.procedures.install import install
from pgscore.procedures.runtime_install import install_runtime

from .databases import copied, template
from .servers import Server


@pytest.fixture(scope="session")
def runtime_folder() -> Iterator[Path]:
    """A folder that the server's user can enter, made anew in each run: what is installed is tested too."""
    parent = Path(tempfile.mkdtemp(prefix="pgscore-runtime-"))
    parent.chmod(0o755)
    yield install_runtime(parent / "runtime").folder
    shutil.rmtree(parent)


def plpython_template(server: Server, folder: Path) -> str:
    """The name of a database with pgscore and its PL/Python functions, to be copied."""
    return template(server, "pgscore_plpython", lambda connection: install(connection, plpython=True, runtime=folder))


@pytest.fixture
def with_plpython(server15: Server, runtime_folder: Path) -> Iterator[str]:
    """The DSN, as superuser, of a database with pgscore and its PL/Python functions."""
    with copied(server15, plpython_template(server15, runtime_folder)) as dsn:
        yield dsn
