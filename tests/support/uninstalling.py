"""Databases to uninstall from, and what may be left of it afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg2.extensions import parse_dsn

from pgscore.compiler.artifact import Strategy
from pgscore.procedures.deploy import deploy
from pgscore.procedures.install import ROLES, SCHEMAS, install
from pgscore.procedures.refresh import create_job, run_job

from .databases import copied
from .servers import Server
from .tiny import classifier, make_customers, opened, query, recommender, value

# Every catalog with a row for each object, and where rights and settings are kept.
TRACES = """
    SELECT 'depend', classid::regclass::text, count(*) FROM pg_depend GROUP BY 2
    UNION ALL SELECT 'shdepend', classid::regclass::text, count(*) FROM pg_shdepend
              WHERE dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) GROUP BY 2
    UNION ALL SELECT 'description', classoid::regclass::text, count(*) FROM pg_description GROUP BY 2
    UNION ALL SELECT 'shdescription', classoid::regclass::text, count(*) FROM pg_shdescription GROUP BY 2
    UNION ALL SELECT 'setting', setconfig::text, count(*) FROM pg_db_role_setting GROUP BY 2
    UNION ALL SELECT 'default', defaclacl::text, count(*) FROM pg_default_acl GROUP BY 2
    UNION ALL SELECT 'role', rolname, 1 FROM pg_roles
    UNION ALL SELECT 'member', format('%s %s', roleid::regrole, member::regrole), 1 FROM pg_auth_members
    UNION ALL SELECT 'schema', nspname, 1 FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp'
    UNION ALL SELECT 'database', format('%s %s', datname, datacl), 1
              FROM pg_database WHERE datname = current_database()
    UNION ALL SELECT 'table', format('%s %s', oid::regclass, relacl), 1
              FROM pg_class WHERE relnamespace = 'public'::regnamespace
    ORDER BY 1, 2
"""


def name_of(dsn: str) -> str:
    return str(parse_dsn(dsn)["dbname"])


@contextmanager
def using(server: Server, user: str = "postgres", attributes: str = "") -> Iterator[tuple[Any, Any]]:
    """(the superuser, a role that installed and deployed) in a database with customers; both connected."""
    with copied(server) as dsn, opened(dsn) as admin:
        make_customers(admin)
        if user != "postgres":
            query(admin, f"CREATE ROLE {user} LOGIN {attributes}")
            query(admin, f"GRANT CREATE ON DATABASE {name_of(dsn)} TO {user}; GRANT SELECT ON customers TO {user}")
        try:
            with opened(dsn.replace("postgres@", f"{user}@")) as connection:
                yield admin, connection
        finally:
            clean_up(admin, user)
        assert value(admin, "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'pgscore%'") == 0


def clean_up(admin: Any, *users: str) -> None:
    admin.rollback()
    query(admin, f"DROP SCHEMA IF EXISTS {', '.join(SCHEMAS)} CASCADE")
    for role in [*ROLES, *users]:
        if role != "postgres" and value(admin, "SELECT to_regrole(%s) IS NOT NULL", (role,)):
            query(admin, f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def installed_with_models(connection: Any) -> None:
    install(connection)
    deploy(connection, classifier(), name="churn", table="customers")
    deploy(connection, classifier(2.0), name="churn", table="customers", promote=True)
    deploy(connection, classifier(), name="slow", table="customers", strategy=Strategy.PLPGSQL)
    deploy(connection, recommender(), name="taste", table="customers")
    deploy(connection, recommender(2.0), name="taste", table="customers")
    create_job(connection, "daily", model="churn", source="customers", keys=["id"], target="public.churn_scores")
    run_job(connection, "daily")
