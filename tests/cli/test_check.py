"""`pgscore check`: what it says of models that run in SQL, of those that better do not, and of refused ones."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading

from pgscore.compiler.build import default_parameters
from pgscore.compiler.forms import forms
from pgscore.compiler.frontends import to_program

from .conftest import pgscore

X = np.random.default_rng(0).normal(size=(400, 6))


def checked(model: Any, folder: Path) -> tuple[dict[str, Any], str]:
    """The JSON and the text that `check` prints of the model."""
    path = folder / "model.pkl"
    path.write_bytes(pickle.dumps(model))
    shown = pgscore("check", path, "--trust")
    told = pgscore("check", path, "--trust", "--json")
    assert shown.code == told.code
    return json.loads(told.out), shown.out


def test_a_small_model_runs_in_sql(tmp_path: Path) -> None:
    told, shown = checked(make_pipeline(StandardScaler(), LinearRegression()).fit(X, X[:, 0]), tmp_path)
    assert {step["way"] for step in told["steps"]} == {"SQL exact"}
    assert told["strategy"] == told["without_plpython"]["strategy"] == "sql"
    sql, plpgsql, onnx = told["forms"]
    assert 0 < sql["characters"] < 3000
    assert 0 < plpgsql["characters"] < 3000
    assert 0 < onnx["bytes"] < 5000
    assert "a bad idea" not in shown
    assert f"{sql['characters']:,} characters" in shown


def test_a_forest_is_a_bad_idea_as_one_expression(tmp_path: Path) -> None:
    told, shown = checked(RandomForestRegressor(60, random_state=0).fit(X, X[:, 0] * X[:, 1]), tmp_path)
    assert [step["way"] for step in told["steps"]] == ["SQL exact"]
    assert told["strategy"] == "onnx"
    assert told["without_plpython"]["strategy"] == "plpgsql"
    sql, plpgsql, _ = told["forms"]
    assert not sql["exactly"]
    assert "ms of planning in every query" in sql["against"]
    assert plpgsql["exactly"]
    assert plpgsql["characters"] > 500_000
    assert f"sql is a bad idea: {sql['against']}" in shown


class Unknown(TransformerMixin, BaseEstimator):
    def fit(self, X: Any, y: Any = None) -> Unknown:  # noqa: ARG002
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: Any) -> Any:
        return X


def test_every_step_that_is_refused_says_so(tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), Unknown(), LabelSpreading()).fit(X, X[:, 0] > 0)
    told, shown = checked(model, tmp_path)
    assert told["compiles"] is False
    assert [step["way"] for step in told["steps"]] == ["SQL exact", "refused", "refused"]
    assert all(step["reason"] and step["way_forward"] for step in told["steps"][1:])
    assert "It does not compile" in shown


@pytest.mark.parametrize("trees", [1, 40])
def test_the_estimate_is_near_the_size(trees: int, monkeypatch: pytest.MonkeyPatch) -> None:
    program = to_program(RandomForestRegressor(trees, random_state=0).fit(X, X[:, 0] * X[:, 1]))
    built = {form.strategy: form for form in forms(program, default_parameters(program))}
    monkeypatch.setattr("pgscore.compiler.forms._MEASURED_ITEMS", 0)
    estimated = {form.strategy: form for form in forms(program, default_parameters(program))}
    for strategy, form in estimated.items():
        if not form.exactly and built[strategy].exactly:
            assert 0.3 < form.characters / built[strategy].characters < 3
