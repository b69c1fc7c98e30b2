"""The runtime folder: numpy and onnxruntime for the Python that PL/Python runs, apart from all other packages.

PL/Python uses the Python that PostgreSQL was built with, for Debian's packages /usr/bin/python3. The folder belongs to
whoever installs it; the server only reads it, and no other PL/Python function gets to see it.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pgscore.errors import ServerError, UsageError

SERVER_PYTHON = Path("/usr/bin/python3")

# 1.32.0 and 2.4.6 are the versions that scoring was measured and compared with. For Python 3.10 the last that exist.
# Older than 1.22, onnxruntime lacks the tree operator in double; older than 3.10, Python has no such onnxruntime.
PINS: tuple[tuple[tuple[int, int], Mapping[str, str]], ...] = (
    ((3, 11), {"numpy": "2.4.6", "onnxruntime": "1.32.0"}),
    ((3, 10), {"numpy": "2.2.6", "onnxruntime": "1.23.2"}),
)
"""From which Python on, which versions; the first that fits."""

_ABOUT = "import json, sys; print(json.dumps([sys.version_info[:2], sys.implementation.name]))"
_IMPORT = "import sys; sys.path.insert(0, sys.argv[1]); import numpy, onnxruntime"


@dataclass(frozen=True)
class RuntimeInfo:
    """A runtime folder: for which Python, what is in it, and whether this call installed it or found it complete."""

    folder: Path
    python: str
    libraries: Mapping[str, str]
    installed: bool


def install_runtime(
    target: Path, *, python: Path | None = None, progress: Callable[[str], None] = lambda _: None
) -> RuntimeInfo:
    """Installs numpy and onnxruntime into `target` for `python`, the one that PL/Python runs (None: Debian's).

    Does nothing where the same versions are there and can be imported. Else the new folder takes the old one's place at
    once; sessions that have loaded the old libraries keep them. Only wheels are installed: nothing is built, and no
    package's code runs. `pgscore.runtime_info()` shows the version of the server's Python.

    Raises UsageError if `python` or `target` cannot be used, and ServerError if pip fails or the import does.
    """
    target = target.absolute()
    python = python or SERVER_PYTHON
    version = _version(python)
    label = ".".join(map(str, version))
    pins = next((pins for oldest, pins in PINS if version >= oldest), None)
    if pins is None:
        raise UsageError(f"{python} is Python {label}; onnxruntime needs 3.10 or newer")
    if _importable(python, target) and _versions(target) == pins:
        progress(f"{target} holds {_words(pins)} for Python {label}")
        return RuntimeInfo(target, label, pins, installed=False)
    _check_replaceable(target)
    progress(f"installing {_words(pins)} for Python {label} into {target}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise UsageError(f"cannot write to {target.parent}: {error.strerror}") from None
    try:
        _pip(python, label, [f"{name}=={pin}" for name, pin in pins.items()], new)
        _make_readable(new)
        if not _importable(python, new):
            raise ServerError(f"Python {label} ({python}) cannot import what pip installed; is it the server's Python?")
        _replace(target, new)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    for folder in _closed(target):
        progress(
            f"the server's user may not be able to enter {folder}: its mode is {stat.S_IMODE(folder.stat().st_mode):o}"
        )
    return RuntimeInfo(target, label, pins, installed=True)


def _version(python: Path) -> tuple[int, int]:
    try:
        done = subprocess.run([python, "-I", "-c", _ABOUT], check=True, capture_output=True, text=True)  # noqa: S603
        (major, minor), implementation = json.loads(done.stdout)
    except (OSError, subprocess.CalledProcessError, ValueError):
        raise UsageError(f"{python} is no Python; name the one that the server's PL/Python runs") from None
    if implementation != "cpython":
        raise UsageError(f"{python} is {implementation}; PL/Python runs CPython")
    return major, minor


def _importable(python: Path, folder: Path) -> bool:
    return _run([python, "-I", "-c", _IMPORT, folder]).returncode == 0


def _versions(folder: Path) -> dict[str, str]:
    return {d.metadata["Name"]: d.version for d in importlib.metadata.distributions(path=[str(folder)])}


def _words(pins: Mapping[str, str]) -> str:
    return " and ".join(f"{name} {pin}" for name, pin in pins.items())


def _check_replaceable(target: Path) -> None:
    """Only a runtime folder or an empty one is replaced: a mistyped path must not cost anybody their files."""
    if not target.exists():
        return
    if not target.is_dir():
        raise UsageError(f"{target} is no folder")
    if any(target.iterdir()) and "onnxruntime" not in _versions(target):
        raise UsageError(f"{target} holds other files; name a folder of its own")


def _pip(python: Path, label: str, requirements: Sequence[str], folder: Path) -> None:
    """Through that Python's own pip, else through ours, which can install for another version."""
    arguments = ["install", "--target", str(folder), "--no-deps", "--only-binary", ":all:", "--quiet", "--no-input"]
    if _run([python, "-I", "-m", "pip", "--version"]).returncode == 0:
        command: list[str | Path] = [python, "-I", "-m", "pip", *arguments]
    elif _run([sys.executable, "-m", "pip", "--version"]).returncode == 0:
        command = [sys.executable, "-m", "pip", *arguments, "--python-version", label]
    else:
        raise ServerError(f"neither {python} nor pgscore's own Python has pip; install python3-pip")
    done = _run([*command, *requirements])
    if done.returncode:
        reasons = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["no reason given"]
        raise ServerError(f"pip could not install {' '.join(requirements)} for Python {label}: {reasons[-1]}")


def _run(command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    # Not from the current folder: a file there named numpy.py would be imported.
    return subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)  # noqa: S603


def _make_readable(folder: Path) -> None:
    """Everybody may read, nobody else may write, whatever the umask is."""
    for root, _, names in os.walk(folder):
        Path(root).chmod(0o755)
        for name in names:
            path = Path(root, name)
            path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)


def _replace(target: Path, new: Path) -> None:
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
    try:
        if target.exists():
            target.rename(old / target.name)
        new.rename(target)
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _closed(folder: Path) -> list[Path]:
    """The folders above that other users cannot enter."""
    return [parent for parent in folder.parents if not parent.stat().st_mode & stat.S_IXOTH]
