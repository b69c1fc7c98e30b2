"""The modules that run inside PL/Python, without a server; and the installer of their folder, without a download."""

from __future__ import annotations

import ctypes
import hashlib
import math
import os
import resource
import signal
import struct
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

from pgscore.compiler import ir
from pgscore.compiler.backends.onnx import export
from pgscore.compiler.frontends import to_program
from pgscore.errors import ServerError, UsageError
from pgscore.procedures import runtime_install
from pgscore.procedures.runtime import arrays, graphs, interrupts, libraries, operators, reader, sessions
from pgscore.procedures.runtime.libraries import ScoringError

from ..support.hostile_graphs import ENDLESS, parsed


def sent(rows: list[list[float | None]], *, oid: int = 701) -> bytes:
    """What PostgreSQL holds for these rows, after the length."""
    values = [value for row in rows for value in row]
    present = [value is not None for value in values]
    bits = b"" if all(present) else np.packbits(present, bitorder="little").tobytes()
    bits += bytes(-len(bits) % 8)
    offset = 32 + len(bits) if bits else 0
    header = struct.pack("=iiiiiii", 2, offset, oid, len(rows), len(rows[0]), 1, 1)
    return header + bits + b"".join(struct.pack("=d", value) for value in values if value is not None)


def numbers(answer: bytes | None) -> list[float | None]:
    """The elements of a float8[] of which these are the bytes after the length."""
    assert answer is not None
    n_dimensions, offset, oid = struct.unpack_from("=iii", answer)
    assert oid == 701
    if n_dimensions == 0:
        return []
    n, first = struct.unpack_from("=ii", answer, 12)
    assert (n_dimensions, first) == (1, 1)
    bits = np.frombuffer(answer[20:], np.uint8, -(-n // 8)) if offset else np.full(-(-n // 8), 255, np.uint8)
    values = iter(np.frombuffer(answer[offset - 4 if offset else 20 :]).tolist())
    found = [next(values) if is_there else None for is_there in np.unpackbits(bits, count=n, bitorder="little")]
    assert next(values, None) is None
    return found


def graph(offset: float = 0.0, width: int = 2) -> tuple[str, bytes]:
    """x0 + offset and missing(x1), refused where x0 > 100; its hash and bytes."""
    program = ir.Program(
        ir.ModelKind.TRANSFORMER,
        tuple(ir.Column(f"x{i}", ir.Dtype.NUMBER) for i in range(width)),
        (
            *(ir.Input((), i) for i in range(width)),
            ir.Check((ir.Ref(0, 0),), low=-100, high=100, missing=True),
            ir.MultiplyAdd((ir.Ref(width, 0),), np.array([1.0]), np.array([offset])),
            ir.IsMissing(tuple(ir.Ref(i, 0) for i in range(1, width))),
        ),
        (ir.Output(ir.Method.TRANSFORM, (ir.Ref(width + 1, 0), ir.Ref(width + 2, 0))),),
    )
    content = export(program)
    return hashlib.sha256(content).hexdigest(), content


class TestArrays:
    def test_values_come_through_bit_by_bit(self) -> None:
        rows: list[list[float | None]] = [[0.1, -0.0], [math.inf, 5e-324], [-1e300, math.nan]]
        decoded = arrays.decode(sent(rows), 2)
        assert decoded.tobytes() == np.array(rows).tobytes()
        assert decoded.dtype == np.float64

    def test_encoded_numbers_are_what_they_were(self) -> None:
        values = [0.1, -0.0, math.inf, -math.inf, 5e-324, -1.7976931348623157e308, math.nan, 3.0]
        found = numbers(arrays.encode(np.array(values)))
        assert found.pop(6) is None
        assert np.array(found).tobytes() == np.array(values[:6] + values[7:]).tobytes()

    @pytest.mark.parametrize("share", [0.01, 0.3, 1.0])
    def test_null_is_nan(self, share: float) -> None:
        rng = np.random.default_rng(0)
        values = rng.normal(size=(50, 3))
        values[rng.random(values.shape) < share] = np.nan
        rows = [[None if math.isnan(v) else v for v in row] for row in values.tolist()]
        np.testing.assert_array_equal(arrays.decode(sent(rows), 3), values)

    def test_no_rows(self) -> None:
        assert arrays.decode(struct.pack("=iii", 0, 0, 701), 4).shape == (0, 4)

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "no float8"),
            (b"\0" * 11, "no float8"),
            (sent([[1.0, 2.0]], oid=25), "no float8"),
            (struct.pack("=iiiiid", 1, 0, 701, 1, 1, 1.0), "no float8"),
            (sent([[1.0, 2.0, 3.0]]), "takes 2 features, got rows of 3"),
            (sent([[1.0, 2.0]])[:-4], "end within"),
            (sent([[1.0, None]])[:-1], "end within"),
            (sent([[1.0, None]])[:-12], "end within"),
            (sent([[1.0, None]])[:28], "end within"),
            (sent([[1.0, None]]) + b"\0\0\0\0", "end within"),
            (struct.pack("=iiiiiii", 2, 0, 701, 2**20, 2, 1, 1), "end within"),
            (struct.pack("=iiiiiii", 2, 0, 701, 2**30, 2, 1, 1), "at most 1048576 rows"),
            (struct.pack("=iiiiiii", 2, 0, 701, -1, 2, 1, 1), "no float8"),
            (struct.pack("=iiiiiii", 2, 1, 701, 1, 2, 1, 1) + b"\0" * 8, "end within"),
        ],
    )
    def test_anything_else_is_refused(self, data: bytes, message: str) -> None:
        with pytest.raises(ScoringError, match=message):
            arrays.decode(data, 2)


def checked(content: bytes, onnxruntime: tuple[int, ...] = operators.CHECKED_SINCE) -> bool:
    return graphs.check(content, onnxruntime)


class TestGraphs:
    def model(self, *nodes: Any, **changes: Any) -> onnx.ModelProto:
        tensors = {name: helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["n", 1]) for name in ("x", "y")}
        made = helper.make_graph(nodes or [helper.make_node("Neg", ["x"], ["y"])], "g", [tensors["x"]], [tensors["y"]])
        made.initializer.extend(changes.get("initializers", []))
        return helper.make_model(made, opset_imports=changes.get("opsets", [helper.make_opsetid("", 18)]))

    def refused(self, model: onnx.ModelProto, message: str) -> None:
        with pytest.raises(ScoringError, match=message):
            checked(model.SerializeToString())

    def external(self) -> onnx.TensorProto:
        tensor = numpy_helper.from_array(np.zeros(3), "w")
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="global/pg_control")
        return tensor

    def test_our_own_graphs_pass(self) -> None:
        checked(graph()[1])
        checked(self.model().SerializeToString())

    def test_names_that_look_like_a_danger_pass(self) -> None:
        model = self.model()
        helper.set_model_props(model, {"location": "com.microsoft", "features": '["location", "external_data"]'})
        checked(model.SerializeToString())

    def test_external_data(self) -> None:
        self.refused(self.model(initializers=[self.external()]), "external data")
        hidden = helper.make_node("Constant", [], ["c"], value=self.external())
        self.refused(self.model(helper.make_node("Neg", ["x"], ["y"]), hidden), "external data")

    def test_external_data_within_a_branch(self) -> None:
        branch = helper.make_graph([], "b", [], [], [self.external()])
        self.refused(self.model(helper.make_node("If", ["x"], ["y"], then_branch=branch)), "external data")

    def test_unknown_operators(self) -> None:
        self.refused(self.model(helper.make_node("FusedMatMul", ["x", "x"], ["y"], domain="com.microsoft")), "domain")
        self.refused(self.model(opsets=[helper.make_opsetid("com.evil", 1)]), "domain")

    def test_functions_and_sparse_tensors(self) -> None:
        model = self.model()
        model.functions.add(name="f", domain="")
        self.refused(model, "functions")
        model = self.model()
        model.graph.sparse_initializer.add()
        self.refused(model, "sparse")

    def test_external_data_behind_an_overlong_tag(self) -> None:
        """Field 13 of a tensor written with a tag of two bytes, which protobuf takes."""
        entry = helper.make_tensor("w", TensorProto.DOUBLE, [1], [0.0]).SerializeToString() + b"\xea\x00\x00"
        part = b"\x2a" + bytes([len(entry)]) + entry
        content = b"\x3a" + bytes([len(part)]) + part
        with pytest.raises(ScoringError, match="external data"):
            checked(content)

    @pytest.mark.parametrize(
        "content", [b"not a model at all", b"\x3a\xff\x01", b"\x80" * 20, b"\x0b", b"\xf8\xff\xff\xff\x7f\x00"]
    )
    def test_not_a_model(self, content: bytes) -> None:
        with pytest.raises(ScoringError, match="no ONNX model"):
            checked(content)

    def test_size(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reader, "MAX_GRAPH_BYTES", 100)
        with pytest.raises(ScoringError, match="more than the limit of 100"):
            checked(graph()[1])


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


class TestLibraries:
    def test_a_folder_without_them(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(libraries, "LIBRARIES", ("no_such_library",))
        before = list(sys.path)
        with pytest.raises(ScoringError, match="pgscore runtime install --target"):
            libraries.load(str(tmp_path))
        assert sys.path == before
        described = libraries.describe(str(tmp_path))
        assert described["libraries"] == {"no_such_library": None}
        assert str(tmp_path) in described["problem"]

    def test_the_folder_is_only_seen_while_importing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "pgscore_only_here.py").write_text("import sys\nseen = list(sys.path)\n")
        monkeypatch.setattr(libraries, "LIBRARIES", ("pgscore_only_here",))
        libraries.load(str(tmp_path))
        assert sys.modules.pop("pgscore_only_here").seen[0] == str(tmp_path)
        assert str(tmp_path) not in sys.path

    def test_a_folder_that_others_may_write_to(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o777)
        with pytest.raises(ScoringError, match="may be written to by others"):
            libraries.load(str(tmp_path))

    def test_the_message_names_pgscore(self) -> None:
        assert f"{ScoringError.__module__}.{ScoringError.__qualname__}" == "pgscore.ScoringError"


class TestRuntimeInstall:
    def test_not_a_python(self, tmp_path: Path) -> None:
        for program in ("/bin/ls", str(tmp_path / "absent")):
            with pytest.raises(UsageError, match="is no Python"):
                runtime_install.install_runtime(tmp_path / "runtime", python=Path(program))

    def test_a_python_that_is_too_old(self, tmp_path: Path) -> None:
        old = tmp_path / "python3"
        old.write_text("#!/bin/sh\necho '[[3, 9], \"cpython\"]'\n")
        old.chmod(0o755)
        with pytest.raises(UsageError, match=r"is Python 3\.9; onnxruntime needs 3.10"):
            runtime_install.install_runtime(tmp_path / "runtime", python=old)

    def test_other_files_are_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.txt").write_text("years of work")
        with pytest.raises(UsageError, match="holds other files"):
            runtime_install.install_runtime(tmp_path, python=Path(sys.executable))
        assert (tmp_path / "thesis.txt").exists()

    def test_pip_fails(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pins = (((3, 0), {"numpy": "0.0.0.1"}),)
        monkeypatch.setattr(runtime_install, "PINS", pins)
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        with pytest.raises(ServerError, match=r"pip could not install numpy==0\.0\.0\.1 for Python 3") as caught:
            runtime_install.install_runtime(tmp_path / "runtime", python=Path(sys.executable))
        assert "\n" not in str(caught.value)
        assert os.listdir(tmp_path) == []
