"""What every command shares: `--dsn`, `--json`, `--debug`, and how an answer is printed.

A command is a plain function `(session, …) -> Reply`. The decorator adds the shared options to its signature, prints
the reply as JSON or for people, and gives the exit code: a command cannot forget `--json`, nor print beside it.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Console

from . import output

EMBEDDED = "embedded"

Dsn = Annotated[
    str | None,
    typer.Option(
        "--dsn",
        metavar="DSN",
        help="Connection string or URI; `embedded` for the private server. Default: PGSCORE_DSN, else libpq's.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.")]
Debug = Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")]


@dataclass(frozen=True)
class Reply:
    """The answer of a command: `data` is what `--json` prints, `show` prints it for people."""

    data: object
    show: Callable[[Console], None]
    exit_code: int = 0


@dataclass(frozen=True)
class Session:
    """The shared options of one call."""

    dsn: str | None = None
    as_json: bool = False

    @contextmanager
    def connection(self, fallback: str | None = None) -> Iterator[Any]:
        """A connection to the chosen server. Committed at the end, rolled back on any error.

        `fallback` is the DSN where neither --dsn nor PGSCORE_DSN says one.
        The embedded server runs as long as the connection. Raises ServerError and its kin, never a driver's error.
        """
        from pgscore.procedures.connection import connect, errors

        dsn = self.dsn or os.environ.get("PGSCORE_DSN") or fallback
        with _embedded() if dsn == EMBEDDED else nullcontext(dsn) as address:
            connection = connect(address)
            try:
                with errors():
                    yield connection
                    connection.commit()
            finally:
                connection.close()


@contextmanager
def _embedded() -> Iterator[str]:
    from pgscore import embedded

    with embedded.server(embedded.default_directory()) as address:
        yield address


def command(
    app: typer.Typer, name: str, *, server: bool = True, panel: str | None = None
) -> Callable[[Callable[..., Reply]], Callable[..., Reply]]:
    """Registers the function as a command. `server` adds `--dsn`; `panel` is its heading in the help."""

    def register(function: Callable[..., Reply]) -> Callable[..., Reply]:
        def call(*, as_json: bool, debug: bool, dsn: str | None = None, **arguments: Any) -> int:  # noqa: ARG001
            session = Session(dsn, as_json)
            reply = function(session, **arguments)
            if as_json:
                print(json.dumps(reply.data, indent=2, default=str, ensure_ascii=False))
            else:
                reply.show(output.console())
            return reply.exit_code

        signature = inspect.signature(function, eval_str=True)
        own = list(signature.parameters.values())[1:]
        shared = [_option("dsn", Dsn, None)] if server else []
        shared += [_option("as_json", Json, False), _option("debug", Debug, False)]
        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own] + shared
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {p.name: p.annotation for p in parameters}
        call.__doc__ = function.__doc__
        app.command(name, rich_help_panel=panel)(call)
        return function

    return register


def _option(name: str, annotation: Any, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
