"""An ONNX graph as a fitted model: its methods run onnxruntime, and judge what the database answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils.metaestimators import available_if

from . import ir
from .backends.onnx_session import fed, fetched, run
from .onnx_file import OnnxFileError, read
from .onnx_signature import Answer, Signature, Tensor, read_inputs, read_outputs, signature
from .onnx_texts import texts_by_column

Values = npt.NDArray[Any]

_ROWS = 32
_NAMED = 6


def _has(method: ir.Method) -> Any:
    return available_if(lambda model: any(answer.method is method for answer in model.signature.answers))


class OnnxModel(BaseEstimator):  # type: ignore[misc]
    """The model in an ONNX file. Raises OnnxFileError for a graph that pgscore does not take.

    A row is refused (ValueError) where a column holds what its tensor does not: an infinity, a number beyond float32,
    one that is not whole, a missing value that the graph has no answer for, or a missing text; and where the scores of
    its classes are not finite. `takes_missing` says of each column whether it may be missing, and `by_row` whether the
    digits of a row depend on how many rows come with it, as sums in float32 do: both tried out on made-up rows.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        model = read(content)
        graph, found = read_outputs(model)
        columns, tensors = read_inputs(model)
        self.texts = texts_by_column(model, tensors)
        self.description = _description(model)
        rows = _made_up(tensors, len(columns), self.texts)
        outputs = [one.tensor for one in found]
        try:
            values = run(graph, outputs, _given(tensors, rows))
            single = run(graph, outputs, _given(tensors, rows[:1]))
        except Exception as error:
            raise OnnxFileError(f"onnxruntime cannot run it ({type(error).__name__})") from error
        widths = [_width(one.tensor, batch, alone) for one, batch, alone in zip(found, values, single, strict=True)]
        scores = [value for one, value in zip(found, values, strict=True) if not one.is_label]
        self.signature: Signature = signature(model, graph, found, widths, all(map(_probable, scores)))
        self.feature_names_in_ = np.array(columns, dtype=object)
        self.n_features_in_ = len(columns)
        together = self._fetch(rows)
        alone = np.vstack([self._fetch(rows[row : row + 1]) for row in range(len(rows))])
        if not _nearly_equal(together, alone):
            raise OnnxFileError(
                "its answer for a row depends on the other rows of a call; reduce over columns, not rows"
            )
        self.by_row = not np.array_equal(together, alone, equal_nan=True)
        self.takes_missing = tuple(self._takes_missing(column, rows) for column in range(len(columns)))
        labels = next((answer.labels for answer in self.signature.answers if answer.labels is not None), None)
        if labels is not None:
            self.classes_ = np.array(labels, dtype=object if isinstance(labels[0], str) else None)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def fit(self, X: object, y: object = None) -> OnnxModel:  # noqa: ARG002
        """Nothing: a graph is fitted."""
        return self

    @_has(ir.Method.PREDICT)  # type: ignore[untyped-decorator]
    def predict(self, X: Any) -> Values:
        """The label (classes_) of each row, or a number: (rows,)."""
        answer, values = self._answer(X, ir.Method.PREDICT)
        if answer.labels is None:
            return values[:, 0] if values.shape[1] == 1 else values
        taken: Values = self.classes_[values[:, 0].astype(np.int64)]
        return taken

    @_has(ir.Method.PREDICT_PROBA)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Values:
        """(rows, classes)."""
        return self._answer(X, ir.Method.PREDICT_PROBA)[1]

    @_has(ir.Method.DECISION_FUNCTION)  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> Values:
        """(rows, scores), or (rows,) where there is one."""
        values = self._answer(X, ir.Method.DECISION_FUNCTION)[1]
        return values[:, 0] if values.shape[1] == 1 else values

    @_has(ir.Method.TRANSFORM)  # type: ignore[untyped-decorator]
    def transform(self, X: Any) -> Values:
        """(rows, columns)."""
        return self._answer(X, ir.Method.TRANSFORM)[1]

    @_has(ir.Method.DISTANCE)  # type: ignore[untyped-decorator]
    def distance(self, X: Any) -> Values:
        """From the nearest centre: (rows,)."""
        values: Values = self._answer(X, ir.Method.DISTANCE)[1][:, 0]
        return values

    def fetch(self, rows: Values) -> Values:
        """All that the graph gives for rows (n, n_features_in_) of numbers and texts, as doubles (n, columns).

        Each row's is what the graph gives for that row alone, as the database asks for it.
        """
        if not len(rows):
            return np.zeros((0, sum(fetch.width for fetch in self.signature.fetches)))
        if not self.by_row:
            return self._fetch(rows)
        return np.vstack([self._fetch(rows[row : row + 1]) for row in range(len(rows))])

    def _fetch(self, rows: Values) -> Values:
        given = _given(self.signature.tensors, rows)
        found = run(self.signature.content, [fetch.tensor for fetch in self.signature.fetches], given)
        pairs = zip(self.signature.fetches, found, strict=True)
        return np.hstack([fetched(fetch, values, len(rows)) for fetch, values in pairs])

    def _answer(self, X: Any, method: ir.Method) -> tuple[Answer, Values]:
        """The columns of a method; a label as its index."""
        rows = self._checked(X)
        try:
            found = self.fetch(rows)
        except Exception as error:  # noqa: BLE001 - onnxruntime raises classes of its own
            raise ValueError(f"onnxruntime refuses the rows ({type(error).__name__})") from None
        answers = self.signature.answers
        if any(answer.labels is not None for answer in answers):
            for answer in answers:
                block = found[:, list(answer.columns)]
                if answer.labels is not None:
                    block = indices(answer, block)
                if not np.isfinite(block).all():
                    raise ValueError("a row has no label, or scores that are not finite")
        for answer in answers:
            if answer.method is method:
                given = found[:, list(answer.columns)]
                return answer, given if answer.labels is None else indices(answer, given)
        raise AttributeError(method.value)

    def _checked(self, X: Any) -> Values:
        """The rows by the graph's columns; raises ValueError where one is refused."""
        if hasattr(X, "columns"):
            X = X[list(self.feature_names_in_)].to_numpy()
        rows = np.asarray(X)
        if rows.ndim != 2 or rows.shape[1] != self.n_features_in_:
            raise ValueError(f"expected rows of {self.n_features_in_} columns")
        for tensor in self.signature.tensors:
            block = rows[:, list(tensor.columns)]
            if tensor.element is None:
                if not all(isinstance(value, str) for value in block.ravel().tolist()):
                    raise ValueError(f"{tensor.name} is missing a text")
                continue
            numbers = block.astype(np.float64)
            fine = np.abs(numbers) <= limit(tensor.element)
            if tensor.element in WHOLE:
                fine &= np.floor(numbers) == numbers
            if tensor.element is ir.Element.BOOL:
                fine &= numbers >= 0
            fine |= np.isnan(numbers) & np.array([self.takes_missing[column] for column in tensor.columns])
            if not fine.all():
                raise ValueError(f"{tensor.name} does not take all of the rows")
        return rows

    def _takes_missing(self, column: int, rows: Values) -> bool:
        """Whether the graph gives numbers for rows without that column; of a transformer, in some of its columns."""
        tensor = next(tensor for tensor in self.signature.tensors if column in tensor.columns)
        if tensor.element is None or tensor.element in WHOLE:
            return False
        rows = rows.copy()
        rows[:, column] = np.nan
        try:
            finite = np.isfinite(self.fetch(rows)).all(axis=0)
        except Exception:  # noqa: BLE001 - it does not take them
            return False
        return bool(finite.any() if self.signature.kind is ir.ModelKind.TRANSFORMER else finite.all())


WHOLE = (ir.Element.INT64, ir.Element.BOOL)
"""Tensors that hold whole numbers only."""


def limit(element: ir.Element) -> float:
    """The largest magnitude that a tensor takes; not below 0 for BOOL."""
    return {
        ir.Element.FLOAT: ir.FLOAT32_LIMIT,
        ir.Element.DOUBLE: ir.FINITE,
        ir.Element.INT64: 2.0**53,
        ir.Element.BOOL: 1.0,
    }[element]


def indices(answer: Answer, block: Values) -> Values:
    """The class index of each row (n, 1), NaN where it is no class."""
    labels = answer.labels or ()
    if answer.values is None:
        known = np.isin(block, np.arange(len(labels)))
        return np.where(known, block, np.nan)
    position: Mapping[float, float] = {value: float(index) for index, value in enumerate(answer.values)}
    return np.array([[position.get(value, np.nan)] for value in block[:, 0].tolist()])


def _given(tensors: tuple[Tensor, ...], rows: Values) -> dict[str, Values]:
    given: dict[str, Values] = {}
    for tensor in tensors:
        if tensor.element is None:
            block = rows[:, list(tensor.columns)].astype(object)
            given[tensor.name] = block[:, 0] if tensor.flat else block
        else:
            feed = ir.Feed(tensor.name, tensor.element, tuple(range(len(tensor.columns))), tensor.flat)
            given[tensor.name] = fed(feed, rows[:, list(tensor.columns)].astype(np.float64))
    return given


def made_up(model: OnnxModel, n_rows: int) -> Values:
    """Rows (n_rows, n_features_in_) to try the model with."""
    return _made_up(model.signature.tensors, model.n_features_in_, model.texts, n_rows)


def _made_up(
    tensors: tuple[Tensor, ...], n_columns: int, texts: Mapping[int, Sequence[str]], n_rows: int = _ROWS
) -> Values:
    """Rows to try a graph with: numbers, in the second half larger ones; whole numbers, flags and known texts."""
    rng = np.random.default_rng(0)
    kind: dict[int, ir.Element | None] = {column: t.element for t in tensors for column in t.columns}
    rows = np.empty((n_rows, n_columns), dtype=object if any(k is None for k in kind.values()) else np.float64)
    for column, element in kind.items():
        if element is None:
            rows[:, column] = rng.choice(np.array(texts[column], dtype=object), n_rows)
        elif element in WHOLE:
            rows[:, column] = rng.integers(0, 2, n_rows).astype(np.float64)
        else:
            rows[:, column] = rng.normal(size=n_rows) * np.where(np.arange(n_rows) < n_rows // 2, 1.0, 30.0)
    return rows


def _description(model: Any) -> str:
    """The graph in words: its first operators."""
    kinds = list(dict.fromkeys(node.op_type for node in model.graph.node))
    more = ", …" if len(kinds) > _NAMED else ""
    return f"ONNX graph({', '.join(kinds[:_NAMED])}{more})"


def _width(name: str, batch: Values, alone: Values) -> int:
    """How many columns an output has. Raises OnnxFileError unless it has a row for each row."""
    shapes = [np.shape(value) for value in (batch, alone)]
    fine = [len(shape) in (1, 2) and shape[0] == n for shape, n in zip(shapes, (_ROWS, 1), strict=True)]
    if not all(fine) or shapes[0][1:] != shapes[1][1:] or 0 in shapes[0]:
        raise OnnxFileError(f"its output {name!r} is no table with a row for each row of its input")
    return int(shapes[0][1]) if len(shapes[0]) == 2 else 1


def _nearly_equal(one: Values, other: Values) -> bool:
    """Whether the numbers differ by rounding at most, be it in float32."""
    finite = np.isfinite(one)
    if not np.array_equal(finite, np.isfinite(other)):
        return False
    a, b = one[finite], other[finite]
    floor = 1e-3 * float(np.median(np.abs(a))) if len(a) else 0.0
    return bool((np.abs(a - b) <= 1e-2 * np.maximum(np.maximum(np.abs(a), np.abs(b)), floor)).all())


def _probable(scores: Values) -> bool:
    """Whether the rows look like probabilities of classes."""
    block = np.asarray(scores, dtype=np.float64).reshape(len(scores), -1)
    return bool((block >= -1e-6).all() and (block <= 1 + 1e-6).all() and np.allclose(block.sum(axis=1), 1, atol=1e-3))
