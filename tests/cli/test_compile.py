"""`pgscore compile`: a script that psql runs, and a graph that onnxruntime runs; both answer what the model answers."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import onnxruntime
import psycopg2

import pgscore as package

from .conftest import customers, pgscore


def test_the_sql_script_answers_as_the_model(shop: str, files: Path, tmp_path: Path) -> None:
    script = tmp_path / "logistic.sql"
    assert pgscore("compile", files / "logistic.skops", "--to", "sql", "-o", script).code == 0
    model = package.load_model(files / "logistic.skops").estimator
    frame = customers()
    expected = model.predict_proba(frame.drop(columns="customer_id"))[:, 1]
    with contextlib.closing(psycopg2.connect(shop)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("\n".join(line for line in script.read_text().splitlines() if not line.startswith("\\")))
        call = "logistic(tenure => tenure, charges => charges, plan => plan)"
        cursor.execute(f"SELECT {call} FROM customers ORDER BY customer_id")
        answers = np.array([row[0] for row in cursor.fetchall()])
    np.testing.assert_allclose(answers, expected, rtol=1e-12)


def test_without_a_file_it_goes_to_stdout(files: Path, tmp_path: Path) -> None:
    script = tmp_path / "logistic.sql"
    assert pgscore("compile", files / "logistic.skops", "--to", "sql", "-o", script).code == 0
    assert pgscore("compile", files / "logistic.skops", "--to", "sql").out == script.read_text()


def test_a_dba_can_follow_the_sql(files: Path) -> None:
    """It says where it comes from, what each function equals and of which class; the columns have their names."""
    script = pgscore("compile", files / "logistic.skops", "--to", "sql").out
    head, _, rest = script.partition("BEGIN;")
    assert "-- Pipeline(" in head
    assert "from logistic.skops (sha256 " in head
    assert "NULL means that the model refuses the row" in head
    assert "-- predict_proba(X)[:, 1]: the probability of 'yes'\nCREATE FUNCTION" in rest
    assert "-- predict_proba(X): the probabilities of 'no', 'yes'\nCREATE FUNCTION" in rest
    assert "-- predict(X)\nCREATE FUNCTION" in rest
    assert all(f'"{name}"' in rest for name in ("tenure", "charges", "plan"))
    assert max(map(len, rest.splitlines())) < 160


def test_the_onnx_graph_runs(files: Path, tmp_path: Path) -> None:
    graph = tmp_path / "forest.onnx"
    assert pgscore("compile", files / "forest.skops", "--to", "onnx", "-o", graph).code == 0
    session = onnxruntime.InferenceSession(graph.read_bytes())
    (features,) = session.get_inputs()
    assert features.name == "features"
    assert [output.name for output in session.get_outputs()] == ["outputs"]


def test_an_output_that_cannot_be_written(files: Path, tmp_path: Path) -> None:
    outcome = pgscore("compile", files / "logistic.skops", "--to", "sql", "-o", tmp_path / "no" / "such" / "folder")
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
