"""What each use of a version costs: the estimates of `auto`, which was taken, and what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from . import output

if TYPE_CHECKING:
    from rich.table import Table

    from pgscore.compiler.artifact import Artifact, Use
    from pgscore.compiler.costs import Estimate


def as_data(artifact: Artifact) -> dict[str, Any]:
    """For JSON: microseconds by use and strategy."""
    return {
        use.value: {strategy.value: asdict(estimate) for strategy, estimate in found.items()}
        for use, found in artifact.estimates.items()
    }


def as_table(artifact: Artifact, measured: Mapping[Use, float] | None = None) -> Table:
    """For people: a row for each use. `measured` are microseconds."""
    names = list(next(iter(artifact.estimates.values()), {}))
    cells = []
    for use, found in artifact.estimates.items():
        row = [use.value, artifact.uses[use].value, *(_said(use, found[strategy]) for strategy in names)]
        if measured:
            row.append(_one(measured[use]) if _is_one(use) else _per_row(measured[use]))
        cells.append(row)
    header = ["use", "runs as", *(f"{name.value}, about" for name in names), *(["measured"] if measured else [])]
    return output.table(header, cells)


def _said(use: Use, estimate: Estimate) -> str:
    if _is_one(use):
        return _one(estimate.one)
    start = f", {estimate.start / 1000:.1f} ms to start" if estimate.start else ""
    return _per_row(estimate.row) + start


def _is_one(use: Use) -> bool:
    return use is type(use).ONE


def _per_row(microseconds: float) -> str:
    return f"{microseconds:.2g} µs a row" if microseconds < 10 else f"{microseconds:,.0f} µs a row"


def _one(microseconds: float) -> str:
    return f"{microseconds / 1000:.2f} ms"
