"""Neural networks: each activation, loss and kind of target, and how large they become as SQL."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import psycopg2
import pytest
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from pgscore.compiler import ir
from pgscore.compiler.artifact import Artifact, Strategy
from pgscore.compiler.build import build, default_parameters
from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError

from ...support import sqlrun
from ...support.customers import NUMBERS, customers, rows_to_score
from ...support.databases import copied
from ...support.servers import Server
from .parity import assert_parity

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
ACTIVATIONS = ["identity", "logistic", "tanh", "relu"]
FEW: dict[str, Any] = {"max_iter": 20, "random_state": 0, "learning_rate_init": 0.02}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("target", ["churn", "tier", "level", "flag", "grade"])
def test_classifiers(activation: str, target: str) -> None:
    train = customers()[NUMBERS]
    network = MLPClassifier((5, 3), activation=activation, **FEW)
    model = make_pipeline(StandardScaler(), network).fit(train, customers()[target].to_numpy())
    assert_parity(model, rows_to_score(train, 90))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("layers", [(), (4,), (6, 5, 4)], ids=str)
def test_regressors(activation: str, layers: tuple[int, ...]) -> None:
    train = customers()[NUMBERS]
    model = MLPRegressor(hidden_layer_sizes=layers, activation=activation, **FEW).fit(train, customers()["amount"])
    assert_parity(model, rows_to_score(train, 90))


def test_poisson_has_a_logarithmic_link() -> None:
    train = customers()[NUMBERS]
    network = MLPRegressor(loss="poisson", hidden_layer_sizes=(4,), **FEW)
    model = make_pipeline(StandardScaler(), network).fit(train, customers()["tenure"])
    assert_parity(model, rows_to_score(train, 90))


def test_several_numbers() -> None:
    train = customers()[NUMBERS]
    model = MLPRegressor(hidden_layer_sizes=(4,), **FEW).fit(train, customers()[["amount", "level"]].to_numpy())
    program = assert_parity(model, rows_to_score(train, 90))
    assert len(program.outputs[0].columns) == 2


def test_several_labels() -> None:
    train = customers()[NUMBERS]
    targets = customers()[["flag", "senior"]].to_numpy()
    model = make_pipeline(StandardScaler(), MLPClassifier((5,), **FEW)).fit(train, targets)
    program = assert_parity(model, rows_to_score(train, 90))
    assert program.kind is ir.ModelKind.MULTI_OUTPUT_CLASSIFIER
    assert program.outputs[0].targets == ((0, 1), (0, 1))


def test_ten_classes() -> None:
    train = customers()[NUMBERS]
    target = np.arange(90) % 10
    model = make_pipeline(StandardScaler(), MLPClassifier((7,), solver="lbfgs", max_iter=20, random_state=0))
    assert_parity(model.fit(train, target), rows_to_score(train, 90))


def test_one_class() -> None:
    train = customers()[NUMBERS]
    model = MLPClassifier((3,), **FEW).fit(train, np.full(90, "only"))
    program = assert_parity(model, rows_to_score(train, 20))
    assert program.outputs[0].labels == ("only",)


def test_weights_in_float32_meet_rows_of_doubles() -> None:
    train = customers()[NUMBERS]
    model = MLPRegressor(hidden_layer_sizes=(4,), **FEW).fit(train.astype(np.float32), customers()["amount"])
    assert model.coefs_[0].dtype == np.float32
    assert_parity(model, rows_to_score(train, 90))


def test_sparse_rows() -> None:
    train = customers()[["contract", "city"]]
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), MLPClassifier((4,), **FEW))
    assert_parity(model.fit(train, customers()["tier"]), rows_to_score(train, 40))


def test_weights_that_diverged_are_refused() -> None:
    model = MLPRegressor(hidden_layer_sizes=(2,), **FEW).fit(customers()[NUMBERS], customers()["amount"])
    model.coefs_[0][0, 0] = np.nan
    with pytest.raises(UnsupportedError, match="not finite"):
        to_program(model)


def _wide(layers: tuple[int, ...], *, scale: bool) -> tuple[Any, pd.DataFrame, Artifact]:
    """A network of 20 numbers in plpgsql."""
    frame = pd.DataFrame(np.random.default_rng(0).normal(50, 20, (200, 20)), columns=[f"f{i}" for i in range(20)])
    network = MLPClassifier(layers, max_iter=2, random_state=0)
    model = make_pipeline(StandardScaler(), network) if scale else network
    model.fit(frame, frame.sum(axis=1) > 1000)
    program = to_program(model)
    return model, frame, build(program, default_parameters(program), strategy=Strategy.PLPGSQL)


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize(("layers", "limit"), [((100,), 200_000), ((24, 12), 80_000), ((64, 64), 500_000)])
def test_no_term_is_repeated(layers: tuple[int, ...], limit: int, *, scale: bool) -> None:
    """Each unit is computed once: the text grows with the number of weights, not with paths through the layers."""
    _, _, artifact = _wide(layers, scale=scale)
    text = artifact.functions[0].body.text
    assert len(text) < limit
    n_weights = sum(a * b for a, b in zip((20, *layers), (*layers, 1), strict=True))
    assert n_weights <= text.count(" * ") <= 1.02 * n_weights


@pytest.mark.parametrize("layers", [(100,), (24, 12), (64, 64)], ids=str)
def test_planning_and_running_needs_little_memory(server: Server, layers: tuple[int, ...]) -> None:
    model, frame, artifact = _wide(layers, scale=False)
    with copied(server) as dsn:
        connection = psycopg2.connect(dsn)
        try:
            got = sqlrun.run(connection, artifact, {name: frame[name].tolist() for name in frame})
            backend = connection.get_backend_pid()
            with open(f"/proc/{backend}/status") as status:
                (peak,) = [int(line.split()[1]) for line in status if line.startswith("VmHWM")]
        finally:
            connection.close()
    np.testing.assert_allclose(got[""], model.predict_proba(frame)[:, 1], rtol=1e-11)
    assert peak < 512 * 1024, "kilobytes"
