"""A folder with a pgscore.toml and model files beside it, as a checkout in CI has them."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import skops.io

from pgscore.procedures.catalog import list_versions
from pgscore.procedures.connection import Connection
from pgscore.procedures.project import read_project
from pgscore.procedures.project_actions import Action
from pgscore.procedures.project_apply import apply_project
from pgscore.procedures.project_plan import Plan, plan_project

from .tiny import classifier, make_customers, mixed, opened, regressor

CHURN = """
[models.churn]
file = "a.skops"
table = "customers"
"""
DAILY = """
[jobs.daily]
model = "churn"
source = "customers"
key = ["id"]
target = "predictions.churn"
"""


class Checkout:
    """The folder, and a database that pgscore.toml is planned against and applied to.

    Files: a.skops and b.skops, two classifiers of the same inputs; mixed.skops, which also reads the column plan;
    regressor.skops; a.pkl.
    """

    def __init__(self, folder: Path, connection: Connection) -> None:
        self.folder = folder
        self.connection = connection
        self.models = {"a": classifier(1.0), "b": classifier(0.1), "mixed": mixed(), "regressor": regressor()}
        for name, model in self.models.items():
            skops.io.dump(model.estimator, folder / f"{name}.skops")
        (folder / "a.pkl").write_bytes(pickle.dumps(self.models["a"].estimator))

    def write(self, text: str) -> Path:
        path = self.folder / "pgscore.toml"
        path.write_text(text)
        return path

    def plan(self, text: str, *, prune: bool = False) -> Plan:
        return plan_project(self.connection, read_project(self.write(text)), prune=prune)

    def apply(self, text: str, **options: Any) -> list[Action]:
        """Applies, asserts that then there is nothing to do, and gives the actions that were done."""
        path = self.write(text)
        plan, done = apply_project(self.connection, read_project(path), **options)
        assert plan.actions == tuple(one.action for one in done)
        left = plan_project(self.connection, read_project(path), prune=options.get("prune", False))
        assert left.actions == ()
        return list(plan.actions)


def lines(actions: Any) -> list[str]:
    return [f"{action.sign} {action}" for action in actions]


@pytest.fixture
def checkout(installed: str, tmp_path: Path) -> Iterator[Checkout]:
    yield from checked_out(installed, tmp_path)


@pytest.fixture
def checkout18(installed18: str, tmp_path: Path) -> Iterator[Checkout]:
    yield from checked_out(installed18, tmp_path)


def checked_out(dsn: str, folder: Path) -> Iterator[Checkout]:
    with opened(dsn) as connection:
        make_customers(connection)
        yield Checkout(folder, connection)


def versions(checkout: Checkout) -> list[tuple[str, int, list[str]]]:
    return [(v.model, v.version, list(v.aliases)) for v in list_versions(checkout.connection)]
