from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pgscore.errors import InvalidNameError, NotFoundError, RightsError, SignatureError
from pgscore.procedures.connection import transaction
from pgscore.procedures.deploy import deploy
from pgscore.procedures.lifecycle import promote

from ..support.databases import copied, template
from ..support.servers import Server
from ..support.tiny import FRAME, labeller, make_customers, mixed, opened, query, value


def two_versions(connection: Any) -> None:
    make_customers(connection)
    query(connection, 'CREATE TABLE lower_case ("TENURE" integer, monthly float8, plan text)')
    query(connection, "INSERT INTO lower_case VALUES (1, 2, 'basic')")
    deploy(connection, mixed(), name="churn", table="customers")
    deploy(connection, labeller(), name="churn", table="customers")
    promote(connection, "churn", 2, alias="champion")
    deploy(connection, mixed(), name="cased", table="lower_case")


@pytest.fixture
def dsn(server: Server) -> Iterator[str]:
    with copied(server, template(server, "pgscore_two_versions", two_versions, template(server))) as dsn:
        yield dsn


@pytest.fixture
def connection(dsn: str) -> Iterator[Any]:
    with opened(dsn) as connection:
        yield connection


def score(connection: Any, reference: str | None, inputs: object) -> Any:
    with transaction(connection) as cursor:
        cursor.execute(
            "SELECT pgscore.score(%s, %s::jsonb)", (reference, None if inputs is None else json.dumps(inputs))
        )
        return cursor.fetchone()[0]


GOOD: dict[str, object] = {"tenure": 24, "monthly": 80.25, "plan": "full"}


def test_rows_of_the_table(connection: Any) -> None:
    found = query(connection, "SELECT pgscore.score('churn', to_jsonb(c))::float8 FROM customers c ORDER BY id")
    expected = mixed().estimator.predict_proba(FRAME[["plan", "tenure", "monthly"]])[:, 1]
    np.testing.assert_allclose([row[0] for row in found], expected, rtol=1e-12)


def test_versions_and_aliases(connection: Any) -> None:
    live = score(connection, "churn", GOOD)
    assert isinstance(live, float)
    assert score(connection, "churn@live", GOOD) == score(connection, "churn@1", GOOD) == live
    label = labeller().estimator.predict(FRAME[["tenure", "monthly"]].iloc[1:2])[0]
    assert score(connection, "churn@champion", GOOD) == score(connection, "churn@2", GOOD) == label


def test_null_where_the_model_refuses_and_null_is_given(connection: Any) -> None:
    assert score(connection, "churn", {**GOOD, "tenure": None}) is None
    assert score(connection, "churn", {**GOOD, "monthly": "NaN"}) is None
    assert score(connection, "churn", {**GOOD, "monthly": "Infinity"}) is None
    assert score(connection, "churn", {**GOOD, "monthly": 1e300}) is not None
    assert score(connection, "churn", {**GOOD, "plan": "never seen", "more": {"is": "ignored"}}) is not None


def test_numbers_as_json_may_spell_them(connection: Any) -> None:
    whole = value(
        connection, """SELECT pgscore.score('churn', '{"tenure": 24.0, "monthly": 8025e-2, "plan": "full"}')"""
    )
    assert whole == score(connection, "churn", GOOD)


def test_columns_of_other_case_by_either_name(connection: Any) -> None:
    by_column = value(connection, "SELECT pgscore.score('cased', to_jsonb(c)) FROM lower_case c")
    assert by_column == score(connection, "cased", {"tenure": 1, "monthly": 2, "plan": "basic"})


SECRET = "t0p-s3cret"
WRONG: list[tuple[object, str]] = [
    ({"tenure": 1, "plan": "x"}, "input monthly of churn version 1 is missing"),
    ({**GOOD, "tenure": SECRET}, "input tenure of churn version 1 is no number"),
    ({**GOOD, "tenure": 1.5}, "input tenure of churn version 1 is no integer"),
    ({**GOOD, "tenure": 3_000_000_000}, "input tenure of churn version 1 is no integer"),
    ({**GOOD, "monthly": SECRET}, "input monthly of churn version 1 is no number"),
    ({**GOOD, "monthly": [1]}, "input monthly of churn version 1 is no number"),
    ({**GOOD, "plan": 7}, "input plan of churn version 1 is no string"),
    ([1, 2], "churn version 1 takes its inputs as one JSON object"),
    (None, "churn version 1 takes its inputs as one JSON object"),
]


def test_wrong_inputs_are_named_and_not_shown(connection: Any) -> None:
    for inputs, message in WRONG:
        with pytest.raises(SignatureError) as caught:
            score(connection, "churn", inputs)
        assert message in str(caught.value)
        assert SECRET not in str(caught.value)
    for number in ("1e400", "1e-400", "-1e309"):
        outside = pytest.raises(SignatureError, match="input monthly of churn version 1 lies outside double precision")
        with outside, transaction(connection) as cursor:
            cursor.execute(f"""SELECT pgscore.score('churn', '{{"tenure": 1, "monthly": {number}, "plan": "x"}}')""")


def test_wrong_references(connection: Any) -> None:
    for reference in ("nobody", "churn@9", "churn@nobody"):
        with pytest.raises(NotFoundError, match="there is no model"):
            score(connection, reference, GOOD)
    no_names: list[str | None] = ["", "churn@", "churn; DROP TABLE customers", "Churn", "churn@0", None]
    for no_name in no_names:
        with pytest.raises(InvalidNameError, match="names no model"):
            score(connection, no_name, GOOD)


def test_a_scorer_scores_and_sees_nothing_else(connection: Any, dsn: str) -> None:
    query(
        connection,
        "CREATE ROLE scores LOGIN IN ROLE pgscore_scorer; CREATE ROLE sees LOGIN; GRANT SELECT ON customers TO scores",
    )
    query(
        connection,
        "GRANT USAGE ON SCHEMA pgscore TO sees; GRANT EXECUTE ON FUNCTION pgscore.score, pgscore.resolve TO sees",
    )
    try:
        with opened(dsn.replace("postgres@", "scores@")) as scorer:
            assert score(scorer, "churn", GOOD) is not None
            assert value(scorer, "SELECT count(score.churn(c)) FROM customers c") == 5
            for relation in (
                "models",
                "versions",
                "onnx_graphs",
                "parity_cases",
                "aliases",
                "history",
                "version_overview",
            ):
                with pytest.raises(RightsError), transaction(scorer) as cursor:
                    cursor.execute(f"SELECT FROM pgscore.{relation}")
        # EXECUTE on pgscore.score alone opens no model.
        with opened(dsn.replace("postgres@", "sees@")) as stranger, pytest.raises(RightsError):
            score(stranger, "churn", GOOD)
    finally:
        query(connection, "DROP OWNED BY scores, sees; DROP ROLE scores, sees")
