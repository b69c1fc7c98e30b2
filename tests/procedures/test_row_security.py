"""The template: a role sees the predictions of the source rows that it sees."""

from __future__ import annotations

from typing import Any

import psycopg2.errors
import pytest

from pgscore.errors import NotFoundError, RightsError
from pgscore.procedures.connection import transaction
from pgscore.procedures.refresh import run_job

from ..support.refreshing import churn_job, connection
from ..support.roles import login, name_of
from ..support.tiny import query, value

__all__ = ["connection"]


def test_predictions_follow_the_rows_of_the_source(connection: Any) -> None:
    churn_job(connection, keys=["region", "id"])
    run_job(connection, "daily")
    with login(connection, "pgscore_scorer") as north:
        seen = "SELECT count(*), count(*) FILTER (WHERE region = 'north') FROM scores"
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            query(north, seen)
        query(
            connection,
            f"""
            GRANT SELECT ON customers, scores TO {name_of(north)};
            ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
            CREATE POLICY own ON customers USING (region = 'north' AND current_user = '{name_of(north)}')
            """,
        )
        assert query(north, seen) == [(3000, 1500)]
        for (statement,) in query(connection, "SELECT pgscore.row_security('daily')"):
            query(connection, statement)
        assert query(north, seen) == [(1500, 1500)]
        assert query(connection, seen) == [(3000, 1500)]
        query(connection, "UPDATE customers SET charge = charge + 1")
        assert run_job(connection, "daily").updated > 0
        assert query(north, seen) == [(1500, 1500)]
        with pytest.raises(RightsError), transaction(north) as cursor:
            cursor.execute("SELECT pgscore.row_security('daily')")
        query(connection, "DROP POLICY own ON customers; DROP POLICY pgscore_follows_source ON scores")


def test_of_a_job_that_is_there(connection: Any) -> None:
    with pytest.raises(NotFoundError, match="no refresh job 'other'"), transaction(connection) as cursor:
        cursor.execute("SELECT pgscore.row_security('other')")
    assert value(connection, "SELECT 1") == 1
