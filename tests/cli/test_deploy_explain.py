"""`pgscore deploy --explain` and `pgscore check` say what each use costs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pgscore.errors import ServerError

from .conftest import pgscore


def test_deploy_says_what_it_estimates_and_what_it_measured(shop: str, files: Path) -> None:
    call = ("deploy", files / "logistic.skops", "--as", "explained", "--table", "customers")
    told = pgscore(*call, "--explain")
    assert told.code == 0, told.err
    lines = {line.split("  ")[0]: line for line in told.out.splitlines()}
    assert "measured" in lines["use"]
    for use in ("query", "refresh", "one row"):
        assert " sql " in lines[use]
    said = json.loads(pgscore(*call, "--explain", "--json").out)
    assert set(said["uses"]) == set(said["estimates"]) == set(said["measured"]) == {"query", "refresh", "one row"}
    assert set(said["estimates"]["query"]) == {"sql", "plpgsql"}
    quiet = json.loads(pgscore(*call, "--json").out)
    assert quiet["measured"] == {}
    dry = json.loads(pgscore(*call, "--explain", "--dry-run", "--json").out)
    assert dry["measured"] == {}
    assert dry["estimates"] == said["estimates"]


def test_a_deploy_does_not_fail_for_what_it_cannot_measure(
    shop: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ServerError("too slow")

    monkeypatch.setattr("pgscore.procedures.timing.measured", fails)
    told = pgscore("deploy", files / "logistic.skops", "--as", "explained", "--table", "customers", "--explain")
    assert told.code == 0
    assert "what it costs is not measured: too slow" in told.err
    assert "Deployed explained version 1" in told.out


def test_check_estimates_each_use(files: Path) -> None:
    told = pgscore("check", files / "forest.skops")
    assert "one row" in told.out
    said = json.loads(pgscore("check", files / "forest.skops", "--json").out)
    assert set(said["estimates"]["refresh"]) == {"sql", "plpgsql", "onnx"}
