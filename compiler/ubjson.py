"""Whether a UBJSON document, as XGBoost writes its models, is whole.

XGBoost follows the lengths in a file beyond its end, up to the end of the process. The format: https://ubjson.org.
"""

from __future__ import annotations

from dataclasses import dataclass

_INTEGERS = {b"i": 1, b"U": 1, b"I": 2, b"l": 4, b"L": 8}
_FIXED = {**_INTEGERS, b"Z": 0, b"N": 0, b"T": 0, b"F": 0, b"d": 4, b"D": 8, b"C": 1}
_STRINGS = (b"S", b"H")
_ENDS = {b"{": b"}", b"[": b"]"}


@dataclass
class _Container:
    """An object or array that is open: the elements to come, if it says, and their type, if it is one."""

    kind: bytes
    count: int | None
    element: bytes


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

    def length(self) -> int:
        marker = self.take(1)
        if marker not in _INTEGERS:
            raise ValueError("a length in it is no whole number")
        return int.from_bytes(self.take(_INTEGERS[marker]), "big", signed=marker != b"U")


def check(content: bytes) -> None:
    """Raises ValueError unless the document is whole: every length and marker leads to a place within it."""
    reader = _Reader(content)
    stack: list[_Container] = []
    element = b""
    while True:
        opened = _value(reader, element or reader.take(1))
        if opened is not None:
            stack.append(opened)
        while stack and _ends(reader, stack[-1]):
            stack.pop()
        if not stack:
            break
        if stack[-1].kind == b"{":
            reader.take(reader.length())
        element = stack[-1].element
    if reader.at != len(content):
        raise ValueError("something stands behind it")


def _value(reader: _Reader, marker: bytes) -> _Container | None:
    """Takes a value; gives the container that it opens, if it does."""
    if marker in _FIXED:
        reader.take(_FIXED[marker])
    elif marker in _STRINGS:
        reader.take(reader.length())
    elif marker in _ENDS:
        element = reader.take(1) if reader.next_is(b"$") else b""
        count = reader.length() if reader.next_is(b"#") else None
        if element and count is None:
            raise ValueError("it has a type of elements, and not how many")
        if element in _FIXED and marker == b"[" and count is not None:
            reader.take(count * _FIXED[element])
            return None
        return _Container(marker, count, element)
    else:
        raise ValueError("it holds what is no UBJSON")
    return None


def _ends(reader: _Reader, container: _Container) -> bool:
    """Whether nothing more is in the container; else counts the element to come."""
    if container.count is None:
        return reader.next_is(_ENDS[container.kind])
    container.count -= 1
    return container.count < 0
