"""Scoring with the graphs that this database session has loaded."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime

from . import arrays, graphs
from .libraries import ScoringError

CACHE_BYTES = 512 * 2**20
CHUNK_ROWS = 1024
"""Rows given to onnxruntime at once: large enough to be fast, small enough for what a forest of many classes holds."""

FATAL = 4

Values = list["float | None"]


@dataclass(frozen=True)
class Graph:
    """A loaded graph: its input's name and width, and the size of its bytes."""

    session: Any
    input: str
    n_features: int
    size: int


class Sessions:
    """Loaded graphs by the sha256 of their bytes; the ones used longest ago go when their bytes exceed `cache_bytes`.

    Scoring a graph that is not loaded gives an empty list: the caller then fetches its bytes, adds them and asks again.
    The last row's outputs are kept: label and probabilities of one row are three calls of one graph.
    """

    def __init__(self, cache_bytes: int = CACHE_BYTES) -> None:
        self.cache_bytes = cache_bytes
        self._graphs: OrderedDict[str, Graph] = OrderedDict()
        self._last: tuple[str, bytes, Values | None] = ("", b"", None)

    def add(self, sha256: str, content: bytes) -> None:
        """Loads a graph. Raises ScoringError if its hash, its operators or its form are not what they must be."""
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ScoringError(f"the bytes of ONNX graph {sha256[:12]} do not have that hash")
        if sha256 in self._graphs:
            return
        graphs.check(content)
        graph = _load(sha256, content)
        used = sum(other.size for other in self._graphs.values())
        while self._graphs and used + graph.size > self.cache_bytes:
            used -= self._graphs.popitem(last=False)[1].size
        self._graphs[sha256] = graph

    def score_row(self, sha256: str, features: Values) -> Values | None:
        """The outputs for one row, None for NaN; None if all of them are: the row is refused."""
        graph = self._get(sha256)
        if graph is None:
            return []
        if len(features) != graph.n_features:
            raise ScoringError(f"ONNX graph {sha256[:12]} takes {graph.n_features} features, got {len(features)}")
        inputs = np.array([features], dtype=np.float64)
        bits = inputs.tobytes()  # -0.0 equals 0.0, but not in 1/x
        if self._last[:2] != (sha256, bits):
            outputs = _run(sha256, graph, inputs)[0].tolist()
            row = [None if value != value else value for value in outputs]
            self._last = (sha256, bits, row if any(value is not None for value in row) else None)
        return self._last[2]

    def score_batch(self, sha256: str, features: bytes, output: int) -> Values | None:
        """One output (from 0) for each row of `array_send(float8[][])`, None for NaN."""
        graph = self._get(sha256)
        if graph is None:
            return []
        rows = arrays.decode(features, graph.n_features)
        values: Values = []
        for start in range(0, len(rows), CHUNK_ROWS):
            outputs = _run(sha256, graph, rows[start : start + CHUNK_ROWS])
            if not 0 <= output < outputs.shape[1]:
                raise ScoringError(
                    f"ONNX graph {sha256[:12]} has {outputs.shape[1]} outputs, asked for number {output}"
                )
            values.extend(None if value != value else value for value in outputs[:, output].tolist())
        return values

    def _get(self, sha256: str) -> Graph | None:
        graph = self._graphs.get(sha256)
        if graph is not None:
            self._graphs.move_to_end(sha256)
        return graph


def _load(sha256: str, content: bytes) -> Graph:
    options = onnxruntime.SessionOptions()
    # A server process uses the core it runs on. One thread also keeps the order in which trees are added.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # Server processes live long: give memory back between queries.
    options.enable_cpu_mem_arena = False
    options.log_severity_level = FATAL
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        (features,) = session.get_inputs()
        (_,) = session.get_outputs()
        rank, width = len(features.shape), features.shape[1]
    except Exception as error:
        raise ScoringError(f"onnxruntime cannot load graph {sha256[:12]}: {_first_line(error)}") from error
    if features.type != "tensor(double)" or rank != 2 or not isinstance(width, int):
        raise ScoringError(f"ONNX graph {sha256[:12]} does not take rows of doubles")
    return Graph(session, features.name, width, len(content))


def _run(sha256: str, graph: Graph, rows: Any) -> Any:
    try:
        return graph.session.run(None, {graph.input: rows})[0]
    except Exception as error:  # noqa: BLE001
        # Not chained: its own message may quote what it was given.
        raise ScoringError(f"onnxruntime failed in graph {sha256[:12]} ({type(error).__name__})") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
