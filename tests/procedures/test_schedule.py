"""Refresh jobs by the clock: what cron can say, what is printed for cron and systemd, and a real pg_cron."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from psycopg2.extensions import make_dsn, parse_dsn

from pgscore.errors import InvalidNameError, NotFoundError, RefusedError, RightsError, UsageError
from pgscore.procedures.deploy import deploy
from pgscore.procedures.install import install
from pgscore.procedures.intervals import parse_interval
from pgscore.procedures.refresh import create_job, drop_job, find_job, run_job, status
from pgscore.procedures.schedule import (
    cron_expression,
    crontab_line,
    pg_cron_expression,
    pg_cron_version,
    schedule,
    systemd_units,
    unschedule,
)

from ..cli.conftest import pgscore
from ..conftest import require_debian15
from ..support import servers
from ..support.killing import kill_postmaster, wait_until_back
from ..support.refreshing import connection18
from ..support.servers import Server
from ..support.tiny import classifier, make_customers, opened, query, value

__all__ = ["connection18"]

OLD, NEW = (1, 4, 1), (1, 6)
WEEK = 7 * 24 * 60


# What cron can say.


@pytest.mark.parametrize(
    ("every", "expression"),
    [
        ("1 min", "* * * * *"),
        ("5 min", "*/5 * * * *"),
        ("30 min", "*/30 * * * *"),
        ("60 min", "0 * * * *"),
        ("1 hour", "0 * * * *"),
        ("6 hours", "0 */6 * * *"),
        ("24 hours", "0 0 * * *"),
        ("1 day", "0 0 * * *"),
        ("1 week", "0 0 * * 0"),
        ("30 s", None),
        ("7 min", None),
        ("90 min", None),
        ("5 hours", None),
        ("2 days", None),
        ("61 s", None),
    ],
)
def test_intervals_that_cron_can_say(every: str, expression: str | None) -> None:
    assert cron_expression(parse_interval(every)) == expression


def test_every_expression_repeats_at_that_interval() -> None:
    """Counted in the minutes of three weeks, of all that cron can say."""
    for minutes in range(1, WEEK + 1):
        expression = cron_expression(timedelta(minutes=minutes))
        if expression is not None:
            minute, hour, _, _, weekday = expression.split()
            times = [
                m
                for m in range(3 * WEEK)
                if _on(minute, m % 60) and _on(hour, m // 60 % 24) and _on(weekday, m // 1440 % 7)
            ]
            assert {later - sooner for sooner, later in pairwise(times)} == {minutes}


def _on(field: str, number: int) -> bool:
    if field.startswith("*"):
        return number % int(field[2:] or 1) == 0
    return number == int(field)


def test_pg_cron_knows_seconds_from_1_5_on() -> None:
    assert pg_cron_expression(timedelta(seconds=30), NEW) == "30 seconds"
    assert pg_cron_expression(timedelta(minutes=5), OLD) == "*/5 * * * *"
    with pytest.raises(UsageError, match=r"every 30 s; .*from pg_cron 1.5 on.*--print systemd"):
        pg_cron_expression(timedelta(seconds=30), OLD)
    for version in (OLD, NEW):
        with pytest.raises(UsageError, match=r"every 7 min; it can every 1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30 min, 1,"):
            pg_cron_expression(timedelta(minutes=7), version)


# Recipes.


def test_the_crontab_line_runs_the_job(connection18: Any, tmp_path: Path) -> None:
    """As cron does it: sh gets the command, with \\% as %."""
    dsn = f"{connection18.dsn} application_name='50% \"a b\"'"
    create_job(connection18, "daily", model="churn", source="customers", keys=["id"], target="public.scores")
    program = Path(sys.executable).with_name("pgscore")
    moved = tmp_path / "it's 5 %" / "pgscore"
    moved.parent.mkdir()
    moved.symlink_to(program)
    line = crontab_line("daily", "0 3 * * *", str(moved), dsn)
    assert line.startswith("0 3 * * * PGSCORE_DSN=")
    command = line.removeprefix("0 3 * * * ")
    assert "%" not in command.replace("\\%", "")
    done = subprocess.run(
        ["/bin/sh", "-c", command.replace("\\%", "%")],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert find_job(connection18, "daily").fresh


def test_systemd_units() -> None:
    units = systemd_units("daily", timedelta(minutes=90), '/opt/50% "x"/pgscore', "dbname=shop host='a\\\\b'")
    assert sorted(units) == ["pgscore-daily.service", "pgscore-daily.timer"]
    assert '\nExecStart="/opt/50%% \\"x\\"/pgscore" refresh run daily\n' in units["pgscore-daily.service"]
    assert "\nEnvironment=\"PGSCORE_DSN=dbname=shop host='a\\\\\\\\b'\"\n" in units["pgscore-daily.service"]
    assert "\nOnUnitActiveSec=5400\n" in units["pgscore-daily.timer"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    program = tmp_path / "a b 5%" / "pgscore"
    program.parent.mkdir()
    program.symlink_to("/bin/true")
    paths = []
    for name, text in systemd_units("daily", timedelta(minutes=90), str(program), "dbname=shop host='a\\\\b'").items():
        paths.append(tmp_path / name)
        paths[-1].write_text(text)
    ran = subprocess.run(["systemd-analyze", "verify", *paths], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_without_pg_cron_the_recipe_is_printed(connection18: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSCORE_DSN", make_dsn(connection18.dsn, password="secret"))
    create_job(
        connection18, "daily", model="churn", source="customers", keys=["id"], target="public.scores",
        every=timedelta(hours=1),
    )  # fmt: skip
    outcome = pgscore("schedule", "daily")
    assert outcome.code == 1
    assert "pg_cron is not in this database" in outcome.err
    assert "\n0 * * * * PGSCORE_DSN=" in outcome.out
    assert "OnUnitActiveSec=3600" in outcome.out
    assert "systemctl enable --now pgscore-daily.timer" in outcome.out
    assert "secret" not in outcome.out

    cron = pgscore("schedule", "daily", "--cron", "0 3 * * 1-5", "--print", "cron")
    assert cron.code == 0
    # What it prints is a crontab: comments and lines.
    (line,) = [line for line in cron.out.splitlines() if not line.startswith("#")]
    assert line.startswith("0 3 * * 1-5 ")
    assert parse_dsn(shlex.split(line)[5].removeprefix("PGSCORE_DSN="))["dbname"] == connection18.info.dbname
    assert pgscore("schedule", "daily", "--print", "systemd", "--every", "90 min").code == 0
    assert find_job(connection18, "daily").every == timedelta(hours=1), "printing changes nothing"

    for arguments, message in (
        (("--every", "7 min", "--print", "cron"), "cron cannot run daily so often"),
        (("--cron", "0 3 * * *", "--print", "systemd"), "takes no cron expression"),
        (("--cron", "0 3 * * *", "--every", "1 day"), "pass one of them"),
    ):
        refused = pgscore("schedule", "daily", *arguments)
        assert refused.code == 2
        assert message in refused.err
    create_job(connection18, "other", model="churn", source="customers", keys=["id"], target="public.scores2")
    assert "say when to run other" in pgscore("schedule", "other").err
    assert "no refresh job 'nothing'" in pgscore("schedule", "nothing", "--every", "1 day", "--print", "cron").err
    assert "is not in pg_cron" in pgscore("unschedule", "daily").out
    with pytest.raises(RefusedError, match=r"pg_cron is not in database .*--print cron"):
        schedule(connection18, "daily", "0 3 * * *")
    drop_job(connection18, "daily")


# A real pg_cron, which runs @reboot jobs when the server starts: no test waits for a full minute.

SETTINGS = (
    "shared_preload_libraries = 'pg_cron'", "cron.database_name = 'shop'", "cron.host = ''",
    # So that what was scheduled outlives the kill.
    "synchronous_commit = on",
)  # fmt: skip


@pytest.fixture(scope="module")
def cron_server() -> Iterator[Server]:
    require_debian15()
    with servers.debian15(*SETTINGS) as server:
        with opened(server.dsn()) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("CREATE DATABASE shop")
        with opened(server.dsn("shop")) as connection:
            query(connection, "CREATE EXTENSION pg_cron")
            make_customers(connection)
            install(connection)
            deploy(connection, classifier(), name="churn", table="customers")
            query(
                connection,
                "CREATE ROLE analyst LOGIN; GRANT pgscore_scorer TO analyst; GRANT SELECT ON customers TO analyst;"
                "CREATE SCHEMA lab AUTHORIZATION analyst; GRANT USAGE ON SCHEMA cron TO analyst;"
                "CREATE ROLE pauper LOGIN; GRANT pgscore_scorer TO pauper; GRANT SELECT ON customers TO pauper;"
                "CREATE SCHEMA hut AUTHORIZATION pauper",
            )
        yield server


@pytest.fixture
def shop(cron_server: Server) -> Iterator[Any]:
    """A connection as superuser; jobs of all go at the end."""
    with opened(cron_server.dsn("shop")) as connection:
        yield connection
    with opened(cron_server.dsn("shop")) as connection:
        for job in status(connection):
            drop_job(connection, job.job)
        assert query(connection, "SELECT jobname FROM cron.job") == []


@pytest.fixture
def as_analyst(cron_server: Server, shop: Any) -> Iterator[Any]:
    with opened(cron_server.dsn("shop", "analyst")) as connection:
        yield connection


def job(connection: Any, name: str, schema: str = "public", **options: Any) -> None:
    given = {"model": "churn", "source": "public.customers", "keys": ["id"], "target": f"{schema}.{name}", **options}
    create_job(connection, name, **given)


def in_cron(connection: Any) -> list[tuple[Any, ...]]:
    return query(connection, "SELECT jobname::text, schedule, command, username FROM cron.job ORDER BY 1, 4")


def test_scheduling_is_idempotent_and_dropping_a_job_unschedules_it(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSCORE_DSN", shop.dsn)
    job(shop, "daily", every=timedelta(minutes=5), target_lag=timedelta(hours=1))
    assert pg_cron_version(shop) == OLD
    outcome = pgscore("schedule", "daily")
    assert (outcome.code, outcome.err) == (0, "")
    assert "pg_cron runs daily at */5 * * * *" in outcome.out
    command = "CALL pgscore.refresh('daily')"
    assert in_cron(shop) == [("pgscore:daily", "*/5 * * * *", command, "postgres")]
    assert pgscore("schedule", "daily", "--every", "1 day").code == 0
    assert in_cron(shop) == [("pgscore:daily", "0 0 * * *", command, "postgres")]
    now = find_job(shop, "daily")
    assert (now.every, now.target_lag) == (timedelta(days=1), timedelta(hours=1))
    assert pgscore("schedule", "daily", "--cron", "0 3 * * *").code == 0
    assert in_cron(shop) == [("pgscore:daily", "0 3 * * *", command, "postgres")]
    refused = pgscore("schedule", "daily", "--every", "30 s")
    assert (refused.code, "from pg_cron 1.5 on" in refused.err) == (2, True)
    assert pgscore("unschedule", "daily").out == "pg_cron runs daily no more\n"
    assert in_cron(shop) == []
    schedule(shop, "daily", "0 3 * * *")
    drop_job(shop, "daily")
    assert in_cron(shop) == []


def test_what_cannot_be_scheduled(cron_server: Server, shop: Any, as_analyst: Any) -> None:
    job(shop, "daily")
    with pytest.raises(InvalidNameError, match="pg_cron does not take 'at noon'"):
        schedule(shop, "daily", "at noon")
    with pytest.raises(NotFoundError, match="no refresh job 'nothing'"):
        schedule(shop, "nothing", "0 3 * * *")
    with pytest.raises(RightsError, match="may not use refresh job daily"):
        schedule(as_analyst, "daily", "0 3 * * *")
    with opened(cron_server.dsn("shop", "pauper")) as pauper:
        job(pauper, "poor", "hut")
        with pytest.raises(RefusedError, match="or role pauper may not use it"):
            schedule(pauper, "poor", "0 3 * * *")
        assert [one.state for one in status(pauper)] == ["never run", "never run"]
        drop_job(pauper, "poor")
    assert in_cron(shop) == []


def test_long_names_are_apart_in_pg_cron(shop: Any) -> None:
    names = ["a" * 62 + end for end in ("1", "2")]
    for name in names:
        job(shop, name)
        schedule(shop, name, "0 3 * * *")
    assert len(in_cron(shop)) == 2
    assert unschedule(shop, names[0])
    assert [command for _, _, command, _ in in_cron(shop)] == [f"CALL pgscore.refresh('{names[1]}')"]


def test_a_replaced_job_stays_scheduled(shop: Any) -> None:
    job(shop, "daily")
    schedule(shop, "daily", "0 3 * * *")
    job(shop, "daily", replace=True)
    assert len(in_cron(shop)) == 1


def test_runs_of_pg_cron_and_their_failures(cron_server: Server, shop: Any, as_analyst: Any) -> None:
    for name in ("good", "bad", "lost", "healed"):
        job(shop, name)
        schedule(shop, name, "@reboot")
    job(as_analyst, "mine", "lab")
    schedule(as_analyst, "mine", "@reboot")
    assert [name for name, *_ in in_cron(as_analyst)] == ["pgscore:mine"]
    # As a hand would have scheduled it.
    job(shop, "by_hand")
    query(shop, "SELECT cron.schedule('x', '@reboot', 'call pgscore.refresh( job => ''by_hand'' );')")
    query(
        shop,
        "; ".join(f"ALTER TABLE {name} DROP COLUMN score" for name in ("bad", "by_hand", "healed")),
    )
    query(shop, "UPDATE cron.job SET nodename = %s", (cron_server.host,))
    query(shop, "UPDATE cron.job SET nodename = '/nowhere' WHERE jobname = 'pgscore:lost'")
    shop.close()
    as_analyst.close()

    kill_postmaster(cron_server)
    wait_until_back(cron_server.dsn("shop"))
    with opened(cron_server.dsn("shop")) as connection:
        deadline = time.monotonic() + 30
        while (
            value(connection, "SELECT count(*) FROM cron.job_run_details WHERE status IN ('succeeded', 'failed')") < 6
        ):
            assert time.monotonic() < deadline, query(connection, "SELECT * FROM cron.job_run_details")
            time.sleep(0.1)
        found = {one.job: one for one in status(connection)}
        assert {name: one.state for name, one in found.items()} == {
            "good": "fresh", "mine": "fresh",
            "bad": "failed", "lost": "failed", "healed": "failed", "by_hand": "failed",
        }  # fmt: skip
        message = "public.{} has no column score, of type double precision"
        assert found["bad"].error == "pg_cron: " + message.format("bad")
        assert found["by_hand"].error == "pg_cron: " + message.format("by_hand")
        assert found["lost"].error == "pg_cron: connection failed"
        assert query(connection, "SELECT job, by FROM pgscore.run_overview ORDER BY 1") == [
            ("good", "postgres"), ("mine", "analyst"),
        ]  # fmt: skip
        outcome = pgscore("status", "bad", "--json", "--dsn", connection.dsn)
        assert (outcome.code, json.loads(outcome.out)[0]["error"]) == (1, found["bad"].error)

        # A good run afterwards heals it; a job made anew has no past.
        query(connection, "ALTER TABLE healed ADD COLUMN score float8")
        run_job(connection, "healed")
        job(connection, "bad", replace=True, target="public.bad_2")
        states = {one.job: one.state for one in status(connection)}
        assert (states["healed"], states["bad"]) == ("fresh", "never run")

    with opened(cron_server.dsn("shop", "analyst")) as connection:
        assert {one.job: one.state for one in status(connection)}["by_hand"] == "never run", (
            "pg_cron shows them their own"
        )
        drop_job(connection, "mine")
        assert in_cron(connection) == []
    with opened(cron_server.dsn("shop")) as connection:
        query(connection, "SELECT cron.unschedule('x')")


def test_a_message_of_pg_cron_shows_no_value_of_a_row(shop: Any) -> None:
    """job_run_details has the error as text: what PostgreSQL quotes in it may be a value."""
    job(shop, "daily")
    for number, text in enumerate(
        ('invalid input syntax for type integer: "secret"', 'value "secret" is out of range for type integer',
         "duplicate key\nDETAIL:  Key (id)=(secret) already exists."),
        start=1000,
    ):  # fmt: skip
        query(
            shop,
            "INSERT INTO cron.job_run_details VALUES"
            " (1, %s, 1, 'shop', 'postgres', 'CALL pgscore.refresh(''daily'')', 'failed', %s, now(), now())",
            (number, f"ERROR:  {text}"),
        )
        error = str(find_job(shop, "daily").error)
        assert error.startswith("pg_cron: ")
        assert "secret" not in error
    query(shop, "DELETE FROM cron.job_run_details WHERE runid >= 1000")


def test_a_superuser_drops_what_others_scheduled(shop: Any, as_analyst: Any) -> None:
    job(as_analyst, "mine", "lab")
    schedule(as_analyst, "mine", "0 3 * * *")
    schedule(shop, "mine", "0 4 * * *")
    assert [name for *_, name in in_cron(shop)] == ["analyst", "postgres"]
    drop_job(shop, "mine")
    assert in_cron(shop) == []
