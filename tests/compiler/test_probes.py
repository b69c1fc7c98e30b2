"""Probes are the values at which a model changes its answer."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from pgscore.compiler import ir
from pgscore.compiler.frontends import to_program
from pgscore.compiler.probes import MAX_PROBES, probes
from tests.support import programs
from tests.support.programs import N, T, block, inputs, program


def test_thresholds_and_sets_are_probes() -> None:
    found = probes(program([N, N], ir.Trees(inputs(2), programs.forest(), np.zeros(2))))
    assert found == {"x0": (1.5,), "x1": (-40.0, 1.0, 3.0, 255.0)}


def test_categories_are_probes_also_behind_a_fill() -> None:
    p = program(
        [T, N],
        ir.FillText((ir.Ref(0, 0),), ("b",)),
        ir.Codes(block(2, 1), ("b", "a")),
        ir.Codes((ir.Ref(1, 0),), (4.0, 2.0)),
    )
    assert probes(p) == {"x0": ("a", "b"), "x1": (2.0, 4.0)}


def test_a_scaled_tree_changes_its_answer_at_its_probes() -> None:
    rng = np.random.default_rng(0)
    train = pd.DataFrame({"a": rng.normal(40, 9, 200)})
    model = make_pipeline(StandardScaler(), DecisionTreeRegressor(max_depth=3)).fit(train, rng.random(200))
    found = np.array(probes(to_program(model))["a"], dtype=float)
    assert len(found) == 3 * (model[-1].tree_.node_count // 2)
    for value in found[1::3]:
        low, high = model.predict(pd.DataFrame({"a": [value * (1 - 1e-6), value * (1 + 1e-6)]}))
        assert low != high
    np.testing.assert_array_equal(found[2::3], np.nextafter(found[1::3], math.inf))


def test_many_probes_are_picked_evenly() -> None:
    p = program([N], ir.Codes(inputs(1), tuple(float(v) for v in range(1000))))
    found = probes(p)["x0"]
    assert len(found) == MAX_PROBES
    assert (found[0], found[-1]) == (0.0, 999.0)
    assert found == tuple(sorted(found))


def test_a_sum_of_columns_has_no_probes() -> None:
    p = program([N, N], ir.Affine(inputs(2), np.ones((1, 2)), np.zeros(1)), ir.Step(block(2, 1)))
    assert probes(p) == {}


def test_knots_and_the_ends_of_what_a_model_takes_are_probes() -> None:
    pieces = ir.Piecewise(block(1, 1), np.array([0.5, 2.5]), np.zeros(3), np.arange(3.0).reshape(3, 1, 1))
    p = program([N], ir.Check(inputs(1), low=-1.0, high=4.0), pieces)
    assert probes(p) == {"x0": (-1.0, 0.5, 2.5, 4.0)}
