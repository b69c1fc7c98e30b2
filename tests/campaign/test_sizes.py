"""Models that are large in one respect: they compile, run, and leave the server its memory.

How quick they are is printed by `make bench`; no time decides here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg2
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from pgscore.compiler.artifact import Artifact, SqlType, Strategy
from pgscore.compiler.build import build, default_parameters
from pgscore.compiler.frontends import to_program
from tests.support import sqlrun
from tests.support.databases import copied
from tests.support.servers import Server

MEGABYTE = 2**20
N_CATEGORIES = 10_000


def numbers(rows: int = 600, columns: int = 20) -> tuple[Any, Any]:
    """Numbers, and classes that depend on them."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(rows, columns))
    return x, x @ rng.normal(size=columns) + rng.normal(size=rows) > 0


def many_trees() -> Any:
    x, y = numbers(200, 4)
    return GradientBoostingRegressor(n_estimators=3000, max_depth=2, random_state=0).fit(x, x[:, 0] + y)


def forest() -> Any:
    return RandomForestClassifier(100, max_depth=10, random_state=0).fit(*numbers(2000))


def network(*layers: int) -> Any:
    model = make_pipeline(StandardScaler(), MLPClassifier(hidden_layer_sizes=layers, max_iter=10, random_state=0))
    return model.fit(*numbers())


def many_categories() -> Any:
    codes = np.arange(2 * N_CATEGORIES) % N_CATEGORIES
    frame = pd.DataFrame({"name": np.array([f"category {code}" for code in codes], dtype=object)})
    encode = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["name"]))
    return make_pipeline(encode, Ridge()).fit(frame, np.sin(codes))


def vectors() -> Any:
    return SVC().fit(*numbers(500))


def neighbours() -> Any:
    return KNeighborsClassifier().fit(*numbers(400))


WORST: dict[str, Callable[[], Any]] = {
    "3,000 trees": many_trees,
    "a forest of 100 trees": forest,
    "10,000 categories": many_categories,
    "a network of 24 and 12": lambda: network(24, 12),
    "a network of 100": lambda: network(100),
    "support vectors": vectors,
    "neighbours": neighbours,
}


@pytest.fixture(params=["server15", "server18"])
def connection(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A server process of its own for each test: its memory is measured."""
    server: Server = request.getfixturevalue(request.param)
    with copied(server) as dsn:
        connection = psycopg2.connect(dsn, options="-c jit=off")
        yield connection
        connection.close()


def peak(connection: Any) -> float:
    """The most memory that the server process has had, in MB."""
    status = Path(f"/proc/{connection.info.backend_pid}/status").read_text("utf-8")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def without_plpython(model: Any) -> Artifact:
    program = to_program(model)
    available = frozenset({Strategy.SQL, Strategy.PLPGSQL})
    return build(program, default_parameters(program), available=available)


def rows(model: Any, artifact: Artifact) -> dict[str, list[Any]]:
    """Some rows to score: numbers, or names of which the last is unknown."""
    rng = np.random.default_rng(4)
    return {
        p.name: ["category 0", "category 9999", "nothing"] if p.type is SqlType.TEXT else rng.normal(size=3).tolist()
        for p in artifact.parameters
    }


@pytest.mark.parametrize("name", WORST)
def test_planning_and_running_stay_under_512_mb(connection: Any, name: str) -> None:
    """All functions of the model in one query, twice, in the process that has created them."""
    model = WORST[name]()
    artifact = without_plpython(model)
    columns = rows(model, artifact)
    sqlrun.create(connection, artifact)
    found = sqlrun.evaluate(connection, artifact, columns)
    assert sqlrun.evaluate(connection, artifact, columns) == found
    assert peak(connection) < 512
    given = list(columns.values())
    frame = pd.DataFrame({"name": given[0]}) if name == "10,000 categories" else np.column_stack(given)
    function = artifact.functions[0]
    expected = model.predict_proba(frame)[:, 1] if function.method.startswith("predict_proba") else model.predict(frame)
    if expected.dtype == np.float64:
        np.testing.assert_allclose(found[function.suffix], expected, rtol=1e-11)
    else:
        assert found[function.suffix] == expected.tolist()


def test_a_sum_of_3000_trees_is_a_graph_too() -> None:
    program = to_program(many_trees())
    artifact = build(program, default_parameters(program), strategy=Strategy.ONNX)
    assert len(artifact.onnx.content) < 2 * MEGABYTE


def test_10000_categories_stay_small() -> None:
    """A row finds its category by a search, not by 10,000 comparisons; the text is not much more than the names."""
    artifact = without_plpython(many_categories())
    assert sum(len(function.body.text) for function in artifact.functions) < 2 * MEGABYTE


def test_a_network_of_100_is_under_a_megabyte_of_sql() -> None:
    artifact = without_plpython(network(100))
    assert sum(len(function.body.text) for function in artifact.functions) < MEGABYTE
