"""The benchmarks with few rows: they run, and each way to score gives the model's own answer."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import deploying, newest, scaling
from benchmarks.__main__ import run
from benchmarks.cases import ours
from benchmarks.data import store, synthetic
from benchmarks.models import MODELS, fitted
from benchmarks.report import printed
from benchmarks.servers import Place
from benchmarks.suite import Effort, OtherAnswer, Runner

from .support.servers import Server

TINY = Effort(rows=2000, rounds=1, repeats=3, query_seconds=0.05, job_seconds=0.2, whole=False)
ALWAYS = {"scan", "naive ETL", "best ETL"}
PLPYTHON = {
    "pgscore onnx",
    "pgscore onnx, batches",
    "pgscore onnx, refresh",
    "pgscore onnx, refresh --jobs 2",
    "onnxruntime alone",
    "joblib in PL/Python",
    "joblib in PL/Python, batches",
}


@pytest.fixture
def place(with_plpython: str) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="pgscore-bench-") as folder:
        Path(folder).chmod(0o755)  # the server reads it
        yield Place(with_plpython, Path(folder), True, "PostgreSQL 15")


# A model each for plpgsql and for SQL with texts; `python -m benchmarks --quick` runs all.
@pytest.mark.parametrize("name", ["lightgbm 100", "one-hot logistic"])
def test_each_way_gives_the_models_own_answer(
    place: Place, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(place, TINY, [name], tmp_path)
    cases = {figures.case: figures for figures in found.figures}
    assert cases.keys() >= ALWAYS | PLPYTHON
    assert {"pgscore sql", "pgscore plpgsql"} & cases.keys()
    assert {f.off for f in cases.values() if f.case != "scan" and not f.case.startswith("orbital")} == {0}
    assert all(f.bulk or f.job for f in cases.values())
    assert bool(found.goals) == (name == "lightgbm 100")
    assert all(goal.measured for goal in found.goals if "orbital" not in goal.what)
    printed(found)
    table, shown = (tmp_path / "table.md").read_text("utf-8"), capsys.readouterr().out
    assert all(case in table and case in shown for case in cases)


def test_without_plpython(installed18: str, tmp_path: Path) -> None:
    found = run(Place(installed18, tmp_path, False, "PostgreSQL 18"), TINY, ["logistic"], tmp_path)
    assert {f.case for f in found.figures} >= ALWAYS | {"pgscore sql", "pgscore sql, refresh"}
    assert "ONNX and joblib in PL/Python" in found.left_out[0]


def test_the_newest_server() -> None:
    table = newest.measured(TINY)
    assert [row[:2] for row in table.rows if "orbital" not in str(row[0])] == [
        ["bulk SQL, over the scan", "logistic"],
        ["refresh, quicker than the best ETL", "logistic"],
        ["bulk SQL, over the scan", "tree d8"],
        ["refresh, quicker than the best ETL", "tree d8"],
        ["one row, over reading it", "logistic"],
    ]


def test_deploys(installed18: str, tmp_path: Path) -> None:
    found = deploying.measured(Place(installed18, tmp_path, False, "PostgreSQL 18"), 500, 3, 2)
    for forest, row in zip(deploying.FORESTS, found.rows, strict=True):
        cells = dict(zip(found.header, row, strict=True))
        assert (cells["forest"], cells["splits"], cells["PL/Python"], cells["reached"]) == (forest, 9, "no", "yes")
        assert cells["answer"].startswith("sql (compile ")
        assert cells["client MB"] > 50
        assert cells["server process MB"] > 5


def test_another_answer_is_no_result(installed18: str, tmp_path: Path) -> None:
    place, data = Place(installed18, tmp_path, False, "PostgreSQL 18"), synthetic(2000)
    store(place, data)
    scored, asked = (fitted(name, MODELS[name], data) for name in ("tree d8", "logistic"))
    query = ours(place, scored)[0]
    with contextlib.closing(place.connect()) as connection, connection.cursor() as cursor:
        assert Runner(place, scored, TINY, cursor).check(query, data.name) == 0
        with pytest.raises(OtherAnswer, match="logistic, pgscore sql: 2000 of 2000 rows have another score"):
            Runner(place, asked, TINY, cursor).check(query, data.name)


def test_processor_time(server18: Server, tmp_path: Path) -> None:
    """Of the server's processes, not the time that passes."""
    postmaster = int((server18.data / "postmaster.pid").read_text("ascii").split()[0])
    place = Place(server18.dsn(), tmp_path, False, "PostgreSQL 18", postmaster)
    with contextlib.closing(place.connect()) as connection, connection.cursor() as cursor:
        asleep = place.seconds(lambda: cursor.execute("SELECT pg_sleep(0.5)"))
        busy = place.seconds(lambda: cursor.execute("SELECT sum(n) FROM generate_series(1, 1000000) AS n"))
    assert 0 <= asleep < 0.4
    assert busy > 0


def test_scaling(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "TREES", (2,))
    data = synthetic(2000)
    store(place, data)
    rows, trees = scaling.against_rows(place, data, TINY), scaling.against_trees(place, data, TINY)
    assert {line.name for line in rows} == {
        "logistic, pgscore sql", "logistic, pgscore sql, refresh", "lightgbm 100, pgscore onnx, batches",
    }  # fmt: skip
    assert all(line.sizes == [20, 200, 2000, 20_000] for line in rows)
    assert {line.name for line in trees} == {"without PL/Python", "ONNX batches"}
    scaling.plotted(rows, trees, tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").stat().st_size > 10_000
