"""Factorisations: their files, what they refuse, and that their answers are the model's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import NMF, TruncatedSVD

from pgscore.compiler.factorisation import Factorisation
from pgscore.compiler.frontends import to_program
from pgscore.compiler.load import load_model
from pgscore.errors import ModelFileError, PgscoreError, UnsupportedError

from ..cli.conftest import pgscore

RATINGS = np.random.default_rng(0).integers(0, 6, (8, 12)).astype(float)
USERS, ITEMS = np.arange(8) * 3, np.array([f"film {n}" for n in range(12)])


def learned(model: Any, **options: Any) -> Factorisation:
    return Factorisation.of(model, model.fit_transform(RATINGS), USERS, ITEMS, **options)


@pytest.mark.parametrize("model", [TruncatedSVD(4, random_state=0), NMF(4, random_state=0, max_iter=2000)])
def test_a_file_gives_the_model_s_own_answers(model: Any, tmp_path: Path) -> None:
    found = learned(model)
    found.save(tmp_path / "a model")
    loaded = load_model(tmp_path / "a model")
    assert (loaded.format, loaded.description) == ("factors", type(model).__name__)
    assert loaded.estimator.sha256 == found.sha256
    users, items = np.repeat(USERS, 12).tolist(), np.tile(ITEMS, 8).tolist()
    answers = loaded.estimator.answers({"user_id": [*users, 1, None], "item_id": [*items, "film 1", "film 1"]})[""]
    assert answers[-2:] == [None, None]
    own = model.inverse_transform(model.fit_transform(RATINGS)).ravel()
    np.testing.assert_allclose(answers[:-2], own, rtol=1e-12, atol=1e-14)


def test_the_hash_is_of_keys_and_factors_in_any_order() -> None:
    found = learned(TruncatedSVD(4, random_state=0))
    order = np.random.default_rng(1).permutation(12)
    parts = (found.users, found.user_factors)
    shuffled = Factorisation("x", parts[0], ITEMS[order], parts[1], found.item_factors[order])
    assert shuffled.sha256 == found.sha256
    swapped = Factorisation("x", parts[0], ITEMS[order], parts[1], found.item_factors)
    assert swapped.sha256 != found.sha256


F = np.ones((2, 3))


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ((["a", "b"], ["c"], F, F), "not of one length"),
        (([], ["c", "d"], np.ones((0, 3)), F), "not of one length"),
        ((["a", "a"], ["c", "d"], F, F), "distinct"),
        (([1.5, 2.5], ["c", "d"], F, F), "integers or texts"),
        (([True, False], ["c", "d"], F, F), "integers or texts"),
        ((["a\0b", "b"], ["c", "d"], F, F), "NUL"),
        ((["a", "b"], ["c", "d"], F * np.nan, F), "not all numbers"),
        ((["a", "b"], ["c", "d"], F, F * 1e101), "not all numbers"),
        ((["a", "b"], ["c", "d"], F.astype(int), F), "not all numbers"),
        ((["a", "b"], ["c", "d"], F, np.ones((2, 4))), "the same number of factors"),
        ((["a", "b"], ["c", "d"], np.ones((2, 901)), np.ones((2, 901))), "from 1 to 900"),
    ],
)
def test_arrays_that_are_refused(arrays: Any, says: str) -> None:
    users, items, of_users, of_items = arrays
    with pytest.raises(ModelFileError, match=says):
        Factorisation("x", np.array(users), np.array(items), of_users, of_items)


def test_only_a_linear_transform_takes_new_ratings() -> None:
    assert learned(TruncatedSVD(4, random_state=0), rating="stars").rating == "stars"
    with pytest.raises(UnsupportedError, match="NMF"):
        learned(NMF(4, random_state=0, max_iter=2000), rating="stars")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    names = ("users", "items", "user_factors", "item_factors", "words")
    np.savez(path, **{name: np.array([{"an": "object"}], dtype=object) for name in names})
    with pytest.raises(ModelFileError, match="cannot be loaded"):
        load_model(path)


def test_check_and_compile_say_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "taste.npz"
    found = learned(TruncatedSVD(4, random_state=0))
    found.save(path)
    with pytest.raises(PgscoreError, match="pgscore deploy"):
        to_program(found)
    outcomes = [pgscore("check", path), pgscore("compile", path, "--to", "sql")]
    assert all("pgscore deploy" in " ".join((outcome.out + outcome.err).split()) for outcome in outcomes)
    assert [outcome.code for outcome in outcomes] == [2, 2]
