"""Databases with pgscore in them: a template is made once a session on each server, and copied for each test.

A copy takes a fiftieth of a second. Roles belong to the whole server, so tests never drop the three that install made.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import pytest

from pgscore.procedures.connection import connect
from pgscore.procedures.install import install

from .servers import Server


@contextmanager
def _maintenance(server: Server) -> Iterator[Any]:
    connection = psycopg2.connect(server.dsn())
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def template(
    server: Server,
    name: str = "pgscore_template",
    prepare: Callable[[Any], object] = install,
    source: str = "template1",
) -> str:
    """The database `name`; when it is first asked for, a copy of `source` that `prepare(connection)` has worked on."""
    with _maintenance(server) as cursor:
        cursor.execute("SELECT FROM pg_catalog.pg_database WHERE datname = %s", (name,))
        if cursor.rowcount:
            return name
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE {source}")
    connection = connect(server.dsn(name))
    try:
        prepare(connection)
    finally:
        connection.close()
    return name


@contextmanager
def copied(server: Server, source: str = "template1") -> Iterator[str]:
    """The DSN, as superuser, of a fresh copy of the database; an empty one where none is named."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    with _maintenance(server) as cursor:
        # Of files: through the WAL, as is the default, it takes half as long again.
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE {source} STRATEGY file_copy")
    try:
        yield server.dsn(name)
    finally:
        with _maintenance(server) as cursor:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def installed(server: Server) -> Iterator[str]:
    """A database with pgscore installed, on every server."""
    with copied(server, template(server)) as dsn:
        yield dsn


@pytest.fixture
def installed15(server15: Server) -> Iterator[str]:
    """A database with pgscore installed, on PostgreSQL 15."""
    with copied(server15, template(server15)) as dsn:
        yield dsn


@pytest.fixture
def installed18(server18: Server) -> Iterator[str]:
    """A database with pgscore installed, on PostgreSQL 18."""
    with copied(server18, template(server18)) as dsn:
        yield dsn
