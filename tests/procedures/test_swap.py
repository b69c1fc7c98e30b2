"""Full runs that build beside and swap: the same rows as ever, what depends on the target stays, whole states only."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from pgscore.compiler.artifact import Strategy
from pgscore.errors import PgscoreError
from pgscore.procedures import lifecycle
from pgscore.procedures.freshness import runs
from pgscore.procedures.install import install
from pgscore.procedures.refresh import Top, create_job, run_job

from ..support.refreshing import (
    N,
    analyst,
    churn_job,
    churn_model,
    connection,
    connection15,
    connection18,
    counts,
    deployed,
    fetch,
    run,
)
from ..support.swapping import LEFT_OVER, PARTS, swapped, truth

__all__ = ["analyst", "connection", "connection15", "connection18"]


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


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_is_required_of_the_target_is_required_of_the_rows_that_are_swapped_in(
    connection: Any, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c pgscore.writes=swap")
    run(connection, "SET pgscore.writes = 'swap'; UPDATE customers SET plan = coalesce(plan, 'none')")
    churn_job(connection, carry=["plan"])
    run_job(connection, "daily")
    run(connection, "ALTER TABLE scores ALTER plan SET NOT NULL")
    assert run_job(connection, "daily", jobs=jobs).written == "swap"
    required = """
        SELECT attname FROM pg_attribute JOIN pg_inherits ON inhrelid = attrelid
        WHERE inhparent = 'scores'::regclass AND attnotnull AND attnum > 0 ORDER BY attname
    """
    assert fetch(connection, required) == [("id",), ("model_version",), ("plan",), ("scored_at",)]
    run(connection, "UPDATE customers SET plan = NULL WHERE id = 7")
    with pytest.raises(PgscoreError, match=r'"plan" of relation "scores_.*" contains null values'):
        run_job(connection, "daily", jobs=jobs)
    truth(connection)


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
    row = "ROW(0, '{}', '{{}}', '{{}}', '', 0, now(), 1, 0, 0, 0, 0, NULL, false, NULL)::pgscore.builds"
    record = f"SELECT pgscore.record_build('daily', {row})"
    with pytest.raises(psycopg2.Error, match="not a valid identifier"):
        run(analyst, record.format("lab.mine; DROP TABLE public.precious"))
    for relation in ("public.precious", "public.customers", "lab.scores_1", "lab.mine"):
        run(analyst, record.format(relation))
        assert run_job(connection, "daily").rows == N
        assert fetch(connection, "SELECT one FROM precious") == [(1,)]
    assert fetch(connection, "SELECT to_regclass('lab.mine') IS NULL") == [(True,)]
    assert fetch(connection, "SELECT count(*) FROM lab.scores") == [(N,)]
