"""Damaged ONNX graphs by the thousand, and a process in which loading and running them may crash.

`python -m tests.support.fuzzing FIRST STEP N` reads nothing and makes the cases FIRST, FIRST + STEP, … below N itself,
so that a crash names its case: the number is written before it is tried.
"""

from __future__ import annotations

import hashlib
import random
import re
import signal
import struct
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto

from . import hostile_graphs as made

INTERRUPT_SECONDS, KILL_SECONDS = 0.1, 20

NUMBERS = [0, 1, -1, 2, 3, 7, 64, 255, 1000, 2**16, 2**31 - 1, 2**31, -(2**31), 2**40, 2**62, -(2**63)]


@cache
def seeds() -> list[bytes]:
    """Sound graphs of all kinds: what pgscore writes, trees old and new, linear models, text tables, loops."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    from sklearn.svm import SVC

    from pgscore.compiler.backends.onnx import export
    from pgscore.compiler.frontends import to_program

    from .onnx_models import converted

    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    labels = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0.5)
    models = [
        RandomForestClassifier(3, max_depth=3, random_state=0).fit(x, labels),
        make_pipeline(StandardScaler(), LogisticRegression()).fit(x, labels),
        MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", max_iter=500, random_state=0).fit(x, x[:, 0]),
        KNeighborsRegressor(3).fit(x, x[:, 0]),
        make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()).fit(np.round(x), labels),
    ]
    programs = [export(to_program(model)) for model in models]
    plain = {"zipmap": False}
    classifiers = (*models[:2], SVC().fit(x, labels))
    files = [_of_doubles(converted(model, 3, single=True, options=plain)) for model in classifiers]
    own = [made.ensemble(), made.old_ensemble(), made.old_ensemble("Classifier"), *_small()]
    return [*programs, *files, *own]


def _of_doubles(content: bytes) -> bytes:
    """A converted classifier as the server gets it: doubles in, its scores as doubles out."""
    model = onnx.load_from_string(content)
    graph = model.graph
    scores = graph.output[1].name
    n = graph.output[1].type.tensor_type.shape.dim[1].dim_value or 3
    given = graph.input[0].name
    for node in graph.node:
        node.input[:] = ["single" if name == given else name for name in node.input]
    graph.node.insert(0, onnx.helper.make_node("Cast", [given], ["single"], to=TensorProto.FLOAT))
    graph.node.append(onnx.helper.make_node("Cast", [scores], ["doubles"], to=TensorProto.DOUBLE))
    del graph.input[:], graph.output[:]
    graph.input.append(onnx.helper.make_tensor_value_info(given, TensorProto.DOUBLE, ["n", 3]))
    graph.output.append(onnx.helper.make_tensor_value_info("doubles", TensorProto.DOUBLE, ["n", n]))
    return bytes(model.SerializeToString())


def _small() -> list[bytes]:
    texts = {"keys_int64s": [1, 2, 3], "values_strings": ["a", "b", "c"], "default_string": "?"}
    back = {"keys_strings": ["a", "b", "c"], "values_floats": [1.0, 2.0, 3.0], "default_float": 0.0}
    helper, learned = onnx.helper, made.learned
    to_int = helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT64)
    to_double = helper.make_node("Cast", ["f"], ["y"], to=TensorProto.DOUBLE)
    to_float = helper.make_node("Cast", ["x"], ["s"], to=TensorProto.FLOAT)
    flat = helper.make_node("Flatten", ["h"], ["f"])
    linear = {"coefficients": [1.0, 2.0], "intercepts": [0.5]}
    svm = {
        "n_supports": 2, "support_vectors": [1.0, 2.0, 3.0, 4.0], "coefficients": [1.0, 1.0], "rho": [0.0],
        "kernel_type": "RBF", "kernel_params": [0.1, 0.0, 3.0],
    }  # fmt: skip
    groups = [
        [to_int, learned("LabelEncoder", texts, ["i"], ["t"]), learned("LabelEncoder", back, ["t"], ["f"]), to_double],
        [to_float, learned("LinearRegressor", linear, ["s"], ["f"]), to_double],
        [to_float, learned("SVMRegressor", svm, ["s"], ["f"]), to_double],
        [to_float, learned("Scaler", {"offset": [0.0, 1.0], "scale": [1.0, 2.0]}, ["s"], ["f"]), to_double],
        [to_float, learned("Normalizer", {"norm": "L2"}, ["s"], ["f"]), to_double],
        [to_float, learned("Imputer", {"imputed_value_floats": [1.0, 2.0]}, ["s"], ["f"]), to_double],
        [to_int, learned("OneHotEncoder", {"cats_int64s": [1, 2, 3], "zeros": 1}, ["i"], ["h"]), flat, to_double],
    ]
    widths = [2, 1, 1, 2, 2, 2, 6]
    parts = [
        "s = Shape(x) y = Expand(x, s)",
        "i = Constant<value = int64[1] {0}>() y = Gather<axis = 1>(x, i)",
        "k = Constant<value = int64[1] {1}>() y, i = TopK(x, k)",
        "t = Transpose<perm = [1, 0]>(x) m = MatMul(t, x) y = Add(x, m)",
        'm = Einsum<equation = "ij,kj->ik">(x, x) a = Constant<value = int64[1] {1}>() y = ReduceSum(m, a)',
        "a = Constant<value = int64[1] {0}>() b = Constant<value = int64[1] {5}>() y = Slice(x, a, b)",
        "p = Constant<value = int64[4] {0, 0, 0, 0}>() y = Pad(x, p)",
        "r = Constant<value = int64[2] {1, 1}>() y = Tile(x, r)",
        "b = Cast<to = 9>(x) i = NonZero(b) s = Shape(i) d = Cast<to = 11>(s) m = ReduceMin(d) y = Add(x, m)",
        "i = Constant<value = int64[1, 1] {0}>() u = Constant<value = double[1, 1] {1.0}>() y = ScatterND(x, i, u)",
        "s = Softmax<axis = 1>(x) f = Cast<to = 1>(s) g = Relu(f) y = Cast<to = 11>(g)",
        "z = Constant<value = int64 {0}>() n = Constant<value = int64 {3}>() o = Constant<value = int64 {1}>() "
        "r = Range(z, n, o) d = Cast<to = 11>(r) m = ReduceMax(d) y = Mul(x, m)",
    ]
    graphs = [made.model(nodes, width=width, ml=3) for nodes, width in zip(groups, widths, strict=True)]
    return [*graphs, *map(made.parsed, parts)]


# Of bytes.


def _flip(content: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def _truncate(content: bytearray, rng: random.Random) -> None:
    del content[rng.randrange(len(content)) :]


def _splice(content: bytearray, rng: random.Random) -> None:
    other = rng.choice(seeds())
    start, n = rng.randrange(len(other)), rng.choice([1, 4, 20, 100])
    at = rng.randrange(len(content))
    content[at : at + rng.choice([0, n])] = other[start : start + n]


def _varint(content: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(content))
    content[at : at + 1] = rng.choice([b"\xff" * 4 + b"\x7f", b"\xff" * 9 + b"\x01", b"\x80\x00", b"\xff\x07", b"\x00"])


def _repeat(content: bytearray, rng: random.Random) -> None:
    at, n = rng.randrange(len(content)), rng.choice([2, 8, 50])
    content[at:at] = content[at : at + n] * rng.choice([1, 3])


# Of what they mean.


def _nodes(graph: Any) -> list[Any]:
    found = list(graph.node)
    for node in found:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                found.extend(attribute.g.node)
    return found


def _tensors(model: Any) -> list[Any]:
    inside = [a.t for node in _nodes(model.graph) for a in node.attribute if a.HasField("t")]
    return [*model.graph.initializer, *inside]


def _change_list(values: Any, rng: random.Random, value: Callable[[], Any]) -> None:
    items, how = list(values), rng.randrange(6)
    if how == 0 and items:
        items[rng.randrange(len(items))] = value()
    elif how == 1 and items:
        del items[rng.randrange(len(items)) :]
    elif how == 2:
        items.append(value())
    elif how == 3:
        items *= rng.choice([0, 2])
    elif how == 4 and len(items) > 1:
        a, b = rng.randrange(len(items)), rng.randrange(len(items))
        items[a], items[b] = items[b], items[a]
    elif items:
        items[rng.randrange(len(items))] = rng.choice(items)
    del values[:]
    values.extend(items)


def _attributes(model: Any, rng: random.Random) -> None:
    """Biased to trees: half of the changes go to lists of whole numbers."""
    found = [(node, a) for node in _nodes(model.graph) for a in node.attribute]
    lists = [pair for pair in found if len(pair[1].ints)]
    if not found:
        return
    node, attribute = rng.choice(lists if lists and rng.random() < 0.5 else found)
    largest = max([*attribute.ints, 0])
    if attribute.type == AttributeProto.INTS:
        near = [0, 1, largest, largest + 1, largest - 1, -1]
        _change_list(attribute.ints, rng, lambda: rng.choice([*near, *NUMBERS]))
    elif attribute.type == AttributeProto.FLOATS:
        _change_list(attribute.floats, rng, lambda: rng.choice([0.0, -1.0, 1e38, float("inf"), float("nan")]))
    elif attribute.type == AttributeProto.STRINGS:
        texts = [b"LEAF", b"BRANCH_LEQ", b"BRANCH_EQ", b"", b"\xff", b"x" * 1000]
        _change_list(attribute.strings, rng, lambda: rng.choice(texts))
    elif attribute.type == AttributeProto.INT:
        attribute.i = rng.choice(NUMBERS)
    elif attribute.type == AttributeProto.STRING:
        attribute.s = rng.choice(
            [b"", b"LOGISTIC", b"SOFTMAX", b"PROBIT", b"LINEAR", b"POLY", b"ij->", b"...", b"\xff"]
        )
    elif attribute.type == AttributeProto.TENSOR:
        _change_tensor(attribute.t, rng)
    if rng.random() < 0.1:
        node.attribute.remove(attribute)


def _change_tensor(tensor: Any, rng: random.Random) -> None:
    how = rng.randrange(5)
    if how == 0:
        _change_list(tensor.dims, rng, lambda: rng.choice(NUMBERS))
    elif how == 1:
        tensor.data_type = rng.randrange(20)
    elif how == 2 and tensor.raw_data:
        raw = bytearray(tensor.raw_data)
        raw[rng.randrange(len(raw))] = rng.choice([0, 1, 255, 127, 6])
        tensor.raw_data = bytes(raw)
    elif how == 3 and tensor.raw_data:
        # Another number, of the size that most tensors have.
        at = 8 * rng.randrange(max(len(tensor.raw_data) // 8, 1))
        raw = tensor.raw_data
        number = rng.choice([struct.pack("<q", rng.choice(NUMBERS)), struct.pack("<d", float("nan"))])
        tensor.raw_data = raw[:at] + number[: len(raw) - at] + raw[at + 8 :]
    elif tensor.raw_data:
        tensor.raw_data = tensor.raw_data[: rng.randrange(len(tensor.raw_data))]


def _any_tensor(model: Any, rng: random.Random) -> None:
    found = _tensors(model)
    if found:
        _change_tensor(rng.choice(found), rng)


def _wiring(model: Any, rng: random.Random) -> None:
    nodes = _nodes(model.graph)
    node, names = rng.choice(nodes), [name for other in nodes for name in (*other.input, *other.output)]
    side = node.input if rng.random() < 0.7 else node.output
    _change_list(side, rng, lambda: rng.choice([*names, "", "nowhere"]))


def _operator(model: Any, rng: random.Random) -> None:
    from pgscore.procedures.runtime import operators

    node = rng.choice(_nodes(model.graph))
    learned = rng.random() < 0.5
    names = sorted(operators.LEARNED if learned else operators.STANDARD)
    node.op_type, node.domain = rng.choice(names).decode(), "ai.onnx.ml" if learned else ""


def _types(model: Any, rng: random.Random) -> None:
    value = rng.choice([*model.graph.input, *model.graph.output])
    shape = value.type.tensor_type.shape
    if rng.random() < 0.3:
        value.type.tensor_type.elem_type = rng.randrange(20)
    elif len(shape.dim):
        shape.dim[-1].dim_value = rng.choice(NUMBERS)


def _opsets(model: Any, rng: random.Random) -> None:
    rng.choice(model.opset_import).version = rng.choice([1, 2, 3, 4, 5, 7, 9, 11, 13, 18, 21, 25, -1, 2**40])


BYTES = [_flip, _flip, _truncate, _splice, _varint, _repeat]
MEANING = [_attributes, _attributes, _attributes, _attributes, _any_tensor, _wiring, _operator, _types, _opsets]


def case(number: int) -> bytes:
    """The graph of that number: always the same."""
    rng = random.Random(number)
    content = seeds()[number % len(seeds())]
    if rng.random() < 0.3:
        damaged = bytearray(content)
        rng.choice(BYTES)(damaged, rng)
        return bytes(damaged)
    model = onnx.load_from_string(content)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        rng.choice(MEANING)(model, rng)
    return bytes(model.SerializeToString())


class Deadline:
    """Stands for PostgreSQL's flag of a statement that may take so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    @property
    def value(self) -> bool:
        return time.monotonic() > self.end


def tried(content: bytes) -> str:
    """What becomes of a graph in the runtime: `scored`, `interrupted` after a while, or the first words of the reason.

    What cannot be interrupted is ended by a signal, which is a crash as others are.
    """
    from pgscore.procedures.runtime import interrupts, sessions
    from pgscore.procedures.runtime.libraries import ScoringError

    interrupts._FLAGS[:] = [Deadline(INTERRUPT_SECONDS)]
    signal.alarm(KILL_SECONDS)
    known, sha256 = sessions.Sessions(), hashlib.sha256(content).hexdigest()
    try:
        known.add(sha256, content)
        graph = known._graphs.get(sha256)
        rows = [[value] * graph.n_features for value in (0.25, -3.0, 1e6, float("nan"))] if graph else []
        if not graph or [] in [known.score_row(sha256, row) for row in rows]:
            return "interrupted"
    except ScoringError as error:
        return " ".join(word for word in str(error).split()[:6] if not re.search("[0-9]", word))
    finally:
        signal.alarm(0)
    return "scored"


def main(first: int, step: int, n: int) -> None:
    """Tries the cases; each number goes out before its case, the counts at the end."""
    counts: Counter[str] = Counter()
    for number in range(first, n, step):
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        counts[tried(case(number))] += 1
    for reason, count in counts.most_common():
        print(f"{count:6} {reason}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(*map(int, sys.argv[1:4]))
