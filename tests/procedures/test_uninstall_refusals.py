"""Uninstall is refused, naming it, while anything that a user built depends on what it would remove."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pgscore.errors import RefusedError
from pgscore.procedures.deploy import deploy
from pgscore.procedures.install import install
from pgscore.procedures.uninstall import uninstall

from ..support.servers import Server
from ..support.tiny import classifier, query
from ..support.uninstalling import using

# What a user builds, how the refusal names it, and how it is taken away.
DEPENDANTS = {
    "view": (
        "CREATE VIEW own.v AS SELECT score.churn(c) AS p FROM customers c",
        "view own.v",
    ),
    "view on the catalog": ("CREATE VIEW own.v AS SELECT * FROM pgscore.freshness", "view own.v"),
    "materialised view": (
        "CREATE MATERIALIZED VIEW own.m AS SELECT score.churn_v1(c) AS p FROM customers c",
        "materialized view own.m",
    ),
    "generated column": (
        "CREATE TABLE own.t (a integer, p float8 GENERATED ALWAYS AS (score.churn_v1(a, 1.0)) STORED)",
        "generated column p of table own.t",
    ),
    "default": (
        "CREATE TABLE own.t (p float8 DEFAULT score.churn_v1(1, 1.0))",
        "default value for column p of table own.t",
    ),
    "index": (
        "CREATE TABLE own.t (a integer); CREATE INDEX i ON own.t (score.churn_v1(a, 1.0))",
        "index own.i",
    ),
    "partial index": (
        "CREATE TABLE own.t (a integer); CREATE INDEX i ON own.t (a) WHERE score.churn_v1(a, 1.0) > 0.5",
        "index own.i",
    ),
    "check constraint": (
        "CREATE TABLE own.t (a integer CONSTRAINT likely CHECK (score.churn_v1(a, 1.0) < 2))",
        "constraint likely on table own.t",
    ),
    "domain": (
        "CREATE DOMAIN own.d AS integer CONSTRAINT likely CHECK (score.churn_v1(VALUE, 1.0) < 2)",
        "constraint likely of domain own.d",
    ),
    "foreign key": (
        "CREATE TABLE own.t (model_id integer CONSTRAINT of_model REFERENCES pgscore.models)",
        "constraint of_model on table own.t",
    ),
    "SQL function": (
        "CREATE FUNCTION own.f(c customers) RETURNS float8 LANGUAGE sql RETURN score.churn(c) * 2",
        "function own.f(public.customers)",
    ),
    "function of our type": (
        "CREATE FUNCTION own.f(pgscore.models) RETURNS text LANGUAGE sql AS 'SELECT $1.name'",
        "function own.f(pgscore.models)",
    ),
    "procedure": (
        "CREATE PROCEDURE own.p() LANGUAGE sql BEGIN ATOMIC SELECT score.churn_v1(1, 1.0); END",
        "function own.p()",
    ),
    "operator": (
        "CREATE OPERATOR own.### (LEFTARG = integer, RIGHTARG = float8, FUNCTION = score.churn_v1)",
        "operator own.###(integer,double precision)",
    ),
    "aggregate": (
        "CREATE AGGREGATE own.a(float8) (SFUNC = float8pl, STYPE = float8);"
        "CREATE FUNCTION own.f() RETURNS float8 LANGUAGE sql BEGIN ATOMIC"
        " SELECT own.a(score.churn_v1(1, 1.0)) AS p; END",
        "function own.f()",
    ),
    "policy": (
        "CREATE TABLE own.t (a integer); CREATE POLICY p ON own.t USING (score.churn_v1(a, 1.0) > 0.5)",
        "policy p on table own.t",
    ),
    "policy for a role of ours": (
        "CREATE TABLE own.t (a integer); CREATE POLICY p ON own.t AS RESTRICTIVE TO pgscore_scorer USING (a > 1)",
        "policy p on table own.t (for pgscore_scorer)",
    ),
    "trigger": (
        "CREATE TABLE own.t (a integer);"
        "CREATE TRIGGER g BEFORE DELETE ON own.t EXECUTE FUNCTION pgscore.refuse_change()",
        "trigger g on table own.t",
    ),
    "trigger condition": (
        "CREATE TABLE own.t (a integer); CREATE TRIGGER g AFTER INSERT ON own.t FOR EACH ROW"
        " WHEN (score.churn_v1(NEW.a, 1.0) > 0.5) EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "trigger g on table own.t",
    ),
    "rule": (
        "CREATE TABLE own.t (a integer);CREATE RULE r AS ON INSERT TO own.t DO ALSO SELECT score.churn_v1(NEW.a, 1.0)",
        "table own.t",
    ),
    "statistics": (
        "CREATE TABLE own.t (a integer); CREATE STATISTICS own.s ON (score.churn_v1(a, 1.0)) FROM own.t",
        "statistics object own.s",
    ),
    "partition key": (
        "CREATE TABLE own.t (a integer) PARTITION BY RANGE (score.churn_v1(a, 1.0))",
        "table own.t",
    ),
    "column of our type": ("CREATE TABLE own.t (m pgscore.models)", "column m of table own.t"),
    "child table": ("CREATE TABLE own.t () INHERITS (pgscore.runs)", "table own.t"),
    "publication of a table": (
        "CREATE PUBLICATION uninstall_p FOR TABLE pgscore.history",
        "publication of table pgscore.history in publication uninstall_p",
    ),
    "publication of a schema": (
        "CREATE PUBLICATION uninstall_p FOR TABLES IN SCHEMA score",
        "publication of schema score in publication uninstall_p",
    ),
    "table in schema score": ("CREATE TABLE score.own (a serial)", "table score.own"),
    "view in schema score": ("CREATE VIEW score.own AS SELECT 1 AS a", "view score.own"),
    "sequence in schema score": ("CREATE SEQUENCE score.own", "sequence score.own"),
    "type in schema score": ("CREATE TYPE score.own AS ENUM ('a')", "type score.own"),
    "function in schema score": (
        "CREATE FUNCTION score.own() RETURNS integer LANGUAGE sql RETURN 1",
        "function score.own()",
    ),
    "function in schema pgscore_staging": (
        "CREATE FUNCTION pgscore_staging.own() RETURNS integer LANGUAGE sql RETURN 1",
        "function pgscore_staging.own()",
    ),
    "table in schema pgscore": ("CREATE TABLE pgscore.own (a integer)", "table pgscore.own"),
    "function in schema pgscore": (
        "CREATE FUNCTION pgscore.own() RETURNS integer LANGUAGE sql RETURN 1",
        "function pgscore.own()",
    ),
    "type in schema pgscore": ("CREATE DOMAIN pgscore.own AS integer", "type pgscore.own"),
    "table of the owner": (
        "CREATE TABLE own.t (a integer); ALTER TABLE own.t OWNER TO pgscore_owner",
        "table own.t (pgscore_owner owns it)",
    ),
    "table of the scorer": (
        "CREATE TABLE own.t (a integer); ALTER TABLE own.t OWNER TO pgscore_scorer",
        "table own.t (pgscore_scorer owns it)",
    ),
}


@pytest.fixture(scope="module")
def busy(bare: Server) -> Iterator[Any]:
    """The superuser's connection to a database with a model; each test's own objects are rolled back."""
    with using(bare) as (admin, _):
        install(admin)
        deploy(admin, classifier(), name="churn", table="customers")
        query(admin, "CREATE SCHEMA own; GRANT ALL ON SCHEMA own TO pgscore_owner, pgscore_scorer")
        yield admin


@pytest.mark.parametrize("kind", DEPENDANTS)
def test_what_a_user_built_is_named(busy: Any, kind: str) -> None:
    make, named = DEPENDANTS[kind]
    uninstall(busy, dry_run=True)
    with busy.cursor() as cursor:
        cursor.execute(make)
    with pytest.raises(RefusedError) as refused:
        uninstall(busy)
    assert str(refused.value) == f"still in use: {named}; drop that first"


def test_all_of_it_is_named(busy: Any) -> None:
    with busy.cursor() as cursor:
        cursor.execute("CREATE VIEW own.v AS SELECT score.churn(c) AS p FROM customers c; CREATE TABLE score.own ()")
    with pytest.raises(RefusedError, match=r"still in use: table score\.own, view own\.v; drop that first"):
        uninstall(busy)


def test_default_rights_are_no_hindrance(busy: Any) -> None:
    query(busy, "ALTER DEFAULT PRIVILEGES IN SCHEMA score GRANT EXECUTE ON FUNCTIONS TO pgscore_promoter")
    uninstall(busy, dry_run=True)
