"""The fit of costs to times: what was put in comes out, and nothing is negative."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from pgscore.compiler.artifact import Strategy, Use
from pgscore.compiler.build import build, default_parameters, simplified
from pgscore.compiler.calibration import COLUMNS, Timing, fit, programs
from pgscore.compiler.costs import DEFAULTS, Costs
from pgscore.compiler.strategy import estimates, measure

ODD = Costs(**{name: cost * (2 + index % 3) for index, (name, cost) in enumerate(asdict(DEFAULTS).items())})


def timings(costs: Costs) -> list[Timing]:
    """What the programs would take on a server of these costs."""
    found = []
    for program in programs().values():
        size = measure(simplified(program, default_parameters(program)))
        of = estimates(size, costs)
        for strategy in Strategy:
            estimate = of[Use.QUERY][strategy]
            batch = of[Use.REFRESH][strategy].row if strategy is Strategy.ONNX else 0.0
            characters = round(estimate.start / costs.planning_character) if strategy is Strategy.SQL else 0
            written = replace(size, characters=characters)
            found.append(Timing(strategy, written, estimate.row, estimate.start, batch))
    return found


@pytest.mark.parametrize("costs", [DEFAULTS, ODD])
def test_the_programs_tell_all_costs_apart(costs: Costs) -> None:
    found = fit(timings(costs))
    for name, cost in asdict(costs).items():
        assert getattr(found.costs, name) == pytest.approx(cost, rel=0.01), name
    assert max(found.errors.values()) < 0.01


def test_noise_makes_no_cost_negative() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        noisy = [
            Timing(t.strategy, t.size, *(max(0.0, time * rng.normal(1, 2)) for time in (t.row, t.start, t.batch)))
            for t in timings(DEFAULTS)
        ]
        found = fit(noisy)
        assert min(asdict(found.costs).values()) >= 0
        assert all(np.isfinite(error) for error in found.errors.values())


def test_times_that_no_costs_explain_change_none() -> None:
    """The larger a body, the sooner it is planned. The other costs are those of the times."""
    of = timings(ODD)
    inlined = sorted((t for t in of if t.strategy is Strategy.SQL), key=lambda t: t.size.characters)
    others = [t for t in of if t.strategy is not Strategy.SQL]
    found = fit([replace(t, start=1e6 / 10**place) for place, t in enumerate(inlined)] + others)
    assert set(found.kept) == {"characters to plan", "planning"}
    for name, cost in asdict(DEFAULTS).items():
        if name.startswith("planning"):
            assert getattr(found.costs, name) == cost, name
    assert found.costs.inline_operation == pytest.approx(ODD.inline_operation, rel=0.01)


def test_one_start_that_was_lost_in_noise_weighs_no_more_than_others() -> None:
    of = timings(DEFAULTS)
    lost = replace(of[0], start=0.0)
    found = fit([lost, *of[1:]])
    assert found.costs.planning_operation == pytest.approx(DEFAULTS.planning_operation, rel=0.05)
    assert found.costs.planning_split == pytest.approx(DEFAULTS.planning_split, rel=0.05)
    assert found.costs.planning_character == pytest.approx(DEFAULTS.planning_character, rel=0.15)


def test_what_was_not_measured_keeps_its_default() -> None:
    found = fit([timing for timing in timings(ODD) if timing.strategy is not Strategy.ONNX])
    assert found.costs == replace(found.costs, onnx=DEFAULTS.onnx, onnx_call=DEFAULTS.onnx_call)
    assert "ONNX in batches" not in found.errors
    assert fit([]).costs == DEFAULTS


@pytest.mark.parametrize("name", programs())
def test_each_program_has_each_form(name: str) -> None:
    program = programs()[name]
    assert len(program.columns) <= COLUMNS
    for strategy in Strategy:
        artifact = build(program, default_parameters(program), strategy=strategy)
        assert artifact.functions[0].strategy is strategy
