"""The compiled model: the only value that crosses from the compiler to procedures/.

An artifact holds text and bytes, no scikit-learn and no database: the SQL bodies of the model's functions, the ONNX
graph where the strategy needs one, the signature, and the values the parity gate should probe.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, ClassVar

from .costs import Estimate
from .ir import TOLERANCE, Dtype, Label, ModelKind

if TYPE_CHECKING:
    from .factorisation import Factorisation
    from .where import Where


class SqlType(Enum):
    """The types of parameters, as PostgreSQL spells them."""

    DOUBLE = "double precision"
    INTEGER = "integer"
    BIGINT = "bigint"
    BOOLEAN = "boolean"
    TEXT = "text"

    @property
    def dtype(self) -> Dtype:
        """What the IR sees of it."""
        return Dtype.TEXT if self is SqlType.TEXT else Dtype.NUMBER


@dataclass(frozen=True)
class Parameter:
    """One input of the model as a typed SQL argument; its name is the model's column name."""

    name: str
    type: SqlType


class Strategy(Enum):
    """How the model runs in the database (docs/architecture.md)."""

    SQL = "sql"
    PLPGSQL = "plpgsql"
    ONNX = "onnx"


class Use(Enum):
    """What the functions of a version are called for."""

    QUERY = "query"
    REFRESH = "refresh"
    ONE = "one row"


ONE_ROW = "one"
"""The suffix of the function that gives the main result of one row, where it runs in another way than the main one."""

_HOLE = re.compile("\0(\\d+)\0")


@dataclass(frozen=True)
class Template:
    """SQL text with holes for the parameters, so that one body serves named arguments and the table's row type.

    A hole is `Template.hole(i)`. It is written with NUL characters, which no SQL text can hold: a category or a column
    name cannot be mistaken for one.
    """

    text: str

    @staticmethod
    def hole(index: int) -> str:
        """The text that stands for parameter `index`."""
        return f"\0{index}\0"

    def render(self, reference: Callable[[int], str]) -> str:
        """The SQL, with each hole replaced by `reference(index)`."""
        return _HOLE.sub(lambda match: reference(int(match[1])), self.text)


@dataclass(frozen=True)
class Function:
    """One SQL function of a model version.

    `suffix` is "" for the main one (`score.churn`), else such as "label" (`score.churn_label`). `method` says in Python
    what it equals, such as "predict_proba(X)[:, 1]". `body` is an expression for language sql and a whole plpgsql block
    (`DECLARE … BEGIN … END`) for plpgsql. `outputs` are the columns of the ONNX graph's output from which refresh makes
    its result without calling it, with `labels` where its one column is a class index; none where refresh calls it.
    """

    suffix: str
    method: str
    result: str
    language: str
    body: Template
    outputs: tuple[int, ...]
    labels: tuple[Label, ...] | None = None

    @property
    def strategy(self) -> Strategy:
        """How it runs where it is called."""
        return Strategy.ONNX if OnnxGraph.OUTPUTS.text in self.body.text else Strategy(self.language)


@dataclass(frozen=True)
class OnnxGraph:
    """The graph: one input `features` (rows, len(features)) and one output `outputs` (rows, n_outputs), both double.

    Feature i is computed in SQL by `features[i]`, NULL for missing; a refused row gives NaN in each output. The bodies
    of the functions hold `OUTPUTS` where the outputs of the row stand: SQL of type float8[], NULL for NaN.
    """

    OUTPUTS: ClassVar[Template] = Template(Template.hole(10**6))
    """A hole that no parameter has."""

    content: bytes = field(repr=False)
    features: tuple[Template, ...]
    n_outputs: int

    @property
    def row(self) -> Template:
        """The features of one row: an expression of type float8[], with NaN for what is missing."""
        features = ", ".join(f"coalesce({feature.text}, 'NaN')" for feature in self.features)
        return Template(f"ARRAY[{features}]::float8[]")

    @property
    def sha256(self) -> str:
        """The hash that names the graph in the catalog and in the session cache, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class Artifact:
    """A model compiled for one signature. `functions[0]` is the main one.

    `strategy` is how its functions run in queries, `uses` how each use runs, and `reason` says why; `estimates` are
    what each use would cost in each available strategy. `estimator` describes the model in words, `libraries` maps the
    packages that made the model to their versions, and `probes` maps a parameter to values at which the model changes
    its answer (thresholds) or its treatment (categories). `paths` are partial rows that reach the splits of its trees.
    Numbers lie within `tolerance` of the model's own; `approximation` says why it is more than usual, if it is. With
    `factors` the functions have no bodies here: they read tables, which pgscore.make_factors makes together with them.
    With `where` they give NULL for rows that do not satisfy it.
    """

    kind: ModelKind
    estimator: str
    parameters: tuple[Parameter, ...]
    functions: tuple[Function, ...]
    strategy: Strategy
    reason: str
    model_sha256: str
    onnx: OnnxGraph | None = None
    libraries: Mapping[str, str] = field(default_factory=dict)
    probes: Mapping[str, tuple[float | str, ...]] = field(default_factory=dict)
    paths: tuple[Mapping[str, float], ...] = ()
    tolerance: float = TOLERANCE
    approximation: str = ""
    factors: Factorisation | None = None
    where: Where | None = None
    uses: Mapping[Use, Strategy] = field(default_factory=dict)
    estimates: Mapping[Use, Mapping[Strategy, Estimate]] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """The hash over everything that decides an answer: signature, bodies, graph, factors."""
        content = {
            "parameters": [(p.name, p.type.value) for p in self.parameters],
            "functions": [(f.suffix, f.result, f.language, f.body.text) for f in self.functions],
            "onnx": self.onnx.sha256 if self.onnx else None,
        }
        if self.factors is not None:
            content |= {"factors": self.factors.sha256, "rating": self.factors.rating}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
