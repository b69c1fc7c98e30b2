"""pgscore.warm_up, and what sessions that are already open see of a promote."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from pgscore.compiler.artifact import Strategy
from pgscore.errors import NotFoundError, RightsError, ServerError
from pgscore.procedures.connection import transaction
from pgscore.procedures.deploy import deploy
from pgscore.procedures.lifecycle import promote, rollback

from ..support.databases import copied, template
from ..support.servers import Server
from ..support.tiny import FRAME, NUMBERS, classifier, loaded, make_customers, mixed, opened, query


def warm_up(connection: Any, reference: str) -> Any:
    with transaction(connection) as cursor:
        cursor.execute("SELECT pgscore.warm_up(%s)", (reference,))
        return cursor.fetchone()[0]


def test_onnx_loads_the_graph_in_this_session(with_plpython: str) -> None:
    with opened(with_plpython) as connection, opened(with_plpython) as warm, opened(with_plpython) as cold:
        make_customers(connection)
        deploy(connection, mixed(), name="churn", table="customers", strategy=Strategy.ONNX)
        done = warm_up(warm, "churn")
        assert done["milliseconds"] > 0
        del done["milliseconds"]
        names = ["churn_v1", "churn_v1_label", "churn_v1_proba"]
        assert done == {"model": "churn", "version": 1, "strategy": "onnx", "functions": names, "note": None}
        assert warm_up(warm, "churn@1")["functions"] == names
        # Only a session that has the graph can still score.
        query(connection, "SET session_replication_role = replica; TRUNCATE pgscore.onnx_graphs CASCADE")
        with transaction(warm) as cursor:
            cursor.execute("SELECT score.churn_v1(c) FROM customers c WHERE id = 1")
            assert cursor.fetchone()[0] is not None
        with pytest.raises(ServerError, match="is not in pgscore"), transaction(cold) as cursor:
            cursor.execute("SELECT score.churn_v1(c) FROM customers c WHERE id = 1")


@pytest.mark.parametrize(
    ("strategy", "functions"),
    [(Strategy.SQL, []), (Strategy.PLPGSQL, ["churn_v1", "churn_v1_label", "churn_v1_proba"])],
)
def test_without_onnx(installed: str, strategy: Strategy, functions: list[str]) -> None:
    with opened(installed) as connection:
        make_customers(connection)
        deploy(connection, mixed(), name="churn", table="customers", strategy=strategy)
        done = warm_up(connection, "churn@live")
        assert (done["strategy"], done["functions"]) == (strategy.value, functions)
        assert (done["note"] is None) == bool(functions)


def test_more_inputs_than_a_function_has_arguments(installed: str) -> None:
    columns = [f"c{index}" for index in range(101)]
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 101)), columns=columns)
    with opened(installed) as connection:
        query(connection, f"CREATE TABLE public.wide ({', '.join(f'{name} float8' for name in columns)})")
        query(connection, f"INSERT INTO wide VALUES ({', '.join('1' for _ in columns)})")
        model = loaded(LinearRegression().fit(frame, frame["c0"]))
        deploy(connection, model, name="wide", table="wide", strategy=Strategy.PLPGSQL)
        assert warm_up(connection, "wide")["functions"] == ["wide_v1"]


def test_rights_and_names(server: Server) -> None:
    with copied(server, template(server)) as dsn, opened(dsn) as connection:
        make_customers(connection)
        deploy(connection, mixed(), name="churn", table="customers", strategy=Strategy.PLPGSQL)
        with pytest.raises(NotFoundError, match="there is no model churn with alias champion"):
            warm_up(connection, "churn@champion")
        query(connection, "CREATE ROLE warms LOGIN IN ROLE pgscore_scorer; CREATE ROLE sees LOGIN")
        query(
            connection,
            "GRANT USAGE ON SCHEMA pgscore TO sees; "
            "GRANT EXECUTE ON FUNCTION pgscore.warm_up, pgscore.resolve, pgscore.functions_to_warm TO sees",
        )
        try:
            with opened(dsn.replace("postgres@", "warms@")) as scorer:
                assert warm_up(scorer, "churn")["version"] == 1
            # EXECUTE on warm_up alone opens no model.
            with opened(dsn.replace("postgres@", "sees@")) as stranger, pytest.raises(RightsError):
                warm_up(stranger, "churn")
        finally:
            query(connection, "DROP OWNED BY warms, sees; DROP ROLE warms, sees")


QUERIES = {
    "row": "SELECT score.churn(c) FROM customers c ORDER BY id",
    "named": "SELECT score.churn(tenure => c.tenure, monthly => c.monthly::float8) FROM customers c ORDER BY id",
    "dynamic": "SELECT pgscore.score('churn', to_jsonb(c))::float8 FROM customers c ORDER BY id",
}


def switching(connection: Any, dsn: str, strategies: list[Strategy]) -> None:
    """Two versions; an open session with prepared generic plans sees each move at its next statement."""
    make_customers(connection)
    models = [classifier(1.0), classifier(0.001)]
    for model, strategy in zip(models, strategies, strict=True):
        deploy(connection, model, name="churn", table="customers", strategy=strategy)
    expected = [model.estimator.predict_proba(FRAME[NUMBERS])[:, 1] for model in models]
    assert np.abs(expected[0] - expected[1]).min() > 1e-3
    with opened(dsn) as session:
        query(session, "SET plan_cache_mode = force_generic_plan")
        for name, text in QUERIES.items():
            query(session, f"PREPARE by_{name} AS {text}")

        def seen() -> list[int]:
            """The version that each prepared statement scores with."""
            found = []
            for name in QUERIES:
                scores = [row[0] for row in query(session, f"EXECUTE by_{name}")]
                (which,) = [v for v in (1, 2) if np.allclose(scores, expected[v - 1], rtol=1e-9)]
                found.append(which)
            return found

        assert seen() == [1] * len(QUERIES)
        promote(connection, "churn", 2)
        assert seen() == [2] * len(QUERIES)
        rollback(connection, "churn")
        assert seen() == [1] * len(QUERIES)


@pytest.mark.parametrize("strategies", [[Strategy.SQL, Strategy.SQL], [Strategy.PLPGSQL, Strategy.SQL]])
def test_open_sessions_see_a_promote(installed: str, strategies: list[Strategy]) -> None:
    with opened(installed) as connection:
        switching(connection, installed, strategies)


@pytest.mark.parametrize("strategies", [[Strategy.ONNX, Strategy.ONNX], [Strategy.ONNX, Strategy.PLPGSQL]])
def test_open_sessions_see_a_promote_of_onnx(with_plpython: str, strategies: list[Strategy]) -> None:
    with opened(with_plpython) as connection:
        switching(connection, with_plpython, strategies)
