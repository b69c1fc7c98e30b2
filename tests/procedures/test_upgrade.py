"""Every released version, with models in it, upgrades to what a fresh install is; `make released` records a version.

The servers are the module's own: roles belong to the cluster, and each test begins with those of the release.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pgscore.compiler.artifact import Strategy
from pgscore.errors import NotInstalledError, RefusedError, RightsError, UsageError
from pgscore.procedures import install as installing
from pgscore.procedures.deploy import deploy
from pgscore.procedures.install import LOCK, ROLES, SCHEMA_VERSION, SCHEMAS, install, upgrade
from pgscore.procedures.lifecycle import history, list_models, promote, rollback
from pgscore.procedures.plan import as_script
from pgscore.procedures.refresh import run_job, status
from pgscore.procedures.uninstall import uninstall
from pgscore.procedures.verify import verify

from ..cli.conftest import pgscore
from ..support.databases import copied
from ..support.objects import everything
from ..support.psql import psql
from ..support.servers import Server
from ..support.tiny import classifier, mixed, opened, query, value

FOLDER = Path(__file__).parent / "released"
RELEASES = sorted(path.stem for path in FOLDER.glob("*.sql") if "-" not in path.stem)
GUESTS = ("released_analyst", "released_guest")
SCORES = """
    SELECT c.id, score.churn(c), score.churn_label(c), score.churn_proba(c), score.churn_v1(c), score.churn_v3(c),
           score.plan(c), score.plan_label(c), score.tier(c), score.tier_proba(c), pgscore.score('churn', to_jsonb(c)),
           pgscore.score('churn@champion', to_jsonb(c))
    FROM customers AS c ORDER BY c.id
"""

HISTORY = """
    SELECT history_id, model, alias, action, from_version, to_version, at, by, note
    FROM pgscore.history_overview ORDER BY history_id
"""


def run(dsn: str, script: str) -> None:
    done = psql(dsn, script)
    assert (done.returncode, done.stderr) == (0, "")


@contextmanager
def released(server: Server, release: str, *, models: bool = True) -> Iterator[str]:
    """A database as the release left it; the roles go with it."""
    with copied(server) as dsn, opened(dsn) as connection:
        for guest in GUESTS:
            query(connection, f"CREATE ROLE {guest} LOGIN")
        try:
            run(dsn, (FOLDER / f"{release}.sql").read_text())
            if models:
                run(dsn, (FOLDER / f"{release}-models.sql").read_text())
                query(connection, "GRANT SELECT ON customers TO " + ", ".join(GUESTS))
            yield dsn
        finally:
            query(connection, f"DROP SCHEMA IF EXISTS {', '.join(SCHEMAS)} CASCADE")
            for role in [*ROLES, *GUESTS]:
                if value(connection, "SELECT to_regrole(%s) IS NOT NULL", (role,)):
                    query(connection, f"DROP OWNED BY {role}; DROP ROLE {role}")


def fresh(server: Server, **options: Any) -> list[str]:
    with copied(server) as dsn, opened(dsn) as connection:
        install(connection, **options)
        found = everything(connection)
        uninstall(connection)
        assert query(connection, "SELECT FROM pg_roles WHERE rolname LIKE 'pgscore%'") == []
    return found


def without_models(lines: list[str]) -> list[str]:
    return [line for line in lines if not re.search(r"\| (function )?score\.", line)]


def may_create_schemas(admin: Any, role: str) -> None:
    query(admin, f"GRANT CREATE ON DATABASE {value(admin, 'SELECT quote_ident(current_database())')} TO {role}")


def as_user(dsn: str, role: str) -> str:
    return dsn.replace("postgres@", f"{role}@")


def test_there_are_releases_and_migrations_without_gaps() -> None:
    assert "0.1.0" in RELEASES
    numbers = [int(re.fullmatch(r"(\d{4})_[a-z_]+\.sql", name)[1]) for name in installing._scripts("sql/migrations")]
    assert numbers == list(range(2, SCHEMA_VERSION + 1))


@pytest.mark.parametrize("release", RELEASES)
def test_upgraded_is_as_fresh_and_models_live_on(bare: Server, release: str) -> None:
    expected = fresh(bare)
    with released(bare, release) as dsn, opened(dsn) as connection:
        scores = query(connection, SCORES)
        likely = query(connection, "SELECT * FROM likely ORDER BY id")
        past = query(connection, HISTORY)
        change = upgrade(connection)
        assert change.notes == [f"Schema version 1 became {SCHEMA_VERSION}."]
        assert without_models(everything(connection)) == expected

        assert query(connection, SCORES) == scores
        assert query(connection, "SELECT * FROM likely ORDER BY id") == likely
        assert query(connection, HISTORY) == past
        with opened(as_user(dsn, "released_analyst")) as analyst:
            assert query(analyst, SCORES) == scores
        with opened(as_user(dsn, "released_guest")) as guest, pytest.raises(Exception, match="schema score"):
            query(guest, "SELECT score.churn(c) FROM customers c")
        may = "SELECT has_function_privilege('released_guest', 'score.churn(customers)', 'EXECUTE')"
        assert value(connection, may)

        for model in ("churn", "plan", "tier"):
            assert verify(connection, model).passed
        assert verify(connection, "churn", 1).passed
        assert run_job(connection, "daily").updated == 0
        assert rollback(connection, "churn") == 1
        assert value(connection, "SELECT score.churn(c) = score.churn_v1(c) FROM customers c WHERE id = 1")
        assert promote(connection, "churn", 3) == 1
        assert [job.state for job in status(connection)] == ["behind"]
        assert run_job(connection, "daily").updated > 0
        deploy(connection, classifier(5.0), name="churn", table="customers", promote=True)
        assert {m.model: m.live for m in list_models(connection)} == {"churn": 4, "plan": 1, "tier": 1}
        assert [event.to_version for event in history(connection, "churn")][-3:] == [3, 4, 4]

        assert value(connection, "SELECT count(*) FROM churn_scores") == len(scores)
        query(connection, "DROP VIEW likely; DROP INDEX churn_by_version")
        uninstall(connection)
        assert query(connection, "SELECT FROM pg_roles WHERE rolname LIKE 'pgscore%'") == []
        assert value(connection, "SELECT count(*) FROM churn_scores") == len(scores)


@pytest.mark.parametrize("release", RELEASES)
def test_the_printed_script_does_the_same(bare: Server, release: str) -> None:
    with released(bare, release) as dsn, opened(dsn) as connection:
        before = everything(connection)
        outcome = pgscore("upgrade", "--dry-run", "--dsn", dsn)
        assert outcome.code == 0
        assert f"-- Schema version 1 became {SCHEMA_VERSION}." in outcome.out
        assert everything(connection) == before
        failed = psql(dsn, outcome.out.replace("COMMIT;", "SELECT 1/0;\nCOMMIT;"))
        assert failed.returncode == 3
        assert everything(connection) == before

        with opened(dsn) as blocker:
            with blocker.cursor() as cursor:
                cursor.execute("SELECT FROM pgscore.models FOR KEY SHARE")  # as a promote does
            failed = psql(dsn, outcome.out.replace("'10s'", "'10ms'"))
            assert "lock timeout" in failed.stderr
            blocker.rollback()

        run(dsn, outcome.out)
        by_script = everything(connection)
        assert by_script != before
        again = psql(dsn, outcome.out)
        assert f"the plan is for schema version 1; here is {SCHEMA_VERSION}" in again.stderr
    with released(bare, release) as dsn, opened(dsn) as connection:
        upgrade(connection)
        assert everything(connection) == by_script


@pytest.mark.parametrize("release", RELEASES)
def test_another_version_is_told_what_to_run(bare: Server, release: str) -> None:
    with copied(bare) as empty, opened(empty) as connection:
        with pytest.raises(NotInstalledError, match="run `pgscore install`"):
            upgrade(connection)
        script = as_script(install(connection, dry_run=True).statements)
    with released(bare, release) as dsn, opened(dsn) as connection:
        before = everything(connection)
        with pytest.raises(RefusedError, match=r"an older pgscore is installed here .* run `pgscore upgrade`"):
            install(connection)
        with pytest.raises(RefusedError, match="run `pgscore upgrade`"):
            deploy(connection, classifier(), name="churn", table="customers")
        assert "here is 1" in psql(dsn, script).stderr
        with pytest.raises(UsageError, match="runtime install"):
            upgrade(connection, plpython=True)
        assert everything(connection) == before

        upgrade(connection)
        done = everything(connection)
        outcome = pgscore("upgrade", "--dsn", dsn)
        assert outcome.out.splitlines() == [
            "Upgraded pgscore.",
            f"Schema version {SCHEMA_VERSION} was here already: its definitions were made again.",
        ]
        assert everything(connection) == done
        query(connection, "SET ROLE pgscore_owner; UPDATE pgscore.installation SET schema_version = 99; RESET ROLE")
        for action in (install, upgrade):
            with pytest.raises(RefusedError, match="a newer pgscore is installed"):
                action(connection)
        query(connection, "DELETE FROM pgscore.installation")
        with pytest.raises(RefusedError, match="no row"):
            upgrade(connection)


def test_migrations_run_once_each_and_in_order(bare: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts, now = installing._scripts, SCHEMA_VERSION
    count_on = "INSERT INTO pgscore.note SELECT max(n) + 1 FROM pgscore.note"
    migrations = {
        **scripts("sql/migrations"),
        f"{now + 1:04}_note.sql": "CREATE TABLE pgscore.note (n integer); INSERT INTO pgscore.note VALUES (1)",
        f"{now + 2:04}_more.sql": count_on,
        f"{now + 3:04}_view.sql": f"{count_on}; DROP VIEW pgscore.freshness",
    }
    monkeypatch.setattr(installing, "_scripts", lambda folder: scripts(folder) if folder == "sql" else migrations)
    notes = "SELECT n FROM pgscore.note ORDER BY n"
    with released(bare, "0.1.0") as dsn, opened(dsn) as connection:
        before = everything(connection)
        monkeypatch.setattr(installing, "SCHEMA_VERSION", now + 3)
        query(connection, "CREATE VIEW mine AS SELECT job FROM pgscore.freshness")
        with pytest.raises(RefusedError, match=r"view public\.mine depends on view pgscore\.freshness"):
            upgrade(connection)
        assert everything(connection) == before
        query(connection, "DROP VIEW mine")

        monkeypatch.setattr(installing, "SCHEMA_VERSION", now + 2)
        name, last = migrations.popitem()
        assert upgrade(connection).notes == [f"Schema version 1 became {now + 2}."]
        assert query(connection, notes) == [(1,), (2,)]
        assert value(connection, "SELECT tableowner::text FROM pg_tables WHERE tablename = 'note'") == "pgscore_owner"
        migrations[name] = last
        monkeypatch.setattr(installing, "SCHEMA_VERSION", now + 3)
        assert upgrade(connection).notes == [f"Schema version {now + 2} became {now + 3}."]
        assert upgrade(connection).notes[0].startswith(f"Schema version {now + 3} was here already")
        assert query(connection, notes) == [(1,), (2,), (3,)]
        assert status(connection)
    with copied(bare) as dsn, opened(dsn) as connection:
        install(connection)
        assert value(connection, "SELECT to_regclass('pgscore.note') IS NULL")
        uninstall(connection)


@pytest.mark.parametrize("release", RELEASES)
def test_an_older_version_can_be_removed(bare: Server, release: str) -> None:
    with released(bare, release) as dsn, opened(dsn) as connection:
        with pytest.raises(RefusedError, match=r"still in use: index public\.churn_by_version, view public\.likely"):
            uninstall(connection)
        query(connection, "DROP VIEW likely; DROP INDEX churn_by_version")
        uninstall(connection)
        assert query(connection, "SELECT FROM pg_roles WHERE rolname LIKE 'pgscore%'") == []
        assert query(connection, "SELECT FROM pg_namespace WHERE nspname LIKE 'pgscore%' OR nspname = 'score'") == []


@pytest.mark.parametrize("attributes", ["CREATEROLE", "NOINHERIT", "", "SUPERUSER"])
def test_whoever_may_act_as_the_owner_may_upgrade(bare: Server, attributes: str) -> None:
    with released(bare, "0.1.0") as dsn, opened(dsn) as admin:
        query(admin, f"CREATE ROLE dba LOGIN {attributes}")
        may_create_schemas(admin, "dba")
        try:
            with opened(as_user(dsn, "dba")) as connection:
                if attributes != "SUPERUSER":
                    with pytest.raises(RightsError, match="GRANT pgscore_owner TO dba"):
                        upgrade(connection)
                    query(admin, "GRANT pgscore_owner TO dba")
                upgrade(connection)
                assert value(admin, "SELECT schema_version FROM pgscore.installation") == SCHEMA_VERSION
                assert value(connection, "SELECT current_user::text") == "dba"
            upgrade(admin)
            upgraded = everything(admin)
        finally:
            query(admin, "DROP OWNED BY dba; DROP ROLE dba")
    with released(bare, "0.1.0") as dsn, opened(dsn) as admin:
        upgrade(admin)
        assert everything(admin) == upgraded


def test_a_role_that_is_missing_is_named(bare: Server) -> None:
    with released(bare, "0.1.0") as dsn, opened(dsn) as admin:
        query(admin, "CREATE ROLE dba LOGIN IN ROLE pgscore_owner")
        may_create_schemas(admin, "dba")
        query(admin, "DROP OWNED BY pgscore_promoter; DROP ROLE pgscore_promoter")
        try:
            with opened(as_user(dsn, "dba")) as connection:
                missing = next(note for note in upgrade(connection).notes if "missing" in note)
            assert "pgscore_promoter" in missing
            assert "a superuser should run `pgscore upgrade`" in missing
            assert not [note for note in upgrade(admin).notes if "missing" in note]
            assert value(admin, "SELECT to_regrole('pgscore_promoter') IS NOT NULL")
        finally:
            query(admin, "DROP OWNED BY dba; DROP ROLE dba")


def test_an_installation_without_roles_upgrades_as_its_owner(bare: Server) -> None:
    """The release's script as a plain role runs it: without the roles, and it owns everything."""
    script = (FOLDER / "0.1.0.sql").read_text()
    start, end = script.index("-- 00_roles.sql"), script.index("-- The schemas")
    script = (script[:start] + script[end:]).replace('"pgscore_owner"', '"plain"')
    with copied(bare) as dsn, opened(dsn) as admin:
        query(admin, "CREATE ROLE plain LOGIN")
        may_create_schemas(admin, "plain")
        try:
            run(as_user(dsn, "plain"), script)
            with opened(as_user(dsn, "plain")) as connection:
                assert upgrade(connection).notes == [f"Schema version 1 became {SCHEMA_VERSION}."]
                upgraded = everything(connection)
                uninstall(connection)
                install(connection)
                assert everything(connection) == upgraded
                uninstall(connection)
        finally:
            query(admin, "DROP OWNED BY plain; DROP ROLE plain")


def test_two_at_a_time_wait_for_each_other(bare: Server) -> None:
    with released(bare, "0.1.0") as dsn, opened(dsn) as holder, opened(dsn) as watcher:
        with holder.cursor() as cursor:
            cursor.execute(f"SELECT pg_catalog.{LOCK}")
        done: list[list[str]] = []

        def work() -> None:
            with opened(dsn) as connection:
                done.append(upgrade(connection).notes)

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        for _ in range(1000):
            if value(watcher, waiting) == 2:
                break
        assert value(watcher, waiting) == 2
        assert done == []
        holder.rollback()
        for thread in threads:
            thread.join(timeout=60)
        assert sorted(notes[0].split()[3] for notes in done) == sorted(["became", "was"])


@pytest.mark.parametrize("release", RELEASES)
def test_plpython_of_an_older_build(bare: Server, release: str, request: pytest.FixtureRequest) -> None:
    if not bare.plpython:
        return
    runtime = request.getfixturevalue("runtime_folder")
    scored = "SELECT score.graph(c), score.graph_label(c), score.graph_v1(c) FROM customers c ORDER BY id"
    expected = fresh(bare, plpython=True, runtime=runtime)
    with released(bare, release) as dsn, opened(dsn) as connection:
        run(dsn, (FOLDER / f"{release}-onnx.sql").read_text().replace("@RUNTIME@", str(runtime)))
        scores = query(connection, scored)
        query(connection, "CREATE ROLE dba LOGIN IN ROLE pgscore_owner")
        may_create_schemas(connection, "dba")
        try:
            with opened(as_user(dsn, "dba")) as dba:
                with pytest.raises(RightsError, match="let a superuser run `pgscore upgrade --plpython` once"):
                    upgrade(dba, plpython=True)
                says = f"a superuser should run: pgscore upgrade --plpython --runtime {runtime}"
                assert says in upgrade(dba).notes[-1]
                assert query(connection, scored) == scores
                assert says in upgrade(dba).notes[-1]
                assert "PL/Python" not in " ".join(upgrade(connection, plpython=True).notes)
                assert "PL/Python" not in " ".join(upgrade(dba).notes)
        finally:
            query(connection, "DROP OWNED BY dba; DROP ROLE dba")
        assert without_models(everything(connection)) == expected
        with opened(dsn) as new_session:
            assert query(new_session, scored) == scores
            assert verify(new_session, "graph").passed
        deploy(connection, mixed(), name="graph", table="customers", strategy=Strategy.ONNX, promote=True)
        query(connection, "DROP VIEW likely; DROP INDEX churn_by_version")
        assert uninstall(connection).notes == ["Extension plpython3u stays: pgscore did not create it."]
