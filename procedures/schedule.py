"""Running refresh jobs by the clock: pg_cron where it is in the database (sql/37_pg_cron.sql), else cron or systemd."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from datetime import timedelta

from psycopg2.extensions import make_dsn

from pgscore.errors import UsageError

from .connection import Connection, pinned, transaction
from .intervals import as_text
from .refresh import find_job

SECONDS_SINCE = (1, 5)
"""The version of pg_cron that brought '30 seconds'."""

_MINUTES = [n for n in range(1, 60) if 60 % n == 0]
_HOURS = [n for n in range(1, 24) if 24 % n == 0]
FITTING = f"every {', '.join(map(str, _MINUTES))} min, {', '.join(map(str, _HOURS))} h, 1 day or 1 week"
"""The intervals that a cron expression can say exactly."""


@dataclass(frozen=True)
class Scheduled:
    """A job in pg_cron: its number there, and when it runs."""

    job: str
    number: int
    cron: str


def pg_cron_version(connection: Connection) -> tuple[int, ...] | None:
    """The version of pg_cron, such as (1, 6); None where it is not in this database."""
    with transaction(connection) as cursor, pinned(cursor):
        cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'pg_cron'")
        found = cursor.fetchone()
    return found and tuple(int(part) for part in re.findall(r"\d+", found[0]))


def cron_expression(every: timedelta) -> str | None:
    """The cron expression that says exactly this, at full minutes, hours and days; None where there is none."""
    seconds = every.total_seconds()
    minutes, hours = seconds / 60, seconds / 3600
    if minutes in _MINUTES:
        return f"{_step(minutes)} * * * *"
    if hours in _HOURS:
        return f"0 {_step(hours)} * * *"
    return {24: "0 0 * * *", 168: "0 0 * * 0"}.get(hours)  # type: ignore[call-overload, no-any-return]


def _step(count: float) -> str:
    return "*" if count == 1 else f"*/{count:.0f}"


def pg_cron_expression(every: timedelta, version: tuple[int, ...]) -> str:
    """What pg_cron of this version takes for the interval. Raises UsageError where it has nothing exact."""
    expression = cron_expression(every)
    if expression is not None:
        return expression
    seconds = every.total_seconds()
    if seconds < 60 and seconds.is_integer() and version >= SECONDS_SINCE:
        return f"{seconds:.0f} seconds"
    below = ", and 1 to 59 s" if version >= SECONDS_SINCE else "; 1 to 59 s from pg_cron 1.5 on"
    raise UsageError(
        f"pg_cron cannot run a job every {as_text(every)}; it can {FITTING}{below}. Pass another --every, a --cron, or"
        " `--print systemd`, which takes any"
    )


def schedule(connection: Connection, job: str, cron: str, every: timedelta | None = None) -> Scheduled:
    """Has pg_cron run the job, as the connected user; once more, with other times, changes it. `every` becomes its own.

    Raises NotFoundError, RightsError, RefusedError where pg_cron is not in this database, and ServerError for an
    expression that pg_cron does not take.
    """
    with transaction(connection) as cursor, pinned(cursor):
        if every is not None:
            cursor.execute(
                "SELECT pgscore.set_schedule(job, target_lag, %s) FROM pgscore.freshness WHERE job = %s", [every, job]
            )
        cursor.execute("SELECT pgscore.schedule(%s, %s)", [job, cron])
        return Scheduled(job, cursor.fetchone()[0], cron)


def unschedule(connection: Connection, job: str) -> bool:
    """Takes the job from pg_cron; says whether it was there. The refresh job may be gone already."""
    with transaction(connection) as cursor, pinned(cursor):
        cursor.execute("SELECT pgscore.unschedule(%s)", [job])
        there: bool = cursor.fetchone()[0]
        return there


def declared(connection: Connection, job: str) -> timedelta | None:
    """How often the job is to run, as it says itself. Raises NotFoundError."""
    return find_job(connection, job).every


def address(connection: Connection) -> str:
    """A DSN of this connection without its password."""
    given = connection.get_dsn_parameters()
    text: str = make_dsn(**{key: given[key] for key in ("host", "port", "dbname", "user") if given.get(key)})
    return text


def crontab_line(job: str, cron: str, program: str, dsn: str) -> str:
    """A line of a crontab, where % would end the command."""
    command = f"PGSCORE_DSN={shlex.quote(dsn)} {shlex.quote(program)} refresh run {job}"
    return f"{cron} " + command.replace("%", "\\%")


def systemd_units(job: str, every: timedelta, program: str, dsn: str) -> dict[str, str]:
    """The texts of a service and of the timer that starts it, by the names of their files."""
    service = f"""[Unit]
Description=pgscore refresh job {job}
After=network-online.target

[Service]
Type=oneshot
Environment={_systemd_word(f"PGSCORE_DSN={dsn}")}
ExecStart={_systemd_word(program)} refresh run {job}
"""
    timer = f"""[Unit]
Description=pgscore refresh job {job} every {as_text(every)}

[Timer]
OnActiveSec=0
OnUnitActiveSec={every.total_seconds():.0f}
AccuracySec=1

[Install]
WantedBy=timers.target
"""
    return {f"pgscore-{job}.service": service, f"pgscore-{job}.timer": timer}


def _systemd_word(text: str) -> str:
    """One word of a unit file: quotes and backslashes escaped, and % doubled, which begins a specifier."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
