"""Nearest neighbours and centroids against scikit-learn's own answers."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import (
    KNeighborsClassifier,
    KNeighborsRegressor,
    LocalOutlierFactor,
    NearestCentroid,
    RadiusNeighborsClassifier,
    RadiusNeighborsRegressor,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from pgscore.compiler.backends.numpy import refuses
from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError
from tests.support.customers import NUMBERS, customers, rows_to_score

from .parity import assert_parity

FRAME = customers()[NUMBERS]
ROWS = rows_to_score(FRAME)


def fitted(model: Any, target: str | None = None) -> Any:
    return model.fit(FRAME, None if target is None else customers()[target].to_numpy())


@pytest.mark.parametrize("target", ["churn", "tier", "level", "flag", "grade"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n_neighbors": 1},
        {"weights": "distance"},
        {"algorithm": "brute", "n_neighbors": 4},
        {"algorithm": "ball_tree", "p": 1, "weights": "distance"},
        {"metric": "chebyshev", "algorithm": "brute", "weights": "distance"},
        {"p": 3, "weights": None},
        {"n_neighbors": 90},
    ],
)
def test_classifiers(target: str, options: dict[str, Any]) -> None:
    assert_parity(fitted(KNeighborsClassifier(**options), target), ROWS, rtol=1e-11)


@pytest.mark.parametrize(
    "options",
    [{}, {"weights": "distance"}, {"algorithm": "brute"}, {"algorithm": "brute", "p": 3.5, "weights": "distance"}],
)
def test_regressors(options: dict[str, Any]) -> None:
    assert_parity(fitted(KNeighborsRegressor(3, **options), "amount"), ROWS, rtol=1e-11)
    assert_parity(fitted(KNeighborsRegressor(3, **options), "level"), ROWS, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("model", [KNeighborsRegressor(4), RadiusNeighborsRegressor(40.0)])
def test_targets_in_float32_say_how_many_digits_their_mean_has(model: Any) -> None:
    amount = customers()["amount"].to_numpy(np.float32)
    program = assert_parity(model.fit(FRAME, amount), ROWS.iloc[:40])
    assert program.tolerance == 1e-5
    exact = assert_parity(model.set_params(weights="distance").fit(FRAME, amount), ROWS.iloc[:40], rtol=1e-11)
    assert not exact.approximation
    with pytest.raises(UnsupportedError, match="float16"):
        to_program(model.set_params(weights="uniform").fit(FRAME, amount.astype(np.float16)))


@pytest.mark.parametrize("dtype", [np.float32, int])
@pytest.mark.parametrize(
    "model", [LocalOutlierFactor(5, novelty=True, algorithm="brute"), KNeighborsRegressor(5, algorithm="brute", p=3)]
)
def test_infinite_distances_have_no_order_outside_of_arg_kmin(model: Any, dtype: type) -> None:
    """There scikit-learn takes any rows; the program refuses the row, which holds a number that no data has."""
    program = to_program(model.fit(FRAME.to_numpy().astype(dtype), customers()["amount"]))
    columns = {f"x{i}": np.array([1.0, 1e90, 1e160, 1e300]) for i in range(FRAME.shape[1])}
    cubes = isinstance(model, KNeighborsRegressor)
    assert refuses(program, columns).tolist() == [False, False, True, True]
    assert cubes or not refuses(program, {name: np.array([1e120]) for name in columns}).any()


def test_several_targets() -> None:
    numbers = customers()[["amount", "level"]].to_numpy()
    assert_parity(KNeighborsRegressor(4).fit(FRAME, numbers), ROWS, rtol=1e-11)
    classes = customers()[["tier", "churn"]].to_numpy()
    model = KNeighborsClassifier(4).fit(FRAME, classes)
    program = to_program(model)
    assert [len(labels) for labels in program.outputs[0].targets or ()] == [3, 2]
    expected = np.hstack(model.predict_proba(FRAME))
    assert expected.shape[1] == len(program.outputs[1].columns)


@pytest.mark.parametrize(
    "options", [{"p": 1, "outlier_label": 2}, {"p": 1, "outlier_label": "most_frequent"}, {"p": np.inf}]
)
def test_what_scikit_learn_answers_without_a_check_of_the_row_is_refused(options: dict[str, Any]) -> None:
    model = RadiusNeighborsClassifier(9.0, algorithm="brute", **options)
    levels = customers()["tier"].map({"gold": 1, "silver": 2}).fillna(3).to_numpy(int)
    with pytest.raises(UnsupportedError, match="number of a class"):
        to_program(model.fit(FRAME.to_numpy(float), levels))
    # On a data frame, on float32, and by a tree it checks the row.
    assert_parity(model.fit(FRAME, levels), ROWS, rtol=1e-11)
    assert_parity(model.fit(FRAME.to_numpy(np.float32), levels), ROWS.iloc[:60], rtol=1e-11)
    assert_parity(model.set_params(algorithm="kd_tree").fit(FRAME.to_numpy(float), levels), ROWS, rtol=1e-11)


def test_brute_force_on_arrays_without_a_label_for_outliers() -> None:
    model = RadiusNeighborsClassifier(40.0, algorithm="brute", p=1)
    assert_parity(model.fit(FRAME.to_numpy(float), customers()["tier"]), ROWS, rtol=1e-11)


@pytest.mark.parametrize("radius", [0.5, 6.0, 25.0])
@pytest.mark.parametrize("options", [{}, {"weights": "distance"}, {"algorithm": "brute"}, {"metric": "manhattan"}])
def test_regressors_within_a_radius(options: dict[str, Any], radius: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_parity(fitted(RadiusNeighborsRegressor(radius, **options), "amount"), ROWS, rtol=1e-11)
        assert_parity(fitted(RadiusNeighborsRegressor(radius, **options), "level"), ROWS, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"outlier_label": "most_frequent"},
        {"outlier_label": "gold", "weights": "distance"},
        {"outlier_label": "nobody"},
        {"outlier_label": "nobody", "algorithm": "brute"},
        {"outlier_label": "bronze", "algorithm": "brute", "p": 1},
    ],
)
def test_classifiers_within_a_radius(options: dict[str, Any]) -> None:
    assert_parity(fitted(RadiusNeighborsClassifier(9.0, **options), "tier"), ROWS, rtol=1e-11)


@pytest.mark.parametrize(
    "options", [{}, {"n_neighbors": 5, "contamination": 0.1}, {"algorithm": "brute"}, {"metric": "manhattan"}]
)
def test_local_outlier_factor(options: dict[str, Any]) -> None:
    assert_parity(fitted(LocalOutlierFactor(novelty=True, **options)), ROWS, rtol=1e-10)


def test_rows_that_occur_twice() -> None:
    twice = pd.concat([FRAME.head(20)] * 2, ignore_index=True)
    model = LocalOutlierFactor(1, novelty=True).fit(twice)
    assert_parity(model, ROWS, rtol=1e-10)
    assert_parity(KNeighborsRegressor(2, weights="distance").fit(twice, np.arange(40.0)), ROWS, rtol=1e-11)


@pytest.mark.parametrize("target", ["churn", "tier", "level"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"priors": "empirical"},
        {"shrink_threshold": 0.4},
        {"metric": "manhattan"},
        {"metric": "manhattan", "priors": "empirical"},
    ],
)
def test_nearest_centroids(target: str, options: dict[str, Any]) -> None:
    assert_parity(fitted(NearestCentroid(**options), target), ROWS, rtol=1e-10, atol=1e-13)


def test_a_constant_column_beside_another() -> None:
    frame = pd.DataFrame({"a": np.arange(20.0), "b": np.ones(20)})
    y = np.arange(20) // 10
    assert_parity(NearestCentroid().fit(frame, y), rows_to_score(frame), rtol=1e-10, atol=1e-13)
    assert_parity(KNeighborsClassifier(3).fit(frame, np.zeros(20, dtype=int)), rows_to_score(frame))


def test_trained_on_a_sparse_matrix() -> None:
    frame = customers()[["city", "contract"]]
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), NearestCentroid()).fit(frame, customers()["tier"])
    assert_parity(model, rows_to_score(frame), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (KNeighborsClassifier(metric="canberra"), "its metric is 'canberra'"),
        (KNeighborsClassifier(metric=lambda a, b: float(abs(a - b).sum())), "its metric is a function"),
        (KNeighborsClassifier(weights=lambda d: 1 / (1 + d)), "its weights are a function"),
        (KNeighborsClassifier(metric="minkowski", p=3, metric_params={"w": np.array([1.0, 2.0])}), "the parameters w"),
        (KNeighborsClassifier(weights="distance", algorithm="brute"), "half the digits"),
        (KNeighborsClassifier(400), "asks for 400 neighbours"),
        (LocalOutlierFactor(), "novelty=False"),
        (NearestCentroid(priors=[0.0, 0.5, 0.5]), "prior probability 0"),
        (NearestCentroid(priors=[0.5, 0.5]), "2 priors for 3 classes"),
    ],
)
def test_what_has_no_exact_form_is_refused(model: Any, reason: str) -> None:
    with pytest.raises(UnsupportedError, match=reason):
        to_program(fitted(model, "tier"))


def test_a_spread_that_is_rounding_is_refused() -> None:
    """0.1 has no exact mean: scikit-learn divides by what is left. The labels of equal priors do not need it."""
    rows = np.column_stack([np.arange(9.0), np.full(9, 0.1)])
    target = np.arange(9) // 3
    assert (NearestCentroid().fit(rows, target).within_class_std_dev_[1] > 0).all()
    with pytest.raises(UnsupportedError, match="constant within each class"):
        to_program(NearestCentroid().fit(rows, target))
    assert_parity(NearestCentroid(metric="manhattan").fit(rows, target), pd.DataFrame(rows))
