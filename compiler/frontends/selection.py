"""Feature selectors: the chosen columns are wiring, what differs is which rows each selector refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sklearn.feature_selection import (
    RFE,
    RFECV,
    GenericUnivariateSelect,
    SelectFdr,
    SelectFpr,
    SelectFromModel,
    SelectFwe,
    SelectKBest,
    SelectPercentile,
    SequentialFeatureSelector,
    VarianceThreshold,
)
from sklearn.utils import get_tags
from sklearn.utils._set_output import _get_output_config

from .. import ir
from .builder import Builder, Frontend, Predictions
from .compose import predictions


def selector(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """The columns of `get_support()`. Where missing values may pass, so may infinite ones: nothing is checked then.

    Nor is a data frame that is to stay one, after `set_output(transform="pandas")`.
    """
    keeps_frame = _get_output_config("transform", estimator)["dense"] != "default"
    if not (get_tags(estimator).input_tags.allow_nan or (keeps_frame and hasattr(estimator, "feature_names_in_"))):
        columns = builder.finite(columns)
    return tuple(columns[i] for i in estimator.get_support(indices=True))


def recursive_elimination(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block | Predictions:
    """As the others in the middle of a pipeline; at its end, the predictions of `estimator_` on the chosen columns."""
    chosen = selector(estimator, columns, builder)
    if builder.transforming or not hasattr(estimator, "predict"):
        return chosen
    return replace(predictions(builder, "estimator_", estimator.estimator_, chosen), transform=chosen)


FRONTENDS: dict[type, Frontend] = {
    SelectKBest: selector,
    SelectPercentile: selector,
    SelectFpr: selector,
    SelectFdr: selector,
    SelectFwe: selector,
    GenericUnivariateSelect: selector,
    VarianceThreshold: selector,
    SelectFromModel: selector,
    SequentialFeatureSelector: selector,
    RFE: recursive_elimination,
    RFECV: recursive_elimination,
}
