"""Refresh jobs by the clock: what cron can say, what is printed for cron and systemd, and no pg_cron."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from psycopg2.extensions import make_dsn, parse_dsn

from pgscore.errors import RefusedError, UsageError
from pgscore.procedures.intervals import parse_interval
from pgscore.procedures.refresh import create_job, drop_job, find_job, status
from pgscore.procedures.schedule import (
    cron_expression,
    crontab_line,
    pg_cron_expression,
    schedule,
    systemd_units,
    unschedule,
)
from pgscore.procedures.uninstall import uninstall

from ..cli.conftest import pgscore
from ..conftest import require
from ..support.refreshing import connection18
from ..support.tiny import query

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


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    require(shutil.which("systemd-analyze") is not None, "needs systemd-analyze, of Debian's systemd")
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


def test_a_schema_cron_of_somebody_else_is_not_read(connection18: Any) -> None:
    """A view there would run its owner's functions with the rights of whoever asks for the status."""
    query(
        connection18,
        "CREATE SCHEMA cron;"
        "CREATE FUNCTION cron.trap() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'run as %', current_user; END $$;"
        "CREATE VIEW cron.job AS SELECT 1 AS jobid, t AS jobname, t AS command, t AS database FROM cron.trap() AS t;"
        "CREATE VIEW cron.job_run_details AS SELECT t AS database, t AS command, t AS status, now() AS start_time,"
        " 1 AS runid, t AS return_message FROM cron.trap() AS t",
    )
    create_job(connection18, "daily", model="churn", source="customers", keys=["id"], target="public.scores")
    assert [one.state for one in status(connection18)] == ["never run"]
    with pytest.raises(RefusedError, match="pg_cron is not in database"):
        schedule(connection18, "daily", "0 3 * * *")
    assert not unschedule(connection18, "daily")
    drop_job(connection18, "daily")
    uninstall(connection18, dry_run=True)
