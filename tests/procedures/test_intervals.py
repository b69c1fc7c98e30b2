"""Lengths of time as users write them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgscore.errors import UsageError
from pgscore.procedures.intervals import as_text, parse_interval

from ..support.refreshing import fetch, untouched

__all__ = ["untouched"]

WRITTEN = (
    "15 min",
    "1 day",
    "1 h 30 min",
    "90s",
    "2 weeks",
    "1 hour, 5 minutes",
    "3 DAYS",
    "45 sec",
    "2d 4h 1m 1 second",
)


@pytest.mark.parametrize("text", WRITTEN)
def test_postgresql_reads_the_same(untouched: Any, text: str) -> None:
    assert fetch(untouched, f"SELECT '{text}'::interval") == [(parse_interval(text),)]


@pytest.mark.parametrize(
    "text", ["", "15", "min", "0 min", "-1 h", "1 month", "1 fortnight", "1.5 h", "1 h x", "99999999 w"]
)
def test_what_is_no_length_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no length of time"):
        parse_interval(text)


@given(st.integers(1, 10**9))
def test_a_length_is_written_as_it_is_read(seconds: int) -> None:
    length = timedelta(seconds=seconds)
    assert parse_interval(as_text(length)) == length


def test_no_time_at_all() -> None:
    assert as_text(timedelta(0)) == "0 s"
