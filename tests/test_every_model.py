"""Every example model, deployed for real: the gate holds the database's answers against the model's own.

By turns on PostgreSQL 15 through ONNX in PL/Python, and on 18 with the SQL or plpgsql that `auto` chooses; every fifth
also on 15 with SQL beside a graph. Here the whole way is run, from table to report. That each strategy gives the right
numbers for each example is tested in compiler/backends/test_sql_models.py, on both servers, and test_onnx_models.py.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pgscore.compiler import ir
from pgscore.compiler.artifact import Artifact, Strategy, Use
from pgscore.compiler.frontends import to_program
from pgscore.procedures.connection import connect
from pgscore.procedures.deploy import deploy
from pgscore.quoting import ident

from .support.databases import copied, template
from .support.models import all_examples
from .support.runtime import plpython_template
from .support.servers import Server
from .support.tiny import THREE_WAYS, loaded

EXAMPLES = all_examples()


@pytest.fixture(scope="module")
def connection18(server18: Server) -> Iterator[Any]:
    with copied(server18, template(server18)) as dsn:
        connection = connect(dsn)
        yield connection
        connection.close()


@pytest.fixture(scope="module")
def connection15(server15: Server, runtime_folder: Path) -> Iterator[Any]:
    with copied(server15, plpython_template(server15, runtime_folder)) as dsn:
        connection = connect(dsn)
        yield connection
        connection.close()


@pytest.mark.parametrize("name", list(EXAMPLES)[::2])
def test_the_gate_passes_with_sql(connection18: Any, name: str) -> None:
    deployed(connection18, name, None)


@pytest.mark.parametrize("name", list(EXAMPLES)[1::2])
def test_the_gate_passes_with_onnx(connection15: Any, name: str) -> None:
    deployed(connection15, name, Strategy.ONNX)


@pytest.mark.parametrize("name", list(EXAMPLES)[::5])
def test_the_gate_passes_with_both(connection15: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("pgscore.procedures.deploy.read_costs", lambda _: THREE_WAYS)
    artifact = deployed(connection15, name, None)
    assert artifact.strategy is Strategy.ONNX or artifact.uses[Use.ONE] is Strategy.ONNX


def deployed(connection: Any, name: str, strategy: Strategy | None) -> Artifact:
    """Deploys the example for a table of its rows, and checks the report; nothing stays."""
    example = EXAMPLES[name]()
    program = to_program(example.estimator)
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS public.example CASCADE")
        cursor.execute(f"CREATE TABLE public.example ({columns_of(program)})")
        cursor.copy_expert("COPY public.example FROM STDIN (FORMAT csv)", io.StringIO(rows_of(program, example.frame)))
    connection.commit()
    deployment = deploy(
        connection, loaded(example.estimator), name="example", table="public.example", strategy=strategy, dry_run=True
    )
    report = deployment.report
    assert report is not None
    assert report.passed
    assert report.real_rows == len(example.frame)
    assert report.rows > report.refused_rows
    assert {f.suffix for f in deployment.artifact.functions} == set(report.functions)
    limit = 0.0 if example.exact and deployment.artifact.kind is not ir.ModelKind.TRANSFORMER else 1e-12
    limit = program.tolerance if program.approximation else limit
    assert report.max_difference <= limit
    return deployment.artifact


def columns_of(program: ir.Program) -> str:
    types = {ir.Dtype.TEXT: "text", ir.Dtype.NUMBER: "double precision"}
    return ", ".join(["row_number integer", *(f"{ident(c.name)} {types[c.dtype]}" for c in program.columns)])


def rows_of(program: ir.Program, frame: pd.DataFrame) -> str:
    """The rows as CSV: a missing value is NULL, which an empty text is not."""
    at = {str(name): position for position, name in enumerate(frame.columns)}
    chosen = [at[c.name] if c.name in at else int(c.name[1:]) for c in program.columns]
    lines = []
    for number, row in enumerate(frame.itertuples(index=False)):
        cells = [str(number)]
        for column, position in zip(program.columns, chosen, strict=True):
            value = row[position]
            if value is None or value != value:
                cells.append("")
            elif column.dtype is ir.Dtype.TEXT:
                cells.append('"' + str(value).replace('"', '""') + '"')
            else:
                cells.append(repr(float(value)))
        lines.append(",".join(cells))
    return "\n".join(lines) + "\n"
