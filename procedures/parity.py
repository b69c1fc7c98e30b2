"""The parity report: how the database's answers compare with the model's own. It never holds a value of a row."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain, zip_longest
from types import NoneType
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from pgscore.compiler.ir import TOLERANCE

_FLOOR = 1e-3  # of the median answer: below it a number counts as nothing beside the others
NOTHING = 1e-299  # below it a number counts as 0: SQL's exp ends at 1e-308, where numpy's goes on to 0
_NAMES = 5


@dataclass(frozen=True)
class FunctionParity:
    """One function of the version against one method of the model.

    `mismatches` are rows with another label, a number beyond tolerance, or NULL on one side only. `max_difference` is
    relative; 0 means bit-equal. `error` names what the function raised, `columns` what varied in rows that went wrong.
    """

    method: str
    rows: int
    mismatches: int
    max_difference: float
    error: str | None = None
    columns: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether rows were compared and all of them agree."""
        return self.rows > 0 and self.mismatches == 0 and self.error is None


@dataclass(frozen=True)
class ParityReport:
    """The parity gate's verdict. `refused_rows` got no answer from the model, and NULL from the database."""

    rows: int
    real_rows: int
    adversarial_rows: int
    refused_rows: int
    functions: Mapping[str, FunctionParity]
    notes: tuple[str, ...] = field(default=())
    tolerance: float = TOLERANCE

    @property
    def passed(self) -> bool:
        """Whether every function agrees with the model in every row, over at least one row."""
        return self.rows > 0 and bool(self.functions) and all(f.passed for f in self.functions.values())

    @property
    def max_difference(self) -> float:
        """The largest relative difference of any function."""
        return max((f.max_difference for f in self.functions.values()), default=0.0)

    def summary(self) -> str:
        """The report in one line."""
        kinds = f"{self.real_rows:,} real, {self.adversarial_rows:,} adversarial, {self.refused_rows:,} refused"
        counts = f"{self.rows:,} rows ({kinds})"
        tail = "".join(f"; {note}" for note in self.notes)
        if self.passed:
            same = "bit-equal" if self.max_difference == 0 else f"largest difference {self.max_difference:.1e}"
            return f"parity holds: {counts}, {len(self.functions)} functions, {same}{tail}"
        if not self.rows:
            return f"parity fails: no row was compared{tail}"
        wrong = "; ".join(_complaint(suffix, f) for suffix, f in self.functions.items() if not f.passed)
        return f"parity fails: {counts}: {wrong}{tail}"

    def to_json(self) -> str:
        """The report as JSON text; `from_json` reads it back."""
        return json.dumps({**asdict(self), "passed": self.passed})

    @classmethod
    def from_json(cls, text: str | Mapping[str, object]) -> ParityReport:
        """The report from `to_json`'s text, or from that text parsed."""
        content = dict(json.loads(text) if isinstance(text, str) else text)
        content.pop("passed")
        functions = {
            suffix: FunctionParity(**{**given, "columns": tuple(given["columns"])})
            for suffix, given in content.pop("functions").items()
        }
        return cls(**{**content, "functions": functions, "notes": tuple(content["notes"])})


def _complaint(suffix: str, function: FunctionParity) -> str:
    name = f"function {suffix!r} ({function.method})" if suffix else f"main function ({function.method})"
    if function.error:
        return f"{name} {function.error}"
    where = f" where {', '.join(function.columns)} varied" if function.columns else ""
    return f"{name} differs in {function.mismatches:,} of {function.rows:,} rows{where}"


def compare(  # noqa: PLR0913
    method: str,
    expected: Sequence[object],
    actual: Sequence[object],
    varied: Sequence[str],
    *,
    exact: bool,
    tolerance: float = TOLERANCE,
) -> FunctionParity:
    """The answers of the model against those of one function, row by row; `exact` for labels.

    NULL agrees with NULL alone, and an array of nothing but NULL is NULL. Numbers agree within `tolerance` of the
    larger one, or of a thousandth of the median answer, of an array's also of that in the same place: a sum that all
    but cancels has no digits left. Below 1e-299 they are 0.
    """
    differences = _differences(expected, actual, [] if exact else floors(expected), exact)
    wrong = np.flatnonzero(~(differences <= tolerance)).tolist()
    largest = float(np.max(differences, initial=0.0, where=np.isfinite(differences)))
    columns = tuple(dict.fromkeys(varied[row] for row in wrong if varied[row]))[:_NAMES]
    return FunctionParity(method, len(expected), len(wrong), largest, columns=columns)


def floors(answers: Sequence[object]) -> list[float]:
    """For each place of the answers, the size of which a number counts as nothing beside the others."""
    lists = [answer if isinstance(answer, list) else [answer] for answer in answers]
    places = [list(map(abs, filter(_is_number, place))) for place in zip_longest(*lists)]
    every = [size for place in places for size in place]
    typical = statistics.median(every) if every else 0.0
    return [_FLOOR * max(typical, statistics.median(place) if place else 0.0) for place in places]


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _differences(
    expected: Sequence[object], actual: Sequence[object], floors: Sequence[float], exact: bool
) -> npt.NDArray[np.float64]:
    """The `_difference` of each row; where all are numbers, or arrays of one length, of all rows at once."""
    wanted, given = (None if exact else _table(answers, len(floors)) for answers in (expected, actual))
    if wanted is None or given is None:
        pairs = zip(expected, actual, strict=True)
        return np.array([_difference(one, other, floors, exact) for one, other in pairs], dtype=np.float64)
    (one, null), (other, other_null) = wanted, given
    with np.errstate(all="ignore"):
        scale = np.maximum(np.maximum(np.abs(one), np.abs(other)), floors)
        found = np.where(scale > NOTHING, np.abs(one - other) / scale, 0.0)
    found[~(np.isfinite(one) & np.isfinite(other))] = math.inf
    found[(one == other) | (null & other_null)] = 0.0
    rows: npt.NDArray[np.float64] = found.max(axis=1)
    return rows


def _table(answers: Sequence[object], width: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]] | None:
    """The answers as (rows, width), NaN for NULL, and which are NULL; None if not all are numbers, so many in each."""
    flat: Sequence[Any] = answers
    if width != 1 or list in set(map(type, answers)):
        rows = [[None] * width if a is None else a if isinstance(a, list) else [a] for a in answers]
        if set(map(len, rows)) != {width}:
            return None
        flat = list(chain.from_iterable(rows))
    kinds = set(map(type, flat))
    if not flat or not kinds <= {float, NoneType}:
        return None
    null = np.array([value is None for value in flat]) if NoneType in kinds else np.zeros(len(flat), dtype=bool)
    return np.array(flat, dtype=np.float64).reshape(-1, width), null.reshape(-1, width)


def _difference(one: object, other: object, floors: Sequence[float], exact: bool) -> float:
    """Relative difference; infinite where no tolerance helps."""
    one, other = _null(one), _null(other)
    if isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            return math.inf
        pairs = zip_longest(one, other, floors[: len(one)], fillvalue=0.0)
        return max((_difference(a, b, [floor], exact) for a, b, floor in pairs), default=0.0)
    if one == other and type(one) is type(other):
        return 0.0
    if exact or not isinstance(one, (int, float)) or not isinstance(other, (int, float)):
        return math.inf
    if not math.isfinite(other):
        return math.inf
    scale = max(abs(one), abs(other), *floors[:1])
    return abs(one - other) / scale if scale > NOTHING else 0.0


def _null(answer: object) -> object:
    return None if isinstance(answer, list) and all(value is None for value in answer) else answer
