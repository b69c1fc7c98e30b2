"""The operators that a graph may hold: those of pgscore and skl2onnx for tabular models, and what is common beside.

Each was left in because its answer depends on the row alone, and its time and memory on the sizes of what it is given.
Left out are:
- random numbers, training, and what reads an image, a sound or a text: no answer for a row of numbers;
- sequences, maps and optional values: the memory they take is not that of a tensor, which can be bounded;
- convolutions, pooling, resizing, recurrent cells and attention: not tabular, and each a large piece of native code;
- quantised arithmetic and whatever is in other domains.
"""

from __future__ import annotations

from .libraries import ScoringError

ML = b"ai.onnx.ml"
DOMAINS = frozenset({b"", b"ai.onnx", ML})

STANDARD = frozenset(
    # One number to one number, or some to one.
    b"Abs Acos Acosh Add And Asin Asinh Atan Atanh Cast CastLike Ceil Celu Clip Cos Cosh Div Dropout Elu Equal Erf Exp "
    b"Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Less LessOrEqual Log Max "
    b"Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus "
    b"Softsign Sqrt Sub Sum Tan Tanh ThresholdedRelu Where Xor "
    # Over rows and columns.
    b"ArgMax ArgMin BatchNormalization CumSum Einsum Gemm Hardmax LayerNormalization LogSoftmax LpNormalization MatMul "
    b"ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
    b"ReduceSumSquare Softmax TopK "
    # Moving numbers about.
    b"Compress Concat Constant ConstantOfShape Expand EyeLike Flatten Gather GatherElements GatherND NonZero OneHot "
    b"Pad Range Reshape ScatterElements ScatterND Shape Size Slice Split Squeeze Tile Transpose Trilu Unsqueeze "
    # Control flow: watched while it runs (guard.py).
    b"If Loop Scan".split()
)
LEARNED = frozenset(
    b"ArrayFeatureExtractor Binarizer CategoryMapper FeatureVectorizer Imputer LabelEncoder LinearClassifier "
    b"LinearRegressor Normalizer OneHotEncoder Scaler SVMClassifier SVMRegressor TreeEnsemble TreeEnsembleClassifier "
    b"TreeEnsembleRegressor".split()
)
"""Of the domain ai.onnx.ml."""

UNCHECKED = frozenset(
    b"ArrayFeatureExtractor FeatureVectorizer Imputer LinearClassifier LinearRegressor Normalizer OneHotEncoder Scaler "
    b"SVMClassifier SVMRegressor".split()
)
CHECKED_SINCE = (1, 32)
"""The onnxruntime that holds the lengths of their attributes against the row; before, they read beyond their ends."""

_LONGEST_NAME = 40


def check(domain: bytes, name: bytes, onnxruntime: tuple[int, ...]) -> None:
    """Raises ScoringError unless the operator is on the list, and safe in that version of onnxruntime."""
    if domain not in DOMAINS:
        raise ScoringError("the graph holds operators of an unknown domain")
    if name not in (LEARNED if domain == ML else STANDARD):
        shown = name.decode("ascii", "replace") if name.isalnum() and len(name) <= _LONGEST_NAME else "of an odd name"
        raise ScoringError(f"the graph holds the operator {shown}, which pgscore does not run")
    if domain == ML and name in UNCHECKED and onnxruntime < CHECKED_SINCE:
        needed = ".".join(map(str, CHECKED_SINCE))
        raise ScoringError(
            f"the graph holds the operator {name.decode()}, which is safe from onnxruntime {needed} on; "
            f"the server has {'.'.join(map(str, onnxruntime))}"
        )
