"""Databases with pgscore in them: a template is installed once a session on each server, and copied for each test.

A copy takes a tenth of a second. Roles belong to the whole server, so tests never drop the three that install made.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import pytest

from pgscore.procedures.connection import connect
from pgscore.procedures.install import install

from .servers import Server

_TEMPLATE = "pgscore_template"


@contextmanager
def _maintenance(server: Server) -> Iterator[Any]:
    connection = psycopg2.connect(server.dsn())
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def template(server: Server) -> str:
    """The name of the database with pgscore installed, made when it is first asked for."""
    with _maintenance(server) as cursor:
        cursor.execute("SELECT FROM pg_catalog.pg_database WHERE datname = %s", (_TEMPLATE,))
        if cursor.rowcount:
            return _TEMPLATE
        cursor.execute(f"CREATE DATABASE {_TEMPLATE}")
    connection = connect(server.dsn(_TEMPLATE))
    try:
        install(connection)
    finally:
        connection.close()
    return _TEMPLATE


@contextmanager
def installed_database(server: Server) -> Iterator[str]:
    """The DSN, as superuser, of a fresh database with pgscore installed."""
    source, name = template(server), f"t_{uuid.uuid4().hex[:12]}"
    with _maintenance(server) as cursor:
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE {source}")
    try:
        yield server.dsn(name)
    finally:
        with _maintenance(server) as cursor:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def installed(server: Server) -> Iterator[str]:
    """A database with pgscore installed, on every server."""
    with installed_database(server) as dsn:
        yield dsn


@pytest.fixture
def installed15(server15: Server) -> Iterator[str]:
    """A database with pgscore installed, on PostgreSQL 15."""
    with installed_database(server15) as dsn:
        yield dsn


@pytest.fixture
def installed18(server18: Server) -> Iterator[str]:
    """A database with pgscore installed, on PostgreSQL 18."""
    with installed_database(server18) as dsn:
        yield dsn
