from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pgscore.errors import InvalidNameError, NotFoundError, RefusedError, RightsError, SignatureError
from pgscore.procedures import lifecycle
from pgscore.procedures.connection import errors
from pgscore.procedures.deploy import deploy
from pgscore.procedures.lifecycle import drop, history, list_models, promote, rollback, show

from ..support.servers import Server
from ..support.tiny import FRAME, NUMBERS, classifier, labeller, mixed, opened, query, regressor, value
from ..support.versions import MODELS, answers, moving, three_versions


@pytest.fixture
def dsn(server: Server) -> Iterator[str]:
    with three_versions(server) as dsn:
        yield dsn


@pytest.fixture
def connection(dsn: str) -> Iterator[Any]:
    with opened(dsn) as connection:
        yield connection


def moves(connection: Any) -> list[tuple[str, int | None, int | None]]:
    return [(e.action, e.from_version, e.to_version) for e in history(connection, "churn") if e.alias == "live"]


def test_first_version_is_live_and_later_ones_wait(connection: Any) -> None:
    np.testing.assert_allclose(moving(connection), answers(1), rtol=1e-12)
    assert promote(connection, "churn", 2) == 1
    np.testing.assert_allclose(moving(connection), answers(2), rtol=1e-12)
    named = "SELECT score.churn(tenure => tenure, monthly => monthly) FROM public.customers ORDER BY id"
    assert [row[0] for row in query(connection, named)] == moving(connection)


def test_rollback_walks_back(connection: Any) -> None:
    promote(connection, "churn", 2)
    promote(connection, "churn", 3)
    assert rollback(connection, "churn") == 2
    np.testing.assert_allclose(moving(connection), answers(2), rtol=1e-12)
    assert rollback(connection, "churn") == 1
    np.testing.assert_allclose(moving(connection), answers(1), rtol=1e-12)
    with pytest.raises(RefusedError, match="churn: alias live has no earlier version"):
        rollback(connection, "churn")
    assert moves(connection) == [
        ("promote", None, 1),
        ("promote", 1, 2),
        ("promote", 2, 3),
        ("rollback", 3, 2),
        ("rollback", 2, 1),
    ]


def test_promote_after_rollback_builds_on_what_is_left(connection: Any) -> None:
    promote(connection, "churn", 2)
    promote(connection, "churn", 3)
    rollback(connection, "churn")
    promote(connection, "churn", 3)
    promote(connection, "churn", 1)
    assert [rollback(connection, "churn") for _ in range(3)] == [3, 2, 1]


def test_rollback_passes_over_dropped_versions(connection: Any) -> None:
    for version in (2, 1, 2, 3):
        promote(connection, "churn", version)
    promote(connection, "churn", 1)
    drop(connection, "churn", 3)
    assert rollback(connection, "churn") == 2
    drop_refused = pytest.raises(RefusedError, match="version 2 of churn is in use: it is live")
    with drop_refused:
        drop(connection, "churn", 2)
    assert rollback(connection, "churn") == 1
    drop(connection, "churn", 2)
    with pytest.raises(RefusedError, match="no earlier version"):
        rollback(connection, "churn")


def test_promoting_the_live_version_changes_nothing(connection: Any) -> None:
    before = moves(connection)
    assert promote(connection, "churn", 1) == 1
    assert moves(connection) == before


def test_other_aliases_leave_the_function_alone(connection: Any) -> None:
    assert promote(connection, "churn", 3, alias="champion") is None
    np.testing.assert_allclose(moving(connection), answers(1), rtol=1e-12)
    assert show(connection, "churn", 3).aliases == ["champion"]
    assert list_models(connection)[0].aliases == {"champion": 3, "live": 1}
    assert promote(connection, "churn", 2, alias="champion") == 3
    assert rollback(connection, "churn", alias="champion") == 3
    with pytest.raises(InvalidNameError, match="no name for an alias"):
        promote(connection, "churn", 2, alias="Champion; --")


def test_what_does_not_exist(connection: Any) -> None:
    with pytest.raises(NotFoundError, match="no model 'nobody'"):
        promote(connection, "nobody", 1)
    with pytest.raises(NotFoundError, match="model churn has no version 9; its versions: 1, 2, 3"):
        promote(connection, "churn", 9)
    with pytest.raises(NotFoundError, match="no model 'nobody'"):
        rollback(connection, "nobody")
    with pytest.raises(NotFoundError):
        show(connection, "churn", 9)
    with pytest.raises(NotFoundError):
        history(connection, "nobody")
    with pytest.raises(NotFoundError):
        drop(connection, "churn", 9)


STORING = {
    "index": "CREATE INDEX by_score ON public.customers (score.churn(customers))",
    "index on the named form": "CREATE INDEX by_score ON public.customers (score.churn(tenure, monthly::float8))",
    "partial index": "CREATE INDEX by_score ON public.customers (id) WHERE score.churn(customers) > 0.5",
    "materialized view": "CREATE MATERIALIZED VIEW by_score AS SELECT score.churn(c) FROM public.customers c",
    "materialized view over a view": """
        CREATE VIEW public.v AS SELECT score.churn(c) AS p FROM public.customers c;
        CREATE MATERIALIZED VIEW by_score AS SELECT max(p) FROM public.v""",
    "index through a function": """
        CREATE FUNCTION public.f(c public.customers) RETURNS float8 LANGUAGE sql IMMUTABLE RETURN score.churn(c);
        CREATE INDEX by_score ON public.customers (public.f(customers))""",
    "check constraint": """
        ALTER TABLE public.customers ADD CONSTRAINT by_score CHECK (score.churn(tenure, monthly::float8) < 2)""",
    "generated column": """
        CREATE TABLE public.g (t integer, m float8, by_score float8 GENERATED ALWAYS AS (score.churn(t, m)) STORED)""",
}


def test_promote_refuses_while_something_stores_results(connection: Any, server: Server) -> None:
    for what, statements in STORING.items():
        if "GENERATED" in statements and server.major == 15:
            continue  # it takes no STABLE function there
        with connection.cursor() as cursor:
            cursor.execute(statements)
            with pytest.raises(RefusedError) as caught, errors():
                cursor.execute("SELECT pgscore.promote('churn', 2)")
        assert re.search(r"by_score.* would keep results of the old one.*score\.churn_v2", str(caught.value)), what
        connection.rollback()
    assert show(connection, "churn").version == 1
    promote(connection, "churn", 2)


def test_versioned_functions_may_be_stored_and_views_follow(connection: Any) -> None:
    query(connection, "CREATE INDEX ON public.customers (score.churn_v1(customers))")
    query(connection, "CREATE VIEW public.v AS SELECT id, score.churn(c) AS p FROM public.customers c")
    promote(connection, "churn", 2)
    found = [row[0] for row in query(connection, "SELECT p FROM public.v ORDER BY id")]
    np.testing.assert_allclose(found, answers(2), rtol=1e-12)


def test_a_changed_result_is_refused_only_while_something_depends_on_it(connection: Any) -> None:
    deploy(connection, labeller(), name="churn", table="customers")
    query(connection, "CREATE VIEW public.v AS SELECT score.churn(c) FROM public.customers c")
    with pytest.raises(
        RefusedError,
        match=r"result changes from double precision to text, and view public\.v depends on it.*score\.churn_v4",
    ):
        promote(connection, "churn", 4)
    query(connection, "DROP VIEW public.v")
    query(
        connection,
        "CREATE ROLE analyst_of_labels; GRANT EXECUTE ON FUNCTION score.churn(public.customers) TO analyst_of_labels",
    )
    promote(connection, "churn", 4)
    assert value(connection, "SELECT score.churn(c) FROM public.customers c WHERE id = 3") == "high"
    granted = "SELECT has_function_privilege('analyst_of_labels', 'score.churn(public.customers)', 'EXECUTE')"
    assert value(connection, granted)
    query(connection, "DROP OWNED BY analyst_of_labels; DROP ROLE analyst_of_labels")


def test_companions_come_and_go_with_the_version(connection: Any) -> None:
    there = "SELECT to_regprocedure('score.churn_proba(public.customers)') IS NOT NULL"
    deploy(connection, regressor(), name="churn", table="customers", promote=True)
    assert not value(connection, there)
    rollback(connection, "churn")
    assert value(connection, there)


def test_other_inputs_replace_the_named_form(connection: Any) -> None:
    query(
        connection,
        "CREATE TABLE public.leads (tenure bigint, monthly float8); INSERT INTO public.leads VALUES (3, 4.5)",
    )
    deploy(connection, classifier(), name="churn", table="leads", promote=True)
    forms = """
        SELECT oid::regprocedure::text FROM pg_proc
        WHERE proname = 'churn' AND pronamespace = 'score'::regnamespace ORDER BY 1"""
    assert query(connection, forms) == [("score.churn(bigint,double precision)",), ("score.churn(leads)",)]
    rollback(connection, "churn")
    assert query(connection, forms) == [("score.churn(customers)",), ("score.churn(integer,double precision)",)]


def test_a_new_column_of_the_table_is_allowed(connection: Any) -> None:
    """What calls the row form goes on; what names the inputs is in the way, and is named."""
    model = mixed()
    deploy(connection, model, name="churn", table="customers")
    query(connection, "CREATE VIEW public.by_row AS SELECT id, score.churn(c) AS p FROM public.customers c")
    query(connection, "CREATE VIEW public.by_name AS SELECT score.churn(tenure => 3, monthly => 4.5)")
    with pytest.raises(RefusedError, match=r"takes other inputs, and view public\.by_name depends on it"):
        promote(connection, "churn", 4)
    query(connection, "DROP VIEW public.by_name")
    promote(connection, "churn", 4)
    found = [row[0] for row in query(connection, "SELECT p FROM public.by_row ORDER BY id")]
    expected = model.estimator.predict_proba(FRAME[["plan", *NUMBERS]])[:, 1]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    query(connection, "DROP VIEW public.by_row; ALTER TABLE public.customers RENAME plan TO tariff")
    with pytest.raises(SignatureError, match="has no column 'plan'"):
        deploy(connection, model, name="churn", table="customers")


def test_drop_model_leaves_its_history(connection: Any) -> None:
    query(connection, "CREATE VIEW public.v AS SELECT score.churn_v2(c) FROM public.customers c")
    with pytest.raises(RefusedError, match=r"model churn cannot be dropped: view public\.v"):
        drop(connection, "churn")
    with pytest.raises(RefusedError, match=r"version 2 of churn cannot be dropped: view public\.v"):
        drop(connection, "churn", 2)
    query(connection, "DROP VIEW public.v")
    drop(connection, "churn")
    assert list_models(connection) == []
    assert value(connection, "SELECT count(*) FROM pg_proc WHERE pronamespace = 'score'::regnamespace") == 0
    last = history(connection, "churn")[-1]
    assert (last.action, last.by) == ("drop", "postgres")


def test_numbers_of_dropped_versions_are_not_given_again(connection: Any) -> None:
    drop(connection, "churn", 3)
    assert deploy(connection, MODELS[0], name="churn", table="customers").version == 4


def test_models_whose_function_names_would_meet(connection: Any) -> None:
    for name in ("churn_v2", "churn_label", "churn_v9_proba", "churn_one"):
        with pytest.raises(InvalidNameError, match=f"{name} would share function names with model churn"):
            deploy(connection, MODELS[0], name=name, table="customers")
    deploy(connection, MODELS[0], name="churn_rate", table="customers")


def test_a_promoter_promotes_and_nobody_else(connection: Any, dsn: str) -> None:
    query(connection, "CREATE ROLE prom LOGIN IN ROLE pgscore_promoter; CREATE ROLE scor LOGIN IN ROLE pgscore_scorer")
    try:
        with opened(dsn.replace("postgres@", "prom@")) as promoter:
            assert promote(promoter, "churn", 2) == 1
            assert rollback(promoter, "churn") == 1
            assert [model.live for model in list_models(promoter)] == [1]
            assert history(promoter, "churn")[-1].by == "prom"
            with pytest.raises(RightsError):
                drop(promoter, "churn")
        with opened(dsn.replace("postgres@", "scor@")) as scorer:
            with pytest.raises(RightsError):
                promote(scorer, "churn", 2)
            with pytest.raises(RightsError):
                lifecycle.list_models(scorer)
    finally:
        query(connection, "DROP ROLE prom; DROP ROLE scor")


def test_a_running_deploy_does_not_hold_up_a_rollback(connection: Any, dsn: str) -> None:
    promote(connection, "churn", 2)
    with opened(dsn) as other, other.cursor() as cursor:
        cursor.execute("UPDATE pgscore.models SET last_version = last_version + 1")
        assert rollback(connection, "churn") == 1


def test_concurrent_promotes_go_one_after_the_other(connection: Any, dsn: str) -> None:
    def run(version: int) -> None:
        with opened(dsn) as own:
            barrier.wait()
            promote(own, "churn", version)

    barrier = threading.Barrier(2)
    threads = [threading.Thread(target=run, args=(version,)) for version in (2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = moves(connection)
    assert sorted(move[2] for move in told[1:] if move[2]) == [2, 3]
    assert [move[1] for move in told[1:]] == [move[2] for move in told[:-1]]
    np.testing.assert_allclose(moving(connection), answers(show(connection, "churn").version), rtol=1e-12)
