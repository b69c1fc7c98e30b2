"""What pgscore supports, as data: each estimator with its family, verdict, note and measured difference.

`pgscore check --list` prints it, and `make docs` writes docs/estimators.md from it. The families' modules say what they
compile (FRONTENDS), what a user must know (NOTES) and what they refuse (REFUSED); parity.json beside this file, which
only `make parity` writes, has what the parity campaign measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from .frontends import FAMILIES
from .ir import TOLERANCE

PARITY = Path(__file__).with_name("parity.json")

Key = type | str
"""A class, or the dotted name of one whose library may be absent, such as "lightgbm.sklearn.LGBMClassifier"."""


class Verdict(Enum):
    """How an estimator's answers in the database compare with its own."""

    EXACT = "exact"
    ONNX_ONLY = "exact in ONNX only"
    APPROXIMATE = "approximate"
    REFUSED = "refused"


@dataclass(frozen=True)
class Measured:
    """What the parity campaign found for one estimator: over how many models and rows, and the largest difference.

    `difference` is relative, 0 where all numbers were bit-equal. `tolerance` is what the parity gate allows, for the
    reason in `approximation` where it is more than usual; `everywhere` says whether it is for each of the models. `sql`
    says whether each of the models had a form in SQL.
    `limits` are the conditions, with the difference measured under each, where the gate refuses the model.
    """

    models: int
    rows: int
    difference: float
    tolerance: float = TOLERANCE
    approximation: str = ""
    everywhere: bool = False
    sql: bool = True
    limits: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Support:
    """One estimator. `measured` is None where nothing is compiled or the campaign has not run yet."""

    family: str
    module: str
    estimator: str
    verdict: Verdict
    note: str
    measured: Measured | None = None

    @property
    def difference(self) -> float | None:
        """The largest difference that was measured, relative."""
        return None if self.measured is None else self.measured.difference


def table() -> list[Support]:
    """Every estimator that pgscore compiles or refuses by name: by family as documented, within it by name."""
    found = [row for family, modules in FAMILIES.items() for module in modules for row in _rows(family, module)]
    order = {family: position for position, family in enumerate(FAMILIES)}
    return sorted(found, key=lambda row: (order[row.family], row.verdict is Verdict.REFUSED, row.estimator))


def split(key: Key) -> tuple[str, str]:
    """The public module and the name of a class: ("sklearn.linear_model", "Ridge")."""
    module, name = (key.rsplit(".", 1)) if isinstance(key, str) else (key.__module__, key.__name__)
    parts = module.split(".")
    private = next((position for position, part in enumerate(parts) if part.startswith("_")), len(parts))
    return ".".join(parts[:private]), name


def _rows(family: str, module: ModuleType) -> Iterator[Support]:
    notes: Mapping[Any, str] = getattr(module, "NOTES", {})
    refused: Mapping[Any, tuple[str, str]] = getattr(module, "REFUSED", {})
    for key in module.FRONTENDS:
        measured = measurements().get(split(key)[1])
        note = notes.get(key, "")
        if measured is not None and measured.approximation:
            within = "within" if measured.everywhere else "at worst within"
            note = "; ".join(filter(None, [f"{within} {measured.tolerance:.2g}: {measured.approximation}", note]))
        for limit, difference in measured.limits.items() if measured else ():
            size = f"differs by {difference:.1e}" if difference else "labels differ"
            note = "; ".join(filter(None, [note, f"the gate refuses it where {limit} ({size})"]))
        yield Support(family, *split(key), _verdict(measured), note, measured)
    for key, (reason, way_forward) in refused.items():
        yield Support(family, *split(key), Verdict.REFUSED, f"{reason}; {way_forward}")


def _verdict(measured: Measured | None) -> Verdict:
    """Frontends are exact unless they say otherwise of each model, which the campaign has seen."""
    if measured is not None and measured.everywhere:
        return Verdict.APPROXIMATE
    return Verdict.ONNX_ONLY if measured is not None and not measured.sql else Verdict.EXACT


@cache
def measurements() -> Mapping[str, Measured]:
    """What the campaign measured, by the estimator's name; empty where it has not run."""
    if not PARITY.exists():
        return {}
    content = json.loads(PARITY.read_text("utf-8"))
    return {name: Measured(**found) for name, found in content["estimators"].items()}
