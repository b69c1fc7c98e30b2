"""A deploy that is killed at any moment leaves the old version or the new one, whole, and the next deploy works.

Killed are the client, its backend (all others then end too, and the server recovers), and the whole server.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
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
from ..support.killing import kill_postmaster, started, wait_until_back
from ..support.servers import Server
from ..support.tiny import FRAME, NUMBERS, classifier, make_customers, query
from ..support.versions import moving
from ..support.whole import assert_catalog_is_whole

KILLS = {
    "sql": {"client": 30, "backend": 6, "server": 3},
    "onnx": {"client": 8, "backend": 2, "server": 1},
}
"""Fifty in all."""
MODELS = [classifier(weight) for weight in (1.0, 0.01)]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server to be killed. What it says to be committed must be there after a crash."""
    with servers.debian15("synchronous_commit = on", "full_page_writes = on", "restart_after_crash = on") as server:
        yield server


@dataclass
class Deploys:
    """Deploys by the command line, in processes of their own: always of the model that is not live, to go live."""

    server: Server
    dsn: str
    strategy: str
    folder: Path
    connection: Any
    """Lives as long as the server: a new session would import onnxruntime each time."""
    live: int = 1

    def start(self, statements: int | None = None) -> BaseProcess:
        file = self.folder / f"{1 - self.live}.skops"
        options = ["--as", "churn", "--table", "customers", "--strategy", self.strategy, "--promote"]
        address = ["--dsn", f"{self.dsn}&application_name=deploy"]
        return started(["deploy", str(file), *options, *address], self.errors, statements)

    @property
    def errors(self) -> Path:
        return self.folder / "stderr"

    def complete(self) -> float:
        """Runs one to its end, which must be good; the seconds that it took."""
        begun = time.perf_counter()
        process = self.start()
        process.join(60)
        assert process.exitcode == 0, self.errors.read_text()
        self.live = 1 - self.live
        return time.perf_counter() - begun

    def kill(self, what: str, after: float) -> None:
        """Starts one, and kills it, or the server under it, so many seconds later."""
        process = self.start()
        time.sleep(after)
        if what == "client":
            process.kill()
        elif what == "server":
            kill_postmaster(self.server)
        elif (backend := self.backend()) is not None:
            os.kill(backend, signal.SIGKILL)
        process.join(60)
        if what != "client":
            wait_until_back(self.dsn)
            self.connection.close()
            self.connection = connect(self.dsn)
        if what != "client" and process.exitcode != 0:
            said = self.errors.read_text()
            assert (process.exitcode, said.count("\n")) == (3, 1), said

    def check(self, before: tuple[list[int], int]) -> bool:
        """Whether there is a new version since; it, or the old one, must be complete."""
        while self.backend() is not None:
            time.sleep(0.01)
        new = numbers(self.connection) != before
        if new:
            self.live = 1 - self.live
            number = before[0][-1] + 1
            assert numbers(self.connection) == ([*before[0], number], number)
        assert_catalog_is_whole(self.connection)
        expected = MODELS[self.live].estimator.predict_proba(FRAME[NUMBERS])[:, 1]
        np.testing.assert_allclose(moving(self.connection), expected, rtol=1e-9)
        return new

    def backend(self) -> int | None:
        """The process in the server that works for the deploy."""
        found = query(self.connection, "SELECT pid FROM pg_stat_activity WHERE application_name = 'deploy'")
        return found[0][0] if found else None


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
        deploys = Deploys(server, dsn, strategy, folder, connection)
        yield deploys
        deploys.connection.close()


@pytest.mark.parametrize("strategy", ["sql", "onnx"])
def test_killed_at_any_moment(server: Server, strategy: str, runtime_folder: Path, tmp_path: Path) -> None:
    chance = random.Random(11)
    outcomes: Counter[tuple[str, str]] = Counter()
    with deploying(server, strategy, runtime_folder, tmp_path) as deploys:
        deploys.complete()
        seconds = [deploys.complete() for _ in range(3)]
        kills = [what for what, times in KILLS[strategy].items() for _ in range(times)]
        for number, what in enumerate(kills):
            for version in numbers(deploys.connection)[0][:-2]:
                drop(deploys.connection, "churn", version)
            before = numbers(deploys.connection)
            deploys.kill(what, chance.uniform(0, 1.1 * float(np.median(seconds[-5:]))))
            outcomes[what, "new" if deploys.check(before) else "old"] += 1
            if what != "client" or number % 6 == 0:
                seconds.append(deploys.complete())
    print(f"\n{strategy}: {np.median(seconds):.2f} s a deploy; {dict(outcomes)}")
    assert "old" in {result for _, result in outcomes}


def test_killed_before_each_statement(server: Server, runtime_folder: Path, tmp_path: Path) -> None:
    """Random moments seldom meet the short steps at the end; of the others, every third will do."""
    with deploying(server, "sql", runtime_folder, tmp_path) as deploys:
        deploys.complete()
        for statements in itertools.chain(range(0, 30, 3), itertools.count(30)):
            before = numbers(deploys.connection)
            process = deploys.start(statements)
            process.join(60)
            new = deploys.check(before)
            assert new == (process.exitcode == 0)
            if new:
                break
            assert process.exitcode == -signal.SIGKILL
        assert statements > 30
