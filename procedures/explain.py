"""What a run of a refresh job would do, and why, without doing it (sql/38_explain.sql)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .connection import Connection, pinned, transaction


@dataclass(frozen=True)
class Reason:
    """One thing about a run: its topic (docs/refresh.md lists them), a sentence for people, a value for programs."""

    topic: str
    says: str
    value: Any

    @property
    def stops(self) -> bool:
        """Whether a run would fail for it."""
        return self.topic == "problem" or (self.topic == "rights" and bool(self.value))


def explain_job(connection: Connection, job: str, *, plan: bool = False) -> list[Reason]:
    """What the next run of a job would do; with `plan` also PostgreSQL's plan of the scoring query.

    In a transaction that can only read. Raises NotFoundError, and RightsError for a job of others.
    """
    with transaction(connection) as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
        with pinned(cursor):
            cursor.execute("SELECT topic, says, value FROM pgscore.explain_refresh(%s, %s)", [job, plan])
            return [Reason(*row) for row in cursor.fetchall()]
