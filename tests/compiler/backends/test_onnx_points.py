"""Kernels, neighbours and coupled probabilities through onnxruntime, held against the reference interpreter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

from pgscore.compiler import ir
from pgscore.compiler.backends import onnx as backend

from ...support import point_programs, programs

Values = npt.NDArray[np.float64]

ALL = {
    f"{kind.__name__}-{name}": p for kind, group in point_programs.POINT_PROGRAMS.items() for name, p in group.items()
}


def scorer(program: ir.Program) -> Callable[[Values], Values]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(backend.export(program), options, providers=["CPUExecutionProvider"])
    return lambda x: np.asarray(session.run(None, {"features": x})[0])


@pytest.mark.parametrize("name", ALL)
def test_gives_what_the_reference_gives(name: str) -> None:
    program = ALL[name]
    columns = programs.hard_columns(program, rows=1500)
    features = np.column_stack(list(programs.as_arrays(program, columns).values()))
    got = scorer(program)(features)
    # The terms of each sum are about 1, and may cancel.
    np.testing.assert_allclose(got, programs.expected(program, columns), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", ["Kernel-chunks", "Neighbors-chunks", "Kernel-many-wide", "CouplePairwise-3"])
def test_one_row_gives_what_a_batch_gives(name: str) -> None:
    program = ALL[name]
    x = np.random.default_rng(0).normal(scale=3, size=(700, len(program.columns)))
    run = scorer(program)
    batch = run(x)
    np.testing.assert_allclose(np.vstack([run(x[i : i + 1]) for i in range(len(x))]), batch, rtol=1e-13)
    assert run(x[:0]).shape == batch[:0].shape
