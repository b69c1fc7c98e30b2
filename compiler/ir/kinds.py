"""The list of all kinds of node."""

from .arithmetic import (
    Affine,
    ArgMax,
    Clip,
    Divide,
    Multiply,
    MultiplyAdd,
    Normalize,
    Reduce,
    Sigmoid,
    Softmax,
    Standardize,
    Step,
)
from .base import Node
from .columns import Check, Codes, Constant, FillText, Impute, Input, IsMissing, Lookup, OneHot, Select
from .coupling import CouplePairwise
from .curves import Elementwise, Piecewise
from .kernels import Kernel
from .medians import WeightedMedian
from .neighbors import Neighbors
from .subgraph import Subgraph
from .trees import Trees

NODE_KINDS: tuple[type[Node], ...] = (
    Input, Constant, Check, Impute, FillText, IsMissing, Select, Codes, OneHot, Lookup, Standardize, MultiplyAdd, Clip,
    Affine, Multiply, Divide, Reduce, Elementwise, Piecewise, Trees, Kernel, Neighbors, CouplePairwise,
    Sigmoid, Softmax, Normalize, ArgMax, Step, Subgraph, WeightedMedian,
)  # fmt: skip
"""Every kind of node. A test walks this against the three backends and fails on a gap."""
