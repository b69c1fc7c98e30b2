"""The parity gate passes what is right and refuses every wrong copy of it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import psycopg2
import pytest
from psycopg2.extras import execute_values
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeRegressor

from pgscore.compiler.artifact import Artifact, Strategy, Template
from pgscore.compiler.oracle import Oracle
from pgscore.errors import RightsError
from pgscore.procedures.connection import connect
from pgscore.procedures.functions import VersionPlan
from pgscore.procedures.plan import apply
from pgscore.procedures.verify import ParityReport, gate

from ..support.databases import copied, template
from ..support.gating import (
    COLUMNS,
    Deployed,
    changed,
    compiled,
    customers,
    fill,
    filled,
    linear_model,
    tree_model,
)
from ..support.servers import Server


@pytest.fixture(scope="module")
def databases() -> Iterator[_Databases]:
    """A connection for each server, to a database that the tests of this module leave as it was."""
    with ExitStack() as stack:
        yield _Databases(stack)


class _Databases(dict[int, Any]):
    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack

    def on(self, server: Server) -> Any:
        if server.major not in self:
            connection = connect(self.stack.enter_context(copied(server, template(server))))
            self.stack.callback(connection.close)
            fill(connection)
            self[server.major] = connection
        return self[server.major]


@pytest.fixture
def shared(server: Server, databases: _Databases) -> Iterator[Any]:
    """For tests that roll back all they do."""
    yield databases.on(server)
    databases.on(server).rollback()


@pytest.fixture
def connection(installed: str) -> Iterator[Any]:
    with filled(installed) as connection:
        yield connection


@pytest.fixture
def connection18(installed18: str) -> Iterator[Any]:
    with filled(installed18) as connection:
        yield connection


@pytest.mark.parametrize("strategy", [Strategy.SQL, Strategy.PLPGSQL])
def test_a_right_model_passes(shared: Any, strategy: Strategy) -> None:
    deployed = compiled(shared, linear_model(), strategy)
    report, cases = deployed.gate(deployed.artifact)

    assert report.passed, report.summary()
    assert report.real_rows == 200
    assert report.adversarial_rows > 3000
    assert 0 < report.refused_rows < 200
    assert report.rows == report.real_rows + report.adversarial_rows
    assert list(report.functions) == [function.suffix for function in deployed.artifact.functions]
    assert {f.rows for f in report.functions.values()} == {report.rows}
    assert report.max_difference < 1e-12
    assert ParityReport.from_json(report.to_json()) == report
    assert set(json.loads(cases)["inputs"]) == set(COLUMNS)


def test_a_tree_is_bit_equal(shared: Any) -> None:
    deployed = compiled(shared, tree_model())
    report, _ = deployed.gate(deployed.artifact)
    assert report.passed, report.summary()
    assert report.max_difference == 0


# Every wrong copy is refused, and the report names the function.

_NUMBER = re.compile(r"'(-?[0-9][^']*)'::float8")


def refuses(deployed: Deployed, artifact: Artifact, suffix: str = "") -> ParityReport:
    report, _ = deployed.gate(artifact)
    assert not report.passed
    assert [name for name, function in report.functions.items() if not function.passed] == [suffix]
    return report


def literals(body: str, before: str) -> list[re.Match[str]]:
    """The numbers of a body that follow `before` (a regular expression), without the limits of float32."""
    found = re.finditer(f"(?<={before})" + _NUMBER.pattern, body)
    return [match for match in found if abs(float(match[1])) < 1e30 and math.isfinite(float(match[1]))]


def moved(match: re.Match[str], value: float) -> Callable[[str], str]:
    return lambda body: body[: match.start(1)] + repr(value) + body[match.end(1) :]


def test_each_threshold_moved_by_one_bit_is_refused(connection18: Any) -> None:
    frame = customers()
    model = DecisionTreeRegressor(max_depth=3).fit(
        frame[["charge"]].assign(tenure=frame.tenure * 1.25), frame.charge**2
    )
    with connection18, connection18.cursor() as cursor:
        cursor.execute("ALTER TABLE customers ALTER tenure TYPE float8 USING tenure * 1.25")
    deployed = compiled(connection18, model)
    body = deployed.artifact.functions[0].body.text
    thresholds = literals(body, "<= ") + literals(body, "> ")
    assert len(thresholds) == 7
    for threshold in thresholds:
        for direction in (math.inf, -math.inf):
            value = math.nextafter(float(threshold[1]), direction)
            refuses(deployed, changed(deployed.artifact, "", moved(threshold, value)))


def test_each_weight_moved_a_little_is_refused(shared: Any) -> None:
    deployed = compiled(shared, linear_model())
    body = deployed.artifact.functions[0].body.text
    weights = literals(body, r"\* ") + literals(body, "THEN ")
    assert len(weights) >= 4
    for weight in weights:
        refuses(deployed, changed(deployed.artifact, "", moved(weight, float(weight[1]) * (1 + 1e-5))))


@pytest.mark.parametrize(
    ("suffix", "change"),
    [
        ("", lambda body: body.replace("'gold'", "'gold '")),
        ("", lambda body: body.replace("'it''s'", "'its'")),
        ("", lambda body: f"1 - ({body})"),
        ("", lambda body: f"coalesce({body}, 0.5::float8)"),
        ("", lambda body: f"nullif({body}, 'NaN') + 1e-8::float8"),
        ("label", lambda body: body.replace("'yes'", "'tmp'").replace("'no'", "'yes'").replace("'tmp'", "'no'")),
        ("label", lambda body: f"coalesce({body}, 'no')"),
        ("proba", lambda body: f"(SELECT array_agg(p ORDER BY i DESC) FROM unnest({body}) WITH ORDINALITY AS u(p, i))"),
        ("proba", lambda body: f"({body})[1:1]"),
    ],
    ids=["category", "quote", "class order", "null", "offset", "labels", "null label", "proba order", "proba length"],
)
def test_a_wrong_copy_is_refused(shared: Any, suffix: str, change: Callable[[str], str]) -> None:
    deployed = compiled(shared, linear_model())
    report = refuses(deployed, changed(deployed.artifact, suffix, change), suffix)
    assert report.functions[suffix].mismatches > 0


def test_a_null_where_the_model_answers_is_refused(shared: Any) -> None:
    """The other way round from `coalesce`: one column's NULL gives NULL, although the model imputes it."""
    deployed = compiled(shared, linear_model())
    index = [p.name for p in deployed.artifact.parameters].index("tenure")
    hole = Template.hole(index)
    report = refuses(
        deployed, changed(deployed.artifact, "", lambda body: f"CASE WHEN {hole} IS NULL THEN NULL ELSE {body} END")
    )
    assert "tenure" in report.functions[""].columns


def test_swapped_columns_of_the_row_form_are_refused(shared: Any) -> None:
    """Made-up rows go in by name; only rows of the table tell that the row's columns are wired to the wrong inputs."""
    deployed = compiled(shared, tree_model())
    swapped = replace(deployed.binding, columns=tuple(reversed(deployed.binding.columns)), exact=(False, False))
    report, _ = replace(deployed, binding=swapped).gate(deployed.artifact)
    assert not report.passed


def test_an_error_in_one_extreme_row_is_a_failure_without_values(shared: Any) -> None:
    deployed = compiled(shared, linear_model())
    index = [p.name for p in deployed.artifact.parameters].index("charge")
    hole = Template.hole(index)
    report = refuses(deployed, changed(deployed.artifact, "", lambda body: f"{body} + 0 * ({hole} * 1e200::float8)"))
    assert report.functions[""].error == "raises SQLSTATE 22003 (numeric_value_out_of_range) where charge varied"
    assert report.functions[""].rows == 0
    assert "1e" not in report.summary().replace("1e-", "").split("largest")[0]
    assert report.functions["label"].passed


def test_an_error_on_real_rows_alone_is_a_failure(shared: Any) -> None:
    deployed = compiled(shared, linear_model())
    artifact = deployed.artifact
    apply(shared, VersionPlan("m", 1, artifact, deployed.binding).statements())
    with shared.cursor() as cursor:
        cursor.execute(
            "CREATE OR REPLACE FUNCTION score.m_v1(r customers) RETURNS float8 LANGUAGE sql IMMUTABLE"
            " RETURN 1 / (r.id - 7)"
            " + score.m_v1(tenure => r.tenure, charge => r.charge, plan => r.plan, senior => r.senior)"
        )
    oracle = Oracle(deployed.model, artifact.parameters, artifact.functions)
    report, _ = gate(shared, artifact, name="m", version=1, table="public.customers", oracle=oracle)
    assert not report.passed
    assert report.functions[""].error == "raises SQLSTATE 22012 (division_by_zero) when called with a row of the table"


def test_a_row_that_sql_refuses_before_the_model_overflows_is_no_difference(shared: Any) -> None:
    """1e300 is among the made-up values of a column; times this weight it is a double, which SQL does not risk."""
    model = LinearRegression().fit(customers()[["charge", "tenure"]], customers().charge)
    model.coef_ = np.array([1e8, 1.0])
    deployed = compiled(shared, model)
    report, _ = deployed.gate(deployed.artifact)
    assert report.passed, report.summary()
    answers = {"charge": [1e300], "tenure": [1]}
    artifact = deployed.artifact
    assert Oracle(model, artifact.parameters, artifact.functions).answers(answers)[""] == [pytest.approx(1e308)]


# Rows.


def test_an_empty_table_is_said_in_the_report(installed18: str) -> None:
    connection = connect(installed18)
    fill(connection, customers(0))
    deployed = compiled(connection, linear_model())
    report, cases = deployed.gate(deployed.artifact)
    assert report.passed, report.summary()
    assert (report.real_rows, len(report.notes)) == (0, 1)
    assert "the table is empty" in report.summary()
    assert len(json.loads(cases)["varied"]) == report.adversarial_rows
    connection.close()


def test_a_large_table_is_sampled(connection18: Any) -> None:
    with connection18, connection18.cursor() as cursor:
        cursor.execute(
            "INSERT INTO customers SELECT i, i % 70, i % 113, 'basic', false FROM generate_series(1000, 40000) AS i"
        )
        cursor.execute("ANALYZE customers")
    deployed = compiled(connection18, linear_model())
    report, _ = deployed.gate(deployed.artifact, max_rows=500)
    assert report.passed, report.summary()
    assert 300 <= report.real_rows <= 500


def test_a_view_and_other_types_of_columns(connection: Any) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute(
            """
            CREATE TYPE plan AS ENUM ('basic', 'gold', 'it''s', 'retired');
            CREATE VIEW narrow AS
                SELECT tenure::smallint AS "TENURE", charge::real AS charge, plan::plan, senior, id FROM customers
            """
        )
    deployed = compiled(connection, linear_model(), table="narrow")
    report, _ = deployed.gate(deployed.artifact)
    assert report.passed, report.summary()
    assert report.real_rows == 200


@pytest.mark.parametrize("kind", ["float8", "real", "smallint", "numeric(12, 3)"])
def test_beyond_100_columns_rows_travel_as_rows_of_the_table(connection18: Any, kind: str) -> None:
    rng = np.random.default_rng(5)
    names = [f"c{i} %" for i in range(104)]
    frame = pd.DataFrame(rng.integers(0, 9, (60, 104)).astype(float), columns=names)
    model = make_pipeline(SimpleImputer(), LinearRegression()).fit(frame, rng.normal(size=60))
    with connection18, connection18.cursor() as cursor:
        cursor.execute("CREATE TABLE wide (" + ", ".join(f'"{name}" {kind}' for name in names) + ")")
        execute_values(cursor, "INSERT INTO wide VALUES %s", frame.astype(int).values.tolist())
    deployed = compiled(connection18, model, table="wide")
    report, _ = deployed.gate(deployed.artifact)
    assert report.passed, report.summary()
    assert report.real_rows == 60
    assert report.adversarial_rows > 500

    body = deployed.artifact.functions[0].body.text
    weight = literals(body, r"\* ")[7]
    refuses(deployed, changed(deployed.artifact, "", moved(weight, float(weight[1]) * (1 + 1e-5))))


def test_rows_are_read_with_the_users_own_rights(connection18: Any, installed18: str) -> None:
    deployed = compiled(connection18, tree_model())
    apply(connection18, VersionPlan("m", 1, deployed.artifact, deployed.binding).statements())
    with connection18.cursor() as cursor:
        cursor.execute(
            "DROP ROLE IF EXISTS gate_outsider; CREATE ROLE gate_outsider;"
            "GRANT USAGE ON SCHEMA score TO gate_outsider;"
            "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA score TO gate_outsider;"
            "SET LOCAL ROLE gate_outsider"
        )
    oracle = Oracle(deployed.model, deployed.artifact.parameters, deployed.artifact.functions)
    with pytest.raises(RightsError, match="permission denied for table customers"):
        gate(connection18, deployed.artifact, name="m", version=1, table="public.customers", oracle=oracle)
    connection18.rollback()


def test_the_gate_leaves_the_transaction_usable(shared: Any) -> None:
    deployed = compiled(shared, linear_model())
    broken = changed(deployed.artifact, "", lambda body: f"{body} + 1 / length('')")
    apply(shared, VersionPlan("m", 1, broken, deployed.binding).statements())
    oracle = Oracle(deployed.model, broken.parameters, broken.functions)
    report, _ = gate(shared, broken, name="m", version=1, table="public.customers", oracle=oracle)
    assert not report.passed
    assert shared.info.transaction_status == psycopg2.extensions.TRANSACTION_STATUS_INTRANS
