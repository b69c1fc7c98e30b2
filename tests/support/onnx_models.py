"""ONNX graphs as example models."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import skl2onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pgscore.compiler.onnx_model import OnnxModel

from .customers import NUMBERS, customers, rows_to_score
from .example import Example


def converted(estimator: Any, n_columns: int, *, single: bool = False, options: dict[str, Any] | None = None) -> bytes:
    """The graph that skl2onnx makes of an estimator, over one tensor `X` of doubles, or of floats."""
    kind = FloatTensorType if single else DoubleTensorType
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = skl2onnx.convert_sklearn(
            estimator, initial_types=[("X", kind([None, n_columns]))], options=options, target_opset=18
        )
    return bytes(model.SerializeToString())


def _logistic() -> Example:
    train = customers()[NUMBERS]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(train.to_numpy(), customers()["churn"])
    frame = rows_to_score(train).set_axis([f"X_{index}" for index in range(len(NUMBERS))], axis=1)
    return Example(OnnxModel(converted(model, len(NUMBERS))), frame.astype(np.float64))


ONNX_EXAMPLES: dict[type, dict[str, Callable[[], Example]]] = {OnnxModel: {"logistic": _logistic}}
