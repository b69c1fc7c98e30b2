"""Graphs that a session has loaded: rows, batches, threads, interrupts and the cache."""

from __future__ import annotations

import ctypes
import hashlib
import math
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import RandomForestRegressor

from pgscore.compiler.backends.onnx import export
from pgscore.compiler.frontends import to_program
from pgscore.procedures.runtime import interrupts, sessions
from pgscore.procedures.runtime.libraries import ScoringError

from ..support.hostile_graphs import ENDLESS, parsed
from ..support.runtime_values import graph, numbers, sent


class TestSessions:
    def loaded(self) -> tuple[sessions.Sessions, str]:
        known, (sha256, content) = sessions.Sessions(), graph(1.0)
        known.add(sha256, content)
        return known, sha256

    def test_one_row(self) -> None:
        known, sha256 = self.loaded()
        assert known.score_row(sha256, [0.5, None]) == [1.5, 1.0]
        assert known.score_row(sha256, [None, 3.0]) == [None, 0.0]

    def test_a_row_that_comes_again_is_run_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        known, sha256 = self.loaded()
        other = graph(2.0)
        known.add(*other)
        runs = []
        run = sessions._run
        monkeypatch.setattr(sessions, "_run", lambda *args: runs.append(args) or run(*args))
        rows: list[list[float | None]] = [[0.0, None], [0.0, None], [-0.0, None], [101.0, 3.0], [101.0, 3.0]]
        assert [known.score_row(sha256, row) for row in rows] == [[1.0, 1.0]] * 3 + [None] * 2
        assert len(runs) == 3
        assert known.score_row(other[0], [101.0, 3.0]) is None
        assert len(runs) == 4

    def test_a_refused_row_is_none(self) -> None:
        known, sha256 = self.loaded()
        assert known.score_row(sha256, [101.0, 3.0]) is None

    def test_batches_longer_than_a_chunk(self) -> None:
        known, sha256 = self.loaded()
        n = 2 * sessions.MOST_ROWS + 7
        values = np.linspace(-200, 200, n)
        got = known.score_batch(sha256, sent([[value, 0.0] for value in values.tolist()]), 0)
        assert numbers(got) == [value + 1 if abs(value) <= 100 else None for value in values.tolist()]
        missing: list[list[float | None]] = [[1.0, None], [1.0, 2.0], [None, 3.0]]
        assert numbers(known.score_batch(sha256, sent(missing), 1)) == [1.0, 0.0, 0.0]
        assert numbers(known.score_batch(sha256, sent(missing), 0)) == [2.0, 2.0, None]

    def test_a_batch_that_comes_again_is_run_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """For its other outputs; unless it is large."""
        known, sha256 = self.loaded()
        known.add(*graph(2.0))
        runs = []
        run = sessions._run
        monkeypatch.setattr(sessions, "_run", lambda *args: runs.append(args) or run(*args))

        def ask(features: list[list[float | None]], sha256: str = sha256) -> list[list[float | None]]:
            return [numbers(known.score_batch(sha256, sent(features), output)) for output in (0, 1, 0)]

        assert ask([[0.0, 7.0], [101.0, None]]) == [[1.0, None], [0.0, None], [1.0, None]]
        assert ask([[-0.0, 7.0], [101.0, None]]) == [[1.0, None], [0.0, None], [1.0, None]]
        assert len(runs) == 2
        assert ask([[-0.0, 7.0], [101.0, None]], graph(2.0)[0])[0] == [2.0, None]
        assert len(runs) == 3
        monkeypatch.setattr(sessions, "LAST_BATCH_BYTES", 0)
        assert ask([[3.0, 7.0]]) == [[4.0], [0.0], [4.0]]
        assert len(runs) == 6

    def test_rows_at_once_grow_while_that_is_quick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sizes: list[int] = []
        run = sessions._run
        monkeypatch.setattr(sessions, "_run", lambda *args: sizes.append(len(args[2])) or run(*args))
        rows = sent([[0.0, 0.0]] * 5520)
        known, sha256 = self.loaded()
        monkeypatch.setattr(sessions, "QUICK_SECONDS", math.inf)
        known.score_batch(sha256, rows, 0)
        assert sizes == [64, 256, 1024, 4096, 80]
        slow, sizes[:] = sessions.Sessions(), []
        slow.add(*graph(1.0))
        monkeypatch.setattr(sessions, "QUICK_SECONDS", 0.0)
        slow.score_batch(sha256, rows, 0)
        assert sizes == [64] * 86 + [16]

    def test_threads_share_a_batch_and_get_no_signals(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Once it is known how many rows are quick; the numbers are those of one thread."""
        monkeypatch.setattr(os, "cpu_count", lambda: 3)
        monkeypatch.setattr(sessions, "QUICK_SECONDS", math.inf)
        ran: list[tuple[int, bool]] = []
        blocked: set[bool] = set()
        run = sessions._run

        def watched(*args: Any) -> Any:
            in_main = threading.current_thread() is threading.main_thread()
            ran.append((len(args[2]), in_main))
            if not in_main:
                blocked.add(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))
            return run(*args)

        monkeypatch.setattr(sessions, "_run", watched)
        known, (sha256, content) = sessions.Sessions(), graph(1.0)
        known.add(sha256, content, threads=64)
        values = np.linspace(-200, 200, 5440 + 4 * sessions.MOST_ROWS + 7)
        got = known.score_batch(sha256, sent([[value, 0.0] for value in values.tolist()]), 0)
        assert numbers(got) == [value + 1 if abs(value) <= 100 else None for value in values.tolist()]
        most = sessions.MOST_ROWS
        assert sorted(ran) == sorted(
            [(64, True), (256, True), (1024, True), (4096, True), *[(most, False)] * 4, (7, False)]
        )
        assert blocked == {True}
        assert threading.active_count() == 1
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()

    def test_threads_run_as_many_rows_as_are_quick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A graph of which more are slow is not run by several threads with more."""
        monkeypatch.setattr(os, "cpu_count", lambda: 2)
        sizes: list[int] = []
        run = sessions._run
        monkeypatch.setattr(sessions, "_run", lambda *args: sizes.append(len(args[2])) or run(*args))
        times = iter([0.0, 0.0, 0.0, 1.0])
        monkeypatch.setattr(sessions.time, "perf_counter", lambda: next(times))
        known, (sha256, content) = sessions.Sessions(), graph(1.0)
        known.add(sha256, content, threads=2)
        known.score_batch(sha256, sent([[0.0, 0.0]] * 520), 0)
        assert sizes == [64, 256, 64, 64, 64, 8]

    def test_only_what_may_be_long_is_guarded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A run of as many rows as one that was quick is not; with work that depends on values, every run is."""
        runs: list[int] = []
        guarded = sessions.guarded
        monkeypatch.setattr(sessions, "guarded", lambda *args: runs.append(1) or guarded(*args))
        monkeypatch.setattr(sessions, "QUICK_SECONDS", math.inf)
        known, sha256 = self.loaded()
        assert len(runs) == 1  # to load it
        for value in range(5):
            known.score_row(sha256, [float(value), 0.0])
        assert len(runs) == 2
        text = "b = Cast<to = 9>(x) i = NonZero(b) s = Shape(i) d = Cast<to = 11>(s) m = ReduceMin(d) y = Add(x, m)"
        unsteady = parsed(text)
        other = hashlib.sha256(unsteady).hexdigest()
        known.add(other, unsteady)
        for value in range(1, 6):
            assert known.score_row(other, [float(value)]) == [value + 1.0]
        assert len(runs) == 2 + 1 + 5

    def test_an_interrupt_asks_to_be_called_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As PostgreSQL does through its flags: an endless run ends, a batch stops, a graph is not loaded."""
        endless = ENDLESS["its condition stays true"]
        sha256 = hashlib.sha256(endless).hexdigest()
        known = sessions.Sessions()
        known.add(sha256, endless)
        flag = ctypes.c_int(0)
        monkeypatch.setattr(interrupts, "_FLAGS", [flag])
        timer = threading.Timer(0.2, lambda: setattr(flag, "value", 1))
        timer.start()
        assert known.score_row(sha256, [1.0]) == []
        timer.join()
        assert known.score_batch(sha256, sent([[1.0]]), 0) is None
        holes: list[list[float | None]] = [[None]]
        assert known.score_batch(sha256, sent(holes), 0) is None
        assert threading.active_count() == 1
        flag.value = 0
        known.add(*graph(1.0))
        assert known.score_row(graph(1.0)[0], [1.0, 1.0]) == [2.0, 0.0]

    def test_limits_are_taken_back(self) -> None:
        before = resource.getrlimit(resource.RLIMIT_AS)
        self.loaded()
        assert resource.getrlimit(resource.RLIMIT_AS) == before
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()

    def test_a_graph_that_is_not_loaded_asks_to_be_called_again(self) -> None:
        assert sessions.Sessions().score_row("0" * 64, [1.0]) == []
        assert sessions.Sessions().score_batch("0" * 64, sent([[1.0]]), 0) is None

    def test_wrong_hash(self) -> None:
        with pytest.raises(ScoringError, match="do not have that hash"):
            sessions.Sessions().add("0" * 64, graph()[1])

    def test_wrong_number_of_features_or_output(self) -> None:
        known, sha256 = self.loaded()
        with pytest.raises(ScoringError, match="takes 2 features, got 1"):
            known.score_row(sha256, [1.0])
        for output in (2, -1):
            with pytest.raises(ScoringError, match="has 2 outputs"):
                known.score_batch(sha256, sent([[1.0, 2.0]]), output)

    def test_the_graph_used_longest_ago_goes_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        megabytes = iter([0, 100] * 3)
        monkeypatch.setattr(sessions, "resident", lambda: next(megabytes) * 2**20)
        made = [graph(float(offset)) for offset in range(3)]
        known = sessions.Sessions()
        known.add(*made[0], 256)
        known.add(*made[1], 256)
        assert known.score_row(made[0][0], [1.0, 1.0])
        known.add(*made[2], 256)
        assert [bool(known.score_row(sha256, [1.0, 1.0])) for sha256, _ in made] == [True, False, True]
        assert known.memory() == 200 * 2**20

    def test_a_graph_larger_than_the_cache_is_kept_alone(self) -> None:
        known = sessions.Sessions()
        for offset in (1.0, 2.0):
            sha256, content = graph(offset)
            known.add(sha256, content, 0)
            assert known.score_row(sha256, [1.0, 1.0]) == [1.0 + offset, 0.0]
            assert known.memory() == known._graphs[sha256].memory

    def test_what_a_forest_holds_in_memory(self, tmp_path: Path) -> None:
        """A few times its bytes: the count is that of the process, not the file's size.

        In a process of its own: this one may hold freed memory that a graph fits into.
        """
        x = np.random.default_rng(0).normal(size=(4000, 5))
        content = export(to_program(RandomForestRegressor(20, random_state=0).fit(x, x[:, 0] * x[:, 1])))
        (tmp_path / "forest.onnx").write_bytes(content)
        code = (
            "import hashlib, sys; from pathlib import Path; from pgscore.procedures.runtime import guard, sessions;"
            "content = Path(sys.argv[1]).read_bytes(); known = sessions.Sessions(); before = guard.resident();"
            "known.add(hashlib.sha256(content).hexdigest(), content);"
            "print(known.memory(), guard.resident() - before)"
        )
        ran = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code, tmp_path / "forest.onnx"],
            check=True,
            capture_output=True,
            text=True,
        )
        memory, grown = map(int, ran.stdout.split())
        assert 2 < memory / len(content) < 12
        assert abs(memory - grown) < 0.2 * grown + 2**20

    def test_what_onnxruntime_cannot_load(self) -> None:
        model = onnx.load_from_string(graph()[1])
        model.graph.node[0].op_type = "MatMul"
        content = model.SerializeToString()
        with pytest.raises(ScoringError, match="cannot load graph") as caught:
            sessions.Sessions().add(hashlib.sha256(content).hexdigest(), content)
        assert "\n" not in str(caught.value)

    def test_a_graph_of_single_precision_is_refused(self) -> None:
        x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1]) for name in "xy")
        made = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", [x], [y])
        content = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()
        with pytest.raises(ScoringError, match="rows of doubles"):
            sessions.Sessions().add(hashlib.sha256(content).hexdigest(), content)

    def test_a_failure_while_running_shows_no_value(self) -> None:
        """A lookup without a guard: the row's value is an index out of bounds, which onnxruntime names."""
        x, y = (helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["n", 1]) for name in "xy")
        nodes = [
            helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT64),
            helper.make_node("Gather", ["t", "i"], ["y"]),
        ]
        made = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(np.zeros(3), "t")])
        content = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()
        known, sha256 = sessions.Sessions(), hashlib.sha256(content).hexdigest()
        known.add(sha256, content)
        with pytest.raises(ScoringError, match="onnxruntime failed in graph") as caught:
            known.score_row(sha256, [987654.0])
        assert "987654" not in str(caught.value)
        assert caught.value.__cause__ is None
