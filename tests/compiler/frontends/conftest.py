from __future__ import annotations

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """The tests predict a few rows many times: threads that wait for each other would be nearly all of the time."""
    with threadpool_limits(limits=1):
        yield
