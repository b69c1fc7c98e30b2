"""Models granted to roles one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import psycopg2.errors
import pytest

from pgscore.errors import NotFoundError, RightsError
from pgscore.procedures.deploy import deploy
from pgscore.procedures.lifecycle import drop, history, promote
from pgscore.procedures.rights import Grant, grant, list_grants, revoke

from ..support.roles import Cast, name_of
from ..support.tiny import FRAME, NUMBERS, classifier, make_customers, query, regressor, value

DENIED = psycopg2.errors.InsufficientPrivilege


@pytest.fixture
def deployer(admin: Any, cast: Cast) -> Any:
    """Has deployed models churn and amount."""
    make_customers(admin)
    query(admin, "GRANT SELECT ON customers TO PUBLIC")
    own = cast("deployer", "promoter")
    deploy(own, classifier(), name="churn", table="customers")
    deploy(own, regressor(), name="amount", table="customers")
    return own


def test_one_model_and_no_other(deployer: Any, cast: Cast) -> None:
    analyst = cast()
    with pytest.raises(DENIED):
        query(analyst, "SELECT score.churn(c) FROM customers c")
    assert grant(deployer, "churn", name_of(analyst))
    assert not grant(deployer, "churn", name_of(analyst))
    expected = classifier().estimator.predict_proba(FRAME[NUMBERS])[:, 1]
    for call in ("score.churn(c)", "score.churn_v1(c)", "pgscore.score('churn', to_jsonb(c))::float8"):
        found = [row[0] for row in query(analyst, f"SELECT {call} FROM customers c ORDER BY id")]
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert value(analyst, "SELECT pgscore.warm_up('churn') ->> 'version'") == "1"
    for call in ("score.amount(c)", "pgscore.score('amount', to_jsonb(c))"):
        with pytest.raises(DENIED):
            query(analyst, f"SELECT {call} FROM customers c")
    with pytest.raises(DENIED):
        query(analyst, "SELECT * FROM pgscore.versions")


def test_versions_to_come_are_granted_too(deployer: Any, cast: Cast) -> None:
    analyst = cast()
    grant(deployer, "churn", name_of(analyst))
    deploy(deployer, classifier(2.0), name="churn", table="customers")
    # Its functions have other types: they are made anew, and not replaced.
    deploy(deployer, regressor(), name="churn", table="customers")
    for version in (2, 3):
        assert len(query(analyst, f"SELECT score.churn_v{version}(c) FROM customers c")) == 5
        promote(deployer, "churn", version)
        assert len(query(analyst, "SELECT score.churn(c) FROM customers c")) == 5


def test_a_revoke_takes_all_back(admin: Any, deployer: Any, cast: Cast) -> None:
    analyst = cast()
    name = name_of(analyst)
    acls = """
        SELECT coalesce(string_agg(acl::text, ' '), '')
        FROM (SELECT proacl FROM pg_proc
              UNION ALL SELECT nspacl FROM pg_namespace
              UNION ALL SELECT relacl FROM pg_class) AS o (acl)
        WHERE acl::text LIKE %s"""
    for model in ("churn", "amount"):
        grant(deployer, model, name)
    assert revoke(deployer, "churn", name)
    assert not revoke(deployer, "churn", name)
    with pytest.raises(DENIED):
        query(analyst, "SELECT score.churn(c) FROM customers c")
    assert len(query(analyst, "SELECT pgscore.score('amount', to_jsonb(c)) FROM customers c")) == 5
    assert revoke(deployer, "amount", name)
    assert value(admin, acls, (f"%{name}%",)) == ""
    told = [(event.action, event.note) for event in history(deployer, "churn")[-2:]]
    assert told == [("grant", name), ("revoke", name)]


def test_the_list_says_who_and_when(admin: Any, deployer: Any, cast: Cast) -> None:
    first, second = cast(), cast("monitor")
    grant(deployer, "churn", name_of(first))
    query(admin, f"GRANT EXECUTE ON FUNCTION score.amount_v1(customers) TO {name_of(second)}")
    granted = {(g.model, g.role, g.granted_by, g.granted_at is None) for g in list_grants(deployer)}
    assert granted == {
        ("churn", name_of(first), name_of(deployer), False),
        ("amount", name_of(second), None, True),
    }
    assert list_grants(second, "amount") == [Grant("amount", name_of(second), None, None)]
    drop(deployer, "churn")
    assert [g.model for g in list_grants(deployer)] == ["amount"]


def test_what_is_refused(deployer: Any, cast: Cast) -> None:
    with pytest.raises(NotFoundError, match="there is no role nobody_of_that_name"):
        grant(deployer, "churn", "nobody_of_that_name")
    with pytest.raises(NotFoundError, match="nothing is granted to PUBLIC"):
        grant(deployer, "churn", "public")
    for action in (grant, revoke):
        with pytest.raises(NotFoundError, match="there is no model 'other'"):
            action(deployer, "other", name_of(deployer))
        with pytest.raises(RightsError):
            action(cast("promoter"), "churn", name_of(deployer))


def test_a_role_of_an_odd_name(admin: Any, deployer: Any) -> None:
    name = 'an "odd" one; DROP TABLE customers; --'
    quoted = '"' + name.replace('"', '""') + '"'
    query(admin, f"CREATE ROLE {quoted}")
    try:
        assert grant(deployer, "churn", name)
        assert [g.role for g in list_grants(deployer)] == [name]
        deploy(deployer, classifier(3.0), name="churn", table="customers", promote=True)
        assert value(admin, "SELECT has_function_privilege(%s, 'score.churn(customers)', 'EXECUTE')", (name,))
        assert revoke(deployer, "churn", name)
        assert list_grants(deployer) == []
    finally:
        query(admin, f"DROP OWNED BY {quoted}; DROP ROLE {quoted}")
