"""KMeans and MiniBatchKMeans: the nearest centre, ties included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pgscore.compiler import ir
from pgscore.compiler.frontends import to_program
from pgscore.errors import UnsupportedError

from ...support.customers import NUMBERS, customers, rows_to_score
from .parity import assert_parity

MODELS = [
    KMeans(4, n_init=1, random_state=0),
    KMeans(3, n_init=2, init="random", algorithm="elkan", random_state=1),
    KMeans(1, n_init=1),
    MiniBatchKMeans(5, n_init=1, random_state=0, batch_size=16),
]


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_clusters(model: Any) -> None:
    train = customers()[NUMBERS]
    program = assert_parity(model.fit(train), rows_to_score(train, 90))
    assert program.kind is ir.ModelKind.CLUSTERER
    assert program.outputs[0].labels is None


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_clusters_of_scaled_rows(model: Any) -> None:
    train = customers()[NUMBERS]
    assert_parity(make_pipeline(StandardScaler(), model).fit(train), rows_to_score(train, 90))


def test_the_first_of_equally_near_centres_wins() -> None:
    model = KMeans(3, n_init=1, random_state=0).fit(customers()[NUMBERS])
    model.cluster_centers_ = np.array([[4.0, 0.0], [0.0, 0.0], [0.0, 4.0]])
    rows = pd.DataFrame([[2.0, 0.0], [0.0, 2.0], [4.0, 4.0], [2.0, 2.0], [1.0, 9.0]], columns=NUMBERS)
    assert_parity(model, rows)


@pytest.mark.parametrize("cls", [KMeans, MiniBatchKMeans])
def test_centres_in_float32_are_refused_as_the_model_refuses_doubles(cls: Any) -> None:
    train = customers()[NUMBERS]
    model = cls(2, n_init=1, random_state=0).fit(train.astype(np.float32))
    with pytest.raises(ValueError, match="dtype"):
        model.predict(train)
    with pytest.raises(UnsupportedError, match="float32"):
        to_program(model)
