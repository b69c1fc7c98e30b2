"""Refresh jobs: the target equals the model's own predict for every row, and a run writes only what changed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg2
import pytest
from psycopg2.extras import execute_values
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from pgscore.compiler.artifact import Strategy
from pgscore.compiler.load import LoadedModel
from pgscore.errors import InvalidNameError, NotFoundError, RefusedError, RightsError, ServerError, SignatureError
from pgscore.procedures import lifecycle
from pgscore.procedures.connection import connect
from pgscore.procedures.deploy import deploy
from pgscore.procedures.install import install
from pgscore.procedures.refresh import RunResult, create_job, drop_job, list_jobs, run_job, status

from ..support.databases import copied, template
from ..support.servers import Server

NUMBERS = ["tenure", "charge"]
N = 3000


def customers() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    frame = pd.DataFrame(
        {"tenure": rng.integers(0, 70, N), "charge": rng.normal(50, 20, N), "plan": rng.choice(["a", "b's", "c"], N)}
    )
    frame.loc[::50, "charge"] = np.nan
    return frame


@cache
def churn_model(**options: Any) -> Any:
    """Takes missing numbers and unseen plans."""
    frame = customers()
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    steps = make_column_transformer((numbers, NUMBERS), (OneHotEncoder(handle_unknown="ignore"), ["plan"]))
    return make_pipeline(steps, LogisticRegression(**options)).fit(frame, frame.tenure < 20)


@cache
def tier_model() -> Any:
    """Text labels of three classes."""
    frame = customers()
    tier = np.select([frame.tenure < 20, frame.tenure < 50], ["new", "it's"], "old")
    return DecisionTreeClassifier(max_depth=4, random_state=0).fit(frame[NUMBERS], tier)


def fill(connection: Any) -> None:
    """Table customers, its key not in the order of its rows on disk; models churn (version 2 is not live) and tier."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE customers"
            " (region text, id integer, tenure integer, charge float8, plan text, PRIMARY KEY (region, id))"
        )
        rows = [
            ("north" if i % 2 else "south", i, int(t), None if c != c else c, p)
            for i, (t, c, p) in enumerate(customers().itertuples(index=False))
        ]
        execute_values(cursor, "INSERT INTO customers VALUES %s", rows[::-1])
    deployed(connection, churn_model())
    deployed(connection, churn_model(C=0.01))
    deployed(connection, tier_model(), name="tier")


@pytest.fixture
def connection(server: Server) -> Iterator[Any]:
    yield from opened(server)


@pytest.fixture
def connection18(server18: Server) -> Iterator[Any]:
    yield from opened(server18)


@pytest.fixture(scope="module")
def untouched(server18: Server) -> Iterator[Any]:
    """For tests that must change nothing."""
    yield from opened(server18)


def opened(server: Server) -> Iterator[Any]:
    with copied(server, template(server, "pgscore_refresh", fill, template(server))) as dsn:
        connection = connect(dsn)
        yield connection
        connection.close()


def deployed(connection: Any, model: Any, name: str = "churn", table: str = "customers", **options: Any) -> Any:
    deploy(
        connection, LoadedModel(model, Path("m.skops"), "skops", "00", {}, "a model"), name=name, table=table, **options
    )
    return model


def churn_job(connection: Any, **options: Any) -> None:
    """A job `daily` of model churn into public.scores."""
    given = {"model": "churn", "source": "customers", "keys": ["id"], "target": "scores", **options}
    create_job(connection, "daily", **given)


def fetch(connection: Any, query: str) -> list[tuple[Any, ...]]:
    with connection, connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def run(connection: Any, statement: str) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)


def counts(result: RunResult) -> tuple[int, int, int, int]:
    return result.rows, result.inserted, result.updated, result.deleted


# The scores.


@pytest.mark.parametrize("strategy", [Strategy.SQL, Strategy.PLPGSQL])
def test_every_row_has_the_models_own_answer(connection: Any, strategy: Strategy) -> None:
    model = deployed(connection, churn_model(), name="again", strategy=strategy)
    create_job(connection, "daily", model="again", source="customers", keys=["id"], target="scores")
    result = run_job(connection, "daily")

    assert counts(result) == (N, N, 0, 0)
    assert (result.version, result.refused) == (1, 0)
    found = fetch(connection, "SELECT id, score, model_version, scored_at <= now() FROM scores ORDER BY id")
    assert [row[0] for row in found] == list(range(N))
    expected = model.predict_proba(customers())[:, 1]
    np.testing.assert_allclose([row[1] for row in found], expected, rtol=1e-12)
    assert {row[2:] for row in found} == {(1, True)}


def test_text_labels_and_refused_rows(connection: Any) -> None:
    churn_job(connection, model="tier")
    run(connection, "UPDATE customers SET charge = 'Infinity' WHERE id IN (7, 8, 9)")
    result = run_job(connection, "daily")
    assert result.refused == 3
    found = fetch(connection, "SELECT score, pg_typeof(score)::text FROM scores ORDER BY id")
    assert {kind for _, kind in found} == {"text"}
    expected = tier_model().predict(customers()[NUMBERS])
    assert [label for label, _ in found] == [None if i in (7, 8, 9) else label for i, label in enumerate(expected)]


def test_composite_keys_and_a_view_as_source(connection: Any) -> None:
    run(
        connection,
        'CREATE VIEW northern AS SELECT plan, id AS "Key %", region, charge, tenure FROM customers WHERE id % 2 = 1',
    )
    create_job(connection, "daily", model="churn", source="northern", keys=["region", "Key %"], target="scores")
    assert counts(run_job(connection, "daily")) == (N // 2, N // 2, 0, 0)
    found = fetch(connection, 'SELECT region, "Key %", score FROM scores ORDER BY 2')
    assert [row[:2] for row in found] == [("north", i) for i in range(1, N, 2)]
    np.testing.assert_allclose([row[2] for row in found], churn_model().predict_proba(customers())[1::2, 1], rtol=1e-12)
    run(connection, "UPDATE customers SET tenure = tenure + 1 WHERE id IN (3, 4)")
    assert counts(run_job(connection, "daily")) == (N // 2, 0, 1, 0)


def test_a_view_over_a_table_of_more_than_100_columns(connection18: Any) -> None:
    rng = np.random.default_rng(5)
    names = [f"c{i}" for i in range(120)]
    frame = pd.DataFrame(rng.normal(size=(200, 120)), columns=names)
    run(connection18, "CREATE TABLE wide (id serial, note text, " + ", ".join(f"{name} float8" for name in names) + ")")
    with connection18, connection18.cursor() as cursor:
        execute_values(cursor, f"INSERT INTO wide ({', '.join(names)}) VALUES %s", frame.values.tolist())
    run(connection18, f"CREATE VIEW turned AS SELECT {', '.join(reversed(names))}, id FROM wide")
    model = deployed(connection18, LinearRegression().fit(frame, frame.sum(axis=1)), name="wide", table="wide")
    create_job(connection18, "daily", model="wide", source="turned", keys=["id"], target="scores")
    run_job(connection18, "daily")
    found = [score for (score,) in fetch(connection18, "SELECT score FROM scores ORDER BY id")]
    np.testing.assert_allclose(found, model.predict(frame), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("model", [churn_model, tier_model])
def test_onnx_scores_in_batches(server15: Server, model: Any) -> None:
    """30,000 rows are three batches; the order of keys and answers holds across them, labels and refused rows too."""
    folder = Path(np.__file__).parents[1]
    for connection in opened(server15):
        install(connection, plpython=True, runtime=folder)
        fitted = deployed(connection, model(), name="graph", strategy=Strategy.ONNX)
        run(
            connection,
            f"""
            INSERT INTO customers SELECT region, id + {N} * turn, tenure, charge, plan
            FROM customers, generate_series(1, 9) AS turn;
            UPDATE customers SET charge = 'Infinity' WHERE id = 20001
            """,
        )
        create_job(connection, "daily", model="graph", source="customers", keys=["id"], target="scores")
        result = run_job(connection, "daily")
        assert counts(result) == (10 * N, 10 * N, 0, 0)
        assert result.refused == 1
        found = [score for (score,) in fetch(connection, "SELECT score FROM scores ORDER BY id")]
        assert found.pop(20001) is None
        frame = pd.concat([customers()] * 10, ignore_index=True).drop(index=20001)
        if model is tier_model:
            assert found == fitted.predict(frame[NUMBERS]).tolist()
        else:
            np.testing.assert_allclose(found, fitted.predict_proba(frame)[:, 1], rtol=1e-12)
        assert counts(run_job(connection, "daily")) == (10 * N, 0, 0, 0)


# What a run writes.


def test_a_second_run_writes_nothing(connection: Any) -> None:
    churn_job(connection)
    run_job(connection, "daily")
    before = fetch(connection, "SELECT ctid::text, * FROM scores ORDER BY id")
    assert counts(run_job(connection, "daily")) == (N, 0, 0, 0)
    assert fetch(connection, "SELECT ctid::text, * FROM scores ORDER BY id") == before


def test_changed_deleted_and_new_rows(connection: Any) -> None:
    churn_job(connection)
    run_job(connection, "daily")
    run(
        connection,
        """
        DELETE FROM customers WHERE id < 10;
        UPDATE customers SET tenure = 69, charge = NULL WHERE id IN (20, 21);
        UPDATE customers SET region = 'west' WHERE id = 22;
        INSERT INTO customers VALUES ('east', 9000, 1, 2.5, 'never seen'), ('east', 9001, NULL, 'NaN', NULL)
        """,
    )
    changed_before = fetch(connection, "SELECT score FROM scores WHERE id IN (20, 21)")
    assert counts(run_job(connection, "daily")) == (N - 8, 2, 2, 10)
    assert fetch(connection, "SELECT score FROM scores WHERE id IN (20, 21)") != changed_before
    rows = pd.DataFrame(
        fetch(connection, "SELECT tenure, charge, plan FROM customers ORDER BY id"), columns=[*NUMBERS, "plan"]
    )
    rows[NUMBERS] = rows[NUMBERS].astype(float)
    found = [score for (score,) in fetch(connection, "SELECT score FROM scores ORDER BY id")]
    np.testing.assert_allclose(found, churn_model().predict_proba(rows)[:, 1], rtol=1e-12)
    assert fetch(connection, "SELECT count(DISTINCT scored_at) FROM scores") == [(2,)]


def test_a_promote_moves_every_row_to_the_new_version(connection: Any) -> None:
    churn_job(connection)
    run_job(connection, "daily")
    assert counts(run_job(connection, "daily")) == (N, 0, 0, 0), "version 2 is not live yet"
    lifecycle.promote(connection, "churn", 2)
    assert [(job.state, job.version, job.current_version) for job in status(connection)] == [("behind", 1, 2)]
    assert counts(run_job(connection, "daily")) == (N, 0, N, 0)
    found = fetch(connection, "SELECT score, model_version FROM scores ORDER BY id")
    np.testing.assert_allclose(
        [row[0] for row in found], churn_model(C=0.01).predict_proba(customers())[:, 1], rtol=1e-12
    )
    assert {row[1] for row in found} == {2}
    assert status(connection)[0].fresh


def test_a_job_follows_its_alias(connection18: Any) -> None:
    lifecycle.promote(connection18, "churn", 2, alias="champion")
    create_job(connection18, "daily", model="churn", source="customers", keys=["id"], target="scores", alias="champion")
    assert run_job(connection18, "daily").version == 2


def test_a_failed_run_leaves_the_target_and_is_recorded(connection: Any) -> None:
    churn_job(connection, source="customers", keys=["id"])
    run_job(connection, "daily")
    before = fetch(connection, "SELECT * FROM scores ORDER BY id")
    run(connection, "INSERT INTO customers VALUES ('east', 5, 1, 2, 'a'); UPDATE customers SET tenure = 3")
    with pytest.raises(RefusedError, match=r"the key \(id\) of public.customers is not unique"):
        run_job(connection, "daily")
    assert fetch(connection, "SELECT * FROM scores ORDER BY id") == before
    assert fetch(connection, "SELECT state, error IS NULL, rows_scored FROM pgscore.runs ORDER BY run_id") == [
        ("done", True, N),
        ("failed", False, None),
    ]
    (job,) = status(connection)
    assert (job.state, job.fresh, job.rows) == ("failed", False, N)
    assert job.error is not None
    assert "not unique" in job.error

    run(connection, "DELETE FROM customers WHERE region = 'east'")
    assert run_job(connection, "daily").updated > 2000
    assert status(connection)[0].state == "fresh"


def test_a_key_that_is_null_fails_clearly(connection18: Any) -> None:
    run(connection18, "CREATE VIEW v AS SELECT nullif(id, 5) AS id, tenure, charge, plan FROM customers")
    churn_job(connection18, source="v")
    with pytest.raises(RefusedError, match=r"the key \(id\) of public.v is NULL in some rows"):
        run_job(connection18, "daily")
    assert fetch(connection18, "SELECT count(*) FROM scores") == [(0,)]


def test_an_error_in_the_source_is_recorded_without_values(connection18: Any) -> None:
    run(connection18, "ALTER TABLE customers ADD secret text DEFAULT '1'")
    run(connection18, "CREATE VIEW v AS SELECT id, secret::integer AS tenure, charge, plan FROM customers")
    churn_job(connection18, source="v")
    run(connection18, "UPDATE customers SET secret = 'swordfish' WHERE id = 77")
    with pytest.raises(ServerError):
        run_job(connection18, "daily")
    ((error,),) = fetch(connection18, "SELECT error FROM pgscore.runs")
    assert "22P02" in error
    assert "swordfish" not in error


# Others at the same time.


def test_two_runs_of_one_job_never_overlap(connection: Any) -> None:
    churn_job(connection)
    other = psycopg2.connect(connection.dsn)
    with other.cursor() as cursor:
        cursor.execute("CALL pgscore.refresh('daily')")
        with pytest.raises(RefusedError, match="refresh job daily is running already"):
            run_job(connection, "daily")
        other.commit()
    assert fetch(connection, "SELECT state FROM pgscore.runs") == [("done",)], "the refused one was no run"
    assert counts(run_job(connection, "daily")) == (N, 0, 0, 0)
    other.close()


def test_readers_are_not_blocked_and_see_the_old_rows_until_all_are_new(connection: Any) -> None:
    churn_job(connection)
    run_job(connection, "daily")
    run(connection, "UPDATE customers SET tenure = tenure + 5; DELETE FROM customers WHERE id = 0")
    old = fetch(connection, "SELECT * FROM scores ORDER BY id")
    reader = psycopg2.connect(connection.dsn)
    with connection.cursor() as cursor:
        cursor.execute("CALL pgscore.refresh('daily')")
        with reader, reader.cursor() as reading:
            reading.execute("SET LOCAL statement_timeout = '5s'")
            reading.execute("SELECT * FROM scores ORDER BY id")
            assert reading.fetchall() == old
    connection.commit()
    assert fetch(reader, "SELECT count(*) FROM scores") == [(N - 1,)]
    reader.close()


def test_a_run_reads_one_snapshot_and_one_version_while_others_write(connection18: Any) -> None:
    """All rows carry one version, and each score is that of the row as some single moment knew it."""
    churn_job(connection18)
    stop = threading.Event()

    def disturb() -> None:
        other = connect(connection18.dsn)
        version = 1
        while not stop.is_set():
            version = 3 - version
            lifecycle.promote(other, "churn", version)
            run(other, "UPDATE customers SET tenure = (tenure + 1) % 70 WHERE id < 3")
        other.close()

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        for _ in range(5):
            version = run_job(connection18, "daily").version
            assert fetch(connection18, "SELECT DISTINCT model_version FROM scores") == [(version,)]
    finally:
        stop.set()
        thread.join()


def test_views_rights_and_comments_on_the_target_survive(connection: Any) -> None:
    churn_job(connection)
    run_job(connection, "daily")
    run(
        connection,
        "CREATE VIEW risky AS SELECT * FROM scores WHERE score > 0.5; GRANT SELECT ON scores TO pgscore_scorer",
    )
    oid = fetch(connection, "SELECT 'scores'::regclass::oid, relacl::text FROM pg_class WHERE oid = 'scores'::regclass")
    run(connection, "UPDATE customers SET tenure = 1")
    run_job(connection, "daily")
    assert fetch(connection, "SELECT count(*) > 2000 FROM risky") == [(True,)]
    assert (
        fetch(connection, "SELECT 'scores'::regclass::oid, relacl::text FROM pg_class WHERE oid = 'scores'::regclass")
        == oid
    )


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


@pytest.fixture
def analyst(connection: Any) -> Iterator[Any]:
    """A connection of a plain user, who may score, read customers, and create tables in a schema of their own."""
    run(
        connection,
        """
        DROP ROLE IF EXISTS refresh_analyst;
        CREATE ROLE refresh_analyst LOGIN;
        GRANT pgscore_scorer TO refresh_analyst;
        GRANT SELECT ON customers TO refresh_analyst;
        CREATE SCHEMA lab AUTHORIZATION refresh_analyst
        """,
    )
    parameters = connection.get_dsn_parameters()
    other = psycopg2.connect(**{**parameters, "user": "refresh_analyst"})
    yield other
    other.close()
    run(connection, "DROP OWNED BY refresh_analyst CASCADE; DROP ROLE refresh_analyst")


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
