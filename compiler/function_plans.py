"""The functions that a model gets: the name, the method that each equals, and the columns it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pgscore.errors import UnsupportedError

from . import ir
from .backends import sql
from .ir import Method, ModelKind

LABEL_TYPES: dict[type, str] = {str: "text", bool: "boolean", int: "bigint", float: "double precision"}


@dataclass(frozen=True)
class Plan:
    """A function to be made: its result, and where its columns are among all outputs."""

    suffix: str
    method: str
    result: str
    columns: sql.Result
    output: Method
    first: int = 0
    labels: tuple[ir.Label, ...] | None = None

    @property
    def in_batches(self) -> bool:
        """Whether a refresh can make the result of one column of a graph's output."""
        return self.columns.shape in (sql.Shape.NUMBER, sql.Shape.INTEGER, sql.Shape.LABEL)


def plans(program: ir.Program) -> tuple[Plan, ...]:
    """The functions of a model, the main one first (docs/sql.md)."""
    predict, transform = program.output(Method.PREDICT), program.output(Method.TRANSFORM)
    if transform is not None:
        return (_array("", transform, "transform(X)"),)
    if predict is None:
        raise UnsupportedError("model", "it has no predict", "end the pipeline in a predictor or a transformer")
    if program.kind is ModelKind.OUTLIER_DETECTOR:
        decision = program.output(Method.DECISION_FUNCTION)
        return (*([_scores("", decision)] if decision else []), _label("label", predict))
    if predict.labels is None and predict.targets is None:
        return _of_numbers(program, predict)
    return _of_classes(program, predict)


def _of_numbers(program: ir.Program, predict: ir.Output) -> tuple[Plan, ...]:
    """A regressor's, with an array for several targets, or a clusterer's: of a mixture with probabilities, of KMeans
    with the distance.
    """
    if program.kind is not ModelKind.CLUSTERER:
        several = len(predict.columns) > 1
        return (_array("", predict, "predict(X)") if several else _one("", predict, sql.Shape.NUMBER),)
    found = [_one("", predict, sql.Shape.INTEGER)]
    if proba := program.output(Method.PREDICT_PROBA):
        found.append(_array("proba", proba, "predict_proba(X)"))
    if distance := program.output(Method.DISTANCE):
        nearest = sql.Result(distance.columns, sql.Shape.NUMBER)
        found.append(Plan("distance", "distance(X)", "double precision", nearest, Method.DISTANCE))
    return tuple(found)


def _of_classes(program: ir.Program, predict: ir.Output) -> tuple[Plan, ...]:
    """A classifier's: what it predicts, its label, and its probabilities or else its decisions."""
    proba, decision = program.output(Method.PREDICT_PROBA), program.output(Method.DECISION_FUNCTION)
    if predict.targets is not None:
        scores = [_array("proba", proba, "hstack(predict_proba(X))")] if proba else []
        return (_labels("", predict), _labels("label", predict), *scores)
    main = _label("", predict)
    if proba is not None:
        if program.kind is ModelKind.BINARY_CLASSIFIER and len(proba.columns) == 2:
            positive = sql.Result(proba.columns[1:2], sql.Shape.NUMBER)
            main = Plan("", "predict_proba(X)[:, 1]", "double precision", positive, Method.PREDICT_PROBA, first=1)
        return (main, _label("label", predict), _array("proba", proba, "predict_proba(X)"))
    return (main, _label("label", predict), *([_scores("decision", decision)] if decision else []))


def _one(suffix: str, output: ir.Output, shape: sql.Shape) -> Plan:
    return Plan(suffix, "predict(X)", shape.value, sql.Result(output.columns, shape), Method.PREDICT)


def _scores(suffix: str, decision: ir.Output) -> Plan:
    if len(decision.columns) > 1:
        return _array(suffix, decision, "decision_function(X)")
    score = sql.Result(decision.columns, sql.Shape.NUMBER)
    return Plan(suffix, "decision_function(X)", "double precision", score, Method.DECISION_FUNCTION)


def _label(suffix: str, output: ir.Output) -> Plan:
    labels = output.labels or ()
    result = sql.Result(output.columns, sql.Shape.LABEL, labels)
    return Plan(suffix, "predict(X)", _label_type(labels), result, Method.PREDICT, labels=labels)


def _labels(suffix: str, output: ir.Output) -> Plan:
    """The label of each target."""
    targets = output.targets or ()
    result = sql.Result(output.columns, sql.Shape.LABELS, targets=targets)
    label_type = _label_type([label for labels in targets for label in labels])
    return Plan(suffix, "predict(X)", f"{label_type}[]", result, Method.PREDICT)


def _label_type(labels: Sequence[ir.Label]) -> str:
    types = {type(value) for value in labels}
    if len(types) != 1 or types - LABEL_TYPES.keys():
        raise UnsupportedError("model", "its classes are not of one SQL type", "train it on labels of one type")
    return LABEL_TYPES[types.pop()]


def _array(suffix: str, output: ir.Output, method: str) -> Plan:
    return Plan(suffix, method, "double precision[]", sql.Result(output.columns, sql.Shape.ARRAY), output.method)
