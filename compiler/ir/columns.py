"""Nodes that read columns, say what may be in them, and fill, encode or choose values; only these see text."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from ..values import FloatArray, frozen
from .base import Dtype, Node


@dataclass(frozen=True, eq=False)
class Input(Node):
    """Reads the program's input column number `index`."""

    index: int = 0
    dtype: Dtype = Dtype.NUMBER

    def __post_init__(self) -> None:
        self._require(not self.inputs, "takes no inputs")

    @property
    def width(self) -> int:
        return 1


@dataclass(frozen=True, eq=False)
class Constant(Node):
    """The same numbers for every row."""

    values: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", frozen(self.values, ndim=1))
        self._require(not self.inputs, "takes no inputs")

    @property
    def width(self) -> int:
        return len(self.values)


@dataclass(frozen=True, eq=False)
class Check(Node):
    """Passes its columns on; refuses the row unless each value lies in [low, high], or is missing and `missing` is set.

    `low` and `high` are finite, so infinities are refused always. scikit-learn refuses infinities nearly everywhere,
    and numbers that overflow float32 in trees: `high` is then `FLOAT32_LIMIT`.

    `own` says that the model itself goes on beyond the range, with an answer of no meaning: an angle of 1e30 has no
    digit of a cosine. The reference tells such rows apart (`overflows`); otherwise they are refused as any other.
    """

    low: float = -math.inf
    high: float = math.inf
    missing: bool = False
    own: bool = False

    def __post_init__(self) -> None:
        self._require(math.isfinite(self.low) and math.isfinite(self.high), "bounds are finite")
        self._require(self.low <= self.high, "low <= high")


@dataclass(frozen=True, eq=False)
class Impute(Node):
    """Replaces a missing number by the fill value of its column."""

    fill: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "fill", frozen(self.fill, ndim=1))
        self._require(len(self.fill) == len(self.inputs), "one fill value for each column")


@dataclass(frozen=True, eq=False)
class FillText(Node):
    """Replaces a missing text, or where there is a `marker` the text that is equal to it, by its column's fill text."""

    fill: tuple[str, ...] = ()
    marker: str | None = None
    takes: ClassVar[Dtype | None] = Dtype.TEXT
    gives: ClassVar[Dtype] = Dtype.TEXT

    def __post_init__(self) -> None:
        self._require(len(self.fill) == len(self.inputs), "one fill text for each column")


@dataclass(frozen=True, eq=False)
class IsMissing(Node):
    """1 where the value (number or text) is missing, else 0."""

    takes: ClassVar[Dtype | None] = None


@dataclass(frozen=True, eq=False)
class Select(Node):
    """A choice: of 3n inputs, output j is x_(n + j) where x_j is neither 0 nor missing, else x_(2n + j).

    Both are computed for every row. What would overflow on the side that is not chosen refuses the row all the same.
    """

    def __post_init__(self) -> None:
        self._require(len(self.inputs) % 3 == 0, "takes conditions and two blocks, all of one width")

    @property
    def width(self) -> int:
        return len(self.inputs) // 3


@dataclass(frozen=True, eq=False)
class Codes(Node):
    """The position of the value in `categories`; `missing` for a missing value, `unknown` for any other value.

    One input column, text or number, as the categories are. `missing` and `unknown` are codes too: NaN (the code
    itself is missing), the position of a category, or any other whole number, often -1 (belongs to no category).
    """

    categories: tuple[str, ...] | tuple[float, ...] = ()
    missing: float = math.nan
    unknown: float = -1.0
    takes: ClassVar[Dtype | None] = None

    def __post_init__(self) -> None:
        self._require(len(self.inputs) == 1, "takes one column")
        self._require(len(set(map(type, self.categories))) <= 1, "categories are all text or all numbers")
        self._require(len(set(self.categories)) == len(self.categories), "categories differ")
        self._require(all(c == c for c in self.categories), "missing is no category: use `missing`")

    @property
    def width(self) -> int:
        return 1

    @property
    def dtype(self) -> Dtype:
        """What the input column holds."""
        return Dtype.TEXT if self.categories and isinstance(self.categories[0], str) else Dtype.NUMBER


@dataclass(frozen=True, eq=False)
class OneHot(Node):
    """Of one column of codes: output j is 1 where the code is in `groups[j]`, else 0. A missing code is in no group."""

    groups: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        self._require(len(self.inputs) == 1, "takes one column of codes")

    @property
    def width(self) -> int:
        return len(self.groups)


@dataclass(frozen=True, eq=False)
class Lookup(Node):
    """Of one column of codes: row `code` of `table` (n_codes, width); `default` (width) for any other code or none."""

    table: FloatArray
    default: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", frozen(self.table, ndim=2))
        object.__setattr__(self, "default", frozen(self.default, ndim=1))
        self._require(len(self.inputs) == 1, "takes one column of codes")
        self._require(self.table.shape[1] == len(self.default), "table and default have one width")

    @property
    def width(self) -> int:
        return len(self.default)
