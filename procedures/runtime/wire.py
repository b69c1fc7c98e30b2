"""The protobuf wire format (https://protobuf.dev/programming-guides/encoding), as far as an ONNX graph needs it.

The `onnx` package is not on the server. A forest's attributes hold millions of whole numbers, each behind a tag of its
own: they are skipped as one run, and decoded with numpy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from .libraries import ScoringError

VARINT, FIXED64, BYTES, FIXED32, RUN = 0, 1, 2, 5, -1
"""How a field's value is written. A RUN is a whole run of equal fields, with their tags."""

INTS, FLOATS, STRINGS = 8, 7, 9
"""The fields of an attribute that come in runs."""

_INTS_TAG = 0x40

_RUNS = {
    _INTS_TAG: re.compile(rb"(?:\x40[\x80-\xff]{0,9}[\x00-\x7f]){1,64}"),
    0x3D: re.compile(rb"(?:\x3d.{4})+", re.DOTALL),
    # Of texts only the names of a tree's branches come in such numbers.
    0x4A: re.compile(rb"(?:\x4a(?:\x04LEAF|\x09BRANCH_(?:LT|GT|EQ)|\x0aBRANCH_(?:LEQ|GTE|NEQ)))+"),
}


NO_MODEL = "the graph is no ONNX model"


def fields(content: bytes, at: int, end: int, *, runs: bool = False) -> Iterator[tuple[int, int, int, int]]:
    """Number, kind, start and stop of each field's value. With `runs`, of an attribute, lists come as runs.

    Raises ScoringError where the bytes are no message.
    """
    while at < end:
        if runs and (pattern := _RUNS.get(content[at])) and (run := pattern.match(content, at, end)):
            first, stop = content[at], run.end()
            if first == _INTS_TAG and stop < end and content[stop] == _INTS_TAG:
                stop = _end_of_run(content, stop, end)
            yield first >> 3, RUN, at, stop
            at = stop
            continue
        tag, at = varint(content, at, end)
        if tag >> 32:
            # Other parsers would drop the high bits, and see another field.
            raise ScoringError(NO_MODEL)
        start, at = _value(content, at, end, tag & 7)
        yield tag >> 3, tag & 7, start, at


def varint(content: bytes, at: int, end: int) -> tuple[int, int]:
    """The number (unsigned) that starts at `at`, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), at
    raise ScoringError(NO_MODEL)


def whole(content: bytes, kind: int, start: int, stop: int) -> Any:
    """The whole numbers (n,) of a field: a single one, a packed list, or a run."""
    raw = np.frombuffer(content, np.uint8, stop - start, start)
    ends = np.flatnonzero(raw < 0x80)
    if len(raw) and (not len(ends) or ends[-1] != len(raw) - 1):
        raise ScoringError(NO_MODEL)
    starts = np.append(0, ends[:-1] + 1)[: len(ends)]
    if kind == RUN:  # tag, number, tag, number, …
        starts, ends = starts[1::2], ends[1::2]
    more = ends - starts
    if len(more) and more.max() > 9:
        raise ScoringError(NO_MODEL)
    values = (raw[starts] & 0x7F).astype(np.uint64)
    longer, place = np.flatnonzero(more), 1
    while len(longer):
        values[longer] |= (raw[starts[longer] + place] & 0x7F).astype(np.uint64) << np.uint64(7 * place)
        longer, place = longer[more[longer] > place], place + 1
    return values.view(np.int64)


def _end_of_run(content: bytes, at: int, end: int) -> int:
    """Where a long run of whole numbers ends; it is at a tag."""
    raw = np.frombuffer(content, np.uint8, end - at, at)
    ends = np.flatnonzero(raw < 0x80)
    ends = ends[: len(ends) & ~1]
    # Where a tag must be: behind every second number.
    tags = np.append(0, ends[1::2] + 1)
    is_tag = tags < len(raw)
    is_tag[is_tag] = raw[tags[is_tag]] == _INTS_TAG
    run = int(np.argmin(np.append(is_tag, False)))
    return at + int(tags[min(run, len(tags) - 1)])


def _value(content: bytes, at: int, end: int, kind: int) -> tuple[int, int]:
    """Where the field's value starts and ends."""
    if kind == VARINT:
        return at, varint(content, at, end)[1]
    if kind == BYTES:
        length, at = varint(content, at, end)
    elif kind in {FIXED64, FIXED32}:
        length = 8 if kind == FIXED64 else 4
    else:  # groups, which ONNX does not have
        raise ScoringError(NO_MODEL)
    if at + length > end:
        raise ScoringError(NO_MODEL)
    return at, at + length
