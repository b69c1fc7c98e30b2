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

TABLE = "changing"
MODES = ("full", "incremental")


def incremental_share(place: Place, subject: Subject, rounds: int) -> float:
    """The percentage of a full run's time. The rows that change lie apart, so that they are on many pages."""
    place.alone(f"CREATE TABLE {TABLE} AS TABLE {subject.data.name}")
    place.alone(f"ALTER TABLE {TABLE} ADD PRIMARY KEY (id)")
    with contextlib.closing(place.connect()) as connection:
        deploy(connection, loaded(subject.model), name=TABLE, table=TABLE)
        for mode in MODES:
            create_job(
                connection, mode, model=TABLE, source=TABLE, keys=["id"], target=f"public.{TABLE}_{mode}", mode=mode
            )
            run_job(connection, mode)
            run_job(connection, mode)  # the first one of an incremental job only sets up its triggers
        turns = itertools.count()

        def change(_: str) -> None:
            place.alone(f"UPDATE {TABLE} SET f0 = f0 + 1 WHERE id % 100 = {next(turns)}")  # noqa: S608
            place.alone(f"VACUUM ANALYZE {TABLE}, {', '.join(f'{TABLE}_{mode}' for mode in MODES)}")

        runs = {mode: lambda mode=mode: run_job(connection, mode) for mode in MODES}
        took = interleaved(place, runs, rounds, change)
    return took["incremental"] / took["full"] * 100
