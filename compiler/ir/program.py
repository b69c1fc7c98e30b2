"""A whole model: nodes in order of evaluation, and which of their columns equal which method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from .base import Block, Column, Dtype, Node, Ref
from .columns import Check, Codes, Input
from .domain import Domain
from .kinds import NODE_KINDS


class Method(Enum):
    """The scikit-learn method that an output equals."""

    PREDICT = "predict"
    PREDICT_PROBA = "predict_proba"
    DECISION_FUNCTION = "decision_function"
    TRANSFORM = "transform"
    DISTANCE = "distance"
    """Of a clusterer: from the row to the nearest of its `cluster_centers_` (oracle.method_of)."""


Label = str | int | float | bool


@dataclass(frozen=True)
class Output:
    """One result of the program: the columns that together equal `method` of the model.

    With `labels`, the single column holds a class index, and the result is `labels[index]`. With `targets`, each column
    holds the class index of one target, and the result is an array of `targets[column][index]`.
    """

    method: Method
    columns: Block
    labels: tuple[Label, ...] | None = None
    targets: tuple[tuple[Label, ...], ...] | None = None

    def __post_init__(self) -> None:
        if self.targets is not None and len(self.targets) != len(self.columns):
            raise ValueError("labels for each target")


class ModelKind(Enum):
    """What the model is for; it decides what `score.NAME` gives (docs/sql.md)."""

    REGRESSOR = "regressor"
    BINARY_CLASSIFIER = "binary classifier"
    MULTICLASS_CLASSIFIER = "multiclass classifier"
    MULTI_OUTPUT_CLASSIFIER = "multi-output classifier"
    CLUSTERER = "clusterer"
    OUTLIER_DETECTOR = "outlier detector"
    TRANSFORMER = "transformer"
    RECOMMENDER = "recommender"


TOLERANCE = 1e-9
"""How far a number may lie from the model's own, relative to it."""


@dataclass(frozen=True)
class Program:
    """A whole model. Nodes read only nodes before them; `columns` are the inputs in the order of `Input.index`.

    `tolerance` is how far its numbers may lie from the model's own, relative: more than TOLERANCE only where the model
    itself computes in fewer digits, for the reason in `approximation`. `as_is` is the same model, of the same columns
    and outputs, as the ONNX graph that it was made from: ONNX then runs that graph itself. With `domains`, by the
    number of an input column, it is for rows with such values alone: it may compute anything for others, and SQL and
    ONNX refuse them.

    Raises ValueError if a node reads a later node, a column that does not exist, or the wrong type of column.
    """

    kind: ModelKind
    columns: tuple[Column, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Output, ...]
    tolerance: float = TOLERANCE
    approximation: str = ""
    as_is: Program | None = None
    domains: Mapping[int, Domain] = field(default_factory=dict)

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


def needed(nodes: Sequence[Node], outputs: Iterable[Output], *, checks: bool = True) -> list[bool]:
    """For each node, whether an output depends on it. With `checks` a Check is always needed: it can refuse the row."""
    keep = [checks and isinstance(node, Check) for node in nodes]
    for output in outputs:
        for ref in output.columns:
            keep[ref.node] = True
    for position in range(len(nodes) - 1, -1, -1):
        if keep[position]:
            for ref in nodes[position].inputs:
                keep[ref.node] = True
    return keep
