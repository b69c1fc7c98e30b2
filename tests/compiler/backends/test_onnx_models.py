"""Every example model through onnxruntime, held against the model's own methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pandas as pd
import pytest

from pgscore.compiler import ir
from pgscore.compiler.backends import numpy as reference
from pgscore.compiler.backends import onnx as backend
from pgscore.compiler.frontends import to_program
from pgscore.compiler.oracle import method_of

from ...support.models import all_examples
from ..frontends.parity import answers, has_huge_number

EXAMPLES = all_examples()


@pytest.mark.parametrize("name", EXAMPLES)
def test_equals_the_model(name: str) -> None:
    example = EXAMPLES[name]()
    program = to_program(example.estimator)
    rows, columns = _rows(program, example.frame)
    scored = _run(program, columns)
    doubtful = reference.refuses(program, columns)
    overflown = reference.overflows(program, columns) & has_huge_number(columns)
    start = 0
    for output in program.outputs:
        got = scored[:, start : start + len(output.columns)]
        start += len(output.columns)
        expected, refused = answers(method_of(example.estimator, output.method.value), rows, doubtful)
        assert np.isnan(got[refused]).all(), f"{output.method.value}: scores rows that the model refuses"
        finite = ~overflown[~refused]
        exact = example.exact and not _has_exponentials(program)
        rtol = program.tolerance if program.approximation else 1e-12
        _assert_equal(output, got[~refused][finite], expected[finite], exact=exact, rtol=rtol)


def _has_exponentials(program: ir.Program) -> bool:
    """Two libraries' exp may differ in the last bit."""
    return any(isinstance(node, (ir.Elementwise, ir.Sigmoid, ir.Softmax)) for node in program.nodes)


def _rows(program: ir.Program, frame: pd.DataFrame) -> tuple[Any, dict[str, npt.NDArray[Any]]]:
    """The rows as the model takes them, and as the program does."""
    named = {column.name for column in program.columns} <= set(frame)
    if not named:
        frame = frame.set_axis([f"x{index}" for index in range(frame.shape[1])], axis=1)
    columns: dict[str, npt.NDArray[Any]] = {}
    for column in program.columns:
        values = frame[column.name]
        if column.objects:
            values = values.astype(object).where(values.notna(), None if column.none else np.nan)
            frame = frame.assign(**{column.name: pd.Series(values, dtype=object)})
        columns[column.name] = values.to_numpy(object if column.dtype is ir.Dtype.TEXT else np.float64)
    return (frame if named else frame.to_numpy()), columns


def _run(program: ir.Program, columns: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float64]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(backend.export(program), options, providers=["CPUExecutionProvider"])
    scored: npt.NDArray[np.float64] = session.run(None, {"features": _features(program, columns)})[0]
    return scored


def _features(program: ir.Program, columns: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float64]:
    """What SQL hands to the graph: the numbers among the inputs, and what text nodes make of the others."""
    nodes = tuple(
        node if is_text or isinstance(node, ir.Input) else ir.Constant((), np.zeros(node.width))
        for node, is_text in zip(program.nodes, program.text_nodes(), strict=True)
    )
    output = ir.Output(ir.Method.TRANSFORM, program.features())
    features: npt.NDArray[np.float64] = reference.evaluate(replace(program, nodes=nodes, outputs=(output,)), columns)[
        ir.Method.TRANSFORM
    ]
    return features


def _assert_equal(
    output: ir.Output, got: npt.NDArray[Any], expected: npt.NDArray[Any], *, exact: bool, rtol: float
) -> None:
    name = output.method.value
    if output.labels is not None:
        given = ~np.isnan(got[:, 0])
        assert given.mean() > 0.5, name
        labels = [output.labels[int(index)] for index in got[given, 0]]
        assert labels == expected[given, 0].tolist(), name
        return
    if output.targets is not None:
        given = ~np.isnan(got[:, 0])
        assert given.mean() > 0.5, name
        for target, indices, wanted in zip(output.targets, got[given].T, expected[given].T, strict=True):
            assert [target[int(index)] for index in indices] == wanted.tolist(), name
        return
    expected = np.where(np.isinf(expected.astype(np.float64)), np.nan, expected.astype(np.float64))
    if exact:
        np.testing.assert_array_equal(got, expected, err_msg=name)
    else:
        np.testing.assert_allclose(got, expected, rtol=rtol, err_msg=name)
