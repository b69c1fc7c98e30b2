"""What each role may, and that a deployer's functions are no way to other roles' rights."""

from __future__ import annotations

from typing import Any

import numpy as np
import psycopg2
import psycopg2.errors
import psycopg2.extras
import pytest
from sklearn.ensemble import RandomForestClassifier

from pgscore.compiler.artifact import Strategy
from pgscore.errors import RefusedError, RightsError
from pgscore.procedures import lifecycle
from pgscore.procedures.deploy import deploy
from pgscore.procedures.lifecycle import drop, history, list_models, promote, rollback, show
from pgscore.procedures.refresh import status
from pgscore.procedures.verify import verify

from ..support.roles import Cast, name_of
from ..support.tiny import FRAME, NUMBERS, classifier, loaded, make_customers, query, value

DENIED = psycopg2.errors.InsufficientPrivilege


@pytest.fixture(autouse=True)
def customers(admin: Any) -> None:
    make_customers(admin)
    query(admin, "GRANT SELECT ON customers TO pgscore_deployer, pgscore_scorer")


def forest() -> Any:
    model = RandomForestClassifier(5, max_depth=3, random_state=0).fit(FRAME[NUMBERS], FRAME["tenure"] < 20)
    return loaded(model)


def test_a_deployer_deploys_verifies_and_drops(admin: Any, cast: Cast) -> None:
    deployer = cast("deployer")
    for number, model in enumerate((classifier(), forest()), start=1):
        strategy = Strategy.PLPGSQL if number == 2 else None
        done = deploy(deployer, model, name="churn", table="customers", strategy=strategy)
        assert (done.version, done.promoted) == (number, number == 1)
        found = [row[0] for row in query(deployer, f"SELECT score.churn_v{number}(c) FROM customers c ORDER BY id")]
        np.testing.assert_allclose(found, model.estimator.predict_proba(FRAME[NUMBERS])[:, 1], rtol=1e-12)
        assert verify(deployer, "churn", number).passed
    assert history(deployer, "churn")[-1].by == name_of(deployer)
    assert show(deployer, "churn", 2).version == 2
    owners = (
        "SELECT DISTINCT proowner::regrole::text FROM pg_proc WHERE pronamespace = 'score'::regnamespace ORDER BY 1"
    )
    assert [row[0] for row in query(admin, owners)] == ["pgscore_owner", "pgscore_sandbox"]
    assert value(admin, "SELECT count(*) FROM pg_proc WHERE pronamespace = 'pgscore_staging'::regnamespace") == 0
    drop(deployer, "churn", 2)
    drop(deployer, "churn")
    assert list_models(deployer) == []


def test_a_deployer_is_no_promoter(cast: Cast) -> None:
    deployer, both = cast("deployer"), cast("deployer", "promoter")
    deploy(deployer, classifier(), name="churn", table="customers")
    with pytest.raises(RightsError, match="may deploy and not promote; GRANT pgscore_promoter TO"):
        deploy(deployer, classifier(2.0), name="churn", table="customers", promote=True)
    assert list_models(deployer)[0].versions == 1
    assert deploy(both, classifier(2.0), name="churn", table="customers", promote=True).promoted
    with pytest.raises(RightsError):
        rollback(deployer, "churn")
    assert rollback(both, "churn") == 1


NOT_A_DEPLOYERS = [
    "CREATE FUNCTION score.churn(text) RETURNS text RETURN 'mine'",
    "CREATE FUNCTION pgscore.mine() RETURNS text RETURN 'mine'",
    "CREATE TABLE score.mine ()",
    "CREATE OR REPLACE FUNCTION score.churn_v1(tenure integer, monthly float8) RETURNS float8 IMMUTABLE RETURN 1.0",
    "DROP FUNCTION score.churn_v1(customers)",
    "ALTER FUNCTION score.churn_v1(customers) RENAME TO other",
    "INSERT INTO pgscore.history (model_id, model, action) VALUES (1, 'churn', 'deploy')",
    "UPDATE pgscore.aliases SET alias = 'mine'",
    "UPDATE pgscore.models SET last_version = 7",
    "DELETE FROM pgscore.versions",
    "SELECT content FROM pgscore.onnx_graphs",
    "SELECT pgscore.move_alias(1, 'live', 1, 'promote', NULL)",
    "SELECT pgscore.replace_moving_functions('churn', 1, NULL, '[]')",
    "SET ROLE pgscore_owner",
    "SET ROLE pgscore_sandbox",
]


def test_what_a_deployer_may_not(cast: Cast) -> None:
    deployer = cast("deployer")
    deploy(deployer, classifier(), name="churn", table="customers")
    for statement in NOT_A_DEPLOYERS:
        with pytest.raises(DENIED):
            query(deployer, statement)


SIGNATURE = "pgscore_staging.churn_v2(tenure integer, monthly double precision)"


def publish(deployer: Any, *statements: str) -> None:
    """What a deployer with psql could do instead of `pgscore deploy`."""
    with deployer, deployer.cursor() as cursor:
        cursor.execute("SELECT pgscore.begin_version('churn')")
        for statement in statements:
            cursor.execute(statement)
        cursor.execute(
            "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'pgscore_staging'::regnamespace"
        )
        for (signature,) in cursor.fetchall():
            cursor.execute(f"ALTER FUNCTION {signature} OWNER TO pgscore_deployer")
        cursor.execute("SELECT pgscore.publish_functions('churn', 2)")


IMPURE = [
    ("RETURN (SELECT count(*) FROM pgscore_secret)::float8", "reads a table"),
    ("RETURN (SELECT count(*) FROM pg_authid)::float8", "reads a table"),
    ("RETURN length(query_to_xml('TABLE pgscore_secret', true, false, '')::text)", r"calls query_to_xml"),
    ("RETURN (SELECT count(*)::float8 FROM pg_read_file('/etc/passwd'))", "calls pg_read_file"),
    ("RETURN nextval('pgscore_numbers')", "calls nextval"),
    ("RETURN pgscore_trojan()", "calls public.pgscore_trojan"),
    ("RETURN monthly OPERATOR(public.@+@) monthly", "calls public.pgscore_plus"),
    ("RETURN length(('1'::text::public.pgscore_checked)::text)", "COERCETODOMAIN"),
    ("RETURN length((('(x)'::text)::public.pgscore_pair)::text)", "casts to public.pgscore_pair"),
    ("RETURN random()", "calls random"),
    ("RETURN length(current_user)", "SQLVALUEFUNCTION"),
    ("BEGIN ATOMIC INSERT INTO pgscore_secret VALUES (1); SELECT 2.0::float8; END", "holds|SELECT|reads a table"),
    ("SET work_mem = '1GB' RETURN 1.0", "neither plpgsql nor SQL"),
    ("AS 'SELECT 1.0::float8'", "neither plpgsql nor SQL"),
    ("SECURITY DEFINER RETURN 1.0", "no plain function"),
    ("VOLATILE RETURN 1.0", "no plain function"),
    ("LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'", "does not pin its search_path"),
    ("LANGUAGE plpgsql SET search_path = public AS 'BEGIN RETURN 1; END'", "does not pin its search_path"),
    ("LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET row_security = off AS 'BEGIN RETURN 1; END'", "pin"),
]
"""Bodies of a function of two numbers, and why each is refused."""


def test_functions_that_do_more_than_compute_are_refused(admin: Any, cast: Cast) -> None:
    deployer = cast("deployer")
    deploy(deployer, classifier(), name="churn", table="customers")
    query(
        admin,
        """
        CREATE TABLE pgscore_secret (x integer); CREATE SEQUENCE pgscore_numbers;
        CREATE FUNCTION pgscore_trojan() RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 1; END';
        CREATE FUNCTION pgscore_plus(float8, float8) RETURNS float8 LANGUAGE sql IMMUTABLE RETURN $1 + $2;
        CREATE OPERATOR @+@ (FUNCTION = pgscore_plus, LEFTARG = float8, RIGHTARG = float8);
        CREATE DOMAIN pgscore_checked AS text CHECK (pgscore_trojan() > 0);
        CREATE TYPE pgscore_pair AS (x pgscore_checked);
        GRANT ALL ON pgscore_secret, pgscore_numbers TO PUBLIC;
        -- For what parses only with a right on it.
        GRANT SELECT ON pg_authid TO pgscore_deployer; GRANT EXECUTE ON FUNCTION pg_read_file(text) TO pgscore_deployer;
        """,
    )
    query(deployer, "SET search_path = public, pg_catalog")
    for body, why in IMPURE:
        language = "" if "LANGUAGE" in body else "LANGUAGE sql "
        volatility = "" if "VOLATILE" in body else "IMMUTABLE "
        with pytest.raises(psycopg2.Error, match="is no function of a model") as refused:
            publish(deployer, f"CREATE FUNCTION {SIGNATURE} RETURNS float8 {language}{volatility}PARALLEL SAFE {body}")
        refused.match(why)
    assert value(admin, "SELECT count(*) FROM pg_proc WHERE proname = 'churn_v2'") == 0
    query(admin, "REVOKE SELECT ON pg_authid FROM pgscore_deployer")
    query(admin, "REVOKE EXECUTE ON FUNCTION pg_read_file(text) FROM pgscore_deployer")


def test_a_body_in_plpgsql_has_no_rights(admin: Any, cast: Cast) -> None:
    """It may hold anything; it runs as pgscore_sandbox, also when a superuser scores."""
    deployer = cast("deployer")
    deploy(deployer, classifier(), name="churn", table="customers")
    query(admin, "CREATE TABLE secret (x integer)")
    publish(
        deployer,
        f"""
        CREATE FUNCTION {SIGNATURE} RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
        SET search_path = pg_catalog, pg_temp
        AS $$
        DECLARE
            found text := current_user;
        BEGIN
            IF tenure > 0 THEN
                EXECUTE CASE tenure WHEN 1 THEN 'SELECT count(*) FROM public.secret'
                                    WHEN 2 THEN 'SELECT pg_read_file(''/etc/passwd'')'
                                    WHEN 3 THEN 'SET ROLE postgres'
                                    WHEN 4 THEN 'SELECT content FROM pgscore.onnx_graphs'
                                    WHEN 5 THEN 'RESET SESSION AUTHORIZATION'
                                    ELSE 'SELECT pgscore.promote(''churn'', 1)' END;
            END IF;
            RETURN found;
        END
        $$
        """,
    )
    assert value(admin, "SELECT score.churn_v2(0, 0)") == "pgscore_sandbox"
    for attempt in (1, 2, 4, 6):
        with pytest.raises(DENIED):
            query(admin, f"SELECT score.churn_v2({attempt}, 0)")
    for attempt in (3, 5):
        with pytest.raises((DENIED, psycopg2.errors.FeatureNotSupported), match=r"cannot set parameter|not allowed"):
            query(admin, f"SELECT score.churn_v2({attempt}, 0)")


def test_another_roles_functions_are_not_published(admin: Any, cast: Cast) -> None:
    deployer = cast("deployer")
    deploy(deployer, classifier(), name="churn", table="customers")
    create = f"CREATE FUNCTION {SIGNATURE} RETURNS float8 IMMUTABLE PARALLEL SAFE RETURN 1.0"
    with pytest.raises(psycopg2.Error, match=f"belongs to {name_of(deployer)}"):
        query(
            deployer,
            f"SELECT pgscore.begin_version('churn'); {create}; SELECT pgscore.publish_functions('churn', 2)",
        )


FALSE_RECORDS: list[tuple[dict[str, object], str]] = [
    ({"bound_table": "customers; DROP TABLE customers"}, "no table|invalid name|syntax"),
    ({"functions": [{"suffix": "", "result": "text"}]}, "gives another type"),
    ({"functions": [{"suffix": "x", "result": "double precision"}]}, "is not there"),
    ({"parameters": [{"name": "tenure", "type": "text); DROP TABLE customers; --"}]}, "parameter_types_are_known"),
    ({"parameters": [{"name": "tenure"}]}, "parameter_types_are_known"),
    ({"parameters": {"name": "tenure", "type": "text"}}, "parameters_is_a_list|array"),
]


def record(deployer: Any, change: dict[str, object]) -> None:
    """A version 2 that gives 1, with the record of version 1 but for `change`."""
    details = "SELECT to_jsonb(v) FROM pgscore.versions AS v"
    with deployer, deployer.cursor() as cursor:
        cursor.execute("SELECT pgscore.begin_version('churn')")
        cursor.execute(f"CREATE FUNCTION {SIGNATURE} RETURNS float8 IMMUTABLE PARALLEL SAFE RETURN 1.0")
        cursor.execute("ALTER FUNCTION pgscore_staging.churn_v2 OWNER TO pgscore_deployer")
        cursor.execute("SELECT pgscore.publish_functions('churn', 2)")
        cursor.execute(
            f"SELECT pgscore.add_version('churn', 2, ({details}) || %s::jsonb, '{{}}')",
            (psycopg2.extras.Json(change),),
        )


def test_a_record_that_is_not_true_is_refused(admin: Any, cast: Cast) -> None:
    deployer = cast("deployer")
    deploy(deployer, classifier(), name="churn", table="customers")
    for change, why in FALSE_RECORDS:
        with pytest.raises(psycopg2.Error, match=why):
            record(deployer, {"functions": [{"suffix": "", "result": "double precision"}], **change})
    assert value(admin, "SELECT count(*) FROM customers") == 5


def test_a_deploy_of_another_step_is_refused(cast: Cast) -> None:
    deployer = cast("deployer")
    deploy(deployer, classifier(), name="churn", table="customers")
    for call in (
        "pgscore.publish_functions('churn', 1)",
        "pgscore.publish_functions('churn', 2)",
        "pgscore.publish_functions('other', 1)",
        "pgscore.add_version('churn', 1, '{}', '{}')",
        "pgscore.add_graph('churn', 1, '')",
    ):
        with pytest.raises(Exception, match="is not being deployed"):
            query(deployer, f"SELECT {call}")
    with pytest.raises(Exception, match="next version of model churn is 2 by now, not 7"):
        query(deployer, "SELECT pgscore.begin_version('churn', 7)")


def test_a_monitor_reads_and_does_nothing(cast: Cast) -> None:
    deploy(cast("deployer"), classifier(), name="churn", table="customers")
    monitor = cast("monitor")
    assert [model.live for model in list_models(monitor)] == [1]
    assert len(history(monitor, "churn")) == 2
    assert show(monitor, "churn").sql
    assert status(monitor) == []
    assert query(monitor, "SELECT * FROM pgscore.grant_overview, pgscore.runs, pgscore.jobs") == []
    for statement in (
        "SELECT score.churn_v1(1, 2.0)",
        "SELECT pgscore.promote('churn', 1)",
        "SELECT pgscore.drop_model('churn')",
        "SELECT pgscore.grant_model('churn', current_user)",
        "SELECT content FROM pgscore.onnx_graphs",
        "SELECT cases FROM pgscore.parity_cases",
        "CREATE FUNCTION pgscore_staging.f() RETURNS integer RETURN 1",
    ):
        with pytest.raises(DENIED):
            query(monitor, statement)


def test_a_scorer_scores_and_sees_nothing(cast: Cast) -> None:
    deploy(cast("deployer"), classifier(), name="churn", table="customers")
    scorer = cast("scorer")
    assert value(scorer, "SELECT score.churn(1, 2.0) = score.churn_v1(1, 2.0)")
    with pytest.raises(RightsError):
        lifecycle.list_models(scorer)
    for relation in ("versions", "version_overview", "parity_cases", "onnx_graphs", "history", "models", "runs"):
        with pytest.raises(DENIED):
            query(scorer, f"SELECT * FROM pgscore.{relation}")


def test_nobody_else_may_anything(cast: Cast) -> None:
    deploy(cast("deployer"), classifier(), name="churn", table="customers")
    nobody = cast()
    for statement in (
        "SELECT score.churn(1, 2.0)",
        "SELECT pgscore.score('churn', '{}')",
        "SELECT * FROM pgscore.freshness",
        "SELECT pgscore_staging.f()",
    ):
        with pytest.raises(DENIED):
            query(nobody, statement)


BY_HAND = [
    "UPDATE pgscore.aliases SET version_id = (SELECT max(version_id) FROM pgscore.versions)",
    "DELETE FROM pgscore.aliases",
    "INSERT INTO pgscore.aliases SELECT model_id, 'mine', version_id FROM pgscore.versions LIMIT 1",
    "TRUNCATE pgscore.aliases",
    "DELETE FROM pgscore.versions WHERE version = 2",
    "DELETE FROM pgscore.parity_cases",
    "TRUNCATE pgscore.models CASCADE",
    "UPDATE pgscore.models SET name = 'other'",
    "UPDATE pgscore.models SET last_version = 1",
    "UPDATE pgscore.versions SET sha256 = ''",
    "INSERT INTO pgscore.versions SELECT * FROM pgscore.versions",
]


def test_a_statement_by_hand_is_refused_even_as_superuser(admin: Any) -> None:
    for weight in (1.0, 2.0):
        deploy(admin, classifier(weight), name="churn", table="customers")
    for statement in BY_HAND:
        with pytest.raises(psycopg2.Error):
            query(admin, statement)
    assert list_models(admin)[0].aliases == {"live": 1}
    assert promote(admin, "churn", 2) == 1


def test_an_alias_goes_and_comes_back(admin: Any) -> None:
    for weight in (1.0, 2.0, 3.0):
        deploy(admin, classifier(weight), name="churn", table="customers")
    promote(admin, "churn", 2, alias="challenger", why="ticket 12")
    lifecycle.drop_alias(admin, "churn", "challenger", why="it lost")
    assert list_models(admin)[0].aliases == {"live": 1}
    told = [(e.action, e.alias, e.from_version, e.to_version, e.note) for e in history(admin, "churn")[-2:]]
    assert told == [("promote", "challenger", None, 2, "ticket 12"), ("unalias", "challenger", 2, None, "it lost")]
    with pytest.raises(RefusedError, match="no earlier version"):
        rollback(admin, "churn", alias="challenger")
    promote(admin, "churn", 3, alias="challenger")
    with pytest.raises(RefusedError, match="no earlier version"):
        rollback(admin, "churn", alias="challenger")
    with pytest.raises(RefusedError, match=r"live is what score\.churn calls"):
        lifecycle.drop_alias(admin, "churn", "live")


def test_the_history_says_of_what_and_why(admin: Any) -> None:
    done = deploy(admin, classifier(), name="churn", table="customers")
    deploy(admin, classifier(2.0), name="churn", table="customers")
    promote(admin, "churn", 2, why="better")
    rollback(admin, "churn", why="worse")
    drop(admin, "churn", 2, why="gone")
    told = history(admin, "churn")
    assert [(event.action, event.note) for event in told] == [
        ("deploy", None),
        ("promote", None),
        ("deploy", None),
        ("promote", "better"),
        ("rollback", "worse"),
        ("drop", "gone"),
    ]
    assert told[4].sha256 == told[0].sha256 == done.artifact.sha256
    assert told[3].sha256 == told[5].sha256 == told[2].sha256 != told[0].sha256
    assert told[4].parity is not None
    assert told[4].parity["passed"]
