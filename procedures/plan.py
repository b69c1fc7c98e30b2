"""Plans: what pgscore does to a database is a list of statements first; running or printing it is another step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Statement:
    """SQL that is complete as it stands: literals are in the text, so that psql runs the same that pgscore runs.

    `text` may hold several statements; `note` says in words what it does.
    """

    text: str
    note: str = ""


@dataclass(frozen=True)
class Change:
    """What was done to an installation, or with a dry run would be.

    `notes` say what else a user should know or do.
    """

    statements: list[Statement]
    notes: list[str]


def apply(connection: Any, statements: Iterable[Statement]) -> None:
    """Runs the statements in the connection's current transaction; the caller commits.

    They go out without a parameter list, so a `%` in them stays a `%`.
    """
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement.text)


def as_comment(text: str) -> str:
    """Each line of the text as a comment of SQL."""
    return "".join(f"-- {line}".rstrip() + "\n" for line in text.splitlines())


def as_text(statements: Iterable[Statement]) -> str:
    """The statements one after the other, each under its note."""
    parts = []
    for statement in statements:
        text = statement.text.strip()
        parts.append(as_comment(statement.note) + (text if text.endswith(";") else text + ";") + "\n")
    return "\n".join(parts)


def as_script(statements: Iterable[Statement], header: str = "") -> str:
    """The plan as a script for `psql -f`: one transaction, which the first error ends. `header` becomes a comment."""
    comment = f"{as_comment(header)}\n" if header else ""
    return f"\\set ON_ERROR_STOP on\n\\encoding UTF8\n\n{comment}BEGIN;\n\n{as_text(statements)}\nCOMMIT;\n"
