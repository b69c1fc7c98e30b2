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

from .. import ir
from . import cluster, compose, encoders, gradient_boosting, linear, preprocessing, trees
from .builder import Builder, Frontend

FAMILIES: Mapping[str, ModuleType] = {
    "composition": compose,
    "scaling and filling": preprocessing,
    "encoding": encoders,
    "linear models": linear,
    "trees and forests": trees,
    "gradient boosting": gradient_boosting,
    "clusters": cluster,
}
"""The module of each family, in the order of the documentation: FRONTENDS, perhaps NOTES and REFUSED (support.py)."""

FRONTENDS: Mapping[type, Frontend] = {
    cls: frontend for family in FAMILIES.values() for cls, frontend in family.FRONTENDS.items()
}


def to_program(estimator: Any) -> ir.Program:
    """The program of a fitted model. Columns are named by `feature_names_in_`, else x0, x1, …

    Raises UnsupportedError, naming the step, for anything that cannot be compiled exactly.
    """
    builder = Builder(compose.input_names(estimator), FRONTENDS)
    return builder.finish(builder.convert(estimator, builder.inputs))
