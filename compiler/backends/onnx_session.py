"""onnxruntime as the server runs it: one thread, so that sums have one order. It is imported when first needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import ir

FATAL = 4

Values = npt.NDArray[Any]


@lru_cache(maxsize=8)
def session(content: bytes) -> Any:
    """A session for the graph. Raises whatever onnxruntime raises for one that it cannot load."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = FATAL
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run(content: bytes, tensors: Sequence[str], given: Mapping[str, Values]) -> list[Values]:
    """The named tensors for these inputs. Raises whatever onnxruntime raises."""
    found: list[Values] = session(content).run(list(tensors), dict(given))
    return found


def subgraph(node: ir.Subgraph, x: Values) -> Values:
    """The columns of a `Subgraph` for rows of doubles (n_rows, n_inputs)."""
    given = {feed.tensor: fed(feed, x) for feed in node.feeds}
    found = run(node.content, [fetch.tensor for fetch in node.fetches], given) if len(x) else []
    blocks = [fetched(fetch, values, len(x)) for fetch, values in zip(node.fetches, found, strict=bool(len(x)))]
    return np.hstack(blocks) if blocks else np.zeros((len(x), node.width))


def fed(feed: ir.Feed, x: Values) -> Values:
    """What a tensor gets: its columns, cast; 0 for what no whole number or flag stands for."""
    block = x[:, list(feed.columns)]
    if feed.element in (ir.Element.INT64, ir.Element.BOOL):
        block = np.where(np.abs(block) <= 2.0**53, block, 0.0)
    with np.errstate(all="ignore"):
        block = block.astype(feed.element.value)
    return np.ascontiguousarray(block[:, 0] if feed.flat else block)


def fetched(fetch: ir.Fetch, values: Values, n_rows: int) -> Values:
    """The columns that a tensor gives, as doubles (n_rows, width)."""
    if fetch.labels is not None:
        position = {label: float(index) for index, label in enumerate(fetch.labels)}
        values = np.array([position.get(str(value), np.nan) for value in values.ravel()])
    return values.astype(np.float64).reshape(n_rows, fetch.width)
