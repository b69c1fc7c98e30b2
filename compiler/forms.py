"""How large a program is in each form that it can take in the database; `pgscore check` asks before a deploy.

The figures of time come from the cost model, those of memory from measurements of server processes (VmHWM) on
PostgreSQL 15 and 18: forests, networks and tables of categories take 30 to 50 bytes for each character of an inlined
body, which every plan parses, and 45 to 130 for each character in plpgsql, whose plans a session keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pgscore.errors import UnsupportedError

from . import ir
from .artifact import Artifact, Parameter, Strategy, Use
from .build import build
from .costs import DEFAULTS, Costs
from .rewrites import simplify
from .strategy import MAX_PLANNING, estimates, inline_characters, measure

BYTES = {Strategy.SQL: 40, Strategy.PLPGSQL: 80}
"""Bytes of a server process's memory for each character of a body."""
MAX_MEMORY = 256
"""Megabytes of a server process from which on SQL is a bad idea."""
_MEASURED_ITEMS = 300_000
_PER_ITEM = 45  # characters for an operation, a split or a category, as measured on forests and networks


@dataclass(frozen=True)
class Form:
    """One form of all functions together. `characters` are those of SQL, `bytes` those of a graph, the other is 0.

    `start` is what a query pays before its first row, in milliseconds, and `memory` what a server process holds, in
    megabytes. `exactly` is false where the size is an estimate, or a limit that it exceeds. `against` says why it is a
    bad idea, if it is.
    """

    strategy: Strategy
    characters: int = 0
    bytes: int = 0
    start: float = 0.0
    memory: float = 0.0
    exactly: bool = True
    against: str = ""


def forms(program: ir.Program, parameters: Sequence[Parameter], costs: Costs = DEFAULTS) -> list[Form]:
    """The forms that the program has: inline SQL, plpgsql, ONNX. Builds none that would be gigantic."""
    longest = inline_characters(costs)
    size = measure(simplify(program, frozenset()))
    items = size.operations + size.splits + size.categories
    found = []
    inline = _built(program, parameters, Strategy.SQL) if items * _PER_ITEM < 10 * longest else None
    plpgsql = _built(program, parameters, Strategy.PLPGSQL) if items < _MEASURED_ITEMS else None
    if inline is not None or plpgsql is not None or items >= _MEASURED_ITEMS:
        characters = _characters(inline) if inline else longest
        size = replace(size, characters=len(inline.functions[0].body.text) if inline else longest)
        costs_of = estimates(size, costs)[Use.QUERY]
        found.append(_form(Strategy.SQL, characters, costs_of[Strategy.SQL].start, exactly=inline is not None))
        characters = _characters(plpgsql) if plpgsql else items * _PER_ITEM
        found.append(_form(Strategy.PLPGSQL, characters, costs_of[Strategy.PLPGSQL].start, exactly=plpgsql is not None))
    graph = _built(program, parameters, Strategy.ONNX)
    if graph is not None and graph.onnx is not None:
        found.append(Form(Strategy.ONNX, bytes=len(graph.onnx.content)))
    return found


def _built(program: ir.Program, parameters: Sequence[Parameter], strategy: Strategy) -> Artifact | None:
    try:
        return build(program, parameters, available=frozenset({strategy}))
    except UnsupportedError:
        return None


def _characters(artifact: Artifact) -> int:
    return sum(len(function.body.text) for function in artifact.functions)


def _form(strategy: Strategy, characters: int, start: float, *, exactly: bool) -> Form:
    """`start` in microseconds."""
    memory = characters * BYTES[strategy] / 1e6
    reasons = []
    if strategy is Strategy.SQL and start > MAX_PLANNING:
        reasons.append(f"{start / 1000:.1f} ms of planning in every query")
    if memory > MAX_MEMORY:
        reasons.append(f"{memory:,.0f} MB in each server process")
    return Form(strategy, characters, 0, start / 1000, memory, exactly, " and ".join(reasons))
