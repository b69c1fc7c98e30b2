"""Writes docs/estimators.md and the README's list of families; tests/test_docs.py checks that both are current."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pgscore.compiler.support import Support, Verdict, table

PAGE = Path(__file__).parent / "estimators.md"
README = PAGE.parent.parent / "README.md"
MARK = "<!-- `make docs` writes the rest of this page from compiler/support.py. -->"
START, END = "<!-- `make docs` writes this table. -->\n", "<!-- end -->"


def page(current: str) -> str:
    """docs/estimators.md with its tables made anew."""
    rows = table()
    families = list(dict.fromkeys(row.family for row in rows))
    sections = [_section(family, [row for row in rows if row.family == family]) for family in families]
    return current.split(MARK, 1)[0] + MARK + "\n\n" + "\n".join(sections)


def readme(current: str) -> str:
    """The README with its list of estimators made anew."""
    before, rest = current.split(START, 1)
    names: dict[str, list[str]] = {}
    for row in table():
        if row.verdict is not Verdict.REFUSED:
            names.setdefault(row.family, []).append(f"`{row.estimator}`")
    lines = [f"| {family} | {', '.join(found)} |" for family, found in names.items()]
    listed = "\n".join(["| family | estimators |", "|---|---|", *lines])
    return before + START + "\n" + listed + "\n\n" + END + rest.split(END, 1)[1]


def _section(family: str, rows: Sequence[Support]) -> str:
    lines = [f"| `{row.estimator}` | {row.verdict.value} | {_difference(row)} | {_cell(row.note)} |" for row in rows]
    header = ["| estimator | verdict | largest difference | note |", "|---|---|---|---|"]
    return f"## {family[0].upper()}{family[1:]}\n\n" + "\n".join([*header, *lines]) + "\n"


def _difference(row: Support) -> str:
    if row.difference is None:
        return ""
    return f"{row.difference:.1e}" if row.difference else "none"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
    README.write_text(readme(README.read_text("utf-8")), "utf-8")
