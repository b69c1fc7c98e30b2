"""`Subgraph` in SQL: there is no such thing."""

from __future__ import annotations

from typing import NoReturn

from pgscore.errors import UnsupportedError

from .. import ir
from ..ir import Ref
from .sql_scope import Scope

REASON = "a part of it is an ONNX graph, which has no form in SQL"
WAY_FORWARD = "run it as ONNX, for which a superuser installs PL/Python once: `pgscore install --plpython`"


def subgraph(_node: ir.Subgraph, _ref: Ref, _scope: Scope) -> NoReturn:
    """Raises UnsupportedError."""
    raise UnsupportedError("model", REASON, WAY_FORWARD)
