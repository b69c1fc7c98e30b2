"""Grants in pgscore.toml: made by apply, revoked by `--prune` only, and never of a model that says nothing of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from pgscore.errors import ActionError, NotFoundError
from pgscore.procedures import rights
from pgscore.procedures.project import read_project
from pgscore.procedures.project_apply import apply_project, check_plan
from pgscore.procedures.project_plan import plan_project

from ..support.projects import CHURN, DAILY, Checkout, lines
from ..support.tiny import make_customers, opened, query, value

PAGE = Path(__file__).parent.parent.parent / "docs/ci.md"
ROLES = re.search(r"^## Rights\n\n```sql\n(.*?)^```", PAGE.read_text(), re.S | re.M)[1]
ANALYST = CHURN + 'grants = ["pgscore_test_analyst"]\n'


@pytest.fixture
def checkout(installed: str, tmp_path: Path) -> Iterator[Checkout]:
    """With two roles, which belong to the whole server."""
    with opened(installed) as connection:
        make_customers(connection)
        for role in ("pgscore_test_analyst", "pgscore_test_reporting"):
            query(connection, f"CREATE ROLE {role} LOGIN; GRANT SELECT ON customers TO {role}")
        yield Checkout(tmp_path, connection)
        connection.rollback()
        for role in ("pgscore_test_analyst", "pgscore_test_reporting"):
            query(connection, f"DROP OWNED BY {role}; DROP ROLE {role}")


def granted(checkout: Checkout) -> list[tuple[str, str]]:
    return [(grant.model, grant.role) for grant in rights.list_grants(checkout.connection)]


def test_grants_are_made_with_the_model(checkout: Checkout, installed: str) -> None:
    text = ANALYST.replace('analyst"', 'analyst", "pgscore_test_reporting"') + DAILY
    assert lines(checkout.plan(text).actions) == [
        "+ deploy churn version 1 for public.customers: a.skops (a new file); live → 1",
        "+ grant churn to pgscore_test_analyst",
        "+ grant churn to pgscore_test_reporting",
        "+ create job daily: public.customers through churn into predictions.churn",
    ]
    checkout.apply(text)
    assert granted(checkout) == [("churn", "pgscore_test_analyst"), ("churn", "pgscore_test_reporting")]
    with opened(psycopg2.extensions.make_dsn(installed, user="pgscore_test_analyst")) as connection:
        assert value(connection, "SELECT count(score.churn(c)) FROM customers c") == 5
    # The next version is granted as well, with nothing more to do.
    assert [action.kind for action in checkout.apply(text.replace("a.skops", "b.skops"))] == ["deploy"]
    with opened(psycopg2.extensions.make_dsn(installed, user="pgscore_test_analyst")) as connection:
        assert value(connection, "SELECT count(score.churn(c)) FROM customers c") == 5


def test_grants_that_the_file_does_not_name_are_revoked_with_prune_only(checkout: Checkout) -> None:
    checkout.apply(ANALYST)
    rights.grant(checkout.connection, "churn", "pgscore_test_reporting")
    plan = checkout.plan(ANALYST)
    assert plan.actions == ()
    assert plan.unchanged == ("model churn", "grant of churn to pgscore_test_analyst")
    assert plan.unnamed == ("grant of churn to pgscore_test_reporting",)
    assert lines(checkout.apply(ANALYST, prune=True)) == ["- revoke churn from pgscore_test_reporting"]
    assert granted(checkout) == [("churn", "pgscore_test_analyst")]
    assert lines(checkout.apply(CHURN + "grants = []\n", prune=True)) == ["- revoke churn from pgscore_test_analyst"]
    assert granted(checkout) == []


def test_a_file_that_says_nothing_of_grants_revokes_none(checkout: Checkout) -> None:
    checkout.apply(ANALYST)
    for prune in (False, True):
        plan = checkout.plan(CHURN, prune=prune)
        assert (plan.actions, plan.unnamed) == ((), ())
    # Nor of models that it does not name.
    assert checkout.plan(ANALYST.replace("churn", "other"), prune=True).unnamed == ("model churn",)
    assert granted(checkout) == [("churn", "pgscore_test_analyst")]


def test_a_role_that_is_not_there(checkout: Checkout) -> None:
    with pytest.raises(
        NotFoundError, match=r"\[models.churn\] grants: .* 'pgscore_test_analyts'.* mean 'pgscore_test_"
    ):
        checkout.plan(ANALYST.replace("analyst", "analyts"))
    with pytest.raises(NotFoundError, match="there is no role 'public'"):
        checkout.plan(ANALYST.replace("pgscore_test_analyst", "public"))


def test_the_roles_of_the_ci_page(checkout: Checkout, installed: str) -> None:
    query(checkout.connection, re.sub(r"\b(planner|deployer)\b", r"pgscore_test_\1", ROLES))
    query(checkout.connection, "GRANT SELECT ON customers TO pgscore_test_planner, pgscore_test_deployer")
    query(checkout.connection, "CREATE SCHEMA predictions AUTHORIZATION pgscore_test_deployer")
    project = read_project(checkout.write(ANALYST + DAILY))
    try:
        with opened(psycopg2.extensions.make_dsn(installed, user="pgscore_test_planner")) as connection:
            plan = plan_project(connection, project)
            assert [action.kind for action in plan.actions] == ["deploy", "grant", "create job"]
            assert check_plan(connection, plan) == (["deploy churn version 1"], [])
            with pytest.raises(ActionError, match="may not deploy"):
                apply_project(connection, project)
        with opened(psycopg2.extensions.make_dsn(installed, user="pgscore_test_deployer")) as connection:
            assert len(apply_project(connection, project)[1]) == 3
            assert plan_project(connection, project).actions == ()
    finally:
        query(
            checkout.connection,
            "DROP OWNED BY pgscore_test_planner, pgscore_test_deployer CASCADE;"
            " DROP ROLE pgscore_test_planner, pgscore_test_deployer",
        )
