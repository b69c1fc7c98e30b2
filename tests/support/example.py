"""What the tests' example models are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Example:
    """A fitted estimator and rows to score with it. `exact`: its numbers are compared bit by bit."""

    estimator: Any
    frame: pd.DataFrame
    exact: bool = False
