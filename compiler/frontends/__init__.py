"""Estimators to nodes. `FRONTENDS` names every estimator that pgscore compiles; nothing registers itself.

A frontend takes (estimator, columns, builder) and gives the columns a transformer makes, or the `Predictions` of a
final estimator. It reads fitted attributes and each option that changes predict: it honours the option or refuses it by
name (`builder.refuse`). Composite frontends call `convert` for their parts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pgscore.errors import UnsupportedError

from .. import ir
from .builder import Builder, Predictions

Frontend = Callable[[Any, ir.Block, Builder], ir.Block | Predictions]

FRONTENDS: dict[type, Frontend] = {}


def convert(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block | Predictions:
    """The nodes of one estimator. Raises UnsupportedError where it has no frontend; subclasses have none of their own."""
    frontend = FRONTENDS.get(type(estimator))
    if frontend is None:
        name = type(estimator).__name__
        raise UnsupportedError(builder.path, f"{name} has no exact form in SQL", "see `pgscore check --list`")
    return frontend(estimator, columns, builder)


def to_program(estimator: Any) -> ir.Program:
    """The program of a fitted model. Columns are named by `feature_names_in_`, else x0, x1, …

    Raises UnsupportedError, naming the step, for anything that cannot be compiled exactly.
    """
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        names = [f"x{index}" for index in range(estimator.n_features_in_)]
    builder = Builder([str(name) for name in names])
    return builder.finish(convert(estimator, builder.inputs, builder))
