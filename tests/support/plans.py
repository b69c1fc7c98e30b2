"""Plans of queries, for tests of what is read how."""

from __future__ import annotations

from typing import Any

from .refreshing import fetch


def nodes(connection: Any, statement: str) -> list[dict[str, Any]]:
    """The nodes of the plan, outermost first."""
    (((top,),),) = fetch(connection, f"EXPLAIN (FORMAT JSON) {statement}")
    waiting, found = [top["Plan"]], []
    while waiting:
        found.append(waiting.pop(0))
        waiting.extend(found[-1].get("Plans", ()))
    return found
