"""The oracle on models that were trained on pandas' categories: it gives them such columns again."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from pgscore.compiler.build import build, default_parameters
from pgscore.compiler.frontends import to_program
from pgscore.compiler.oracle import Oracle
from tests.support.boosting_models import as_categories, fitted
from tests.support.customers import customers

COLUMNS = ["monthly", "payment", "visits"]
OPTIONS = {
    "lightgbm.LGBMRegressor": {"n_estimators": 3, "min_child_samples": 3, "min_data_per_group": 2, "verbose": -1},
    "xgboost.XGBRegressor": {"n_estimators": 3, "max_depth": 3, "enable_categorical": True},
}
ROWS: dict[str, list[object]] = {
    "monthly": [60.0, 60.0, 60.0, None, 60.0, 60.0, 60.0],
    "payment": ["card", None, "never seen", "cash", "", "card", "card"],
    "visits": [2.0, 1.0, 2.0, None, 3.0, 2.5, 1e300],
}
UNKNOWN = [False, False, True, False, True, True, True]


@pytest.mark.parametrize("name", OPTIONS)
def test_unknown_categories(name: str) -> None:
    """LightGBM takes them as missing; XGBoost refuses the row, and the others are answered as a whole."""
    train = as_categories(customers()[COLUMNS])
    model: Any = fitted(name, OPTIONS[name], train, customers()["amount"])
    program = to_program(model)
    parameters = default_parameters(program)
    (given,) = Oracle(model, parameters, build(program, parameters).functions[:1]).answers(ROWS).values()
    assert [answer is None for answer in given] == [unknown and name.startswith("xgboost") for unknown in UNKNOWN]
    known = [row for row, unknown in enumerate(UNKNOWN) if not unknown]
    frame = pd.DataFrame({column: [values[row] for row in known] for column, values in ROWS.items()})
    frame["monthly"] = frame["monthly"].astype(float)
    for column in ("payment", "visits"):
        frame[column] = pd.Categorical(frame[column], categories=train[column].cat.categories)
    assert [given[row] for row in known] == model.predict(frame).tolist()
