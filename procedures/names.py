"""Names that users choose and SQL calls: models, aliases, jobs."""

from __future__ import annotations

import re

from pgscore.errors import InvalidNameError

_NAME = re.compile("[a-z][a-z0-9_]*")

MODEL_BYTES = 40
"""Leaves room for what functions append to a model's name: _v2147483647_decision."""

JOB_BYTES = 63


def check_name(name: str, what: str, max_bytes: int = MODEL_BYTES) -> None:
    """Raises InvalidNameError unless the name is plain and not too long."""
    if not _NAME.fullmatch(name) or len(name) > max_bytes:
        article = "an" if what[0] in "aeiou" else "a"
        raise InvalidNameError(
            f"{name!r} is no name for {article} {what}: use at most {max_bytes} lower-case letters, digits and _,"
            " and begin with a letter"
        )
