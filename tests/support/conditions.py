"""Conditions for specialised programs, each with what it says of a row, in Python's own words."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pgscore.compiler.artifact import Parameter
from pgscore.quoting import ident

Columns = Mapping[str, Sequence[object]]


@dataclass(frozen=True)
class Condition:
    """SQL, and for each column that it names what a value must be."""

    text: str
    tests: Mapping[str, Callable[[object], bool]]

    def holds(self, columns: Columns, row: int) -> bool:
        """Whether the row satisfies it."""
        return all(test(columns[name][row]) for name, test in self.tests.items())


def around(columns: Columns, parameters: Sequence[Parameter], row: int, turn: int) -> Condition:
    """A condition that one row satisfies, on two of its columns; `turn` decides which and how."""
    texts, tests = [], {}
    for place in range(min(2, len(parameters))):
        parameter = parameters[(turn * 2 + place) % len(parameters)]
        text, tests[parameter.name] = _about(parameter, columns[parameter.name][row], turn + place)
        texts.append(text)
    return Condition(" AND ".join(texts), tests)


def _about(parameter: Parameter, value: object, turn: int) -> tuple[str, Callable[[object], bool]]:
    name = ident(parameter.name)
    if value is None:
        return f"{name} IS NULL", lambda v: v is None
    if isinstance(value, str):
        return _about_text(name, value, turn)
    assert isinstance(value, int | float)
    if not math.isfinite(value):
        return f"{name} IS NOT NULL", lambda v: v is not None
    return _about_number(name, value, turn)


def _about_text(name: str, value: str, turn: int) -> tuple[str, Callable[[object], bool]]:
    written = "'" + value.replace("'", "''") + "'"  # without E'', which a condition does not know
    if turn % 3 == 2:
        return f"{name} IN ({written}, 'nothing')", lambda v: v in {value, "nothing"}
    return f"{name} = {written}", lambda v: v == value


def _about_number(name: str, value: float, turn: int) -> tuple[str, Callable[[object], bool]]:
    """NaN is missing, and larger than any number."""

    def missing(v: Any) -> bool:
        return v is None or math.isnan(v)

    number, low = float(value), float(value) - 1
    tests: list[tuple[str, Callable[[Any], bool]]] = [
        (f"{name} >= {value!r}", lambda v: v is not None and (missing(v) or v >= number)),
        (f"{name} <= {value!r}", lambda v: not missing(v) and v <= number),
        (f"{name} = {value!r}", lambda v: v == number),
        (f"{name} BETWEEN {low!r} AND {value!r}", lambda v: not missing(v) and low <= v <= number),
    ]
    return tests[turn % len(tests)]
