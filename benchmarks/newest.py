"""The models that run as SQL once more, on the embedded PostgreSQL 18.

Debian's 15, which everything else is measured on, takes longer for each operator of a row: since 18 the executor has
steps of their own for functions of one and of two arguments.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.support import servers

from . import data, report
from .goals import LINEAR_AND_TREES, outcomes
from .models import MODELS, fitted
from .servers import Place
from .suite import Effort, measure
from .tables import Table


def measured(effort: Effort) -> Table:
    """The goals of these models."""
    figures = []
    with servers.embedded18() as server, tempfile.TemporaryDirectory(prefix="pgscore-bench-") as folder:
        place = Place(server.dsn(), Path(folder), plpython=False, name="PostgreSQL 18")
        place.install()
        for source in {MODELS[name].data for name in LINEAR_AND_TREES}:
            rows = data.DATA[source](effort.rows)
            data.store(place, rows)
            for name in (name for name in LINEAR_AND_TREES if MODELS[name].data == source):
                figures += measure(place, fitted(name, MODELS[name], rows), effort)[0]
    goals = [goal for goal in outcomes(figures, {}) if goal.measured is not None]
    return Table("The goals of what runs as SQL, on the embedded PostgreSQL 18", report.GOALS, report.goal_rows(goals))
