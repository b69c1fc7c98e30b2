"""Fitted models end to end: scikit-learn's own answers against PostgreSQL's, for every estimator and each strategy."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import psycopg2
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from pgscore.compiler import ir
from pgscore.compiler.artifact import Artifact, Function, Parameter, SqlType, Strategy
from pgscore.compiler.backends import numpy as reference
from pgscore.compiler.build import build, default_parameters
from pgscore.compiler.frontends import to_program
from pgscore.compiler.oracle import method_of
from tests.support import programs, sqlrun
from tests.support.customers import customers
from tests.support.databases import copied
from tests.support.example import Example
from tests.support.models import all_examples, churn_pipeline
from tests.support.point_programs import strategies

EXAMPLES = all_examples()
EXACT_RESULTS = ("integer", "text[]", "boolean[]", "bigint[]")
"""Types of results that are labels or numbers of classes."""
Columns = Mapping[str, Sequence[object]]


@pytest.fixture(scope="module", params=["server15", "server18"])
def connection(request: pytest.FixtureRequest) -> Iterator[Any]:
    with copied(request.getfixturevalue(request.param)) as dsn:
        connection = psycopg2.connect(dsn)
        yield connection
        connection.close()


def to_columns(program: ir.Program, frame: pd.DataFrame) -> dict[str, list[object]]:
    """The frame as SQL's values: a missing number is now NULL, now NaN; a missing text is NULL."""
    positions = {str(name): position for position, name in enumerate(frame.columns)}
    columns: dict[str, list[object]] = {}
    for column in program.columns:
        at = positions[column.name] if column.name in positions else int(column.name[1:])
        number = column.dtype is ir.Dtype.NUMBER
        columns[column.name] = [
            (float("nan") if number and row % 2 else None) if value is None or value != value
            else float(value) if number else value
            for row, value in enumerate(frame.iloc[:, at].tolist())
        ]  # fmt: skip
    return columns


def as_learned(program: ir.Program, frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with the marker for missing texts that the model learned: SQL has one, scikit-learn two."""
    frame = frame.copy()
    for column in program.columns:
        if column.name in frame and frame[column.name].dtype == object:
            marker = None if column.none else np.nan
            values = [marker if v is None or v != v else v for v in frame[column.name]]
            frame[column.name] = pd.Series(values, index=frame.index, dtype=object)
    return frame


@dataclass(frozen=True)
class Case:
    """A model with its artifact for each strategy, rows as SQL's values, and scikit-learn's answers by suffix.

    Answers are None where the model refuses the row; tests/compiler/frontends hold the refusals against scikit-learn.
    """

    example: Example
    artifacts: tuple[Artifact, ...]
    columns: Columns
    answers: Mapping[str, list[Any]]


def prepare(example: Example, parameters: Sequence[Parameter] = (), columns: Columns | None = None) -> Case:
    program = to_program(example.estimator)
    frame = as_learned(program, example.frame)
    columns = columns or to_columns(program, frame)
    parameters = parameters or default_parameters(program)
    artifacts = tuple(build(program, parameters, strategy=strategy) for strategy in strategies(program))
    outputs = np.concatenate(list(reference.evaluate(program, programs.as_arrays(program, columns)).values()), axis=1)
    rows = np.flatnonzero(~np.isnan(outputs).all(axis=1))
    assert len(rows) > 0
    answers: dict[str, list[Any]] = {}
    for function in artifacts[0].functions:
        found: list[Any] = [None] * len(frame)
        for row, answer in zip(
            rows.tolist(), model_answers(example.estimator, function, frame.iloc[rows]), strict=True
        ):
            found[row] = answer
        answers[function.suffix] = found
    return Case(example, artifacts, columns, answers)


@cache
def prepared(name: str) -> Case:
    return prepare(EXAMPLES[name]())


def model_answers(model: Any, function: Function, frame: pd.DataFrame) -> list[Any]:
    """What the method that the function names gives for these rows."""
    method, _, column = function.method.removeprefix("hstack(").partition("(X)")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        values = method_of(model, method)(frame if hasattr(model, "feature_names_in_") else frame.to_numpy())
    values = np.hstack(values) if isinstance(values, list) else values
    values = values.toarray() if hasattr(values, "toarray") else np.asarray(values)
    if values.ndim == 2 and values.shape[1] == 1 and not function.result.endswith("[]"):  # CatBoost's labels
        values = values[:, 0]
    found: list[Any] = (values[:, 1] if column == "[:, 1]" else values).tolist()
    return found


def compare(connection: Any, case: Case) -> None:
    for artifact in case.artifacts:
        try:
            got = sqlrun.run(connection, artifact, case.columns)
        finally:
            connection.rollback()
        for function in artifact.functions:
            pairs = zip(got[function.suffix], case.answers[function.suffix], strict=True)
            for row, (found, wanted) in enumerate(pairs):
                where = f"{function.suffix!r}, row {row}: { {name: v[row] for name, v in case.columns.items()} }"
                if wanted is None:
                    assert is_nothing(found), where
                elif function.labels is not None or function.result in EXACT_RESULTS:
                    assert found == wanted, where
                else:
                    same_numbers(found, wanted, case, row, where)


def same_numbers(found: Any, wanted: Any, case: Case, row: int, where: str) -> None:
    numbers = np.atleast_1d(np.array(wanted, dtype=float)).ravel()
    if found is None:
        assert not np.isfinite(numbers).any() or programs.too_large(case.columns, row), where
        return
    exact = case.example.exact
    np.testing.assert_allclose(
        np.atleast_1d(np.array(found, dtype=float)),
        np.where(np.isfinite(numbers), numbers, np.nan),
        rtol=0 if exact else max(1e-11, case.artifacts[0].tolerance if case.artifacts[0].approximation else 0),
        atol=1e-290 if exact else 1e-15,
        err_msg=where,
    )


def is_nothing(found: object) -> bool:
    return found is None or (isinstance(found, list) and all(value is None for value in found))


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_answers_as_the_model(connection: Any, name: str) -> None:
    case = prepared(name)
    wanted = [strategy.value for strategy in strategies(to_program(case.example.estimator))]
    assert [artifact.functions[0].language for artifact in case.artifacts] == wanted
    compare(connection, case)


TYPES = {
    "tenure": SqlType.INTEGER,
    "visits": SqlType.BIGINT,
    "senior": SqlType.BOOLEAN,
    "monthly": SqlType.DOUBLE,
    "total": SqlType.DOUBLE,
}
PYTHON: dict[SqlType, type] = {SqlType.INTEGER: int, SqlType.BIGINT: int, SqlType.BOOLEAN: bool, SqlType.DOUBLE: float}
MIXED = ["tenure", "monthly", "total", "contract", "city", "payment"]


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (HistGradientBoostingClassifier(max_iter=8, min_samples_leaf=5), list(TYPES)),
        (RandomForestClassifier(10, max_depth=6, random_state=0), list(TYPES)),
        (churn_pipeline(LogisticRegression(max_iter=300)), MIXED),
        (churn_pipeline(RandomForestClassifier(5, random_state=0), scale=False), MIXED),
    ],
    ids=["boosting", "forest", "pipeline", "pipeline-forest"],
)
def test_typed_columns_answer_as_the_model(connection: Any, model: Any, names: list[str]) -> None:
    """integer, bigint and boolean columns, which are compared without casts."""
    frame = customers()[names]
    example = Example(model.fit(frame, customers()["churn"]), frame)
    program = to_program(model)
    parameters = [Parameter(c.name, TYPES.get(c.name, SqlType.TEXT)) for c in program.columns]
    columns = {
        p.name: [None if v is None or v != v else PYTHON.get(p.type, str)(v) for v in frame[p.name]] for p in parameters
    }
    compare(connection, prepare(example, parameters, columns))


def test_a_scaler_before_trees_decides_bit_for_bit(connection: Any) -> None:
    """Values on and next to each threshold, mapped back through the scaler."""
    rng = np.random.default_rng(0)
    train = pd.DataFrame(rng.normal(50, 20, (300, 2)).round(1), columns=["a", "b"])
    target = np.where(train.a + train.b * rng.random(300) > 80, "yes", "no")
    model = make_pipeline(StandardScaler(), RandomForestClassifier(15, random_state=0)).fit(train, target)
    program = to_program(model)
    probes = build(program, default_parameters(program)).probes
    near = np.array([v for name in ("a", "b") for v in probes[name]], dtype=float)
    near = np.concatenate([near, np.nextafter(near, np.inf), np.nextafter(near, -np.inf)])
    compare(connection, prepare(Example(model, pd.DataFrame({"a": near, "b": near[::-1]}), exact=True)))


@pytest.mark.parametrize(
    "name",
    [
        "Pipeline-churn",
        "ColumnTransformer-mixed",
        "OneHotEncoder-text",
        "OneHotEncoder-infrequent",
        "OrdinalEncoder-unknown",
    ],
)
def test_features_in_sql_feed_the_graph(connection: Any, name: str) -> None:
    """What SQL computes from text, and the columns of numbers, give the graph's answers; refused rows stay refused."""
    example = EXAMPLES[name]()
    program = to_program(example.estimator)
    columns = to_columns(program, as_learned(program, example.frame))
    graph = build(program, default_parameters(program), strategy=Strategy.ONNX).onnx
    assert graph is not None
    features = ", ".join(f.render(lambda i: f"c{i}") for f in graph.features)
    source = ", ".join(f"%s::{p.type.value}[]" for p in default_parameters(program))
    names = ", ".join(f"c{i}" for i in range(len(program.columns)))
    with connection.cursor() as cursor:
        arrays = [columns[c.name] for c in program.columns]
        cursor.execute(
            f"SELECT ARRAY[{features}]::float8[] FROM unnest({source}) WITH ORDINALITY AS t({names}, n) ORDER BY n",
            arrays,
        )
        rows = np.array([row[0] for row in cursor.fetchall()], dtype=float)
    session = onnxruntime.InferenceSession(graph.content, providers=["CPUExecutionProvider"])
    (got,) = session.run(["outputs"], {"features": rows})
    used = reference.evaluate(program, programs.as_arrays(program, columns))
    want = np.concatenate([v for m, v in used.items() if m is not ir.Method.DECISION_FUNCTION], axis=1)
    np.testing.assert_allclose(got, np.where(np.isfinite(want), want, np.nan), rtol=1e-12, atol=1e-15)


def _decides_as_its_columns(member: Any, target: Any) -> Any:
    """A linear model of three columns whose decision for each class is the column itself."""
    model = member.fit(np.eye(3)[target], target)
    model.coef_, model.intercept_ = np.eye(3), np.zeros(3)
    return model


def _hopeless(name: str) -> Any:
    """A classifier of three classes, each of whose probabilities is the logistic function of a column."""
    rows = np.eye(3)[[0, 1, 2] * 4]
    if name == "stochastic":
        return _decides_as_its_columns(SGDClassifier(loss="log_loss", random_state=0), np.arange(12) % 3)
    if name == "one against the rest":
        model = OneVsRestClassifier(LogisticRegression()).fit(rows, np.arange(12) % 3)
        for member, coefficients in zip(model.estimators_, np.eye(3), strict=True):
            member.coef_, member.intercept_ = coefficients[np.newaxis], np.zeros(1)
        return model
    inner = FrozenEstimator(_decides_as_its_columns(LinearSVC(), np.arange(12) % 3))
    model = CalibratedClassifierCV(inner, cv=2).fit(rows, np.arange(12) % 3)
    for calibrator in model.calibrated_classifiers_[0].calibrators:
        calibrator.a_, calibrator.b_ = -1.0, 0.0
    return model


@pytest.mark.parametrize("name", ["stochastic", "one against the rest", "calibrated"])
def test_classes_that_are_all_but_impossible(connection: Any, name: str) -> None:
    """All decisions are far below 0: scikit-learn's logistic function is 0 below -709.78, and its sum divides."""
    decisions = [
        *([-700.0, -2000.0, -3000.0], [-690.0, -700.0, -1e6], [-709.0, -711.0, -720.0], [-709.9, -710.5, -740.0]),
        *([-1e4, -1e5, -1e6], [-650.0, -651.0, -649.0], [-1.0, -2.0, -1e9], [-708.5, -708.5, -2e3]),
    ]
    frame = pd.DataFrame(decisions, columns=["x0", "x1", "x2"])
    compare(connection, prepare(Example(_hopeless(name), frame)))
