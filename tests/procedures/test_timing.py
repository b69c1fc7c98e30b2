"""What a version costs is measured where it runs. No time is asserted."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from pgscore.compiler.artifact import Strategy, Use
from pgscore.errors import ServerError
from pgscore.procedures.costs import write_costs
from pgscore.procedures.deploy import Deployment, deploy
from pgscore.procedures.timing import measured, timed

from ..support.objects import objects
from ..support.tiny import THREE_WAYS, make_customers, mixed, opened, query, recommender, regressor, value


@pytest.fixture
def connection(with_plpython: str) -> Iterator[Any]:
    with opened(with_plpython) as connection:
        make_customers(connection)
        write_costs(connection, THREE_WAYS)
        connection.commit()
        yield connection


def measure(connection: Any, done: Deployment) -> Any:
    return measured(connection, done.name, done.version, done.table, done.artifact)


@pytest.mark.parametrize("strategy", [None, *Strategy])
def test_each_use_is_measured_and_nothing_changes(connection: Any, strategy: Strategy | None) -> None:
    done = deploy(connection, mixed(), name="m", table="customers", strategy=strategy)
    query(connection, "SET jit = on")
    before = objects(connection)
    found = measure(connection, done)
    assert set(found) == set(Use)
    assert found[Use.ONE] > 0
    assert min(found.values()) >= 0
    assert objects(connection) == before
    assert value(connection, "SELECT current_setting('jit')") == "on"
    assert connection.autocommit is False


def test_the_queries_are_those_of_each_use(connection: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    done = deploy(connection, regressor(), name="m", table="customers")
    asked = []

    def seen(cursor: Any, text: str) -> Any:
        asked.append(text)
        return timed(cursor, text)

    monkeypatch.setattr("pgscore.procedures.timing.timed", seen)
    measure(connection, done)
    assert any('"m_v1"(r.*)' in text for text in asked)
    assert any('"m_v1_one"(r.*)' in text for text in asked)
    batches = [text for text in asked if '"m_v1_outputs"(array_agg(s.f), 0)' in text]
    assert batches
    assert all(one != other for one, other in itertools.pairwise(batches)), "the runtime keeps the last one's answers"


def test_an_empty_table_and_a_recommender_have_no_times(connection: Any) -> None:
    taste = deploy(connection, recommender(), name="taste", table="customers")
    assert measure(connection, taste) == {}
    done = deploy(connection, regressor(), name="m", table="customers")
    query(connection, "TRUNCATE customers")
    assert measure(connection, done) == {}


def test_an_error_is_one_of_ours(connection: Any) -> None:
    done = deploy(connection, regressor(), name="m", table="customers")
    query(connection, "SET statement_timeout = 1; CREATE VIEW public.slow AS SELECT c.* FROM customers c, pg_sleep(1)")
    with pytest.raises(ServerError):
        measured(connection, "m", 1, "public.slow", done.artifact)
