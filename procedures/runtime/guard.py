"""What long calls of onnxruntime are run under: another thread that listens to PostgreSQL, and a limit of memory.

onnxruntime never looks at PostgreSQL's flags (interrupts.py), but can be told to stop by another thread. That thread
lives as long as the call: the main thread holds Python's lock whenever it is not in onnxruntime, and a thread that
waits for it would wake up hundreds of times a second in an idle server process. Starting one takes about 0.1 ms, so
only calls that may be long are guarded.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from .interrupts import check_interrupts, is_interrupted
from .libraries import signals_blocked

INTERVAL_SECONDS = 0.02
T = TypeVar("T")


def guarded(call: Callable[[], T], stop: Callable[[], None], more_bytes: int) -> T:
    """`call()`, which may allocate so much more than the process has; `stop()` must end it from another thread.

    Raises Interrupted where the call failed and PostgreSQL wants to end the statement, else what the call raises.
    """
    with _listening(stop), _limited(more_bytes):
        try:
            return call()
        except Exception:
            check_interrupts()
            raise


@contextlib.contextmanager
def _listening(stop: Callable[[], None]) -> Iterator[None]:
    over = threading.Event()

    def listen() -> None:
        while not over.wait(INTERVAL_SECONDS):
            if is_interrupted():
                stop()

    thread = threading.Thread(target=listen, name="pgscore", daemon=True)
    with signals_blocked():
        thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def _limited(more_bytes: int) -> Iterator[None]:
    """Within, allocations beyond so many more bytes fail: an error of onnxruntime, no server without memory."""
    before, most = resource.getrlimit(resource.RLIMIT_AS)
    limits = [limit for limit in (before, most) if limit != resource.RLIM_INFINITY]
    held = _memory(0)
    if held:
        limits.append(held + more_bytes)
    resource.setrlimit(resource.RLIMIT_AS, (min(limits, default=before), most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, most))


def give_back() -> None:
    """Returns to the system what the process has freed: what loading a forest takes is ten times its bytes."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def resident() -> int:
    """The bytes of memory that the process holds and needs; 0 where that is not known."""
    give_back()
    return _memory(1)


def _memory(column: int) -> int:
    """Of Linux's statm: 0 the address space, 1 the resident set, in bytes."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[column]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
