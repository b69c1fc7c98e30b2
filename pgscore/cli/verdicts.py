"""`pgscore check`: what the compiler says to each step of a model, not only to the first one that it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pgscore.compiler.frontends import FRONTENDS
from pgscore.compiler.frontends.builder import Builder
from pgscore.errors import UnsupportedError


@dataclass(frozen=True)
class Verdict:
    """One step: its path within the model, its class, and why it cannot be compiled (None: it can)."""

    step: str
    estimator: str
    reason: str | None = None
    way_forward: str | None = None


def verdicts(estimator: Any, refusal: UnsupportedError | None) -> list[Verdict]:
    """A verdict for each step that computes something; composites stand for their parts.

    `refusal` is what the compiler said to the whole model: a step may compile alone and not where it stands.
    """
    found = [_verdict(path, step) for path, step in _steps(estimator, ())]
    if refusal is None:
        return found
    return [
        replace(verdict, reason=refusal.reason, way_forward=refusal.way_forward)
        if verdict.step == refusal.step and verdict.reason is None
        else verdict
        for verdict in found
    ]


def _steps(estimator: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    parts = _parts(estimator)
    if parts is None:
        yield path, estimator
        return
    for name, part in parts:
        if not isinstance(part, str) and part is not None:
            yield from _steps(part, (*path, name))


def _parts(estimator: Any) -> list[tuple[str, Any]] | None:
    """The named parts of a composite that pgscore knows, fitted; None for any other estimator."""
    if type(estimator) not in FRONTENDS:
        return None
    if hasattr(estimator, "transformers_"):
        return [(name, part) for name, part, _ in estimator.transformers_]
    for attribute in ("steps", "transformer_list"):
        if hasattr(estimator, attribute):
            return [(name, part) for name, part in getattr(estimator, attribute)]
    return None


def _verdict(path: tuple[str, ...], step: Any) -> Verdict:
    """Compiles the step alone, on columns of its own: what an earlier step refuses hides nothing of a later one."""
    builder = Builder([f"x{index}" for index in range(getattr(step, "n_features_in_", 1))], FRONTENDS)
    name = ".".join(path) or "model"
    try:
        with builder.step(name):
            builder.convert(step, builder.inputs)
    except UnsupportedError as error:
        return Verdict(name, type(step).__name__, error.reason, error.way_forward)
    return Verdict(name, type(step).__name__)
