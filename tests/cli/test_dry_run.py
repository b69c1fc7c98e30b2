"""`--dry-run` changes nothing and prints a script that psql runs to the same end."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import psycopg2

from .conftest import customers, pgscore, state


def run_script(dsn: str, script: str) -> None:
    """As psql, without its own commands: encoding and stopping at errors."""
    lines = [line for line in script.splitlines() if not line.startswith("\\")]
    with contextlib.closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("\n".join(lines))


def test_install(database18: str) -> None:
    before = state(database18)
    outcome = pgscore("install", "--dry-run", "--dsn", database18)
    assert outcome.code == 0
    assert state(database18) == before
    run_script(database18, outcome.out)
    assert json.loads(pgscore("list", "--json", "--dsn", database18).out) == []


def test_uninstall(shop: str) -> None:
    before = state(shop)
    outcome = pgscore("uninstall", "--dry-run")
    assert outcome.code == 0
    assert state(shop) == before
    run_script(shop, outcome.out)
    assert pgscore("list").code == 3


def test_deploy(shop: str, files: Path) -> None:
    before = state(shop)
    command = ("deploy", files / "logistic.skops", "--as", "churn", "--table", "customers", "--promote", "--dry-run")
    outcome = pgscore(*command)
    assert outcome.code == 0, outcome.err
    assert state(shop) == before
    run_script(shop, outcome.out)
    assert json.loads(pgscore("list", "--json").out)[0]["live"] == 3
    with contextlib.closing(psycopg2.connect(shop)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(score.churn(c)) FROM customers c")
        assert cursor.fetchone() == (len(customers()),)
    assert pgscore("verify", "churn@3").code == 0
