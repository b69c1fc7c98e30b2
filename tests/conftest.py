"""Servers and fresh databases for the tests.

`server` runs a test on every server that is here; `server15` and `server18` on one. `database` is a new, empty database
on `server`, dropped after the test. With PGSCORE_REQUIRE_ALL=1 (as in CI) a missing server fails the test.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits

from .support import servers
from .support.databases import copied, installed, installed15, installed18
from .support.roles import admin, cast
from .support.runtime import runtime_folder, with_plpython
from .support.servers import Server

# Defined beside what they need, and known to all tests through this file: a fixture imported by two modules would be
# two fixtures, each with a server folder of its own.
__all__ = ["admin", "cast", "installed", "installed15", "installed18", "runtime_folder", "with_plpython"]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """The tests predict a few rows many times: threads that wait for each other would be much of the time."""
    with threadpool_limits(limits=1):
        yield


def require(is_here: bool, message: str) -> None:
    """Skips a test whose need is not here; with PGSCORE_REQUIRE_ALL=1 it fails."""
    if not is_here:
        if os.environ.get("PGSCORE_REQUIRE_ALL") == "1":
            pytest.fail(message)
        pytest.skip(message)


def require_debian15() -> None:
    """Of a test that needs Debian's server."""
    require(servers.debian_is_complete(), "needs Debian's postgresql-15 and postgresql-plpython3-15")


@pytest.fixture(scope="session")
def server15() -> Iterator[Server]:
    require_debian15()
    with servers.debian15() as server:
        yield server


@pytest.fixture(scope="session")
def server18() -> Iterator[Server]:
    with servers.embedded18() as server:
        yield server


@pytest.fixture(params=["server15", "server18"])
def server(request: pytest.FixtureRequest) -> Server:
    running: Server = request.getfixturevalue(request.param)
    return running


@pytest.fixture(scope="module", params=["debian15", "embedded18"])
def bare(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of the module's own, which has none of our roles when a test begins and must have none when it ends."""
    if request.param == "debian15":
        require_debian15()
    with getattr(servers, request.param)() as server:
        yield server


@pytest.fixture
def database(server: Server) -> Iterator[str]:
    with copied(server) as dsn:
        yield dsn


@pytest.fixture
def database15(server15: Server) -> Iterator[str]:
    with copied(server15) as dsn:
        yield dsn


@pytest.fixture
def database18(server18: Server) -> Iterator[str]:
    with copied(server18) as dsn:
        yield dsn
