"""Graphs of which one run tells how long the next may take."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from sklearn.ensemble import RandomForestClassifier

from pgscore.compiler.backends.onnx import export
from pgscore.compiler.frontends import to_program
from pgscore.procedures.runtime import graphs, operators

from ..support.hostile_graphs import ENDLESS, LARGE, changed, parsed


@pytest.mark.parametrize(
    ("text", "steady"),
    [
        ("y = Neg(x)", True),
        ("s = Shape(x) z = ConstantOfShape(s) d = Cast<to = 11>(z) y = Add(x, d)", True),
        ("b = Cast<to = 9>(x) i = NonZero(b) s = Shape(i) d = Cast<to = 11>(s) m = ReduceMin(d) y = Add(x, m)", False),
        (LARGE["a value of the row"], False),
        (LARGE["Range"], True),
    ],
)
def test_steady_work(text: str, steady: bool) -> None:
    assert graphs.check(parsed(text), operators.CHECKED_SINCE) is steady


def test_loops_are_steady_where_their_turns_are_known() -> None:
    got = [graphs.check(content, operators.CHECKED_SINCE) for content in ENDLESS.values()]
    assert got == [False, True, False]


def named(made: Any, kind: str) -> Any:
    return [node for node in made.graph.node if node.op_type == kind]


def attribute(made: Any, name: str) -> Any:
    return next(a for a in named(made, "TreeEnsemble")[1].attribute if a.name == name)


def other_threshold(made: Any) -> None:
    splits = attribute(made, "nodes_splits").t
    splits.raw_data = np.array(1e300).tobytes() + splits.raw_data[8:]


def written_thresholds(made: Any) -> None:
    for node in named(made, "TreeEnsemble"):
        (splits,) = (a.t for a in node.attribute if a.name == "nodes_splits")
        splits.double_data[:] = np.frombuffer(splits.raw_data).tolist()
        splits.ClearField("raw_data")


def more_targets(made: Any) -> None:
    attribute(made, "n_targets").i = 2


def one_more_attribute(made: Any) -> None:
    del named(made, "TreeEnsemble")[0].attribute[2]


def no_first_ensemble(made: Any) -> None:
    first = named(made, "TreeEnsemble")[0]
    first.op_type, first.domain = "ReduceSum", ""
    del first.attribute[:]


def again(kind: str) -> Any:
    def change(made: Any) -> None:
        node = named(made, kind)[-1]
        made.graph.node.add().CopyFrom(node)
        made.graph.node[-1].output[0] = "again"

    change.__name__ = f"another {kind}"
    return change


def of_other_rows(made: Any) -> None:
    first, small = named(made, "TreeEnsemble")[0], onnx.NodeProto()
    small.CopyFrom(first)
    small.output[0] = "small"
    (splits,) = (a.t for a in small.attribute if a.name == "nodes_splits")
    splits.raw_data = bytes(len(splits.raw_data))
    first.input[0] = "others"
    made.graph.node.insert(0, small)
    made.graph.node.insert(0, helper.make_node("Neg", ["features"], ["others"]))


def other_operator(made: Any) -> None:
    chosen = named(made, "Compress")[0].output[0]
    made.graph.node.append(helper.make_node("MatMul", [chosen, "weights"], ["more"]))


def into_a_body(made: Any) -> None:
    chosen = named(made, "Compress")[0].output[0]
    body = helper.make_graph(
        [helper.make_node("Neg", [chosen], ["less"])],
        "body",
        [],
        [helper.make_tensor_value_info("less", TensorProto.DOUBLE, None)],
    )
    made.graph.node.append(helper.make_node("Scan", [], ["more"], num_scan_inputs=0, body=body))


def written_into(made: Any) -> None:
    scatter = named(made, "ScatterND")[0]
    scatter.input[0] = scatter.input[2]


def given(made: Any) -> None:
    made.graph.output[0].name = named(made, "Compress")[0].output[0]


def test_some_rows_may_take_the_way_that_all_rows_take() -> None:
    """A forest that sums up some rows once more (onnx_shares.py): twice the work at most. Other work may be more."""
    x = np.random.default_rng(0).normal(size=(200, 2))
    votes = RandomForestClassifier(20, max_depth=3, random_state=0).fit(x, x[:, 0] > x[:, 1])
    content = export(to_program(votes))
    assert b"Compress" in content

    def steady(change: Any) -> bool:
        return graphs.check(changed(content, change), operators.CHECKED_SINCE)

    assert steady(lambda _: None)
    changes = (
        other_threshold, written_thresholds, more_targets, one_more_attribute, no_first_ensemble, other_operator,
        of_other_rows, into_a_body, written_into, given, again("TreeEnsemble"), again("Compress"), again("Transpose"),
    )  # fmt: skip
    assert [change.__name__ for change in changes if steady(change)] == []
