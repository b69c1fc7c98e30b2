"""numpy and onnxruntime from the runtime folder, and what to say where they are missing."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import os
import platform
import signal
import stat
import sys
from collections.abc import Iterator
from typing import Any

LIBRARIES = ("numpy", "onnxruntime")
_SIGNALS = signal.valid_signals()


class ScoringError(Exception):
    """Why a graph could not be loaded or run. The message holds no value of a row."""


# PL/Python prints an exception with its module: `pgscore.ScoringError: …`.
ScoringError.__module__ = "pgscore"


@contextlib.contextmanager
def signals_blocked() -> Iterator[None]:
    """Within, signals wait; a thread started within never gets one.

    PostgreSQL's handlers must run in its own thread: in another one they would set flags that nobody is woken up for.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def load(folder: str) -> None:
    """Imports the libraries from `folder`, which other PL/Python functions of the session do not get to see.

    Raises ScoringError if they are not there or not for this Python, or if others than the folder's owner may change
    it: what it holds runs with the rights of the server.
    """
    if os.path.isdir(folder) and os.stat(folder).st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ScoringError(f"{folder} may be written to by others than its owner: chmod go-w {folder}")
    sys.path.insert(0, folder)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # else numpy starts a thread for each core
    try:
        with signals_blocked():
            for name in LIBRARIES:
                importlib.import_module(name)
    except Exception as error:
        raise ScoringError(
            f"cannot import numpy and onnxruntime from {folder} in Python {platform.python_version()} "
            f"({type(error).__name__}); on the server run: pgscore runtime install --target {folder}"
        ) from error
    finally:
        sys.path.remove(folder)


def describe(folder: str) -> dict[str, Any]:
    """The server's Python and the libraries in `folder`; `problem` is null where scoring can start."""
    installed = {
        distribution.metadata["Name"]: distribution.version
        for distribution in importlib.metadata.distributions(path=[folder])
    }
    try:
        load(folder)
        problem = None
    except ScoringError as error:
        problem = str(error)
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "folder": folder,
        "libraries": {name: installed.get(name) for name in LIBRARIES},
        "problem": problem,
    }
