"""The model's own answers, in the terms of SQL: the only judge of what the database answers.

The oracle gives the model the frame that a user's own Python would give it: a DataFrame where the model was trained on
one, else an array. NULL and NaN are both missing. A row on which the model raises ValueError has no answer (None), and
neither has a number that is not finite: the database gives NULL for both.
"""

from __future__ import annotations

import importlib
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pgscore.errors import UsageError

from .artifact import Function, Parameter, SqlType
from .backends.numpy import refuses
from .frontends import to_program
from .frontends.compose import input_names
from .ir import Column, Dtype

Columns = Mapping[str, Sequence[object]]
Answers = dict[str, list[object | None]]
"""For each function's suffix, one answer a row: a number, a label, a list of numbers, or None."""

_METHOD = re.compile(r"(?:hstack\()?(\w+)\(X\)\)?(?:\[:, (\d+)\])?")
_HUGE = 1e37  # below it nothing leaves float32, nor the doubles with any weight that a model plausibly has


class Oracle:
    """A fitted model that answers for SQL-ish rows: columns of float, int, bool, str and None, by parameter name."""

    def __init__(self, estimator: Any, parameters: Sequence[Parameter], functions: Sequence[Function]) -> None:
        self._estimator = estimator
        self._types = {parameter.name: parameter.type for parameter in parameters}
        self._functions = tuple(functions)
        self._names = input_names(estimator)
        by_name = self._names != [f"x{index}" for index in range(len(self._names))]
        self._frame = _data_frame() if by_name else None
        unknown = [name for name in self._types if name not in self._names]
        if unknown:
            raise ValueError(f"the model has no column {unknown[0]!r}")
        self._program = to_program(estimator)
        columns = self._program.columns
        self._none = frozenset(column.name for column in columns if column.none)
        self._objects = frozenset(column.name for column in columns if column.objects)

    def answers(self, columns: Columns) -> Answers:
        """What the model answers for each row, by function suffix; None where it refuses the row."""
        n_rows = len(next(iter(columns.values()))) if columns else 0
        given: Answers = {f.suffix: [None] * n_rows for f in self._functions}
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            for rows in self._accepted(columns, n_rows):
                batch = self._batch(columns, rows)
                finite = self._stays_finite(columns, rows)
                raw: dict[str, Any] = {}
                for function in self._functions:
                    for row, answer, fine in zip(rows, self._call(function, batch, raw), finite, strict=True):
                        given[function.suffix][row] = answer if fine else None
        return given

    def _call(self, function: Function, batch: Any, raw: dict[str, Any]) -> list[object | None]:
        method, column = _parse(function.method)
        if method not in raw:
            raw[method] = _dense(getattr(self._estimator, method)(batch))
        values = raw[method]
        if column is not None:
            values = values[:, column]
        if values.ndim == 2 and values.shape[1] == 1 and not function.result.endswith("[]"):
            values = values[:, 0]
        return [_answer(value) for value in values.tolist()]

    def _stays_finite(self, columns: Columns, rows: Sequence[int]) -> list[bool]:
        """Whether the model's arithmetic stays within the doubles; asked only where a huge number is about.

        Where it does not, scikit-learn goes on with infinities and NaN, and may still give a label: of no meaning.
        """
        huge = [any(_is_huge(columns[name][row]) for name in self._types) for row in rows]
        if not any(huge):
            return [True] * len(rows)
        arrays = {
            column.name: np.array([_for_reference(columns[column.name][row], column) for row in rows], dtype=object)
            for column in self._program.columns
        }
        refused = refuses(self._program, arrays)
        return [not (h and r) for h, r in zip(huge, refused.tolist(), strict=True)]

    # Which rows the model takes. It raises for a whole batch where one row is bad, so bad rows have to be found.

    def _accepted(self, columns: Columns, n_rows: int) -> Iterator[list[int]]:
        """Batches of row numbers that the model takes whole.

        Rows with a missing, infinite or huge value come apart from the others: they are the ones that models refuse,
        and a gap changes the dtype of a frame's column. scikit-learn checks values one by one, so a missing value that
        spoils an accepted row spoils every row: one call settles all rows that have it in that column.
        """
        plain: list[int] = []
        huge: list[int] = []
        gaps: dict[int, frozenset[tuple[str, str]]] = {}
        for row in range(n_rows):
            values = {name: columns[name][row] for name in self._types}
            gaps_here = frozenset((name, gap) for name, value in values.items() if (gap := _gap(value)))
            if gaps_here:
                gaps[row] = gaps_here
            else:
                (huge if any(map(_is_huge, values.values())) else plain).append(row)
        good = None
        for rows in self._bisect(columns, plain):
            good = rows[0]
            yield rows
        yield from self._bisect(columns, huge)
        with_gaps = list(gaps)
        if good is not None and gaps and not self._takes(columns, with_gaps):
            spoilers = self._spoilers(columns, good, frozenset().union(*gaps.values()))
            with_gaps = [row for row in with_gaps if not gaps[row] & spoilers]
        yield from self._bisect(columns, with_gaps)

    def _spoilers(self, columns: Columns, good: int, gaps: frozenset[tuple[str, str]]) -> frozenset[tuple[str, str]]:
        """The gaps with which the model refuses a row that it took before. Mostly it takes a kind of gap or not."""
        spoilers: set[tuple[str, str]] = set()
        for kind in ("nan", "inf", "-inf"):
            names = sorted(name for name, gap in gaps if gap == kind)
            patched = {n: [columns[n][good]] * len(names) for n in self._types}
            for row, name in enumerate(names):
                patched[name][row] = None if kind == "nan" else float(kind)
            if names and not self._takes(patched, range(len(names))):
                spoilers.update((name, kind) for row, name in enumerate(names) if not self._takes(patched, [row]))
        return frozenset(spoilers)

    def _bisect(self, columns: Columns, rows: list[int]) -> Iterator[list[int]]:
        stack = [rows] if rows else []
        while stack:
            part = stack.pop()
            if self._takes(columns, part):
                yield part
            elif len(part) > 1:
                middle = len(part) // 2
                stack += [part[middle:], part[:middle]]

    def _takes(self, columns: Columns, rows: Sequence[int]) -> bool:
        method, _ = _parse(self._functions[0].method)
        try:
            getattr(self._estimator, method)(self._batch(columns, rows))
        except ValueError:
            return False
        return True

    # The frame.

    def _batch(self, columns: Columns, rows: Sequence[int]) -> Any:
        """The rows as the model wants them. Columns that the signature left out are missing: nothing reads them."""
        arrays = [self._array(name, [columns[name][row] for row in rows] if name in self._types else [None] * len(rows))
                  for name in self._names]  # fmt: skip
        if self._frame is not None:
            return self._frame(dict(zip(self._names, arrays, strict=True)))
        if any(array.dtype == object for array in arrays):
            arrays = [array.astype(object) for array in arrays]
        return np.column_stack(arrays)

    def _array(self, name: str, values: list[object]) -> npt.NDArray[Any]:
        missing = any(value is None for value in values)
        if name in self._objects:
            gap = None if name in self._none else math.nan
            array = np.empty(len(values), dtype=object)
            array[:] = [gap if value is None else value for value in values]
            return array
        if not missing and self._types.get(name) in (SqlType.INTEGER, SqlType.BIGINT):
            return np.array(values, dtype=np.int64)
        return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def _parse(method: str) -> tuple[str, int | None]:
    match = _METHOD.fullmatch(method)
    if match is None:
        raise ValueError(f"{method!r} is no method of a model")
    return match[1], int(match[2]) if match[2] else None


def _data_frame() -> Callable[[dict[str, npt.NDArray[Any]]], Any]:
    try:
        pandas = importlib.import_module("pandas")
    except ImportError as error:
        raise UsageError(
            "the model was trained on a data frame, and asking it needs pandas: pip install pandas"
        ) from error

    def frame(arrays: dict[str, npt.NDArray[Any]]) -> Any:
        # With the dtype given: pandas 3 would make its own text type of objects, in which None becomes NaN.
        return pandas.DataFrame({name: pandas.Series(array, dtype=array.dtype) for name, array in arrays.items()})

    return frame


def _dense(values: Any) -> npt.NDArray[Any]:
    if isinstance(values, list):  # the probabilities of several targets
        return np.hstack(values)
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values)


def _gap(value: object) -> str:
    """What is missing or infinite about a value; "" for a plain one."""
    if value is None:
        return "nan"
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else ""


def _is_huge(value: object) -> bool:
    return isinstance(value, float) and abs(value) > _HUGE


def _for_reference(value: object, column: Column) -> object:
    """The value as backends/numpy.py takes it."""
    return math.nan if value is None and column.dtype is Dtype.NUMBER else value


def _answer(value: object) -> object | None:
    if isinstance(value, list):
        numbers = [None if number is None or not math.isfinite(number) else float(number) for number in value]
        return numbers if any(number is not None for number in numbers) else None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
