"""Queries as the sources of refresh jobs: the view that is made of one, and what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest

from pgscore.errors import RefusedError, RightsError, SignatureError, UsageError
from pgscore.procedures.install import install
from pgscore.procedures.refresh import create_job, drop_job, run_job
from pgscore.procedures.uninstall import uninstall

from ..support.refreshing import analyst, churn_job, connection, connection15, connection18, fetch, run

__all__ = ["analyst", "connection", "connection15", "connection18"]

QUERY = "SELECT * FROM customers WHERE region = 'north' -- the half"
VIEW = "SELECT obj_description(to_regclass('public.scores_source'), 'pg_class')"


def test_a_query_is_scored_and_its_view_goes_with_the_job(connection: Any) -> None:
    run(
        connection, "CREATE SCHEMA mine; CREATE TABLE mine.customers AS TABLE customers; SET search_path = mine, public"
    )
    churn_job(connection, source=None, query=QUERY, target="public.scores")
    run(connection, "DELETE FROM mine.customers WHERE id < 1000")
    run_job(connection, "daily")
    assert fetch(connection, "SELECT id FROM public.scores ORDER BY id") == fetch(
        connection, "SELECT id FROM mine.customers WHERE region = 'north' ORDER BY id"
    )
    assert fetch(connection, VIEW) == [(f"Source of refresh job daily\n{QUERY}",)]
    drop_job(connection, "daily")
    assert fetch(connection, VIEW) == [(None,)]


def test_from_sql_alone(connection15: Any) -> None:
    run(
        connection15,
        "SELECT pgscore.create_refresh('daily', 'churn', pgscore.source_view('daily', 'new_schema.scores', "
        "'SELECT c.*, id AS key FROM customers AS c;'), '{key}', 'new_schema.scores'); CALL pgscore.refresh('daily')",
    )
    assert fetch(connection15, "SELECT min(key), count(*)::integer FROM new_schema.scores") == [(0, 3000)]
    run(connection15, "SELECT pgscore.drop_refresh('daily')")
    assert fetch(connection15, "SELECT to_regclass('new_schema.scores_source')") == [(None,)]


def test_a_view_is_replaced_with_its_job(connection18: Any) -> None:
    churn_job(connection18, source=None, query=QUERY)
    churn_job(connection18, source=None, query="SELECT id, plan, charge, tenure FROM customers", replace=True)
    assert run_job(connection18, "daily").rows == 3000
    # Made its own source, it stays.
    churn_job(connection18, source="scores_source", replace=True)
    assert run_job(connection18, "daily").rows == 3000
    churn_job(connection18, replace=True)
    assert fetch(connection18, VIEW) == [(None,)]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT * FORM customers", 'syntax error at or near "FORM"'),
        ("SELECT * FROM nowhere", 'relation "nowhere" does not exist'),
        ("SELECT 1; DROP TABLE customers", "cannot open multi-query plan as cursor"),
        ("DELETE FROM customers", "cannot open DELETE query as cursor"),
        ("SELECT id, id FROM customers", 'column "id" specified more than once'),
        ("SELECT id FROM customers", "has no column"),
        ("", "daily makes no view: cannot open"),
    ],
)
def test_a_query_that_makes_no_source(connection: Any, query: str, says: str) -> None:
    with pytest.raises(SignatureError, match=says):
        churn_job(connection, source=None, query=query)
    assert fetch(connection, "SELECT to_regclass('scores'), to_regclass('scores_source')") == [(None, None)]
    assert fetch(connection, "SELECT count(*)::integer FROM customers") == [(3000,)]


def test_what_stands_in_the_way(connection: Any) -> None:
    with pytest.raises(UsageError, match="one of the two"):
        churn_job(connection, query=QUERY)
    for taken in ("TABLE scores_source ()", "VIEW scores_source AS SELECT 1 AS id"):
        run(connection, f"CREATE {taken}")
        with pytest.raises(
            RefusedError, match="scores_source exists already, and is not the view of refresh job daily"
        ):
            churn_job(connection, source=None, query=QUERY)
        run(connection, f"DROP {taken.split()[0]} scores_source")
    churn_job(connection, source=None, query=QUERY)
    with pytest.raises(RefusedError, match="is not the view of refresh job day"):
        create_job(connection, "day", model="churn", query=QUERY, keys=["id"], target="scores")
    run(connection, "CREATE VIEW onto AS SELECT * FROM scores_source")
    with pytest.raises(RefusedError, match="onto depends on view"):
        drop_job(connection, "daily")
    run(connection, "DROP VIEW onto; COMMENT ON VIEW scores_source IS 'mine'")
    drop_job(connection, "daily")
    assert fetch(connection, VIEW) == [("mine",)]


def test_the_view_gives_no_rights(connection: Any, analyst: Any) -> None:
    run(connection, "CREATE TABLE secrets AS TABLE customers")
    with pytest.raises(RightsError, match="permission denied for table secrets"):
        churn_job(analyst, source=None, query="SELECT * FROM secrets", target="lab.scores")
    churn_job(analyst, source=None, query=QUERY, target="lab.scores")
    run(connection, "REVOKE SELECT ON customers FROM refresh_analyst")
    with pytest.raises(RightsError, match="permission denied for table customers"):
        run_job(analyst, "daily")
    run(connection, "GRANT SELECT ON customers TO refresh_analyst")
    drop_job(analyst, "daily")


def test_install_again_and_uninstall(connection18: Any) -> None:
    churn_job(connection18, source=None, query=QUERY)
    run_job(connection18, "daily")
    install(connection18)
    assert run_job(connection18, "daily").rows == 1500
    uninstall(connection18)
    assert fetch(connection18, "SELECT count(*)::integer FROM scores_source") == [(1500,)]
