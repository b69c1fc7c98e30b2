"""UBJSON documents, as XGBoost writes its models.

XGBoost follows the lengths in a file beyond its end, up to the end of the process: here each of them is looked at. The
format: https://ubjson.org.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

_INTEGERS: dict[bytes, np.dtype[Any]] = {
    marker: np.dtype(kind) for marker, kind in ((b"i", "i1"), (b"U", "u1"), (b"I", ">i2"), (b"l", ">i4"), (b"L", ">i8"))
}
_NUMBERS = {**_INTEGERS, b"d": np.dtype(">f4"), b"D": np.dtype(">f8")}
_CONSTANTS = {b"Z": None, b"N": None, b"T": True, b"F": False}
_STRINGS = (b"S", b"H")
_ENDS = {b"{": b"}", b"[": b"]"}


@dataclass
class _Container:
    """An object or array that is open: the elements to come, if it says, their type, if it is one, and those so far.

    `name` is what the next one has in an object.
    """

    kind: bytes
    count: int | None
    element: bytes
    value: Any
    name: str = ""

    def put(self, value: Any) -> None:
        if self.kind == b"{":
            self.value[self.name] = value
        else:
            self.value.append(value)


class _Reader:
    """A document that is read from `at` on. Each read beyond its end raises ValueError."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.at = 0

    def take(self, size: int) -> bytes:
        if not 0 <= size <= len(self._content) - self.at:
            raise ValueError("it is cut off")
        self.at += size
        return self._content[self.at - size : self.at]

    def next_is(self, marker: bytes) -> bool:
        """Takes the marker if it comes next."""
        found = self._content[self.at : self.at + 1] == marker
        self.at += found
        return found

    def number(self, marker: bytes) -> Any:
        kind = _NUMBERS[marker]
        return np.frombuffer(self.take(kind.itemsize), kind)[0].item()

    def length(self) -> int:
        marker = self.take(1)
        if marker not in _INTEGERS:
            raise ValueError("a length in it is no whole number")
        return int(self.number(marker))

    def text(self) -> str:
        return self.take(self.length()).decode(errors="surrogateescape")


def read(content: bytes) -> Any:
    """The document; arrays of numbers of one type are numpy's.

    Raises ValueError unless it is whole: every length and marker leads to a place within it, and no name comes twice.
    """
    reader = _Reader(content)
    stack: list[_Container] = []
    element, document = b"", None
    while True:
        value = _value(reader, element or reader.take(1))
        opened = value if isinstance(value, _Container) else None
        value = value if opened is None else opened.value
        if stack:
            stack[-1].put(value)
        else:
            document = value
        if opened is not None:
            stack.append(opened)
        while stack and _ends(reader, stack[-1]):
            stack.pop()
        if not stack:
            break
        if stack[-1].kind == b"{":
            _name(reader, stack[-1])
        element = stack[-1].element
    if reader.at != len(content):
        raise ValueError("something stands behind it")
    return document


def _value(reader: _Reader, marker: bytes) -> Any:
    """Takes a value, or what opens a container."""
    if marker in _NUMBERS:
        return reader.number(marker)
    if marker in _CONSTANTS:
        return _CONSTANTS[marker]
    if marker == b"C":
        return reader.take(1).decode("latin-1")
    if marker in _STRINGS:
        return reader.text()
    if marker not in _ENDS:
        raise ValueError("it holds what is no UBJSON")
    element = reader.take(1) if reader.next_is(b"$") else b""
    count = reader.length() if reader.next_is(b"#") else None
    if element and count is None:
        raise ValueError("it has a type of elements, and not how many")
    if element in _NUMBERS and marker == b"[" and count is not None:
        return np.frombuffer(reader.take(count * _NUMBERS[element].itemsize), _NUMBERS[element])
    if element in _CONSTANTS:
        raise ValueError("it holds an array without elements, of any length")
    return _Container(marker, count, element, {} if marker == b"{" else [])


def _name(reader: _Reader, container: _Container) -> None:
    """Takes the name of the value to come."""
    container.name = reader.text()
    if container.name in container.value:
        raise ValueError("a name in it comes twice")


def _ends(reader: _Reader, container: _Container) -> bool:
    """Whether nothing more is in the container; else counts the element to come."""
    if container.count is None:
        return reader.next_is(_ENDS[container.kind])
    container.count -= 1
    return container.count < 0
