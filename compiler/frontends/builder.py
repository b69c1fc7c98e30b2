"""Building a `Program` step by step, with the path of the current step for error messages.

Frontends never build SQL or ONNX: they read a fitted estimator's public attributes and call `Builder.add`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from pgscore.errors import UnsupportedError

from .. import ir
from ..ir import Block, Dtype, Ref

SMALL = 4
"""Whole numbers of so many bytes and more become doubles."""


@dataclass(frozen=True)
class Predictions:
    """What a predictor gives: a block for each method it has.

    `predict` is one column, or one for each target of a regressor; with `labels` (`classes_`) it is the class index.
    `proba` and `decision` are in the order of `classes_`; the decision of a binary classifier and of an outlier
    detector is one column. With `targets` (a classifier of several targets) the column of each target is an index into
    its labels, and `proba` has the probabilities of all targets, one target after the other. `transform` is what
    `transform` gives where the predictor is a step in the middle of a pipeline (KMeans, LinearDiscriminantAnalysis).
    `distance` is how far a clusterer's row lies from the nearest centre.
    """

    kind: ir.ModelKind
    predict: Block
    labels: tuple[ir.Label, ...] | None = None
    proba: Block | None = None
    decision: Block | None = None
    targets: tuple[tuple[ir.Label, ...], ...] | None = None
    transform: Block | None = None
    distance: Block | None = None


Frontend = Callable[[Any, Block, "Builder"], Block | Predictions]
"""(fitted estimator, its input columns, builder) -> the columns a transformer makes, or a predictor's `Predictions`."""


def qualified(cls: type) -> str:
    """The class by name, as optional libraries are registered: `lightgbm.sklearn.LGBMClassifier`."""
    return f"{cls.__module__}.{cls.__qualname__}"


@dataclass
class Builder:
    """Collects nodes. One `Input` node stands for each input column, in order, before all others.

    The type of an input column is set by the first step that reads it: `text` and `numbers` say what they need, and a
    column that one step reads as text and another as numbers is refused.
    """

    names: Sequence[str]
    frontends: Mapping[type | str, Frontend] = field(default_factory=dict)
    refused: Mapping[type | str, tuple[str, str]] = field(default_factory=dict)
    """Estimators that are refused for a reason that is known, with the way forward."""
    sparse: bool = False
    """Whether scikit-learn gives the current step a sparse matrix, on which some steps compute in another way."""
    before: tuple[Any, ...] = ()
    """The transformers through which the rows have come, the last one last."""
    transforming: bool = False
    """Whether the current step is asked for what its `transform` gives, and not for predictions that it also has."""
    nodes: list[ir.Node] = field(default_factory=list)
    _path: list[str] = field(default_factory=list)
    _dtypes: dict[int, Dtype] = field(default_factory=dict)
    _none: dict[int, bool] = field(default_factory=dict)
    _objects: set[int] = field(default_factory=set)
    _categories: dict[int, tuple[ir.Label, ...]] = field(default_factory=dict)
    _closed: set[int] = field(default_factory=set)
    _whole: dict[Ref, int] = field(default_factory=dict)
    _unless_text: list[Block] = field(default_factory=list)
    _checked: dict[tuple[Block, bool, float, bool], Block] = field(default_factory=dict)
    _single: set[Ref] = field(default_factory=set)
    _tolerance: float = ir.TOLERANCE
    _approximation: str = ""

    def __post_init__(self) -> None:
        self.nodes.extend(ir.Input((), index) for index in range(len(self.names)))

    @property
    def inputs(self) -> Block:
        """All input columns, in order."""
        return tuple(Ref(index, 0) for index in range(len(self.names)))

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Names the step being built; steps nest (`prep.num.scaler`)."""
        self._path.append(name)
        try:
            yield
        finally:
            self._path.pop()

    @contextmanager
    def asked_about_some_rows(self) -> Iterator[None]:
        """For a part that the model asks about some rows only: elsewhere the model goes on where its Checks refuse."""
        before, checked = len(self.nodes), dict(self._checked)
        yield
        self._checked = checked
        for position, node in enumerate(self.nodes[before:], start=before):
            if isinstance(node, ir.Check):
                self.nodes[position] = replace(node, own=True)

    @property
    def path(self) -> str:
        """The current step, as error messages name it."""
        return ".".join(self._path) or "model"

    def refuse(self, reason: str, way_forward: str) -> NoReturn:
        """Raises UnsupportedError for the current step."""
        raise UnsupportedError(self.path, reason, way_forward)

    def convert(self, estimator: Any, columns: Block) -> Block | Predictions:
        """The nodes of one estimator; composite frontends call it for their parts.

        Raises UnsupportedError where the estimator is not fitted or has no frontend. A subclass has none of its own:
        it may override anything.
        """
        name = type(estimator).__name__
        frontend = self.frontends.get(type(estimator)) or self.frontends.get(qualified(type(estimator)))
        if frontend is None:
            known = self.refused.get(type(estimator)) or self.refused.get(qualified(type(estimator)))
            from .fallback import through_skl2onnx  # imports this module

            return through_skl2onnx(estimator, columns, self, known)
        try:
            check_is_fitted(estimator)
        except NotFittedError:
            self.refuse(f"{name} is not fitted", "fit the model before compiling it")
        return frontend(estimator, columns, self)

    def transform(self, estimator: Any, columns: Block) -> Block:
        """As `convert`, for a part whose `transform` is wanted; refuses a part that is compiled for its predictions."""
        result = self._convert(estimator, columns, transforming=True)
        if not isinstance(result, Predictions):
            return result
        if result.transform is None:
            self.refuse(
                f"{type(estimator).__name__}.transform has no exact form in SQL",
                "use it as the last step, for its predictions",
            )
        return result.transform

    def predictions(self, estimator: Any, columns: Block) -> Predictions:
        """As `convert`, for a part whose predictions are wanted, such as a member of an ensemble."""
        result = self._convert(estimator, columns, transforming=False)
        if not isinstance(result, Predictions):
            self.refuse(f"{type(estimator).__name__} predicts nothing", "put a predictor in its place")
        return result

    def _convert(self, estimator: Any, columns: Block, *, transforming: bool) -> Block | Predictions:
        before, self.transforming = self.transforming, transforming
        try:
            return self.convert(estimator, columns)
        finally:
            self.transforming = before

    def approximate(self, tolerance: float, reason: str) -> None:
        """Says that its numbers are met within `tolerance` only, and why: the model itself computes in fewer digits.

        What goes through skl2onnx says so even within the usual tolerance, with the difference that was measured.
        """
        if tolerance > self._tolerance or not self._approximation:
            self._tolerance, self._approximation = max(tolerance, self._tolerance), reason

    def given_in_float32(self, block: Block) -> Block:
        """Says that the model gives these columns in float32, in which whatever reads them goes on."""
        self._single.update(block)
        return block

    def all_in_float32(self, blocks: Iterable[Block]) -> bool:
        """Whether numpy holds these columns side by side in float32: one of doubles makes all of them doubles."""
        refs = [ref for block in blocks for ref in block]
        return bool(refs) and self._single.issuperset(refs)

    def add(self, node: ir.Node) -> Block:
        """Appends the node and gives its columns. Its inputs must have the dtype the node takes (`numbers`, `text`)."""
        takes = node.dtype if isinstance(node, ir.Codes) else node.takes
        if takes is not None:
            self._demand(node.inputs, takes)
        self.nodes.append(node)
        return tuple(Ref(len(self.nodes) - 1, column) for column in range(node.width))

    def dtype(self, ref: Ref) -> Dtype | None:
        """What the column holds; None while no step has said so."""
        node = self.nodes[ref.node]
        if isinstance(node, ir.Input):
            return self._dtypes.get(node.index)
        if isinstance(node, ir.Check):
            return Dtype.NUMBER
        return node.gives

    def _demand(self, refs: Block, dtype: Dtype) -> None:
        for ref in refs:
            known = self.dtype(ref)
            node = self.nodes[ref.node]
            if known is None and isinstance(node, ir.Input):
                self._dtypes[node.index] = dtype
            elif known is not dtype:
                name = self.names[node.index] if isinstance(node, ir.Input) else f"output {ref.column} of a step"
                other = "text" if dtype is Dtype.NUMBER else "numbers"
                self.refuse(
                    f"reads {name!r} as {dtype.value}, which holds {other}",
                    "give each step columns of the type it was trained with",
                )

    def learned_missing(self, ref: Ref, *, none: bool) -> None:
        """Says that a missing value of this column is None in the model's eyes (`none`), or NaN; both are refused."""
        index = self._input(ref)
        if index is not None and self._none.setdefault(index, none) is not none:
            self.refuse(
                f"takes {self.names[index]!r} with both None and NaN as missing, which SQL cannot tell apart",
                "train with one of the two",
            )

    def learned_objects(self, ref: Ref) -> None:
        """Says that this column was one of Python objects in training."""
        index = self._input(ref)
        if index is not None:
            self._objects.add(index)

    def learned_categories(self, ref: Ref, categories: tuple[ir.Label, ...], *, closed: bool = False) -> None:
        """Says that this column had the dtype of pandas' categories in training, these in this order.

        `closed`: the model refuses others.
        """
        index = self._input(ref)
        if index is None:
            self.refuse("takes categories that another step computes", "give them as they are in the table")
        self._categories[index] = categories
        if closed:
            self._closed.add(index)

    def learned_whole(self, refs: Block, size: int) -> None:
        """Says that scikit-learn computes these columns as whole numbers of so many bytes."""
        self._whole.update((self._checked_from(ref), size) for ref in refs)

    def are_whole(self, refs: Block) -> bool:
        """Whether a step before this one gives all of these columns as whole numbers."""
        return all(self._checked_from(ref) in self._whole for ref in refs)

    def has_small_whole(self, refs: Block) -> bool:
        """Whether a step before gives one of these columns as whole numbers of 8 or 16 bits.

        numpy's functions make float16 or float32 of them, and so do their products with float32.
        """
        return any(self._whole.get(self._checked_from(ref), SMALL) < SMALL for ref in refs)

    def _input(self, ref: Ref) -> int | None:
        """The number of the input column that this is, if it is one as it came in."""
        node = self.nodes[self._checked_from(ref).node]
        return node.index if isinstance(node, ir.Input) else None

    def _checked_from(self, ref: Ref) -> Ref:
        """The column before all checks."""
        while isinstance(node := self.nodes[ref.node], ir.Check):
            ref = node.inputs[ref.column]
        return ref

    def finite(self, refs: Block, *, missing: bool = False, limit: float = ir.FINITE, own: bool = False) -> Block:
        """The columns, with rows refused where scikit-learn's check_array refuses them: beyond ±limit, or missing.

        `own`: the model goes on beyond the limit, see `ir.Check`.
        """
        key = (refs, missing, limit, own)
        if refs and key not in self._checked:
            self._checked[key] = self.add(ir.Check(refs, low=-limit, high=limit, missing=missing, own=own))
        return self._checked.get(key, refs)

    def finite_unless_text(self, refs: Block) -> None:
        """Refuses the rows with an infinity, unless one of the columns is text, as a step to come may say.

        With text among them they are a table of objects, which may hold anything.
        """
        self._unless_text.append(refs)

    def finish(self, predictions: Predictions | Block) -> ir.Program:
        """The program of the whole model. Input columns that nothing reads are left out of its signature.

        Raises UnsupportedError for a result that is no table of numbers.
        """
        for refs in self._unless_text:
            if any(self.dtype(ref) is Dtype.TEXT for ref in refs):
                for ref in refs:
                    self.learned_objects(ref)
            else:
                self.finite(refs, missing=True)
        outputs = _outputs(predictions)
        if any(self.dtype(ref) is Dtype.TEXT for output in outputs for ref in output.columns):
            self.refuse("its result holds text", "end it with an encoder or a predictor")
        if not all(output.columns for output in outputs):
            self.refuse("its result has no columns", "train it on columns that hold values")
        kind = predictions.kind if isinstance(predictions, Predictions) else ir.ModelKind.TRANSFORMER
        keep = ir.needed(self.nodes, outputs)
        used = [i for i in range(len(self.names)) if keep[i]]
        columns = tuple(self._column(i) for i in used)
        position = {old: new for new, old in enumerate(i for i, kept in enumerate(keep) if kept)}

        def moved(block: Block) -> Block:
            return tuple(Ref(position[ref.node], ref.column) for ref in block)

        nodes: list[ir.Node] = [ir.Input((), new, columns[new].dtype) for new in range(len(used))]
        nodes += [replace(n, inputs=moved(n.inputs)) for n, kept in zip(self.nodes, keep, strict=True)
                  if kept and not isinstance(n, ir.Input)]  # fmt: skip
        moved_outputs = tuple(replace(o, columns=moved(o.columns)) for o in outputs)
        return ir.Program(kind, columns, tuple(nodes), moved_outputs, self._tolerance, self._approximation)

    def _column(self, index: int) -> ir.Column:
        dtype = self._dtypes.get(index, Dtype.NUMBER)
        categories = self._categories.get(index)
        objects = categories is None and (dtype is Dtype.TEXT or index in self._objects)
        closed = index in self._closed
        return ir.Column(self.names[index], dtype, self._none.get(index, False), objects, categories, closed)


def _outputs(predictions: Predictions | Block) -> list[ir.Output]:
    if not isinstance(predictions, Predictions):
        return [ir.Output(ir.Method.TRANSFORM, predictions)]
    outputs = [ir.Output(ir.Method.PREDICT, predictions.predict, predictions.labels, predictions.targets)]
    if predictions.proba is not None:
        outputs.append(ir.Output(ir.Method.PREDICT_PROBA, predictions.proba))
    if predictions.decision is not None:
        outputs.append(ir.Output(ir.Method.DECISION_FUNCTION, predictions.decision))
    if predictions.distance is not None:
        outputs.append(ir.Output(ir.Method.DISTANCE, predictions.distance))
    return outputs
