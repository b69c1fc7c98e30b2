"""The functions of one version, as SQL: a plan without a database. docs/architecture.md says which there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pgscore.compiler.artifact import Artifact, Function, OnnxGraph, Parameter, Template
from pgscore.quoting import ident, literal

from .binding import Binding
from .plan import Statement

MAX_ARGUMENTS = 100
"""PostgreSQL's limit; a model with more inputs has only the functions that take a row."""

LINE = 100
"""Arguments that take more characters stand on lines of their own."""

STAGING = "pgscore_staging"
"""Where a deploy creates the functions; pgscore.publish_functions moves them to SCHEMA."""

SCHEMA = "score"

FEATURES, OUTPUTS = "features", "outputs"
"""Suffixes of an ONNX version's own functions: what the graph is given for a row, and the graph itself."""


def function_name(name: str, version: int, suffix: str = "") -> str:
    """The name of a version's function within schema score, such as churn_v3_label."""
    return f"{name}_v{version}" + (f"_{suffix}" if suffix else "")


@dataclass(frozen=True)
class VersionPlan:
    """A version to be created, bound to a table."""

    name: str
    version: int
    artifact: Artifact
    binding: Binding

    def statements(self, schema: str = SCHEMA) -> list[Statement]:
        """The statements that create all functions of the version in `schema`.

        Of an ONNX version, score.NAME_vVERSION_outputs is there already (pgscore.add_graph), of a factorisation
        score.NAME_vVERSION of user and item (pgscore.make_factors).
        """
        return [statement for function in self._functions() for statement in self._forms(function, schema)]

    def _functions(self) -> Iterator[Function]:
        graph = self.artifact.onnx
        if graph is not None:
            method = "the inputs of the ONNX graph"
            yield Function(FEATURES, method, "double precision[]", "sql", graph.row, ())
        yield from self.artifact.functions

    def _forms(self, function: Function, schema: str) -> Iterator[Statement]:
        """The function by name, which computes, and by row, which calls it; beyond 100 inputs by row alone."""
        binding, parameters = self.binding, self.artifact.parameters
        # An SQL function is inlined only where it promises no more than what it calls: the text of an enum is STABLE.
        volatility = "IMMUTABLE" if binding.immutable else "STABLE"
        qualified = self._qualified(function.suffix, schema)
        says = f"{self.name} v{self.version}: {function.method} of {self.artifact.estimator}"
        if self.artifact.where is not None:
            says += f", for rows where {self.artifact.where}; NULL for others"
        by_row = f"r {binding.table}"
        if len(parameters) > MAX_ARGUMENTS:
            outputs = self._outputs("$1", schema)
            body = _body(
                function,
                lambda i: binding.reference(i, "(r)"),
                lambda i: binding.reference(i, "($1)"),
                outputs,
                volatility,
            )
            yield Statement(_create(qualified, by_row, function, body), says)
        else:
            computes = qualified
            if self.artifact.factors is None:
                outputs = self._outputs(", ".join(f"${i + 1}" for i in range(len(parameters))), schema)
                yield Statement(function_by_name(qualified, parameters, function, outputs), says)
                types = ", ".join(p.type.value for p in parameters)
                yield Statement(f"COMMENT ON FUNCTION {qualified}({types}) IS {literal(says)}")
            else:
                computes = self._qualified(function.suffix, SCHEMA)
            passed = ", ".join(f"{ident(p.name)} => {binding.reference(i, '(r)')}" for i, p in enumerate(parameters))
            call = f"LANGUAGE sql {volatility} PARALLEL SAFE\nRETURN {computes}({passed})"
            yield Statement(_create(qualified, by_row, function, call), f"The same for a row of {binding.table}")
        yield Statement(f"COMMENT ON FUNCTION {qualified}({binding.table}) IS {literal(says)}")

    def _outputs(self, arguments: str, schema: str) -> str:
        """The outputs of the graph for the function's own arguments."""
        # A deploy creates the functions elsewhere, but the graph's own is where it stays.
        return f"{self._qualified(OUTPUTS, SCHEMA)}({self._qualified(FEATURES, schema)}({arguments}))"

    def _qualified(self, suffix: str, schema: str) -> str:
        return ident(schema, function_name(self.name, self.version, suffix))


def function_by_name(qualified: str, parameters: Sequence[Parameter], function: Function, outputs: str = "") -> str:
    """CREATE FUNCTION with one named argument for each parameter; it needs no table.

    `outputs` is SQL for the outputs of an ONNX graph, with the parameters by position.
    """
    arguments = [f"{ident(p.name)} {p.type.value}" for p in parameters]
    named = ", ".join(arguments)
    if len(named) > LINE:
        named = "\n  " + ",\n  ".join(arguments) + "\n"
    body = _body(function, lambda i: ident(parameters[i].name), lambda i: f"${i + 1}", outputs)
    return _create(qualified, named, function, body)


def _create(qualified: str, arguments: str, function: Function, body: str) -> str:
    return f"CREATE FUNCTION {qualified}({arguments})\nRETURNS {function.result}\n{body}"


def _body(
    function: Function,
    by_name: Callable[[int], str],
    by_position: Callable[[int], str],
    outputs: str = "",
    volatility: str = "IMMUTABLE",
) -> str:
    """Language, footer and body of the function that computes.

    An SQL body without sub-selects is parsed when it is created and inlined where it is called: no SET, no STRICT. In a
    sub-select a column hides a parameter of the same name, and in plpgsql a variable does: there, parameters are
    written by position.
    """
    if function.language == "sql":
        hides = "SELECT" in function.body.text.upper()
        body = Template(function.body.text.replace(OnnxGraph.OUTPUTS.text, outputs))
        expression = body.render(by_position if hides else by_name)
        return f"LANGUAGE sql {volatility} PARALLEL SAFE\nRETURN {expression}"
    text = function.body.render(by_position)
    tag = dollar_tag(text)
    return (
        f"LANGUAGE plpgsql {volatility} PARALLEL SAFE\nSET search_path = pg_catalog, pg_temp\n"
        f"AS {tag}\n{text.strip()}\n{tag}"
    )


def dollar_tag(text: str) -> str:
    """A dollar quote that does not occur in the text, not even in part."""
    word, number = "body", 0
    while f"${word}" in text:
        number += 1
        word = f"body{number}"
    return f"${word}$"
