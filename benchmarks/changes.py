"""An incremental refresh after 1 % of the rows changed, beside a full one."""

from __future__ import annotations

import contextlib
import itertools

from pgscore.procedures.deploy import deploy
from pgscore.procedures.refresh import create_job, run_job
from tests.support.tiny import loaded

from .measuring import interleaved
from .models import Subject
from .servers import Place

MODES = ("full", "incremental")


def incremental_share(place: Place, subject: Subject, rounds: int) -> float:
    """The percentage of a full run's time. The rows that change lie apart, so that they are on many pages."""
    table = f"changing_{subject.name.replace(' ', '_')}"
    place.alone(f"CREATE TABLE {table} AS TABLE {subject.data.name}")
    place.alone(f"ALTER TABLE {table} ADD PRIMARY KEY (id)")
    jobs = {mode: f"{table}_{mode}" for mode in MODES}
    with contextlib.closing(place.connect()) as connection:
        deploy(connection, loaded(subject.model), name=table, table=table)
        for mode, job in jobs.items():
            create_job(connection, job, model=table, source=table, keys=["id"], target=f"public.{job}", mode=mode)
            run_job(connection, job)
            run_job(connection, job)  # the first one of an incremental job only sets up its triggers
        turns = itertools.count()

        def change(_: str) -> None:
            place.alone(f"UPDATE {table} SET f0 = f0 + 1 WHERE id % 100 = {next(turns)}")  # noqa: S608
            place.alone(f"VACUUM ANALYZE {table}, {', '.join(jobs.values())}")

        runs = {mode: lambda job=job: run_job(connection, job) for mode, job in jobs.items()}
        took = interleaved(place, runs, rounds, change)
    return took["incremental"] / took["full"] * 100
