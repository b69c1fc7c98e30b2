"""What the parts of a program cost on a server: the numbers that `strategy.py` chooses by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Costs:
    """Microseconds for each part of a program. The defaults are measured on PostgreSQL 15 and 18.

    An operation is one outside trees, a split an inner node of a tree, a step one of the splits that a row meets
    (`strategy.Size`). `pgscore calibrate` measures all of them on a server.
    """

    planning: float = 10.0
    """For each plan that an inlined body is copied into."""
    planning_operation: float = 3.3
    """For each operation, and each category, of such a body."""
    planning_split: float = 2.6
    """For each split of such a body."""
    planning_character: float = 0.032
    """For each character of such a body, where that is more than the three above: it may repeat its terms."""
    inline: float = 0.03
    """For each row, where the body is inlined."""
    inline_operation: float = 0.018
    inline_step: float = 0.016
    plpgsql_start: float = 30.0
    """For each statement that calls a function in plpgsql, whose cached plans are made ready."""
    plpgsql_split: float = 0.22
    """For each split of such a function, in each statement."""
    plpgsql: float = 1.2
    """For each call of a function in plpgsql."""
    plpgsql_operation: float = 0.025
    plpgsql_step: float = 0.016
    onnx_call: float = 27.0
    """For each call of a function that runs its row through ONNX in PL/Python, beside the row itself."""
    onnx: float = 0.35
    """For each row, where a refresh gives 10,000 of them to ONNX at once."""
    onnx_input: float = 0.02
    """For each number that such a row gives to the graph."""
    onnx_operation: float = 0.0003
    onnx_step: float = 0.0054


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
