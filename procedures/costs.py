"""What the parts of a program cost on a server: the rows of pgscore.costs (sql/11_costs.sql)."""

from __future__ import annotations

from dataclasses import asdict, fields, replace

from psycopg2.extras import execute_values

from pgscore.compiler.costs import DEFAULTS, Costs

from .connection import Connection, pinned


def read_costs(connection: Connection) -> Costs:
    """What is stored, in the current transaction; the defaults for the rest."""
    with connection.cursor() as cursor, pinned(cursor):
        cursor.execute("SELECT name, microseconds FROM pgscore.costs")
        stored = dict(cursor.fetchall())
    return replace(DEFAULTS, **{f.name: stored[f.name] for f in fields(Costs) if f.name in stored})


def write_costs(connection: Connection, costs: Costs) -> None:
    """Stores all of them, in the current transaction; what was measured before goes."""
    with connection.cursor() as cursor, pinned(cursor):
        cursor.execute("DELETE FROM pgscore.costs")
        execute_values(cursor, "INSERT INTO pgscore.costs (name, microseconds) VALUES %s", asdict(costs).items())
