"""The contract with a DBA, in pgTAP: pgtap/*.sql run with psql, and each line `not ok` is a failure of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pgscore.procedures.deploy import deploy

from ..support.databases import copied, template
from ..support.psql import psql
from ..support.servers import Server
from ..support.tiny import classifier, make_customers, query, regressor

FILES = sorted((Path(__file__).parent / "pgtap").glob("*.sql"))
LINE = re.compile(r"(not ok|ok) (\d+)(?: - (.*))?((?:\n#.*)*)")


def prepare(connection: Any) -> None:
    make_customers(connection)
    deploy(connection, classifier(), name="churn", table="customers")
    deploy(connection, classifier(0.01), name="churn", table="customers", promote=True)
    deploy(connection, regressor(), name="other", table="customers")
    query(connection, "CREATE EXTENSION pgtap")


@pytest.fixture
def database(server15: Server) -> Iterator[str]:
    with copied(server15, template(server15, "pgscore_pgtap", prepare, template(server15))) as dsn:
        yield dsn


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_contract(database: str, file: Path, subtests: pytest.Subtests) -> None:
    script = f"\\set ON_ERROR_STOP on\n\\pset tuples_only on\n\\pset format unaligned\n{file.read_text()}"
    ran = psql(database, script)
    assert ran.returncode == 0, ran.stderr
    lines = LINE.findall(ran.stdout)
    assert lines
    assert f"1..{len(lines)}" in ran.stdout.splitlines()
    for state, number, says, detail in lines:
        with subtests.test(f"{number} {says}"):
            assert state == "ok", detail
