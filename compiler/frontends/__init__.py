"""Estimators to nodes. `FRONTENDS` names every estimator that pgscore compiles; nothing registers itself.

A frontend takes (estimator, columns, builder) and gives the columns a transformer makes, or the `Predictions` of a
final estimator. It reads fitted attributes and each option that changes predict: it honours the option or refuses it by
name (`builder.refuse`). Composite frontends call `builder.convert` for their parts.
"""

from __future__ import annotations

from typing import Any

from sklearn import ensemble, tree
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    ElasticNet,
    Lasso,
    LinearRegression,
    LogisticRegression,
    Ridge,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)

from .. import ir
from . import cluster, compose, encoders, gradient_boosting, linear, preprocessing, trees
from .builder import Builder, Frontend

FRONTENDS: dict[type, Frontend] = {
    Pipeline: compose.pipeline,
    ColumnTransformer: compose.column_transformer,
    FeatureUnion: compose.feature_union,
    FunctionTransformer: compose.function_transformer,
    StandardScaler: preprocessing.standard_scaler,
    MinMaxScaler: preprocessing.min_max_scaler,
    MaxAbsScaler: preprocessing.max_abs_scaler,
    RobustScaler: preprocessing.robust_scaler,
    SimpleImputer: preprocessing.simple_imputer,
    OneHotEncoder: encoders.one_hot_encoder,
    OrdinalEncoder: encoders.ordinal_encoder,
    LinearRegression: linear.linear_regressor,
    Ridge: linear.linear_regressor,
    Lasso: linear.linear_regressor,
    ElasticNet: linear.linear_regressor,
    SGDRegressor: linear.linear_regressor,
    LogisticRegression: linear.logistic_regression,
    SGDClassifier: linear.sgd_classifier,
    KMeans: cluster.k_means,
    MiniBatchKMeans: cluster.k_means,
    tree.DecisionTreeClassifier: trees.tree,
    tree.DecisionTreeRegressor: trees.tree,
    tree.ExtraTreeClassifier: trees.tree,
    tree.ExtraTreeRegressor: trees.tree,
    ensemble.RandomForestClassifier: trees.forest,
    ensemble.RandomForestRegressor: trees.forest,
    ensemble.ExtraTreesClassifier: trees.forest,
    ensemble.ExtraTreesRegressor: trees.forest,
    ensemble.GradientBoostingClassifier: gradient_boosting.gradient_boosting,
    ensemble.GradientBoostingRegressor: gradient_boosting.gradient_boosting,
    ensemble.HistGradientBoostingClassifier: gradient_boosting.hist_gradient_boosting,
    ensemble.HistGradientBoostingRegressor: gradient_boosting.hist_gradient_boosting,
}


def to_program(estimator: Any) -> ir.Program:
    """The program of a fitted model. Columns are named by `feature_names_in_`, else x0, x1, …

    Raises UnsupportedError, naming the step, for anything that cannot be compiled exactly.
    """
    builder = Builder(compose.input_names(estimator), FRONTENDS)
    return builder.finish(builder.convert(estimator, builder.inputs))
