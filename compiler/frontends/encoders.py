"""OneHotEncoder, OrdinalEncoder and TargetEncoder: categories to codes, codes to columns.

They look a value up in `categories_`. What happens to a missing value follows from that: None or NaN that was seen in
training is a category like any other; one that was not is an unknown category.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.preprocessing import (
    LabelBinarizer,
    LabelEncoder,
    MultiLabelBinarizer,
    OneHotEncoder,
    OrdinalEncoder,
    TargetEncoder,
)

from .. import ir
from .builder import Builder, Frontend


@dataclass(frozen=True)
class Categories:
    """The categories of one column, in the order of codes.

    `known` are those that are not missing and `position` their indices in `categories_`; `missing` is the index of the
    missing category, if training had one. `group` maps an index to its output after infrequent categories were put
    together (OrdinalEncoder leaves NaN out of it), `infrequent` is the output of these, if any.
    """

    known: tuple[str, ...] | tuple[float, ...]
    position: tuple[int, ...]
    missing: int | None
    group: tuple[int, ...]
    infrequent: int | None

    @property
    def missing_code(self) -> float:
        """The code of a missing value before grouping: a category of its own after the others, else unknown."""
        return float(len(self.known)) if self.missing is not None else -1.0


def one_hot_encoder(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """One column for each category that is not dropped; infrequent ones share the last column of their feature."""
    result: list[ir.Ref] = []
    for index, ref in enumerate(columns):
        categories = _categories(estimator, index, ref, builder)
        codes = _codes(estimator, index, ref, categories, builder, refuses=estimator.handle_unknown == "error")
        outputs: list[list[float]] = [[] for _ in range(max(categories.group) + 1)]
        for code, position in enumerate(categories.position):
            outputs[categories.group[position]].append(float(code))
        if categories.missing is not None:
            outputs[categories.group[categories.missing]].append(categories.missing_code)
        if estimator.handle_unknown in ("infrequent_if_exist", "warn") and categories.infrequent is not None:
            outputs[categories.infrequent].append(-1.0)
        dropped = None if estimator.drop_idx_ is None else estimator.drop_idx_[index]
        if dropped is not None:
            del outputs[categories.group[dropped]]
        if outputs:
            result += builder.add(ir.OneHot(codes, tuple(map(tuple, outputs))))
    return _typed(estimator, tuple(result), [0.0, 1.0], builder)


def ordinal_encoder(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """The position of the category, infrequent ones sharing the last; `unknown_value`, `encoded_missing_value`."""
    result: list[ir.Ref] = []
    given: set[float] = set()
    for index, ref in enumerate(columns):
        categories = _categories(estimator, index, ref, builder)
        values = [float(categories.group[position]) for position in categories.position]
        unknown = -1.0 if estimator.unknown_value is None else float(estimator.unknown_value)
        missing = _missing_value(estimator, index, categories, unknown)
        refuses = estimator.handle_unknown == "error"
        if values == list(range(len(values))) and not (refuses and categories.missing is not None and missing < 0):
            source = (_numbers(estimator, index, ref, builder),)
            codes = builder.add(ir.Codes(source, categories.known, missing, unknown))
            if refuses:
                codes = builder.add(ir.Check(codes, low=0.0, high=ir.FINITE, missing=math.isnan(missing)))
        else:
            codes = _codes(estimator, index, ref, categories, builder, refuses=refuses)
            table = values if categories.missing is None else [*values, missing]
            codes = builder.add(ir.Lookup(codes, np.array(table).reshape(-1, 1), np.array([unknown])))
        given.update(values, [missing] * (categories.missing is not None), [unknown] * (not refuses))
        result += codes
    return _typed(estimator, tuple(result), given, builder)


def target_encoder(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """`encodings_` of the category, one for each class of several; `target_mean_` for an unknown category."""
    width = len(estimator.classes_) if estimator.target_type_ == "multiclass" else 1
    mean = np.broadcast_to(np.asarray(estimator.target_mean_, dtype=np.float64), (width,))
    result: list[ir.Ref] = []
    for index, ref in enumerate(columns):
        categories = _categories(estimator, index, ref, builder)
        encodings = np.stack(estimator.encodings_[index * width : (index + 1) * width], axis=1)
        rows = [*categories.position, *([] if categories.missing is None else [categories.missing])]
        codes = _codes(estimator, index, ref, categories, builder, refuses=False)
        result += builder.add(ir.Lookup(codes, encodings[rows], mean))
    return tuple(result)


def _missing_value(estimator: Any, index: int, categories: Categories, unknown: float) -> float:
    """What OrdinalEncoder gives for a missing value: `encoded_missing_value` is for NaN alone, None is a category."""
    if categories.missing is None:
        return unknown
    if estimator.categories_[index][categories.missing] is None:
        return float(categories.group[categories.missing])
    return float(estimator.encoded_missing_value)


def _typed(estimator: Any, columns: ir.Block, given: Iterable[float], builder: Builder) -> ir.Block:
    """The columns of `given` numbers in the encoder's `dtype`.

    Whole numbers become doubles where something is computed with them. float32 is refused: what follows may compute in
    it, and so is a type that wraps the numbers around.
    """
    dtype = np.dtype(estimator.dtype)
    if dtype == np.float64:
        return columns
    if dtype.kind not in "iub":
        builder.refuse(f"dtype={dtype.name} makes later steps compute in that type", "use dtype=float64")
    least, most = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    if not all(least <= value <= most for value in given):
        builder.refuse(f"dtype={dtype.name} does not hold all of its codes", "use dtype=float64")
    builder.learned_whole(columns, dtype.itemsize)
    return columns


def _codes(  # noqa: PLR0913
    estimator: Any, index: int, ref: ir.Ref, categories: Categories, builder: Builder, *, refuses: bool
) -> ir.Block:
    """The code of each value, -1 for an unknown one, whose row is refused where `refuses`."""
    source = (_numbers(estimator, index, ref, builder),)
    codes = builder.add(ir.Codes(source, categories.known, categories.missing_code, -1.0))
    return builder.add(ir.Check(codes, low=0.0, high=ir.FINITE)) if refuses else codes


def _numbers(estimator: Any, index: int, ref: ir.Ref, builder: Builder) -> ir.Ref:
    """The column; infinities are refused in a column of numbers, not in one of objects."""
    if estimator.categories_[index].dtype.kind in "biuf":
        return builder.finite((ref,), missing=True)[0]
    return ref


def _categories(estimator: Any, index: int, ref: ir.Ref, builder: Builder) -> Categories:
    raw: npt.NDArray[Any] = estimator.categories_[index]
    missing = [i for i, value in enumerate(raw) if value is None or _is_nan(value)]
    if len(missing) > 1:
        builder.refuse("it learned both None and NaN as categories", "train with one of the two for missing values")
    if raw.dtype.kind == "O":
        builder.learned_objects(ref)
    for i in missing:
        builder.learned_missing(ref, none=raw[i] is None)
    position = tuple(i for i in range(len(raw)) if i not in missing)
    known = plain_categories([raw[i] for i in position], builder)
    if not known and raw.dtype.kind not in "biuf":
        builder.refuse("a column of objects was always missing in training", "leave that column out")
    mapping = estimator._default_to_infrequent_mappings[index] if estimator._infrequent_enabled else None
    group = tuple(range(len(raw))) if mapping is None else tuple(mapping.tolist())
    infrequent = None if mapping is None else max(group)
    return Categories(known, position, missing[0] if missing else None, group, infrequent)


def _is_nan(value: object) -> bool:
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))


def plain_categories(raw: list[Any], builder: Builder) -> tuple[str, ...] | tuple[float, ...]:
    """Categories as text or doubles; refuses other types, both at once, and numbers that a double cannot hold."""
    if all(isinstance(value, str) for value in raw):
        if any("\0" in value or any("\ud800" <= character <= "\udfff" for character in value) for value in raw):
            builder.refuse(
                "a category holds NUL or half a surrogate pair, which no database text can", "clean the column"
            )
        return tuple(str(value) for value in raw)
    if not all(isinstance(value, (bool, int, float, np.number, np.bool_)) for value in raw):
        builder.refuse("a column has categories that are not all text or all numbers", "make the column one type")
    if any(int(value) != float(value) for value in raw if isinstance(value, (int, np.integer))):
        builder.refuse("a category is a whole number beyond 2^53", "make such an identifier text")
    return tuple(float(value) for value in raw)


def label_binarizer(estimator: Any, columns: ir.Block, builder: Builder) -> ir.Block:
    """For each class `pos_label` or `neg_label`, as for one label at a time; of two classes the second one alone.

    An unknown label is of no class. In a call with several labels scikit-learn's columns depend on how many of them
    differ: an unknown one beside both of two classes brings a second column.
    """
    if not str(estimator.y_type_).startswith(("binary", "multiclass")):
        builder.refuse(f"it was trained on {estimator.y_type_} labels", "train it on one label a row")
    known = plain_categories(list(estimator.classes_), builder)
    if not known or isinstance(known[0], float):
        columns = builder.add(ir.Check(columns, -(2.0**63), math.nextafter(2.0**63, 0.0)))
        down = builder.add(ir.Elementwise(columns, ir.Op.FLOOR))
        rest = builder.add(ir.Affine(columns + down, np.array([[1.0, -1.0]]), np.zeros(1)))
        builder.add(ir.Check(rest, 0.0, 0.0))  # neither a fraction nor what int64 cannot hold is a label
    codes = builder.add(ir.Codes(columns, known, unknown=-1.0))
    codes = builder.add(ir.Check(codes, -1.0, float(len(known))))
    first = 1 if len(known) == 2 else 0
    groups = tuple((float(code),) for code in range(first, len(known))) if len(known) > 1 else ((),)
    flags = builder.add(ir.OneHot(codes, groups))
    low, high = float(estimator.neg_label), float(estimator.pos_label)
    return builder.add(ir.MultiplyAdd(flags, np.full(len(flags), high - low), np.full(len(flags), low)))


FRONTENDS: dict[type, Frontend] = {
    OneHotEncoder: one_hot_encoder,
    OrdinalEncoder: ordinal_encoder,
    TargetEncoder: target_encoder,
    LabelBinarizer: label_binarizer,
}

NOTES: dict[type, str] = {
    LabelBinarizer: "for one label at a time: scikit-learn's columns may depend on the other labels of a call",
}

_OF_TARGETS = (
    "it encodes the target of a model, all rows at once, and no features",
    "train the classifier on the labels as they are; encode a feature with OneHotEncoder or OrdinalEncoder",
)

REFUSED: dict[type, tuple[str, str]] = dict.fromkeys((LabelEncoder, MultiLabelBinarizer), _OF_TARGETS)
