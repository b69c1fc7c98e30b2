"""pgscore.session_cache_mb: which graphs a session keeps. The catalog is emptied, so that only kept ones score."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from ..support.hostile_graphs import parsed
from ..support.scoring import add_graph, connect

GRAPHS = [parsed(f"w = Constant<value = double[1] {{{value}.0}}>() y = Mul(x, w)") for value in (1, 2, 3)]


@pytest.fixture
def admin(with_plpython: str) -> Iterator[Any]:
    connection = connect(with_plpython)
    with connection.cursor() as cursor:
        yield cursor
    connection.close()


def kept(admin: Any, dsn: str, setting: str = "SELECT 1") -> list[bool]:
    """Which of three graphs a new session can still score, after it has scored all of them."""
    names = [add_graph(admin, content) for content in GRAPHS]
    found = []
    connection = connect(dsn)
    with connection.cursor() as cursor:
        cursor.execute(setting)
        for sha256 in names:
            cursor.execute(f"SELECT pgscore.onnx_row('{sha256}', ARRAY[1.0])")
        admin.execute("DELETE FROM pgscore.onnx_graphs")
        for sha256 in names:
            try:
                cursor.execute(f"SELECT pgscore.onnx_row('{sha256}', ARRAY[2.0])")
                found.append(True)
            except psycopg2.errors.RaiseException:
                found.append(False)
    connection.close()
    return found


def test_its_default_keeps_them(admin: Any, with_plpython: str) -> None:
    assert kept(admin, with_plpython) == [True, True, True]
    assert kept(admin, with_plpython, "SET pgscore.session_cache_mb = 1; RESET pgscore.session_cache_mb") == [True] * 3


def test_none_but_the_last(admin: Any, with_plpython: str) -> None:
    assert kept(admin, with_plpython, "SET pgscore.session_cache_mb = 0") == [False, False, True]


def test_for_a_database(admin: Any, with_plpython: str) -> None:
    admin.execute("SELECT current_database()")
    (database,) = admin.fetchone()
    admin.execute(f"ALTER DATABASE {database} SET pgscore.session_cache_mb = 0")
    assert kept(admin, with_plpython) == [False, False, True]


@pytest.mark.parametrize("setting", ["-1", "256MB", "many", "1234567"])
def test_what_is_no_number_of_megabytes(admin: Any, with_plpython: str, setting: str) -> None:
    with pytest.raises(psycopg2.errors.InvalidParameterValue, match="no whole number of megabytes"):
        kept(admin, with_plpython, f"SET pgscore.session_cache_mb = '{setting}'")
