"""A part of a model that stays an ONNX graph: only ONNX runs it, and SQL refuses it by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from .base import Node


class Element(Enum):
    """What a tensor holds, as numpy names it."""

    FLOAT = "float32"
    DOUBLE = "float64"
    INT64 = "int64"
    BOOL = "bool"


@dataclass(frozen=True)
class Feed:
    """The tensor that reads some of the node's inputs: (rows, len(columns)), or (rows) where it is `flat`."""

    tensor: str
    element: Element
    columns: tuple[int, ...]
    flat: bool = False


@dataclass(frozen=True)
class Fetch:
    """A tensor of (rows, width) or (rows) that gives `width` columns; with `labels` one of text, as an index into them.

    A text that is no label gives NaN.
    """

    tensor: str
    width: int
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Subgraph(Node):
    """An ONNX model, serialised, that is read as a whole: its inputs are cast to `feeds`, its `fetches` to doubles.

    A whole number or a flag is fed by cast: what is neither must be refused before. Missing values and infinities are
    the graph's own affair, and what it gives may be either. `reason` says why it is no nodes.
    """

    content: bytes = field(default=b"", repr=False)
    feeds: tuple[Feed, ...] = ()
    fetches: tuple[Fetch, ...] = ()
    reason: str = ""

    def __post_init__(self) -> None:
        read = [column for feed in self.feeds for column in feed.columns]
        self._require(all(0 <= column < len(self.inputs) for column in read), "feeds read columns that exist")
        self._require(all(f.width == 1 for f in self.fetches if f.labels is not None), "labels are one column")
        self._require(all(len(f.columns) == 1 for f in self.feeds if f.flat), "a flat tensor is one column")

    @property
    def width(self) -> int:
        return sum(fetch.width for fetch in self.fetches)
