"""Clusters with a centre: the nearest one, ties included, and the distances where a pipeline goes on with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array, issparse
from sklearn.base import clone
from sklearn.cluster import AffinityPropagation, Birch, BisectingKMeans, KMeans, MeanShift, MiniBatchKMeans
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from pgscore.compiler import ir
from pgscore.compiler.backends.numpy import evaluate
from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError

from ...support.customers import NUMBERS, customers, rows_to_score
from .parity import assert_parity

KMEANS = [
    KMeans(4, n_init=1, random_state=0),
    KMeans(3, n_init=2, init="random", algorithm="elkan", random_state=1),
    KMeans(1, n_init=1),
    MiniBatchKMeans(5, n_init=1, random_state=0, batch_size=16),
    BisectingKMeans(1, random_state=0),
    BisectingKMeans(2, random_state=0),
    BisectingKMeans(9, bisecting_strategy="largest_cluster", random_state=0),
    BisectingKMeans(6, init="k-means++", algorithm="elkan", random_state=1),
]
OTHERS = [
    Birch(threshold=15, n_clusters=None),
    Birch(threshold=5, n_clusters=3),
    Birch(threshold=500, n_clusters=None),
    Birch(threshold=15, n_clusters=KMeans(2, n_init=1, random_state=0)),
    Birch(threshold=8, n_clusters=4, compute_labels=False, branching_factor=5),
    MeanShift(bandwidth=25),
    MeanShift(bandwidth=10, cluster_all=False),
    AffinityPropagation(random_state=0),
    AffinityPropagation(preference=-9000, damping=0.9, random_state=0),
]


@pytest.mark.parametrize("model", [*KMEANS, *OTHERS], ids=str)
def test_clusters(model: Any) -> None:
    train = customers()[NUMBERS]
    program = assert_parity(model.fit(train), rows_to_score(train, 90))
    assert program.kind is ir.ModelKind.CLUSTERER
    assert program.outputs[0].labels is None


@pytest.mark.parametrize("model", [*KMEANS, Birch(threshold=0.4), MeanShift(), AffinityPropagation()], ids=str)
def test_clusters_of_scaled_rows(model: Any) -> None:
    train = customers()[NUMBERS]
    assert_parity(make_pipeline(StandardScaler(), model).fit(train), rows_to_score(train, 90))


@pytest.mark.parametrize("model", [*KMEANS, Birch(threshold=1.0)], ids=str)
def test_distances_in_the_middle_of_a_pipeline(model: Any) -> None:
    """No centre is a row itself: scikit-learn's distance between the two is rounding noise, and not 0."""
    train = customers()[NUMBERS]
    fitted = make_pipeline(StandardScaler(), clone(model), Ridge()).fit(train, customers()["amount"])
    assert_parity(fitted, rows_to_score(train, 90))


def test_the_first_of_equally_near_centres_wins() -> None:
    model = KMeans(3, n_init=1, random_state=0).fit(customers()[NUMBERS])
    model.cluster_centers_ = np.array([[4.0, 0.0], [0.0, 0.0], [0.0, 4.0]])
    rows = pd.DataFrame([[2.0, 0.0], [0.0, 2.0], [4.0, 4.0], [2.0, 2.0], [1.0, 9.0]], columns=NUMBERS)
    assert_parity(model, rows)


@pytest.mark.parametrize(
    "model",
    [
        BisectingKMeans(4, random_state=0),
        Birch(threshold=0.5, n_clusters=None),
        MeanShift(bandwidth=1),
        AffinityPropagation(random_state=0),
    ],
    ids=str,
)
def test_rows_between_two_centres(model: Any) -> None:
    """Whole numbers: every distance is exact, and on a grid many rows lie on a border."""
    corners = np.repeat([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0], [8.0, 8.0]], 4, axis=0)
    grid = pd.DataFrame([(float(x), float(y)) for x in range(-8, 17, 2) for y in range(-8, 17, 2)])
    program = assert_parity(model.fit(corners), grid)
    assert len(program.columns) == 2


@pytest.mark.parametrize("model", [KMEANS[0], KMEANS[6], OTHERS[1]], ids=str)
def test_rows_that_were_sparse_matrices(model: Any) -> None:
    train = customers()[["contract", "city"]]
    fitted = make_pipeline(OneHotEncoder(handle_unknown="ignore"), clone(model).set_params(n_clusters=3)).fit(train)
    assert_parity(fitted, rows_to_score(train, 40))


def test_affinity_propagation_without_centres_says_so() -> None:
    train = customers()[NUMBERS]
    with pytest.warns(UserWarning, match="did not converge"):
        model = AffinityPropagation(max_iter=1, random_state=0).fit(train)
    assert len(model.cluster_centers_) == 0
    assert_parity(model, rows_to_score(train, 5))


def test_affinities_that_were_given_cannot_predict() -> None:
    train = customers()[NUMBERS].to_numpy()
    model = AffinityPropagation(affinity="precomputed", random_state=0).fit(-((train[:, None] - train) ** 2).sum(2))
    with pytest.raises(UnsupportedError, match="precomputed"):
        to_program(model)


def test_a_constant_column() -> None:
    train = customers()[NUMBERS].assign(monthly=5.0)
    for model in (BisectingKMeans(3, random_state=0), Birch(threshold=4.0), MeanShift(bandwidth=15)):
        assert_parity(model.fit(train), rows_to_score(train, 20))


@pytest.mark.parametrize("model", [Birch(threshold=5.3), MeanShift(bandwidth=25), AffinityPropagation(random_state=0)])
def test_centres_in_float32_meet_rows_of_doubles(model: Any) -> None:
    train = customers()[NUMBERS]
    assert_parity(model.fit(train.astype(np.float32)), rows_to_score(train, 90))


@pytest.mark.parametrize("cls", [KMeans, MiniBatchKMeans, BisectingKMeans])
def test_centres_in_float32_are_refused_as_the_model_refuses_doubles(cls: Any) -> None:
    train = customers()[NUMBERS]
    model = cls(2, n_init=1, random_state=0).fit(train.astype(np.float32))
    with pytest.raises(ValueError, match="dtype"):
        model.predict(train)
    with pytest.raises(UnsupportedError, match="float32"):
        to_program(model)


def test_centres_that_are_a_sparse_matrix() -> None:
    train = np.repeat(np.eye(4), 3, axis=0) * np.linspace(1, 2, 12)[:, np.newaxis]
    model = AffinityPropagation(random_state=0).fit(csr_array(train))
    assert issparse(model.cluster_centers_)
    assert_parity(model, pd.DataFrame(np.vstack([train, np.full((1, 4), 0.3)])))


@pytest.mark.parametrize("model", KMEANS, ids=str)
def test_the_distance_from_a_centre_has_digits_next_to_it(model: Any) -> None:
    """On the centre it is 0, where scikit-learn's transform gives rounding noise; elsewhere the two are equal."""
    train = customers()[NUMBERS].dropna() + 1000.0
    model.fit(train)
    centers = pd.DataFrame(model.cluster_centers_, columns=NUMBERS)
    program = assert_parity(model, pd.concat([centers, centers + 1e-6, train]))
    got = evaluate(program, {name: centers[name].to_numpy() for name in NUMBERS})[ir.Method.DISTANCE][:, 0]
    assert got.tolist() == [0.0] * len(centers)
    found = evaluate(program, {name: train[name].to_numpy() for name in NUMBERS})[ir.Method.DISTANCE][:, 0]
    np.testing.assert_allclose(found, model.transform(train).min(axis=1), rtol=1e-6)
