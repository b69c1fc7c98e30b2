"""From program to artifact: which functions there are, in which language, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest

from pgscore.compiler import ir
from pgscore.compiler.artifact import OnnxGraph, Parameter, SqlType, Strategy, Use
from pgscore.compiler.build import build, default_parameters
from pgscore.compiler.frontends import to_program
from pgscore.compiler.ir import Method, ModelKind, Output
from pgscore.compiler.strategy import MAX_PLANNING, estimates, measure
from pgscore.errors import SignatureError, UnsupportedError
from tests.support.models import all_examples
from tests.support.programs import N, T, block, inputs, program

EXAMPLES = all_examples()


def compiled(name: str, strategy: Strategy | None = None) -> Any:
    p = to_program(EXAMPLES[name]().estimator)
    return build(p, default_parameters(p), strategy=strategy)


@pytest.mark.parametrize(
    ("name", "functions"),
    [
        ("Pipeline-amount", [("", "predict(X)", "double precision")]),
        (
            "Pipeline-churn",
            [
                ("", "predict_proba(X)[:, 1]", "double precision"),
                ("label", "predict(X)", "text"),
                ("proba", "predict_proba(X)", "double precision[]"),
            ],
        ),
        (
            "LogisticRegression-int",
            [
                ("", "predict(X)", "bigint"),
                ("label", "predict(X)", "bigint"),
                ("proba", "predict_proba(X)", "double precision[]"),
            ],
        ),
        (
            "SGDClassifier-hinge",
            [
                ("", "predict(X)", "text"),
                ("label", "predict(X)", "text"),
                ("decision", "decision_function(X)", "double precision"),
            ],
        ),
        (
            "SGDClassifier-hinge-multiclass",
            [
                ("", "predict(X)", "text"),
                ("label", "predict(X)", "text"),
                ("decision", "decision_function(X)", "double precision[]"),
            ],
        ),
        ("KMeans-default", [("", "predict(X)", "integer"), ("distance", "distance(X)", "double precision")]),
        ("StandardScaler-default", [("", "transform(X)", "double precision[]")]),
    ],
)
@pytest.mark.parametrize("strategy", list(Strategy))
def test_a_model_has_the_functions_to_warm_its_kind(
    name: str, functions: list[tuple[str, str, str]], strategy: Strategy
) -> None:
    artifact = compiled(name, strategy)
    assert [(f.suffix, f.method, f.result) for f in artifact.functions] == functions
    assert artifact.strategy is strategy


@pytest.mark.parametrize("name", ["Pipeline-churn", "Pipeline-tiers", "KMeans-default", "ColumnTransformer-mixed"])
def test_outputs_are_the_columns_of_the_graph(name: str) -> None:
    artifact = compiled(name, Strategy.ONNX)
    graph = artifact.onnx
    session = onnxruntime.InferenceSession(graph.content, providers=["CPUExecutionProvider"])
    (row,) = session.run(["outputs"], {"features": np.zeros((1, len(graph.features)))})[0]
    assert len(row) == graph.n_outputs
    assert sorted({i for f in artifact.functions for i in f.outputs}) == list(range(graph.n_outputs))
    suffixes = {f.suffix: f for f in artifact.functions}
    if "proba" in suffixes:
        assert row[list(suffixes["proba"].outputs)].sum() == pytest.approx(1)
        if artifact.kind is ModelKind.BINARY_CLASSIFIER:
            assert suffixes[""].outputs == suffixes["proba"].outputs[1:]


def test_an_onnx_function_is_made_of_the_outputs_of_the_graph() -> None:
    artifact = compiled("Pipeline-churn", Strategy.ONNX)
    main, label, proba = (f.body.text.replace(OnnxGraph.OUTPUTS.text, "outputs") for f in artifact.functions)
    assert main == "(outputs)[3]"
    assert label == "CASE ((outputs)[1])::integer WHEN 0 THEN 'no' WHEN 1 THEN 'yes' END"
    assert proba == "nullif((outputs)[2:3], ARRAY[NULL, NULL]::float8[])"
    features = artifact.onnx.row.render([p.name for p in artifact.parameters].__getitem__)
    assert features.startswith("ARRAY[coalesce(")
    assert "CASE coalesce(city, 'Paris')" in features


def test_the_main_function_may_be_sql_where_another_is_plpgsql() -> None:
    """Probabilities of 40 classes repeat all scores for each class; the label does not."""
    p = program(
        [N] * 8,
        ir.Check(inputs(8), -9.0, 9.0),
        ir.Affine(block(8, 8), np.random.default_rng(0).normal(size=(40, 8)), np.zeros(40)),
        ir.Softmax(block(9, 40)),
        ir.ArgMax(block(9, 40)),
        outputs=(
            Output(Method.PREDICT, block(11, 1), tuple(range(40))),
            Output(Method.PREDICT_PROBA, block(10, 40)),
        ),
        kind=ModelKind.MULTICLASS_CLASSIFIER,
    )
    artifact = build(p, default_parameters(p), available=frozenset({Strategy.SQL, Strategy.PLPGSQL}))
    languages = {f.suffix: f.language for f in artifact.functions}
    assert languages == {"": "sql", "label": "sql", "proba": "plpgsql", "one": "plpgsql"}
    assert artifact.strategy is Strategy.SQL


def test_a_body_that_takes_long_to_plan_is_not_inlined() -> None:
    """The largest of n scores of 8 columns: each score is written twice, 90 of them are 90,000 characters."""
    languages, reasons = [], []
    for n in (40, 90):
        p = program(
            [N] * 8,
            ir.Check(inputs(8), -9.0, 9.0),
            ir.Affine(block(8, 8), np.random.default_rng(0).normal(size=(n, 8)), np.zeros(n)),
            ir.ArgMax(block(9, n)),
            outputs=(Output(Method.PREDICT, block(10, 1), tuple(range(n))),),
            kind=ModelKind.MULTICLASS_CLASSIFIER,
        )
        assert estimates(measure(p))[Use.QUERY][Strategy.SQL].start < MAX_PLANNING
        artifact = build(p, default_parameters(p), available=frozenset({Strategy.SQL, Strategy.PLPGSQL}))
        languages.append(artifact.functions[0].language)
        reasons.append(artifact.reason)
    assert languages == ["sql", "plpgsql"]
    assert "1.3 ms of planning a query" in reasons[0]


def deep(layers: int) -> ir.Program:
    """Layers of sums, each of which reads all of the layer before: one expression would double with each."""
    nodes: list[ir.Node] = [ir.Check(inputs(2), -1.0, 1.0)]
    for layer in range(layers):
        nodes.append(ir.Affine(block(2 + 2 * layer, 2), np.array([[0.3, -0.2], [0.1, 0.4]]), np.ones(2)))
        nodes.append(ir.Sigmoid(block(3 + 2 * layer, 2)))
    out = Output(Method.PREDICT, block(len(nodes) + 1, 1))
    return program([N, N], *nodes, outputs=(out,), kind=ModelKind.REGRESSOR)


def test_an_expression_that_would_explode_becomes_plpgsql() -> None:
    p = deep(40)
    artifact = build(p, default_parameters(p))
    assert artifact.strategy is Strategy.PLPGSQL
    assert artifact.functions[0].language == "plpgsql"
    assert "repeat large terms" in artifact.reason
    assert len(artifact.functions[0].body.text) < 50_000


def test_an_expression_that_would_explode_is_refused_when_asked_for() -> None:
    p = deep(40)
    with pytest.raises(UnsupportedError, match="use --strategy plpgsql"):
        build(p, default_parameters(p), strategy=Strategy.SQL)


def test_parameters_must_fit_the_columns() -> None:
    p = program([N, T], ir.IsMissing(inputs(2)))
    with pytest.raises(SignatureError, match="takes 2 columns"):
        build(p, default_parameters(p)[:1])
    with pytest.raises(SignatureError, match="'x1' holds text in the model, but integer here"):
        build(p, [Parameter("x0", SqlType.DOUBLE), Parameter("x1", SqlType.INTEGER)])


def test_labels_of_two_types_are_refused() -> None:
    output = Output(Method.PREDICT, block(1, 1), ("a", 1))
    p = program([N], ir.Step(inputs(1)), outputs=(output,), kind=ModelKind.BINARY_CLASSIFIER)
    with pytest.raises(UnsupportedError, match="one SQL type"):
        build(p, default_parameters(p))


@pytest.mark.parametrize("label", ["nul\0", 2**63])
def test_a_label_that_postgresql_cannot_hold_is_refused(label: ir.Label) -> None:
    output = Output(Method.PREDICT, block(1, 1), (label, type(label)()))
    p = program([N], ir.Step(inputs(1)), outputs=(output,), kind=ModelKind.BINARY_CLASSIFIER)
    with pytest.raises(UnsupportedError, match="rename the class"):
        build(p, default_parameters(p))


def test_an_artifact_says_what_it_was_made_from() -> None:
    p = to_program(EXAMPLES["Pipeline-churn"]().estimator)
    artifact = build(
        p, default_parameters(p), estimator="Pipeline(…)", model_sha256="ab", libraries={"scikit-learn": "1.9.1"}
    )
    assert (artifact.estimator, artifact.model_sha256) == ("Pipeline(…)", "ab")
    assert artifact.libraries == {"scikit-learn": "1.9.1"}
    assert artifact.probes["contract"] == ("monthly", "one year", "two years")
    assert artifact.sha256 == build(p, default_parameters(p)).sha256


def test_a_function_that_takes_too_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "RandomForestClassifier-three"
    length = max(len(function.body.text) for function in compiled(name, Strategy.PLPGSQL).functions)
    monkeypatch.setattr("pgscore.compiler.build.MAX_MEMORY", 50 * length)
    compiled(name, Strategy.PLPGSQL)
    monkeypatch.setattr("pgscore.compiler.build.MAX_MEMORY", 50 * length - 1)
    with pytest.raises(UnsupportedError, match="MB of a session; use --strategy onnx"):
        compiled(name, Strategy.PLPGSQL)
