"""A table, printed and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from pgscore.cli.output import table


@dataclass(frozen=True)
class Table:
    """Rows below a header, and what they are of."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[object]]

    @property
    def markdown(self) -> str:
        """The same for a file."""
        lines = [self.header, ["---"] * len(self.header), *([_text(cell) for cell in row] for row in self.rows)]
        text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"**{self.title}**\n\n{text}\n" if self.title else f"{text}\n"


def printed(*tables: Table) -> None:
    """Prints them."""
    console = Console(highlight=False, width=170)
    for one in tables:
        console.print(table(one.header, one.rows, one.title))


def _text(cell: object) -> str:
    if cell is None:
        return ""
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
