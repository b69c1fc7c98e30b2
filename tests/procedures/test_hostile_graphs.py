"""ONNX files made to harm: refused with a reason, or stopped; the process and the server go on."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import psycopg2
import pytest
from onnx import TensorProto, helper

from pgscore.procedures.runtime import graphs, operators, reader, sessions
from pgscore.procedures.runtime.libraries import ScoringError

from ..support import fuzzing
from ..support.hostile_graphs import ENDLESS, LARGE, changed, ensemble, learned, model, old_ensemble, parsed, tensor
from ..support.scoring import add_graph, connect

N_FUZZED = 10_000
N_ON_A_SERVER = 400


PLAIN = parsed("w = Constant<value = double[1] {2.0}>() y = Mul(x, w)")


def external(location: str) -> bytes:
    def change(made: Any) -> None:
        weight = made.graph.node[0].attribute[0].t
        weight.Clear()
        weight.data_type, weight.dims[:] = TensorProto.DOUBLE, [1]
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.add(key="location", value=location)

    return changed(PLAIN, change)


def claiming(dims: list[int], raw: bytes = b"\0" * 8, kind: int = TensorProto.DOUBLE) -> bytes:
    """A constant whose axes say more than its bytes hold."""

    def change(made: Any) -> None:
        weight = made.graph.initializer.add(name="claim", data_type=kind, raw_data=raw)
        weight.dims[:] = dims

    return changed(PLAIN, change)


def written_twice(field: int) -> bytes:
    """A node whose operator (4) or domain (7) comes twice: parsers take the last."""
    part = helper.make_node("Neg", ["x"], ["y"], domain="ai.onnx.ml" if field == 7 else "").SerializeToString()
    harm = b"RandomNormalLike" if field == 4 else b"com.microsoft"
    node = part + bytes([field << 3 | 2, len(harm)]) + harm
    graph = b"\x0a" + bytes([len(node)]) + node
    return b"\x3a" + bytes([len(graph)]) + graph


def nested(levels: int) -> bytes:
    inner = helper.make_graph([helper.make_node("Identity", ["x"], ["z"])], "b", [], [])
    for _ in range(levels):
        node = helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner)
        inner = helper.make_graph([node], "b", [], [])
    made = onnx.load_from_string(PLAIN)
    made.graph.node.extend(inner.node)
    return bytes(made.SerializeToString())


def chain(levels: int) -> bytes:
    """A tree of which each split has a leaf and the next split below."""
    n = levels - 1
    return ensemble(
        nodes_featureids=[0] * n,
        nodes_splits=tensor([0.5] * n),
        nodes_modes=tensor([0] * n, np.uint8),
        nodes_truenodeids=[*range(1, n), n],
        nodes_trueleafs=[0] * (n - 1) + [1],
        nodes_falsenodeids=list(range(n)),
        nodes_falseleafs=[1] * n,
        leaf_targetids=[0] * (n + 1),
        leaf_weights=tensor([1.0] * (n + 1)),
    )


NO_BODY = """
    c = Constant<value = bool {1}>() y = Loop("", c, x)
    <body = b (int64 turn, bool go, double[rows, 1] v) => (bool go, double[rows, 1] v) { }>"""

REFUSED: dict[str, tuple[bytes, str]] = {
    "external data": (external("weights.bin"), "external data"),
    "external data up the folders": (external("../../../../etc/passwd"), "external data"),
    "external data by an absolute path": (external("/etc/passwd"), "external data"),
    "external data with a NUL": (external("pg_hba.conf\0.bin"), "external data"),
    "a domain of its own": (
        changed(PLAIN, lambda m: m.graph.node.add(op_type="Evil", domain="com.evil")),
        "operators of an unknown domain",
    ),
    "onnxruntime's own domain": (
        changed(PLAIN, lambda m: m.graph.node.add(op_type="FusedMatMul", domain="com.microsoft")),
        "operators of an unknown domain",
    ),
    "an unknown operator": (changed(PLAIN, lambda m: m.graph.node.add(op_type="Evil")), "the operator Evil,"),
    "a random operator": (parsed("y = RandomNormalLike(x)"), "the operator RandomNormalLike,"),
    "an operator with an odd name": (
        changed(PLAIN, lambda m: m.graph.node.add(op_type="Neg\n; DROP TABLE")),
        "the operator of an odd name,",
    ),
    "another operator behind the first": (written_twice(4), "no ONNX model"),
    "another domain behind the first": (written_twice(7), "no ONNX model"),
    "a tensor of 2 GB": (claiming([2**28]), "claims another number of elements"),
    "a tensor of 2 GB by two axes": (claiming([2**14, 2**14]), "claims another number of elements"),
    "axes whose product overflows": (claiming([2**32, 2**32]), "claims another number of elements"),
    "a tensor of less than nothing": (claiming([-1]), "negative number of elements"),
    "raw bytes that are short": (claiming([2]), "claims another number of elements"),
    "raw bytes that are long": (claiming([1], b"\0" * 9), "claims another number of elements"),
    "texts that are not there": (claiming([2**28], b"", TensorProto.STRING), "claims another number of elements"),
    "elements of another type": (
        changed(PLAIN, lambda m: m.graph.initializer.add(name="c", data_type=TensorProto.INT64, int32_data=[1])),
        "claims another number of elements",
    ),
    "complex numbers": (claiming([1], b"\0" * 16, TensorProto.COMPLEX128), "of a type that pgscore does not run"),
    "a tensor of 1,000 axes": (claiming([1] * 1000), "more than 32 axes"),
    "a length of 2 GB": (b"\x08\x08\x3a\xff\xff\xff\xff\x07" + PLAIN, "no ONNX model"),
    "half of a file": (PLAIN[: len(PLAIN) // 2], "no ONNX model"),
    "nothing": (b"", "no ONNX model"),
    "graphs within graphs": (nested(9), "more than 8 levels"),
    "a loop of nothing": (parsed(NO_BODY), "a loop that computes nothing"),
    "an endless equation": (parsed('m = Einsum<equation = "ij,k?k">(x, x) y = Identity(m)'), "Einsum whose equation"),
    "an equation without an input": (parsed('m = Einsum<equation = "ij,kj->ik">(x, "") y = Neg(m)'), "lacks an input"),
    "an operator without an input": (parsed('y = MatMul(x, "")'), "operator MatMul that lacks an input"),
    "an equation of one term": (parsed('m = Einsum<equation = "ij">(x, x) y = Identity(m)'), "Einsum whose equation"),
    "a tree that goes round": (
        ensemble(nodes_truenodeids=[0], nodes_trueleafs=[0]),
        "a node has two parents",
    ),
    "a child that does not exist": (ensemble(nodes_truenodeids=[10**8], nodes_trueleafs=[0]), "out of range"),
    "a child before the first": (ensemble(nodes_truenodeids=[-1], nodes_trueleafs=[0]), "out of range"),
    "a leaf that does not exist": (ensemble(nodes_falsenodeids=[2]), "out of range"),
    "a root that does not exist": (ensemble(tree_roots=[10**6]), "out of range"),
    "no root": (ensemble(tree_roots=[]), "without a tree"),
    "a feature before the first": (ensemble(nodes_featureids=[-(10**8)]), "out of range"),
    "a target that does not exist": (ensemble(leaf_targetids=[0, 10**7]), "out of range"),
    "more targets than anyone needs": (ensemble(n_targets=2 * 10**9), "2000000000 targets"),
    "targets of less than nothing": (ensemble(n_targets=-1), "-1 targets"),
    "a list that is short": (ensemble(nodes_falseleafs=[]), "not of one length"),
    "weights that are short": (ensemble(leaf_weights=tensor([1.0])), "not of one length"),
    "no weights": (ensemble(leaf_weights=None), "without leaf_weights"),
    "a set without values": (ensemble(nodes_modes=tensor([6], np.uint8)), "not of one length"),
    "a set without an end": (
        ensemble(nodes_modes=tensor([6], np.uint8), membership_values=tensor([1.0])),
        "sets do not fit",
    ),
    "a tree of 50,000 levels": (chain(50_000), "more than 2000 levels"),
    "old: a tree that goes round": (
        old_ensemble(nodes_modes=["BRANCH_LEQ"] * 2 + ["LEAF"], nodes_truenodeids=[1, 2, 0]),
        "no root, or several",
    ),
    "old: a tree apart that goes round": (
        old_ensemble(
            nodes_treeids=[0] * 5,
            nodes_nodeids=[0, 1, 2, 3, 4],
            nodes_featureids=[0] * 5,
            nodes_values=[0.5] * 5,
            nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF", "BRANCH_LEQ", "LEAF"],
            nodes_truenodeids=[1, 0, 0, 3, 0],
            nodes_falsenodeids=[2, 0, 0, 4, 0],
        ),
        "no root, or several",
    ),
    "old: a child that does not exist": (old_ensemble(nodes_truenodeids=[100, 0, 0]), "does not exist"),
    "old: a list that is short": (old_ensemble(nodes_values=[0.5]), "not of one length"),
    "old: two nodes of one name": (old_ensemble(nodes_nodeids=[0, 1, 1]), "two nodes of one name"),
    "old: a weight on no node": (old_ensemble(weighted_nodeids=[1, 9]), "does not exist"),
    "old: a target that does not exist": (old_ensemble(weighted_ids=[0, 10**9]), "out of range"),
    "old: base values that are many": (old_ensemble(base_values=[1.0] * 7), "base values"),
    "old: one class": (old_ensemble("Classifier", classlabels_int64s=[0]), "names no two classes"),
    "old: classes named twice": (
        old_ensemble("Classifier", classlabels_strings=["a"]),
        "names no two classes",
    ),
    "old: PROBIT for two classes": (
        old_ensemble("Classifier", classlabels_int64s=[0, 1], post_transform="PROBIT"),
        "PROBIT",
    ),
}  # fmt: skip


def add(content: bytes) -> tuple[sessions.Sessions, str]:
    known, sha256 = sessions.Sessions(), hashlib.sha256(content).hexdigest()
    known.add(sha256, content)
    return known, sha256


@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_onnxruntime_sees_it(name: str) -> None:
    content, message = REFUSED[name]
    with pytest.raises(ScoringError, match=message) as caught:
        graphs.check(content, operators.CHECKED_SINCE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [ensemble(), old_ensemble(), old_ensemble("Classifier"), chain(2000), PLAIN])
def test_sound_graphs_score(content: bytes) -> None:
    known, sha256 = add(content)
    assert known.score_row(sha256, [0.25] * known._graphs[sha256].n_features)


@pytest.mark.parametrize("name", LARGE)
def test_more_memory_than_a_run_may_take(name: str) -> None:
    known, sha256 = add(parsed(LARGE[name]))
    with pytest.raises(ScoringError, match=r"needs more than 68 MB for 1 rows|onnxruntime failed in graph"):
        known.score_row(sha256, [1e10])


def test_operators_that_old_releases_do_not_check() -> None:
    content = model([
        helper.make_node("Cast", ["x"], ["s"], to=TensorProto.FLOAT),
        learned("LinearRegressor", {"coefficients": [1.0]}, ["s"], ["f"]),
        helper.make_node("Cast", ["f"], ["y"], to=TensorProto.DOUBLE),
    ], ml=1)  # fmt: skip
    with pytest.raises(ScoringError, match=r"LinearRegressor, which is safe from onnxruntime 1\.32 on; .* 1\.23"):
        graphs.check(content, (1, 23))
    graphs.check(content, operators.CHECKED_SINCE)


def test_number_of_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_NODES", 5)
    graphs.check(parsed("a = Neg(x) b = Neg(a) c = Neg(b) d = Neg(c) y = Neg(d)"), operators.CHECKED_SINCE)
    with pytest.raises(ScoringError, match="more than 5 operators"):
        graphs.check(ENDLESS["a choice in each turn"], operators.CHECKED_SINCE)


def test_widths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_COLUMNS", 4)
    add(model([helper.make_node("Concat", ["x", "x"], ["y"], axis=1)], width=4))
    for columns, width, nodes in (
        (5, 1, [helper.make_node("ReduceMax", ["x"], ["y"], keepdims=1)]),
        (3, 6, [helper.make_node("Concat", ["x", "x"], ["y"], axis=1)]),
    ):
        with pytest.raises(ScoringError, match=rf"takes {columns} features and gives {width} outputs; at most 4"):
            add(model(nodes, columns=columns, width=width))
    open_ended = changed(PLAIN, lambda m: m.graph.input[0].type.tensor_type.shape.dim[1].Clear())
    with pytest.raises(ScoringError, match="does not take rows of doubles"):
        add(open_ended)


def test_an_output_of_another_form_than_declared() -> None:
    """Known only when it runs: as many rows as the first value says."""
    text = (
        "i = Cast<to = 7>(x) o = Constant<value = int64[1] {-1}>() s = Reshape(i, o) "
        "one = Constant<value = int64[1] {1}>() two = Concat<axis = 0>(s, one) y = Tile(x, two)"
    )
    known, sha256 = add(parsed(text))
    assert known.score_row(sha256, [1.0]) == [1.0]
    with pytest.raises(ScoringError, match="does not give 1 numbers for each row"):
        known.score_row(sha256, [3.0])


# Fuzzing


def crashed(process: subprocess.Popen[str]) -> str:
    """What ended the process, or "" where it tried all of its cases."""
    out, err = process.communicate(timeout=280)
    if process.returncode == 0:
        return ""
    lines = [line for line in out.splitlines() if line.isdigit()]
    return f"case {lines[-1] if lines else '?'}: exit code {process.returncode} {err[-2000:]}"


def started(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-W", "ignore", *arguments], stdout=-1, stderr=-1, text=True)


def test_fuzzed_files_crash_nothing() -> None:
    shards = [started("-m", "tests.support.fuzzing", str(first), "2", str(N_FUZZED)) for first in (0, 1)]
    assert [crashed(shard) for shard in shards] == ["", ""]


def test_a_crash_is_seen() -> None:
    """Without the check of trees, onnxruntime overflows the stack on one that is deep."""
    script = """
        from pgscore.procedures.runtime import ensembles
        from tests.procedures.test_hostile_graphs import chain
        from tests.support import fuzzing

        ensembles.check = lambda node: None
        fuzzing.INTERRUPT_SECONDS = 60
        fuzzing.case = lambda number: chain(3 if number < 2 else 200_000)
        fuzzing.main(0, 1, 4)
    """
    assert crashed(started("-c", textwrap.dedent(script))).startswith("case 2: exit code -11")


@pytest.fixture
def server_session(with_plpython: str) -> Iterator[Any]:
    """A session with a short timeout, which is alive after the test: the same one, so nothing crashed."""
    connection = connect(with_plpython)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = '1s'; SELECT pg_backend_pid()")
        before = cursor.fetchone()
        yield cursor
        cursor.execute("SELECT pg_backend_pid()")
        assert cursor.fetchone() == before
    connection.close()


def score(cursor: Any, content: bytes) -> str:
    """What the server says; "" where it scores."""
    sha256 = add_graph(cursor, content)
    said = ""
    for columns in (1, 2, 3):
        try:
            cursor.execute(f"SELECT pgscore.onnx_row('{sha256}', ARRAY[{', '.join(['0.25'] * columns)}])")
        except psycopg2.Error as error:
            said = str(error.diag.message_primary)
            if f"features, got {columns}" not in said:
                return said
        else:
            return ""
    return said


def test_a_server_refuses_them_and_goes_on(server_session: Any) -> None:
    for name, (content, message) in REFUSED.items():
        said = score(server_session, content)
        assert said.startswith("pgscore.ScoringError: "), name
        assert message in said, name
    for name, text in LARGE.items():
        said = score(server_session, parsed(text))
        assert said == "" or said.startswith("pgscore.ScoringError: "), name


def test_a_server_survives_fuzzed_files(server_session: Any) -> None:
    said = [score(server_session, fuzzing.case(number)) for number in range(N_FUZZED, N_FUZZED + N_ON_A_SERVER)]
    assert "" in said
    odd = [one for one in said if one and not one.startswith(("pgscore.ScoringError: ", "canceling statement"))]
    assert odd == []
