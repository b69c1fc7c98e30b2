"""Estimators without a frontend: through skl2onnx into an ONNX graph, if it is measured to give the same answers.

skl2onnx promises no digits, and is silently wrong in places: the graph is held against the estimator at once, on
made-up rows, and the figure goes with the model. Above `LIMIT`, or with one other label, the estimator is refused. What
is left has no form in SQL; ONNX alone runs it.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import is_classifier, is_clusterer, is_outlier_detector
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from .. import ir
from ..backends.onnx_session import subgraph
from ..onnx_file import OnnxFileError, read
from ..onnx_signature import Found, read_outputs
from .builder import Builder, Predictions
from .classes import kind, labels_of

LIMIT = 1e-5
"""The largest relative difference with which a graph is taken."""
_GOOD = 1e-9
"""Below it a graph of floats is not tried as well."""
_TARGET = {"": 18, "ai.onnx.ml": 3}
_INPUT = "X"

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class _Candidate:
    """A graph as a node over `columns`; which of its columns are what; and how far it is off on made-up rows.

    `single`: the estimator transforms to float32, in which scikit-learn's next step computes.
    """

    node: ir.Subgraph
    methods: dict[ir.Method, tuple[int, ...]]
    difference: float
    single: bool


class _Unusable(Exception):
    """Why a graph cannot stand for the estimator."""


def through_skl2onnx(
    estimator: Any, columns: ir.Block, builder: Builder, known: tuple[str, str] | None = None
) -> ir.Block | Predictions:
    """The estimator as a `Subgraph`. `known` is why its family refuses it, and the way forward.

    Raises UnsupportedError where skl2onnx has no converter, the answers differ, or the step reads text.
    """
    name = type(estimator).__name__
    reason, way_forward = known or (f"{name} has no exact form in SQL", "see `pgscore check --list`")
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        builder.refuse(f"{name} is not fitted", "fit the model before compiling it")
    except TypeError:
        builder.refuse(reason, way_forward)
    if not columns:
        builder.refuse(
            *(known or (f"{name} does not tell how many columns it takes", "put a step before it that does"))
        )
    if any(builder.dtype(ref) is ir.Dtype.TEXT for ref in columns):
        builder.refuse(f"{reason}, and a way through ONNX is for numbers only", way_forward)
    wanted = _Wanted(estimator, builder)
    try:
        domain = _domain(estimator, wanted.main, len(columns))
        best = _best(wanted, domain, columns)
    except _Unusable as why:
        builder.refuse(f"{reason}, and {why}", way_forward)
    rows = domain.check(columns, builder, best.node.feeds[0].element)
    if not domain.missing:  # such a row is refused, and an operator may raise for NaN
        rows = builder.add(ir.Impute(rows, np.zeros(len(rows))))
    made = builder.add(ir.Subgraph(rows, best.node.content, best.node.feeds, best.node.fetches, _reason(name)))
    tolerance = max(ir.TOLERANCE, min(10 * best.difference, LIMIT))
    what = f"{name} goes through skl2onnx: measured difference {best.difference:.1e}"
    if best.single:
        tolerance, what = LIMIT, f"{what}; what follows computes in the float32 that it gives"
    builder.approximate(tolerance, what)
    return wanted.predictions({m: tuple(made[c] for c in chosen) for m, chosen in best.methods.items()}, builder)


def _reason(name: str) -> str:
    return f"{name} has no form in SQL and goes through skl2onnx"


class _Wanted:
    """What the estimator is for: its methods, in the order in which the graph's outputs stand for them."""

    def __init__(self, estimator: Any, builder: Builder) -> None:
        self.estimator = estimator
        self.labels: tuple[ir.Label, ...] | None = None
        method = ir.Method
        if is_classifier(estimator):
            self.labels = labels_of(estimator, builder)
            self.kind = kind(self.labels)
            scores = method.PREDICT_PROBA if hasattr(estimator, "predict_proba") else method.DECISION_FUNCTION
            self.methods = (method.PREDICT, scores) if hasattr(estimator, scores.value) else (method.PREDICT,)
        elif is_outlier_detector(estimator):
            self.labels, self.kind = (-1, 1), ir.ModelKind.OUTLIER_DETECTOR
            self.methods = (method.PREDICT, method.DECISION_FUNCTION)
        elif hasattr(estimator, "predict"):
            self.kind = ir.ModelKind.CLUSTERER if is_clusterer(estimator) else ir.ModelKind.REGRESSOR
            self.methods = (method.PREDICT,)
        elif hasattr(estimator, "transform"):
            self.kind, self.methods = ir.ModelKind.TRANSFORMER, (method.TRANSFORM,)
        else:
            way_forward = "use a clusterer that predicts, such as KMeans" if is_clusterer(estimator) else "take it out"
            builder.refuse(f"{type(estimator).__name__} neither predicts nor transforms new rows", way_forward)

    @property
    def main(self) -> ir.Method:
        """The method that every row goes through."""
        return self.methods[0]

    def answers(self, method: ir.Method, rows: Values) -> Values:
        """The estimator's own, as doubles (rows, columns); a label as its index."""
        values = _call(self.estimator, method, rows)
        if method is ir.Method.PREDICT and self.labels is not None:
            position = {label: float(index) for index, label in enumerate(self.labels)}
            values = np.array([position[value] for value in values.ravel().tolist()])
        return values.reshape(len(rows), -1).astype(np.float64)

    def fetches(self, found: Sequence[Found]) -> list[tuple[ir.Method, Found]]:
        """The output of the graph for each method."""
        labels, numbers = [o for o in found if o.is_label], [o for o in found if not o.is_label]
        chosen: list[tuple[ir.Method, Found]] = []
        for method in self.methods:
            is_label = method is ir.Method.PREDICT and (self.labels is not None or bool(labels))
            candidates = labels if is_label else numbers
            if not candidates:
                raise _Unusable(f"its graph by skl2onnx has no {method.value}")
            chosen.append((method, candidates[0]))
        return chosen

    def predictions(self, blocks: dict[ir.Method, ir.Block], builder: Builder) -> ir.Block | Predictions:
        """The columns of the graph as the estimator's methods."""
        if ir.Method.TRANSFORM in blocks:
            return blocks[ir.Method.TRANSFORM]
        predict = blocks[ir.Method.PREDICT]
        if self.labels is not None:
            if not isinstance(self.labels[0], str):
                values = tuple(float(label) for label in self.labels)
                predict = builder.add(ir.Codes(predict, values, unknown=np.nan))
            predict = builder.finite(predict)
        scores = {method: builder.finite(block) for method, block in blocks.items() if method is not ir.Method.PREDICT}
        return Predictions(
            self.kind,
            predict,
            self.labels,
            proba=scores.get(ir.Method.PREDICT_PROBA),
            decision=scores.get(ir.Method.DECISION_FUNCTION),
        )


@dataclass(frozen=True)
class _Domain:
    """Which rows the estimator takes, and made-up ones that it does (n, columns)."""

    rows: Values
    missing: bool
    infinite: bool
    negative: bool

    def check(self, columns: ir.Block, builder: Builder, element: ir.Element) -> ir.Block:
        """The columns, with the rows refused that the estimator refuses or float32 cannot hold."""
        if not (self.infinite and self.missing and self.negative):
            low = -ir.FINITE if self.negative else 0.0
            columns = builder.add(ir.Check(columns, low, ir.FINITE, self.missing, own=self.infinite and self.negative))
        if element is not ir.Element.DOUBLE:
            columns = builder.finite(columns, missing=self.missing, limit=ir.FLOAT32_LIMIT, own=True)
        return columns


def _domain(estimator: Any, method: ir.Method, n: int) -> _Domain:
    rows = _made_up(estimator, n)

    def takes(some: Values) -> bool:
        try:
            _call(estimator, method, some)
        except Exception:  # noqa: BLE001 - whatever an estimator without pgscore's support raises
            return False
        return True

    negative = takes(rows)
    if not negative:
        rows = np.abs(rows)
        if not takes(rows):
            raise _Unusable("it does not take rows of ordinary numbers")
    gaps = np.tile(rows[:1], (n, 1))
    np.fill_diagonal(gaps, np.nan)
    missing = takes(gaps)
    if missing:
        gaps = rows[:: max(1, len(rows) // 40)].copy()
        gaps[np.arange(len(gaps)), np.arange(len(gaps)) % n] = np.nan
        rows = np.vstack([rows, gaps])
    infinite = rows[:1].copy()
    infinite[0, 0] = np.inf
    return _Domain(rows, missing, takes(infinite), negative)


def _made_up(estimator: Any, n: int) -> Values:
    """Rows of several sizes, and rows around what the estimator keeps of its training."""
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(300, n))
    blocks = [normal[:150], 30 * normal[150:200], rng.random((50, n)), rng.integers(0, 10, (50, n)).astype(float)]
    for value in vars(estimator).values():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.shape[-1:] == (n,) and value.size:
            known = np.atleast_2d(value.astype(np.float64))
            if known.ndim == 2 and np.isfinite(known).all():
                known = known[:: max(1, len(known) // 25)][:25]
                spread = np.maximum(np.abs(known).mean(axis=0), 1e-3)
                blocks += [known, known + 0.3 * spread * normal[: len(known)]]
    return np.vstack(blocks)


def _best(wanted: _Wanted, domain: _Domain, columns: ir.Block) -> _Candidate:
    """The graph in double, or else in float, with the smaller difference. Raises _Unusable where none will do."""
    found: list[_Candidate] = []
    reasons: list[str] = []
    for element in (ir.Element.DOUBLE, ir.Element.FLOAT):
        try:
            found.append(_candidate(wanted, domain, columns, element))
        except _Unusable as why:
            reasons.append(str(why))
        if found and found[-1].difference <= _GOOD:
            break
    if not found:
        raise _Unusable(reasons[-1])
    best = min(found, key=lambda candidate: candidate.difference)
    if not best.difference <= LIMIT:
        what = f"differ by {best.difference:.1e}" if np.isfinite(best.difference) else "give other labels or no numbers"
        raise _Unusable(f"its answers through skl2onnx {what} on made-up rows")
    return best


def _candidate(wanted: _Wanted, domain: _Domain, columns: ir.Block, element: ir.Element) -> _Candidate:
    content, outputs = read_outputs(_converted(wanted.estimator, len(columns), element))
    chosen = wanted.fetches(outputs)
    expected = {method: wanted.answers(method, domain.rows) for method in wanted.methods}
    fetches = tuple(
        ir.Fetch(
            output.tensor,
            expected[method].shape[1],
            tuple(map(str, wanted.labels or ())) if output.is_text else None,
        )
        for method, output in chosen
    )
    feed = ir.Feed(_INPUT, element, tuple(range(len(columns))))
    node = ir.Subgraph(columns, content, (feed,), fetches)
    try:
        values = subgraph(node, domain.rows)
    except Exception as error:
        raise _Unusable(f"onnxruntime cannot run its graph by skl2onnx ({type(error).__name__})") from error
    methods: dict[ir.Method, tuple[int, ...]] = {}
    largest, start = 0.0, 0
    for (method, output), fetch in zip(chosen, fetches, strict=True):
        methods[method] = tuple(range(start, start + fetch.width))
        got = values[:, list(methods[method])]
        start += fetch.width
        if method is ir.Method.PREDICT and wanted.labels is not None:
            if not output.is_text:
                position = {float(label): float(index) for index, label in enumerate(wanted.labels)}
                got = np.array([[position.get(value, np.nan)] for value in got[:, 0].tolist()])
            largest = max(largest, 0.0 if np.array_equal(got, expected[method]) else np.inf)
        else:
            largest = max(largest, _difference(got, expected[method]))
    single = (
        wanted.main is ir.Method.TRANSFORM and _call(wanted.estimator, wanted.main, domain.rows).dtype == np.float32
    )
    return _Candidate(node, methods, largest, single)


def _converted(estimator: Any, n: int, element: ir.Element) -> Any:
    import skl2onnx
    from skl2onnx.common import data_types

    kinds: dict[ir.Element, Callable[[list[int | None]], Any]] = {
        ir.Element.DOUBLE: data_types.DoubleTensorType,
        ir.Element.FLOAT: data_types.FloatTensorType,
    }
    types = [(_INPUT, kinds[element]([None, n]))]
    try:
        with _quiet():
            model = skl2onnx.convert_sklearn(estimator, initial_types=types, target_opset=_TARGET)
        return read(model.SerializeToString())
    except OnnxFileError as error:
        raise _Unusable(f"its graph by skl2onnx cannot be taken: {error}") from error
    except Exception as error:
        name = type(error).__name__
        unknown = "Missing" in name
        why = "skl2onnx has no converter for it" if unknown else f"skl2onnx cannot convert it ({name})"
        raise _Unusable(why) from error


def _difference(got: Values, want: Values) -> float:
    """The largest relative to the number itself, or to a thousandth of the median; infinite where one side is none."""
    with np.errstate(all="ignore"):
        finite = np.isfinite(want)
        if not np.array_equal(finite, np.isfinite(got)):
            return float("inf")
        if not finite.any():
            return 0.0
        floor = 1e-3 * float(np.median(np.abs(want[finite])))
        size = np.maximum(np.maximum(np.abs(got), np.abs(want))[finite], floor)
        return float(np.max(np.abs(got - want)[finite] / np.where(size > 0, size, 1.0)))


def _call(estimator: Any, method: ir.Method, rows: Values) -> Values:
    with _quiet():
        found = getattr(estimator, method.value)(rows)
    return np.asarray(found.toarray() if hasattr(found, "toarray") else found)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings and the prints of other libraries."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
