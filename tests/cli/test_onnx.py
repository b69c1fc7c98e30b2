"""ONNX from the shell: the runtime folder, the PL/Python functions, a deploy and a refresh that run in them."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import psycopg2
import pytest

from tests.support.servers import Server

from .conftest import JOB, customers, pgscore


def test_from_deploy_to_refresh(with_plpython: str, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSCORE_DSN", with_plpython)
    with contextlib.closing(psycopg2.connect(with_plpython)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE customers (customer_id int PRIMARY KEY, tenure int, charges float8, plan text)")
        rows = io.StringIO(customers().to_csv(index=False, header=False))
        cursor.copy_expert("COPY customers FROM STDIN (FORMAT csv)", rows)
    file = files / "forest.skops"
    command = ("deploy", file, "--as", "churn", "--table", "customers", "--strategy", "onnx", "--json")
    deployed = json.loads(pgscore(*command).out)
    assert (deployed["strategy"], deployed["promoted"]) == ("onnx", True)
    assert deployed["parity"]["real_rows"] == len(customers())
    assert pgscore("refresh", "create", "churn_daily", *JOB).code == 0
    assert json.loads(pgscore("refresh", "run", "churn_daily", "--json").out)["rows"] == len(customers())
    assert pgscore("verify", "churn", "--model", file).code == 0


def test_runtime_install_again_changes_nothing(server15: Server, runtime_folder: Path) -> None:
    outcome = pgscore("runtime", "install", "--target", runtime_folder, "--json")
    assert outcome.code == 0
    assert json.loads(outcome.out)["installed"] is False
    assert f"--runtime {runtime_folder}" in pgscore("runtime", "install", "--target", runtime_folder).out


def test_runtime_install_spares_other_files(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    outcome = pgscore("runtime", "install", "--target", tmp_path)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert (tmp_path / "precious.txt").read_text() == "mine"
