"""SimpleImputer, KNNImputer, IterativeImputer and MissingIndicator: what is missing, and what stands in for it.

An imputer may take a value of the data, such as -1 or "?", as the missing one. Then scikit-learn refuses rows in which
a value is missing indeed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - IterativeImputer is to be had after it
from sklearn.impute import IterativeImputer, KNNImputer, MissingIndicator, SimpleImputer
from sklearn.utils._missing import is_pandas_na

from .. import ir
from ..ir.neighbors import FARTHEST
from .builder import Builder, Frontend

Marker = str | float | None
"""The value of the data that counts as missing; None where missing values are missing indeed."""


def simple_imputer(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """Fills in `statistics_`; columns without any (all missing in training) are dropped; indicators come last.

    Text and numbers may stand side by side in a column-wise table of objects: the fill value says which a column is.
    """
    marker = _marker(estimator, builder)
    columns = _checked(estimator, columns, marker, builder, objects=estimator._fit_dtype.kind == "O")
    fills = _fills(estimator, builder)
    texts = [i for i, fill in fills.items() if isinstance(fill, str)]
    numbers = [i for i in fills if i not in set(texts)]
    filled: dict[int, ir.Ref] = {}
    if texts:
        if isinstance(marker, float):
            builder.refuse(f"missing_values={marker!r} in a column of text", "mark missing text by text")
        fill = tuple(str(fills[i]) for i in texts)
        filled.update(zip(texts, builder.add(ir.FillText(tuple(columns[i] for i in texts), fill, marker)), strict=True))
    if numbers:
        values = np.array([fills[i] for i in numbers], dtype=np.float64)
        block = _with_gaps(tuple(columns[i] for i in numbers), marker, builder)
        filled.update(zip(numbers, builder.add(ir.Impute(block, values)), strict=True))
    return tuple(filled[i] for i in fills) + _indicator(estimator, columns, marker, builder)


def missing_indicator(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """1 where a value is missing; with `error_on_new` none may be in a column that had none in training."""
    marker = _marker(estimator, builder)
    if marker is None:
        for ref in columns:
            builder.learned_missing(ref, none=estimator.missing_values is None)
        builder.finite_unless_text(columns)
    else:
        columns = _checked(estimator, columns, marker, builder, objects=isinstance(marker, str))
    flags = _is_missing(columns, marker, builder)
    kept = set(estimator.features_.tolist())
    new = tuple(flag for index, flag in enumerate(flags) if index not in kept)
    if new and estimator.features == "missing-only" and estimator.error_on_new:
        builder.add(ir.Check(new, low=0.0, high=0.0))
    return tuple(flag for index, flag in enumerate(flags) if index in kept)


def knn_imputer(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """The mean of the `n_neighbors` nearest training rows that have the value, else the mean of the column.

    Of training rows at one distance scikit-learn takes those that its sorting happens to leave in front, which depends
    on the processor; the node takes the first. Numbers beyond float32 are refused: all training rows are equally far
    from them.
    """
    if callable(estimator.weights) or callable(estimator.metric):
        builder.refuse("it calls a Python function for its weights or distances", 'use weights="uniform"')
    if estimator.weights == "distance":
        builder.refuse(
            'weights="distance": scikit-learn loses digits in small distances, as differences of large squares',
            'use weights="uniform"',
        )
    marker = _marker(estimator, builder)
    columns = _checked(estimator, columns, marker, builder)
    columns = builder.finite(columns, missing=marker is None, limit=ir.FLOAT32_LIMIT, own=True)
    known: npt.NDArray[np.bool_] = ~estimator._mask_fit_X
    points = np.where(known, estimator._fit_X, np.nan).astype(np.float64)
    if np.abs(points[known]).max(initial=0.0) > FARTHEST:
        builder.refuse("its training data has numbers beyond 1e150", "leave them out")
    columns_of = zip(points.T, known.T, strict=True)
    means = np.array([column[here].mean() if here.any() else 0.0 for column, here in columns_of])
    filled = builder.add(
        ir.Neighbors(
            _with_gaps(columns, marker, builder),
            points,
            points,
            count=min(estimator.n_neighbors, len(points)),
            metric=ir.Metric.NAN_EUCLIDEAN,
            fallback=means,
            fill=True,
        )
    )
    valid = estimator._valid_mask.tolist()
    if estimator.keep_empty_features:
        zeros = builder.add(ir.Constant((), np.zeros(len(columns))))
        result = tuple(ref if kept else zero for ref, zero, kept in zip(filled, zeros, valid, strict=True))
    else:
        result = tuple(ref for ref, kept in zip(filled, valid, strict=True) if kept)
    return result + _indicator(estimator, columns, marker, builder)


def iterative_imputer(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """The initial imputation, then each estimator of `imputation_sequence_` predicts its column from others in turn.

    What such an estimator refuses refuses the row also where its column is not missing.
    """
    if estimator.sample_posterior:
        builder.refuse("sample_posterior=True draws random numbers", "use sample_posterior=False")
    marker = _marker(estimator, builder)
    flags = _is_missing(columns, marker, builder)
    with builder.step("initial_imputer_"):
        filled = list(builder.transform(estimator.initial_imputer_, columns))
    if not estimator.keep_empty_features:
        flags = tuple(flag for flag, empty in zip(flags, estimator._is_empty_feature, strict=True) if not empty)
    for turn, step in enumerate(estimator.imputation_sequence_ if estimator.n_iter_ else ()):
        with builder.step(f"imputation_sequence_[{turn}]"):
            with builder.asked_about_some_rows():
                predictions = builder.predictions(step.estimator, tuple(filled[i] for i in step.neighbor_feat_idx))
            if predictions.kind is not ir.ModelKind.REGRESSOR or len(predictions.predict) != 1:
                builder.refuse(f"it imputes by {type(step.estimator).__name__}, no regressor", "impute by a regressor")
            guess: ir.Block = predictions.predict
            low, high = (float(limit[step.feat_idx]) for limit in (estimator._min_value, estimator._max_value))
            if np.isfinite(low) or np.isfinite(high):
                guess = builder.add(ir.Clip(guess, low, high))
            (filled[step.feat_idx],) = builder.add(ir.Select((flags[step.feat_idx], *guess, filled[step.feat_idx])))
    return tuple(filled) + _indicator(estimator, columns, marker, builder)


def _marker(estimator: Any, builder: Builder) -> Marker:
    value = estimator.missing_values
    if value is None or is_pandas_na(value) or value != value:
        return None
    if isinstance(value, str):
        return str(value)
    if not isinstance(value, (int, float, np.number)) or not np.isfinite(value):
        builder.refuse(f"missing_values={value!r} is neither text nor a finite number", "mark missing values by NaN")
    return float(value)


def _checked(estimator: Any, columns: ir.Block, marker: Marker, builder: Builder, *, objects: bool = False) -> ir.Block:
    """The columns without infinities, which only columns of objects may hold, nor, with a marker, missing values."""
    for ref in columns:
        builder.learned_missing(ref, none=estimator.missing_values is None)
        if objects:
            builder.learned_objects(ref)
    if not objects:
        return builder.finite(columns, missing=marker is None)
    if marker is not None:
        builder.add(ir.Check(builder.add(ir.IsMissing(columns)), low=0.0, high=0.0))
    return columns


def _is_missing(columns: ir.Block, marker: Marker, builder: Builder) -> ir.Block:
    """1 where a value counts as missing, else 0."""
    if marker is None:
        return builder.add(ir.IsMissing(columns))
    categories = (marker,) if isinstance(marker, str) else (float(marker),)
    codes = tuple(code for ref in columns for code in builder.add(ir.Codes((ref,), categories)))
    return tuple(flag for code in codes for flag in builder.add(ir.OneHot((code,), ((0.0,),))))


def _with_gaps(columns: ir.Block, marker: Marker, builder: Builder) -> ir.Block:
    """Numbers with NaN in place of the marker."""
    if isinstance(marker, str):
        builder.refuse(f"missing_values={marker!r} in a column of numbers", "mark missing numbers by a number")
    if marker is None or not columns:
        return columns
    gaps = builder.add(ir.Constant((), np.full(len(columns), np.nan)))
    return builder.add(ir.Select(_is_missing(columns, marker, builder) + gaps + columns))


def _indicator(estimator: Any, columns: ir.Block, marker: Marker, builder: Builder) -> ir.Block:
    """The columns that `add_indicator` adds: those in which training had missing values."""
    if estimator.indicator_ is None or not len(estimator.indicator_.features_):
        return ()
    return _is_missing(tuple(columns[i] for i in estimator.indicator_.features_), marker, builder)


def _fills(estimator: Any, builder: Builder) -> dict[int, str | float]:
    """Each column that is kept, with its fill value as scikit-learn rounds it to the type of the training data."""
    statistics: npt.NDArray[Any] = estimator.statistics_
    kept = [i for i, value in enumerate(statistics) if estimator.keep_empty_features or value == value]
    fills: dict[int, str | float] = {}
    for i, value in zip(kept, statistics[kept].astype(estimator._fill_dtype), strict=True):
        if isinstance(value, str):
            fills[i] = str(value)
        elif isinstance(value, (int, float, np.number, np.bool_)) and not np.isinf(value):
            fills[i] = float(value)
        else:
            builder.refuse(f"it fills in {value!r}, neither text nor a finite number", "fill in one of the two")
    return fills


FRONTENDS: dict[type, Frontend] = {
    SimpleImputer: simple_imputer,
    KNNImputer: knn_imputer,
    IterativeImputer: iterative_imputer,
    MissingIndicator: missing_indicator,
}

NOTES: dict[type, str] = {
    KNNImputer: "weights by distance and Python functions are refused; where training rows lie equally far "
    "(to the digits that squares of large numbers leave), scikit-learn takes any, and the gate may refuse the model",
    IterativeImputer: "sample_posterior is refused; each round adds to the size of the SQL",
}
