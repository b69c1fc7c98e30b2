"""Refresh jobs in a real pg_cron: scheduling, what its runs leave, and who may.

It runs @reboot jobs when the server starts: no test waits for a full minute.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from pgscore.errors import InvalidNameError, NotFoundError, RefusedError, RightsError
from pgscore.procedures.deploy import deploy
from pgscore.procedures.install import install
from pgscore.procedures.limits import set_limits
from pgscore.procedures.refresh import create_job, drop_job, find_job, run_job, status
from pgscore.procedures.schedule import (
    pg_cron_version,
    schedule,
    unschedule,
)

from ..cli.conftest import pgscore
from ..conftest import require_debian15
from ..support import servers
from ..support.killing import kill_postmaster, wait_until_back
from ..support.servers import Server
from ..support.tiny import classifier, make_customers, opened, query

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
        left = query(connection, "SELECT jobname::text FROM cron.job")
        query(connection, "SELECT cron.unschedule(jobid) FROM cron.job")
        assert left == []


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
    assert pg_cron_version(shop) == (1, 4, 1)
    outcome = pgscore("schedule", "daily")
    assert (outcome.code, outcome.err) == (0, "")
    assert "pg_cron runs daily at */5 * * * *" in outcome.out
    command = "CALL pgscore.run_job('daily')"
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


def test_a_run_of_pg_cron_has_the_timeout_of_its_job(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    job(shop, "daily", statement_timeout=timedelta(minutes=1))
    schedule(shop, "daily", "0 3 * * *")
    timed = "SET statement_timeout = '60000ms'; CALL pgscore.refresh('daily')"
    assert in_cron(shop) == [("pgscore:daily", "0 3 * * *", timed, "postgres")]
    set_limits(shop, "daily", lock_timeout=timedelta(seconds=1))
    assert in_cron(shop) == [("pgscore:daily", "0 3 * * *", "CALL pgscore.run_job('daily')", "postgres")]


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
    assert [command for _, _, command, _ in in_cron(shop)] == [f"CALL pgscore.run_job('{names[1]}')"]


def test_a_replaced_job_stays_scheduled(shop: Any) -> None:
    job(shop, "daily")
    schedule(shop, "daily", "0 3 * * *")
    job(shop, "daily", replace=True)
    assert len(in_cron(shop)) == 1


def test_runs_of_pg_cron_and_their_failures(cron_server: Server, shop: Any, as_analyst: Any) -> None:
    for name in ("good", "bad", "lost", "healed"):
        job(shop, name)
        schedule(shop, name, "@reboot")
    for name, length in (("timed", timedelta(minutes=5)), ("slow", timedelta(milliseconds=100))):
        query(shop, "CREATE OR REPLACE VIEW slow_customers AS SELECT * FROM customers WHERE pg_sleep(1)::text = ''")
        job(shop, name, statement_timeout=length, **({"source": "slow_customers"} if name == "slow" else {}))
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
        states = {
            "good": "fresh", "mine": "fresh", "timed": "fresh",
            "bad": "failed", "lost": "failed", "healed": "failed", "by_hand": "failed", "slow": "failed",
        }  # fmt: skip
        # Not until pg_cron says that all have ended: it says so of `SET …; CALL …` after its SET already.
        deadline = time.monotonic() + 30
        found = {one.job: one for one in status(connection)}
        while {name: one.state for name, one in found.items()} != states and time.monotonic() < deadline:
            time.sleep(0.1)
            found = {one.job: one for one in status(connection)}
        assert {name: one.state for name, one in found.items()} == states
        message = "public.{} has no column score, of type double precision"
        assert str(found["bad"].error).startswith(message.format("bad")), "run_job wrote it down"
        assert found["by_hand"].error == "pg_cron: " + message.format("by_hand")
        assert found["lost"].error == "pg_cron: connection failed"
        assert found["slow"].error == "pg_cron: canceling statement due to statement timeout"
        assert query(connection, "SELECT job, state, by FROM pgscore.run_overview ORDER BY 1") == [
            ("bad", "failed", "postgres"), ("good", "done", "postgres"), ("healed", "failed", "postgres"),
            ("mine", "done", "analyst"), ("timed", "done", "postgres"),
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
         '"secret" is out of range for type double precision', 'time zone "secret" not recognized',
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
