"""The command line. `main` is the entry point; docs/cli.md is its reference.

One file for each group of commands; `command.py` holds what all of them share: the server, `--json`, the exit codes.
Commands call the public API and shape its answers; none of them contains SQL.
"""

from .app import main, run

__all__ = ["main", "run"]
