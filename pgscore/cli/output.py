"""Printing for people: tables on stdout, progress on stderr. Plain text where the stream is no terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

Progress = Callable[[str], None]

PLAIN_WIDTH = 120
"""Columns where nobody's window limits them, as in a pipe; COLUMNS overrides it."""


def console() -> Console:
    """The console on stdout. Names come from users, so no markup is read in them."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PLAIN_WIDTH
    # soft_wrap: a sentence is one line, which `grep` finds and a terminal wraps by itself.
    return Console(file=sys.stdout, markup=False, highlight=False, emoji=False, width=width, soft_wrap=True)


def table(header: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> Table:
    """A table with numbers to the right and None as an empty cell."""
    cells = [list(row) for row in rows]
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    made.show_header = any(header)
    for index, name in enumerate(header):
        column = [row[index] for row in cells]
        numeric = bool(column) and all(isinstance(value, int | float) or value is None for value in column)
        made.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        made.add_row(*(Text(_cell(value)) for value in row))
    return made


def inputs(parameters: Iterable[tuple[str, str]]) -> Table:
    """A model's inputs (name, type), by type: there may be hundreds."""
    by_type: dict[str, list[str]] = {}
    for name, kind in parameters:
        by_type.setdefault(kind, []).append(name)
    return table(["type", "inputs"], [[kind, ", ".join(names)] for kind, names in by_type.items()])


def _cell(value: object) -> str:  # noqa: PLR0911 (one for each kind of value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_cell(item)}" for name, item in value.items())
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def warn(lines: Iterable[str]) -> None:
    """What the user should know and nothing fails for, on stderr."""
    for line in lines:
        print(f"pgscore: warning: {line}", file=sys.stderr)


def _silent(message: str) -> None:
    """Progress for a stream that is no terminal."""


@contextmanager
def progress(start: str) -> Iterator[Progress]:
    """A moving line on stderr with what is done now and for how long; silent where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield _silent
        return
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(20), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(start, total=None)
        yield lambda message: bar.update(task, description=message)


@contextmanager
def counted(total: int, what: str) -> Iterator[Progress]:
    """A bar on stderr that moves by one with each message; silent where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield _silent
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda message: bar.update(task, advance=1, description=message)
