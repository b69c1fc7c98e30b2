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
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import LabelBinarizer

from pgscore.errors import UsageError

from .artifact import Function, Parameter, SqlType, Strategy
from .backends.numpy import overflows, refuses
from .build import simplified
from .facts import with_overflow_checks
from .frontends import to_program
from .frontends.compose import input_names
from .ir import Column, Dtype, Label, Method
from .onnx_model import OnnxModel
from .rewrites import prune
from .specialise import specialise
from .where import Where

Columns = Mapping[str, Sequence[object]]
Answers = dict[str, list[object | None]]
"""For each function's suffix, one answer a row: a number, a label, a list of numbers, or None."""

_METHOD = re.compile(r"(?:hstack\()?(\w+)\(X\)\)?(?:\[:, (\d+)\])?")
_HUGE = 1e37  # below it nothing leaves float32, nor the doubles with any weight that a model plausibly has


@dataclass(frozen=True)
class _Taken:
    """Rows that the model takes whole: their numbers, as the model gets them, and what its methods gave so far."""

    rows: Sequence[int]
    batch: Any
    answers: dict[str, list[Any]]


class Oracle:
    """A fitted model that answers for SQL-ish rows: columns of float, int, bool, str and None, by parameter name.

    With `strategy` a row has no answer either where a number beyond 1e37 makes that strategy refuse it for overflow:
    SQL refuses a little before the arithmetic leaves the doubles. With `where` the strategy runs the program of that
    condition; rows that do not satisfy it have the model's answers all the same.
    """

    def __init__(
        self,
        estimator: Any,
        parameters: Sequence[Parameter],
        functions: Sequence[Function],
        strategy: Strategy | None = None,
        where: Where | None = None,
    ) -> None:
        self._estimator = estimator
        self._types = {parameter.name: parameter.type for parameter in parameters}
        self._functions = tuple(functions)
        self._names = input_names(estimator)
        numbered = [f"x{index}" for index in range(len(self._names))]
        by_position = isinstance(estimator, OnnxModel) or self._names == numbered
        self._pandas = None if by_position else _pandas()
        unknown = [name for name in self._types if name not in self._names]
        if unknown:
            raise ValueError(f"the model has no column {unknown[0]!r}")
        self._program = self._computed = to_program(estimator)
        self._in_sql = None
        known = [Parameter(column.name, self._types[column.name]) for column in self._program.columns]
        if where is not None:
            self._computed = specialise(self._program, where.domains(known))
        if strategy in (Strategy.SQL, Strategy.PLPGSQL):
            methods = {_parse(function.method)[0] for function in functions}
            asked = [output for output in self._computed.outputs if output.method.value in methods]
            self._in_sql = with_overflow_checks(simplified(prune(self._computed, asked), known), known)
        columns = self._program.columns
        self._none = frozenset(column.name for column in columns if column.none)
        self._objects = frozenset(column.name for column in columns if column.objects)
        self._categories = {column.name: column for column in columns if column.categories is not None}
        special = self._objects | self._categories.keys()
        self._doubles = all(self._types.get(n) is SqlType.DOUBLE and n not in special for n in self._names)
        self._unread: npt.DTypeLike = np.float64
        self._unread = self._dtype_of_unread()
        self._spoils: dict[tuple[str, str], bool] = {}

    def answers(self, columns: Columns) -> Answers:
        """What the model answers for each row, by function suffix; None where it refuses the row."""
        n_rows = len(next(iter(columns.values()))) if columns else 0
        given: Answers = {f.suffix: [None] * n_rows for f in self._functions}
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            arrays = self._arrays(columns)
            huge = self._huge(columns)
            overflown = self._overflown(arrays, huge)
            without = set.intersection(*overflown.values())
            for taken in self._accepted(columns, arrays, n_rows, huge, without):
                for function in self._functions:
                    overflows_it = overflown[function.suffix]
                    for row, answer in zip(taken.rows, self._call(function, taken), strict=True):
                        given[function.suffix][row] = None if row in overflows_it else answer
        return given

    def _call(self, function: Function, taken: _Taken) -> list[object | None]:
        method, column = _parse(function.method)
        if method not in taken.answers:
            taken.answers[method] = self._ask_about_all(method, taken.batch)
        scalar = not function.result.endswith("[]")
        return [None if row is None else _answer(_picked(row, column, scalar)) for row in taken.answers[method]]

    def _ask(self, method: str, batch: Any) -> list[Any]:
        """What the method answers, row by row. Raises what the model raises."""
        ask = method_of(self._estimator, method)
        if isinstance(self._estimator, LabelBinarizer):  # its columns depend on the other labels of a call
            return [_dense(ask(row)).tolist()[0] for row in _rows(batch)]
        values = _dense(ask(batch))
        if values.ndim == 1 and len(values) != len(batch) == 1:  # SparsePCA, of one row
            values = values[np.newaxis]
        answers: list[Any] = values.tolist()
        return answers

    def _ask_about_all(self, method: str, batch: Any) -> list[Any]:
        """As `_ask`, with None for the rows that this method refuses although the first one takes them."""
        try:
            return self._ask(method, batch)
        except (ValueError, IndexError):
            if len(batch) == 1:
                return [None]
            return [answer for row in _rows(batch) for answer in self._ask_about_all(method, row)]

    # Which rows the model takes. It raises for a whole batch where one row is bad, so bad rows have to be found.

    def _accepted(
        self, columns: Columns, arrays: Mapping[str, npt.NDArray[Any]], n_rows: int, huge: set[int], without: set[int]
    ) -> Iterator[_Taken]:
        """Batches of rows that the model takes whole; none of those `without` an answer is asked about.

        Rows with a missing, infinite or huge value come apart from the others: they are the ones that models refuse,
        and a gap changes the dtype of a frame's column. scikit-learn checks values one by one, so a missing value that
        spoils an accepted row spoils every row, here and later: one call settles all rows that have it in that column.
        """
        refused: Sequence[bool] = refuses(self._program, arrays).tolist() if arrays else [False] * n_rows
        gaps: dict[int, set[tuple[str, str]]] = {}
        for name in self._types:
            for row, value in enumerate(columns[name]):
                if gap := _gap(value):
                    gaps.setdefault(row, set()).add((name, gap))
        asked = [row for row in range(n_rows) if row not in without]
        good = None
        for taken in self._bisect(columns, [row for row in asked if row not in gaps and row not in huge], refused):
            good = taken.rows[0]
            yield taken
        yield from self._bisect(columns, [row for row in asked if row not in gaps and row in huge], refused, each=True)
        spoilers = {gap for gap, spoils in self._spoils.items() if spoils}
        with_gaps = [row for row in asked if row in gaps and not gaps[row] & spoilers]
        if good is not None and with_gaps:
            taken_whole = self._take(columns, with_gaps)
            if taken_whole is not None:
                yield taken_whole
                return
            spoilers = self._spoilers(columns, good, set().union(*(gaps[row] for row in with_gaps)))
            with_gaps = [row for row in with_gaps if not gaps[row] & spoilers]
        yield from self._bisect(columns, with_gaps, refused)

    def _huge(self, columns: Columns) -> set[int]:
        """The rows with a number beyond which arithmetic may leave the doubles."""
        return {row for name in self._types for row, value in enumerate(columns[name]) if _is_huge(value)}

    def _overflown(self, arrays: Mapping[str, npt.NDArray[Any]], huge: set[int]) -> dict[str, set[int]]:
        """For each function the rows whose arithmetic leaves the doubles, in which scikit-learn may go on.

        It does so with infinities and NaN, and may still give a label, of no meaning. A function of SQL computes what
        it needs, a graph all outputs.
        """
        rows = sorted(huge)
        some = {name: values[rows] for name, values in arrays.items()}
        found: dict[str, set[int]] = {function.suffix: set() for function in self._functions}
        for function in self._functions if rows else ():
            if self._in_sql is None:
                flags = overflows(self._computed, some)
            else:
                method, _ = _parse(function.method)
                flags = overflows(self._in_sql, some, self._in_sql.output(Method(method)))
            found[function.suffix] = {row for row, flag in zip(rows, flags.tolist(), strict=True) if flag}
        return found

    def _arrays(self, columns: Columns) -> dict[str, npt.NDArray[Any]]:
        """The rows as backends/numpy.py takes them."""
        return {
            column.name: np.array([_for_reference(value, column) for value in columns[column.name]], dtype=object)
            for column in self._program.columns
        }

    def _spoilers(self, columns: Columns, good: int, gaps: set[tuple[str, str]]) -> set[tuple[str, str]]:
        """The gaps with which the model refuses a row that it took before. Mostly it takes a kind of gap or not."""
        for kind in ("nan", "inf", "-inf"):
            names = sorted(name for name, gap in gaps - self._spoils.keys() if gap == kind)
            patched = {n: [columns[n][good]] * len(names) for n in self._types}
            for row, name in enumerate(names):
                patched[name][row] = None if kind == "nan" else float(kind)
            together = self._take(patched, range(len(names))) if names else None
            for row, name in enumerate(names):
                self._spoils[name, kind] = together is None and self._take(patched, [row]) is None
        return {gap for gap in gaps if self._spoils[gap]}

    def _bisect(
        self, columns: Columns, rows: list[int], refused: Sequence[bool], *, each: bool = False
    ) -> Iterator[_Taken]:
        """Batches that the model takes. It judges every row; the program only says which to ask about alone.

        Halving costs a dozen calls for each bad row among good ones. With `each` the bad rows come too, alone: where a
        number is huge one method may raise an error while another answers.
        """
        stack: list[list[int]] = [[row] for row in rows if refused[row]]
        stack.append([row for row in rows if not refused[row]])
        while stack:
            part = stack.pop()
            taken = self._take(columns, part) if part else None
            if taken is not None:
                yield taken
            elif len(part) > 1:
                middle = len(part) // 2
                stack += [part[middle:], part[:middle]]
            elif part and each:
                yield from self._refused_by_first(columns, part)

    def _refused_by_first(self, columns: Columns, rows: Sequence[int]) -> Iterator[_Taken]:
        """Rows that the first function's method refuses, for the methods of the others to be asked."""
        try:
            batch = self._batch(columns, rows)
        except ValueError:
            return
        method, _ = _parse(self._functions[0].method)
        yield _Taken(rows, batch, {method: [None] * len(rows)})

    def _take(self, columns: Columns, rows: Sequence[int]) -> _Taken | None:
        """What the model says to the rows by the first function's method; None where it raises."""
        method, _ = _parse(self._functions[0].method)
        try:
            batch = self._batch(columns, rows)
            return _Taken(rows, batch, {method: self._ask(method, batch)})
        except (ValueError, IndexError):  # IndexError: CategoricalNB on a category that it does not know
            return None

    # The frame.

    def _dtype_of_unread(self) -> npt.DTypeLike:
        """What to give for columns that the signature left out: an encoder of texts takes no doubles, even unread."""
        try:
            if self._pandas is not None and set(self._names) - set(self._types):
                self._take({name: [None] for name in self._types}, [0])
        except TypeError:
            return object
        return np.float64

    def _batch(self, columns: Columns, rows: Sequence[int]) -> Any:
        """The rows as the model wants them. Columns that the signature left out are missing: nothing reads them."""
        if self._doubles:  # at once: a row of 200 columns takes 0.05 ms instead of 1
            values = np.array([[columns[name][row] for row in rows] for name in self._names], dtype=np.float64)
            return values.T.copy() if self._pandas is None else self._pandas.DataFrame(values.T, columns=self._names)
        arrays = [self._array(name, [columns[name][row] for row in rows] if name in self._types else [None] * len(rows))
                  for name in self._names]  # fmt: skip
        if self._pandas is not None:
            # With the dtype given: pandas 3 would make its own text type of objects, in which None becomes NaN.
            series = [self._pandas.Series(a, dtype=a.dtype) if a.dtype == object else a for a in arrays]
            return self._pandas.DataFrame(dict(zip(self._names, series, strict=True)))
        if any(array.dtype == object for array in arrays):
            arrays = [array.astype(object) for array in arrays]
        return np.column_stack(arrays)

    def _array(self, name: str, values: list[object]) -> Any:
        missing = any(value is None for value in values)
        if name in self._categories:
            return _categorical(values, self._categories[name])
        if name in self._objects:
            gap = None if name in self._none else math.nan
            array = np.empty(len(values), dtype=object)
            array[:] = [gap if value is None else value for value in values]
            return array
        if name not in self._types:
            return np.full(len(values), math.nan, dtype=self._unread)
        if not missing and self._types.get(name) in (SqlType.INTEGER, SqlType.BIGINT):
            return np.array(values, dtype=np.int64)
        return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def method_of(estimator: Any, name: str) -> Callable[[Any], Any]:
    """A method of the model by name; `distance`, which only a graph has, is else made of the `cluster_centers_`.

    It is `transform(X).min(axis=1)` to the last digit: `transform` has none left next to a centre.
    """
    if name != Method.DISTANCE.value or hasattr(estimator, name):
        method: Callable[[Any], Any] = getattr(estimator, name)
        return method
    return partial(_distance, estimator)


def _distance(estimator: Any, batch: Any) -> npt.NDArray[np.float64]:
    while not hasattr(estimator, "cluster_centers_"):
        if isinstance(estimator, Pipeline):
            batch = estimator[:-1].transform(batch) if len(estimator.steps) > 1 else batch
            estimator = estimator.steps[-1][1]
        else:
            estimator = getattr(estimator, "best_estimator_", None) or estimator.estimator
    estimator.predict(batch)  # refuses what it refuses
    rows = np.asarray(_dense(batch), dtype=np.float64)
    distances = [np.sqrt(np.square(rows - center).sum(axis=1)) for center in estimator.cluster_centers_]
    return np.min(distances, axis=0)  # type: ignore[no-any-return]


def _parse(method: str) -> tuple[str, int | None]:
    match = _METHOD.fullmatch(method)
    if match is None:
        raise ValueError(f"{method!r} is no method of a model")
    return match[1], int(match[2]) if match[2] else None


def _pandas() -> Any:
    try:
        return importlib.import_module("pandas")
    except ImportError as error:
        raise UsageError(
            "the model was trained on a data frame, and asking it needs pandas: pip install pandas"
        ) from error


def _categorical(values: Sequence[object], column: Column) -> Any:
    """The values as a column of pandas' categories: those of the model, and the unknown ones behind them.

    An unknown number is made one of their type, as a column of whole numbers holds no other. Raises ValueError for an
    unknown category where the model takes none: XGBoost 3.2 means to do so, but may take another (dmlc/xgboost#12189).
    """
    pandas = importlib.import_module("pandas")
    categories = column.categories or ()
    known: dict[object, Label] = {category: category for category in categories}
    present = [value for value in values if value is not None and value == value]
    if column.closed and not known.keys() >= set(present):
        raise ValueError(f"a category of {column.name!r} is unknown")
    other: dict[object, object] = {value: value for value in present}
    if column.dtype is Dtype.NUMBER:
        stand_in = type(next(iter(categories), 0.0))(max(map(float, categories), default=0.0) + 1)
        other = dict.fromkeys(present, stand_in)
    found = {**other, **known}
    taken = [found.get(value) for value in values]
    behind = [value for value in taken if value is not None]
    return pandas.Categorical(taken, categories=list(dict.fromkeys([*categories, *behind])))


def _dense(values: Any) -> npt.NDArray[Any]:
    if isinstance(values, list):  # the probabilities of several targets
        return np.hstack(values)
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values)


def _rows(batch: Any) -> Iterator[Any]:
    """Each row as a batch of its own."""
    taken = batch.iloc if hasattr(batch, "iloc") else batch
    return (taken[[row]] for row in range(len(batch)))


def _picked(row: Any, column: int | None, scalar: bool) -> Any:
    if column is not None:
        return row[column]
    return row[0] if scalar and isinstance(row, list) and len(row) == 1 else row


def _gap(value: object) -> str:
    """What is missing or infinite about a value; "" for a plain one."""
    if value is None:
        return "nan"
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else ""


def _is_huge(value: object) -> bool:
    return isinstance(value, float) and abs(value) > _HUGE


def _for_reference(value: object, column: Column) -> object:
    """The value, with NaN for a missing number."""
    return math.nan if value is None and column.dtype is Dtype.NUMBER else value


def _answer(value: object) -> object | None:
    if isinstance(value, list):
        answers = [_answer(one) for one in value]
        return answers if any(answer is not None for answer in answers) else None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
