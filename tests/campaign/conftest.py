"""One connection to each server for all tests of the campaign; and what it measures, collected.

With PGSCORE_WRITE_PARITY=1, which `make parity` sets, compiler/parity.json is written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from pgscore.compiler.support import PARITY
from tests.support.databases import copied, template
from tests.support.runtime import plpython_template
from tests.support.servers import Server


@pytest.fixture(scope="session")
def connection15(server15: Server, runtime_folder: Path) -> Iterator[Any]:
    with copied(server15, plpython_template(server15, runtime_folder)) as dsn:
        yield from _opened(dsn)


@pytest.fixture(scope="session")
def connection18(server18: Server) -> Iterator[Any]:
    with copied(server18, template(server18)) as dsn:
        yield from _opened(dsn)


def _opened(dsn: str) -> Iterator[Any]:
    connection = psycopg2.connect(dsn, options="-c jit=off -c extra_float_digits=1")
    yield connection
    connection.close()


_found: dict[str, list[dict[str, Any]]] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collects the measurements of one test; with xdist, in the process that gathers all reports."""
    for name, measured in report.user_properties if report.when == "call" else ():
        if name == "parity":
            _found.setdefault(measured["estimator"], []).append(measured)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Writes the file, where it is wanted and this is no worker of xdist."""
    if os.environ.get("PGSCORE_WRITE_PARITY") != "1" or hasattr(session.config, "workerinput") or not _found:
        return
    estimators = {name: _summary(found) for name, found in sorted(_found.items())}
    PARITY.write_text(json.dumps({"estimators": estimators}, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _largest(found: list[dict[str, Any]]) -> float:
    return float(f"{max(max(measured['differences'].values()) for measured in found):.1e}")


def _summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    loosest = max(found, key=lambda measured: measured["tolerance"])
    alike = [measured for measured in found if not measured["limit"]]
    return {
        "models": len(found),
        "rows": sum(measured["rows"] for measured in found),
        "difference": _largest(alike),
        "limits": {
            limit: _largest([measured for measured in found if measured["limit"] == limit])
            for limit in sorted({measured["limit"] for measured in found} - {""})
        },
        "tolerance": loosest["tolerance"],
        "approximation": loosest["approximation"],
        "everywhere": all(measured["approximation"] for measured in found),
        "sql": all("SQL on 18" in measured["differences"] for measured in found),
    }
