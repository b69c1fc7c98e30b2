"""What a model keeps of its training and does not call again: metrics, splitters, choosers of columns.

Nothing of it runs while it is loaded, so that a skops file may hold it without trust. A distribution of scipy, as
RandomizedSearchCV keeps, may not: it is restored by running text from the file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import metrics, model_selection
from sklearn.compose import make_column_selector

_METRICS = (
    *(metrics.get_scorer(name)._score_func for name in metrics.get_scorer_names()),
    *(metrics.fbeta_score, metrics.cohen_kappa_score, metrics.hamming_loss, metrics.hinge_loss, metrics.zero_one_loss),
    *(metrics.dcg_score, metrics.ndcg_score, metrics.mean_pinball_loss, metrics.mean_tweedie_deviance),
    *(metrics.d2_pinball_score, metrics.d2_tweedie_score),
)
_SPLITTERS = (
    *(model_selection.KFold, model_selection.RepeatedKFold, model_selection.ShuffleSplit),
    *(model_selection.StratifiedKFold, model_selection.RepeatedStratifiedKFold, model_selection.StratifiedShuffleSplit),
    *(model_selection.GroupKFold, model_selection.StratifiedGroupKFold, model_selection.GroupShuffleSplit),
    *(model_selection.LeaveOneOut, model_selection.LeavePOut, model_selection.TimeSeriesSplit),
    *(model_selection.LeaveOneGroupOut, model_selection.LeavePGroupsOut, model_selection.PredefinedSplit),
)
_KINDS_OF_COLUMNS = (
    *(object, np.generic, np.number, np.inexact, np.floating, np.integer, np.signedinteger, np.unsignedinteger),
    np.character,
)
"""What `make_column_selector` chooses columns by; skops trusts the types of numbers themselves."""


def _name(value: Any) -> str:
    """As skops calls a class or function."""
    return f"{value.__module__}.{value.__qualname__}"


FIT_TYPES = frozenset(
    {_name(value) for value in (*_METRICS, *_SPLITTERS, *_KINDS_OF_COLUMNS, make_column_selector, np.median)}
)
"""Types that need no trust, nor a check."""
