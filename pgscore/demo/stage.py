"""Typing for an audience: each command or SQL statement is shown as a user would type it, then run, then timed."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.text import Text

from pgscore.cli import output
from pgscore.errors import RefusedError

LONGEST_LINE = 100
"""Longer lines of a query's answer are cut: the plan of an inlined model is one line of thousands of characters."""


@dataclass
class Stage:
    """Prints to stdout, and keeps the timings."""

    dsn: str
    timings: list[tuple[str, float]] = field(default_factory=list)
    _step: int = 0

    def title(self, text: str) -> None:
        """Opens the next step of the tour."""
        self._step += 1
        self._print(f"\n{self._step}. {text}", "bold cyan")

    def say(self, text: str) -> None:
        """A line that explains."""
        self._print(f"   {text}", "dim")

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Adds a row to the table of timings."""
        start = time.perf_counter()
        yield
        self.timings.append((what, time.perf_counter() - start))

    def shell(self, line: str, *, expect: int = 0) -> None:
        """Types a pgscore command and runs it. Raises RefusedError if its exit code is not the expected one."""
        from pgscore.cli import run

        self._print(f"\n$ {line}", "green")
        with self.timed(line):
            code = run([*shlex.split(line)[1:]])
        if code != expect:
            raise RefusedError(f"the tour stopped: {line!r} gave exit code {code}")
        if code:
            self._print(f"(exit code {code})", "dim")

    def sql(self, text: str, rows: int = 8) -> list[tuple[Any, ...]]:
        """Types a statement, runs it, prints its first rows, and gives all of them."""
        import psycopg2

        first, *more = text.splitlines()
        self._print("\n" + "\n".join([f"shop=> {first}", *(f"shop-> {line}" for line in more)]), "green")
        connection = psycopg2.connect(self.dsn)
        connection.autocommit = True
        try:
            with self.timed(text.splitlines()[0].rstrip(";")), connection.cursor() as cursor:
                cursor.execute(text)
                header = [column.name for column in cursor.description or ()]
                answer = cursor.fetchall() if header else []
                done = cursor.statusmessage
        finally:
            connection.close()
        output.console().print("\n".join(as_psql(header, answer, rows)) if header else done)
        return answer

    def python(self, expression: str, value: object) -> None:
        """Shows a line of Python and its value."""
        self._print(f"\n>>> {expression}", "green")
        output.console().print(repr(value))

    def _print(self, text: str, style: str) -> None:
        output.console().print(Text(text, style))


def as_psql(header: Sequence[str], answer: Sequence[Sequence[Any]], rows: int) -> list[str]:
    """The lines that psql prints for an answer; only the first `rows` of its rows."""
    numeric = [bool(answer) and all(isinstance(row[i], int | float) for row in answer) for i in range(len(header))]
    cells = [[_cut("" if value is None else str(value)) for value in row] for row in answer[:rows]]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]

    def line(values: Sequence[str]) -> str:
        fit = [v.rjust(w) if right else v.ljust(w) for v, w, right in zip(values, widths, numeric, strict=True)]
        return (" " + " | ".join(fit)).rstrip()

    shown = [line(row) for row in cells] + (["…"] if len(answer) > rows else [])
    names = " | ".join(name.center(width) for name, width in zip(header, widths, strict=True))
    rule = "-+-".join("-" * width for width in widths)
    return [f" {names}".rstrip(), f"-{rule}-", *shown, f"({len(answer):,} row{'s' if len(answer) != 1 else ''})"]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_LINE else f"{text[:LONGEST_LINE]} … ({len(text):,} characters)"
