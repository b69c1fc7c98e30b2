"""The tensors of a graph while it is being brought into nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from ... import ir
from ..builder import Builder


class NotImportedError(Exception):
    """Why a graph has no form in nodes: which operator, and what of it. It then stays a graph."""


@dataclass(frozen=True)
class Numbers:
    """Columns of numbers, row by row; `shape` is the tensor's without its rows: (), (k,) or (1, k).

    The numbers are those of `refs` exactly where `exact`: for FLOAT, after rounding them to float32. Where not, they
    come from sums whose order is free, or from arithmetic in float32.
    """

    refs: ir.Block
    shape: tuple[int, ...]
    element: ir.Element
    exact: bool = True


@dataclass(frozen=True)
class Texts:
    """Input columns of text."""

    refs: ir.Block
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Labels:
    """A label of each row, as the index into `labels`."""

    index: ir.Ref
    shape: tuple[int, ...]
    labels: tuple[ir.Label, ...]


_LARGEST_WHOLE = 2.0**53

Constant = npt.NDArray[Any]
Value = Numbers | Texts | Labels | Constant


@dataclass
class Graph:
    """What is known of a graph: its tensors so far, the columns that may be missing, and whether it rounds to float32.

    `own` says that pgscore exported it: its operators then stand in the patterns of backends/onnx.py.
    """

    builder: Builder
    own: bool = False
    values: dict[str, Value] = field(default_factory=dict)
    missing: set[ir.Ref] = field(default_factory=set)
    rounds: bool = False

    def __getitem__(self, name: str) -> Value:
        return self.values[name]

    def numbers(self, name: str) -> Numbers:
        """The tensor, which must be of numbers."""
        value = self.values.get(name)
        if not isinstance(value, Numbers):
            self.leave("it reads what is no column of numbers")
        return value

    def constant(self, name: str) -> Constant:
        """The tensor, which must be a constant."""
        value = self.values.get(name)
        if not isinstance(value, np.ndarray):
            self.leave("one of its inputs is computed")
        return value

    def present(self, refs: ir.Block) -> ir.Block:
        """The columns, none of which may be missing."""
        if not self.missing.isdisjoint(refs):
            self.leave("it reads a column that may be missing")
        return refs

    def rounded(self, x: Numbers) -> ir.Block:
        """The columns as float32 where they stand for that, so that comparing and dividing see what the graph sees."""
        if x.element is not ir.Element.FLOAT or not x.exact:
            return x.refs
        return self.add(ir.Elementwise(x.refs, ir.Op.FLOAT32))

    def within(self, x: Numbers) -> ir.Block:
        """The columns, none missing; a row is refused where float32 overflows, since the graph then gives NaN."""
        refs = self.present(x.refs)
        return self.builder.finite(refs, limit=ir.FLOAT32_LIMIT) if x.element is ir.Element.FLOAT else refs

    def add(self, node: ir.Node) -> ir.Block:
        """The columns of a node; what it makes of a missing value is missing."""
        made = self.builder.add(node)
        if len(made) == len(node.inputs):
            self.missing.update(new for new, old in zip(made, node.inputs, strict=True) if old in self.missing)
        return made

    def made(self, node: ir.Node, like: Numbers, *, exact: bool, shape: tuple[int, ...] | None = None) -> Numbers:
        """The numbers that arithmetic makes, of the element of `like`. In float32 they are never exact."""
        single = like.element is ir.Element.FLOAT
        self.rounds |= single
        refs = self.add(node)
        if like.element is ir.Element.INT64:  # beyond, doubles have gaps, and int64 wraps around
            refs = self.builder.finite(refs, limit=_LARGEST_WHOLE)
        return Numbers(refs, like.shape if shape is None else shape, like.element, exact and not single)

    def leave(self, reason: str) -> NoReturn:
        """Raises NotImportedError."""
        raise NotImportedError(reason)


Attributes = Mapping[str, Any]


def decoded(values: Sequence[Any]) -> tuple[Any, ...]:
    """Texts of attributes, which ONNX keeps as bytes."""
    return tuple(value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in values)


def count(shape: tuple[int, ...]) -> int:
    """How many numbers a row of that shape has."""
    return int(np.prod(shape)) if shape else 1
