"""Which way a program runs in the database, and why, in one sentence.

The cost model is fitted to measurements on PostgreSQL 15 and 18: what a row costs, and what a query pays before its
first row, since an inlined body is copied into every plan and planned anew.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pgscore.errors import UnsupportedError

from . import ir
from .artifact import Strategy

FORCED_CHARACTERS = 10_000_000
"""The longest body that is inlined when the user asks for it: 40 bytes of the server's memory for each character."""
MAX_MEMORY = 500_000_000
"""The bytes that a function in plpgsql may take of the server process that runs it."""
BYTES_OF_TREES, BYTES_OF_OTHERS = 50, 130
"""Bytes of memory for each character of plpgsql: measured 45 for trees, 80 for networks, 130 for lists of names."""
MAX_PLANNING = 2.5
"""Milliseconds before a query's first row from which on it is not worth it: to plan an inlined body, or to start one in
plpgsql."""
PLANNING_A_CHARACTER = 0.00005
"""Milliseconds for each character of an inlined body, which is copied into every plan: measured 0.00003 for trees and
0.00005 for sums."""
INLINE_CHARACTERS = round(MAX_PLANNING / PLANNING_A_CHARACTER)
"""The longest body that `auto` inlines."""


@dataclass(frozen=True)
class Size:
    """How much a program computes.

    `operations` are what each row computes outside trees; `splits` the inner nodes of all trees, `steps` how many of
    them a row meets on its way; `categories` all that are named, which a row searches. `characters` are
    those of the inlined body once it is written: it may repeat terms.
    """

    operations: int
    splits: int
    steps: float
    categories: int = 0
    characters: int = 0

    @property
    def planning(self) -> float:
        """Milliseconds that planning an inlined body takes."""
        computed = 0.15 + 0.002 * (self.operations + self.categories) + 0.005 * self.splits
        return max(computed, PLANNING_A_CHARACTER * self.characters)

    @property
    def inline(self) -> float:
        """Microseconds for a row where the body is inlined."""
        return 0.3 + 0.02 * self.operations + 0.016 * self.walk

    @property
    def plpgsql(self) -> float:
        """Microseconds for a row in plpgsql."""
        return 1.0 + 0.02 * self.operations + 0.025 * self.walk

    @property
    def start(self) -> float:
        """Milliseconds in which plpgsql makes its cached plans ready, for each query."""
        return 0.00026 * self.splits

    @property
    def onnx(self) -> float:
        """Microseconds for a row of a refresh, which goes through ONNX in batches."""
        return 2.5 + 0.001 * self.operations + 0.008 * self.steps

    @property
    def walk(self) -> float:
        """The steps, weighted: a large expression no longer fits the processor's caches."""
        return self.steps * (1 + self.splits / 10_000)


ONNX_CALL = 50.0
"""Microseconds for a row through the function, which calls PL/Python."""


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
    return Size(operations, splits, steps, categories)


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


def choose(size: Size, available: frozenset[Strategy]) -> tuple[Strategy, str]:
    """The strategy for a program of this size, and the reason as a sentence.

    Inline SQL while a query's planning stays short, ONNX where plpgsql would be slow to start or slower than a call for
    each row, and plpgsql in between. Raises UnsupportedError where none is available.
    """
    if not available:
        raise UnsupportedError("model", "no strategy is available", "allow sql, plpgsql or onnx")
    shape = f"{size.operations:,} operations"
    if size.splits or size.categories > size.operations:
        shape = f"{size.splits:,} tree splits" if size.splits else f"{size.categories:,} categories"
    inline = f"inline SQL: about {size.inline:.1f} µs a row, {size.planning:.1f} ms of planning a query"
    plpgsql = f"plpgsql: about {size.plpgsql:.0f} µs a row, {size.start:.1f} ms to start a query"
    onnx = f"ONNX: about {ONNX_CALL + size.onnx:.0f} µs a row, {size.onnx:.0f} µs in a refresh"
    small = size.planning <= MAX_PLANNING
    large = size.plpgsql > ONNX_CALL + size.onnx or size.start > MAX_PLANNING
    order = {
        Strategy.SQL: (0 if small else 2, f"{shape} are small enough to plan in every query ({inline})"),
        Strategy.ONNX: (0.5 if large else 3, f"{shape} are large ({onnx}; {plpgsql})"),
        Strategy.PLPGSQL: (1, f"{shape} would cost too much planning in every query ({plpgsql}; {inline})"),
    }
    best = min(available, key=lambda strategy: order[strategy][0])
    rank, reason = order[best]
    if rank >= 2 or (best is Strategy.PLPGSQL and (small or large)):
        names = ", ".join(sorted(s.value for s in available))
        estimate = {Strategy.SQL: inline, Strategy.ONNX: onnx, Strategy.PLPGSQL: plpgsql}[best]
        reason = f"the best of what is available ({names}) for {shape} ({estimate})"
    return best, reason
