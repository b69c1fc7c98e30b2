"""`pgscore calibrate` stores costs that were measured here, and deploys choose by what is stored."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import psycopg2
import pytest

from pgscore.compiler.artifact import Strategy, Use
from pgscore.compiler.costs import DEFAULTS
from pgscore.errors import NotInstalledError, RightsError
from pgscore.procedures.calibrate import calibrate
from pgscore.procedures.costs import read_costs, write_costs
from pgscore.procedures.deploy import deploy

from ..cli.conftest import pgscore
from ..support.objects import objects
from ..support.tiny import make_customers, opened, query, regressor, value

ONNX = {name for name in asdict(DEFAULTS) if name.startswith("onnx")}


def kept(connection: Any) -> list[Any]:
    """All that a calibration must leave as it was."""
    counts = "SELECT (SELECT count(*) FROM pgscore.models), (SELECT count(*) FROM pgscore.onnx_graphs)"
    return [objects(connection), query(connection, counts)]


def test_it_measures_all_costs_and_leaves_nothing_else(with_plpython: str) -> None:
    with opened(with_plpython) as connection:
        before = kept(connection)
        found = calibrate(connection)
        assert kept(connection) == before
        costs = asdict(found.costs)
        assert all(cost >= 0 for cost in costs.values())
        assert found.costs.onnx_call not in {0.0, DEFAULTS.onnx_call}
        assert set(found.errors) >= {"inline", "plpgsql", "ONNX in batches"}
        assert dict(query(connection, "SELECT name, microseconds FROM pgscore.costs")) == costs
        assert read_costs(connection) == found.costs
        again = calibrate(connection)
        assert read_costs(connection) == again.costs


def test_without_plpython_onnx_keeps_its_defaults(installed18: str) -> None:
    outcome = pgscore("calibrate", "--json", "--dry-run", "--dsn", installed18)
    assert outcome.code == 0
    said = json.loads(outcome.out)
    assert {name for name, cost in said["costs"].items() if cost == asdict(DEFAULTS)[name]} == ONNX
    assert said["stored"] is False
    with opened(installed18) as connection:
        assert query(connection, "SELECT * FROM pgscore.costs") == []
        assert read_costs(connection) == DEFAULTS
    outcome = pgscore("calibrate", "--dsn", installed18)
    assert "Stored" in outcome.out
    with opened(installed18) as connection:
        assert value(connection, "SELECT count(*) FROM pgscore.costs") == len(asdict(DEFAULTS))


def test_a_deployer_reads_what_only_the_owner_writes(installed: str) -> None:
    with opened(installed) as connection:
        make_customers(connection)
        write_costs(connection, replace(DEFAULTS, planning=9000.0))
        query(
            connection,
            "CREATE ROLE calibrating LOGIN IN ROLE pgscore_deployer; GRANT SELECT ON customers TO calibrating",
        )
        try:
            with opened(installed.replace("postgres@", "calibrating@")) as deployer:
                done = deploy(deployer, regressor(), name="m", table="customers", dry_run=True)
                assert done.artifact.strategy is Strategy.PLPGSQL
                with pytest.raises(RightsError, match='role calibrating may not store costs; GRANT "pgscore_owner"'):
                    calibrate(deployer)
                with pytest.raises(psycopg2.errors.InsufficientPrivilege), deployer.cursor() as cursor:
                    cursor.execute("DELETE FROM pgscore.costs")
        finally:
            query(connection, "REVOKE SELECT ON customers FROM calibrating; DROP ROLE calibrating")


@pytest.mark.parametrize(
    ("changes", "uses"),
    [
        ({}, {Strategy.SQL}),
        ({"planning": 2000.0}, {Strategy.SQL, Strategy.PLPGSQL}),
        ({"planning_operation": 3000.0}, {Strategy.PLPGSQL}),
    ],
)
def test_another_cost_is_another_choice(installed18: str, changes: dict[str, float], uses: set[Strategy]) -> None:
    with opened(installed18) as connection:
        make_customers(connection)
        write_costs(connection, replace(DEFAULTS, **changes))
        done = deploy(connection, regressor(), name="m", table="customers")
        assert set(done.artifact.uses.values()) == uses
        assert done.artifact.estimates[Use.QUERY][Strategy.SQL].start >= 0


@pytest.mark.parametrize("wrong", ["-1", "'NaN'", "'Infinity'", "NULL"])
def test_a_cost_is_a_time(installed18: str, wrong: str) -> None:
    with opened(installed18) as connection, pytest.raises(psycopg2.IntegrityError):
        query(connection, f"INSERT INTO pgscore.costs (name, microseconds) VALUES ('planning', {wrong})")


def test_names_of_other_releases_are_passed_over(installed18: str) -> None:
    with opened(installed18) as connection:
        query(connection, "INSERT INTO pgscore.costs (name, microseconds) VALUES ('planning', 7), ('of_tomorrow', 9)")
        assert read_costs(connection) == replace(DEFAULTS, planning=7.0)


def test_where_pgscore_is_not_installed(database18: str) -> None:
    with opened(database18) as connection, pytest.raises(NotInstalledError):
        calibrate(connection)
