"""Runs scripts in psql, as a DBA does."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .servers import DEBIAN


def run(dsn: str, script: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """`psql -f script`, with nothing of the user's own settings."""
    return subprocess.run(
        [DEBIAN / "bin/psql", "-X", "-q", *options, "-f", script, dsn], capture_output=True, text=True, check=False
    )


def psql(dsn: str, script: str) -> subprocess.CompletedProcess[str]:
    """The same for a script that is at hand as text."""
    return subprocess.run(
        [DEBIAN / "bin/psql", "-X", "-q", "-f", "-", dsn], input=script, capture_output=True, text=True, check=False
    )


def done(dsn: str, script: Path, *options: str) -> str:
    """What a script prints that must succeed without a word on stderr."""
    ran = run(dsn, script, *options)
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stderr
    return ran.stdout


def failed(dsn: str, script: Path, *options: str) -> str:
    """The error of a script that must fail with psql's exit code for that."""
    ran = run(dsn, script, *options)
    assert (ran.returncode, ran.stdout) == (3, ""), ran
    return ran.stderr
