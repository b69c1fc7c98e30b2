"""The functions of one version, as SQL: a plan without a database. docs/architecture.md says which there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pgscore.compiler.artifact import Artifact, Function, Parameter
from pgscore.quoting import ident, literal

from .binding import Binding
from .plan import Statement

MAX_ARGUMENTS = 100
"""PostgreSQL's limit; a model with more inputs has only the functions that take a row."""

LINE = 100
"""Arguments that take more characters stand on lines of their own."""

SCORER = "pgscore_scorer"


def function_name(name: str, version: int, suffix: str = "") -> str:
    """The name of a version's function within schema score, such as churn_v3_label."""
    return f"{name}_v{version}" + (f"_{suffix}" if suffix else "")


@dataclass(frozen=True)
class VersionPlan:
    """A version to be created. With `scorer`, the role pgscore_scorer exists and gets EXECUTE; PUBLIC never does."""

    name: str
    version: int
    artifact: Artifact
    binding: Binding
    scorer: bool

    def statements(self) -> list[Statement]:
        """The statements that create all functions of the version."""
        return [statement for function in self.artifact.functions for statement in self._forms(function)]

    def _forms(self, function: Function) -> list[Statement]:
        binding, parameters = self.binding, self.artifact.parameters
        qualified = ident("score", function_name(self.name, self.version, function.suffix))
        row, in_row = f"r {binding.table}", f"{qualified}({binding.table})"
        says = f"{self.name} v{self.version}: {function.method} of {self.artifact.estimator}"
        if len(parameters) > MAX_ARGUMENTS:
            body = _body(function, lambda i: binding.reference(i, "(r)"), lambda i: binding.reference(i, "($1)"))
            return [Statement(_create(qualified, row, function, body), says), self._rights(in_row, says)]
        by_name = f"{qualified}({', '.join(p.type.value for p in parameters)})"
        passed = ", ".join(f"{ident(p.name)} => {binding.reference(i, '(r)')}" for i, p in enumerate(parameters))
        call = f"LANGUAGE sql IMMUTABLE PARALLEL SAFE\nRETURN {qualified}({passed})"
        return [
            Statement(function_by_name(qualified, parameters, function), says),
            self._rights(by_name, says),
            Statement(_create(qualified, row, function, call), f"The same for a row of {binding.table}"),
            self._rights(in_row, says),
        ]

    def _rights(self, signature: str, comment: str) -> Statement:
        lines = [
            f"COMMENT ON FUNCTION {signature} IS {literal(comment)};",
            f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC;",
        ]
        if self.scorer:
            lines.append(f"GRANT EXECUTE ON FUNCTION {signature} TO {SCORER};")
        return Statement("\n".join(lines))


def function_by_name(qualified: str, parameters: Sequence[Parameter], function: Function) -> str:
    """CREATE FUNCTION with one named argument for each parameter; it needs no table."""
    arguments = [f"{ident(p.name)} {p.type.value}" for p in parameters]
    named = ", ".join(arguments)
    if len(named) > LINE:
        named = "\n  " + ",\n  ".join(arguments) + "\n"
    body = _body(function, lambda i: ident(parameters[i].name), lambda i: f"${i + 1}")
    return _create(qualified, named, function, body)


def _create(qualified: str, arguments: str, function: Function, body: str) -> str:
    return f"CREATE FUNCTION {qualified}({arguments})\nRETURNS {function.result}\n{body}"


def _body(function: Function, by_name: Callable[[int], str], by_position: Callable[[int], str]) -> str:
    """Language, footer and body of the function that computes.

    An SQL body without sub-selects is parsed when it is created and inlined where it is called: no SET, no STRICT. In a
    sub-select a column hides a parameter of the same name, and in plpgsql a variable does: there, parameters are
    written by position.
    """
    if function.language == "sql":
        hides = "SELECT" in function.body.text.upper()
        expression = function.body.render(by_position if hides else by_name)
        return f"LANGUAGE sql IMMUTABLE PARALLEL SAFE\nRETURN {expression}"
    text = function.body.render(by_position)
    tag = dollar_tag(text)
    return (
        "LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE\nSET search_path = pg_catalog, pg_temp\n"
        f"AS {tag}\n{text.strip()}\n{tag}"
    )


def dollar_tag(text: str) -> str:
    """A dollar quote that does not occur in the text, not even in part."""
    word, number = "body", 0
    while f"${word}" in text:
        number += 1
        word = f"body{number}"
    return f"${word}$"
