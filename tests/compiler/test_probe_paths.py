"""The gate's rows find every threshold of a tree that is off by one bit, however deep it lies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from pgscore.compiler import ir
from pgscore.compiler.artifact import SqlType
from pgscore.compiler.backends.numpy import evaluate
from pgscore.compiler.build import build, default_parameters
from pgscore.compiler.frontends import to_program
from pgscore.procedures.cases import Cases, Space, adversarial, synthetic_bases

X, Y = load_diabetes(return_X_y=True, scaled=False)
MODELS = [
    DecisionTreeRegressor(max_depth=4, random_state=0),
    DecisionTreeRegressor(min_samples_leaf=3, random_state=0),
    RandomForestRegressor(4, max_depth=6, random_state=0),
    make_pipeline(StandardScaler(), DecisionTreeRegressor(max_depth=5, random_state=0)),
]


def rows_of(program: ir.Program) -> Cases:
    """What the gate makes of the program and the table's quantiles."""
    parameters = default_parameters(program)
    artifact = build(program, parameters)
    space = Space(parameters, artifact.probes, {}, artifact.paths)
    quantiles = {p.name: np.quantile(X[:, i], (0.5, 0.05, 0.95)).tolist() for i, p in enumerate(parameters)}
    return adversarial(space, synthetic_bases(space, quantiles, {}))


def answers(program: ir.Program, cases: Cases) -> np.ndarray[Any, Any]:
    columns = {
        name: np.array([np.nan if v is None else float(v) for v in values]) for name, values in cases.columns.items()
    }
    return evaluate(program, columns)[ir.Method.PREDICT]


@pytest.mark.parametrize("model", MODELS, ids=str)
@pytest.mark.parametrize("towards", [np.inf, -np.inf], ids=["up", "down"])
def test_no_threshold_may_be_off_by_one_bit(model: Any, towards: float) -> None:
    program = to_program(model.fit(X, Y))
    place, node = next((i, n) for i, n in enumerate(program.nodes) if isinstance(n, ir.Trees))
    splits = np.flatnonzero(node.forest.feature >= 0)
    # Behind a scaler no input may lie between two neighbouring doubles.
    scaled = any(isinstance(n, ir.Standardize) for n in program.nodes)
    missed = []
    for at in splits[:: max(1, len(splits) // 40)]:
        threshold = node.forest.threshold.copy()
        threshold[at] = np.nextafter(threshold[at], towards)
        if scaled:
            threshold[at] += np.sign(towards) * 1e-12 * abs(threshold[at])
        wrong = replace(node, forest=replace(node.forest, threshold=threshold))
        shifted = replace(program, nodes=(*program.nodes[:place], wrong, *program.nodes[place + 1 :]))
        cases = rows_of(shifted)
        if np.array_equal(answers(program, cases), answers(shifted, cases), equal_nan=True):
            missed.append(int(at))
    assert missed == []


def test_whole_numbers_go_the_same_ways() -> None:
    program = to_program(MODELS[0].fit(np.round(X), Y))
    artifact = build(program, default_parameters(program))
    parameters = tuple(replace(p, type=SqlType.INTEGER) for p in artifact.parameters)
    space = Space(parameters, artifact.probes, {}, artifact.paths)
    rows = space.along(dict.fromkeys((p.name for p in parameters), 0))
    assert len(rows) == len(artifact.paths) > 15
    assert all(isinstance(value, int) for row in rows for value in row.values())
