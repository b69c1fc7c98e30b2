"""The goals that the figures are held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .suite import Figures

LINEAR = "logistic"
LINEAR_AND_TREES = (LINEAR, "tree d8")
BOOSTING = ("hist boosting 100", "lightgbm 100")
GRAPHS = (*BOOSTING, "forest 100", "mlp 32,16")
CHANGING = (LINEAR, "lightgbm 100", "forest 100")
"""The models of the incremental runs: from the cheapest to one of which a score takes ten times as long."""
SQL = ("pgscore sql", "pgscore plpgsql")
ONNX = ("pgscore onnx",)
MICROSECOND = 1e-6


@dataclass(frozen=True)
class Outcome:
    """A goal for one model and what was measured, which is to be at most `goal`, or `at_least`. None: not here."""

    what: str
    model: str
    measured: float | None
    goal: float
    unit: str = "×"
    at_least: bool = False

    @property
    def reached(self) -> bool | None:
        if self.measured is None:
            return None
        return self.measured >= self.goal if self.at_least else self.measured <= self.goal


def outcomes(figures: Sequence[Figures], incremental: Mapping[str, float]) -> list[Outcome]:
    """Each goal for each model that was measured; `incremental` are the shares of a full run where 1 % changed."""
    models = {figure.model for figure in figures}
    return [outcome for outcome in _all(figures, incremental) if outcome.model in models]


def _all(figures: Sequence[Figures], incremental: Mapping[str, float]) -> Iterator[Outcome]:
    for model in LINEAR_AND_TREES:
        of = _Of(model, figures)
        yield Outcome("bulk SQL, over the scan", model, of.ratio(SQL, ("scan",), "bulk"), 2.5)
        yield Outcome("bulk SQL, quicker than orbital", model, of.ratio(("orbital",), SQL, "bulk"), 2, at_least=True)
        refresh = of.ratio(("best ETL",), _refresh(SQL), "job")
        yield Outcome("refresh, quicker than the best ETL", model, refresh, 3, at_least=True)
    for model in BOOSTING:
        refresh = _Of(model, figures).ratio(("best ETL",), ("pgscore onnx, refresh --jobs 2",), "job")
        yield Outcome("refresh by ONNX, --jobs 2, quicker than the best ETL", model, refresh, 1.5, at_least=True)
    for model in GRAPHS:
        batches = _Of(model, figures).ratio(("pgscore onnx, batches",), ("onnxruntime alone",), "bulk")
        yield Outcome("ONNX batches, over onnxruntime alone", model, batches, 1.8)
    one = _Of(LINEAR, figures).ratio(SQL, ("scan",), "median")
    yield Outcome("one row, over reading it", LINEAR, one, 1.3)
    for model in BOOSTING:
        of = _Of(model, figures)
        yield Outcome("one row by ONNX, above reading it", model, of.above(ONNX), 200, "µs")
        yield Outcome("one row without PL/Python, above reading it", model, of.above(SQL), 1000, "µs")
    for model in CHANGING:
        yield Outcome("incremental refresh of 1 %, of a full one", model, incremental.get(model), 3, "%")


@dataclass(frozen=True)
class _Of:
    model: str
    figures: Sequence[Figures]

    def _value(self, cases: Sequence[str], field: str) -> float | None:
        """Of the case that was measured."""
        return next(
            (getattr(found, field) for found in self.figures if found.model == self.model and found.case in cases), None
        )

    def ratio(self, cases: Sequence[str], over: Sequence[str], field: str) -> float | None:
        one, other = self._value(cases, field), self._value(over, field)
        return one / other if one and other else None

    def above(self, cases: Sequence[str]) -> float | None:
        """Microseconds of one row, less those of reading it."""
        one, read = self._value(cases, "median"), self._value(("scan",), "median")
        return (one - read) / MICROSECOND if one and read else None


def _refresh(cases: Sequence[str]) -> list[str]:
    return [f"{case}, refresh" for case in cases]
