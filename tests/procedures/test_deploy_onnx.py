"""ONNX files and estimators through skl2onnx, deployed: on 15 as the graph they are, on 18 in SQL or refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import NeighborhoodComponentsAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pgscore.cli.app import app
from pgscore.compiler.artifact import Strategy
from pgscore.compiler.load import load_model
from pgscore.errors import UnsupportedError
from pgscore.procedures.deploy import deploy
from pgscore.procedures.lifecycle import show
from pgscore.procedures.verify import verify

from ..cli.conftest import pgscore
from ..support.onnx_models import converted
from ..support.tiny import loaded, opened, query

ROWS = np.random.default_rng(5).normal(size=(200, 3)) * [1.0, 20.0, 3.0]
LABELS = np.array(["gold", "it's", "bronze"])[(ROWS[:, 0] > 0).astype(int) + (ROWS[:, 1] > 10)]
AMOUNT = ROWS[:, 0] * 3 + ROWS[:, 2]


def table(connection: Any) -> None:
    """A table of the rows, under the names that a tensor X of three columns gives."""
    with connection.cursor() as cursor:
        cursor.execute('CREATE TABLE public.t (id int, "X_0" float8, "X_1" float8, "X_2" float8)')
        values = ",".join(f"({index}, {a!r}, {b!r}, {c!r})" for index, (a, b, c) in enumerate(ROWS.tolist()))
        cursor.execute(f"INSERT INTO public.t VALUES {values}, ({len(ROWS)}, NULL, 1, 'Infinity')")
    connection.commit()


@pytest.fixture
def with_onnx(with_plpython: str) -> Iterator[Any]:
    with opened(with_plpython) as connection:
        table(connection)
        yield connection


@pytest.fixture
def without_onnx(installed18: str) -> Iterator[Any]:
    with opened(installed18) as connection:
        table(connection)
        yield connection


def written(folder: Path, content: bytes) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(content)
    return path


def classifier(*, single: bool) -> bytes:
    return converted(make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, LABELS), 3, single=single)


def forest() -> bytes:
    """Trees behind a scaler in float32, which SQL cannot follow."""
    model = make_pipeline(StandardScaler(), RandomForestClassifier(5, max_depth=4, random_state=0)).fit(ROWS, LABELS)
    return converted(model, 3, single=True)


@pytest.mark.parametrize("content", [classifier(single=True), forest()], ids=["linear", "forest"])
def test_on_15_the_graph_runs_as_it_is(with_onnx: Any, tmp_path: Path, content: bytes) -> None:
    model = load_model(written(tmp_path, content))
    done = deploy(with_onnx, model, name="tier", table="t")
    assert (done.artifact.strategy, done.report.passed, done.report.tolerance) == (Strategy.ONNX, True, 1e-9)
    assert done.report.max_difference == 0
    found = query(with_onnx, "SELECT score.tier_label(t), score.tier_proba(t) FROM t ORDER BY id")
    assert found[-1] == (None, None)
    assert [row[0] for row in found[:-1]] == model.estimator.predict(ROWS).tolist()
    np.testing.assert_array_equal([row[1] for row in found[:-1]], model.estimator.predict_proba(ROWS))  # not a digit
    assert verify(with_onnx, "tier").passed


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        (
            "array_fill(0.0::float8, ARRAY[cardinality(features) / 3])",
            r"main function .* differs in [\d,]+ rows of a batch",
        ),
        (
            "array_fill(1 / (cardinality(features) - cardinality(features)), ARRAY[1])",
            "raises SQLSTATE 22012 .* in a batch",
        ),
    ],
    ids=["another answer", "an error"],
)
def test_the_gate_asks_in_batches_too(with_onnx: Any, answers: str, says: str) -> None:
    """As a refresh does."""
    model = loaded(LinearRegression().fit(pd.DataFrame(ROWS, columns=["X_0", "X_1", "X_2"]), AMOUNT))
    deploy(with_onnx, model, name="amount", table="t", strategy=Strategy.ONNX)
    assert verify(with_onnx, "amount").passed
    with with_onnx, with_onnx.cursor() as cursor:
        cursor.execute(
            "CREATE OR REPLACE FUNCTION score.amount_v1_outputs(features float8[], output integer) RETURNS float8[]"
            f" LANGUAGE plpgsql IMMUTABLE STRICT AS $$ BEGIN RETURN {answers}; END $$"
        )
    report = verify(with_onnx, "amount")
    assert not report.passed
    assert re.search(says, report.summary())


@pytest.mark.parametrize("single", [False, True])
def test_on_18_a_graph_becomes_sql(without_onnx: Any, tmp_path: Path, single: bool) -> None:
    model = load_model(written(tmp_path, classifier(single=single)))
    done = deploy(without_onnx, model, name="tier", table="t")
    assert done.artifact.strategy is not Strategy.ONNX
    assert done.report.passed
    found = query(without_onnx, "SELECT score.tier_label(t), score.tier_proba(t) FROM t ORDER BY id")
    assert [row[0] for row in found[:-1]] == model.estimator.predict(ROWS).tolist()
    proba = model.estimator.predict_proba(ROWS)
    np.testing.assert_allclose([row[1] for row in found[:-1]], proba, rtol=1e-4 if single else 1e-10)
    assert found[-1] == (None, None)
    told = show(without_onnx, "tier").parity
    assert told["notes"] == (["within 1.0e-05: the graph computes in float32, SQL in double"] if single else [])
    assert told["tolerance"] == (1e-5 if single else 1e-9)


def test_on_18_a_graph_without_sql_says_what_to_do(without_onnx: Any, tmp_path: Path) -> None:
    model = load_model(written(tmp_path, forest()))
    with pytest.raises(UnsupportedError, match=r"trees read numbers that were computed in float32.*--plpython"):
        deploy(without_onnx, model, name="tier", table="t")


def test_both_ways_on_15_give_the_same(with_onnx: Any, tmp_path: Path) -> None:
    model = load_model(written(tmp_path, converted(LinearRegression().fit(ROWS, AMOUNT), 3)))
    deploy(with_onnx, model, name="amount_sql", table="t", strategy=Strategy.SQL)
    deploy(with_onnx, model, name="amount_onnx", table="t", strategy=Strategy.ONNX)
    found = query(with_onnx, "SELECT score.amount_sql(t), score.amount_onnx(t) FROM t ORDER BY id LIMIT 200")
    np.testing.assert_allclose(*np.array(found, dtype=np.float64).T, rtol=1e-12)


def test_whole_numbers_and_several_tensors(with_onnx: Any, tmp_path: Path) -> None:
    """Of a column of doubles, a tensor of whole numbers refuses what is none."""
    content = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 15]>
        graph (int64[rows, 1] visits, float[rows, 1] spent, bool[rows] flag) => (float[rows, 1] y)
        <int64[1] axis = {1}>
        { n = Cast <to = 1> (visits) b = Cast <to = 1> (flag) c = Unsqueeze(b, axis) s = Erf(spent)
          t = Mul(n, s) y = Add(t, c) }"""
    ).SerializeToString()
    with with_onnx.cursor() as cursor:
        cursor.execute("CREATE TABLE visits (visits float8, spent float8, flag boolean)")
        cursor.execute("INSERT INTO visits VALUES (2, 0.5, true), (2.5, 0.5, true), (NULL, 1, false), (3, 1, NULL)")
    with_onnx.commit()
    model = load_model(written(tmp_path, content))
    assert deploy(with_onnx, model, name="v", table="visits").report.passed
    ((first,), *others) = query(with_onnx, "SELECT score.v(v) FROM visits v")
    assert first == model.estimator.predict(np.array([[2, 0.5, 1]]))[0]
    assert others == [(None,)] * 3


def through_skl2onnx() -> Any:
    """A step that pgscore has no frontend for, and one that it has."""
    steps = NeighborhoodComponentsAnalysis(2, max_iter=5, random_state=0), LogisticRegression()
    frame = pd.DataFrame(ROWS, columns=["X_0", "X_1", "X_2"])
    return loaded(make_pipeline(*steps).fit(frame, LABELS))


def test_an_estimator_through_skl2onnx(with_onnx: Any) -> None:
    model = through_skl2onnx()
    done = deploy(with_onnx, model, name="tier", table="t")
    assert (done.artifact.strategy, done.report.passed) == (Strategy.ONNX, True)
    (note,) = show(with_onnx, "tier").parity["notes"]
    assert re.fullmatch(
        r"within 1\.0e-09: NeighborhoodComponentsAnalysis goes through skl2onnx: measured difference \d\.\de[-+]\d\d",
        note,
    )
    assert note in done.report.summary()


def test_an_estimator_through_skl2onnx_needs_plpython(without_onnx: Any) -> None:
    with pytest.raises(UnsupportedError, match=r"NeighborhoodComponentsAnalysis has no form in SQL.*--plpython"):
        deploy(without_onnx, through_skl2onnx(), name="tier", table="t")


def test_from_the_shell(with_onnx: Any, with_plpython: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert app is not None
    monkeypatch.setenv("PGSCORE_DSN", with_plpython)
    path = written(tmp_path, forest())
    deployed = json.loads(pgscore("deploy", path, "--as", "tier", "--table", "t", "--json").out)
    assert (deployed["strategy"], deployed["parity"]["passed"]) == ("onnx", True)
    assert deployed["estimator"].startswith("ONNX graph(Scaler, TreeEnsembleClassifier")
    assert pgscore("verify", "tier", "--model", path).code == 0
    checked = pgscore("check", path)
    assert checked.code == 0
    assert "onnx" in checked.out
    bad = written(tmp_path, path.read_bytes()[:-40])
    refused = pgscore("deploy", bad, "--as", "tier", "--table", "t")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "model.onnx cannot be deployed" in refused.err


def test_a_graph_as_it_is_answers_for_the_rows_of_a_condition(with_onnx: Any, tmp_path: Path) -> None:
    model = load_model(written(tmp_path, classifier(single=True)))
    where = '"X_0" > 0 AND "X_1" BETWEEN -20 AND 20'
    done = deploy(with_onnx, model, name="m", table="t", where=where)
    assert (done.artifact.strategy, done.report.passed) == (Strategy.ONNX, True)
    deploy(with_onnx, model, name="all", table="t")
    inside = (ROWS[:, 0] > 0) & (np.abs(ROWS[:, 1]) <= 20)
    found = query(with_onnx, "SELECT score.m_proba(t), score.all_proba(t) FROM t WHERE id < 200 ORDER BY id")
    assert [some for some, _ in found] == [row if flag else None for (_, row), flag in zip(found, inside, strict=True)]
