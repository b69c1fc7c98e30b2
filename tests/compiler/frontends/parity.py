"""The model's own methods against its program, row by row, refusals included."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pgscore.compiler import ir
from pgscore.compiler.backends.numpy import evaluate, overflows, refuses
from pgscore.compiler.frontends import to_program
from pgscore.compiler.oracle import method_of

Values = npt.NDArray[Any]
HUGE = 1e37


def assert_parity(
    estimator: Any, frame: pd.DataFrame, *, exact: bool = False, rtol: float = 1e-12, atol: float = 0.0
) -> ir.Program:
    """Every method of the model equals its program's output on `frame`; NaN exactly where the model raises.

    The program also refuses rows in which a huge number makes the arithmetic leave the doubles, where scikit-learn goes
    on with infinities; these are not compared.

    A model trained on arrays gets the frame's values as an array, and a missing value as the marker that it learned.
    Labels are equal always; numbers bit by bit where `exact`, else within the tolerance. Returns the program.
    """
    program = to_program(estimator)
    rtol = max(rtol, program.tolerance) if program.approximation else rtol
    named = {column.name for column in program.columns} <= set(frame)
    if not named:
        frame = frame.set_axis([f"x{index}" for index in range(frame.shape[1])], axis=1)
    columns: dict[str, Values] = {}
    for column in program.columns:
        values = frame[column.name]
        if column.objects:
            values = values.astype(object).where(values.notna(), None if column.none else np.nan)
            frame = frame.assign(**{column.name: pd.Series(values, dtype=object)})
        columns[column.name] = values.to_numpy(object if column.dtype is ir.Dtype.TEXT else np.float64)
    rows: Any = frame if named else frame.to_numpy()
    outputs = evaluate(program, columns)
    assert outputs, "the program gives nothing"
    refused = refusals(getattr(estimator, program.outputs[0].method.value), rows, refuses(program, columns))
    overflown = overflows(program, columns) & ~refused & has_huge_number(columns)
    compared = ~refused & ~overflown
    for output in program.outputs:
        expected = _call(method_of(estimator, output.method.value), rows[compared])
        got = outputs[output.method]
        assert np.isnan(got[refused]).all(), f"{output.method.value}: the model refuses rows that the program scores"
        _assert_equal(output, got[compared], expected, exact=exact, rtol=rtol, atol=atol)
    _assert_all_methods(estimator, program)
    return program


def has_huge_number(columns: Mapping[str, Values]) -> npt.NDArray[np.bool_]:
    """The rows with a number that no data has, but that a careless query may hand over."""
    numbers = [np.abs(values.astype(np.float64)) > HUGE for values in columns.values() if values.dtype != object]
    return np.any(np.array(numbers), axis=0) if numbers else np.zeros(len(next(iter(columns.values()))), dtype=bool)


def refusals(
    method: Callable[[Any], Any], rows: Any, doubtful: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.bool_]:
    """Which rows the model raises on. Asks about each doubtful row alone, and halves the others until it knows."""
    refused = np.zeros(len(rows), dtype=bool)
    doubtful = refused if doubtful is None else doubtful
    stack = [np.flatnonzero(~doubtful), *np.flatnonzero(doubtful).reshape(-1, 1)]
    while stack:
        part = stack.pop()
        try:
            if len(part):
                _call(method, rows.iloc[part] if isinstance(rows, pd.DataFrame) else rows[part])
        except (ValueError, IndexError):  # IndexError: CategoricalNB on a category that it does not know
            if len(part) == 1:
                refused[part] = True
            else:
                stack += np.array_split(part, 2)
    assert not refused.all(), "the model refuses every row"
    return refused


def answers(
    method: Callable[[Any], Any], rows: Any, doubtful: npt.NDArray[np.bool_] | None = None
) -> tuple[Values, npt.NDArray[np.bool_]]:
    """(answers for the rows that the model accepts, which rows it refuses)."""
    refused = refusals(method, rows, doubtful)
    return _call(method, rows[~refused]), refused


def _call(method: Callable[[Any], Any], rows: Any) -> Values:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        part = method(rows)
    if isinstance(part, list):  # the probabilities of several targets
        part = np.hstack(part)
    return np.asarray(part.todense() if hasattr(part, "todense") else part).reshape(len(rows), -1)


def _assert_equal(output: ir.Output, got: Values, expected: Values, *, exact: bool, rtol: float, atol: float) -> None:
    name = output.method.value
    assert got.shape == expected.shape, name
    if output.labels is not None:
        assert not np.isnan(got).any(), f"{name}: the program refuses rows that the model scores"
        labels = [output.labels[int(index)] for index in got[:, 0]]
        assert labels == expected[:, 0].tolist(), name
    elif output.targets is not None:
        assert not np.isnan(got).any(), f"{name}: the program refuses rows that the model scores"
        for target, indices, wanted in zip(output.targets, got.T, expected.T, strict=True):
            assert [target[int(index)] for index in indices] == wanted.tolist(), name
    elif exact:
        np.testing.assert_array_equal(got, expected.astype(np.float64), err_msg=name)
    else:
        np.testing.assert_allclose(got, expected.astype(np.float64), rtol=rtol, atol=atol, err_msg=name)


def _assert_all_methods(estimator: Any, program: ir.Program) -> None:
    """The program has every method that the model has: none is forgotten."""
    expected = {method for method in ir.Method if hasattr(estimator, method.value)}
    if ir.Method.PREDICT in expected:
        expected.discard(ir.Method.TRANSFORM)
    assert {output.method for output in program.outputs} - {ir.Method.DISTANCE} == expected
