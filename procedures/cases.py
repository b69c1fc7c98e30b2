"""Adversarial rows: the values at which a compiled model and its original come apart first.

Thresholds and their neighbours, the neighbours in float32, the edges of double precision, missing values, unknown
categories. Each row starts from a synthetic base row (medians, most common values: never a copy of a user's row) and
varies one column, or a few. What is picked depends on the inputs alone.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pgscore.compiler.artifact import Parameter, SqlType
from pgscore.compiler.ir import Domain
from pgscore.compiler.values import evenly

Value = float | int | bool | str | None
Row = dict[str, Value]

MAX_ROWS = 2000
MAX_VALUES = 200_000  # rows times columns: wide models get fewer rows
MAX_CATEGORIES = 50
SEVERAL = "several columns"
OUTSIDE = 4  # of the rows that leave the condition of a version, one in so many stays outside

_EXTREMES = (math.nan, math.inf, -math.inf, 1e300, -1e300, 3.5e38, -3.5e38, 1e-300, -1e-300, 0.0, -0.0, 5e-324)
_TEXTS = ("", "never seen before", 'it\'s "quoted" \\ back', "\N{SNOWMAN}\N{PILE OF POO}")
_RANGE = {SqlType.INTEGER: (-(2**31), 2**31 - 1), SqlType.BIGINT: (-(2**63), 2**63 - 1)}


@dataclass(frozen=True)
class Cases:
    """Rows as columns; `varied` names for each row the column that departs from its base row, or SEVERAL."""

    columns: Mapping[str, list[Value]]
    varied: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.varied)

    def only(self, keep: Sequence[int]) -> Cases:
        """The rows of these numbers."""
        return Cases(
            {name: [values[row] for row in keep] for name, values in self.columns.items()},
            tuple(self.varied[row] for row in keep),
        )


@dataclass(frozen=True)
class Space:
    """What the columns can hold, and where the model changes its mind (`Artifact.probes`).

    `limits` has the columns of a table that hold less than the parameter's type does: "real", "smallint", or "known",
    which admits only values that the table is known to hold. `domains` has those of a version's condition.
    """

    parameters: Sequence[Parameter]
    probes: Mapping[str, Sequence[float | str]]
    limits: Mapping[str, str] = field(default_factory=dict)
    paths: Sequence[Mapping[str, float]] = ()
    domains: Mapping[str, Domain] = field(default_factory=dict)

    def within(self, row: Row, base: Row) -> Row:
        """The row with the values of `base` in the columns in which it leaves the condition."""
        return {**row, **{name: base[name] for name, domain in self.domains.items() if not domain.admits(row[name])}}

    def along(self, base: Row) -> list[Row]:
        """The base row led to each split of the model's trees (`Artifact.paths`), where the columns can hold that."""
        types = {parameter.name: parameter.type for parameter in self.parameters}
        rows = []
        for path in self.paths:
            values = {name: _held(types[name], value) for name, value in path.items()}
            if not any(value is None or name in self.limits for name, value in values.items()):
                rows.append({**base, **values})
        return rows

    def values(self, parameter: Parameter, known: Sequence[Row]) -> list[Value]:
        """All values that one column should meet, NULL first."""
        edges = list(self._edges(parameter))
        if parameter.type is SqlType.TEXT:
            first = [edge for edge in edges[:1] if isinstance(edge, str)]
            found = [*_TEXTS, *edges, *(near for text in first for near in (f"{text} ", f" {text}", text.swapcase()))]
        elif parameter.type is SqlType.DOUBLE:
            found = [*_EXTREMES, *edges]
        elif parameter.type is SqlType.BOOLEAN:
            found = edges
        else:
            found = [*_RANGE[parameter.type], 0, 1, -1, *edges]
        return [None, *self._fitting(_distinct(found), parameter.name, known)]

    def edges(self, known: Sequence[Row]) -> list[tuple[str, Value]]:
        """Pairs of column and value: on, and right beside, each probe."""
        return [
            (parameter.name, value)
            for parameter in self.parameters
            for value in self._fitting(_distinct(list(self._edges(parameter))), parameter.name, known)
        ]

    def _edges(self, parameter: Parameter) -> Iterator[Value]:
        probes = self.probes.get(parameter.name, ())
        if parameter.type is SqlType.TEXT:
            yield from evenly([str(probe) for probe in probes if "\0" not in str(probe)], MAX_CATEGORIES)
        elif parameter.type is SqlType.BOOLEAN:
            yield from (True, False)
        elif parameter.type is SqlType.DOUBLE:
            for number in _finite(probes):
                yield from (number, math.nextafter(number, math.inf), math.nextafter(number, -math.inf))
                if abs(number) < 3e38:
                    single, top = np.float32(number), np.float32(np.inf)
                    yield from (float(near) for near in (single, np.nextafter(single, top), np.nextafter(single, -top)))
        else:
            low, high = _RANGE[parameter.type]
            for number in _finite(probes):
                whole = math.floor(number)
                yield from (near for near in (whole, whole + 1, whole - 1) if low <= near <= high)

    def _fitting(self, values: list[Value], name: str, known: Sequence[Row]) -> list[Value]:
        limit = self.limits.get(name)
        if limit == "known":
            held = {repr(row[name]) for row in known}
            return [value for value in values if repr(value) in held]
        if limit == "smallint":
            return [value for value in values if value is not None and -(2**15) <= float(value) < 2**15]
        return _singles(values) if limit == "real" else values


def adversarial(space: Space, bases: Sequence[Row], *, max_rows: int = MAX_ROWS, seed: int = 0) -> Cases:
    """At most `max_rows` rows around `bases` (one or more): one column varied at a time, then random combinations.

    The first base row meets every value of every column, and is led to the splits of the model's trees. The
    combinations, the rest, mix the values of all base rows and put one column on or beside a value at which the model
    changes its mind. Of a version with a condition most rows satisfy it, as the base rows do.
    """
    max_rows = max(10, min(max_rows, MAX_VALUES // max(1, len(space.parameters))))
    nulls: Row = dict.fromkeys(bases[0])
    rows = [(SEVERAL, nulls), *((SEVERAL, base) for base in bases)]
    if space.domains:
        rows.append((SEVERAL, space.within(nulls, bases[0])))
    values = {p.name: space.values(p, bases) for p in space.parameters}
    rows += [(name, {**bases[0], name: value}) for name, value in _in_turn(values, (max_rows - len(rows)) // 2)]
    rows += [
        (SEVERAL, space.within(row, bases[0])) for row in evenly(space.along(bases[0]), (max_rows - len(rows)) // 2)
    ]
    edges = space.edges(bases)
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    chance.shuffle(edges)
    for turn in range(max_rows - len(rows) if nulls else 0):
        row = {name: chance.choice(bases)[name] for name in nulls}
        if turn % 10 == 0:
            # One extreme at a time, beside a gap: two extremes may cancel out in a sum, and leave no digits to compare.
            for place, name in enumerate(chance.sample(list(row), min(2, len(row)))):
                row[name] = chance.choice(values[name]) if place == 0 else None
        if edges:
            name, value = edges[turn % len(edges)]
            row[name] = value
        rows.append((SEVERAL, row if turn % OUTSIDE == 0 else space.within(row, bases[0])))
    return _cases(space, rows)


def perturbed(space: Space, rows: Sequence[Row], count: int, *, seed: int = 0) -> Cases:
    """`count` real rows, each with one column put on or beside a value at which the model changes its mind."""
    edges = space.edges(rows)
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    chance.shuffle(edges)
    turns = [edges[turn % len(edges)] for turn in range(count)] if edges else []
    moved = []
    for turn, (name, value) in enumerate(turns):
        base = chance.choice(rows)
        row = {**base, name: value}
        moved.append((name, row if turn % OUTSIDE == 0 else space.within(row, base)))
    return _cases(space, moved)


def synthetic_bases(space: Space, quantiles: Mapping[str, Sequence[Value]], common: Mapping[str, Value]) -> list[Row]:
    """Base rows: row k takes the k-th of each number's `quantiles` (the median first) and a `common` other value.

    A text that is none of the model's categories is left out, lest the stored cases hold what only the table should.
    Where the table says nothing (it is empty), the model's probes do. All satisfy the version's condition.
    """
    count = max([1, *(len(values) for values in quantiles.values())])
    bases = [
        {p.name: _base_value(space, p, turn, quantiles, common) for p in space.parameters} for turn in range(count)
    ]
    for turn, row in enumerate(bases):
        for parameter in space.parameters:
            domain = space.domains.get(parameter.name)
            if domain is not None and not domain.admits(row[parameter.name]):
                row[parameter.name] = _inside(domain, parameter.type, row[parameter.name], turn)
    return bases


def _inside(domain: Domain, kind: SqlType, value: Value, turn: int) -> Value:
    """A value that the domain has, near the one that it has not."""
    if domain.among is not None:
        found = domain.among[turn % len(domain.among)] if domain.among else None
    elif kind is SqlType.TEXT:
        found = next(text for text in ("", *(f"{value}{'~' * n}" for n in range(1, 1000))) if domain.admits(text))
    else:
        start = min(max(float(value or 0), domain.low), domain.high)
        steps = [start + step for n in range(len(domain.excluded) + 2) for step in (n, -n)]
        found = next((number for number in steps if domain.admits(number)), None)
    if found is None or isinstance(found, str):
        return found
    return bool(found) if kind is SqlType.BOOLEAN else float(found) if kind is SqlType.DOUBLE else int(found)


def _base_value(
    space: Space, parameter: Parameter, turn: int, quantiles: Mapping[str, Sequence[Value]], common: Mapping[str, Value]
) -> Value:
    name = parameter.name
    probes = space.probes.get(name, ())
    only_known = space.limits.get(name) == "known"
    if parameter.type is SqlType.TEXT:
        categories = [str(probe) for probe in probes]
        if common.get(name) in categories and (turn == 0 or only_known):
            return common[name]
        fallback = None if only_known else ""
        return categories[turn % len(categories)] if categories and not only_known else fallback
    if parameter.type is SqlType.BOOLEAN:
        return common[name] if turn == 0 and common.get(name) is not None else turn % 2 == 1
    given = quantiles.get(name, ())
    if only_known or (turn < len(given) and given[turn] is not None):
        return given[turn] if turn < len(given) else None
    numbers = _finite(probes)
    middle = numbers[len(numbers) // 2] if numbers else 0.0
    return middle if parameter.type is SqlType.DOUBLE else math.floor(middle)


def _in_turn(values: Mapping[str, list[Value]], count: int) -> list[tuple[str, Value]]:
    """At most `count` pairs of column and value: each column gets an equal share, evenly picked from its values."""
    if len(values) > count:
        return [(name, values[name][0]) for name in evenly(list(values), count)]
    pairs: list[tuple[str, Value]] = []
    for place, name in enumerate(sorted(values, key=lambda name: len(values[name]))):
        share = (count - len(pairs)) // (len(values) - place)
        pairs += [(name, value) for value in evenly(values[name], share)]
    return pairs


def _held(kind: SqlType, value: float) -> Value:
    """The number as a column of this type holds it: the whole number below; None where it cannot be had."""
    if kind is SqlType.DOUBLE:
        return value
    if kind is SqlType.BOOLEAN:
        return value > 0.5
    low, high = _RANGE.get(kind, (0, -1))
    return math.floor(value) if low <= value <= high else None


def _finite(probes: Sequence[float | str]) -> list[float]:
    return [float(probe) for probe in probes if math.isfinite(float(probe))]


def _singles(values: Sequence[Value]) -> list[Value]:
    """The numbers rounded to float32, without those that PostgreSQL refuses to round (they over- or underflow)."""
    with np.errstate(over="ignore", under="ignore"):
        rounded = [(float(value), float(np.float32(value))) for value in values if value is not None]
    return _distinct(
        [
            single
            for value, single in rounded
            if not (math.isinf(single) and math.isfinite(value)) and not (single == 0 and value != 0)
        ]
    )


def _distinct(values: Sequence[Value]) -> list[Value]:
    """Without repetition; -0.0 and 0.0 are two values, and so are 1 and True."""
    return list({repr(value): value for value in values}.values())


def _cases(space: Space, rows: Sequence[tuple[str, Row]]) -> Cases:
    return Cases({p.name: [row[p.name] for _, row in rows] for p in space.parameters}, tuple(name for name, _ in rows))
