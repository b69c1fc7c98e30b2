"""Lengths of time as users write them: `15 min`, `1 day`, `1 h 30 min`; PostgreSQL reads them the same."""

from __future__ import annotations

import re
from datetime import timedelta

from pgscore.errors import UsageError

# A month has no fixed length, and a lag is compared with one that has.
_UNITS = {
    "week": ("w", "week", "weeks"),
    "day": ("d", "day", "days"),
    "h": ("h", "hour", "hours"),
    "min": ("m", "min", "mins", "minute", "minutes"),
    "s": ("s", "sec", "secs", "second", "seconds"),
}
_LENGTHS = {"week": 604_800, "day": 86_400, "h": 3_600, "min": 60, "s": 1}
_SECONDS = {word: _LENGTHS[unit] for unit, words in _UNITS.items() for word in words}
_PART = re.compile(r"\s*(\d{1,9})\s*([a-z]+)\s*,?")


def parse_interval(text: str) -> timedelta:
    """The length of time in whole weeks, days, hours, minutes and seconds. Raises UsageError."""
    rest, seconds = text.lower(), 0
    while rest.strip():
        part = _PART.match(rest)
        if part is None or part[2] not in _SECONDS:
            seconds = 0
            break
        seconds += int(part[1]) * _SECONDS[part[2]]
        rest = rest[part.end() :]
    if not 0 < seconds <= 36_525 * 86_400:
        raise UsageError(
            f"{text!r} is no length of time; write weeks, days, hours, minutes or seconds, such as '15 min'"
        )
    return timedelta(seconds=seconds)


def as_text(length: timedelta) -> str:
    """The length as `parse_interval` reads it, in its own units: `1 day`, `1 h 30 min`; seconds are rounded."""
    rest = round(length.total_seconds())
    parts = []
    for unit in ("day", "h", "min", "s"):
        count, rest = divmod(rest, _LENGTHS[unit])
        if count:
            parts.append(f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''}")
    return " ".join(parts) or "0 s"
