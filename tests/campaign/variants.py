"""What each estimator of the campaign is trained on: every data set, and in the full campaign every option on it.

In the test suite the options of an estimator go round with the data sets, and each data set has one kind of classes.
With PGSCORE_CAMPAIGN=full, which `make parity` sets, each data set also meets all other options, and classifiers all
kinds of classes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sklearn.base import ClassifierMixin

from .datasets import DATASETS, Dataset
from .estimators import recipe
from .recipes import class_of, matching, name_of

FULL = os.environ.get("PGSCORE_CAMPAIGN") == "full"
CLASSES = ((2, "text"), (2, "int"), (2, "bool"), (3, "text"), (3, "int"), (10, "text"), (10, "int"))


def variants(key: Any) -> dict[str, Dataset]:
    """The data sets that an estimator of FRONTENDS is trained on, by what tells them apart."""
    found = dict(DATASETS)
    if FULL:
        found |= {name: data for given in DATASETS.values() for name, data in _more(key, given)}
    found = {name: data for name, data in found.items() if not matching(recipe(key).skip, name)}
    return {name: data.of_labels() for name, data in found.items()} if recipe(key).takes == "labels" else found


def _more(key: Any, data: Dataset) -> Iterator[tuple[str, Dataset]]:
    n_options = len(recipe(key).options)
    for turn in range(n_options):
        if turn != data.turn % n_options:
            yield f"{data.name}-{turn}", replace(data, turn=turn)
    if _learns_classes(key):
        for turn, (classes, labels) in enumerate(CLASSES):
            yield (
                f"{data.name}-{classes}-{labels}",
                replace(data, classes=classes, labels=labels, two_labels=labels, turn=turn),
            )


def _learns_classes(key: Any) -> bool:
    target = recipe(key).target
    return target in ("classes", "two") or issubclass(class_of(key), ClassifierMixin) or "Classifier" in name_of(key)
