"""The intermediate representation: what a trained model computes, as values.

A `Program` is a list of nodes in order of evaluation. A node maps a block of columns to a block of columns, row by row.
Columns are named by `Ref` (which node, which of its columns), so selecting, reordering and joining columns is wiring
and needs no node. Nodes are frozen and validated when built; a program is walked by a plain loop, so a deep model
cannot hit a recursion limit.

Two types of column exist: NUMBER, a double in which NaN means missing, and TEXT, a string in which None means missing.

A row can be *refused*: scikit-learn raises on some rows (a missing value where the model takes none, a number beyond
float32, an unknown category). A `Check` that fails refuses the row, and each output of a refused row is NULL.

Every kind of node has three interpreters: backends/numpy.py (the reference), backends/sql.py and backends/onnx.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, NamedTuple

import numpy as np

from .forest import Forest as Forest
from .values import BoolArray as BoolArray
from .values import FloatArray as FloatArray
from .values import IntArray as IntArray
from .values import Value, frozen


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

    Who calls the model itself (the parity gate) needs to know two things more. With `none` the model learned None as
    the missing value, else NaN. With `objects` it was trained on a column of Python objects, which text always is and
    numbers may be: encoders compare objects otherwise than doubles.
    """

    name: str
    dtype: Dtype
    none: bool = False
    objects: bool = False


@dataclass(frozen=True, eq=False)
class Node(Value):
    """Base of all nodes. `inputs` are the columns it reads; `width` is the number of columns it gives."""

    inputs: Block

    takes: ClassVar[Dtype | None] = Dtype.NUMBER
    """What `inputs` hold; None: either."""
    gives: ClassVar[Dtype] = Dtype.NUMBER

    @property
    def width(self) -> int:
        """One output column for each input column, unless the kind says otherwise."""
        return len(self.inputs)

    def _require(self, condition: bool, message: str) -> None:
        if not condition:
            raise ValueError(f"{type(self).__name__}: {message}")


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
    """

    low: float = -math.inf
    high: float = math.inf
    missing: bool = False

    def __post_init__(self) -> None:
        self._require(math.isfinite(self.low) and math.isfinite(self.high), "bounds are finite")
        self._require(self.low <= self.high, "low <= high")


FINITE = float(np.finfo(np.float64).max)
FLOAT32_LIMIT = 3.4028235677973362e38
"""The largest double that rounds to a finite float32: one below max(float32) + half a unit in the last place."""


@dataclass(frozen=True, eq=False)
class Impute(Node):
    """Replaces a missing number by the fill value of its column."""

    fill: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "fill", frozen(self.fill, ndim=1))
        self._require(len(self.fill) == len(self.inputs), "one fill value for each column")


@dataclass(frozen=True, eq=False)
class FillText(Node):
    """Replaces a missing text by the fill text of its column."""

    fill: tuple[str, ...] = ()
    takes: ClassVar[Dtype | None] = Dtype.TEXT
    gives: ClassVar[Dtype] = Dtype.TEXT

    def __post_init__(self) -> None:
        self._require(len(self.fill) == len(self.inputs), "one fill text for each column")


@dataclass(frozen=True, eq=False)
class IsMissing(Node):
    """1 where the value (number or text) is missing, else 0."""

    takes: ClassVar[Dtype | None] = None


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


@dataclass(frozen=True, eq=False)
class Standardize(Node):
    """(x - center) / scale, column by column, in this order: trees behind a scaler see the very same doubles."""

    center: FloatArray
    scale: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "center", frozen(self.center, ndim=1))
        object.__setattr__(self, "scale", frozen(self.scale, ndim=1))
        self._require(len(self.center) == len(self.scale) == len(self.inputs), "one center and scale for each column")
        self._require(bool(np.all(self.scale != 0)), "scale is not 0")


@dataclass(frozen=True, eq=False)
class MultiplyAdd(Node):
    """x * factor + offset, column by column, rounded twice as numpy does."""

    factor: FloatArray
    offset: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "factor", frozen(self.factor, ndim=1))
        object.__setattr__(self, "offset", frozen(self.offset, ndim=1))
        self._require(len(self.factor) == len(self.offset) == len(self.inputs), "one factor and offset for each column")


@dataclass(frozen=True, eq=False)
class Clip(Node):
    """The nearest value in [low, high]; a missing value stays missing."""

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        self._require(self.low <= self.high, "low <= high")


@dataclass(frozen=True, eq=False)
class Affine(Node):
    """weights (width, inputs) times the row, plus bias (width). Not for trees' inputs: the order of the sum is free."""

    weights: FloatArray
    bias: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", frozen(self.weights, ndim=2))
        object.__setattr__(self, "bias", frozen(self.bias, ndim=1))
        self._require(self.weights.shape == (len(self.bias), len(self.inputs)), "weights are (outputs, inputs)")
        self._require(bool(np.isfinite(self.weights).all() and np.isfinite(self.bias).all()), "weights are finite")

    @property
    def width(self) -> int:
        return len(self.bias)


@dataclass(frozen=True, eq=False)
class Trees(Node):
    """base (width) plus the forest's leaf values, added tree by tree in order, as scikit-learn adds them.

    The order is part of the meaning: with another order of additions, rows on a tie of two classes change their label.
    """

    forest: Forest
    base: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "base", frozen(self.base, ndim=1))
        f = self.forest
        if len(f.feature):
            self._require(int(f.feature.max()) < len(self.inputs), "a feature lies outside the inputs")
        if len(f.output):
            self._require(int(f.output.max()) < self.width, "a tree's output lies outside the outputs")
            if f.output.min() < 0:
                self._require(f.value.shape[1] == self.width, "leaf values have one column for each output")

    @property
    def width(self) -> int:
        return len(self.base)


@dataclass(frozen=True, eq=False)
class Sigmoid(Node):
    """1 / (1 + exp(-x))."""


@dataclass(frozen=True, eq=False)
class Softmax(Node):
    """exp(x_j - max x) / sum_i exp(x_i - max x) over all its inputs."""


@dataclass(frozen=True, eq=False)
class Exp(Node):
    """exp(x); below the smallest double it is 0."""


@dataclass(frozen=True, eq=False)
class Normalize(Node):
    """x_j / sum of x over all its inputs, which are >= 0; 1 / width where all are 0."""


@dataclass(frozen=True, eq=False)
class ArgMax(Node):
    """The position of the largest input; the first one on a tie."""

    @property
    def width(self) -> int:
        return 1


@dataclass(frozen=True, eq=False)
class Step(Node):
    """1 where x > threshold (or >=, where `inclusive`), else 0."""

    threshold: float = 0.0
    inclusive: bool = False


NODE_KINDS: tuple[type[Node], ...] = (
    Input, Constant, Check, Impute, FillText, IsMissing, Codes, OneHot, Lookup, Standardize, MultiplyAdd, Clip,
    Affine, Trees, Sigmoid, Softmax, Exp, Normalize, ArgMax, Step,
)  # fmt: skip
"""Every kind of node. A test walks this against the three backends and fails on a gap."""


class Method(Enum):
    """The scikit-learn method that an output equals."""

    PREDICT = "predict"
    PREDICT_PROBA = "predict_proba"
    DECISION_FUNCTION = "decision_function"
    TRANSFORM = "transform"


Label = str | int | float | bool


@dataclass(frozen=True)
class Output:
    """One result of the program: the columns that together equal `method` of the model.

    With `labels`, the single column holds a class index, and the result is `labels[index]`.
    """

    method: Method
    columns: Block
    labels: tuple[Label, ...] | None = None


class ModelKind(Enum):
    """What the model is for; it decides what `score.NAME` gives (docs/sql.md)."""

    REGRESSOR = "regressor"
    BINARY_CLASSIFIER = "binary classifier"
    MULTICLASS_CLASSIFIER = "multiclass classifier"
    CLUSTERER = "clusterer"
    TRANSFORMER = "transformer"


@dataclass(frozen=True)
class Program:
    """A whole model. Nodes read only nodes before them; `columns` are the inputs in the order of `Input.index`.

    Raises ValueError if a node reads a later node, a column that does not exist, or the wrong type of column.
    """

    kind: ModelKind
    columns: tuple[Column, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Output, ...]

    def __post_init__(self) -> None:
        for position, node in enumerate(self.nodes):
            if type(node) not in NODE_KINDS:
                raise ValueError(f"node {position}: {type(node).__name__} is no kind of node")
            for ref in node.inputs:
                if not 0 <= ref.node < position:
                    raise ValueError(f"node {position} reads node {ref.node}, which is not before it")
                self._check_ref(ref)
                takes = node.dtype if isinstance(node, Codes) else node.takes
                if takes is not None and self.dtype(ref) is not takes:
                    raise ValueError(f"node {position} ({type(node).__name__}) reads {self.dtype(ref).value}")
            if isinstance(node, Input) and self.columns[node.index].dtype is not node.dtype:
                raise ValueError(f"node {position} reads column {node.index} as {node.dtype.value}")
        for output in self.outputs:
            for ref in output.columns:
                self._check_ref(ref)
                if self.dtype(ref) is not Dtype.NUMBER:
                    raise ValueError("outputs are numbers")

    def text_nodes(self) -> list[bool]:
        """For each node, whether it reads or gives text. The rest of the program is pure arithmetic on doubles.

        The ONNX backend leaves these nodes to SQL: the numbers they give enter the graph as features.
        """
        return [
            (isinstance(node, Input) and node.dtype is Dtype.TEXT)
            or any(self.dtype(ref) is Dtype.TEXT for ref in node.inputs)
            for node in self.nodes
        ]

    def features(self) -> Block:
        """The columns of numbers that the arithmetic reads from outside: inputs, and what text nodes give."""
        text = self.text_nodes()
        seen: dict[Ref, None] = {}
        readers = [node.inputs for node, is_text in zip(self.nodes, text, strict=True) if not is_text]
        for block in [*readers, *(output.columns for output in self.outputs)]:
            for ref in block:
                if text[ref.node] or isinstance(self.nodes[ref.node], Input):
                    seen[ref] = None
        return tuple(sorted(seen))

    def _check_ref(self, ref: Ref) -> None:
        if not (0 <= ref.node < len(self.nodes) and 0 <= ref.column < self.nodes[ref.node].width):
            raise ValueError(f"{ref} does not exist")

    def dtype(self, ref: Ref) -> Dtype:
        """What the column holds."""
        node = self.nodes[ref.node]
        if isinstance(node, Input):
            return node.dtype
        if isinstance(node, Check):
            return self.dtype(node.inputs[ref.column])
        return node.gives

    def output(self, method: Method) -> Output | None:
        """The output that equals `method`, if the model has it."""
        return next((o for o in self.outputs if o.method is method), None)


def needed(nodes: Sequence[Node], outputs: Iterable[Output]) -> list[bool]:
    """For each node, whether an output depends on it. A `Check` is always needed: it can refuse the row."""
    keep = [isinstance(node, Check) for node in nodes]
    for output in outputs:
        for ref in output.columns:
            keep[ref.node] = True
    for position in range(len(nodes) - 1, -1, -1):
        if keep[position]:
            for ref in nodes[position].inputs:
                keep[ref.node] = True
    return keep
