"""A deploy that is killed at any moment leaves the old version or the new one, whole, and the next deploy works.

Killed are the client, its backend (all others then end too, and the server recovers), and the whole server.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io

from pgscore.procedures.catalog import versions
from pgscore.procedures.connection import connect
from pgscore.procedures.install import install
from pgscore.procedures.lifecycle import drop, show

from ..support import servers
from ..support.databases import copied
from ..support.killing import Commands
from ..support.servers import Server
from ..support.tiny import FRAME, NUMBERS, classifier, make_customers
from ..support.versions import moving
from ..support.whole import assert_catalog_is_whole

KILLS = {
    "sql": {"client": 30, "backend": 6, "server": 3},
    "onnx": {"client": 8, "backend": 2, "server": 1},
}
"""Fifty in all; every second one where PGSCORE_KILLS is not set, which makes the suite a minute shorter."""
MODELS = [classifier(weight) for weight in (1.0, 0.01)]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server to be killed. What it says to be committed must be there after a crash."""
    with servers.debian15("synchronous_commit = on", "full_page_writes = on", "restart_after_crash = on") as server:
        yield server


@dataclass
class Deploys(Commands):
    """Deploys by the command line: always of the model that is not live, to go live.

    The connection stays the same one, as a new session would import onnxruntime each time.
    """

    strategy: str
    live: int = 1

    def deploy(self) -> list[str]:
        file = self.folder / f"{1 - self.live}.skops"
        return ["deploy", str(file), "--as", "churn", "--table", "customers", "--strategy", self.strategy, "--promote"]

    def deployed(self) -> float:
        seconds = self.complete(*self.deploy())
        self.live = 1 - self.live
        return seconds

    def check(self, before: tuple[list[int], int]) -> bool:
        """Whether there is a new version since; it, or the old one, must be complete."""
        self.wait()
        new = numbers(self.connection) != before
        if new:
            self.live = 1 - self.live
            number = before[0][-1] + 1
            assert numbers(self.connection) == ([*before[0], number], number)
        assert_catalog_is_whole(self.connection)
        expected = MODELS[self.live].estimator.predict_proba(FRAME[NUMBERS])[:, 1]
        np.testing.assert_allclose(moving(self.connection), expected, rtol=1e-9)
        return new


def numbers(connection: Any) -> tuple[list[int], int]:
    """The versions that there are, and the live one."""
    return [row.version for row in versions(connection, "churn")], show(connection, "churn").version


@contextmanager
def deploying(server: Server, strategy: str, runtime: Path, folder: Path) -> Iterator[Deploys]:
    """A database of its own, and the files of the models."""
    for index, model in enumerate(MODELS):
        skops.io.dump(model.estimator, folder / f"{index}.skops")
    with copied(server) as dsn:
        connection = connect(dsn)
        install(connection, plpython=True, runtime=runtime)
        make_customers(connection)
        deploys = Deploys(server, dsn, folder, connection, strategy)
        yield deploys
        deploys.connection.close()


@pytest.mark.parametrize("strategy", ["sql", "onnx"])
def test_killed_at_any_moment(server: Server, strategy: str, runtime_folder: Path, tmp_path: Path) -> None:
    chance = random.Random(11)
    outcomes: Counter[tuple[str, str]] = Counter()
    with deploying(server, strategy, runtime_folder, tmp_path) as deploys:
        deploys.deployed()
        seconds = [deploys.deployed() for _ in range(3)]
        kills = [what for what, times in KILLS[strategy].items() for _ in range(times)]
        kills = kills[:: 1 if "PGSCORE_KILLS" in os.environ else 2]
        for number, what in enumerate(kills):
            for version in numbers(deploys.connection)[0][:-2]:
                drop(deploys.connection, "churn", version)
            before = numbers(deploys.connection)
            deploys.kill(what, chance.uniform(0, 1.1 * float(np.median(seconds[-5:]))), *deploys.deploy())
            outcomes[what, "new" if deploys.check(before) else "old"] += 1
            if what != "client" or number % 6 == 0:
                seconds.append(deploys.deployed())
    print(f"\n{strategy}: {np.median(seconds):.2f} s a deploy; {dict(outcomes)}")
    assert "old" in {result for _, result in outcomes}


def test_killed_before_each_statement(server: Server, runtime_folder: Path, tmp_path: Path) -> None:
    """Random moments seldom meet the short steps at the end; of the others, every third will do."""
    with deploying(server, "sql", runtime_folder, tmp_path) as deploys:
        deploys.deployed()
        for statements in itertools.chain(range(0, 30, 3), itertools.count(30)):
            before = numbers(deploys.connection)
            process = deploys.start(*deploys.deploy(), statements=statements)
            process.join(60)
            new = deploys.check(before)
            assert new == (process.exitcode == 0)
            if new:
                break
            assert process.exitcode == -signal.SIGKILL
        assert statements > 30
