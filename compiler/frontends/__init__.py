"""Estimators to nodes. `FRONTENDS` names every estimator that pgscore compiles; nothing registers itself.

A frontend takes (estimator, columns, builder) and gives the columns a transformer makes, or the `Predictions` of a
final estimator. It reads fitted attributes and each option that changes predict: it honours the option or refuses it by
name (`builder.refuse`). Composite frontends call `builder.convert` for their parts. Each family is a module, which ends
in the table of its estimators.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from pgscore.errors import UnsupportedError

from .. import ir
from ..factorisation import Factorisation
from ..onnx_model import OnnxModel
from . import (
    calibration,
    catboost,
    centroids,
    cluster,
    compose,
    covariance,
    cross_decomposition,
    decomposition,
    discretize,
    discriminant,
    dummy,
    encoders,
    ensemble,
    functions,
    gradient_boosting,
    imputers,
    isotonic,
    kernel_models,
    lightgbm,
    linear,
    linear_classifiers,
    meta,
    mixture,
    multiclass,
    multioutput,
    naive_bayes,
    neighbors,
    neural,
    onnx_files,
    outliers,
    polynomial,
    power,
    preprocessing,
    projection,
    quantile,
    selection,
    splines,
    svm,
    trees,
    voting,
    xgboost,
)
from .builder import Builder, Frontend

FAMILIES: Mapping[str, tuple[ModuleType, ...]] = {
    "composition": (compose, meta),
    "scaling, bins and curves": (preprocessing, discretize, power, quantile, polynomial, splines, functions),
    "missing values": (imputers,),
    "encoding": (encoders,),
    "decomposition and projection": (decomposition, projection),
    "feature selection": (selection,),
    "linear models": (linear, linear_classifiers, cross_decomposition, isotonic),
    "naive Bayes and discriminant analysis": (naive_bayes, discriminant),
    "trees and forests": (trees,),
    "ensembles": (gradient_boosting, ensemble, voting),
    "LightGBM": (lightgbm,),
    "XGBoost": (xgboost,),
    "CatBoost": (catboost,),
    "kernels": (svm, kernel_models),
    "neighbours": (neighbors, centroids),
    "neural networks": (neural,),
    "clusters and mixtures": (cluster, mixture),
    "outliers": (outliers, covariance),
    "several targets and classes": (multioutput, multiclass),
    "calibration and baselines": (calibration, dummy),
    "ONNX files": (onnx_files,),
}
"""The modules of each family, in the order of the documentation. Each has FRONTENDS, perhaps NOTES and REFUSED."""

MODULES: tuple[ModuleType, ...] = tuple(module for modules in FAMILIES.values() for module in modules)

FRONTENDS: Mapping[type | str, Frontend] = {
    cls: frontend for module in MODULES for cls, frontend in module.FRONTENDS.items()
}

REFUSED: Mapping[type | str, tuple[str, str]] = {
    cls: why for module in MODULES for cls, why in getattr(module, "REFUSED", {}).items()
}
"""Estimators that cannot be compiled exactly: the reason and the way forward."""


def to_program(estimator: Any) -> ir.Program:
    """The program of a fitted model. Columns are named by `feature_names_in_`, else x0, x1, …

    Raises UnsupportedError, naming the step, for anything that cannot be compiled exactly.
    """
    if isinstance(estimator, OnnxModel):
        return onnx_files.program(estimator)
    if isinstance(estimator, Factorisation):
        raise UnsupportedError(
            "model", "the factors of a recommender become tables, no expression", "`pgscore deploy` makes them"
        )
    builder = Builder(compose.input_names(estimator), FRONTENDS, REFUSED)
    return builder.finish(builder.convert(estimator, builder.inputs))
