"""Login roles for tests: members of pgscore's roles, gone at the end (roles belong to the whole server)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from psycopg2.extensions import make_dsn

from .tiny import opened, query


@contextmanager
def login(admin: Any, *groups: str) -> Iterator[Any]:
    """A connection to the same database, as a new role that is a member of `groups` and nothing else."""
    name = f"u_{uuid.uuid4().hex[:12]}"
    members = f" IN ROLE {', '.join(groups)}" if groups else ""
    query(admin, f"CREATE ROLE {name} LOGIN{members}")
    try:
        with opened(make_dsn(admin.dsn, user=name)) as connection:
            yield connection
    finally:
        admin.rollback()
        query(admin, f"DROP OWNED BY {name}; DROP ROLE {name}")


def name_of(connection: Any) -> str:
    """The role that the connection logged in as."""
    return str(connection.info.user)


class Cast:
    """One login role for each of pgscore's, made when first asked for, and one that has no right at all."""

    def __init__(self, admin: Any, stack: ExitStack) -> None:
        self._admin, self._stack = admin, stack
        self._made: dict[tuple[str, ...], Any] = {}

    def __call__(self, *groups: str) -> Any:
        if groups not in self._made:
            members = [f"pgscore_{group}" for group in groups]
            self._made[groups] = self._stack.enter_context(login(self._admin, *members))
        return self._made[groups]


@pytest.fixture
def admin(installed: str) -> Iterator[Any]:
    """A superuser's connection to a database with pgscore in it."""
    with opened(installed) as connection:
        yield connection


@pytest.fixture
def cast(admin: Any) -> Iterator[Cast]:
    """`cast("deployer", "promoter")` is a connection of a role that is a member of both."""
    with ExitStack() as stack:
        yield Cast(admin, stack)
