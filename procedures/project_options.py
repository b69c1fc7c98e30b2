"""What a job of pgscore.toml says of the changes it looks for, and of what its target holds.

Each function gives settings as the catalog has them: those that the file says, of a ranking and of changes the whole.
Raises UsageError.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pgscore.errors import UsageError

from .intervals import parse_interval

if TYPE_CHECKING:
    from .project import TomlTable

CHANGES = ("triggers", "hash", "watermark")
VANISHED = ("remove", "keep")
RANKING = ("top", "per", "order_by", "keep", "diverse", "max_per", "eligible")
LOOKBACK = timedelta(minutes=10)
"""What create_refresh takes for a watermark without one."""


def changes(table: TomlTable, entry: Mapping[str, Any], mode: str) -> dict[str, Any]:
    """How an incremental job learns of changes, and what it backfills first."""
    if mode != "incremental":
        _refuse(table, entry, ("changes", "watermark", "lookback", "backfill_first"), 'mode = "incremental"')
        return {}
    found: dict[str, Any] = {"backfill_first": entry["backfill_first"] or None} if "backfill_first" in entry else {}
    kind = entry.get("changes")
    if kind != "watermark":
        _refuse(table, entry, ("watermark", "lookback"), 'changes = "watermark"')
    if kind is None:
        return found
    table.require_one_of(CHANGES, kind, "changes")
    if kind != "watermark":
        return {**found, "changes": kind, "watermark": None, "lookback": None}
    if "watermark" not in entry:
        raise UsageError(f'{table.where("changes")} is "watermark": name that column beside it, as watermark')
    try:
        lookback = parse_interval(entry["lookback"]) if "lookback" in entry else LOOKBACK
    except UsageError as error:
        raise UsageError(f"{table.where('lookback')}: {error}") from None
    return {**found, "changes": kind, "watermark": entry["watermark"], "lookback": lookback}


def columns(table: TomlTable, entry: Mapping[str, Any]) -> dict[str, Any]:
    """What the target holds beside the score, and whether rows stay whose key has vanished."""
    found: dict[str, Any] = {}
    if "outputs" in entry:
        found["outputs"] = tuple(output for output in entry["outputs"] if output != "score")
    if "carry" in entry:
        found["carry"] = tuple(entry["carry"])
    if "vanished" in entry:
        table.require_one_of(VANISHED, entry["vanished"], "vanished")
        found["vanished"] = entry["vanished"]
    return found


def ranking(table: TomlTable, entry: Mapping[str, Any]) -> dict[str, Any]:
    """The best rows that a job keeps; all None, and no columns to rank per, where it keeps all."""
    for key in ("top", "keep", "max_per"):
        if entry.get(key) is not False and entry.get(key, 1) < 1:
            raise UsageError(f"{table.where(key)} must be at least 1, or false for none")
    top = entry.get("top") or None
    if top is None:
        _refuse(table, entry, RANKING[1:], "top, which says how many rows are kept")
        return {**dict.fromkeys(RANKING), "per": ()} if "top" in entry else {}
    return {
        "top": top,
        "per": tuple(entry.get("per", ())),
        "order_by": entry.get("order_by", "score"),
        "keep": entry.get("keep") or top,
        "diverse": entry.get("diverse"),
        "max_per": entry.get("max_per") or None,
        "eligible": entry.get("eligible"),
    }


def _refuse(table: TomlTable, entry: Mapping[str, Any], keys: tuple[str, ...], what: str) -> None:
    for key in keys:
        if key in entry:
            raise UsageError(f"{table.where(key)} belongs to {what}")
