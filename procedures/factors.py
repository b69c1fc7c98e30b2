"""The factors of a recommender's version: the calls of sql/27_factors.sql that make its tables and fill them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy.typing as npt

from pgscore.compiler.artifact import Artifact
from pgscore.compiler.factorisation import Factorisation
from pgscore.quoting import literal

from .plan import Statement

BATCH = 500_000
"""Doubles in one statement: some 10 MB of text."""


def statements(name: str, version: int, artifact: Artifact, factors: Factorisation) -> Iterator[Statement]:
    """Makes the tables and the functions that read them, and fills the tables; sealing them is another step."""
    called = f"{literal(name)}, {version}"
    signature = ", ".join(f"{literal(p.name)}, {literal(p.type.value)}" for p in artifact.parameters)
    folds_in = str(factors.rating is not None).lower()
    yield Statement(
        f"SELECT pgscore.make_factors({called}, {signature}, {factors.width}, {folds_in})",
        "Two tables for the factors, and the functions that read them.",
    )
    for side, keys, values in (
        ("users", factors.users, factors.user_factors),
        ("items", factors.items, factors.item_factors),
    ):
        step = max(1, BATCH // factors.width)
        for first in range(0, len(keys), step):
            given = f"{_texts(keys[first : first + step])}, {_doubles(values[first : first + step])}"
            yield Statement(f"SELECT pgscore.add_factors({called}, '{side}', {given})", f"Factors of {side}.")


def _texts(keys: npt.NDArray[Any]) -> str:
    return f"ARRAY[{', '.join(literal(str(key)) for key in keys.tolist())}]::text[]"


def _doubles(values: npt.NDArray[Any]) -> str:
    return f"'{{{','.join(map(repr, values.ravel().tolist()))}}}'::float8[]"
