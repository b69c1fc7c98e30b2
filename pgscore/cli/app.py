"""The application, and the one place that turns errors into a line on stderr and an exit code."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from pgscore.errors import PgscoreError

from . import export, models, offline, project, refresh, rights, server

DONE, NO, USAGE, SERVER, UNEXPECTED, INTERRUPTED = 0, 1, 2, 3, 70, 130

EXIT_CODES = """Exit codes: 0 done; 1 the answer is no (refused, mismatch, stale); 2 wrong usage or input;
3 the server or its rights; 70 unexpected (a bug: run with --debug); 130 interrupted."""

app = typer.Typer(
    name="pgscore",
    help="Trained models inside PostgreSQL: compile, deploy, verify, refresh.",
    epilog=EXIT_CODES,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        import pgscore

        print(f"pgscore {pgscore.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 (typer acts on it)
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


for group in (server, offline, models, export, rights, refresh, project):
    group.register(app)


def run(arguments: Sequence[str]) -> int:
    """Runs one command and gives its exit code. Errors become one line on stderr."""
    debug = "--debug" in arguments
    try:
        code = app(args=list(arguments), prog_name="pgscore", standalone_mode=False)
    except PgscoreError as error:
        return _fail(str(error), error.exit_code, debug)
    except typer.TyperException as error:
        # Usage errors carry the context of the command that was being read.
        command = getattr(getattr(error, "ctx", None), "command_path", "pgscore")
        return _fail(f"{error.format_message().rstrip('.')}. Try `{command} --help`.", USAGE, debug)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", INTERRUPTED, debug)
    except Exception as error:  # noqa: BLE001 (the last line of defence: users get a line, not a traceback)
        # Not its message: another library's may quote the value of a row.
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} in {Path(frame.filename).name}, line {frame.lineno}"
        return _fail(f"unexpected: {where} (a bug; --debug prints the traceback)", UNEXPECTED, debug)
    if code == INTERRUPTED:  # typer catches Ctrl-C itself
        return _fail("interrupted", INTERRUPTED, debug)
    return int(code or DONE)


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    line = re.sub(r"\s*\n\s*", " ", message.strip())
    print(f"pgscore: {line}", file=sys.stderr)
    return code


def main() -> NoReturn:
    """The console script `pgscore`."""
    sys.exit(run(sys.argv[1:]))
