"""float8[][] as PostgreSQL's `array_send` writes it, to numpy; and numpy's doubles as PostgreSQL reads them.

The format, all integers big-endian and of 4 bytes: number of dimensions, a flag that is 1 if NULLs may follow, the
element type; for each dimension its size and lower bound; then each element as its length (8, or -1 for NULL) and its
bytes (src/backend/utils/adt/arrayfuncs.c).
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from .interrupts import check_interrupts
from .libraries import ScoringError

MAX_ROWS = 2**20
_FLOAT8_OID = 701
_HEADER = struct.Struct(">iiiiiii")
_PART = 2**17
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
    if rows > MAX_ROWS:
        raise ScoringError(f"a batch has at most {MAX_ROWS} rows, got {rows}")
    n = rows * columns
    if len(data) == _HEADER.size + n * _ELEMENT.itemsize:
        elements = np.frombuffer(data, _ELEMENT, offset=_HEADER.size)
        if (elements["length"] == 8).all():
            return elements["value"].astype(np.float64).reshape(rows, columns)
    return _with_nulls(data, n).reshape(rows, columns)


def encode(values: Any) -> list[str | None]:
    """The doubles (n,) as PL/Python hands them on to a float8[], None for NaN.

    PL/Python writes every number as text, which PostgreSQL reads. Python takes a microsecond to find the shortest
    decimals of a double; in hexadecimal, which PostgreSQL reads as well (by C's strtod), it is its bits.
    """
    return [None if value != value else value.hex() for value in values.tolist()]


def _with_nulls(data: bytes, n: int) -> Any:
    """The elements where some are NULL and so shorter: their starts are found one after the other."""
    if len(data) % 4:
        raise ScoringError("features end within an element")
    words = np.frombuffer(data, ">i4", offset=_HEADER.size)
    lengths = words.tolist()
    starts, at = [], 0
    try:
        for element in range(n):
            if not element % _PART:
                check_interrupts()
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
