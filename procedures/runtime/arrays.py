"""float8[][] as PostgreSQL holds it, to numpy; and numpy's doubles to float8[].

The format, in this machine's byte order and without the length that comes first: number of dimensions, offset of the
elements (0 where none is NULL), element type; the size of each dimension, then the lower bound of each; where some
element is NULL, a bit for each, the lowest of a byte first and 0 for NULL; then, 8 bytes aligned, the elements that are
not NULL (src/include/utils/array.h). Tables hold arrays so, too: pg_upgrade keeps the format.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from .libraries import ScoringError

MAX_ROWS = 2**20
_FLOAT8_OID = 701
_LENGTH_BYTES = 4
_HEADER = struct.Struct("=iiiiiii")
_LIST_HEADER = struct.Struct("=iiiii")


def decode(data: bytes, width: int) -> Any:
    """The array as (rows, width) doubles, NULL as NaN. Raises ScoringError unless it is a float8[][] of that width."""
    if len(data) >= 12 and struct.unpack_from("=i", data)[0] == 0:
        return np.empty((0, width))
    if len(data) < _HEADER.size:
        raise ScoringError("features are no float8[][]")
    dimensions, offset, oid, rows, columns, _, _ = _HEADER.unpack_from(data)
    if dimensions != 2 or oid != _FLOAT8_OID or rows < 0 or columns < 0:
        raise ScoringError("features are no float8[][]")
    if columns != width:
        raise ScoringError(f"the graph takes {width} features, got rows of {columns}")
    if rows > MAX_ROWS:
        raise ScoringError(f"a batch has at most {MAX_ROWS} rows, got {rows}")
    n = rows * columns
    present = None if offset == 0 else _bits(data, n)
    found = n if present is None else int(present.sum())
    start = offset - _LENGTH_BYTES if offset else _HEADER.size
    if len(data) != start + 8 * found:
        raise ScoringError("features end within an element")
    elements = np.frombuffer(data, np.float64, found, start)
    if present is None:
        return elements.reshape(rows, columns).copy()  # which is aligned
    values = np.full(n, np.nan)
    values[present] = elements
    return values.reshape(rows, columns)


def encode(values: Any) -> bytes:
    """The doubles (n,) as the bytes of a float8[], NaN as NULL."""
    n = len(values)
    if not n:
        return struct.pack("=iii", 0, 0, _FLOAT8_OID)
    present = ~np.isnan(values)
    elements: bytes = values[present].tobytes()
    if present.all():
        return _LIST_HEADER.pack(1, 0, _FLOAT8_OID, n, 1) + elements
    bits: bytes = np.packbits(present, bitorder="little").tobytes()
    used = _LENGTH_BYTES + _LIST_HEADER.size + len(bits)
    offset = used + -used % 8
    return _LIST_HEADER.pack(1, offset, _FLOAT8_OID, n, 1) + bits + bytes(offset - used) + elements


def _bits(data: bytes, n: int) -> Any:
    """Which of n elements are not NULL."""
    n_bytes = -(-n // 8)
    if len(data) < _HEADER.size + n_bytes:
        raise ScoringError("features end within an element")
    bits = np.frombuffer(data, np.uint8, n_bytes, _HEADER.size)
    return np.unpackbits(bits, count=n, bitorder="little").astype(bool)
