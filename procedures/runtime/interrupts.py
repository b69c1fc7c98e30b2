"""Whether PostgreSQL wants to end the statement that it is in.

While a statement runs, PostgreSQL's signal handlers (for statement_timeout, pg_cancel_backend, Ctrl-C in psql,
pg_terminate_backend) only set flags, which PostgreSQL's own code looks at now and then. What takes long here looks at
them too, and returns. Without PostgreSQL, in tests, there are no flags.
"""

from __future__ import annotations

import ctypes
from typing import Any

FLAGS = ("QueryCancelPending", "ProcDiePending")
"""PostgreSQL's variables of type sig_atomic_t (miscadmin.h); either makes it end the statement at the next look."""


class Interrupted(Exception):
    """PostgreSQL wants to end the statement: the caller returns, so that it can."""


def _flags() -> list[Any]:
    try:
        program = ctypes.CDLL(None)
        return [ctypes.c_int.in_dll(program, name) for name in FLAGS]
    except (OSError, ValueError):
        return []


_FLAGS = _flags()


def is_interrupted() -> bool:
    """Whether PostgreSQL wants to end the statement."""
    return any(flag.value for flag in _FLAGS)


def check_interrupts() -> None:
    """Raises Interrupted if PostgreSQL wants to end the statement: between parts of long work."""
    if is_interrupted():
        raise Interrupted
