"""The intermediate representation: what a trained model computes, as values.

A `Program` is a list of nodes in order of evaluation. A node maps a block of columns to a block of columns, row by row.
Columns are named by `Ref` (which node, which of its columns), so selecting, reordering and joining columns is wiring
and needs no node. Nodes are frozen and validated when built; a program is walked by a plain loop, so a deep model
cannot hit a recursion limit.

Two types of column exist: NUMBER, a double in which NaN means missing, and TEXT, a string in which None means missing.

A row can be *refused*: scikit-learn raises on some rows (a missing value where the model takes none, a number beyond
float32, an unknown category). A `Check` that fails refuses the row, and each output of a refused row is NULL. So does
arithmetic that leaves the doubles: a node whose class says `arithmetic` makes no infinity of finite numbers.

Every kind of node has three interpreters: backends/numpy.py (the reference), SQL and ONNX, in the same folder.
"""

from ..forest import Forest
from ..values import BoolArray, FloatArray, IntArray
from .arithmetic import (
    Affine,
    ArgMax,
    Clip,
    Divide,
    Multiply,
    MultiplyAdd,
    Normalize,
    Reduce,
    Reduction,
    Sigmoid,
    Softmax,
    Standardize,
    Step,
)
from .base import FINITE, FLOAT32_LIMIT, Block, Column, Dtype, Node, Ref
from .columns import Check, Codes, Constant, FillText, Impute, Input, IsMissing, Lookup, OneHot, Select
from .coupling import CouplePairwise
from .curves import Elementwise, Op, Piecewise
from .domain import Domain, Scalar
from .kernels import Kernel
from .kinds import NODE_KINDS
from .medians import WeightedMedian
from .neighbors import Metric, Neighbors
from .program import TOLERANCE, Label, Method, ModelKind, Output, Program, needed
from .subgraph import Element, Feed, Fetch, Subgraph
from .trees import Trees

__all__ = [
    "FINITE",
    "FLOAT32_LIMIT",
    "NODE_KINDS",
    "TOLERANCE",
    "Affine",
    "ArgMax",
    "Block",
    "BoolArray",
    "Check",
    "Clip",
    "Codes",
    "Column",
    "Constant",
    "CouplePairwise",
    "Divide",
    "Domain",
    "Dtype",
    "Element",
    "Elementwise",
    "Feed",
    "Fetch",
    "FillText",
    "FloatArray",
    "Forest",
    "Impute",
    "Input",
    "IntArray",
    "IsMissing",
    "Kernel",
    "Label",
    "Lookup",
    "Method",
    "Metric",
    "ModelKind",
    "Multiply",
    "MultiplyAdd",
    "Neighbors",
    "Node",
    "Normalize",
    "OneHot",
    "Op",
    "Output",
    "Piecewise",
    "Program",
    "Reduce",
    "Reduction",
    "Ref",
    "Scalar",
    "Select",
    "Sigmoid",
    "Softmax",
    "Standardize",
    "Step",
    "Subgraph",
    "Trees",
    "WeightedMedian",
    "needed",
]
