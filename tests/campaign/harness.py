"""One model, four ways to its answers: the model itself, numpy, SQL on a server, ONNX in PL/Python."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pgscore.compiler import ir
from pgscore.compiler.artifact import Artifact, Function, Parameter, SqlType, Strategy
from pgscore.compiler.backends import numpy as reference
from pgscore.compiler.backends import sql
from pgscore.compiler.build import build
from pgscore.compiler.frontends import to_program
from pgscore.compiler.frontends.compose import input_names
from pgscore.compiler.function_plans import Plan, plans
from pgscore.compiler.oracle import Oracle
from pgscore.errors import UnsupportedError
from pgscore.procedures.cases import Cases, Space, adversarial, synthetic_bases
from pgscore.procedures.parity import FunctionParity, compare
from tests.support import sqlrun

from .datasets import Dataset

ADVERSARIAL_ROWS = 60
QUANTILES = (0.5, 0.1, 0.9)
WITHOUT_PLPYTHON = frozenset({Strategy.SQL, Strategy.PLPGSQL})

Columns = Mapping[str, Sequence[Any]]
Answers = dict[str, list[Any]]


@dataclass(frozen=True)
class Case:
    """A model compiled for the types of its data set, the rows to score, and what the model itself answers.

    `sql` is None where the model has no form in SQL. `expected` is by strategy: SQL refuses a little before a number
    leaves the doubles, numpy and ONNX where it does.
    """

    program: ir.Program
    sql: Artifact | None
    onnx: Artifact
    rows: Cases
    expected: Mapping[Strategy, Answers]

    def differences(self, artifact: Artifact, answers: Answers) -> dict[str, FunctionParity]:
        """The verdict on each function, exactly as the parity gate gives it."""
        return {
            f.suffix: compare(
                f.method,
                self.expected[artifact.strategy][f.suffix],
                answers[f.suffix],
                self.rows.varied,
                exact=is_exact(f),
                tolerance=artifact.tolerance,
            )
            for f in artifact.functions
        }


def is_exact(function: Function) -> bool:
    """Whether its answers are labels or whole numbers, which must be equal."""
    return function.labels is not None or not function.result.startswith(SqlType.DOUBLE.value)


def prepare(model: Any, dataset: Dataset, *, n_rows: int = ADVERSARIAL_ROWS) -> Case:
    """Compiles the model, makes rows around what it was trained on, and asks the model about them."""
    program = to_program(model)
    known = _columns(dataset, input_names(model))
    parameters = tuple(Parameter(c.name, _type(c, known[c.name])) for c in program.columns)
    onnx = build(program, parameters, strategy=Strategy.ONNX)
    try:
        compiled = build(program, parameters, available=WITHOUT_PLPYTHON)
    except UnsupportedError:
        compiled = None
    rows = _rows(parameters, onnx.probes, known, n_rows)
    expected = {
        one.strategy: Oracle(model, parameters, one.functions, one.strategy).answers(rows.columns)
        for one in (onnx, compiled)
        if one is not None
    }
    return Case(program, compiled, onnx, rows, expected)


def by_numpy(case: Case) -> Answers:
    """What each function gives by the reference interpreter."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    for column in case.program.columns:
        values = case.rows.columns[column.name]
        if column.dtype is ir.Dtype.TEXT:
            arrays[column.name] = np.array(values, dtype=object)
        else:
            arrays[column.name] = np.array([math.nan if v is None else float(v) for v in values])
    outputs = reference.evaluate(case.program, arrays)
    return {plan.suffix: _answers(plan, outputs[plan.output]) for plan in plans(case.program)}


def by_functions(connection: Any, artifact: Artifact, rows: Cases) -> Answers:
    """What the database answers. Leaves nothing behind."""
    try:
        if artifact.onnx is not None:
            with connection.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO pgscore.onnx_graphs (sha256, content) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                    (artifact.onnx.sha256, artifact.onnx.content),
                )
        return sqlrun.run(connection, artifact, rows.columns)
    finally:
        connection.rollback()


def _answers(plan: Plan, output: npt.NDArray[Any]) -> list[Any]:
    block = output[:, plan.first : plan.first + len(plan.columns.columns)]
    refused = ~np.isfinite(block).any(axis=1)
    labels: Sequence[Sequence[ir.Label]] = plan.columns.targets or (plan.columns.labels,)
    found: list[Any] = []
    for row, nothing in zip(block.tolist(), refused, strict=True):
        match plan.columns.shape:
            case _ if nothing:
                found.append(None)
            case sql.Shape.NUMBER:
                found.append(row[0])
            case sql.Shape.INTEGER:
                found.append(int(row[0]))
            case sql.Shape.ARRAY:
                found.append([value if math.isfinite(value) else None for value in row])
            case sql.Shape.LABEL:
                found.append(labels[0][int(row[0])])
            case sql.Shape.LABELS:
                found.append([names[int(index)] for names, index in zip(labels, row, strict=True)])
    return found


def _columns(dataset: Dataset, names: Sequence[str]) -> dict[str, list[Any]]:
    """The data set's rows as SQL's values, by the names that the model knows."""
    values = [dataset.frame.iloc[:, position].tolist() for position in range(dataset.frame.shape[1])]
    return {n: [None if v is None or v != v else v for v in column] for n, column in zip(names, values, strict=True)}


def _type(column: ir.Column, values: Sequence[Any]) -> SqlType:
    if column.dtype is ir.Dtype.TEXT:
        return SqlType.TEXT
    present = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in present):
        return SqlType.BOOLEAN
    if all(isinstance(value, int) for value in present):
        return SqlType.INTEGER if max(map(abs, present)) < 2**31 else SqlType.BIGINT
    return SqlType.DOUBLE


def _rows(parameters: Sequence[Parameter], probes: Mapping[str, Any], known: Columns, n_rows: int) -> Cases:
    """The rows of the data set, then adversarial ones as the gate makes them."""
    space = Space(parameters, probes)
    numbers = [p for p in parameters if p.type not in {SqlType.TEXT, SqlType.BOOLEAN}]
    quantiles = {p.name: _quantiles(known[p.name]) for p in numbers}
    common = {p.name: max(set(known[p.name]) - {None}, key=known[p.name].count) for p in parameters if p not in numbers}
    seed = zlib.crc32(repr(probes).encode())
    hard = adversarial(space, synthetic_bases(space, quantiles, common), max_rows=n_rows, seed=seed)
    own = len(next(iter(known.values())))
    columns = {p.name: [*known[p.name], *hard.columns[p.name]] for p in parameters}
    return Cases(columns, ("",) * own + hard.varied)


def _quantiles(values: Sequence[Any]) -> list[Any]:
    ordered = sorted(value for value in values if value is not None)
    return [ordered[int(share * (len(ordered) - 1))] for share in QUANTILES]
