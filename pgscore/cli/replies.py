"""Replies that several commands give."""

from __future__ import annotations

import dataclasses
import datetime
import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from . import output
from .command import Reply

if TYPE_CHECKING:
    from pgscore.procedures.plan import Statement


def plain(value: Any) -> Any:  # noqa: PLR0911 (one for each kind of value)
    """The value as JSON knows it: dataclasses and rows become objects, enums their values, times ISO 8601."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, datetime.datetime | datetime.date):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, Path):
        return str(value)
    return value


def script(
    statements: Sequence[Statement], dry_run: bool, done: str, notes: Sequence[str] = (), **data: object
) -> Reply:
    """The reply of a command with --dry-run: the SQL, or one line that it is done, and the notes."""
    from pgscore.procedures.plan import as_script

    text = as_script(statements, "\n".join(notes))
    data |= {"notes": list(notes)} if notes else {}

    def show(console: Console) -> None:
        if dry_run:
            sys.stdout.write(text)
        else:
            for line in (done, *notes):
                console.print(line, markup=False)

    return Reply({**data, "statements": len(statements)} | ({"script": text} if dry_run else {}), show)


def rows(header: Mapping[str, str], values: Sequence[Any], nothing: str, exit_code: int = 0) -> Reply:
    """A table: for people the columns in `header` (key to heading), in JSON all; `nothing` is said of an empty one."""

    def show(console: Console) -> None:
        if values:
            cells = [[row[key] if isinstance(row, Mapping) else getattr(row, key) for key in header] for row in values]
            console.print(output.table(list(header.values()), cells))
        else:
            console.print(nothing)

    return Reply([plain(value) for value in values], show, exit_code)
