"""`verify` repeats the gate of a deployed version, from what was stored with it or with the model at hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sklearn.tree import DecisionTreeClassifier

from pgscore.compiler.load import LoadedModel
from pgscore.compiler.oracle import Oracle
from pgscore.errors import NotFoundError
from pgscore.procedures.deploy import deploy
from pgscore.procedures.verify import subject, verify

from ..support.gating import NUMBERS, customers, filled, linear_model, target, tree_model


@pytest.fixture
def connection(installed: str) -> Iterator[Any]:
    with filled(installed) as connection:
        yield connection


@pytest.fixture
def connection18(installed18: str) -> Iterator[Any]:
    with filled(installed18) as connection:
        yield connection


def deployed_as(connection: Any, model: Any, **options: Any) -> None:
    deploy(connection, LoadedModel(model, Path("m.skops"), "skops", "00", {}, "a model"), table="customers", **options)


def test_verify_replays_what_the_deploy_stored(connection: Any) -> None:
    deployed_as(connection, linear_model(), name="churn")
    report = verify(connection, "churn")
    assert report.passed, report.summary()
    assert (report.real_rows, report.adversarial_rows) == (0, 2000)
    assert set(report.functions) == {"", "label", "proba"}


def test_the_stored_answers_are_the_models_own_to_the_last_bit(connection18: Any) -> None:
    model = tree_model()
    deployed_as(connection18, model, name="churn")
    with connection18, connection18.cursor() as cursor:
        cursor.execute("SELECT cases FROM pgscore.parity_cases")
        (stored,) = cursor.fetchone()
    it = subject(connection18, "churn")
    answers = Oracle(model, it.parameters, it.functions).answers(
        {
            "tenure": stored["inputs"]["tenure"],
            "charge": [None if value is None else float(value) for value in stored["inputs"]["charge"]],
        }
    )
    assert [None if value is None else float(value) for value in stored["answers"][""]] == answers[""]
    inputs = stored["inputs"]["charge"]
    assert {"nan", "inf", "-inf", "-0.0", "5e-324", "1e+300"} <= set(inputs)


def test_verify_with_the_model_at_hand_compares_real_rows(connection: Any) -> None:
    model = linear_model()
    deployed_as(connection, model, name="churn")
    it = subject(connection, "churn", 1)
    report = verify(connection, "churn", 1, oracle=Oracle(model, it.parameters, it.functions))
    assert report.passed, report.summary()
    assert report.real_rows == 200


def test_verify_finds_a_function_that_was_replaced(connection: Any) -> None:
    frame = customers()
    model = DecisionTreeClassifier(max_depth=3).fit(frame[NUMBERS], target(frame))
    deployed_as(connection, model, name="churn")
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE OR REPLACE FUNCTION score.churn_v1_label(tenure integer, charge float8) RETURNS text"
            " LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN 'no'"
        )
    report = verify(connection, "churn")
    assert not report.passed
    assert [suffix for suffix, function in report.functions.items() if not function.passed] == ["label"]


def test_verify_finds_a_function_that_is_gone(connection18: Any) -> None:
    deployed_as(connection18, tree_model(), name="churn")
    with connection18, connection18.cursor() as cursor:
        cursor.execute("DROP FUNCTION score.churn(integer, float8), score.churn_v1(integer, float8) CASCADE")
    assert not verify(connection18, "churn").passed


def test_verify_takes_a_version_that_is_not_live(connection18: Any) -> None:
    deployed_as(connection18, tree_model(), name="churn")
    deployed_as(connection18, linear_model(), name="churn")
    assert set(verify(connection18, "churn").functions) == {""}
    assert set(verify(connection18, "churn", 2).functions) == {"", "label", "proba"}
    with pytest.raises(NotFoundError, match="no version 3 of model churn"):
        verify(connection18, "churn", 3)
    with pytest.raises(NotFoundError, match="no model other"):
        verify(connection18, "other")
