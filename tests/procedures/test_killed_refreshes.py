"""A refresh that is killed at any moment leaves the last good predictions or the new ones, and the next run finishes.

Killed are the client, its backend (all others then end too, and the server recovers), and the whole server.
PGSCORE_KILLS=N is N kills for each mode; by default one of each kind of victim, and more of clients.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pgscore.procedures.connection import connect
from pgscore.procedures.lifecycle import promote
from pgscore.procedures.refresh import create_job, status

from ..support import servers
from ..support.databases import copied, template
from ..support.killing import Commands
from ..support.refreshing import churn_model, fetch, fill, run
from ..support.servers import Server

KILLS = int(os.environ.get("PGSCORE_KILLS", "8"))
VICTIMS = ["client", "client", "client", "backend", "client", "client", "client", "server"]
MODELS = {1: churn_model(), 2: churn_model(C=0.01)}
RELATIONS = "SELECT count(*) FROM pg_class WHERE relnamespace::regnamespace::text IN ('public', 'pgscore')"
CHANGES = {
    "none": "SELECT",
    "some": "UPDATE customers SET tenure = tenure + 1 WHERE id % 97 = {0}",
    "keys": "DELETE FROM customers WHERE id % 89 = {0}; "
    "INSERT INTO customers SELECT region, id + 1000000, tenure, charge, plan FROM customers WHERE id % 83 = {0} "
    "ON CONFLICT DO NOTHING",
    "most": "UPDATE customers SET charge = charge + 1",
}
RUN = ("refresh", "run", "daily")
OPTIONS = {"full": (), "incremental": ("--backfill-rows", "4000"), "parallel": ("--jobs", "2")}
"""Of `pgscore refresh run`. In parallel, all rows are written into a table that is swapped in."""
Predictions = dict[int, tuple[float, int]]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server to be killed. What it says to be committed must be there after a crash."""
    with servers.debian15("synchronous_commit = on", "full_page_writes = on", "restart_after_crash = on") as server:
        yield server


@dataclass
class Refreshes(Commands):
    """Runs of a job by the command line."""

    version: int = 1

    def change(self, chance: random.Random) -> bool:
        """Writes to the source; whether another version was promoted, too."""
        statement = chance.choice(list(CHANGES.values()))
        run(self.connection, statement.format(chance.randrange(80)))
        promoted = chance.random() < 0.4
        if promoted:
            self.version = 3 - self.version
            promote(self.connection, "churn", self.version)
        return promoted

    def predictions(self) -> Predictions:
        """What the target holds."""
        rows = fetch(self.connection, "SELECT id, score, model_version FROM scores")
        found = {key: (score, version) for key, score, version in rows}
        assert len(found) == len(rows)
        return found

    def truth(self) -> Predictions:
        """What the live version says of the source."""
        with self.connection as connection, connection.cursor() as cursor:
            cursor.execute("SELECT id, tenure, charge, plan FROM customers")
            rows = cursor.fetchall()
        frame = pd.DataFrame(rows, columns=["id", "tenure", "charge", "plan"]).astype({"charge": float})
        scores = MODELS[self.version].predict_proba(frame)[:, 1]
        return {int(key): (float(score), self.version) for key, score in zip(frame.id, scores, strict=True)}


def agree(one: Predictions, other: Predictions) -> bool:
    """Whether they have the same keys, versions and scores."""
    if one.keys() != other.keys():
        return False
    pairs = np.array([[*one[key], *other[key]] for key in one]).reshape(-1, 4)
    return bool(np.allclose(pairs[:, :2], pairs[:, 2:], rtol=1e-9, atol=0))


@contextmanager
def refreshing(server: Server, mode: str, folder: Path) -> Iterator[Refreshes]:
    with copied(server, template(server, "pgscore_refresh", fill, template(server))) as dsn:
        connection = connect(dsn)
        run(
            connection,
            "INSERT INTO customers SELECT region, id + 3000 * i, tenure, charge, plan"
            " FROM customers, generate_series(1, 6) AS i",
        )
        # PostgreSQL sets the sequences of a copied database back in a crash before the first checkpoint.
        run(connection, "CHECKPOINT")
        if mode == "parallel":
            run(connection, f"ALTER DATABASE {connection.info.dbname} SET pgscore.writes = 'swap'")
        create_job(
            connection, "daily", model="churn", source="customers", keys=["id"], target="scores",
            mode="incremental" if mode == "incremental" else "full",
        )  # fmt: skip
        refreshes = Refreshes(server, dsn, folder, connection)
        yield refreshes
        refreshes.connection.close()


@pytest.mark.parametrize("mode", OPTIONS)
def test_killed_at_any_moment(server: Server, mode: str, tmp_path: Path) -> None:
    chance = random.Random(5)
    outcomes: Counter[tuple[str, str]] = Counter()
    with refreshing(server, mode, tmp_path) as refreshes:
        command = (*RUN, *OPTIONS[mode])
        refreshes.complete(*command)
        seconds = [refreshes.complete(*command) for _ in range(3)]
        relations = fetch(refreshes.connection, RELATIONS)
        for number in range(KILLS):
            what = VICTIMS[number % len(VICTIMS)]
            before = refreshes.predictions()
            promoted = refreshes.change(chance)
            refreshes.kill(what, chance.uniform(0, 1.2 * float(np.median(seconds[-5:]))), *command)
            outcome = _outcome(before, refreshes.predictions(), refreshes.truth(), by_rows=promoted)
            assert outcome != "between" or (mode == "incremental" and promoted)
            outcomes[what, outcome] += 1
            seconds.append(refreshes.complete(*command))
            assert agree(refreshes.predictions(), refreshes.truth())
            assert [job.state for job in status(refreshes.connection)] == ["fresh"]
            assert fetch(refreshes.connection, RELATIONS) == relations
    print(f"\n{mode}: {np.median(seconds):.2f} s a run; {dict(outcomes)}")
    # Of few kills, all may come early or late.
    assert KILLS < 50 or {"old", "new"} <= {outcome for _, outcome in outcomes}


def _outcome(before: Predictions, found: Predictions, truth: Predictions, *, by_rows: bool) -> str:
    """Whether the target holds the predictions of before, or the new ones; or, row by row, one of the two."""
    if agree(found, before):
        return "old"
    if agree(found, truth):
        return "new"
    assert by_rows
    for key, row in found.items():
        assert any(key in good and agree({key: row}, {key: good[key]}) for good in (truth, before))
    return "between"
