"""Model files of LightGBM, XGBoost and CatBoost. They hold numbers and names, so that loading one runs no code of it.

The libraries follow the indices in a file without a look; `read` compiles the model before anything predicts, which
proves each of them. LightGBM and XGBoost do so while they read, up to the end of the process: that LightGBM's text and
XGBoost's JSON or UBJSON are whole, and their lists as long as they say, is checked before.
"""

from __future__ import annotations

import importlib
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pgscore.errors import UnsupportedError

from . import ubjson, xgboost_file
from .frontends import to_program
from .frontends.lightgbm import check
from .frontends.parts import parts
from .native import LightGBMModel, XGBoostModel

EXTRAS = ("lightgbm", "xgboost", "catboost")
"""The modules of the libraries, each of which is an extra of pgscore by that name."""

_CATBOOST_JSON = re.compile(
    rb'"oblivious_trees"\s*:.*"scale_and_bias"\s*:|"scale_and_bias"\s*:.*"trees"\s*:', re.DOTALL
)
"""Its keys are in the order of the alphabet; trees that are not symmetric have another name."""


def native_format(content: bytes) -> str | None:
    """The library whose file this is, by its content; None for any other file."""
    if content.startswith(b"tree\nversion="):
        return "lightgbm"
    if re.match(rb'\{\s*"learner"\s*:|\{L\0{7}\x07learner', content):
        return "xgboost"
    if content.startswith(b"CBM1") or (content.startswith(b"{") and _CATBOOST_JSON.search(content)):
        return "catboost"
    return None


def read(content: bytes, form: str) -> Any:
    """The model as an estimator.

    Raises ModuleNotFoundError where the library is not installed, and whatever the library or the compiler says to a
    damaged file.
    """
    estimator = _READERS[form](content)
    try:
        to_program(estimator)
    except UnsupportedError:
        pass  # said again, and to the user, where the model is compiled
    except (ValueError, IndexError, KeyError) as error:
        raise ValueError(f"it is damaged or made to do harm: {error}") from error
    return estimator


def library_versions(estimator: Any) -> dict[str, str]:
    """The versions of the libraries that the model or one of its parts is from."""
    modules = {type(part).__module__.partition(".")[0] for part in _all_parts(estimator)}
    modules.update("lightgbm" for part in [estimator] if isinstance(part, LightGBMModel))
    modules.update("xgboost" for part in [estimator] if isinstance(part, XGBoostModel))
    return {name: str(importlib.import_module(name).__version__) for name in EXTRAS if name in modules}


def _all_parts(estimator: Any) -> Iterator[Any]:
    stack = [estimator]
    while stack:
        part = stack.pop()
        yield part
        stack += [inner for _, inner in parts(part) or []]


def _lightgbm(content: bytes) -> Any:
    lightgbm = importlib.import_module("lightgbm")
    if not _is_sound(content):
        raise ValueError("it is damaged or made to do harm: a list in it has another length than it says")
    text = content.decode()
    check(text)
    return LightGBMModel(lightgbm.Booster(model_str=text))


def _is_sound(content: bytes) -> bool:
    """Whether each tree of a LightGBM text is where, and each list as long as, its numbers say."""
    starts = [match.start() for match in re.finditer(rb"^(?:Tree=|end of trees)", content, re.MULTILINE)]
    if not starts or not content[starts[-1] :].startswith(b"end of trees"):
        return False
    head = _lists(content[: starts[0]])
    if head[b"tree_sizes"] != [b"%d" % (end - start) for start, end in pairwise(starts)]:
        return False
    n_features = int(head[b"max_feature_idx"][0]) + 1
    if any(len(head[name]) != n_features for name in (b"feature_names", b"feature_infos")):
        return False
    for start, end in pairwise(starts):
        tree = _lists(content[start:end])
        n_leaves, n_sets = int(tree[b"num_leaves"][0]), int(tree[b"num_cat"][0])
        bounds = [int(bound) for bound in tree.get(b"cat_boundaries", [b"0"])]
        lengths = {
            **dict.fromkeys(_OF_SPLITS, n_leaves - 1),
            **dict.fromkeys(_OF_LEAVES, n_leaves),
            b"cat_boundaries": n_sets + 1,
            b"cat_threshold": bounds[-1],
        }
        if n_leaves < 1 or bounds[0] != 0 or any(low > high for low, high in pairwise(bounds)):
            return False
        # A tree of one leaf has no splits; its lists may be left out, as may those of categories.
        needed = {*_OF_SPLITS, b"leaf_value"} if n_leaves > 1 else {b"leaf_value"}
        needed |= {b"cat_boundaries", b"cat_threshold"} if n_sets else set()
        if not needed <= tree.keys() or any(len(tree[n]) != length for n, length in lengths.items() if tree.get(n)):
            return False
    return True


_OF_SPLITS = (b"split_feature", b"threshold", b"decision_type", b"left_child", b"right_child", b"split_gain",
              b"internal_value", b"internal_weight", b"internal_count")  # fmt: skip
_OF_LEAVES = (b"leaf_value", b"leaf_weight", b"leaf_count")


def _lists(block: bytes) -> dict[bytes, list[bytes]]:
    """The words behind each name."""
    return {name: words.split() for name, _, words in (line.partition(b"=") for line in block.splitlines())}


def _xgboost(content: bytes) -> Any:
    """What XGBoost's scikit-learn wrapper wrote is a wrapper again, with its labels 0, 1, …"""
    xgboost = importlib.import_module("xgboost")
    is_json = not content.startswith(b"{L")
    xgboost_file.check(json.loads(content, object_pairs_hook=_named_once) if is_json else ubjson.read(content))
    booster = xgboost.Booster()
    booster.load_model(bytearray(content))
    wrote = json.loads(booster.attr("scikit_learn") or "{}").get("_estimator_type")
    wrapper = {"classifier": xgboost.XGBClassifier, "regressor": xgboost.XGBRegressor, "ranker": xgboost.XGBRanker}
    if wrote not in wrapper:
        return XGBoostModel(booster)
    estimator = wrapper[wrote]()
    estimator.load_model(bytearray(content))
    return estimator


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON. Of two values of one name the library might take another than we look at."""
    if len(found := dict(pairs)) < len(pairs):
        raise ValueError("it is damaged or made to do harm: a name in it comes twice")
    return found


def _catboost_is_sound(model: Any) -> bool:
    """Whether each split of a CatBoost JSON is one of the borders that it lists, and each tree has all its leaves."""
    (_, bias), features = model["scale_and_bias"], model["features_info"]
    lists = [
        feature.get(name) or [] for kind in features.values() for feature in kind for name in ("borders", "values")
    ]
    n_splits = sum(map(len, lists))
    splits: list[Any] = []
    for tree in model.get("oblivious_trees", []):
        own = tree["splits"] or []
        if len(tree["leaf_values"]) != len(bias) * 2 ** len(own):
            return False
        splits += own
    nodes = list(model.get("trees", []))
    while nodes:
        node = nodes.pop()
        if "split" in node:
            splits.append(node["split"])
            nodes += [node["left"], node["right"]]
        elif np.size(node["value"]) != len(bias):
            return False
    return all(0 <= split["split_index"] < n_splits for split in splits)


def _catboost(content: bytes) -> Any:
    """A classifier where the model has labels."""
    catboost = importlib.import_module("catboost")
    if not content.startswith(b"CBM1") and not _catboost_is_sound(json.loads(content)):
        raise ValueError("it is damaged or made to do harm: a split or a leaf in it lies outside its lists")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model")
        path.write_bytes(content)
        form = "cbm" if content.startswith(b"CBM1") else "json"
        model = catboost.CatBoost()
        model.load_model(str(path), format=form)
        estimator = catboost.CatBoostClassifier() if len(model.classes_) else catboost.CatBoostRegressor()
        estimator.load_model(str(path), format=form)
    return estimator


_READERS: dict[str, Callable[[bytes], Any]] = {"lightgbm": _lightgbm, "xgboost": _xgboost, "catboost": _catboost}
