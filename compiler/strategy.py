"""Which way a program runs in the database, and why, in one sentence.

There are three uses, and each may run in another way: a query over many rows, a refresh, and a statement about one row.
What each costs is estimated from the size of the program (`costs.py`): what a row costs, and what a statement pays
before its first row, since an inlined body is copied into every plan and planned anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pgscore.errors import UnsupportedError

from . import ir
from .artifact import ONE_ROW, Strategy, Use
from .costs import DEFAULTS, Costs, Estimate

FORCED_CHARACTERS = 10_000_000
"""The longest body that is inlined when the user asks for it: 40 bytes of the server's memory for each character."""
MAX_MEMORY = 500_000_000
"""The bytes that a function in plpgsql may take of the server process that runs it."""
BYTES_OF_TREES, BYTES_OF_OTHERS = 50, 130
"""Bytes of memory for each character of plpgsql: measured 45 for trees, 80 for networks, 130 for lists of names."""
MAX_PLANNING = 2500.0
"""Microseconds before a query's first row from which on it is not worth it: to plan an inlined body, or to start one in
plpgsql."""
WORTH_A_GRAPH = 1.0
"""Microseconds a row by which a refresh must be quicker through ONNX for a version to get a graph for it."""
WORTH_A_FUNCTION = 500.0
"""Microseconds by which one row must be quicker in another form for a version to get a function for it."""


@dataclass(frozen=True)
class Size:
    """How much a program computes.

    `operations` are what each row computes outside trees; `splits` the inner nodes of all trees, `steps` how many of
    them a row meets on its way; `categories` all that are named, which a row searches; `inputs` the numbers that a
    graph gets. `characters` are those of the inlined body once it is written: it may repeat terms.
    """

    operations: int
    splits: int
    steps: float
    categories: int = 0
    inputs: int = 0
    characters: int = 0

    @property
    def walk(self) -> float:
        """The steps, weighted: a large expression no longer fits the processor's caches."""
        return self.steps * (1 + self.splits / 10_000)


def measure(program: ir.Program) -> Size:
    """The size of a program."""
    operations, splits, steps, categories = 0, 0, 0.0, 0
    for node, counts in zip(program.nodes, ir.needed(program.nodes, program.outputs, checks=False), strict=True):
        if not counts:
            continue
        if isinstance(node, ir.Trees):
            splits += int((node.forest.feature >= 0).sum())
            steps += _steps(node.forest)
        elif isinstance(node, ir.Affine):
            operations += int(np.count_nonzero(node.weights))
        elif isinstance(node, ir.Kernel | ir.Neighbors):
            operations += node.points.size * 4 + len(node.points) * (4 + node.width)
        elif isinstance(node, ir.CouplePairwise):
            operations += 30 * node.width**2
        elif isinstance(node, ir.Codes):
            categories += len(node.categories)
            operations += 1 + len(node.categories).bit_length()
        elif not isinstance(node, ir.Input):
            operations += node.width
    return Size(operations, splits, steps, categories, len(program.features()))


def _steps(forest: ir.Forest) -> float:
    """The inner nodes that a row meets, if each one sends half of the rows each way."""
    steps = 0.0
    front, weight = np.array(forest.roots), np.ones(forest.n_trees)
    while len(front):
        inner = forest.feature[front] >= 0
        front, weight = front[inner], weight[inner]
        steps += float(weight.sum())
        front = np.concatenate([forest.left[front], forest.right[front]])
        weight = np.concatenate([weight, weight]) / 2
    return steps


def inline_characters(costs: Costs) -> int:
    """The longest body that `auto` inlines."""
    return round(min(FORCED_CHARACTERS, MAX_PLANNING / max(costs.planning_character, 1e-9)))


def estimates(size: Size, costs: Costs = DEFAULTS) -> Mapping[Use, Mapping[Strategy, Estimate]]:
    """What each use costs in each strategy. A refresh alone gives ONNX many rows at once."""
    planning = max(
        costs.planning
        + costs.planning_operation * (size.operations + size.categories)
        + costs.planning_split * size.splits,
        costs.planning_character * size.characters,
    )
    inline = costs.inline + costs.inline_operation * size.operations + costs.inline_step * size.walk
    plpgsql = costs.plpgsql + costs.plpgsql_operation * size.operations + costs.plpgsql_step * size.walk
    batch = (
        costs.onnx
        + costs.onnx_input * size.inputs
        + costs.onnx_operation * size.operations
        + costs.onnx_step * size.steps
    )
    called = {
        Strategy.SQL: Estimate(inline, planning),
        Strategy.PLPGSQL: Estimate(plpgsql, costs.plpgsql_start + costs.plpgsql_split * size.splits),
        Strategy.ONNX: Estimate(costs.onnx_call + batch),
    }
    return {Use.QUERY: called, Use.REFRESH: {**called, Strategy.ONNX: Estimate(batch)}, Use.ONE: called}


def choose(size: Size, available: frozenset[Strategy], costs: Costs = DEFAULTS) -> tuple[Strategy, str]:
    """The strategy of a program of this size for queries, and the reason as a sentence.

    Inline SQL while a query's planning stays short, ONNX where plpgsql would be slow to start or slower than a call for
    each row, and plpgsql in between. Raises UnsupportedError where none is available.
    """
    if not available:
        raise UnsupportedError("model", "no strategy is available", "allow sql, plpgsql or onnx")
    shape = f"{size.operations:,} operations"
    if size.splits or size.categories > size.operations:
        shape = f"{size.splits:,} tree splits" if size.splits else f"{size.categories:,} categories"
    found = estimates(size, costs)
    of = found[Use.QUERY]
    batch = found[Use.REFRESH][Strategy.ONNX]
    inline, plpgsql, onnx = of[Strategy.SQL], of[Strategy.PLPGSQL], of[Strategy.ONNX]
    says = {
        Strategy.SQL: f"inline SQL: about {inline.row:.1f} µs a row, {inline.start / 1000:.1f} ms of planning a query",
        Strategy.PLPGSQL: f"plpgsql: about {plpgsql.row:.0f} µs a row, {plpgsql.start / 1000:.1f} ms to start a query",
        Strategy.ONNX: f"ONNX: about {onnx.row:.0f} µs a row, {batch.row:.0f} µs in a refresh",
    }
    small = inline.start <= MAX_PLANNING
    large = plpgsql.row > onnx.row or plpgsql.start > MAX_PLANNING
    order = {
        Strategy.SQL: (0 if small else 2, f"{shape} are small enough to plan in every query ({says[Strategy.SQL]})"),
        Strategy.ONNX: (0.5 if large else 3, f"{shape} are large ({says[Strategy.ONNX]}; {says[Strategy.PLPGSQL]})"),
        Strategy.PLPGSQL: (
            1,
            f"{shape} would cost too much planning in every query ({says[Strategy.PLPGSQL]}; {says[Strategy.SQL]})",
        ),
    }
    best = min(available, key=lambda strategy: order[strategy][0])
    rank, reason = order[best]
    if rank >= 2 or (best is Strategy.PLPGSQL and (small or large)):
        names = ", ".join(sorted(s.value for s in available))
        reason = f"the best of what is available ({names}) for {shape} ({says[best]})"
    return best, reason


def choose_others(
    found: Mapping[Use, Mapping[Strategy, Estimate]], strategy: Strategy, *, in_batches: bool
) -> tuple[dict[Use, Strategy], str]:
    """How each use runs where queries run as `strategy`; and why, of those that run otherwise.

    A refresh runs through ONNX where that saves WORTH_A_GRAPH and the result can be had `in_batches`. One row runs in
    another form where that saves WORTH_A_FUNCTION, ONNX last: a session's first call of it takes about 0.3 s.
    """
    uses, reason = dict.fromkeys(Use, strategy), ""
    refresh, one = found[Use.REFRESH], found[Use.ONE]
    onnx = refresh.get(Strategy.ONNX)
    if onnx is not None and in_batches and onnx.row <= refresh[strategy].row - WORTH_A_GRAPH:
        uses[Use.REFRESH] = Strategy.ONNX
        reason += f"; a refresh runs through ONNX in batches (about {onnx.row:.0f} µs a row)"
    for other in (Strategy.PLPGSQL, Strategy.ONNX):
        if other in one and one[other].one <= one[uses[Use.ONE]].one - WORTH_A_FUNCTION:
            uses[Use.ONE] = other
    if uses[Use.ONE] is not strategy:
        quicker = f"about {one[uses[Use.ONE]].one / 1000:.2f} ms instead of {one[strategy].one / 1000:.2f} ms"
        reason += f"; for one row there is score.NAME_{ONE_ROW} as {uses[Use.ONE].value} ({quicker})"
    return uses, reason
