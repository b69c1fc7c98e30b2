"""What the parts of a program cost on a server: the numbers that `strategy.py` chooses by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Costs:
    """Microseconds for each part of a program. The defaults are measured on PostgreSQL 15 and 18.

    An operation is one outside trees, a split an inner node of a tree, a step one of the splits that a row meets
    (`strategy.Size`). `pgscore calibrate` measures all of them on a server.
    """

    planning: float = 150.0
    """For each plan that an inlined body is copied into."""
    planning_operation: float = 2.0
    """For each operation, and each category, of such a body."""
    planning_split: float = 5.0
    """For each split of such a body."""
    planning_character: float = 0.05
    """For each character of such a body, where that is more than the three above: 0.03 for trees and 0.05 for sums."""
    inline: float = 0.3
    """For each row, where the body is inlined."""
    inline_operation: float = 0.02
    inline_step: float = 0.016
    plpgsql_start: float = 20.0
    """For each statement that calls a function in plpgsql, whose cached plans are made ready."""
    plpgsql_split: float = 0.26
    """For each split of such a function, in each statement."""
    plpgsql: float = 1.0
    """For each call of a function in plpgsql."""
    plpgsql_operation: float = 0.02
    plpgsql_step: float = 0.025
    onnx_call: float = 50.0
    """For each call of a function that runs its row through ONNX in PL/Python, beside the row itself."""
    onnx: float = 2.5
    """For each row, where a refresh gives 10,000 of them to ONNX at once."""
    onnx_operation: float = 0.001
    onnx_step: float = 0.008


DEFAULTS = Costs()


@dataclass(frozen=True)
class Estimate:
    """Microseconds for a row, and those that a statement pays before its first row."""

    row: float
    start: float = 0.0

    @property
    def one(self) -> float:
        """Microseconds for a statement about one row."""
        return self.start + self.row
