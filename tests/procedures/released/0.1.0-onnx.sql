\set ON_ERROR_STOP on
\encoding UTF8

-- The functions in PL/Python of 0.1.0.

BEGIN;

-- plpython.sql.in: scoring ONNX graphs with onnxruntime
-- Scoring with onnxruntime. Applied by `pgscore install --plpython`, as a superuser; can be applied again.
-- procedures/plpython.py fills in what stands between @, and takes another word for $pgscore$ if an inserted text holds it.
--
-- The PL/Python functions (pgscore.runtime_*) run no SQL: they take values, compute, and give values. Only the owner may
-- call them. What scorers call are the plpgsql functions below them, which have the owner's rights: a scorer can predict
-- but cannot read a model. The division also keeps scoring parallel safe: a statement run from PL/Python starts a
-- subtransaction, which PostgreSQL before 18 refuses in a parallel query.
--
-- A graph is named by the hash of its bytes and never changes, so functions of (hash, features) are immutable although
-- they read a table. Each session imports the libraries and loads a graph when it first needs them, parallel workers too.

CREATE EXTENSION IF NOT EXISTS plpython3u;

-- Defines the modules of procedures/runtime/ in this session, once. GD is shared by all PL/Python functions of a session: under
-- 'pgscore' it maps the hash of these modules to the loaded graphs.
CREATE OR REPLACE FUNCTION pgscore.runtime_load() RETURNS void
    LANGUAGE plpython3u VOLATILE PARALLEL SAFE SECURITY INVOKER
AS $pgscore$
if "cd9fe819a4fbf5af" in GD.get("pgscore", {}):
    return
import sys, types
libraries = types.ModuleType("pgscore_runtime.libraries")
libraries.__package__ = "pgscore_runtime"
sys.modules.setdefault("pgscore_runtime", types.ModuleType("pgscore_runtime")).libraries = libraries
sys.modules[libraries.__name__] = libraries
exec(compile(r'''
"""numpy and onnxruntime from the runtime folder, and what to say where they are missing."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import stat
import sys
from typing import Any

LIBRARIES = ("numpy", "onnxruntime")


class ScoringError(Exception):
    """Why a graph could not be loaded or run. The message holds no value of a row."""


# PL/Python prints an exception with its module: `pgscore.ScoringError: …`.
ScoringError.__module__ = "pgscore"


def load(folder: str) -> None:
    """Imports the libraries from `folder`, which other PL/Python functions of the session do not get to see.

    Raises ScoringError if they are not there or not for this Python, or if others than the folder's owner may change
    it: what it holds runs with the rights of the server.
    """
    if os.path.isdir(folder) and os.stat(folder).st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ScoringError(f"{folder} may be written to by others than its owner: chmod go-w {folder}")
    sys.path.insert(0, folder)
    try:
        for name in LIBRARIES:
            importlib.import_module(name)
    except Exception as error:
        raise ScoringError(
            f"cannot import numpy and onnxruntime from {folder} in Python {platform.python_version()} "
            f"({type(error).__name__}); on the server run: pgscore runtime install --target {folder}"
        ) from error
    finally:
        sys.path.remove(folder)


def describe(folder: str) -> dict[str, Any]:
    """The server's Python and the libraries in `folder`; `problem` is null where scoring can start."""
    installed = {
        distribution.metadata["Name"]: distribution.version
        for distribution in importlib.metadata.distributions(path=[folder])
    }
    try:
        load(folder)
        problem = None
    except ScoringError as error:
        problem = str(error)
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "folder": folder,
        "libraries": {name: installed.get(name) for name in LIBRARIES},
        "problem": problem,
    }
'''.replace("\n\t", "\n"), "pgscore_runtime/libraries.py", "exec"), libraries.__dict__)

libraries.load('@RUNTIME@')
import sys, types
arrays = types.ModuleType("pgscore_runtime.arrays")
arrays.__package__ = "pgscore_runtime"
sys.modules.setdefault("pgscore_runtime", types.ModuleType("pgscore_runtime")).arrays = arrays
sys.modules[arrays.__name__] = arrays
exec(compile(r'''
"""float8[][] as PostgreSQL's `array_send` writes it, to numpy.

The format, all integers big-endian and of 4 bytes: number of dimensions, a flag that is 1 if NULLs may follow, the
element type; for each dimension its size and lower bound; then each element as its length (8, or -1 for NULL) and its
bytes (src/backend/utils/adt/arrayfuncs.c).
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from .libraries import ScoringError

_FLOAT8_OID = 701
_HEADER = struct.Struct(">iiiiiii")
_ELEMENT = np.dtype([("length", ">i4"), ("value", ">f8")])


def decode(data: bytes, width: int) -> Any:
    """The array as (rows, width) doubles, NULL as NaN. Raises ScoringError unless it is a float8[][] of that width."""
    if len(data) >= 12 and struct.unpack_from(">i", data)[0] == 0:
        return np.empty((0, width))
    if len(data) < _HEADER.size:
        raise ScoringError("features are no float8[][] as array_send writes it")
    dimensions, _, oid, rows, _, columns, _ = _HEADER.unpack_from(data)
    if dimensions != 2 or oid != _FLOAT8_OID or rows < 0 or columns < 0:
        raise ScoringError("features are no float8[][] as array_send writes it")
    if columns != width:
        raise ScoringError(f"the graph takes {width} features, got rows of {columns}")
    n = rows * columns
    if len(data) == _HEADER.size + n * _ELEMENT.itemsize:
        elements = np.frombuffer(data, _ELEMENT, offset=_HEADER.size)
        if (elements["length"] == 8).all():
            return elements["value"].astype(np.float64).reshape(rows, columns)
    return _with_nulls(data, n).reshape(rows, columns)


def _with_nulls(data: bytes, n: int) -> Any:
    """The elements where some are NULL and so shorter: their starts are found one after the other."""
    if len(data) % 4:
        raise ScoringError("features end within an element")
    words = np.frombuffer(data, ">i4", offset=_HEADER.size)
    lengths = words.tolist()
    starts, at = [], 0
    try:
        for _ in range(n):
            starts.append(at)
            at += 3 if lengths[at] == 8 else 1
    except IndexError:
        at = -1
    if at != len(lengths):
        raise ScoringError("features end within an element")
    start = np.array(starts, dtype=np.int64)
    present = words[start] == 8
    if not (words[start[~present]] == -1).all():
        raise ScoringError("features hold an element of another length than 8")
    values = np.full(n, np.nan)
    pairs = np.stack([words[start[present] + 1], words[start[present] + 2]], axis=1)
    values[present] = pairs.astype(">i4").view(">f8")[:, 0]
    return values
'''.replace("\n\t", "\n"), "pgscore_runtime/arrays.py", "exec"), arrays.__dict__)

import sys, types
graphs = types.ModuleType("pgscore_runtime.graphs")
graphs.__package__ = "pgscore_runtime"
sys.modules.setdefault("pgscore_runtime", types.ModuleType("pgscore_runtime")).graphs = graphs
sys.modules[graphs.__name__] = graphs
exec(compile(r'''
"""What an ONNX graph may hold before onnxruntime is given its bytes.

Whoever may deploy decides what runs in the server's own process, so a graph may name only the standard operators and
no file: onnxruntime would read "external data" from the data directory. The `onnx` package is not on the server; a walk
over the protobuf wire format (https://protobuf.dev/programming-guides/encoding) reads the few fields that matter and
skips the rest.
"""

from __future__ import annotations

import re

from .libraries import ScoringError

MAX_GRAPH_BYTES = 512 * 2**20
DOMAINS = frozenset({b"", b"ai.onnx", b"ai.onnx.ml"})

_MODEL, _GRAPH, _NODE, _ATTRIBUTE, _TENSOR, _OPSET = range(6)

# Fields that hold a message to look into (onnx.proto).
_INSIDE = {
    _MODEL: {7: _GRAPH, 8: _OPSET},
    _GRAPH: {1: _NODE, 5: _TENSOR},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 10: _TENSOR, 6: _GRAPH, 11: _GRAPH},
    _TENSOR: {},
    _OPSET: {},
}
_DOMAIN = {_NODE: 7, _OPSET: 1}
_REFUSED = {
    (_MODEL, 20): "training information",
    (_MODEL, 25): "functions of its own",
    (_GRAPH, 15): "sparse tensors",
    (_ATTRIBUTE, 22): "sparse tensors",
    (_ATTRIBUTE, 23): "sparse tensors",
    (_TENSOR, 13): "external data",
    (_TENSOR, 14): "external data",
}

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# An attribute's integers (field 8) come one by one, hundreds of thousands of them for a forest: skipped in one go.
_INTS = re.compile(rb"(?:\x40[\x80-\xff]{0,9}[\x00-\x7f])+")


def check(content: bytes) -> None:
    """Raises ScoringError unless the graph keeps to the standard operators and to its own bytes."""
    if len(content) > MAX_GRAPH_BYTES:
        raise ScoringError(f"the graph has {len(content)} bytes, more than the limit of {MAX_GRAPH_BYTES}")
    todo = [(_MODEL, 0, len(content))]
    while todo:
        message, at, end = todo.pop()
        while at < end:
            if message == _ATTRIBUTE and content[at] == 0x40 and (ints := _INTS.match(content, at, end)):
                at = ints.end()
                continue
            tag, at = _varint(content, at, end)
            if tag >> 32:
                # Other parsers would drop the high bits, and see another field.
                raise ScoringError("the graph is no ONNX model")
            field, kind = tag >> 3, tag & 7
            start, at = _value(content, at, end, kind)
            if refused := _REFUSED.get((message, field)):
                raise ScoringError(f"the graph holds {refused}")
            if kind != _BYTES:
                continue
            if _DOMAIN.get(message) == field and content[start:at] not in DOMAINS:
                raise ScoringError("the graph holds operators of an unknown domain")
            if field in _INSIDE[message]:
                todo.append((_INSIDE[message][field], start, at))


def _value(content: bytes, at: int, end: int, kind: int) -> tuple[int, int]:
    """Where the field's value starts and ends."""
    if kind == _VARINT:
        return at, _varint(content, at, end)[1]
    if kind == _BYTES:
        length, at = _varint(content, at, end)
    elif kind in {_FIXED64, _FIXED32}:
        length = 8 if kind == _FIXED64 else 4
    else:
        length = end
    if at + length > end:
        raise ScoringError("the graph is no ONNX model")
    return at, at + length


def _varint(content: bytes, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ScoringError("the graph is no ONNX model")
'''.replace("\n\t", "\n"), "pgscore_runtime/graphs.py", "exec"), graphs.__dict__)

import sys, types
sessions = types.ModuleType("pgscore_runtime.sessions")
sessions.__package__ = "pgscore_runtime"
sys.modules.setdefault("pgscore_runtime", types.ModuleType("pgscore_runtime")).sessions = sessions
sys.modules[sessions.__name__] = sessions
exec(compile(r'''
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
'''.replace("\n\t", "\n"), "pgscore_runtime/sessions.py", "exec"), sessions.__dict__)

GD["pgscore"] = {"cd9fe819a4fbf5af": sessions.Sessions()}
$pgscore$;

CREATE OR REPLACE FUNCTION pgscore.runtime_add(sha256 text, content bytea) RETURNS void
    LANGUAGE plpython3u VOLATILE STRICT PARALLEL SAFE SECURITY INVOKER
AS $pgscore$
GD["pgscore"]["cd9fe819a4fbf5af"].add(sha256, content)
$pgscore$;

-- The next two give an empty array if this session has not loaded the modules or the graph.
CREATE OR REPLACE FUNCTION pgscore.runtime_row(sha256 text, features double precision[]) RETURNS double precision[]
    LANGUAGE plpython3u VOLATILE STRICT PARALLEL SAFE SECURITY INVOKER
AS $pgscore$
loaded = GD.get("pgscore", {}).get("cd9fe819a4fbf5af")
return loaded.score_row(sha256, features) if loaded else []
$pgscore$;

CREATE OR REPLACE FUNCTION pgscore.runtime_batch(sha256 text, features bytea, output integer) RETURNS double precision[]
    LANGUAGE plpython3u VOLATILE STRICT PARALLEL SAFE SECURITY INVOKER
AS $pgscore$
loaded = GD.get("pgscore", {}).get("cd9fe819a4fbf5af")
return loaded.score_batch(sha256, features, output) if loaded else []
$pgscore$;

CREATE OR REPLACE FUNCTION pgscore.runtime_info() RETURNS jsonb
    LANGUAGE plpython3u STABLE PARALLEL SAFE SECURITY INVOKER
AS $pgscore$
import sys, types
libraries = types.ModuleType("pgscore_runtime.libraries")
libraries.__package__ = "pgscore_runtime"
sys.modules.setdefault("pgscore_runtime", types.ModuleType("pgscore_runtime")).libraries = libraries
sys.modules[libraries.__name__] = libraries
exec(compile(r'''
"""numpy and onnxruntime from the runtime folder, and what to say where they are missing."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import stat
import sys
from typing import Any

LIBRARIES = ("numpy", "onnxruntime")


class ScoringError(Exception):
    """Why a graph could not be loaded or run. The message holds no value of a row."""


# PL/Python prints an exception with its module: `pgscore.ScoringError: …`.
ScoringError.__module__ = "pgscore"


def load(folder: str) -> None:
    """Imports the libraries from `folder`, which other PL/Python functions of the session do not get to see.

    Raises ScoringError if they are not there or not for this Python, or if others than the folder's owner may change
    it: what it holds runs with the rights of the server.
    """
    if os.path.isdir(folder) and os.stat(folder).st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ScoringError(f"{folder} may be written to by others than its owner: chmod go-w {folder}")
    sys.path.insert(0, folder)
    try:
        for name in LIBRARIES:
            importlib.import_module(name)
    except Exception as error:
        raise ScoringError(
            f"cannot import numpy and onnxruntime from {folder} in Python {platform.python_version()} "
            f"({type(error).__name__}); on the server run: pgscore runtime install --target {folder}"
        ) from error
    finally:
        sys.path.remove(folder)


def describe(folder: str) -> dict[str, Any]:
    """The server's Python and the libraries in `folder`; `problem` is null where scoring can start."""
    installed = {
        distribution.metadata["Name"]: distribution.version
        for distribution in importlib.metadata.distributions(path=[folder])
    }
    try:
        load(folder)
        problem = None
    except ScoringError as error:
        problem = str(error)
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "folder": folder,
        "libraries": {name: installed.get(name) for name in LIBRARIES},
        "problem": problem,
    }
'''.replace("\n\t", "\n"), "pgscore_runtime/libraries.py", "exec"), libraries.__dict__)

import json
return json.dumps(libraries.describe('@RUNTIME@'))
$pgscore$;

-- Stable, not volatile: a parallel query takes no new snapshot.
CREATE OR REPLACE FUNCTION pgscore.runtime_fetch(graph text) RETURNS void
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SECURITY INVOKER SET search_path = pg_catalog, pg_temp
AS $pgscore$
DECLARE
    bytes bytea;
BEGIN
    SELECT g.content INTO bytes FROM pgscore.onnx_graphs AS g WHERE g.sha256 = graph;
    IF bytes IS NULL THEN
        RAISE EXCEPTION 'ONNX graph % is not in pgscore.onnx_graphs', left(graph, 12);
    END IF;
    PERFORM pgscore.runtime_load();
    PERFORM pgscore.runtime_add(graph, bytes);
END
$pgscore$;

-- The outputs of the graph for one row. NULL for NaN; NULL as a whole for a row that the model refuses.
CREATE OR REPLACE FUNCTION pgscore.onnx_row(sha256 text, features double precision[]) RETURNS double precision[]
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 1000
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $pgscore$
DECLARE
    outputs double precision[] := pgscore.runtime_row(sha256, features);
BEGIN
    IF cardinality(outputs) = 0 THEN
        PERFORM pgscore.runtime_fetch(sha256);
        outputs := pgscore.runtime_row(sha256, features);
    END IF;
    RETURN outputs;
END
$pgscore$;

-- One output (from 0) of the graph for each row of `features`, which is array_send(array_agg(ARRAY[…]::float8[])).
-- NULL for NaN and for a row that the model refuses.
CREATE OR REPLACE FUNCTION pgscore.onnx_batch(sha256 text, features bytea, output integer) RETURNS double precision[]
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 1000000
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $pgscore$
DECLARE
    results double precision[] := pgscore.runtime_batch(sha256, features, output);
BEGIN
    IF cardinality(results) = 0 THEN
        PERFORM pgscore.runtime_fetch(sha256);
        results := pgscore.runtime_batch(sha256, features, output);
    END IF;
    RETURN results;
END
$pgscore$;

-- The functions belong to the owner of the schema. They hold code that only a superuser may write: their owner can
-- drop them but, without a right on the language, not change them.
DO $pgscore$
DECLARE
    owner name := (SELECT r.rolname FROM pg_catalog.pg_namespace AS n JOIN pg_catalog.pg_roles AS r ON r.oid = n.nspowner
                   WHERE n.nspname = 'pgscore' AND NOT r.rolsuper);
    signature text;
BEGIN
    IF owner IS NULL THEN
        RAISE EXCEPTION 'schema pgscore belongs to a superuser: functions with its rights are not created';
    END IF;
    FOREACH signature IN ARRAY ARRAY[
        'runtime_load()', 'runtime_add(text, bytea)', 'runtime_row(text, double precision[])',
        'runtime_batch(text, bytea, integer)', 'runtime_fetch(text)', 'runtime_info()',
        'onnx_row(text, double precision[])', 'onnx_batch(text, bytea, integer)'
    ] LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION pgscore.%s FROM PUBLIC', signature);
        EXECUTE format('ALTER FUNCTION pgscore.%s OWNER TO %I', signature, owner);
    END LOOP;
    IF to_regrole('pgscore_scorer') IS NOT NULL THEN
        GRANT EXECUTE ON FUNCTION
            pgscore.onnx_row(text, double precision[]),
            pgscore.onnx_batch(text, bytea, integer),
            pgscore.runtime_info()
        TO pgscore_scorer;
    END IF;
END
$pgscore$;

COMMIT;

\set ON_ERROR_STOP on
\encoding UTF8

BEGIN;

-- Nothing below depends on the session's search_path.
SET LOCAL search_path = pg_catalog, pg_temp;

-- All that follows is pgscore_owner's.
SET LOCAL ROLE "pgscore_owner";

-- The model, and the number of its next version.
INSERT INTO pgscore.models AS m (name, last_version) VALUES ('graph', 1)
ON CONFLICT (name) DO UPDATE SET last_version = m.last_version + 1;

-- The ONNX graph.
INSERT INTO pgscore.onnx_graphs (sha256, content)
VALUES ('5a4213c954455fb4a352a16366496444aae5b9ae7217f95ac9a124dc786aa095', decode('080a1207706773636f72653a8d0e0a290a0866656174757265730a0263301202743022064761746865722a0b0a04617869731801a001023a000a150a0274300a026331120274312205457175616c3a000a1b0a027431120274322204436173742a090a02746f180ba001023a000a290a0866656174757265730a0263321202743322064761746865722a0b0a04617869731801a001023a000a230a0274320a027433120274342206436f6e6361742a0b0a04617869731801a001023a000a1e0a0274340a02633312027435220e477265617465724f72457175616c3a000a1b0a0274340a02633412027436220b4c6573734f72457175616c3a000a130a0274350a027436120274372203416e643a000a0f0a0274371202743822034e6f743a000a1b0a027438120274392204436173742a090a02746f180ba001023a000a2b0a0274390a0263351203743130220952656475636553756d2a0f0a086b65657064696d731801a001023a000a190a037431300a02633612037431312207477265617465723a000a170a0274340a026337120374313222064d61744d756c3a000a150a037431320a026338120374313322034164643a000a130a037431331203743134220549734e614e3a000a1d0a0374313412037431352204436173742a090a02746f180ba001023a000a2c0a037431350a0263351203743136220952656475636553756d2a0f0a086b65657064696d731801a001023a000a190a037431360a02633612037431372207477265617465723a000a130a03743133120374313822054973496e663a000a1d0a0374313812037431392204436173742a090a02746f180ba001023a000a2c0a037431390a0263351203743230220952656475636553756d2a0f0a086b65657064696d731801a001023a000a190a037432300a02633612037432312207477265617465723a000a110a03743133120374323222034162733a000a110a03743232120374323322034e65673a000a110a03743233120374323422034578703a000a200a037431330a0263361203743235220e477265617465724f72457175616c3a000a1c0a037432350a0263390a037432341203743236220557686572653a000a150a0263390a03743234120374323722034164643a000a160a037432360a03743237120374323822034469763a000a190a037432380a03633130120374323922064d61744d756c3a000a160a037432390a03633131120374333022034164643a000a130a037433301203743331220549734e614e3a000a1d0a0374333112037433322204436173742a090a02746f180ba001023a000a2c0a037433320a0263351203743333220952656475636553756d2a0f0a086b65657064696d731801a001023a000a190a037433330a02633612037433342207477265617465723a000a130a03743330120374333522054973496e663a000a1d0a0374333512037433362204436173742a090a02746f180ba001023a000a2c0a037433360a0263351203743337220952656475636553756d2a0f0a086b65657064696d731801a001023a000a190a037433370a02633612037433382207477265617465723a000a190a037431330a02633612037433392207477265617465723a000a1d0a0374333912037434302204436173742a090a02746f180ba001023a000a2b0a037434300a037433300a0374323812037434312206436f6e6361742a0b0a04617869731801a001023a000a130a03743431120374343222054973496e663a000a150a037434320a03743131120374343322024f723a000a150a037434330a03743137120374343422024f723a000a150a037434340a03743231120374343522024f723a000a150a037434350a03743334120374343622024f723a000a150a037434360a03743338120374343722024f723a000a1f0a037434370a036331320a0374343112076f757470757473220557686572651207706773636f72652a1208011007420263304a0802000000000000002a2408010803100b420263314a180000000000000000000000000000f03f00000000000000402a1a08021007420263324a10000000000000000001000000000000002a10100b420263334a08ffffffffffffefff2a10100b420263344a08ffffffffffffef7f2a1208011007420263354a0801000000000000002a10100b420263364a0800000000000000002a3408050801100b420263374a28298e395e585f333ff2824cb3a6f68bbf1ed560ba25218c3fab74e4e6f12eddbf1075c9aa521bb8bf2a1408010801100b420263384a08fd433e7e94ea2d402a10100b420263394a08000000000000f03f2a1508010801100b42036331304a08000000000000f0bf2a1508010801100b42036331314a08000000000000f03f2a11100b42036331324a08000000000000f87f5a1e0a08666561747572657312120a10080b120c0a061204726f77730a020803621d0a076f75747075747312120a10080b120c0a061204726f77730a02080342040a00101272360a086665617475726573122a5b2274656e757265222c20226d6f6e74686c79222c2022706c616e205c753231393220436f646573225d727d0a076f75747075747312725b7b226d6574686f64223a202270726564696374222c2022636f6c756d6e73223a20312c20226c6162656c73223a205b302c20315d7d2c207b226d6574686f64223a2022707265646963745f70726f6261222c2022636f6c756d6e73223a20322c20226c6162656c73223a206e756c6c7d5d721b0a046b696e6412132262696e61727920636c617373696669657222', 'hex'))
ON CONFLICT DO NOTHING;

-- graph v1: predict_proba(X)[:, 1] of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)
CREATE FUNCTION "score"."graph_v1"("plan" text, "tenure" integer, "monthly" double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (pgscore.onnx_row('5a4213c954455fb4a352a16366496444aae5b9ae7217f95ac9a124dc786aa095', ARRAY["tenure"::float8, "monthly", CASE "plan"
  WHEN 'basic' THEN 0
  WHEN 'full' THEN 1
  WHEN 'none' THEN 2
  ELSE -1
END::float8]::float8[]))[3];

COMMENT ON FUNCTION "score"."graph_v1"(text, integer, double precision) IS 'graph v1: predict_proba(X)[:, 1] of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)';
REVOKE ALL ON FUNCTION "score"."graph_v1"(text, integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."graph_v1"(text, integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."graph_v1"(r public.customers)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."graph_v1"("plan" => (r)."plan", "tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."graph_v1"(public.customers) IS 'graph v1: predict_proba(X)[:, 1] of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)';
REVOKE ALL ON FUNCTION "score"."graph_v1"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."graph_v1"(public.customers) TO pgscore_scorer;

-- graph v1: predict(X) of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)
CREATE FUNCTION "score"."graph_v1_label"("plan" text, "tenure" integer, "monthly" double precision)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE ((pgscore.onnx_row('5a4213c954455fb4a352a16366496444aae5b9ae7217f95ac9a124dc786aa095', ARRAY["tenure"::float8, "monthly", CASE "plan"
  WHEN 'basic' THEN 0
  WHEN 'full' THEN 1
  WHEN 'none' THEN 2
  ELSE -1
END::float8]::float8[]))[1])::integer WHEN 0 THEN '0'::bigint WHEN 1 THEN '1'::bigint END;

COMMENT ON FUNCTION "score"."graph_v1_label"(text, integer, double precision) IS 'graph v1: predict(X) of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)';
REVOKE ALL ON FUNCTION "score"."graph_v1_label"(text, integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."graph_v1_label"(text, integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."graph_v1_label"(r public.customers)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."graph_v1_label"("plan" => (r)."plan", "tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."graph_v1_label"(public.customers) IS 'graph v1: predict(X) of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)';
REVOKE ALL ON FUNCTION "score"."graph_v1_label"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."graph_v1_label"(public.customers) TO pgscore_scorer;

-- graph v1: predict_proba(X) of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)
CREATE FUNCTION "score"."graph_v1_proba"("plan" text, "tenure" integer, "monthly" double precision)
RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN nullif((pgscore.onnx_row('5a4213c954455fb4a352a16366496444aae5b9ae7217f95ac9a124dc786aa095', ARRAY["tenure"::float8, "monthly", CASE "plan"
  WHEN 'basic' THEN 0
  WHEN 'full' THEN 1
  WHEN 'none' THEN 2
  ELSE -1
END::float8]::float8[]))[2:3], ARRAY[NULL, NULL]::float8[]);

COMMENT ON FUNCTION "score"."graph_v1_proba"(text, integer, double precision) IS 'graph v1: predict_proba(X) of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)';
REVOKE ALL ON FUNCTION "score"."graph_v1_proba"(text, integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."graph_v1_proba"(text, integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."graph_v1_proba"(r public.customers)
RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."graph_v1_proba"("plan" => (r)."plan", "tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."graph_v1_proba"(public.customers) IS 'graph v1: predict_proba(X) of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)';
REVOKE ALL ON FUNCTION "score"."graph_v1_proba"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."graph_v1_proba"(public.customers) TO pgscore_scorer;

-- The version; from here on it never changes.
INSERT INTO pgscore.versions (model_id, version, estimator, kind, strategy, reason, bound_table, parameters, functions, onnx_sha256, features, sql, sha256, model_sha256, libraries, parity)
SELECT m.model_id, 1,
    'Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)',
    'binary classifier',
    'onnx',
    'asked for; auto would take sql: 18 operations are small enough to plan in every query (inline SQL: about 0.7 µs a row, 0.2 ms of planning a query)',
    'public.customers',
    '[{"name": "plan", "type": "text", "column": "plan"}, {"name": "tenure", "type": "integer", "column": "tenure"}, {"name": "monthly", "type": "double precision", "column": "monthly"}]'::jsonb,
    '[{"suffix": "", "method": "predict_proba(X)[:, 1]", "result": "double precision", "language": "sql", "outputs": [2], "labels": null}, {"suffix": "label", "method": "predict(X)", "result": "bigint", "language": "sql", "outputs": [0], "labels": [0, 1]}, {"suffix": "proba", "method": "predict_proba(X)", "result": "double precision[]", "language": "sql", "outputs": [1, 2], "labels": null}]'::jsonb,
    '5a4213c954455fb4a352a16366496444aae5b9ae7217f95ac9a124dc786aa095',
    ARRAY['r."tenure"::float8', '(r."monthly")::double precision', 'CASE r."plan"
  WHEN ''basic'' THEN 0
  WHEN ''full'' THEN 1
  WHEN ''none'' THEN 2
  ELSE -1
END::float8']::text[],
    '-- graph v1: predict_proba(X)[:, 1] of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)
CREATE FUNCTION "score"."graph_v1"("plan" text, "tenure" integer, "monthly" double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (pgscore.onnx_row(''5a4213c954455fb4a352a16366496444aae5b9ae7217f95ac9a124dc786aa095'', ARRAY["tenure"::float8, "monthly", CASE "plan"
  WHEN ''basic'' THEN 0
  WHEN ''full'' THEN 1
  WHEN ''none'' THEN 2
  ELSE -1
END::float8]::float8[]))[3];

COMMENT ON FUNCTION "score"."graph_v1"(text, integer, double precision) IS ''graph v1: predict_proba(X)[:, 1] of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)'';
REVOKE ALL ON FUNCTION "score"."graph_v1"(text, integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."graph_v1"(text, integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."graph_v1"(r public.customers)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."graph_v1"("plan" => (r)."plan", "tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."graph_v1"(public.customers) IS ''graph v1: predict_proba(X)[:, 1] of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)'';
REVOKE ALL ON FUNCTION "score"."graph_v1"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."graph_v1"(public.customers) TO pgscore_scorer;

-- graph v1: predict(X) of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)
CREATE FUNCTION "score"."graph_v1_label"("plan" text, "tenure" integer, "monthly" double precision)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE ((pgscore.onnx_row(''5a4213c954455fb4a352a16366496444aae5b9ae7217f95ac9a124dc786aa095'', ARRAY["tenure"::float8, "monthly", CASE "plan"
  WHEN ''basic'' THEN 0
  WHEN ''full'' THEN 1
  WHEN ''none'' THEN 2
  ELSE -1
END::float8]::float8[]))[1])::integer WHEN 0 THEN ''0''::bigint WHEN 1 THEN ''1''::bigint END;

COMMENT ON FUNCTION "score"."graph_v1_label"(text, integer, double precision) IS ''graph v1: predict(X) of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)'';
REVOKE ALL ON FUNCTION "score"."graph_v1_label"(text, integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."graph_v1_label"(text, integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."graph_v1_label"(r public.customers)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."graph_v1_label"("plan" => (r)."plan", "tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."graph_v1_label"(public.customers) IS ''graph v1: predict(X) of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)'';
REVOKE ALL ON FUNCTION "score"."graph_v1_label"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."graph_v1_label"(public.customers) TO pgscore_scorer;

-- graph v1: predict_proba(X) of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)
CREATE FUNCTION "score"."graph_v1_proba"("plan" text, "tenure" integer, "monthly" double precision)
RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN nullif((pgscore.onnx_row(''5a4213c954455fb4a352a16366496444aae5b9ae7217f95ac9a124dc786aa095'', ARRAY["tenure"::float8, "monthly", CASE "plan"
  WHEN ''basic'' THEN 0
  WHEN ''full'' THEN 1
  WHEN ''none'' THEN 2
  ELSE -1
END::float8]::float8[]))[2:3], ARRAY[NULL, NULL]::float8[]);

COMMENT ON FUNCTION "score"."graph_v1_proba"(text, integer, double precision) IS ''graph v1: predict_proba(X) of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)'';
REVOKE ALL ON FUNCTION "score"."graph_v1_proba"(text, integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."graph_v1_proba"(text, integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."graph_v1_proba"(r public.customers)
RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."graph_v1_proba"("plan" => (r)."plan", "tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."graph_v1_proba"(public.customers) IS ''graph v1: predict_proba(X) of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)'';
REVOKE ALL ON FUNCTION "score"."graph_v1_proba"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."graph_v1_proba"(public.customers) TO pgscore_scorer;
',
    '4f51315dcce7092076458328b03ed25e0e2f594c481dde29208d3cdb9169dc04',
    '1f5acc4d92f3c2db516ea2324a1066bd863867c37d8a6ed7cae32644457fd21c',
    '{"scikit-learn": "1.9"}'::jsonb,
    '{"rows": 155, "real_rows": 5, "adversarial_rows": 150, "refused_rows": 12, "functions": {"": {"method": "predict_proba(X)[:, 1]", "rows": 155, "mismatches": 0, "max_difference": 1.7845820266135188e-16, "error": null, "columns": []}, "label": {"method": "predict(X)", "rows": 155, "mismatches": 0, "max_difference": 0.0, "error": null, "columns": []}, "proba": {"method": "predict_proba(X)", "rows": 155, "mismatches": 0, "max_difference": 8.860137328145415e-16, "error": null, "columns": []}}, "notes": [], "tolerance": 1e-09, "passed": true}'::jsonb
FROM pgscore.models AS m WHERE m.name = 'graph';

-- The made-up rows that `pgscore verify` replays.
INSERT INTO pgscore.parity_cases (version_id, cases)
SELECT v.version_id, E'{"varied": ["several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "tenure", "tenure", "tenure", "tenure", "tenure", "tenure", "plan", "plan", "plan", "plan", "plan", "plan", "plan", "plan", "plan", "plan", "plan", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns"], "inputs": {"plan": [null, "basic", "full", "none", "basic", "full", "none", "basic", "basic", "basic", "basic", "basic", "basic", "basic", null, "", "never seen before", "it''s \\"quoted\\" \\\\ back", "\\u2603\\ud83d\\udca9", "basic", "full", "none", "basic ", " basic", "BASIC", "basic", "basic", "basic", "basic", "basic", "basic", "basic", "basic", "basic", "basic", "basic", "basic", "basic", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none"], "tenure": [null, 12, 1, 1, 3, 24, 24, 60, null, -2147483648, 2147483647, 0, 1, -1, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 2147483647, 1, 24, 1, 24, 24, 24, 12, 60, 3, 1, 3, 1, 24, 24, 24, 24, 24, 60, 24, 60, 1, 3, 1, 12, 1, 24, 24, 24, 1, 1, 1, 60, 24, 3, 24, 1, 12, 24, 60, 1, 60, 1, 24, 60, 1, 3, 1, 1, 1, null, 12, 1, 1, 24, 24, 12, 1, 24, 12, 12, 24], "monthly": [null, "55.5", "19.75", "19.75", "29.5", "80.25", "80.25", "99.0", "55.5", "55.5", "55.5", "55.5", "55.5", "55.5", "55.5", "55.5", "55.5", "55.5", "55.5", "55.5", "55.5", "55.5", "55.5", "55.5", "55.5", null, "nan", "inf", "-inf", "1e+300", "-1e+300", "3.5e+38", "-3.5e+38", "1e-300", "-1e-300", "0.0", "-0.0", "5e-324", null, "80.25", "19.75", "99.0", "99.0", "80.25", "19.75", "80.25", "80.25", "80.25", "29.5", "99.0", "55.5", "55.5", "99.0", "99.0", "80.25", "29.5", "19.75", "19.75", null, "99.0", "55.5", "80.25", "19.75", "80.25", "19.75", "19.75", "80.25", "29.5", null, "19.75", "19.75", "80.25", "55.5", "99.0", "55.5", "80.25", "80.25", "80.25", null, "29.5", "29.5", "80.25", "19.75", "80.25", "80.25", "99.0", "55.5", "55.5", "19.75", "55.5", "99.0", "55.5", "80.25", "80.25", "55.5", "80.25", "55.5", "19.75", "-inf", "55.5"]}, "answers": {"": [null, "0.9860786502919536", "0.9999967234730076", "0.9999968119961644", "0.99997985561668", "0.02775608098013493", "0.0285048334552752", "3.6779983440140424e-10", null, "1.0", "0.0", "0.9999406616850327", "0.9999063830714143", "0.9999623893725328", "0.986074591846215", "0.986074591846215", "0.986074591846215", "0.986074591846215", "0.986074591846215", "0.9860786502919536", "0.9858858517544313", "0.9862619414868075", "0.986074591846215", "0.986074591846215", "0.986074591846215", null, null, null, null, "0.0", "1.0", "0.0", "1.0", "0.9999241423598427", "0.9999241423598427", "0.9999241423598427", "0.9999241423598427", "0.9999241423598427", null, "0.9990508689264567", "0.8948197323200138", "0.9944031842436728", "0.004994592843902419", "0.02775608098013493", "0.8961254238148362", "0.8746946030849451", "2.1201006995542886e-09", "0.9976088670436754", "0.9999920153768543", "0.9859919316254295", "0.9999063830714143", "0.23180778113601216", "0.004860307484068622", "0.004928245663082148", "0.0285048334552752", "0.7725592870171881", "6.406677095426623e-07", "0.897369791415525", null, "0.9944031842436728", "0.9997701065333565", "0.9990245394739184", "0.9995130099244769", "0.9990508689264567", "0.8948197323200138", "0.8961254238148362", "0.0285048334552752", "0.999991793664272", null, "0.9999968119961644", "6.317926747191266e-07", "0.028135011722390604", "0.9997701065333565", "0.004860307484068622", "0.9999063830714143", "0.8746946030849451", "0.02775608098013493", "2.1498825889385707e-09", null, "2.5225342973177865e-07", "0.9999919073440642", "0.0285048334552752", "6.317926747191266e-07", "0.9990380393328051", "0.9976407123824698", "0.9943250097402139", "0.9999063830714143", "0.9999076327037559", null, "0.9860786502919536", "0.9944774868334114", "0.9999050681223934", "0.028135011722390604", "0.0285048334552752", "0.9858858517544313", "0.9990380393328051", "0.23180778113601216", "0.9995061723613494", null, "0.23180778113601216"], "label": [null, 1, 1, 1, 1, 0, 0, 0, null, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, null, null, null, null, 0, 1, 0, 1, 1, 1, 1, 1, 1, null, 1, 1, 1, 0, 0, 1, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 1, null, 1, 1, 1, 1, 1, 1, 1, 0, 1, null, 1, 0, 0, 1, 0, 1, 1, 0, 0, null, 0, 1, 0, 0, 1, 1, 1, 1, 1, null, 1, 1, 1, 0, 0, 1, 1, 0, 1, null, 0], "proba": [null, ["0.013921349708046371", "0.9860786502919536"], ["3.2765269923906715e-06", "0.9999967234730076"], ["3.1880038355858176e-06", "0.9999968119961644"], ["2.014438331998658e-05", "0.99997985561668"], ["0.9722439190198651", "0.02775608098013493"], ["0.9714951665447248", "0.0285048334552752"], ["0.9999999996322002", "3.6779983440140424e-10"], null, ["0.0", "1.0"], ["1.0", "0.0"], ["5.933831496729436e-05", "0.9999406616850327"], ["9.361692858567139e-05", "0.9999063830714143"], ["3.7610627467210556e-05", "0.9999623893725328"], ["0.013925408153784957", "0.986074591846215"], ["0.013925408153784957", "0.986074591846215"], ["0.013925408153784957", "0.986074591846215"], ["0.013925408153784957", "0.986074591846215"], ["0.013925408153784957", "0.986074591846215"], ["0.013921349708046371", "0.9860786502919536"], ["0.01411414824556867", "0.9858858517544313"], ["0.013738058513192541", "0.9862619414868075"], ["0.013925408153784957", "0.986074591846215"], ["0.013925408153784957", "0.986074591846215"], ["0.013925408153784957", "0.986074591846215"], null, null, null, null, ["1.0", "0.0"], ["0.0", "1.0"], ["1.0", "0.0"], ["0.0", "1.0"], ["7.585764015727303e-05", "0.9999241423598427"], ["7.585764015727303e-05", "0.9999241423598427"], ["7.585764015727303e-05", "0.9999241423598427"], ["7.585764015727303e-05", "0.9999241423598427"], ["7.585764015727303e-05", "0.9999241423598427"], null, ["0.00094913107354333", "0.9990508689264567"], ["0.10518026767998623", "0.8948197323200138"], ["0.0055968157563272", "0.9944031842436728"], ["0.9950054071560975", "0.004994592843902419"], ["0.9722439190198651", "0.02775608098013493"], ["0.10387457618516382", "0.8961254238148362"], ["0.12530539691505493", "0.8746946030849451"], ["0.9999999978798993", "2.1201006995542886e-09"], ["0.0023911329563246486", "0.9976088670436754"], ["7.984623145662617e-06", "0.9999920153768543"], ["0.01400806837457047", "0.9859919316254295"], ["9.361692858567139e-05", "0.9999063830714143"], ["0.7681922188639878", "0.23180778113601216"], ["0.9951396925159314", "0.004860307484068622"], ["0.9950717543369179", "0.004928245663082148"], ["0.9714951665447248", "0.0285048334552752"], ["0.22744071298281188", "0.7725592870171881"], ["0.9999993593322904", "6.406677095426623e-07"], ["0.10263020858447502", "0.897369791415525"], null, ["0.0055968157563272", "0.9944031842436728"], ["0.00022989346664348265", "0.9997701065333565"], ["0.0009754605260815508", "0.9990245394739184"], ["0.00048699007552310825", "0.9995130099244769"], ["0.00094913107354333", "0.9990508689264567"], ["0.10518026767998623", "0.8948197323200138"], ["0.10387457618516382", "0.8961254238148362"], ["0.9714951665447248", "0.0285048334552752"], ["8.206335727956038e-06", "0.999991793664272"], null, ["3.1880038355858176e-06", "0.9999968119961644"], ["0.9999993682073253", "6.317926747191266e-07"], ["0.9718649882776094", "0.028135011722390604"], ["0.00022989346664348265", "0.9997701065333565"], ["0.9951396925159314", "0.004860307484068622"], ["9.361692858567139e-05", "0.9999063830714143"], ["0.12530539691505493", "0.8746946030849451"], ["0.9722439190198651", "0.02775608098013493"], ["0.9999999978501174", "2.1498825889385707e-09"], null, ["0.9999997477465703", "2.5225342973177865e-07"], ["8.092655935820758e-06", "0.9999919073440642"], ["0.9714951665447248", "0.0285048334552752"], ["0.9999993682073253", "6.317926747191266e-07"], ["0.0009619606671948944", "0.9990380393328051"], ["0.002359287617530237", "0.9976407123824698"], ["0.005674990259786128", "0.9943250097402139"], ["9.361692858567139e-05", "0.9999063830714143"], ["9.236729624406692e-05", "0.9999076327037559"], null, ["0.013921349708046371", "0.9860786502919536"], ["0.005522513166588583", "0.9944774868334114"], ["9.49318776065633e-05", "0.9999050681223934"], ["0.9718649882776094", "0.028135011722390604"], ["0.9714951665447248", "0.0285048334552752"], ["0.01411414824556867", "0.9858858517544313"], ["0.0009619606671948944", "0.9990380393328051"], ["0.7681922188639878", "0.23180778113601216"], ["0.0004938276386505791", "0.9995061723613494"], null, ["0.7681922188639878", "0.23180778113601216"]]}}'::jsonb
FROM pgscore.versions AS v JOIN pgscore.models AS m USING (model_id)
WHERE m.name = 'graph' AND v.version = 1;

INSERT INTO pgscore.history (model_id, model, action, to_version)
SELECT m.model_id, m.name, 'deploy', 1 FROM pgscore.models AS m WHERE m.name = 'graph';

-- Version 1 becomes live.
SELECT pgscore.promote('graph', 1, 'live');

COMMIT;
