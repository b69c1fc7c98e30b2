"""Whatever writers do, and whenever runs, promotes and kills come between: at rest, the target is a full recomputation.

PGSCORE_WRITERS=10000 runs until that many transactions of writers have ended; by default some hundreds.
"""

from __future__ import annotations

import os
from contextlib import suppress
from io import StringIO
from typing import Any

import psycopg2
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pgscore.procedures.connection import connect
from pgscore.procedures.lifecycle import promote
from pgscore.procedures.refresh import create_job, run_job, status

from ..support.databases import copied, template
from ..support.refreshing import fetch, fill, run
from ..support.servers import Server

TRANSACTIONS = int(os.environ.get("PGSCORE_WRITERS", "200"))
ROWS = 40
KEYS = st.integers(0, ROWS)
VALUES = st.one_of(st.none(), st.integers(-3, 80))
SESSIONS = st.integers(0, 2)
TRUTH = """
    WITH wanted AS (
        SELECT id, score.churn_v{0}(tenure => tenure, charge => charge, plan => plan) AS score, {0} AS version
        FROM source
    ), found AS (SELECT id, score, model_version FROM scores)
    (TABLE wanted EXCEPT ALL TABLE found) UNION ALL (TABLE found EXCEPT ALL TABLE wanted)
"""


class Writers(RuleBasedStateMachine):
    """Three sessions write a small table, each in a transaction that may stay open over runs and promotes."""

    server: Server
    ended = 0
    runs = 0
    promotes = 0
    kills = 0

    def __init__(self) -> None:
        super().__init__()
        self.database = copied(
            self.server, template(self.server, "pgscore_incremental", prepared, template(self.server))
        )
        self.dsn = self.database.__enter__()
        self.main = connect(self.dsn)
        self.sessions = [psycopg2.connect(self.dsn) for _ in range(3)]
        for session in self.sessions:
            # A statement that would wait for another session's row is given up, and its transaction goes on.
            run(session, "SET lock_timeout = '5ms'")
        self.open: list[list[str]] = [[], [], []]
        self.version = 1

    @initialize()
    def start(self) -> None:
        create_job(self.main, "daily", model="churn", source="source", keys=["id"], target="scores", mode="incremental")

    def write(self, number: int, statement: str, values: tuple[Any, ...] = ()) -> None:
        """Runs the statement in the session's transaction; if it fails, it alone is undone."""
        with self.sessions[number].cursor() as cursor:
            cursor.execute("SAVEPOINT one")
            try:
                cursor.execute(statement, values)
                cursor.execute("RELEASE one")
            except psycopg2.Error:
                cursor.execute("ROLLBACK TO one; RELEASE one")
        self.open[number] = self.open[number] or ["transaction"]

    @rule(number=SESSIONS, key=KEYS, tenure=VALUES, charge=VALUES)
    def insert(self, number: int, key: int, tenure: int | None, charge: int | None) -> None:
        self.write(number, "INSERT INTO source VALUES (%s, %s, %s, 'a')", (key, tenure, charge))

    @rule(number=SESSIONS, key=KEYS, tenure=VALUES)
    def upsert(self, number: int, key: int, tenure: int | None) -> None:
        self.write(
            number,
            "INSERT INTO source VALUES (%s, %s, 5, 'c'), (%s, 1, 1, 'a')"
            " ON CONFLICT (id) DO UPDATE SET tenure = excluded.tenure",
            (key, tenure, (key + 7) % ROWS),
        )

    @rule(number=SESSIONS, key=KEYS, length=st.integers(1, 12), tenure=VALUES)
    def update(self, number: int, key: int, length: int, tenure: int | None) -> None:
        self.write(number, "UPDATE source SET tenure = %s WHERE id BETWEEN %s AND %s", (tenure, key, key + length))

    @rule(number=SESSIONS, key=KEYS, plan=st.sampled_from(["a", "c", None]))
    def update_unused_and_used(self, number: int, key: int, plan: str | None) -> None:
        self.write(number, "UPDATE source SET note = note || '+' WHERE id < %s", (key,))
        self.write(number, "UPDATE source SET plan = %s WHERE id = %s", (plan, key))

    @rule(number=SESSIONS, key=KEYS, other=KEYS)
    def change_key(self, number: int, key: int, other: int) -> None:
        self.write(number, "UPDATE source SET id = %s WHERE id = %s", (other, key))

    @rule(number=SESSIONS, key=KEYS, length=st.integers(0, 8))
    def delete(self, number: int, key: int, length: int) -> None:
        self.write(number, "DELETE FROM source WHERE id BETWEEN %s AND %s", (key, key + length))

    @rule(number=SESSIONS, key=KEYS, tenure=VALUES)
    def merge(self, number: int, key: int, tenure: int | None) -> None:
        self.write(
            number,
            """
            MERGE INTO source AS s USING (SELECT i AS id FROM generate_series(%s, %s) AS i) AS n ON s.id = n.id
            WHEN MATCHED AND n.id %% 3 = 0 THEN DELETE
            WHEN MATCHED THEN UPDATE SET tenure = %s
            WHEN NOT MATCHED THEN INSERT VALUES (n.id, %s, 4, 'a')
            """,
            (key, key + 4, tenure, tenure),
        )

    @rule(number=SESSIONS, key=KEYS)
    def copy(self, number: int, key: int) -> None:
        with self.sessions[number].cursor() as cursor:
            cursor.execute("SAVEPOINT one")
            try:
                cursor.copy_expert(
                    "COPY source (id, tenure) FROM STDIN (FORMAT csv)", StringIO(f"{key},1\n{key + 100},2\n")
                )
            except psycopg2.Error:
                cursor.execute("ROLLBACK TO one")
        self.open[number] = self.open[number] or ["transaction"]

    @rule(number=SESSIONS, refill=st.booleans(), chance=st.integers(0, 5))
    def truncate(self, number: int, refill: bool, chance: int) -> None:
        if chance:
            return
        self.write(number, "TRUNCATE source")
        if refill:
            self.write(number, "INSERT INTO source SELECT i, i, i, 'a' FROM generate_series(1, 20) AS i")

    @rule(number=SESSIONS)
    def savepoint(self, number: int) -> None:
        self.open[number] = (self.open[number] or ["transaction"]) + ["savepoint"]
        with self.sessions[number].cursor() as cursor:
            cursor.execute(f"SAVEPOINT s{len(self.open[number])}")

    @precondition(lambda self: any("savepoint" in stack for stack in self.open))
    @rule(data=st.data())
    def roll_back_to_savepoint(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from([n for n, stack in enumerate(self.open) if "savepoint" in stack]))
        with self.sessions[number].cursor() as cursor:
            cursor.execute(f"ROLLBACK TO s{len(self.open[number])}")
        self.open[number].pop()

    @precondition(lambda self: any(self.open))
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        self.end(data, "COMMIT")

    @precondition(lambda self: any(self.open))
    @rule(data=st.data())
    def commit_another(self, data: st.DataObject) -> None:
        self.end(data, "COMMIT")

    @precondition(lambda self: any(self.open))
    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        self.end(data, "ROLLBACK")

    def end(self, data: st.DataObject, how: str) -> None:
        number = data.draw(st.sampled_from([n for n, stack in enumerate(self.open) if stack]))
        if how == "COMMIT":
            self.sessions[number].commit()
        else:
            self.sessions[number].rollback()
        Writers.ended += 1
        self.open[number] = []

    @rule(chunk=st.integers(1, 30), full=st.booleans())
    def refresh_once(self, chunk: int, full: bool) -> None:
        """One step: what a backfill has left stays for later."""
        Writers.runs += 1
        if full and chunk == 1:
            run(self.main, "SELECT pgscore.queue_everything('daily')")
        self.without_truncates(f"SET LOCAL pgscore.backfill_rows = {chunk}; CALL pgscore.refresh('daily')")

    @rule(chunk=st.integers(5, 30), chance=st.integers(0, 3))
    def kill_a_run(self, chunk: int, chance: int) -> None:
        """It has done its work, and ends before its commit."""
        if chance:
            return
        Writers.kills += 1
        victim = connect(self.dsn)
        with suppress(psycopg2.Error), victim.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '50ms'; SET LOCAL pgscore.backfill_rows = {chunk}")
            cursor.execute("CALL pgscore.refresh('daily')")
            run(self.main, f"SELECT pg_terminate_backend({victim.get_backend_pid()}, 1000)")
        victim.close()

    @rule(chance=st.integers(0, 1))
    def promote_the_other(self, chance: int) -> None:
        if chance:
            return
        Writers.promotes += 1
        self.version = 3 - self.version
        promote(self.main, "churn", self.version)

    def without_truncates(self, statement: str) -> None:
        """A run cannot read a table that an open transaction has truncated: then there is none."""
        with suppress(psycopg2.errors.LockNotAvailable):
            run(self.main, f"SET LOCAL lock_timeout = '50ms'; {statement}")

    @precondition(lambda self: not any(self.open))
    @rule()
    def at_rest_the_target_is_the_truth(self) -> None:
        self.check()

    def check(self) -> None:
        run_job(self.main, "daily", backfill_rows=15)
        assert fetch(self.main, TRUTH.format(self.version)) == []
        assert [(job.state, job.queued, job.outdated) for job in status(self.main)] == [("fresh", 0, 0)]

    @invariant()
    def the_target_is_never_half(self) -> None:
        assert fetch(self.main, "SELECT FROM scores WHERE model_version NOT IN (1, 2)") == []

    def teardown(self) -> None:
        try:
            for number, session in enumerate(self.sessions):
                session.commit()
                Writers.ended += bool(self.open[number])
            self.check()
        finally:
            for session in [*self.sessions, self.main]:
                session.close()
            self.database.__exit__(None, None, None)


def prepared(connection: Any) -> None:
    fill(connection)
    run(
        connection,
        f"""
        CREATE TABLE source (id integer PRIMARY KEY, tenure integer, charge float8, plan text, note text DEFAULT '');
        INSERT INTO source SELECT id, tenure, charge, plan FROM customers WHERE id < {ROWS};
        CREATE TABLE scores (
            id integer PRIMARY KEY, score float8, model_version integer NOT NULL, scored_at timestamptz NOT NULL)
        """,
    )


def test_at_rest_the_target_is_a_full_recomputation(server18: Server) -> None:
    Writers.server = server18
    Writers.ended = 0
    steps = 60 if TRANSACTIONS <= 1000 else 150
    while Writers.ended < TRANSACTIONS:
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            Writers,
            settings=settings(
                max_examples=10,
                stateful_step_count=steps,
                deadline=None,
                database=None,
                # To shrink means to wait for minutes, and what overlaps what is seldom the same again.
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
    print(f"{Writers.ended} transactions, {Writers.runs} runs, {Writers.promotes} promotes, {Writers.kills} kills")
