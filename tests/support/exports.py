"""Databases without pgscore, and versions exported to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pgscore.procedures.export import export

from .databases import copied
from .servers import Server
from .tiny import opened, query


@contextmanager
def other_database(server: Server) -> Iterator[tuple[str, Any]]:
    with copied(server) as dsn, opened(dsn) as connection:
        yield dsn, connection


def exported(source: Any, folder: Path, name: str, version: int | None = None, **options: Any) -> Path:
    made = export(source, name, version, **options)
    directory = folder / f"{made.name}_v{made.version}"
    assert [path.name for path in made.write(directory)] == ["deploy.sql", "revert.sql", "verify.sql"]
    return directory


def functions(connection: Any) -> list[str]:
    return [
        row[0]
        for row in query(
            connection,
            "SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace"
            " WHERE nspname = 'score' ORDER BY 1",
        )
    ]


def objects(connection: Any) -> list[tuple[Any, ...]]:
    """How many rows the catalogs have: what a revert must bring back."""
    tables = ("pg_depend", "pg_proc", "pg_namespace", "pg_class", "pg_type", "pg_description")
    counts = ", ".join(f"(SELECT count(*) FROM {table})" for table in tables)
    own = (
        "SELECT count(*) FROM pg_shdepend WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    return query(connection, f"SELECT {counts}, ({own})")
