"""The modules that run inside PL/Python, without a server; and the installer of their folder, without a download."""

from __future__ import annotations

import math
import os
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pgscore.errors import ServerError, UsageError
from pgscore.procedures import runtime_install
from pgscore.procedures.runtime import arrays, graphs, libraries, operators, reader
from pgscore.procedures.runtime.libraries import ScoringError

from ..support.runtime_values import graph, numbers, sent


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
