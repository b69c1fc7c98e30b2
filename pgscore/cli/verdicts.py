"""`pgscore check`: what the compiler says to each step of a model, not only to the first one that it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from pgscore.compiler.artifact import Strategy
from pgscore.compiler.build import default_parameters
from pgscore.compiler.forms import forms
from pgscore.compiler.frontends import FRONTENDS, REFUSED
from pgscore.compiler.frontends.builder import Builder
from pgscore.compiler.frontends.compose import input_names, parts
from pgscore.compiler.ir import TOLERANCE, Program, Subgraph
from pgscore.compiler.onnx_model import OnnxModel
from pgscore.errors import UnsupportedError


class Way(Enum):
    """How a step can run, and how near its answers come."""

    SQL = "SQL exact"
    ONNX = "ONNX exact"
    APPROXIMATE = "approximate"
    ONNX_APPROXIMATE = "ONNX approximate"
    REFUSED = "refused"


@dataclass(frozen=True)
class Verdict:
    """One step: its path within the model, its class, how it runs, and what there is to say about that.

    `reason` tells why it is refused, approximate, or better not run in SQL; `way_forward` what to do about a refusal.
    """

    step: str
    estimator: str
    way: Way = Way.SQL
    reason: str | None = None
    way_forward: str | None = None

    def __str__(self) -> str:
        return ": ".join(filter(None, [self.way.value, "; ".join(filter(None, [self.reason, self.way_forward]))]))


def verdicts(estimator: Any, refusal: UnsupportedError | None) -> list[Verdict]:
    """A verdict for each step that computes something; composites stand for their parts.

    `refusal` is what the compiler said to the whole model: a step may compile alone and not where it stands, and a
    composite may be refused for an option of its own.
    """
    found = [_verdict(path, step) for path, step in _steps(estimator, ())]
    if refusal is None or any(v.step == refusal.step and v.way is Way.REFUSED for v in found):
        return found
    refused = Verdict(refusal.step, "", Way.REFUSED, refusal.reason, refusal.way_forward)
    if all(v.step != refusal.step for v in found):
        return [*found, refused]
    return [replace(refused, estimator=v.estimator) if v.step == refusal.step else v for v in found]


def _steps(estimator: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    named = parts(estimator)
    if named is None:
        yield path, estimator
        return
    for name, part in named:
        if not isinstance(part, str) and part is not None:
            yield from _steps(part, (*path, name))


def _verdict(path: tuple[str, ...], step: Any) -> Verdict:
    """Compiles the step alone, on columns of its own: what an earlier step refuses hides nothing of a later one."""
    builder = Builder(input_names(step) or ["x0"], FRONTENDS, REFUSED)
    verdict = Verdict(".".join(path) or "model", type(step).__name__)
    try:
        with builder.step(verdict.step):
            result = builder.convert(step, builder.inputs)
    except UnsupportedError as error:
        return replace(verdict, way=Way.REFUSED, reason=error.reason, way_forward=error.way_forward)
    try:
        program = builder.finish(result)
    except UnsupportedError:  # what it gives is for the next step: text, say
        return verdict
    return _judged(verdict, program)


def _judged(verdict: Verdict, program: Program) -> Verdict:
    """What the size of the step's program, and its own precision, say."""
    found = {form.strategy: form for form in forms(program, default_parameters(program))}
    if program.tolerance > TOLERANCE:
        way = Way.APPROXIMATE if Strategy.PLPGSQL in found else Way.ONNX_APPROXIMATE
        reason = f"within {program.tolerance:g}: {program.approximation}"
        if verdict.estimator == OnnxModel.__name__:
            reason += "; as ONNX it gives its own answers"
        return replace(verdict, way=way, reason=reason)
    if Strategy.PLPGSQL not in found:
        return replace(verdict, way=Way.ONNX, reason=program.approximation or _why_not_sql(program))
    if all(found[strategy].against for strategy in (Strategy.SQL, Strategy.PLPGSQL)):
        return replace(verdict, way=Way.ONNX, reason=f"SQL would take {found[Strategy.PLPGSQL].against}")
    return verdict


def _why_not_sql(program: Program) -> str:
    reasons = (node.reason for node in program.nodes if isinstance(node, Subgraph))
    return next(filter(None, reasons), "it has no form in SQL")
