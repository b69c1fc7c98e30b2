"""What the campaign does otherwise than by default, estimator by estimator; `recipe(cls)` for every one."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import (
    calibration,
    cluster,
    compose,
    covariance,
    cross_decomposition,
    decomposition,
    dummy,
    ensemble,
    feature_selection,
    frozen,
    gaussian_process,
    impute,
    isotonic,
    kernel_approximation,
    kernel_ridge,
    linear_model,
    mixture,
    model_selection,
    multiclass,
    multioutput,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    random_projection,
    semi_supervised,
    svm,
)
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from .boosters import BOOSTERS
from .datasets import Dataset
from .recipes import CANCELS, EQUALLY_FAR, FAR, NARROW_KERNEL, TIE, Options, Recipe

Parameters = dict[str, Any]

LOGISTIC = LogisticRegression(max_iter=300)
SMALL_TREE = DecisionTreeClassifier(max_depth=3, random_state=0)
SMALL_TREE_REGRESSOR = DecisionTreeRegressor(max_depth=3, random_state=0)
ONE_COLUMN = {"single*": "needs two columns"}

TREE_OPTIONS: tuple[Parameters, ...] = ({"max_depth": 4}, {}, {"max_leaf_nodes": 9, "max_features": 0.7})
BOOSTED: tuple[Parameters, ...] = ({"max_depth": 2, "n_estimators": 4}, {"max_depth": 3, "n_estimators": 3})
HISTOGRAM: Parameters = {"max_iter": 4, "min_samples_leaf": 5, "max_leaf_nodes": 6}
SCALES = ({}, {"with_mean": False}, {"with_std": False})
LIBSVM: Parameters = {"max_iter": 2000}  # without it, whole numbers of 1e12 are fitted for ever
KERNELS: tuple[Parameters, ...] = (
    {},
    {"kernel": "linear"},
    {"kernel": "poly", "degree": 2, "coef0": 1.0},
    {"kernel": "sigmoid", "gamma": 0.01},
    {"gamma": "auto"},
)
TINY_GAMMA = "of whole numbers of 1e12 gamma='scale' makes 1e-24, which is refused"
HUGE = {"integers*": TINY_GAMMA}
SCALED = dict.fromkeys(("integers-[02]",), TINY_GAMMA)
NEIGHBOURS: tuple[Parameters, ...] = ({}, {"weights": "distance"}, {"p": 1, "n_neighbors": 3}, {"metric": "chebyshev"})
RADIUS: tuple[Parameters, ...] = ({"radius": 1e9}, {"radius": 1e9, "weights": "distance"})
PERCEPTRON: Parameters = {"hidden_layer_sizes": (5,), "max_iter": 30}
ACTIVATIONS: tuple[Parameters, ...] = (
    {},
    {"activation": "tanh"},
    {"activation": "logistic"},
    {"activation": "identity"},
)
LOSSES: tuple[Parameters, ...] = ({}, {"loss": "log_loss"}, {"loss": "modified_huber"})
MIXTURE: Parameters = {"n_components": 3, "reg_covar": 1e-3}
CUT = (
    "an array holds nothing but whole numbers, whose squared distances scikit-learn cuts or overflows: "
    "make one column double precision"
)
COVARIANCES: tuple[Parameters, ...] = tuple({"covariance_type": t} for t in ("full", "tied", "diag", "spherical"))
HALVING: Parameters = {"estimator": LOGISTIC, "cv": 2, "factor": 2, "min_resources": 40}
CLASSIFIERS: list[tuple[str, Any]] = [("logistic", LOGISTIC), ("tree", SMALL_TREE)]
REGRESSORS: list[tuple[str, Any]] = [("ridge", Ridge()), ("tree", SMALL_TREE_REGRESSOR)]


def _chosen(dataset: Dataset, _: Options) -> Any:
    """Scaling, imputing and encoding, each for its own columns; the rest passes or is dropped."""
    numbers = dataset.columns("fi")
    filled = pipeline.make_pipeline(impute.SimpleImputer(add_indicator=True), preprocessing.StandardScaler())
    most = impute.SimpleImputer(strategy="most_frequent")
    encoded = pipeline.make_pipeline(most, preprocessing.OneHotEncoder(handle_unknown="ignore"))
    return compose.ColumnTransformer(
        [
            ("filled", filled, numbers[::2]),
            ("ranged", preprocessing.MinMaxScaler(), numbers[1::2]),
            ("texts", encoded, dataset.columns("O")),
        ],
        remainder="passthrough",
        transformer_weights={"filled": 0.5},
    )


def _piped(dataset: Dataset, options: Options) -> Any:
    steps = [("prepare", _chosen(dataset, options)), ("fill", impute.SimpleImputer()), ("model", clone(LOGISTIC))]
    return pipeline.Pipeline(steps)


def _union(_: Dataset, __: Options) -> Any:
    parts = [
        ("scaled", preprocessing.StandardScaler()),
        ("same", "passthrough"),
        ("ranged", preprocessing.MinMaxScaler()),
    ]
    return pipeline.FeatureUnion(parts, transformer_weights={"ranged": 3.0})


def _square(model: Any, x: Any, _: Any) -> Any:
    """A kernel matrix among the training rows, as many as there are columns."""
    x = np.asarray(x)[: np.shape(x)[1]]
    return model.fit(x @ x.T)


def _one_hot_or_not(dataset: Dataset, options: Options) -> Any:
    return preprocessing.OneHotEncoder(**{"handle_unknown": "ignore", **options})


def _frozen(dataset: Dataset, _: Options) -> Any:
    return pipeline.make_pipeline(frozen.FrozenEstimator(_fitted_scaler(dataset)), clone(LOGISTIC))


def _fitted_scaler(dataset: Dataset) -> Any:
    return preprocessing.StandardScaler().fit(dataset.x)


RECIPES: dict[Any, Recipe] = {
    # Composition.
    pipeline.Pipeline: Recipe(make=_piped, takes="anything", target="classes"),
    compose.ColumnTransformer: Recipe(make=_chosen, takes="anything"),
    pipeline.FeatureUnion: Recipe(make=_union),
    preprocessing.FunctionTransformer: Recipe(
        options=({}, {"func": np.square}, {"func": np.abs}, {"func": np.sign}),
        limits=dict.fromkeys(("integers", "integers-1"), "numpy's whole numbers wrap around, as abs(-2^63)"),
    ),
    frozen.FrozenEstimator: Recipe(
        make=_frozen,
        target="classes",
        skip={"mixed*": "its scaler is fitted before the encoding", "missing*": "as mixed"},
    ),
    # Preprocessing.
    preprocessing.StandardScaler: Recipe(options=SCALES),
    preprocessing.MinMaxScaler: Recipe(options=({}, {"clip": True}, {"feature_range": (-1, 3)})),
    preprocessing.RobustScaler: Recipe(options=({}, {"unit_variance": True}, {"with_centering": False})),
    preprocessing.Normalizer: Recipe(options=({}, {"norm": "l1"}, {"norm": "max"})),
    preprocessing.Binarizer: Recipe(options=({}, {"threshold": 0.5})),
    preprocessing.PolynomialFeatures: Recipe(options=({}, {"degree": 3}, {"interaction_only": True}), narrow=True),
    preprocessing.SplineTransformer: Recipe(
        options=({}, {"extrapolation": "linear"}, {"degree": 2, "knots": "quantile"}, {"extrapolation": "periodic"}),
        narrow=True,
        skip={"constant*": "its columns need two different knots"},
    ),
    preprocessing.KBinsDiscretizer: Recipe(
        base={"quantile_method": "averaged_inverted_cdf", "n_bins": 4},
        options=({"encode": "ordinal"}, {"encode": "onehot-dense"}, {"strategy": "uniform"}, {"strategy": "kmeans"}),
        narrow=True,
    ),
    preprocessing.PowerTransformer: Recipe(
        options=({}, {"standardize": False}), skip={"tails*": "its columns overflow the optimiser"}
    ),
    preprocessing.QuantileTransformer: Recipe(
        base={"n_quantiles": 12}, options=({}, {"output_distribution": "normal"}), narrow=True
    ),
    preprocessing.OneHotEncoder: Recipe(
        make=_one_hot_or_not,
        options=(
            {},
            {"drop": "if_binary"},
            {"sparse_output": False},
            {"handle_unknown": "infrequent_if_exist", "min_frequency": 3},
        ),
        takes="anything",
        narrow=True,
    ),
    preprocessing.OrdinalEncoder: Recipe(
        base={"handle_unknown": "use_encoded_value", "unknown_value": -1}, takes="anything"
    ),
    preprocessing.TargetEncoder: Recipe(options=({}, {"smooth": 2.0}), takes="anything"),
    preprocessing.KernelCenterer: Recipe(
        fit=_square, skip={**ONE_COLUMN, "mixed*": "no kernel", "missing*": "no kernel", "wide*": "80 rows"}
    ),
    preprocessing.LabelBinarizer: Recipe(
        takes="labels",
        options=({}, {"neg_label": -1}, {"sparse_output": True}),
        fit=lambda model, labels, _: model.fit(np.asarray(labels)[:, 0]),
    ),
    impute.SimpleImputer: Recipe(
        options=({}, {"strategy": "median", "add_indicator": True}, {"strategy": "most_frequent"})
    ),
    impute.KNNImputer: Recipe(
        base={"n_neighbors": 3}, narrow=True, skip=dict.fromkeys(("mixed*", "integers*"), "rows lie equally far")
    ),
    impute.IterativeImputer: Recipe(base={"max_iter": 3}, narrow=True),
    impute.MissingIndicator: Recipe(base={"features": "all"}),
    feature_selection.GenericUnivariateSelect: Recipe(base={"mode": "k_best", "param": 1}),
    feature_selection.SelectKBest: Recipe(base={"k": 1}, target="classes"),
    feature_selection.SelectPercentile: Recipe(
        base={"percentile": 60}, target="classes", skip={"single*": "60 % of one column is none"}
    ),
    feature_selection.SelectFpr: Recipe(base={"alpha": 0.9}),
    feature_selection.SelectFdr: Recipe(base={"alpha": 0.9}),
    feature_selection.SelectFwe: Recipe(base={"alpha": 0.9}),
    feature_selection.SelectFromModel: Recipe(base={"estimator": SMALL_TREE, "threshold": 0.0}, target="classes"),
    feature_selection.RFE: Recipe(
        base={"estimator": SMALL_TREE, "n_features_to_select": 1}, target="classes", narrow=True, skip=ONE_COLUMN
    ),
    feature_selection.RFECV: Recipe(
        base={"estimator": SMALL_TREE, "cv": 2}, target="classes", narrow=True, skip=ONE_COLUMN
    ),
    feature_selection.SequentialFeatureSelector: Recipe(
        base={"estimator": SMALL_TREE, "cv": 2, "n_features_to_select": 1},
        target="classes",
        narrow=True,
        skip=ONE_COLUMN,
    ),
    decomposition.PCA: Recipe(options=({}, {"whiten": True})),
    **dict.fromkeys(
        (decomposition.DictionaryLearning, decomposition.MiniBatchDictionaryLearning),
        Recipe(base={"transform_algorithm": "threshold", "max_iter": 5}),
    ),
    decomposition.SparseCoder: Recipe(
        make=lambda data, options: decomposition.SparseCoder(np.eye(data.frame.shape[1])[:2], **options),
        base={"transform_algorithm": "threshold"},
        skip={"mixed*": "its dictionary is as wide as what the encoder gives"},
    ),
    **dict.fromkeys((decomposition.SparsePCA, decomposition.MiniBatchSparsePCA), Recipe(skip=ONE_COLUMN)),
    cluster.FeatureAgglomeration: Recipe(skip=ONE_COLUMN),
    covariance.EllipticEnvelope: Recipe(narrow=True),
    linear_model.Lars: Recipe(narrow=True),
    decomposition.FastICA: Recipe(base={"max_iter": 50, "whiten": "unit-variance"}),
    decomposition.TruncatedSVD: Recipe(skip=ONE_COLUMN),
    decomposition.KernelPCA: Recipe(
        base={"n_components": 2},
        options=({}, {"kernel": "rbf"}, {"kernel": "poly", "degree": 2}),
        skip={"tails*": "powers of its columns leave the doubles", "integers-1": "its kernel is 0 everywhere"},
        limits={
            "constant": "its kernel is linear and a column constant: a number of 1e20 there is rounding noise",
            "constant-2": CANCELS,
        },
    ),
    decomposition.NMF: Recipe(takes="positive"),
    decomposition.MiniBatchNMF: Recipe(takes="positive"),
    random_projection.GaussianRandomProjection: Recipe(skip=ONE_COLUMN),
    random_projection.SparseRandomProjection: Recipe(skip=ONE_COLUMN),
    kernel_approximation.RBFSampler: Recipe(
        base={"gamma": 0.1, "n_components": 5},
        limits=dict.fromkeys(("mixed", "integers", "tails"), "a number is so large that its cosine has few digits"),
    ),
    kernel_approximation.Nystroem: Recipe(
        base={"n_components": 5},
        options=({"gamma": 1e-3}, {"kernel": "linear"}, {"kernel": "poly"}),
        skip=dict.fromkeys(("integers", "integers-2", "tails-0"), "refused: its components are all but dependent"),
        limits={"single-2": CANCELS, "tails*": CANCELS},
    ),
    kernel_approximation.PolynomialCountSketch: Recipe(base={"n_components": 8}),
    kernel_approximation.SkewedChi2Sampler: Recipe(base={"n_components": 5}, takes="positive"),
    kernel_approximation.AdditiveChi2Sampler: Recipe(
        takes="positive", limits={"constant": "a number is below 1e-305, which is 0 in SQL"}
    ),
    # Linear models.
    linear_model.LogisticRegression: Recipe(base={"max_iter": 300}, options=({}, {"fit_intercept": False})),
    linear_model.LogisticRegressionCV: Recipe(
        base={"cv": 2, "Cs": 2, "max_iter": 300, "l1_ratios": (0,), "use_legacy_attributes": False}
    ),
    linear_model.SGDClassifier: Recipe(options=LOSSES),
    linear_model.SGDRegressor: Recipe(
        base={"max_iter": 5, "eta0": 1e-6}, skip={"tails*": "diverges", "integers*": "diverges"}
    ),
    linear_model.MultiTaskElasticNetCV: Recipe(base={"cv": 2}),
    linear_model.MultiTaskLassoCV: Recipe(base={"cv": 2}),
    linear_model.RANSACRegressor: Recipe(base={"min_samples": 10}),
    linear_model.TheilSenRegressor: Recipe(base={"max_subpopulation": 50}, narrow=True),
    linear_model.TweedieRegressor: Recipe(
        options=({}, {"power": 1.5}, {"power": 2}, {"power": 0, "link": "log"}), target="count"
    ),
    linear_model.PoissonRegressor: Recipe(target="count"),
    linear_model.GammaRegressor: Recipe(target="count"),
    cross_decomposition.PLSRegression: Recipe(target="numbers"),
    cross_decomposition.PLSCanonical: Recipe(target="numbers"),
    cross_decomposition.PLSSVD: Recipe(target="numbers"),
    linear_model.OrthogonalMatchingPursuitCV: Recipe(skip=ONE_COLUMN),
    linear_model.LassoLarsIC: Recipe(narrow=True),
    cross_decomposition.CCA: Recipe(target="numbers"),
    svm.LinearSVC: Recipe(base={"max_iter": 200}),
    svm.LinearSVR: Recipe(base={"max_iter": 200}),
    # Trees and ensembles.
    ensemble.RandomForestClassifier: Recipe(options=TREE_OPTIONS),
    ensemble.RandomForestRegressor: Recipe(options=TREE_OPTIONS),
    ensemble.ExtraTreesClassifier: Recipe(options=TREE_OPTIONS),
    ensemble.ExtraTreesRegressor: Recipe(options=TREE_OPTIONS),
    ensemble.GradientBoostingClassifier: Recipe(options=BOOSTED),
    ensemble.GradientBoostingRegressor: Recipe(options=({**BOOSTED[0], "loss": "huber"}, BOOSTED[1])),
    ensemble.HistGradientBoostingClassifier: Recipe(base=HISTOGRAM),
    ensemble.HistGradientBoostingRegressor: Recipe(base=HISTOGRAM, options=({}, {"loss": "poisson"}), target="count"),
    ensemble.RandomTreesEmbedding: Recipe(base={"max_depth": 3, "n_estimators": 3}),
    ensemble.AdaBoostClassifier: Recipe(base={"n_estimators": 4}),
    ensemble.AdaBoostRegressor: Recipe(base={"n_estimators": 4}),
    ensemble.BaggingClassifier: Recipe(
        options=({"estimator": SMALL_TREE}, {"estimator": LOGISTIC, "max_features": 0.6})
    ),
    ensemble.BaggingRegressor: Recipe(options=({"estimator": SMALL_TREE_REGRESSOR}, {"estimator": Ridge()})),
    ensemble.VotingClassifier: Recipe(
        base={"estimators": CLASSIFIERS}, options=({"voting": "soft"}, {"voting": "hard"})
    ),
    ensemble.VotingRegressor: Recipe(base={"estimators": REGRESSORS}, options=({}, {"weights": [1, 3]})),
    ensemble.StackingClassifier: Recipe(base={"estimators": CLASSIFIERS, "cv": 2}, options=({}, {"passthrough": True})),
    ensemble.StackingRegressor: Recipe(base={"estimators": REGRESSORS, "cv": 2}),
    # Kernels and neighbours.
    svm.SVC: Recipe(
        base=LIBSVM,
        options=({}, {"probability": True}, *KERNELS[1:]),
        narrow=True,
        skip=HUGE,
        limits={"constant*": CANCELS, "tails-5": NARROW_KERNEL, "tails-10-text": NARROW_KERNEL},
    ),
    svm.NuSVC: Recipe(
        base={**LIBSVM, "nu": 0.1},
        options=({}, {"probability": True}, *KERNELS[1:]),
        narrow=True,
        skip={**HUGE, **dict.fromkeys(("*-4", "*-3-int", "wide-3-text"), "libsvm ends without finite coefficients")},
        limits=dict.fromkeys(
            ("constant*", "numeric", "numeric-3", "single-3-text", "tails-5", "tails-10-text"), CANCELS
        ),
    ),
    **dict.fromkeys(
        (svm.SVR, svm.NuSVR),
        Recipe(base=LIBSVM, options=KERNELS, narrow=True, skip=SCALED, limits={"constant-[12]": CANCELS}),
    ),
    svm.OneClassSVM: Recipe(
        base=LIBSVM,
        options=KERNELS,
        narrow=True,
        skip=SCALED,
        limits=dict.fromkeys(("integers", "wide-1", "tails-1"), CANCELS),
    ),
    kernel_ridge.KernelRidge: Recipe(
        skip=dict.fromkeys(("tails*", "integers-1"), "refused: its coefficients are so large that the sum cancels"),
        options=({}, {"kernel": "rbf"}, {"kernel": "laplacian", "gamma": 0.1}),
        narrow=True,
    ),
    gaussian_process.GaussianProcessRegressor: Recipe(
        base={"kernel": gaussian_process.kernels.RBF() + gaussian_process.kernels.WhiteKernel(0.1), "optimizer": None},
        options=({}, {"normalize_y": True}),
        narrow=True,
    ),
    **dict.fromkeys(
        (neighbors.KNeighborsClassifier, neighbors.KNeighborsRegressor),
        Recipe(options=NEIGHBOURS, narrow=True, limits=dict.fromkeys(("mixed-3*", "missing-3*"), EQUALLY_FAR)),
    ),
    neighbors.RadiusNeighborsClassifier: Recipe(options=RADIUS, narrow=True),
    neighbors.RadiusNeighborsRegressor: Recipe(options=RADIUS, narrow=True),
    neighbors.NearestCentroid: Recipe(
        options=({}, {"metric": "manhattan"}),
        skip=dict.fromkeys(
            ("constant-0", "constant-2-text", "constant-2-bool", "constant-3-int", "constant-10-int"),
            "refused: rounding is the spread of its constant column",
        ),
    ),
    neighbors.LocalOutlierFactor: Recipe(base={"novelty": True, "n_neighbors": 4}, narrow=True),
    # Naive Bayes, discriminants, networks.
    naive_bayes.CategoricalNB: Recipe(base={"min_categories": 5}, takes="bins"),
    naive_bayes.MultinomialNB: Recipe(takes="positive"),
    naive_bayes.GaussianNB: Recipe(limits={"constant*": FAR}),
    naive_bayes.ComplementNB: Recipe(
        takes="positive",
        options=({}, {"norm": True}),
        skip=dict.fromkeys(("single-1", "single-2-int", "single-[1-3]*-text"), "norm=True divides by 0 there"),
    ),
    naive_bayes.BernoulliNB: Recipe(options=({"binarize": 0.5}, {})),
    LinearDiscriminantAnalysis: Recipe(
        base={"n_components": None},
        options=({}, {"solver": "lsqr", "shrinkage": "auto"}, {"solver": "eigen", "shrinkage": 0.5}),
        limits=dict.fromkeys(("constant-2-text", "constant-3-text"), CANCELS),
    ),
    QuadraticDiscriminantAnalysis: Recipe(
        base={"reg_param": 0.1},
        narrow=True,
        skip=dict.fromkeys(("mixed-10-*", "wide-10-*"), "a class has fewer rows than there are columns"),
    ),
    neural_network.MLPClassifier: Recipe(base=PERCEPTRON, options=ACTIVATIONS),
    neural_network.MLPRegressor: Recipe(base=PERCEPTRON, options=ACTIVATIONS),
    # Mixtures.
    **dict.fromkeys(
        (mixture.GaussianMixture, mixture.BayesianGaussianMixture),
        Recipe(base=MIXTURE, options=COVARIANCES, narrow=True, limits={"integers*": CUT}),
    ),
    # Meta-estimators.
    calibration.CalibratedClassifierCV: Recipe(
        limits={"wide": TIE},
        skip=dict.fromkeys(
            ("missing", "constant-2", "single-2", "*-10-int"),
            "scikit-learn takes whole labels for indices in temperature scaling, and reads memory beyond its arrays",
        ),
        base={"estimator": LOGISTIC, "cv": 2},
        options=({}, {"method": "isotonic"}, {"method": "temperature"}, {"ensemble": False}),
    ),
    model_selection.FixedThresholdClassifier: Recipe(base={"estimator": LOGISTIC, "threshold": 0.3}, target="two"),
    model_selection.TunedThresholdClassifierCV: Recipe(base={"estimator": LOGISTIC, "cv": 2}, target="two"),
    model_selection.GridSearchCV: Recipe(
        base={"estimator": LOGISTIC, "param_grid": {"C": [0.1, 1]}, "cv": 2}, target="classes"
    ),
    model_selection.RandomizedSearchCV: Recipe(
        base={"estimator": LOGISTIC, "param_distributions": {"C": [0.1, 1]}, "cv": 2, "n_iter": 2}, target="classes"
    ),
    model_selection.HalvingGridSearchCV: Recipe(base={**HALVING, "param_grid": {"C": [0.1, 1]}}, target="classes"),
    model_selection.HalvingRandomSearchCV: Recipe(
        base={**HALVING, "param_distributions": {"C": [0.1, 1]}, "n_candidates": 2}, target="classes"
    ),
    semi_supervised.SelfTrainingClassifier: Recipe(base={"estimator": LOGISTIC}, target="classes"),
    multiclass.OneVsRestClassifier: Recipe(options=({"estimator": LOGISTIC}, {"estimator": SMALL_TREE})),
    multiclass.OneVsOneClassifier: Recipe(options=({"estimator": LOGISTIC}, {"estimator": SMALL_TREE})),
    multiclass.OutputCodeClassifier: Recipe(options=({"estimator": LOGISTIC}, {"estimator": SMALL_TREE})),
    multioutput.MultiOutputClassifier: Recipe(base={"estimator": LOGISTIC}, target="sets"),
    multioutput.MultiOutputRegressor: Recipe(base={"estimator": Ridge()}, target="numbers"),
    multioutput.ClassifierChain: Recipe(base={"estimator": LOGISTIC}, target="sets"),
    multioutput.RegressorChain: Recipe(base={"estimator": Ridge()}, target="numbers"),
    compose.TransformedTargetRegressor: Recipe(
        base={"regressor": LinearRegression()}, options=({"transformer": preprocessing.StandardScaler()}, {})
    ),
    isotonic.IsotonicRegression: Recipe(options=({"out_of_bounds": "clip"}, {"increasing": False}), takes="one"),
    **BOOSTERS,
    dummy.DummyClassifier: Recipe(options=({}, {"strategy": "most_frequent"})),
    dummy.DummyRegressor: Recipe(options=({}, {"strategy": "median"})),
}


def recipe(cls: Any) -> Recipe:
    """The recipe of a class of FRONTENDS."""
    return RECIPES.get(cls, Recipe())
