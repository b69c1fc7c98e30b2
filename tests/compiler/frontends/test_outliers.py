"""IsolationForest: every row has a score, and the label follows it to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from pgscore.compiler import ir
from pgscore.compiler.backends.numpy import evaluate
from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError
from tests.support.customers import NUMBERS_MISSING, customers, rows_to_score
from tests.support.tree_models import hard_rows, numbers

from .parity import assert_parity


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"contamination": 0.1},
        {"contamination": 0.05, "max_features": 0.5},
        {"max_samples": 2},
        {"max_samples": 0.3, "bootstrap": True, "max_features": 1},
    ],
    ids=str,
)
def test_scores_and_labels_are_the_models_own(options: dict[str, Any], missing: bool) -> None:
    frame = numbers(missing=missing)
    model = IsolationForest(n_estimators=6, random_state=0, **options).fit(frame)
    program = assert_parity(model, pd.concat([frame, hard_rows(model, frame)]), exact=True)
    assert program.kind is ir.ModelKind.OUTLIER_DETECTOR


def test_rows_on_the_threshold_are_inliers() -> None:
    """With such contamination the offset is the score of a training row."""
    frame = pd.DataFrame({"f0": np.r_[np.zeros(9), 1.0, 2.0]})
    model = IsolationForest(n_estimators=3, contamination=0.1, random_state=0).fit(frame)
    assert (model.decision_function(frame) == 0).any()
    assert_parity(model, frame, exact=True)


def test_infinite_and_huge_numbers_have_a_score() -> None:
    model = IsolationForest(n_estimators=3, random_state=0).fit(numbers())
    program = to_program(model)
    assert not any(isinstance(node, ir.Check) for node in program.nodes)
    rows = {f"f{i}": np.array([np.inf, -np.inf, 1e300, np.nan]) for i in range(4)}
    assert np.isfinite(evaluate(program, rows)[ir.Method.DECISION_FUNCTION]).all()


def test_missing_values_in_a_sparse_matrix_go_right() -> None:
    train = customers()[[*NUMBERS_MISSING, "contract"]]
    coded = ColumnTransformer([("codes", OneHotEncoder(), ["contract"])], remainder="passthrough", sparse_threshold=1.0)
    model = make_pipeline(coded, IsolationForest(n_estimators=5, random_state=0)).fit(train.fillna(0))
    assert_parity(model, rows_to_score(train), exact=True)


def test_trees_of_one_row_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="one row only"):
        to_program(IsolationForest(n_estimators=2, max_samples=1).fit(numbers()))
