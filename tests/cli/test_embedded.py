"""`--dsn embedded`: a private server for the time of the command, whose data stay."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import pgscore


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    # Not tmp_path: as root, the server's own user must be able to enter every folder above.
    with tempfile.TemporaryDirectory(prefix="pgscore-embedded-") as folder:
        path = Path(folder) / "data"
        monkeypatch.setenv("PGSCORE_EMBEDDED_DIR", str(path))
        yield path


def test_the_data_stay_and_the_server_stops(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pgscore("list", "--dsn", "embedded").code == 3
    assert pgscore("install", "--dsn", "embedded").out == "Installed pgscore.\n"
    assert not (directory / "postmaster.pid").exists()
    monkeypatch.setenv("PGSCORE_DSN", "embedded")
    outcome = pgscore("list", "--json")
    assert outcome.code == 0, outcome
    assert json.loads(outcome.out) == []


def test_a_folder_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PGSCORE_EMBEDDED_DIR", str(tmp_path / "file"))
    outcome = pgscore("list", "--dsn", "embedded")
    assert outcome.code == 3
    assert outcome.err.count("\n") == 1
