"""Writes the reference part of docs/cli.md from the commands; tests/test_docs.py checks that it is current."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import typer
from typer.models import ArgumentInfo, OptionInfo

from pgscore.cli.app import app

PAGE = Path(__file__).parent / "cli.md"
MARK = "<!-- `make docs` writes the rest of this page from the commands. -->"
SHARED = ("dsn", "as_json", "debug")
"""Parameters that the page explains once, above."""

Words = tuple[str, ...]


def commands(group: typer.Typer = app, path: Words = ()) -> Iterator[tuple[Words, Callable[..., Any]]]:
    """Each command: its words, such as ("refresh", "create"), and its function."""
    for command in group.registered_commands:
        if command.name and command.callback:
            yield (*path, command.name), command.callback
    for inner in group.registered_groups:
        if inner.name and inner.typer_instance:
            yield from commands(inner.typer_instance, (*path, inner.name))


def written(kind: Any, info: ArgumentInfo | OptionInfo) -> str:
    """The parameter as one types it: `--as NAME`, `MODEL_FILE`."""
    if isinstance(info, ArgumentInfo):
        return str(info.metavar)
    # Within Annotated, typer keeps the first spelling of an option where the default would be.
    spellings = ", ".join([str(info.default), *(info.param_decls or ())])
    if inspect.isclass(kind) and hasattr(kind, "__members__"):
        return f"{spellings} {'|'.join(choice.value for choice in kind)}"
    return f"{spellings} {info.metavar}" if info.metavar else spellings


def section(words: Words, function: Callable[..., Any]) -> str:
    """The section of one command."""
    usage, table = f"pgscore {' '.join(words)}", []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in SHARED:
            continue
        kind, info = get_args(parameter.annotation)
        required = parameter.default is inspect.Parameter.empty
        text = written(kind, info)
        if required:
            usage += f" {text}"
        elif isinstance(info, ArgumentInfo):
            usage += f" [{text}]"
        default = getattr(parameter.default, "value", parameter.default)
        note = "" if required or default in {None, False} else f" Default: `{default}`."
        cell = text.replace("|", "\\|")
        table.append(f"| `{cell}` | {info.help}{note} |")
    described = inspect.cleandoc(function.__doc__ or "")
    listed = "\n| | |\n|---|---|\n" + "\n".join(table) + "\n" if table else ""
    return f"## pgscore {' '.join(words)}\n\n```text\n{usage}\n```\n\n{described}\n{listed}"


def page(current: str) -> str:
    """The page with its reference part made anew."""
    return current.split(MARK, 1)[0] + MARK + "\n\n" + "\n".join(section(*command) for command in commands())


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
