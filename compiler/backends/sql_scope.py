"""Where a program is rendered: the values of its columns so far, and the variables and conditions they need."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar, cast

import numpy as np

from .. import ir
from ..artifact import Parameter
from ..fact import Fact
from ..facts import Facts
from ..ir import Ref
from .sql_text import Form, Kind, Value, double, rendered_codes, without_nan

T = TypeVar("T")

MAX_ARGUMENTS = 100
"""PostgreSQL's limit. Beyond it parameters are fields of a row, which are worth a variable if read twice."""


class TooLargeError(Exception):
    """The text outgrew its limit; caught within the SQL backend's callers, never shown."""


@dataclass
class Scope:
    """One rendering of a program.

    `results` are the columns that it gives, `uses` says how often the text of each column is read.

    With `variables` the text is a plpgsql block: values that are read more than once become variables, in the order of
    evaluation. Without, it is one expression, and they are repeated; `limit` bounds its length. `carrier` is a column
    that is NULL where a guard of it refuses the row, and makes the result NULL.
    """

    program: ir.Program
    parameters: Sequence[Parameter]
    facts: Facts
    results: Sequence[Ref]
    uses: Counter[Ref]
    variables: bool
    limit: int = sys.maxsize
    carrier: Ref | None = None
    values: dict[Ref, Value] = field(default_factory=dict)
    declared: list[str] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    _shared: dict[int, object] = field(default_factory=dict)

    def __getitem__(self, ref: Ref) -> Value:
        return self.values[ref]

    def fact(self, ref: Ref) -> Fact:
        """What is known of the column."""
        return self.facts.of[ref]

    def wanted(self, position: int) -> list[int]:
        """The columns of a node that something reads."""
        return [c for c in range(self.program.nodes[position].width) if self.uses[Ref(position, c)]]

    def shared(self, position: int, make: Callable[[], T]) -> T:
        """What `make` gives, made once for all columns of the node."""
        if position not in self._shared:
            self._shared[position] = make()
        return self._shared[position]  # type: ignore[return-value]

    def variable(self, kind: str, value: str, name: str) -> str:
        """Declares a variable that starts as `value`; gives its name, which no parameter has."""
        taken = {p.name.lower() for p in self.parameters}
        name = f"{name}{len(self.declared) + 1}"
        while name in taken:
            name += "_"
        self.declared.append(f"{name} {kind};")
        self.assign(name, value)
        return name

    def assign(self, name: str, value: str) -> None:
        """Gives the variable a value from here on."""
        self.statements.append(f"{name} := {value};")

    def require(self, condition: str) -> None:
        """Refuses the row unless the condition is true."""
        if self.variables:
            self.statements.append(refusal(condition))
        else:
            self.conditions.append(condition)

    def set(self, ref: Ref, value: Value, name: str) -> None:
        """Takes the value of a column; keeps it in a variable where it is read more than once."""
        if self.variables and self.uses[ref] > 1:
            if value.kind is Kind.CODE:
                value = rendered_codes(value)
            value = without_nan(value)
            if value.form is not Form.SIMPLE:
                value = self.keep(value, name)
        if len(value.sql) > self.limit:
            raise TooLargeError
        self.values[ref] = value

    def keep(self, value: Value, name: str) -> Value:
        """The value in a variable."""
        kind = "boolean" if value.kind is Kind.FLAG else value.kind.value
        return replace(value, sql=self.variable(kind, value.sql, name), form=Form.SIMPLE, coded=None)


def present(ref: Ref, scope: Scope) -> Value:
    """A double that is not missing: these nodes have no answer for a missing value, so it refuses the row."""
    value = double(scope[ref])
    if value.missing:
        scope.require(f"{value.operand} < 'NaN'::float8")
    return replace(value, null=False, nan=False)


def refusal(condition: str) -> str:
    """The statement that refuses the row unless the condition is true."""
    return f"IF ({condition}) IS NOT TRUE THEN\n  RETURN NULL;\nEND IF;"


def count_uses(program: ir.Program, facts: Facts, results: Sequence[Ref]) -> Counter[Ref]:
    """How often the text of each column appears in what computes `results`; 0 for columns that nothing reads."""
    uses: Counter[Ref] = Counter()
    for ref in results:
        uses[ref] += 1
    for ref, guards in facts.computed.items():
        uses[ref] += len(guards)
    for position in range(len(program.nodes) - 1, -1, -1):
        node = program.nodes[position]
        wanted = [c for c in range(node.width) if uses[Ref(position, c)]]
        if wanted and not isinstance(node, ir.Check):
            for ref, times in zip(node.inputs, _reads(node, wanted, facts), strict=True):
                uses[ref] += times
    return uses


def _reads(node: ir.Node, wanted: list[int], facts: Facts) -> list[int]:
    """How often the text of the wanted columns names each input."""
    match node:
        case ir.Trees():
            inner = node.forest.feature[node.forest.feature >= 0]
            reads = np.bincount(inner, minlength=len(node.inputs)).tolist()
        case ir.Affine():
            reads = np.count_nonzero(node.weights[wanted], axis=0).tolist()
        case ir.OneHot() | ir.Lookup():
            reads = [len(wanted)]
        case ir.WeightedMedian():
            reads = [2 * len(node.inputs)] * len(node.inputs)
        case ir.Softmax() | ir.Normalize() | ir.ArgMax():
            reads = [2] * len(node.inputs)
        case ir.Elementwise() | ir.Piecewise() | ir.Divide() | ir.Kernel() | ir.Neighbors() | ir.CouplePairwise():
            reads = [2] * len(node.inputs)  # often more; a second variable costs nothing
        case ir.Clip():
            reads = [(3 if facts.of[ref].missing else 1) if c in wanted else 0 for c, ref in enumerate(node.inputs)]
        case _ if len(node.inputs) == node.width:
            reads = [int(c in wanted) for c in range(node.width)]
        case _:
            reads = [1] * len(node.inputs)
    return cast(list[int], reads)
