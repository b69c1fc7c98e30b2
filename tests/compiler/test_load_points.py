"""Models that keep training rows, from files of unknown origin: loaded without trust where their trees are sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor, kernels
from sklearn.neighbors import BallTree, KDTree, KNeighborsClassifier, LocalOutlierFactor
from skops.io import dump

from pgscore.compiler.load import load_model
from pgscore.errors import UntrustedModelError

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(200, 3)), np.arange(200) % 3


def loaded(model: Any, folder: Path) -> Any:
    path = folder / "model.skops"
    dump(model, path)
    return load_model(path).estimator


@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "chebyshev"])
@pytest.mark.parametrize("algorithm", ["kd_tree", "ball_tree", "brute"])
def test_sound_trees_need_no_trust(tmp_path: Path, algorithm: str, metric: str) -> None:
    model = KNeighborsClassifier(algorithm=algorithm, metric=metric, leaf_size=7).fit(X, Y)
    assert (loaded(model, tmp_path).predict(X) == model.predict(X)).all()


def test_minkowski_and_outliers(tmp_path: Path) -> None:
    loaded(KNeighborsClassifier(p=3).fit(X, Y), tmp_path)
    loaded(LocalOutlierFactor(novelty=True).fit(X), tmp_path)


def test_kernels_need_no_trust(tmp_path: Path) -> None:
    kernel = 2.0 * kernels.RBF() + kernels.Matern() * kernels.RationalQuadratic() + kernels.WhiteKernel()
    kernel += kernels.ExpSineSquared() + kernels.DotProduct() ** 2
    loaded(GaussianProcessRegressor(kernel, alpha=9.0, optimizer=None).fit(X, Y), tmp_path)


@pytest.mark.parametrize("algorithm", ["kd_tree", "ball_tree"])
@pytest.mark.parametrize("field", [0, 1, 2, 3, 5, 6])
def test_a_tree_that_its_points_do_not_make_is_refused(tmp_path: Path, algorithm: str, field: int) -> None:
    model = KNeighborsClassifier(algorithm=algorithm, leaf_size=7).fit(X, Y)
    tree: KDTree | BallTree = model._tree
    state = list(tree.__getstate__())
    if isinstance(state[field], int):
        state[field] += 1
    else:
        state[field] = np.roll(np.array(state[field]), 1)
    tree.__setstate__(tuple(state))
    with pytest.raises(UntrustedModelError, match="points outside its arrays"):
        loaded(model, tmp_path)


def test_classes_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    model = KNeighborsClassifier(algorithm="brute").fit(X, Y)
    model._y = model._y + 1000
    with pytest.raises(UntrustedModelError, match="points outside its arrays"):
        loaded(model, tmp_path)
