"""The support table says of every estimator what the frontends and the campaign know."""

from __future__ import annotations

from collections import Counter
from types import ModuleType

import pytest

from pgscore.compiler import ir
from pgscore.compiler.frontends import FRONTENDS, MODULES, REFUSED
from pgscore.compiler.support import Verdict, measurements, split, table


def test_every_estimator_has_one_row() -> None:
    names = Counter(row.estimator for row in table())
    assert {name for name, count in names.items() if count > 1} == set()
    assert set(names) == {split(key)[1] for key in [*FRONTENDS, *REFUSED]}


def test_a_refused_estimator_says_why_and_what_to_do() -> None:
    refused = {row.estimator: row for row in table() if row.verdict is Verdict.REFUSED}
    assert set(refused) == {split(key)[1] for key in REFUSED}
    for key, (reason, way_forward) in REFUSED.items():
        assert reason
        assert way_forward
        assert refused[split(key)[1]].note == f"{reason}; {way_forward}"


def test_no_estimator_is_both_compiled_and_refused() -> None:
    assert set(FRONTENDS) & set(REFUSED) == set()


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_notes_are_about_estimators_of_the_module(module: ModuleType) -> None:
    notes = getattr(module, "NOTES", {})
    assert set(notes) <= set(module.FRONTENDS)
    shown = {row.estimator: row.note for row in table()}
    for key, note in notes.items():
        assert note
        assert note in shown[split(key)[1]]


def test_every_estimator_has_been_measured() -> None:
    """`make parity` runs the campaign and writes what it has measured."""
    assert set(measurements()) == {split(key)[1] for key in FRONTENDS}


def test_nothing_measured_is_beyond_what_the_gate_allows() -> None:
    for name, measured in measurements().items():
        assert measured.difference <= measured.tolerance, name
        assert measured.models > 0
        assert bool(measured.approximation) == (measured.tolerance > ir.TOLERANCE), name


def test_public_modules_are_named() -> None:
    modules = {row.estimator: row.module for row in table()}
    assert modules["LogisticRegression"] == "sklearn.linear_model"
    assert modules["Pipeline"] == "sklearn.pipeline"
    assert not any(part.startswith("_") for module in modules.values() for part in module.split("."))
