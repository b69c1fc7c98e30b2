"""Full runs that build beside and swap: the same rows as ever, what depends on the target stays, whole states only."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2
import pytest

from pgscore.compiler.artifact import Strategy
from pgscore.errors import PgscoreError
from pgscore.procedures import lifecycle
from pgscore.procedures.connection import connect
from pgscore.procedures.freshness import runs
from pgscore.procedures.install import install
from pgscore.procedures.refresh import RunResult, Top, create_job, drop_job, run_job
from pgscore.procedures.uninstall import uninstall

from ..support.refreshing import (
    N,
    analyst,
    churn_job,
    churn_model,
    connection,
    connection15,
    connection18,
    counts,
    customers,
    deployed,
    fetch,
    run,
)

__all__ = ["analyst", "connection", "connection15", "connection18"]

PARTS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'scores'::regclass"
LEFT_OVER = "SELECT relname::text FROM pg_class WHERE relname ~ '^scores_[0-9]+$' AND NOT relispartition"


def swapped(connection: Any, **options: Any) -> RunResult:
    """A run that must swap."""
    run(connection, "SET pgscore.writes = 'swap'")
    result = run_job(connection, "daily", **options)
    run(connection, "RESET pgscore.writes")
    assert result.written == "swap", result.because
    assert fetch(connection, LEFT_OVER) == []
    return result


def truth(connection: Any, version: int = 1) -> None:
    """The target has the model's own answers, of one version."""
    found = fetch(connection, "SELECT id, score, model_version FROM scores ORDER BY id")
    assert [row[0] for row in found] == list(range(N))
    model = churn_model() if version == 1 else churn_model(C=0.01)
    np.testing.assert_allclose([row[1] for row in found], model.predict_proba(customers())[:, 1], rtol=1e-12)
    assert {row[2] for row in found} == {version}


def test_a_swap_writes_what_a_difference_does(connection: Any) -> None:
    churn_job(connection)
    assert counts(swapped(connection)) == (N, N, 0, 0)
    truth(connection)
    lifecycle.promote(connection, "churn", 2)
    oid = fetch(connection, "SELECT 'scores'::regclass::oid")
    assert counts(swapped(connection)) == (N, N, 0, N)
    truth(connection, 2)
    assert fetch(connection, "SELECT 'scores'::regclass::oid") == oid
    assert fetch(connection, PARTS) == [("scores_1",)]
    result = run_job(connection, "daily")
    assert (counts(result), result.written) == ((N, 0, 0, 0), "difference"), "and the next run finds no difference"
    assert [(one.written, one.because) for one in runs(connection, "daily", 9)] == [
        ("difference", "0 % of the rows are of another version"),
        ("swap", "100 % of the rows are of another version"),
        ("swap", "the target is empty"),
    ]


@contextmanager
def another(connection: Any) -> Iterator[Any]:
    with closing(connect(connection.dsn)) as other:
        yield other


# What stays.


def test_what_depends_on_the_target_survives(connection: Any) -> None:
    churn_job(connection)
    swapped(connection)
    run(
        connection,
        """
        CREATE INDEX by_score ON scores (score DESC NULLS LAST) INCLUDE (id) WHERE score > 0.1;
        CREATE INDEX by_sum ON scores ((score + model_version));
        CREATE UNIQUE INDEX once ON scores (id, score);
        ALTER TABLE scores ADD CONSTRAINT only_once UNIQUE (id, model_version);
        CREATE STATISTICS together ON score, model_version FROM scores;
        COMMENT ON TABLE scores IS 'ours'; COMMENT ON COLUMN scores.score IS 'likely'; COMMENT ON INDEX by_sum IS 'why';
        GRANT SELECT ON scores TO pgscore_monitor; GRANT SELECT (id) ON scores TO pgscore_promoter;
        CREATE VIEW risky AS SELECT * FROM scores WHERE score > 0.5;
        CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n, max(model_version) AS version FROM scores;
        CREATE FUNCTION first_score() RETURNS float8 RETURN (SELECT score FROM scores WHERE id = 1);
        CREATE POLICY even ON scores FOR SELECT TO pgscore_monitor USING (id % 2 = 0);
        ALTER TABLE scores ENABLE ROW LEVEL SECURITY;
        ALTER TABLE scores_2 SET (fillfactor = 90, toast.autovacuum_enabled = false)
        """,
    )
    described = """
        SELECT relname, relkind, relacl::text, relrowsecurity, obj_description(oid, 'pg_class'),
               CASE WHEN relkind IN ('I', 'i') THEN pg_get_indexdef(oid) END
        FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relname IN
              ('scores', 'scores_pkey', 'by_score', 'by_sum', 'once', 'only_once', 'risky', 'counted')
        UNION ALL
        SELECT polname, 'p', polroles::text, polpermissive, NULL, pg_get_expr(polqual, polrelid) FROM pg_policy
        UNION ALL
        SELECT stxname, 's', NULL, NULL, NULL, pg_get_statisticsobjdef(oid) FROM pg_statistic_ext
        UNION ALL
        SELECT attname, 'c', attacl::text, attnotnull, col_description(attrelid, attnum), atttypid::regtype::text
        FROM pg_attribute WHERE attrelid = 'scores'::regclass AND attnum > 0
        ORDER BY 1, 2
    """
    before = fetch(connection, described)
    for version in (2, 1):
        lifecycle.promote(connection, "churn", version)
        swapped(connection)
        truth(connection, version)
        assert fetch(connection, described) == before
        assert fetch(connection, "SELECT min(model_version), max(model_version) FROM risky") == [(version, version)]
        run(connection, "REFRESH MATERIALIZED VIEW counted")
        assert fetch(connection, "TABLE counted") == [(N, version)]
        assert fetch(connection, "SELECT first_score() = score FROM scores WHERE id = 1") == [(True,)]
        (part,) = [name for (name,) in fetch(connection, PARTS)]
        assert part == {2: "scores_1", 1: "scores_2"}[version]
        options = f"SELECT reloptions FROM pg_class WHERE oid = '{part}'::regclass"
        assert fetch(connection, options) == [(["fillfactor=90"],)]
        indexes = f"SELECT count(*) FROM pg_index {{}} WHERE indrelid = '{part}'::regclass"
        assert fetch(connection, indexes.format("")) == [(5,)]
        assert fetch(connection, indexes.format("JOIN pg_inherits ON inhrelid = indexrelid")) == [(5,)]
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        cursor.execute(
            "EXPLAIN (COSTS OFF) SELECT id FROM scores WHERE score > 0.9 ORDER BY score DESC NULLS LAST LIMIT 3"
        )
        assert "score" in str(cursor.fetchall())
    connection.rollback()


HINDRANCES = {
    "a trigger": (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"
        "CREATE TRIGGER heard AFTER UPDATE ON scores FOR EACH STATEMENT EXECUTE FUNCTION f()",
        "trigger heard",
    ),
    "a key that others refer to": (
        "CREATE TABLE notes (id integer REFERENCES scores, note text); INSERT INTO notes VALUES (1, 'call them')",
        "constraint notes_id_fkey",
    ),
    "a key of its own that refers to others": (
        "CREATE TABLE known AS SELECT id FROM customers; ALTER TABLE known ADD PRIMARY KEY (id);"
        "ALTER TABLE scores ADD CONSTRAINT of_known FOREIGN KEY (id) REFERENCES known",
        "constraint of_known",
    ),
    "a check": ("ALTER TABLE scores ADD CONSTRAINT share CHECK (score <= 1)", "constraint share"),
    "a column of the user's": ("ALTER TABLE scores ADD note text", "column note is not the job's"),
    "a publication": ("CREATE PUBLICATION told FOR TABLE scores", "publication told"),
    "a publication of all": ("CREATE PUBLICATION told FOR ALL TABLES", "publication told"),
    "a view of the partition": ("CREATE VIEW v AS SELECT * FROM scores_2", "rule _RETURN on view public.v"),
    "a grant on the partition": (
        "GRANT SELECT ON scores_2 TO pgscore_monitor",
        "what is set for public.scores_2 itself",
    ),
    "an index of the partition": ("CREATE INDEX own ON scores_2 (score)", "index public.own"),
    "an index that is not whole": ("CREATE INDEX half ON ONLY scores (score)", "index public.half"),
    "another partition": (
        "CREATE TABLE scores_low PARTITION OF scores FOR VALUES FROM (-9) TO (-1)",
        "public.scores is no table with one partition, its default one",
    ),
    "forced row security": (
        "ALTER TABLE scores FORCE ROW LEVEL SECURITY, ENABLE ROW LEVEL SECURITY",
        "row security of public.scores binds its owner too",
    ),
}


@pytest.mark.parametrize("what", HINDRANCES)
def test_where_a_swap_would_lose_something_the_difference_is_written(connection: Any, what: str) -> None:
    churn_job(connection)
    swapped(connection)
    statement, reason = HINDRANCES[what]
    run(connection, statement)
    lifecycle.promote(connection, "churn", 2)
    run(connection, "SET pgscore.writes = 'swap'")
    result = run_job(connection, "daily")
    assert (result.written, result.because) == ("difference", reason)
    assert counts(result) == (N, 0, N, 0)
    truth(connection, 2)


def test_a_table_of_the_users_gets_the_difference_and_can_be_turned_into_one_that_swaps(connection: Any) -> None:
    run(
        connection,
        "CREATE TABLE scores"
        " (id integer PRIMARY KEY, score float8, model_version integer NOT NULL, scored_at timestamptz NOT NULL)",
    )
    churn_job(connection)
    run(connection, "SET pgscore.writes = 'swap'")
    result = run_job(connection, "daily")
    assert (result.written, result.because) == (
        "difference",
        "public.scores is no table with one partition, its default one",
    )
    before = fetch(connection, "SELECT * FROM scores ORDER BY id")
    run(
        connection,
        """
        ALTER TABLE scores RENAME TO scores_1;
        CREATE TABLE scores (LIKE scores_1 INCLUDING ALL) PARTITION BY RANGE (id);
        ALTER TABLE scores ATTACH PARTITION scores_1 DEFAULT
        """,
    )
    assert fetch(connection, "SELECT * FROM scores ORDER BY id") == before
    lifecycle.promote(connection, "churn", 2)
    swapped(connection)
    truth(connection, 2)


# The choice.


def test_the_choice_is_by_what_is_expected_to_change(connection: Any) -> None:
    """Costs are put so that this small table counts as a large one."""
    body = fetch(connection, "SELECT pg_get_functiondef('pgscore.swap_pays'::regproc)")[0][0]
    run(connection, re.sub("swap_table CONSTANT double precision := [0-9]+", "swap_table CONSTANT float8 := 0", body))
    churn_job(connection)

    def next_run() -> tuple[str, str | None]:
        result = run_job(connection, "daily")
        return result.written, result.because

    assert next_run() == ("swap", "the target is empty")
    assert next_run() == ("difference", "0 % of the rows are of another version")
    lifecycle.promote(connection, "churn", 2)
    assert next_run() == ("swap", "100 % of the rows are of another version")
    run(connection, "UPDATE customers SET tenure = tenure + 1")
    assert next_run() == ("difference", "0 % of the rows are of another version"), "nothing told of it"
    assert next_run() == ("swap", "50 % of the rows changed in recent runs"), "none in one of two, all in the other"
    run(connection, "SET pgscore.writes = 'difference'")
    assert next_run() == ("difference", "pgscore.writes")
    run(connection, "RESET pgscore.writes")
    with connection, connection.cursor() as cursor:
        cursor.execute("CALL pgscore.refresh('daily')")
    assert runs(connection, "daily", 1)[0].because == "pgscore.refresh is one transaction"


def test_a_small_table_gets_the_difference(connection18: Any) -> None:
    churn_job(connection18)
    run_job(connection18, "daily")
    lifecycle.promote(connection18, "churn", 2)
    result = run_job(connection18, "daily")
    assert (counts(result), result.written, result.because) == ((N, 0, N, 0), "difference", "the table is small")


# Other kinds of jobs.


def test_incremental_and_challenged_jobs_write_the_difference(connection: Any) -> None:
    churn_job(connection, mode="incremental")
    run(connection, "SET pgscore.writes = 'swap'")
    assert run_job(connection, "daily").because == "the job is incremental"
    lifecycle.promote(connection, "churn", 2, alias="challenger")
    create_job(
        connection, "both", model="churn", source="customers", keys=["id"], target="both", challenger="challenger"
    )
    assert run_job(connection, "both").because == "a challenger is compared"
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT pgscore.set_challenger('both', NULL)")
    assert run_job(connection, "both").written == "swap"


def test_a_job_that_keeps_vanished_keys_writes_the_difference(connection: Any) -> None:
    churn_job(connection, vanished="keep")
    run(connection, "SET pgscore.writes = 'swap'")
    assert run_job(connection, "daily").because == "keys that have vanished are kept"


def test_onnx_swaps(connection15: Any, runtime_folder: Path) -> None:
    install(connection15, plpython=True, runtime=runtime_folder)
    deployed(connection15, churn_model(), name="graph", strategy=Strategy.ONNX)
    create_job(connection15, "daily", model="graph", source="customers", keys=["id"], target="scores")
    for _ in range(2):
        swapped(connection15)
        truth(connection15)


def test_the_best_rows_and_other_outputs_swap_too(connection: Any) -> None:
    for name, target in (("daily", "scores"), ("other", "others")):
        create_job(
            connection, name, model="churn", source="customers", keys=["region", "id"], target=target,
            outputs=["label", "proba"], top=Top(7, ["region"], keep=9),
        )  # fmt: skip
    run(connection, "SET pgscore.writes = 'difference'")
    run_job(connection, "other")
    result = swapped(connection)
    assert counts(result) == (N, 18, 0, 0)
    columns = "region, id, score, label, proba, rank, model_version"
    assert fetch(connection, f"SELECT {columns} FROM scores ORDER BY 1, 2") == fetch(
        connection, f"SELECT {columns} FROM others ORDER BY 1, 2"
    )
    assert fetch(connection, "SELECT count(*) FROM scores_top") == [(14,)]


def test_refused_rows_and_keys_that_are_none(connection: Any) -> None:
    churn_job(connection, model="tier")
    run(connection, "UPDATE customers SET charge = 'Infinity' WHERE id IN (7, 8, 9)")
    assert swapped(connection).refused == 3
    run(connection, "INSERT INTO customers VALUES ('east', 5, 1, 2, 'a'); SET pgscore.writes = 'swap'")
    before = fetch(connection, "SELECT * FROM scores ORDER BY id")
    with pytest.raises(PgscoreError, match=r"the key \(id\) of public.customers is not unique"):
        run_job(connection, "daily")
    assert fetch(connection, "SELECT * FROM scores ORDER BY id") == before
    assert fetch(connection, LEFT_OVER) == []


def test_a_long_name_a_collation_and_a_type_with_a_length(connection: Any) -> None:
    run(
        connection,
        """
        CREATE VIEW named AS
        SELECT ('c' || id)::varchar(20) COLLATE "C" AS "Key %", plan, tenure, charge FROM customers
        """,
    )
    target = "s" * 60 + "é"
    create_job(connection, "daily", model="churn", source="named", keys=["Key %", "plan"], target=target)
    run(connection, "SET pgscore.writes = 'swap'")
    for _ in range(2):
        result = run_job(connection, "daily")
        assert result.written == "swap", result.because
    assert fetch(connection, f"SELECT count(*) FROM {target}") == [(N,)]


# Who runs it.


def test_the_rows_stay_the_owners_whoever_runs_the_job(connection: Any, analyst: Any) -> None:
    create_job(analyst, "daily", model="churn", source="customers", keys=["id"], target="lab.scores")
    for runner in (connection, analyst, connection):
        run(runner, "SET pgscore.writes = 'swap'")
        result = run_job(runner, "daily")
        assert result.written == "swap", result.because
        owners = "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relname ~ '^scores'"
        assert fetch(connection, owners) == [("refresh_analyst",)]


def test_nobody_has_a_superuser_drop_what_is_not_theirs(connection: Any, analyst: Any) -> None:
    """Who may run a job may write down what it built; whoever runs it next drops that, if it is the job owner's own."""
    create_job(analyst, "daily", model="churn", source="customers", keys=["id"], target="lab.scores")
    run(
        connection,
        "CREATE TABLE precious AS SELECT 1 AS one; CREATE TABLE lab.mine ();"
        "ALTER TABLE lab.mine OWNER TO refresh_analyst",
    )
    row = "ROW(0, '{}', '{{}}', '{{}}', '', 0, now(), 1, 0, 0, 0, 0, NULL)::pgscore.builds"
    record = f"SELECT pgscore.record_build('daily', {row})"
    with pytest.raises(psycopg2.Error, match="not a valid identifier"):
        run(analyst, record.format("lab.mine; DROP TABLE public.precious"))
    for relation in ("public.precious", "public.customers", "lab.scores_1", "lab.mine"):
        run(analyst, record.format(relation))
        assert run_job(connection, "daily").rows == N
        assert fetch(connection, "SELECT one FROM precious") == [(1,)]
    assert fetch(connection, "SELECT to_regclass('lab.mine') IS NULL") == [(True,)]
    assert fetch(connection, "SELECT count(*) FROM lab.scores") == [(N,)]


# Readers.


def test_a_reader_with_an_older_snapshot_never_finds_an_empty_table(connection: Any) -> None:
    """Its transaction is waited for; when it does not end, the difference is written."""
    churn_job(connection)
    swapped(connection)
    lifecycle.promote(connection, "churn", 2)
    run(connection, "SET pgscore.writes = 'swap'; SET lock_timeout = '300ms'")
    with another(connection) as reader, reader.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT 1")
        result = run_job(connection, "daily")
        assert (result.written, result.because) == (
            "difference",
            "a transaction stays open that began before the new rows were there",
        )
        cursor.execute("SELECT count(*), min(model_version), max(model_version) FROM scores")
        assert cursor.fetchall() == [(N, 1, 1)]
        reader.commit()
        # One that only stands idle, with no snapshot, is in nobody's way.
        cursor.execute("SELECT 1")
        lifecycle.promote(connection, "churn", 1)
        assert run_job(connection, "daily").written == "swap"
    truth(connection)
    assert fetch(connection, LEFT_OVER) == []


def test_a_reader_that_does_not_end_is_not_queued_behind_for_longer_than_lock_timeout(connection: Any) -> None:
    churn_job(connection)
    swapped(connection)
    lifecycle.promote(connection, "churn", 2)
    run(connection, "SET pgscore.writes = 'swap'; SET lock_timeout = '300ms'")
    with another(connection) as reader, reader.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM scores")
        # Its snapshot is gone, its lock is not.
        result = run_job(connection, "daily")
        assert (result.written, result.because) == ("difference", "others held the table all the time")
        reader.commit()
    truth(connection, 2)
    assert fetch(connection, LEFT_OVER) == []


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ"])
def test_readers_see_whole_states_only(connection: Any, isolation: str) -> None:
    """Each read is of all rows and one version, in whatever transaction; in an older one, of what was there before."""
    churn_job(connection)
    swapped(connection)
    stop = threading.Event()
    wrong: list[Any] = []
    reads = [0]

    def read(pause: float) -> None:
        with another(connection) as reader, reader.cursor() as cursor:
            while not stop.is_set():
                cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
                cursor.execute("SELECT 1")
                time.sleep(pause)
                cursor.execute("SELECT count(*), min(model_version), max(model_version) FROM scores")
                ((count, first, last),) = cursor.fetchall()
                reads[0] += 1
                if count != N or first != last:
                    wrong.append((count, first, last))
                reader.commit()

    threads = [threading.Thread(target=read, args=(pause,)) for pause in (0, 0.003, 0.02)]
    for thread in threads:
        thread.start()
    try:
        run(connection, "SET pgscore.writes = 'swap'")
        how = set()
        for turn in range(12):
            lifecycle.promote(connection, "churn", 2 - turn % 2)
            how.add(run_job(connection, "daily").written)
            if wrong:
                break
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert how == {"swap"}
    assert reads[0] > 50


# Killed runs.


def test_killed_between_its_two_transactions(connection: Any) -> None:
    """The old rows stay, and what was built goes with the next run, or with the job."""
    churn_job(connection)
    swapped(connection)
    for ends in ("run", "uninstall" if connection.info.server_version > 160000 else "drop"):
        lifecycle.promote(connection, "churn", 2)
        with another(connection) as reader, another(connection) as runner:
            run(reader, "SET default_transaction_isolation = 'repeatable read'")
            reading = reader.cursor()
            reading.execute("SELECT 1")
            run(runner, "SET pgscore.writes = 'swap'; SET lock_timeout = '20s'")
            errors: list[BaseException] = []

            def runs_it(runner: Any = runner, errors: list[BaseException] = errors) -> None:
                try:
                    run_job(runner, "daily")
                except PgscoreError as error:
                    errors.append(error)

            thread = threading.Thread(target=runs_it)
            thread.start()
            while not fetch(connection, LEFT_OVER):
                time.sleep(0.01)
            run(connection, f"SELECT pg_terminate_backend({runner.info.backend_pid})")
            thread.join(20)
            assert len(errors) == 1
            reader.rollback()
        truth(connection)
        assert len(fetch(connection, LEFT_OVER)) == 1
        assert len(fetch(connection, "SELECT relation FROM pgscore.builds")) == 1
        if ends == "run":
            swapped(connection)
            truth(connection, 2)
            lifecycle.promote(connection, "churn", 1)
            swapped(connection)
        elif ends == "drop":
            drop_job(connection, "daily")
            assert fetch(connection, "SELECT count(*) FROM pgscore.builds") == [(0,)]
        else:
            uninstall(connection)
        assert fetch(connection, LEFT_OVER) == []


def test_a_cancel_while_it_waits_takes_along_what_was_built(connection: Any) -> None:
    churn_job(connection)
    swapped(connection)
    lifecycle.promote(connection, "churn", 2)
    with another(connection) as reader, another(connection) as runner:
        run(reader, "SET default_transaction_isolation = 'repeatable read'")
        with reader.cursor() as cursor:
            cursor.execute("SELECT 1")
            run(runner, "SET pgscore.writes = 'swap'; SET lock_timeout = '20s'; SET statement_timeout = '2s'")
            with pytest.raises(PgscoreError, match="statement timeout"):
                run_job(runner, "daily")
    truth(connection)
    assert fetch(connection, LEFT_OVER) == []
    assert [one.state for one in runs(connection, "daily", 9)] == ["failed", "done"]
    swapped(connection)
    truth(connection, 2)


def test_another_run_while_it_waits_is_not_overwritten(connection: Any) -> None:
    churn_job(connection)
    swapped(connection)
    lifecycle.promote(connection, "churn", 2)
    # The runner stops between its two transactions, where it holds no lock.
    with another(connection) as runner, another(connection) as holder, holder.cursor() as cursor:
        lock = "PERFORM pgscore.lock_job(job, run_id);"
        whole = fetch(connection, "SELECT pg_get_functiondef('pgscore.run_job'::regproc)")[0][0]
        assert whole.count(lock) == 1
        run(
            connection,
            whole.replace(
                lock,
                "IF built AND current_setting('test.waits', true) = 'yes' THEN"
                " PERFORM pg_advisory_xact_lock(77); END IF;" + lock,
            ),
        )
        run(runner, "SET pgscore.writes = 'swap'; SET test.waits = 'yes'")
        cursor.execute("SELECT pg_advisory_xact_lock(77)")
        errors: list[BaseException] = []

        def runs_it() -> None:
            try:
                run_job(runner, "daily")
            except PgscoreError as error:
                errors.append(error)

        thread = threading.Thread(target=runs_it)
        thread.start()
        while not fetch(connection, "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
            time.sleep(0.01)
        lifecycle.promote(connection, "churn", 1)
        run_job(connection, "daily")
        holder.rollback()
        thread.join(20)
    assert "built beside public.scores is gone" in str(errors[0]) or "came between" in str(errors[0])
    truth(connection)
    assert fetch(connection, LEFT_OVER) == []
