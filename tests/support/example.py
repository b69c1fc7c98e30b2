"""What the tests' example models are made of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Example:
    """A fitted estimator and rows to score with it. `exact`: its numbers are compared bit by bit."""

    estimator: Any
    frame: pd.DataFrame
    exact: bool = False


def readable(value: object) -> str:
    """The value as the id of a test: without the addresses of functions, which differ from process to process."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))
