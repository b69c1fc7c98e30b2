"""`pgscore check`: what it says of models that run in SQL, of those that better do not, and of refused ones."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skl2onnx
from skl2onnx.algebra.onnx_ops import OnnxAdd
from skl2onnx.sklapi import CastTransformer
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading
from sklearn.svm import SVC
from sklearn.utils.validation import validate_data

from pgscore.compiler.build import default_parameters
from pgscore.compiler.forms import forms
from pgscore.compiler.frontends import to_program

from ..support.onnx_models import converted
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


class Plus(TransformerMixin, BaseEstimator):
    """x + 1 for the user, and x + 1 + 5e-10 through skl2onnx, as the converter below has it."""

    def fit(self, X: Any, y: Any = None) -> Plus:  # noqa: ARG002
        validate_data(self, X)
        return self

    def transform(self, X: Any) -> Any:
        return validate_data(self, X, reset=False) + 1.0


@pytest.fixture
def converter() -> Iterator[None]:
    def shape(operator: Any) -> None:
        operator.outputs[0].type = type(operator.inputs[0].type)([None, operator.inputs[0].type.shape[1]])

    def convert(scope: Any, operator: Any, container: Any) -> None:
        dtype = np.float64 if "Double" in type(operator.inputs[0].type).__name__ else np.float32
        OnnxAdd(
            operator.inputs[0], np.array([1.0 + 5e-10], dtype=dtype), op_version=18, output_names=operator.outputs[:1]
        ).add_to(scope, container)

    skl2onnx.update_registered_converter(Plus, "CheckPlus", shape, convert, overwrite=True)
    yield
    from skl2onnx._supported_operators import sklearn_operator_name_map

    del sklearn_operator_name_map[Plus]


@pytest.mark.usefixtures("converter")
def test_a_step_through_skl2onnx_is_approximate_with_the_figure(tmp_path: Path) -> None:
    """The figure printed is the difference that there is, and the verdict is no better where ONNX alone runs it."""
    told, shown = checked(make_pipeline(StandardScaler(), Plus(), LinearRegression()).fit(X, X[:, 0]), tmp_path)
    assert [step["way"] for step in told["steps"]] == ["SQL exact", "ONNX approximate", "SQL exact"]
    reason = told["steps"][1]["reason"]
    found = re.fullmatch(r"within (\S+): Plus goes through skl2onnx: measured difference (\S+)", reason)
    assert found
    tolerance, difference = map(float, found.groups())
    assert 5e-10 <= difference < tolerance == pytest.approx(10 * difference, rel=0.1)
    assert told["strategy"] == "onnx"
    assert told["without_plpython"] is None
    assert [form["strategy"] for form in told["forms"]] == ["onnx"]
    assert f"ONNX approximate: {reason}" in re.sub(r"\s+", " ", shown)
    assert "and without PL/Python there is no way" in shown


def test_a_step_that_gives_float32_is_approximate(tmp_path: Path) -> None:
    told, _ = checked(make_pipeline(CastTransformer(), LinearRegression()).fit(X, X[:, 0]), tmp_path)
    assert [step["way"] for step in told["steps"]] == ["ONNX approximate", "SQL exact"]
    assert "computes in the float32 that it gives" in told["steps"][0]["reason"]


def test_a_graph_without_a_form_in_sql_is_exact_in_onnx(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(converted(SVC().fit(X, X[:, 0] > 0), 6))
    told = json.loads(pgscore("check", path, "--json").out)
    (step,) = told["steps"]
    assert step["way"] == "ONNX exact"
    assert "SVMClassifier: it has no form in SQL" in step["reason"]
    assert told["without_plpython"] is None


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
