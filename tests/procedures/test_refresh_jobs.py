"""Refresh jobs: creating and dropping them, what is refused, and who may do what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import psycopg2
import pytest
from sklearn.linear_model import Ridge

from pgscore.errors import InvalidNameError, NotFoundError, RefusedError, RightsError, SignatureError
from pgscore.procedures import lifecycle
from pgscore.procedures.refresh import create_job, drop_job, list_jobs, run_job, status

from ..support.refreshing import (
    N,
    analyst,
    churn_job,
    churn_model,
    connection,
    connection18,
    counts,
    customers,
    deployed,
    fetch,
    run,
    tier_model,
    untouched,
)

__all__ = ["analyst", "connection", "connection18", "untouched"]


# Creating and dropping.


def test_it_all_works_from_psql_alone(connection: Any) -> None:
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT pgscore.create_refresh('daily', 'churn', 'customers', '{id}', 'public.scores')")
        cursor.execute("CALL pgscore.refresh('daily')")
        assert [column.name for column in cursor.description] == [
            "run_id", "version", "rows_scored", "rows_inserted", "rows_updated", "rows_deleted", "rows_refused",
        ]  # fmt: skip
        assert cursor.fetchone()[1:] == (1, N, N, 0, 0, 0)
        cursor.execute("SELECT job, state, version, rows, age < interval '1 minute' FROM pgscore.freshness")
        assert cursor.fetchall() == [("daily", "fresh", 1, N, True)]
        cursor.execute("SELECT pgscore.drop_refresh('daily')")
        cursor.execute("SELECT count(*) FROM pgscore.freshness")
        assert cursor.fetchone() == (0,)
    assert len(fetch(connection, "SELECT FROM scores")) == N


def test_the_target_is_created_with_the_keys_types_and_its_schema(connection18: Any) -> None:
    run(connection18, "ALTER TABLE customers ALTER region TYPE varchar(10)")
    churn_job(connection18, keys=["region", "id"], target='predictions."Churn %"')
    found = fetch(
        connection18,
        """
        SELECT attname::text, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute
        WHERE attrelid = 'predictions."Churn %"'::regclass AND attnum > 0 ORDER BY attnum
        """,
    )
    assert found == [
        ("region", "character varying(10)", True),
        ("id", "integer", True),
        ("score", "double precision", False),
        ("model_version", "integer", True),
        ("scored_at", "timestamp with time zone", True),
    ]
    assert run_job(connection18, "daily").inserted == N
    assert status(connection18)[0].target == 'predictions."Churn %"'


def test_hostile_names(connection: Any) -> None:
    hostile = 'x"; DROP TABLE customers; --'
    quoted = '"x""; DROP TABLE customers; --"'
    run(connection, f"CREATE VIEW {quoted} AS SELECT id AS {quoted}, tenure, charge, plan FROM customers")
    churn_job(connection, source=quoted, keys=[hostile], target=f'public.{quoted[:-1]} 2"')
    assert run_job(connection, "daily").inserted == N
    assert run_job(connection, "daily").updated == 0
    found = fetch(connection, f'SELECT score FROM public.{quoted[:-1]} 2" ORDER BY {quoted}')
    np.testing.assert_allclose(
        [score for (score,) in found], churn_model().predict_proba(customers())[:, 1], rtol=1e-12
    )
    drop_job(connection, "daily")
    assert fetch(connection, "SELECT count(*) FROM customers") == [(N,)]


def test_a_column_called_as_the_alias_of_the_row(connection18: Any) -> None:
    run(connection18, "ALTER TABLE customers RENAME COLUMN id TO r")
    churn_job(connection18, keys=["r"])
    assert run_job(connection18, "daily").inserted == N


def test_a_table_that_fits_can_be_the_target(connection18: Any) -> None:
    run(
        connection18,
        "CREATE TABLE scores"
        " (note text, scored_at timestamptz, score float8, model_version integer, id integer PRIMARY KEY);"
        "INSERT INTO scores (id, score) VALUES (1, 0), (-1, 0)",
    )
    churn_job(connection18)
    assert counts(run_job(connection18, "daily")) == (N, N - 1, 1, 1)


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ("id integer PRIMARY KEY, score text, model_version integer, scored_at timestamptz", "column score .* is text"),
        ("id bigint PRIMARY KEY, score float8, model_version integer, scored_at timestamptz", "column id .* is bigint"),
        ("id integer PRIMARY KEY, score float8, model_version integer", "no column scored_at"),
        (
            "id integer, score float8, model_version integer, scored_at timestamptz",
            "no primary key or unique index on id",
        ),
        ("id integer, x integer, score float8, model_version integer, scored_at timestamptz, UNIQUE (id, x)", "on id"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(untouched: Any, definition: str, message: str) -> None:
    run(untouched, f"CREATE TABLE unfit ({definition})")
    try:
        with pytest.raises(SignatureError, match=message):
            churn_job(untouched, target="unfit")
        assert list_jobs(untouched) == []
    finally:
        run(untouched, "DROP TABLE unfit")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"model": "other"}, NotFoundError, "no model other"),
        ({"alias": "champion"}, NotFoundError, "alias champion"),
        ({"source": "nowhere"}, NotFoundError, "nowhere"),
        ({"keys": ["nothing"]}, SignatureError, "no column nothing"),
        ({"keys": []}, SignatureError, "needs its key columns"),
        ({"target": "a.b.c"}, InvalidNameError, "a.b.c"),
        ({"target": "a b"}, InvalidNameError, "write schema.table"),
        ({"mode": "sometimes"}, InvalidNameError, "sometimes"),
        ({"source": "(SELECT 1)"}, NotFoundError, "SELECT 1"),
    ],
)
def test_what_does_not_exist_is_named_and_changes_nothing(
    untouched: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        churn_job(untouched, **options)
    assert list_jobs(untouched) == []
    assert fetch(untouched, "SELECT to_regclass('scores')") == [(None,)]


def test_a_source_without_a_column_of_the_model_is_named(connection18: Any) -> None:
    run(connection18, "CREATE VIEW v AS SELECT id, tenure, charge FROM customers")
    with pytest.raises(SignatureError, match=r"public.v has no column plan"):
        churn_job(connection18, source="v")


def test_a_key_cannot_be_called_score(connection18: Any) -> None:
    run(connection18, "CREATE VIEW v AS SELECT id AS score, tenure, charge, plan FROM customers")
    with pytest.raises(SignatureError, match="a key cannot be called score"):
        churn_job(connection18, source="v", keys=["score"])


def test_one_job_for_a_name_and_for_a_target(connection18: Any) -> None:
    churn_job(connection18)
    options = {"model": "churn", "source": "customers", "keys": ["id"]}
    with pytest.raises(RefusedError, match="refresh job daily exists already"):
        create_job(connection18, "daily", target="other", **options)  # type: ignore[arg-type]
    with pytest.raises(RefusedError, match="is the target of refresh job daily already"):
        create_job(connection18, "hourly", target="scores", **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidNameError, match="no name for a refresh job"):
        create_job(connection18, "A job", target="other", **options)  # type: ignore[arg-type]


def test_a_version_of_another_result_is_refused_before_anything_is_written(connection18: Any) -> None:
    churn_job(connection18)
    run_job(connection18, "daily")
    deployed(connection18, tier_model(), promote=True)
    with pytest.raises(SignatureError, match=r"column score of .* is double precision; it must be text"):
        run_job(connection18, "daily")
    assert fetch(connection18, "SELECT count(*), count(score) FROM scores") == [(N, N)]


def test_a_model_of_a_job_is_not_dropped(connection: Any) -> None:
    churn_job(connection)
    with pytest.raises(RefusedError, match="model churn is used by refresh job daily"):
        lifecycle.drop(connection, "churn")
    drop_job(connection, "daily")
    lifecycle.drop(connection, "churn")


def test_a_source_that_is_gone(connection18: Any) -> None:
    run(connection18, "CREATE VIEW v AS SELECT * FROM customers")
    churn_job(connection18, source="v")
    run(connection18, "DROP VIEW v")
    with pytest.raises(NotFoundError, match=r"the source of refresh job daily is gone: public.v"):
        run_job(connection18, "daily")


def test_no_such_job(untouched: Any) -> None:
    for act in (run_job, drop_job):
        with pytest.raises(NotFoundError, match="there is no refresh job 'nightly'"):
            act(untouched, "nightly")


# Rights.


def test_a_scorer_has_jobs_of_their_own(connection: Any, analyst: Any) -> None:
    create_job(analyst, "daily", model="churn", source="customers", keys=["id"], target="lab.scores")
    assert run_job(analyst, "daily").inserted == N
    assert status(analyst)[0].fresh
    assert run_job(connection, "daily").updated == 0, "a superuser may run it too"


def test_a_scorer_reads_and_writes_with_their_own_rights(connection: Any, analyst: Any) -> None:
    run(connection, "CREATE TABLE private AS SELECT * FROM customers; CREATE TABLE theirs (id integer)")
    with pytest.raises(RightsError, match="private"):
        create_job(analyst, "daily", model="churn", source="private", keys=["id"], target="lab.scores")
    with pytest.raises(RightsError):
        create_job(analyst, "daily", model="churn", source="customers", keys=["id"], target="pgscore.scores")
    create_job(analyst, "daily", model="churn", source="customers", keys=["id"], target="lab.scores")
    run_job(analyst, "daily")
    run(connection, "REVOKE SELECT ON customers FROM refresh_analyst")
    with pytest.raises(RightsError, match="customers"):
        run_job(analyst, "daily")


def test_a_job_belongs_to_the_role_that_created_it(connection: Any, analyst: Any) -> None:
    create_job(connection, "daily", model="churn", source="customers", keys=["id"], target="scores")
    for act in (run_job, drop_job):
        with pytest.raises(RightsError, match="may not use refresh job daily, which belongs to postgres"):
            act(analyst, "daily")
    with analyst, analyst.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute("DELETE FROM pgscore.runs")
    assert fetch(connection, "SELECT count(*) FROM pgscore.runs") == [(0,)]


def test_a_hostile_search_path_changes_nothing(connection: Any, analyst: Any) -> None:
    """What runs with the owner's rights, or a superuser's, must not find an analyst's functions."""
    create_job(analyst, "daily", model="churn", source="customers", keys=["id"], target="lab.scores")
    run(
        analyst,
        """
        CREATE FUNCTION lab.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE 'caught'; END $$;
        CREATE FUNCTION lab.format(text, VARIADIC text[]) RETURNS text
            LANGUAGE plpgsql AS $$ BEGIN RAISE 'caught'; END $$
        """,
    )
    run(connection, "SET search_path = lab, pg_catalog, public")
    assert run_job(connection, "daily").inserted == N


def test_ridge_over_a_column_of_reals(connection18: Any) -> None:
    """The function takes a double; the table's real widens to the same double for model and database."""
    run(
        connection18,
        "CREATE TABLE meters AS SELECT id, (charge / 3)::real AS flow FROM customers WHERE charge IS NOT NULL",
    )
    flows = np.array(fetch(connection18, "SELECT flow::float8 FROM meters ORDER BY id"))
    frame = pd.DataFrame(flows, columns=["flow"])
    model = deployed(connection18, Ridge().fit(frame, flows[:, 0] * 2 + 1), name="flow", table="meters")
    create_job(connection18, "daily", model="flow", source="meters", keys=["id"], target="scores")
    run_job(connection18, "daily")
    found = [score for (score,) in fetch(connection18, "SELECT score FROM scores ORDER BY id")]
    np.testing.assert_allclose(found, model.predict(frame), rtol=1e-12)
