"""Trees from a file of unknown origin: their indices are checked, because scikit-learn follows them without a look.

skops trusts neither kind of tree by itself: a crafted one points outside its arrays, and the first predict reads
foreign memory or ends the process. It runs no code, though, so a file that holds nothing else of doubt needs no trust
from the user: it is loaded, and every index is proved to lie in its array before anything predicts.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.interpolate import BSpline
from scipy.sparse import issparse
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.multioutput import ClassifierChain, RegressorChain
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder
from sklearn.tree._tree import Tree
from sklearn.utils import check_array

from . import neighbor_trees
from .fit_types import FIT_TYPES

CHECKED_TYPES = frozenset(
    {
        "sklearn.tree._tree.Tree",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        # In the preparation of HistGradientBoosting's categories: partial(check_array, …).
        "functools.partial",
        "sklearn.utils.validation.check_array",
        # SimpleImputer keeps the dtype it was fitted on; skops rebuilds it from an empty array, which runs nothing.
        "numpy.dtype",
        # Functions that FunctionTransformer calls with arrays; ufuncs are trusted by skops.
        "numpy.around",
        "numpy.clip",
        "numpy.nan_to_num",
        "numpy.fix",
        "numpy.round",
        # How FeatureAgglomeration pools columns.
        "numpy.max",
        "numpy.mean",
        "numpy.min",
        "numpy.sum",
        # C++ follows its indices, which are checked.
        "scipy.sparse._csr.csr_array",
        "scipy.sparse._csr.csr_matrix",
        # Plain Python of scikit-learn's, which does nothing before it is called with numbers.
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.calibration._TemperatureScaling",
        "sklearn.metrics._scorer._CurveScorer",
        "sklearn.metrics._scorer._PassthroughScorer",
        "sklearn.metrics._scorer._Scorer",
        "sklearn.multiclass._ConstantPredictor",
        "sklearn._loss.loss.HalfTweedieLossIdentity",
        "sklearn.cluster._bisect_k_means._BisectingTree",
        "sklearn.cluster._kmeans._kmeans_single_elkan",
        "sklearn.cluster._kmeans._kmeans_single_lloyd",
        "sklearn.feature_selection._mutual_info.mutual_info_classif",
        "sklearn.feature_selection._mutual_info.mutual_info_regression",
        "sklearn.feature_selection._univariate_selection.chi2",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.feature_selection._univariate_selection.f_regression",
        "sklearn.feature_selection._univariate_selection.r_regression",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.utils._bunch.Bunch",
        "sklearn.utils._metadata_requests.MetadataRequest",
        "sklearn.utils._metadata_requests.MethodMetadataRequest",
        # Experimental in scikit-learn, and plain Python.
        "sklearn.impute._iterative.IterativeImputer",
        "sklearn.impute._iterative._ImputerTriplet",
        "sklearn.model_selection._search_successive_halving.HalvingGridSearchCV",
        "sklearn.model_selection._search_successive_halving.HalvingRandomSearchCV",
        # In SplineTransformer. C++ reads its knots and coefficients; `asarray` is the function that wraps its result.
        "scipy.interpolate._bsplines.BSpline",
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
        *FIT_TYPES,
        *neighbor_trees.TREE_TYPES,
        *neighbor_trees.KERNEL_TYPES,
    }
)
"""What skops does not trust and `find_fault` covers."""

_SPLINE = BSpline(np.array([0.0, 1.0]), np.zeros((1, 1)), 0)
"""What a sound one is made of."""

IntArray = npt.NDArray[np.integer[Any]]


def find_fault(model: object) -> str | None:
    """What makes the model, anywhere within, unfit to be loaded without trust; None if every index is in range."""
    return next((fault for part in _parts(model) if (fault := _fault(part)) is not None), None)


def _fault(part: Any) -> str | None:
    sound = True
    if isinstance(part, partial):
        return None if part.func is check_array else f"holds a functools.partial of {part.func}"
    if neighbor_trees.is_tree(part):
        sound = neighbor_trees.is_sound(part)
    elif issparse(part):
        sound = _is_sound_matrix(part)
    elif isinstance(part, BSpline):
        sound = _spline_is_sound(part)
    elif isinstance(part, Tree):
        sound = _is_sound(part, part.n_features)
    elif hasattr(part, "tree_"):
        sound = isinstance(part.tree_, Tree) and part.tree_.n_features <= part.n_features_in_
    elif isinstance(part, (HistGradientBoostingClassifier, HistGradientBoostingRegressor)):
        # One that is not fitted has no trees: searches and other wrappers keep the model that they copy.
        sound = "_predictors" not in vars(part) or _histogram_trees_are_sound(part)
    elif hasattr(part, "estimators_") and not isinstance(part, (ClassifierChain, RegressorChain)):
        # These hand rows to their trees without another look. Members of a chain read more columns than it does.
        members = part.estimators_.ravel() if isinstance(part.estimators_, np.ndarray) else part.estimators_
        trees = [member.tree_ for member in members if hasattr(member, "tree_")]
        sound = all(isinstance(t, Tree) and t.n_features <= part.n_features_in_ for t in trees)
    return None if sound else f"is damaged or made to do harm: a {type(part).__name__} points outside its arrays"


def _is_sound(tree: Tree, n_features: int) -> bool:
    if tree.node_count <= 0:  # a greater number than there are nodes is corrected by the tree itself
        return False
    inner = tree.children_left != -1
    return _are_children(tree.children_left, inner, tree.node_count) and (
        _are_children(tree.children_right, inner, tree.node_count) and _are_below(tree.feature[inner], n_features)
    )


def _is_sound_matrix(matrix: Any) -> bool:
    try:
        matrix.check_format(full_check=True)
    except (AttributeError, TypeError, ValueError):
        return False
    return True


def _spline_is_sound(spline: BSpline) -> bool:
    """Whether there are as many knots and coefficients as its degree says, in the types that C++ takes them for."""
    state = vars(spline)
    if set(state) != set(vars(_SPLINE)) or not isinstance(state["k"], int) or state["_asarray"] is not _SPLINE._asarray:
        return False
    t, c, k = state["_t"], state["_c"], state["k"]
    arrays = [array for array in (t, c) if type(array) is np.ndarray and array.dtype == np.float64]
    return (
        len(arrays) == 2
        and (t.ndim, c.ndim) == (1, 2)
        and 0 <= k < len(t)
        and len(t) >= 2 * k + 2
        and len(c) == len(t) - k - 1
        and bool(np.all(np.diff(t) >= 0))
    )


def _histogram_trees_are_sound(estimator: Any) -> bool:
    n_features = getattr(estimator, "n_features_in_", 0)
    by_category = np.asarray(estimator._bin_mapper.is_categorical_) != 0
    if by_category.shape != (n_features,):
        return False
    if estimator._preprocessor is not None and not _keeps_all_columns(estimator._preprocessor, n_features):
        return False
    for iteration in estimator._predictors:
        for predictor in iteration:
            nodes, bitsets = predictor.nodes, predictor.raw_left_cat_bitsets
            inner = nodes["is_leaf"] == 0
            split = nodes[inner & (nodes["is_categorical"] != 0)]
            if not (
                len(nodes)
                and _are_children(nodes["left"].astype(np.int64), inner, len(nodes))
                and _are_children(nodes["right"].astype(np.int64), inner, len(nodes))
                and _are_below(nodes["feature_idx"][inner], n_features)
                and bitsets.ndim == 2
                and bitsets.shape[1] == 8
                and _are_below(split["bitset_idx"], len(bitsets))
                and bool(by_category[split["feature_idx"]].all())
            ):
                return False
    return True


def _keeps_all_columns(preprocessor: Any, n_features: int) -> bool:
    """Whether the preparation of categories gives the trees as many columns as the model takes."""
    steps = {name: type(step) for name, step, _ in preprocessor.transformers_ if name != "remainder"}
    if steps != {"encoder": OrdinalEncoder, "numerical": FunctionTransformer}:
        return False
    taken = [index for name in steps for index in preprocessor._transformer_to_input_indices[name]]
    return sorted(taken) == list(range(n_features)) and preprocessor.n_features_in_ == n_features


def _are_children(child: IntArray, inner: npt.NDArray[np.bool_], n_nodes: int) -> bool:
    """A child comes after its parent in both kinds of tree, so that no row walks in a circle."""
    parent = np.flatnonzero(inner)
    return bool(np.all((child[inner] > parent) & (child[inner] < n_nodes)))


def _are_below(index: IntArray, limit: int) -> bool:
    return bool(np.all((index >= 0) & (index < limit)))


def _parts(model: object) -> Iterator[object]:
    """Every object within the model, itself first, each once."""
    stack, seen = [model], set()
    while stack:
        part = stack.pop()
        if id(part) in seen or isinstance(part, (str, bytes, int, float, type, type(None))):
            continue
        seen.add(id(part))
        yield part
        if isinstance(part, dict):
            stack += [*part.keys(), *part.values()]
        elif isinstance(part, (list, tuple, set, frozenset)):
            stack += part
        elif isinstance(part, np.ndarray):
            stack += list(part.ravel()) if part.dtype == object else []
        else:
            stack += vars(part).values() if hasattr(part, "__dict__") else []
