"""A compiled model that is wrong in one place, however little, is never deployed: the parity gate refuses it."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, SplineTransformer, StandardScaler
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from pgscore.compiler import ir
from pgscore.compiler.artifact import Strategy
from pgscore.compiler.frontends import to_program
from pgscore.errors import ParityError
from pgscore.procedures import deploy as deploying
from pgscore.procedures.connection import connect
from tests.support.customers import EVERYTHING, NUMBERS, NUMBERS_MISSING, TEXTS, customers
from tests.support.databases import copied, template
from tests.support.models import churn_pipeline
from tests.support.runtime import plpython_template
from tests.support.servers import Server
from tests.support.tiny import loaded

Values = npt.NDArray[Any]
Mutation = Callable[[ir.Program], ir.Program]

NUDGE = 1 + 1e-6
COLUMNS = dict.fromkeys(NUMBERS_MISSING, "double precision") | dict.fromkeys([*TEXTS, "payment"], "text")


@pytest.fixture(scope="module")
def connection18(server18: Server) -> Iterator[Any]:
    with copied(server18, template(server18)) as dsn:
        yield from _with_customers(dsn)


@pytest.fixture(scope="module")
def connection15(server15: Server, runtime_folder: Path) -> Iterator[Any]:
    with copied(server15, plpython_template(server15, runtime_folder)) as dsn:
        yield from _with_customers(dsn)


def _with_customers(dsn: str) -> Iterator[Any]:
    connection = connect(dsn)
    with connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE customers ({', '.join(f'{name} {type_}' for name, type_ in COLUMNS.items())})")
        rows = customers()[list(COLUMNS)].to_csv(index=False, header=False)
        cursor.copy_expert("COPY customers FROM STDIN (FORMAT csv)", io.StringIO(rows))
    yield connection
    connection.close()


# One change of a program. Numbers move by a millionth, thresholds by one bit.


def node(kind: type[ir.Node], change: Callable[[Any], ir.Node], number: int = 0) -> Mutation:
    """Changes the node of this kind that comes at this place among its like."""

    def mutate(program: ir.Program) -> ir.Program:
        position = [i for i, found in enumerate(program.nodes) if type(found) is kind][number]
        nodes = list(program.nodes)
        nodes[position] = change(nodes[position])
        return replace(program, nodes=tuple(nodes))

    return mutate


def nudged(values: Values, at: int | tuple[int, ...] = 0, by: float = NUDGE) -> Values:
    """The array with one element other than before: times `by`, or `by` itself where it is 0."""
    moved = np.array(values)
    place = np.unravel_index(at, moved.shape) if isinstance(at, int) else at
    moved[place] = moved[place] * by if moved[place] else by
    return moved


def field(kind: type[ir.Node], name: str, number: int = 0, by: float = NUDGE) -> Mutation:
    """Moves the largest number of an array of a node."""

    def change(found: Any) -> ir.Node:
        values = getattr(found, name)
        changed: ir.Node = replace(found, **{name: nudged(values, int(np.abs(values).argmax()), by)})
        return changed

    return node(kind, change, number)


def tree(name: str, change: Callable[[Values, Values], Values]) -> Mutation:
    """Changes an array of a forest, given also its features (-1 for a leaf)."""

    def of(found: Any) -> ir.Node:
        forest = found.forest
        return replace(found, forest=replace(forest, **{name: change(getattr(forest, name), forest.feature)}))

    return node(ir.Trees, of)


def _threshold(values: Values, feature: Values) -> Values:
    moved = np.array(values)
    first = np.flatnonzero(feature >= 0)[0]
    moved[first] = math.nextafter(moved[first], math.inf)
    return moved


def _leaf(values: Values, feature: Values) -> Values:
    leaves = np.flatnonzero(feature < 0)
    return nudged(values, (int(leaves[np.abs(values[leaves, 0]).argmax()]), 0))


def _other_way(values: Values, feature: Values) -> Values:
    turned = np.array(values)
    turned[np.flatnonzero(feature >= 0)[0]] ^= True
    return turned


def _category(found: ir.Codes) -> ir.Codes:
    first, *others = found.categories
    return replace(found, categories=(f"{first} ", *others))


def _swapped(found: ir.Codes) -> ir.Codes:
    first, second, *others = found.categories
    return replace(found, categories=(second, first, *others))


def _knot(found: ir.Piecewise) -> ir.Piecewise:
    return replace(found, knots=nudged(found.knots, len(found.knots) // 2, 1.1))


def _classes(program: ir.Program) -> ir.Program:
    outputs = tuple(replace(o, labels=o.labels[::-1]) if o.labels else o for o in program.outputs)
    return replace(program, outputs=outputs)


def _probabilities(program: ir.Program) -> ir.Program:
    """The first two classes change places, in the probabilities alone."""

    def swapped(output: ir.Output) -> ir.Output:
        first, second, *others = output.columns
        return replace(output, columns=(second, first, *others))

    is_proba = [o.method is ir.Method.PREDICT_PROBA for o in program.outputs]
    outputs = tuple(swapped(o) if here else o for o, here in zip(program.outputs, is_proba, strict=True))
    return replace(program, outputs=outputs)


CHURN = churn_pipeline(LogisticRegression(max_iter=500))
TREE = DecisionTreeClassifier(max_depth=4, random_state=0)
REGRESSION_TREE = DecisionTreeRegressor(max_depth=4, random_state=0)
BOOSTED = GradientBoostingRegressor(n_estimators=5, max_depth=2, random_state=0)
ORDINAL = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
SPLINE = make_pipeline(SplineTransformer(n_knots=4), Ridge())
NETWORK = make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(4,), max_iter=200, random_state=0))
VECTORS = make_pipeline(StandardScaler(), SVR(C=10))
KNN = KNeighborsRegressor(3)
STAIRCASE = make_pipeline(ColumnTransformer([("one", "passthrough", [1])]), IsotonicRegression(out_of_bounds="clip"))
CLUSTERS = KMeans(3, n_init=1, random_state=0)
MULTINOMIAL = LogisticRegression(max_iter=500)

# name: (model, its columns, its target, the change)
MUTATIONS: dict[str, tuple[Any, list[str], str | None, Mutation]] = {
    "threshold": (TREE, NUMBERS, "churn", tree("threshold", _threshold)),
    "threshold of a regressor": (REGRESSION_TREE, NUMBERS, "amount", tree("threshold", _threshold)),
    "threshold of an ensemble": (BOOSTED, NUMBERS, "amount", tree("threshold", _threshold)),
    "leaf": (REGRESSION_TREE, NUMBERS, "amount", tree("value", _leaf)),
    "leaf of an ensemble": (BOOSTED, NUMBERS, "amount", tree("value", _leaf)),
    "way of a missing value": (REGRESSION_TREE, NUMBERS_MISSING, "amount", tree("missing_left", _other_way)),
    "weight": (CHURN, EVERYTHING, "churn", field(ir.Affine, "weights")),
    "intercept": (CHURN, EVERYTHING, "churn", field(ir.Affine, "bias")),
    "weight of one class": (MULTINOMIAL, NUMBERS, "tier", field(ir.Affine, "weights")),
    "fill": (CHURN, EVERYTHING, "churn", field(ir.Impute, "fill", by=1.001)),
    "text that fills": (CHURN, EVERYTHING, "churn", node(ir.FillText, lambda n: replace(n, fill=("", *n.fill[1:])))),
    "centre": (CHURN, EVERYTHING, "churn", field(ir.Standardize, "center")),
    "scale": (CHURN, EVERYTHING, "churn", field(ir.Standardize, "scale")),
    "category": (CHURN, EVERYTHING, "churn", node(ir.Codes, _category)),
    "two categories": (CHURN, EVERYTHING, "churn", node(ir.Codes, _swapped)),
    "categories of an encoder": (ORDINAL, TEXTS, None, node(ir.Codes, _swapped)),
    "group": (
        OneHotEncoder(handle_unknown="ignore"), TEXTS, None,
        node(ir.OneHot, lambda n: replace(n, groups=((*n.groups[0], 1.0), *n.groups[1:]))),
    ),
    "class order": (CHURN, EVERYTHING, "churn", _classes),
    "class order of three": (MULTINOMIAL, NUMBERS, "tier", _classes),
    "order of probabilities": (MULTINOMIAL, NUMBERS, "tier", _probabilities),
    "class order of a tree": (TREE, NUMBERS, "churn", _classes),
    "knot": (SPLINE, NUMBERS, "amount", node(ir.Piecewise, _knot, 2)),
    "coefficient of a spline": (SPLINE, NUMBERS, "amount", field(ir.Piecewise, "coefficients")),
    "step of a staircase": (STAIRCASE, NUMBERS, "amount", field(ir.Piecewise, "knots", by=1.001)),
    "weight of a network": (NETWORK, NUMBERS, "amount", field(ir.Affine, "weights")),
    "support vector": (VECTORS, NUMBERS, "amount", field(ir.Kernel, "points", by=1.001)),
    "weight of a support vector": (VECTORS, NUMBERS, "amount", field(ir.Kernel, "weights")),
    "neighbour": (KNN, NUMBERS, "amount", field(ir.Neighbors, "points", by=1.1)),
    "value of a neighbour": (KNN, NUMBERS, "amount", field(ir.Neighbors, "values")),
    "centre of a cluster": (CLUSTERS, NUMBERS, None, field(ir.Affine, "weights", by=1.05)),
    "variance": (GaussianNB(), NUMBERS, "churn", field(ir.Affine, "weights")),
}  # fmt: skip


def refuses(connection: Any, name: str, strategy: Strategy | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deploys the model as it is, then with one change: only the first passes the gate, and nothing is left."""
    estimator, columns, target, mutate = MUTATIONS[name]
    frame = customers()
    model = clone(estimator).fit(frame[columns], None if target is None else frame[target])

    def run() -> deploying.Deployment:
        return deploying.deploy(connection, loaded(model), name="m", table="customers", strategy=strategy, dry_run=True)

    assert run().report.passed
    program = mutate(to_program(model))
    monkeypatch.setattr(deploying, "to_program", lambda _: program)
    with pytest.raises(ParityError, match="parity fails"):
        run()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pgscore.versions")
        assert cursor.fetchone() == (0,)


@pytest.mark.parametrize("name", MUTATIONS)
def test_sql_with_one_change_is_refused(connection18: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refuses(connection18, name, None, monkeypatch)


@pytest.mark.parametrize("name", ["threshold", "weight", "two categories", "class order of three"])
def test_a_graph_with_one_change_is_refused(connection15: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refuses(connection15, name, Strategy.ONNX, monkeypatch)
