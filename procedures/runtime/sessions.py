"""Scoring with the graphs that this database session has loaded."""

from __future__ import annotations

import hashlib
import os
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime

from . import arrays, graphs
from .guard import give_back, guarded, resident
from .interrupts import Interrupted, check_interrupts
from .libraries import ScoringError, signals_blocked

CACHE_MEGABYTES = 256
MAX_COLUMNS = 2**16
"""Of features, and of outputs."""
MAX_RUN_BYTES, ROW_BYTES = 2**30, 2**22
"""What one run may allocate: 64 MB and 4 MB for each row, at most 1 GB. A graph of pgscore's takes a few MB for a row;
and what an operator can fill, it also has to compute, while nothing can stop it."""
LOAD_FACTOR = 32
"""Loading a graph may take 1 GB and so many times its own bytes."""

LAST_BATCH_BYTES = 2**26
"""Inputs and outputs of a batch that are kept at most."""

FIRST_ROWS, MOST_ROWS = 64, 4096
"""Rows given to onnxruntime at once: large enough to be fast, small enough for what a forest of many classes holds."""
QUICK_SECONDS = 0.05

FATAL = 4

Values = list["float | None"]


@dataclass
class Graph:
    """A loaded graph: its input's name and width, its output's width, and the memory that it holds, in bytes.

    Its work is `steady` where it depends on the number of rows alone. Then a run of as many rows as one that was quick,
    `quick_rows`, is quick as well, and needs no guard. `rows_at_once` of a batch grow while that stays quick.
    """

    session: Any
    input: str
    n_features: int
    n_outputs: int
    memory: int
    steady: bool
    quick_rows: int = 0
    rows_at_once: int = FIRST_ROWS
    grows: bool = True  # until more rows were slow, or are not wanted


class Sessions:
    """Loaded graphs by the sha256 of their bytes; the ones used longest ago go when they hold too much memory.

    Scoring a graph that is not loaded asks the caller to fetch its bytes, add them and score again. So does a call that
    PostgreSQL interrupts: whatever statement the caller runs next ends with PostgreSQL's own error.
    The outputs of the last row and of the last batch are kept: label and probabilities are three calls of one graph.
    """

    def __init__(self) -> None:
        self._graphs: OrderedDict[str, Graph] = OrderedDict()
        self._threads = 1
        self._last: tuple[str, bytes, Values | None] = ("", b"", None)
        self._last_batch: tuple[str, bytes, Any] = ("", b"", None)

    def add(self, sha256: str, content: bytes, cache_megabytes: int = CACHE_MEGABYTES, threads: int = 1) -> None:
        """Loads a graph, and forgets others while all of them hold more memory than that; a large one stays alone.

        From now on batches are run by so many threads, at most as many as there are cores.
        Raises ScoringError if its hash, its operators or its form are not what they must be. Interrupted, it adds none.
        """
        self._threads = min(threads, os.cpu_count() or 1)
        if sha256 in self._graphs:
            return
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ScoringError(f"the bytes of ONNX graph {sha256[:12]} do not have that hash")
        try:
            graph = _load(sha256, content)
        except Interrupted:
            give_back()
            return
        most = cache_megabytes * 2**20
        while self._graphs and self.memory() + graph.memory > most:
            self._graphs.popitem(last=False)
        self._graphs[sha256] = graph

    def memory(self) -> int:
        """The bytes that the loaded graphs hold."""
        return sum(graph.memory for graph in self._graphs.values())

    def score_row(self, sha256: str, features: Values) -> Values | None:
        """The outputs for one row, None for NaN; None if all of them are: the row is refused. Empty: ask again."""
        graph = self._get(sha256)
        if graph is None:
            return []
        if len(features) != graph.n_features:
            raise ScoringError(f"ONNX graph {sha256[:12]} takes {graph.n_features} features, got {len(features)}")
        inputs = np.array([features], dtype=np.float64)
        bits = inputs.tobytes()  # -0.0 equals 0.0, but not in 1/x
        if self._last[:2] != (sha256, bits):
            try:
                outputs = _run(sha256, graph, inputs)[0].tolist()
            except Interrupted:
                return []
            row = [None if value != value else value for value in outputs]
            self._last = (sha256, bits, row if any(value is not None for value in row) else None)
        return self._last[2]

    def score_batch(self, sha256: str, features: bytes, output: int) -> bytes | None:
        """One output (from 0) for each row of the bytes of a float8[][], as those of a float8[]. None: ask again."""
        graph = self._get(sha256)
        if graph is None:
            return None
        if not 0 <= output < graph.n_outputs:
            raise ScoringError(f"ONNX graph {sha256[:12]} has {graph.n_outputs} outputs, asked for number {output}")
        if self._last_batch[:2] == (sha256, features):
            return arrays.encode(self._last_batch[2][:, output])
        try:
            rows = arrays.decode(features, graph.n_features)
            keeps = len(features) + 8 * len(rows) * graph.n_outputs <= LAST_BATCH_BYTES
            outputs = self._run_batch(sha256, graph, rows, slice(None) if keeps else slice(output, output + 1))
        except Interrupted:
            return None
        if not keeps:
            return arrays.encode(outputs[:, 0])
        self._last_batch = (sha256, features, outputs)
        return arrays.encode(outputs[:, output])

    def _run_batch(self, sha256: str, graph: Graph, rows: Any, outputs: slice) -> Any:
        """These of the outputs (rows, n_outputs), of any number of rows. Raises as _run does."""
        found = [np.empty((0, graph.n_outputs))[:, outputs]]
        done = 0
        with ThreadPoolExecutor(self._threads) as threads:
            while done < len(rows):
                check_interrupts()
                parts = [rows[done : done + graph.rows_at_once]]
                # Threads wait for nothing but runs that are quick: nobody listens to PostgreSQL meanwhile.
                if self._threads > 1 and graph.steady and not graph.grows and graph.quick_rows >= FIRST_ROWS:
                    starts = range(done, len(rows), graph.quick_rows)[: self._threads]
                    parts = [rows[start : start + graph.quick_rows] for start in starts]
                if len(parts) > 1:
                    with signals_blocked():
                        running = [threads.submit(_run, sha256, graph, part) for part in parts]
                    ran = [one.result() for one in running]
                else:
                    ran = [_run(sha256, graph, parts[0])]
                found += [part[:, outputs].copy() for part in ran]
                done += sum(map(len, parts))
        return np.concatenate(found)

    def _get(self, sha256: str) -> Graph | None:
        graph = self._graphs.get(sha256)
        if graph is not None:
            self._graphs.move_to_end(sha256)
        return graph


def _load(sha256: str, content: bytes) -> Graph:
    steady = graphs.check(content, tuple(int(part) for part in onnxruntime.__version__.split(".")[:2]))
    options = onnxruntime.SessionOptions()
    # A server process uses the core it runs on. One thread also keeps the order in which trees are added.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # Server processes live long: give memory back between queries.
    options.enable_cpu_mem_arena = False
    options.log_severity_level = FATAL

    def stop() -> None:
        # Only onnxruntime 1.22 and newer can be stopped while it loads.
        getattr(options, "set_load_cancellation_flag", lambda _: None)(True)

    def load() -> Any:
        return onnxruntime.InferenceSession(
            content,
            options,
            providers=["CPUExecutionProvider"],
            # It would run operators whose inputs are constant, of whatever size, where nothing stops them.
            disabled_optimizers=["ConstantFolding"],
            enable_fallback=0,  # which prints, and tries again
        )

    before = resident()
    try:
        session = guarded(load, stop, MAX_RUN_BYTES + LOAD_FACTOR * len(content))
        (features,), (outputs,) = session.get_inputs(), session.get_outputs()
        name, widths = features.name, [_width(tensor) for tensor in (features, outputs)]
    except Interrupted:
        raise
    except Exception as error:
        raise ScoringError(f"onnxruntime cannot load graph {sha256[:12]}: {_first_line(error)}") from error
    n_features, n_outputs = widths
    if n_features is None or n_outputs is None:
        raise ScoringError(
            f"ONNX graph {sha256[:12]} does not {'take' if n_features is None else 'give'} rows of doubles"
        )
    if not n_outputs or max(n_features, n_outputs) > MAX_COLUMNS:
        raise ScoringError(
            f"ONNX graph {sha256[:12]} takes {n_features} features and gives {n_outputs} outputs; "
            f"at most {MAX_COLUMNS} are run"
        )
    memory = max(resident() - before, len(content))
    return Graph(session, name, n_features, n_outputs, memory, steady)


def _width(tensor: Any) -> int | None:
    """How many columns a graph's input or output has; None where it is not rows of doubles of one length."""
    fine = tensor.type == "tensor(double)" and len(tensor.shape) == 2 and isinstance(tensor.shape[1], int)
    return tensor.shape[1] if fine else None


def _run(sha256: str, graph: Graph, rows: Any) -> Any:
    """The outputs (rows, n_outputs). Raises ScoringError, and Interrupted."""
    try:
        if graph.steady and len(rows) <= graph.quick_rows:
            outputs = graph.session.run(None, {graph.input: rows})[0]
        else:
            outputs = _run_guarded(graph, rows)
    except Interrupted:
        raise
    except Exception as error:  # noqa: BLE001
        # Not chained: its own message may quote what it was given.
        if isinstance(error, MemoryError) or "bad_alloc" in str(error):
            why = f"needs more than {_run_bytes(len(rows)) // 2**20} MB for {len(rows)} rows"
            raise ScoringError(f"ONNX graph {sha256[:12]} {why}") from None
        raise ScoringError(f"onnxruntime failed in graph {sha256[:12]} ({type(error).__name__})") from None
    if outputs.shape != (len(rows), graph.n_outputs):
        raise ScoringError(f"ONNX graph {sha256[:12]} does not give {graph.n_outputs} numbers for each row")
    return outputs


def _run_guarded(graph: Graph, rows: Any) -> Any:
    """Runs the graph under guard, and learns how long it takes."""
    options = onnxruntime.RunOptions()

    def stop() -> None:
        options.terminate = True

    started = time.perf_counter()
    more_bytes = _run_bytes(len(rows))
    outputs = guarded(lambda: graph.session.run(None, {graph.input: rows}, options)[0], stop, more_bytes)
    if time.perf_counter() - started >= QUICK_SECONDS:
        give_back()
        graph.grows = graph.grows and len(rows) < graph.rows_at_once
    else:
        graph.quick_rows = max(graph.quick_rows, len(rows))
        if len(rows) == graph.rows_at_once:
            graph.grows = len(rows) < MOST_ROWS
            graph.rows_at_once = min(4 * len(rows), MOST_ROWS)
    return outputs


def _run_bytes(n_rows: int) -> int:
    """What a run of so many rows may allocate."""
    return min(2**26 + n_rows * ROW_BYTES, MAX_RUN_BYTES)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
