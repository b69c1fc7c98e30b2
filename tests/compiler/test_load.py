from __future__ import annotations

import hashlib
import io
import os
import pickle
import platform
import subprocess
import sys
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import Birch
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.random_projection import SparseRandomProjection
from sklearn.tree import DecisionTreeClassifier
from sklearn.tree._tree import Tree
from skops import io as skops_io

from pgscore.compiler.load import describe, load_model
from pgscore.compiler.tree_indices import find_fault
from pgscore.errors import ModelFileError, UntrustedModelError
from tests.support.models import EXAMPLES, all_examples
from tests.support.tree_models import categories, numbers, target, two

FRAME = numbers()


class Doubler(TransformerMixin, BaseEstimator):
    """A step of the user's own, which skops cannot know."""

    def fit(self, X: Any, y: object = None) -> Doubler:  # noqa: ARG002
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: Any) -> Any:
        return X * 2


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.marker,)


@pytest.fixture
def logistic() -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME, two(FRAME))


def _skops(path: Path, model: object) -> Path:
    skops_io.dump(model, path)
    return path


def _pickle(path: Path, model: object) -> Path:
    path.write_bytes(pickle.dumps(model))
    return path


@pytest.mark.parametrize(
    "name",
    [
        f"{cls.__name__}-{list(group)[-1]}"
        for cls, group in EXAMPLES.items()
        if isinstance(cls, type)
        and cls.__module__.startswith("sklearn.")  # for others see test_native_files.py
        and cls is not Birch  # skops cannot save it
    ],
)
def test_every_estimator_loads_from_skops_without_trust(tmp_path: Path, name: str) -> None:
    model = all_examples()[name]().estimator
    loaded = load_model(_skops(tmp_path / "model.skops", model))
    assert loaded.format == "skops"
    assert all("deprecated" in warning for warning in loaded.warnings)
    assert type(loaded.estimator) is type(model)


def test_what_is_known_of_a_loaded_model(tmp_path: Path, logistic: Pipeline) -> None:
    path = _skops(tmp_path / "model.skops", logistic)
    loaded = load_model(path)
    assert loaded.path == path
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded.description == "Pipeline(StandardScaler, LogisticRegression)"
    assert loaded.libraries == {
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    np.testing.assert_array_equal(loaded.estimator.predict_proba(FRAME), logistic.predict_proba(FRAME))


def test_describe() -> None:
    columns = ColumnTransformer([("n", StandardScaler(), ["a"]), ("k", "passthrough", ["b"]), ("x", "drop", ["c"])])
    union = FeatureUnion([("s", StandardScaler()), ("p", make_pipeline(OneHotEncoder()))])
    model = Pipeline([("columns", columns), ("none", None), ("union", union), ("trees", RandomForestClassifier())])
    assert describe(model) == (
        "Pipeline(ColumnTransformer(StandardScaler, passthrough, drop), "
        "FeatureUnion(StandardScaler, Pipeline(OneHotEncoder)), RandomForestClassifier)"
    )


@pytest.mark.parametrize("trained", ["missing", "categories"])
def test_histogram_boosting_with_all_its_parts(tmp_path: Path, trained: str) -> None:
    frame = numbers(missing=True) if trained == "missing" else categories("category")
    model = HistGradientBoostingRegressor(max_iter=4).fit(frame, target(frame))
    loaded = load_model(_skops(tmp_path / "model.skops", model))
    np.testing.assert_array_equal(loaded.estimator.predict(frame), model.predict(frame))


# Trust


@pytest.mark.parametrize("name", ["model.pkl", "model.pickle", "model.joblib", "model.bin", "model"])
def test_no_byte_of_an_untrusted_pickle_is_unpickled(tmp_path: Path, name: str) -> None:
    path = _pickle(tmp_path / name, Bomb(tmp_path / "boom"))
    with pytest.raises(UntrustedModelError, match=r"is a pickle, .*skops\.io\.dump, or give --trust"):
        load_model(path)
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("trust", [False, True])
def test_pickle_with_the_name_of_skops_is_refused(tmp_path: Path, trust: bool) -> None:
    path = _pickle(tmp_path / "model.skops", Bomb(tmp_path / "boom"))
    with pytest.raises(ModelFileError, match="is a pickle with the name of a skops file"):
        load_model(path, trust=trust)
    assert not (tmp_path / "boom").exists()


def test_joblib_is_not_imported_for_skops(tmp_path: Path, logistic: Pipeline) -> None:
    """scikit-learn imports joblib itself, so what is checked is that it unpickles nothing."""
    path = _skops(tmp_path / "model.skops", logistic)
    script = (
        "import pathlib, pickle, sys, joblib\n"
        "def refuse(*_, **__): raise SystemExit('unpickled')\n"
        "pickle.load = pickle.loads = joblib.load = refuse\n"
        "from pgscore.compiler.load import load_model\n"
        "load_model(pathlib.Path(sys.argv[1]))\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)


@pytest.mark.parametrize("compress", [0, ("zlib", 3), ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
@pytest.mark.parametrize("name", ["model.joblib", "model"])
def test_trusted_joblib(tmp_path: Path, logistic: Pipeline, compress: Any, name: str) -> None:
    path = tmp_path / name
    joblib.dump(logistic, path, compress=compress)
    with pytest.raises(UntrustedModelError):
        load_model(path)
    loaded = load_model(path, trust=True)
    assert loaded.format == "pickle"
    np.testing.assert_array_equal(loaded.estimator.predict(FRAME), logistic.predict(FRAME))


def test_nothing_is_unpickled_of_another_file_than_the_one_asked_for(tmp_path: Path, logistic: Pipeline) -> None:
    path = _pickle(tmp_path / "model.pkl", logistic)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert load_model(path, trust=True, sha256=digest).sha256 == digest
    _pickle(path, Bomb(tmp_path / "boom"))
    with pytest.raises(ModelFileError, match=f"is not the file whose sha256 is {digest}; it was not loaded"):
        load_model(path, trust=True, sha256=digest)
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_trusted_pickle(tmp_path: Path, logistic: Pipeline, protocol: int) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(logistic, protocol=protocol))
    assert load_model(path, trust=True).description == "Pipeline(StandardScaler, LogisticRegression)"


def test_skops_under_another_name_needs_no_trust(tmp_path: Path, logistic: Pipeline) -> None:
    skops_io.dump(logistic, tmp_path / "model.skops")
    assert load_model((tmp_path / "model.skops").rename(tmp_path / "model.pkl")).format == "skops"


def test_types_that_skops_does_not_trust(tmp_path: Path) -> None:
    path = _skops(tmp_path / "model.skops", make_pipeline(Doubler(), StandardScaler()).fit(FRAME))
    with pytest.raises(UntrustedModelError, match=rf"{Doubler.__module__}\.Doubler; give --trust"):
        load_model(path)
    assert load_model(path, trust=True).description == "Pipeline(Doubler, StandardScaler)"


def test_partial_of_anything_else_needs_trust(tmp_path: Path) -> None:
    path = _skops(tmp_path / "model.skops", make_pipeline(FunctionTransformer(partial(np.log1p))).fit(FRAME))
    with pytest.raises(UntrustedModelError, match=r"functools\.partial of .*log1p"):
        load_model(path)
    assert load_model(path, trust=True).description == "Pipeline(FunctionTransformer)"


# Trees whose indices would lead scikit-learn out of its arrays


def _tree() -> DecisionTreeClassifier:
    return DecisionTreeClassifier(max_depth=3, random_state=0).fit(FRAME, two(FRAME))


def _left_beyond(tree: Tree) -> None:
    tree.children_left[0] = 10**6


def _right_beyond(tree: Tree) -> None:
    tree.children_right[0] = tree.node_count


def _circle(tree: Tree) -> None:
    tree.children_right[1] = 0


def _negative(tree: Tree) -> None:
    tree.children_right[0] = -2


def _feature_beyond(tree: Tree) -> None:
    tree.feature[0] = 4


def _negative_feature(tree: Tree) -> None:
    tree.feature[0] = -3


@pytest.mark.parametrize("harm", [_left_beyond, _right_beyond, _circle, _negative, _feature_beyond, _negative_feature])
def test_crafted_tree_is_refused(tmp_path: Path, harm: Callable[[Tree], None]) -> None:
    forest = RandomForestClassifier(3, max_depth=3, random_state=0).fit(FRAME, two(FRAME))
    boosted = GradientBoostingClassifier(n_estimators=2, random_state=0).fit(FRAME, two(FRAME))
    tree = _tree()
    for harmed, model in (
        (tree.tree_, tree),
        (forest.estimators_[1].tree_, make_pipeline(StandardScaler(), forest)),
        (boosted.estimators_[1, 0].tree_, boosted),
    ):
        harm(harmed)
        with pytest.raises(UntrustedModelError, match="points outside its arrays"):
            load_model(_skops(tmp_path / "model.skops", model))


def test_tree_for_more_columns_than_its_owner_takes_is_refused() -> None:
    for owner in (_tree(), RandomForestClassifier(2).fit(FRAME, two(FRAME))):
        assert find_fault(owner) is None
        owner.n_features_in_ = 2
        assert "points outside" in str(find_fault(owner))


@pytest.mark.parametrize("node_count", [0, -1])
def test_tree_without_a_root_is_refused(node_count: int) -> None:
    kind, arguments, state = _tree().tree_.__reduce__()
    tree = kind(*arguments)
    tree.__setstate__({**state, "node_count": node_count})
    assert "points outside" in str(find_fault([{"deep": (tree,)}]))


def test_tree_that_claims_more_nodes_than_it_holds_holds_no_more() -> None:
    kind, arguments, state = _tree().tree_.__reduce__()
    tree = kind(*arguments)
    tree.__setstate__({**state, "node_count": 10**6})
    assert tree.node_count == len(state["nodes"])


def _histogram() -> HistGradientBoostingClassifier:
    frame = categories("category")
    return HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=5).fit(frame, two(frame))


def _set(field: str, value: int) -> Callable[[Any], None]:
    def harm(model: Any) -> None:
        nodes = model._predictors[1][0].nodes
        rows = nodes["is_categorical"] != 0 if field == "bitset_idx" else np.arange(len(nodes)) == 0
        assert rows.any()
        nodes[field][rows] = value

    return harm


def _no_bitsets(model: Any) -> None:
    model._predictors[0][0].raw_left_cat_bitsets = np.zeros((0, 8), dtype=np.uint32)


def _no_known_categories(model: Any) -> None:
    model._bin_mapper.is_categorical_ = np.zeros(4, dtype=np.uint8)


def _other_preparation(model: Any) -> None:
    model._preprocessor._transformer_to_input_indices["numerical"] = [0]


@pytest.mark.parametrize(
    "harm",
    [
        *(_set("left", 10**6), _set("right", 0), _set("feature_idx", 4), _set("feature_idx", -1)),
        *(_set("bitset_idx", 99), _no_bitsets, _no_known_categories, _other_preparation),
    ],
)
def test_crafted_histogram_trees_are_refused(tmp_path: Path, harm: Callable[[Any], None]) -> None:
    model = _histogram()
    assert find_fault(model) is None
    harm(model)
    with pytest.raises(UntrustedModelError, match="points outside its arrays"):
        load_model(_skops(tmp_path / "model.skops", model))


# Files that hold no model


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _zip(path: Path, **members: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name.replace("_", "."), text)
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: d / "none.skops", "does not exist"),
        (lambda d: d, "is a directory"),
        (lambda d: _write(d / "m.skops", b""), "is empty"),
        (lambda d: _write(d / "m.skops", b"\0garbage"), "is not a skops file, or a damaged one"),
        (lambda d: _zip(d / "m.skops", schema_json="{}"), "cannot be loaded"),
        (lambda d: _zip(d / "m.skops", other_txt="x"), "is not a skops file"),
        (lambda d: _write(d / "m.onnx", b"\x08\x08\x12"), "it is no ONNX model, or a damaged one"),
        (lambda d: _write(d / "m.bin", b"id,age\n1,2\n"), "is no model file that pgscore knows"),
        (lambda d: _zip(d / "m.xlsx", other_txt="x"), "is no model file that pgscore knows"),
        (lambda d: _write(d / "m.pkl", b"garbage"), "cannot be loaded"),
        (lambda d: _write(d / "m.pkl", pickle.dumps([1, 2])[:-4]), "cannot be loaded"),
        (lambda d: _write(d / "m.pkl", b"cno_such_module\nModel\n."), "needs the Python module no_such_module"),
        (lambda d: _pickle(d / "m.pkl", {"model": 1}), "holds a dict, not a fitted scikit-learn estimator"),
        (lambda d: _pickle(d / "m.pkl", FRAME), "holds a DataFrame, not a fitted scikit-learn estimator"),
        (lambda d: _pickle(d / "m.pkl", LogisticRegression), "holds the class LogisticRegression"),
        (lambda d: _skops(d / "m.skops", {"model": 1}), "holds a dict"),
        (lambda d: _skops(d / "m.skops", [1]), "holds a list"),
        (lambda d: _skops(d / "m.skops", LogisticRegression()), "holds a LogisticRegression that is not fitted"),
        (
            lambda d: _skops(d / "m.skops", make_pipeline(StandardScaler(), LogisticRegression())),
            "that is not fitted; call fit before you save it",
        ),
    ],
)
def test_no_model_gives_one_line(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    path = make(tmp_path)
    with pytest.raises(ModelFileError, match=message) as caught:
        load_model(path, trust=True)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_truncated_skops(tmp_path: Path, logistic: Pipeline) -> None:
    content = skops_io.dumps(logistic)
    path = _write(tmp_path / "m.skops", content[: len(content) // 2])
    with pytest.raises(ModelFileError, match="damaged"):
        load_model(path)


def test_unreadable_file(tmp_path: Path) -> None:
    """A path below a file cannot be read, also as root."""
    file = _write(tmp_path / "file", b"x")
    with pytest.raises(ModelFileError, match=f"cannot be read: {os.strerror(20)}"):
        load_model(file / "m.skops")


# Versions


def _from_another_version(content: bytes) -> bytes:
    """The skops file as scikit-learn 0.9.9 would have saved it."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(result, "w") as copy:
        for name in source.namelist():
            copy.writestr(name, source.read(name).replace(sklearn.__version__.encode(), b"0.9.9"))
    return result.getvalue()


def test_another_sklearn_fitted_it(tmp_path: Path, logistic: Pipeline, recwarn: pytest.WarningsRecorder) -> None:
    expected = (
        f"fitted with scikit-learn 0.9.9, loaded with {sklearn.__version__}: its answers here are those of the latter",
    )
    path = _write(tmp_path / "m.skops", _from_another_version(skops_io.dumps(logistic)))
    assert load_model(path).warnings == expected

    content = pickle.dumps(logistic).replace(sklearn.__version__.encode(), b"0.9.9")
    assert load_model(_write(tmp_path / "m.pkl", content), trust=True).warnings == expected
    assert not recwarn.list


def test_pickled_frame_in_a_model_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(UntrustedModelError):
        load_model(_pickle(tmp_path / "frame.pkl", pd.DataFrame()))


def test_a_sparse_matrix_that_points_outside_itself_is_refused(tmp_path: Path) -> None:
    model = SparseRandomProjection(2, density=0.5, random_state=0).fit(np.ones((4, 6)))
    model.components_.indices[0] = 1000
    with pytest.raises(UntrustedModelError, match="points outside its arrays"):
        load_model(_skops(tmp_path / "model.skops", model))
