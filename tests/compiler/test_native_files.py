"""Files of LightGBM, XGBoost and CatBoost, loaded without trust and checked; and pgscore without the libraries."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import catboost
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from skops import io as skops_io

from pgscore.compiler.frontends import to_program
from pgscore.compiler.load import load_model
from pgscore.compiler.native import LightGBMModel, XGBoostModel
from pgscore.errors import ModelFileError, UntrustedModelError

from .frontends.boosting_data import LEVEL, POSITIVE, X, Y, hard_rows
from .frontends.parity import assert_parity

ROWS = hard_rows()
LIGHTGBM = lightgbm.LGBMClassifier(n_estimators=3, num_leaves=5, verbose=-1).fit(X, LEVEL)
XGBOOST = xgboost.XGBClassifier(n_estimators=3, max_depth=3).fit(X, LEVEL)
_CATBOOST = {"iterations": 3, "depth": 3, "verbose": 0, "allow_writing_files": False}
CATBOOST = catboost.CatBoostClassifier(**_CATBOOST).fit(X, LEVEL)


def _of_xgboost(path: Path, estimator: str, target: Any) -> None:
    getattr(xgboost, estimator)(n_estimators=3, max_depth=3).fit(X, target).save_model(path)


def _shaped(path: Path, policy: str) -> None:
    catboost.CatBoostRegressor(**_CATBOOST, grow_policy=policy).fit(X, Y).save_model(str(path), format="json")


WRITERS: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "model.txt": (LIGHTGBM.booster_.save_model, "lightgbm", "LightGBMModel"),
    "model.json": (XGBOOST.save_model, "xgboost", "XGBClassifier"),
    "model.ubj": (XGBOOST.save_model, "xgboost", "XGBClassifier"),
    "regressor.json": (lambda path: _of_xgboost(path, "XGBRegressor", Y), "xgboost", "XGBRegressor"),
    "native.ubj": (
        lambda path: xgboost.train({}, xgboost.DMatrix(X, label=Y), 3).save_model(path),
        "xgboost",
        "XGBoostModel",
    ),
    "model.cbm": (lambda path: CATBOOST.save_model(str(path)), "catboost", "CatBoostClassifier"),
    "catboost.json": (lambda path: CATBOOST.save_model(str(path), format="json"), "catboost", "CatBoostClassifier"),
    **{
        f"{policy}.json": (lambda path, policy=policy: _shaped(path, policy), "catboost", "CatBoostRegressor")
        for policy in ("Depthwise", "Lossguide")
    },
    "poisson.cbm": (
        lambda path: (
            catboost.CatBoostRegressor(**_CATBOOST, loss_function="Poisson").fit(X, POSITIVE).save_model(str(path))
        ),
        "catboost",
        "CatBoostRegressor",
    ),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("suffix", ["", ".model"])
def test_a_file_is_known_by_its_content(tmp_path: Path, name: str, suffix: str) -> None:
    write, library, description = WRITERS[name]
    write(tmp_path / name)
    path = (tmp_path / name).rename(tmp_path / (name + suffix))
    loaded = load_model(path)
    assert (loaded.format, loaded.description) == (library, description)
    assert loaded.libraries[library] == sys.modules[library].__version__
    assert_parity(loaded.estimator, ROWS)


@pytest.mark.parametrize("model", [LIGHTGBM, XGBOOST, CATBOOST], ids=["lightgbm", "xgboost", "catboost"])
def test_wrappers_in_skops_and_pickles_need_trust(tmp_path: Path, model: Any) -> None:
    skops_io.dump(model, tmp_path / "model.skops")
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    for name in ("model.skops", "model.pkl"):
        with pytest.raises(UntrustedModelError):
            load_model(tmp_path / name)
        loaded = load_model(tmp_path / name, trust=True)
        assert type(loaded.estimator) is type(model)
        assert type(model).__module__.partition(".")[0] in loaded.libraries
        np.testing.assert_array_equal(loaded.estimator.predict(X), model.predict(X))


@pytest.mark.parametrize(
    ("model", "wrapper"), [(LIGHTGBM.booster_, LightGBMModel), (XGBOOST.get_booster(), XGBoostModel)]
)
def test_a_pickled_booster_is_an_estimator(tmp_path: Path, model: Any, wrapper: type) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    loaded = load_model(tmp_path / "model.pkl", trust=True)
    assert type(loaded.estimator) is wrapper
    assert set(loaded.libraries) > {"scikit-learn", "numpy", "python"}


def test_a_file_cut_off_is_refused(tmp_path: Path) -> None:
    for name, (write, _, _) in WRITERS.items():
        write(tmp_path / name)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(ModelFileError):
            load_model(tmp_path / name)


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        (rb"split_feature=\d+", b"split_feature=9"),
        (rb"split_feature=\d+", b"split_feature=-1"),
        (rb"left_child=\d+", b"left_child=0"),
        (rb"right_child=\d+", b"right_child=77"),
    ],
    ids=["feature", "no feature", "circle", "outside"],
)
def test_indices_are_checked_before_the_model_follows_them(tmp_path: Path, pattern: bytes, replacement: bytes) -> None:
    path = tmp_path / "model.txt"
    changed = re.sub(pattern, replacement, LIGHTGBM.booster_.model_to_string().encode(), count=1)
    path.write_bytes(changed)
    with pytest.raises(ModelFileError, match=r"damaged or made to do harm|cannot be loaded"):
        load_model(path)


@pytest.mark.parametrize(("name", "index"), [("left_children", -7), ("left_children", 10**6), ("split_indices", 10**6)])
def test_indices_of_xgboost_are_checked_before_it_follows_them(tmp_path: Path, name: str, index: int) -> None:
    """XGBoost takes -1 alone for no child."""
    path = tmp_path / "model.json"
    XGBOOST.save_model(path)
    model = json.loads(path.read_text())
    model["learner"]["gradient_booster"]["model"]["trees"][0][name][0] = index
    path.write_text(json.dumps(model))
    with pytest.raises(ModelFileError, match=r"lies outside|a child of tree 0 does not fit its lists"):
        load_model(path)


_CATEGORIES = xgboost.XGBRegressor(n_estimators=3, max_depth=3, enable_categorical=True, max_cat_to_onehot=1)
_OF_TREE: dict[str, Callable[[Any], Any]] = {
    "two numbers in a leaf": lambda tree: tree["tree_param"].update(size_leaf_vector="2"),
    "no number in a leaf": lambda tree: tree["tree_param"].update(size_leaf_vector="-1"),
    "a set beyond the categories": lambda tree: tree["categories_segments"].__setitem__(0, 10**6),
    "a set before the categories": lambda tree: tree["categories_segments"].__setitem__(-1, -1),
    "sets without a start": lambda tree: tree["categories_segments"].clear(),
    "a set of too many": lambda tree: tree["categories_sizes"].__setitem__(0, 10**6),
    "sets without a size": lambda tree: tree["categories_sizes"].clear(),
    "a set of another split": lambda tree: tree["categories_nodes"].__setitem__(-1, 10**6),
    "a category below 0": lambda tree: tree["categories"].__setitem__(-1, -7),
    "a leaf with a set": lambda tree: tree["split_type"].__setitem__(-1, 1),
    "another tree's place": lambda tree: tree.update(id=1),
    "a leaf without a parent": lambda tree: tree["parents"].__setitem__(-1, -1),
}
_IN_UBJSON = {
    "two numbers in a leaf": (rb"(size_leaf_vectorSL\0{7}\x01)1", rb"\g<1>2"),
    "a set beyond the categories": (rb"(categories_segments\[\$L#L\0{7}[^\0])\0\0", b"\\g<1>\0\1"),
}
_LOAD_EACH = """
import os, resource, sys
from pathlib import Path
from pgscore.compiler.load import load_model
from pgscore.errors import ModelFileError
import xgboost

for path in sys.argv[1:]:
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
        try:
            load_model(Path(path))
        except ModelFileError:
            os._exit(1)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_lists_of_xgboost_are_checked_before_it_follows_them(tmp_path: Path) -> None:
    """Loading it would end the process, so another one does."""
    names = np.random.default_rng(0).choice(list("uvwxyz"), 300)
    frame = pd.DataFrame({"a": np.arange(300.0) % 7, "k": pd.Categorical(names)})
    _CATEGORIES.fit(frame, frame.a + (frame.k.cat.codes % 2) * 10)
    text, binary = (bytes(_CATEGORIES.get_booster().save_raw(form)) for form in ("json", "ubj"))
    files = {"sound": text, "sound, UBJSON": binary}
    for what, damage in _OF_TREE.items():
        model = json.loads(text)
        damage(model["learner"]["gradient_booster"]["model"]["trees"][0])
        files[what] = json.dumps(model).encode()
    model = json.loads(text)
    model["learner"]["learner_model_param"]["num_target"] = "-1"
    files["no target"] = json.dumps(model).encode()
    files["a name twice"] = text.replace(b'"size_leaf_vector":"1"', b'"size_leaf_vector":"2","size_leaf_vector":"1"', 1)
    for what, (pattern, replacement) in _IN_UBJSON.items():
        files[f"{what}, UBJSON"] = re.sub(pattern, replacement, binary, count=1)
        assert files[f"{what}, UBJSON"] != binary
    for what, content in files.items():
        (tmp_path / what).write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", _LOAD_EACH, *(tmp_path / what for what in files)],
        capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    refused = {what: int(code) for what, code in zip(files, done.stdout.split(), strict=True)}
    assert refused == {what: int(not what.startswith("sound")) for what in files}


def test_a_pruned_tree_of_xgboost_is_sound(tmp_path: Path) -> None:
    """Nodes that pruning took away stay in its lists."""
    path = tmp_path / "model.json"
    options = {"tree_method": "exact", "gamma": 5.0, "max_depth": 6}
    xgboost.train(options, xgboost.DMatrix(X, label=Y), 3).save_model(path)
    tree = json.loads(path.read_text())["learner"]["gradient_booster"]["model"]["trees"][0]
    assert int(tree["tree_param"]["num_deleted"]) > 0
    assert_parity(load_model(path).estimator, ROWS)


def _far_split(model: Any) -> None:
    tree = (model.get("oblivious_trees") or model["trees"])[0]
    (tree["split"] if "split" in tree else tree["splits"][0])["split_index"] = 10**8


def _lost_leaf(model: Any) -> None:
    if "trees" in model:
        model["trees"][-1] = {"value": [], "weight": 1}
    else:
        model["oblivious_trees"][-1]["leaf_values"].pop()


def _no_bias(model: Any) -> None:
    model["scale_and_bias"] = []


@pytest.mark.parametrize("policy", ["SymmetricTree", "Depthwise"])
@pytest.mark.parametrize("damage", [_far_split, _lost_leaf, _no_bias])
def test_a_json_of_catboost_is_checked_before_it_is_loaded(
    tmp_path: Path, damage: Callable[[Any], None], policy: str
) -> None:
    """Loading it would end the process."""
    path = tmp_path / "model.json"
    _shaped(path, policy)
    model = json.loads(path.read_text())
    damage(model)
    path.write_text(json.dumps(model))
    with pytest.raises(ModelFileError):
        load_model(path)


def test_without_the_libraries(tmp_path: Path) -> None:
    """pgscore imports, compiles other models, and says which extra a file needs."""
    code = """
import sys
for name in ("lightgbm", "xgboost", "catboost"):
    sys.modules[name] = None
from pathlib import Path
from sklearn.linear_model import LinearRegression
import pgscore
from pgscore.compiler.load import load_model
pgscore.to_program(LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0]))
try:
    load_model(Path(sys.argv[1]))
except pgscore.PgscoreError as error:
    print(error)
"""
    path = tmp_path / "model.txt"
    LIGHTGBM.booster_.save_model(path)
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert "pip install 'pgscore[lightgbm]'" in done.stdout


def test_the_program_of_a_loaded_model_is_that_of_the_model(tmp_path: Path) -> None:
    LIGHTGBM.booster_.save_model(tmp_path / "model.txt")
    assert to_program(load_model(tmp_path / "model.txt").estimator) == to_program(LightGBMModel(LIGHTGBM.booster_))
