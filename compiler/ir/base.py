"""What every node is made of: columns, references to them, and the base of all kinds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, NamedTuple

import numpy as np

from ..values import Value

FINITE = float(np.finfo(np.float64).max)
FLOAT32_LIMIT = 3.4028235677973362e38
"""The largest double that rounds to a finite float32: one below max(float32) + half a unit in the last place."""


class Dtype(Enum):
    """What a column holds: a double with NaN for missing, or a string with None for missing."""

    NUMBER = "number"
    TEXT = "text"


class Ref(NamedTuple):
    """Column `column` of the output of node `node`."""

    node: int
    column: int


Block = tuple[Ref, ...]
"""Columns side by side; what a transformer takes and gives."""


@dataclass(frozen=True)
class Column:
    """An input column of the model, by the name the model was trained with.

    Who calls the model itself (the parity gate) needs to know more. With `none` the model learned None as the missing
    value, else NaN. With `objects` it was trained on a column of Python objects, which text always is and numbers may
    be: encoders compare objects otherwise than doubles. With `categories` it was a column of pandas' type of that name,
    with these, and if it is `closed` the model takes no other.
    """

    name: str
    dtype: Dtype
    none: bool = False
    objects: bool = False
    categories: tuple[str | int | float | bool, ...] | None = None
    closed: bool = False


@dataclass(frozen=True, eq=False)
class Node(Value):
    """Base of all nodes. `inputs` are the columns it reads; `width` is the number of columns it gives."""

    inputs: Block

    takes: ClassVar[Dtype | None] = Dtype.NUMBER
    """What `inputs` hold; None: either."""
    gives: ClassVar[Dtype] = Dtype.NUMBER
    arithmetic: ClassVar[bool] = False
    """Whether a row is refused where finite numbers give one that is not: the sum or product left the doubles."""

    @property
    def width(self) -> int:
        """One output column for each input column, unless the kind says otherwise."""
        return len(self.inputs)

    def _require(self, condition: bool, message: str) -> None:
        if not condition:
            raise ValueError(f"{type(self).__name__}: {message}")
