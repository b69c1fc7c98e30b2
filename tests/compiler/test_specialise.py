"""A specialised program: the same numbers for the rows of its condition, from less."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, PolynomialFeatures, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from pgscore.compiler import ir
from pgscore.compiler.artifact import Parameter, SqlType, Strategy
from pgscore.compiler.backends import numpy as reference
from pgscore.compiler.build import build
from pgscore.compiler.frontends import to_program
from pgscore.compiler.ir import Domain
from pgscore.compiler.pruning import prune_forest
from pgscore.compiler.specialise import specialise
from pgscore.compiler.where import parse_where
from pgscore.errors import UsageError

from ..support import programs
from ..support.conditions import around
from .backends.test_sql_models import EXAMPLES, as_learned, to_columns

TYPES = {"region": SqlType.TEXT, "tenure": SqlType.INTEGER, "spend": SqlType.DOUBLE}


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    found = pd.DataFrame(
        {
            "region": rng.choice(["EU", "US", "APAC", "LATAM"], 300),
            "tenure": rng.integers(0, 40, 300),
            "spend": rng.normal(50, 20, 300),
        }
    )
    found.loc[::9, "spend"] = np.nan
    return found


def fitted(model: object, encoder: object) -> ir.Program:
    x = frame()
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    steps = ColumnTransformer([("region", encoder, ["region"]), ("numbers", numbers, ["tenure", "spend"])])
    target = (x.region == "EU") * 3 + x.tenure * 0.1 + x.spend.fillna(50) * 0.02
    return to_program(make_pipeline(steps, model).fit(x, target))


def body(program: ir.Program, where: str | None) -> str:
    """The main function in SQL."""
    parameters = [Parameter(column.name, TYPES[column.name]) for column in program.columns]
    condition = None if where is None else parse_where(where)
    artifact = build(program, parameters, strategy=Strategy.SQL, where=condition)
    return artifact.functions[0].body.render(lambda index: parameters[index].name)


LINEAR = fitted(LinearRegression(), OneHotEncoder(handle_unknown="ignore"))
ORDINAL = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_gives_the_same_inside(name: str) -> None:
    """By the reference, for five conditions each."""
    example = EXAMPLES[name]()
    program = to_program(example.estimator)
    columns = to_columns(program, as_learned(program, example.frame))
    parameters = [
        Parameter(c.name, SqlType.TEXT if c.dtype is ir.Dtype.TEXT else SqlType.DOUBLE) for c in program.columns
    ]
    arrays = programs.as_arrays(program, columns)
    wanted = reference.evaluate(program, arrays)
    answered = np.flatnonzero(~np.isnan(np.concatenate(list(wanted.values()), axis=1)).all(axis=1)).tolist()
    for turn in range(5 if parameters else 0):
        row = answered[turn * 7 % len(answered)]
        condition = around(columns, parameters, row, turn)
        found = reference.evaluate(specialise(program, parse_where(condition.text).domains(parameters)), arrays)
        inside = [r for r in range(len(example.frame)) if condition.holds(columns, r)]
        assert row in inside
        for method, values in wanted.items():
            np.testing.assert_allclose(found[method][inside], values[inside], rtol=1e-11, atol=1e-13)


def test_an_input_of_one_value_goes_into_the_bias() -> None:
    sql = body(LINEAR, "region = 'EU' AND tenure = 12")
    assert sql.count("region") == sql.count("tenure") == 1
    assert sql.count("spend") == 1


def test_all_inputs_of_one_value_leave_a_constant() -> None:
    x = pd.DataFrame({"region": ["US"], "tenure": [3], "spend": [np.nan]})
    wanted = reference.evaluate(LINEAR, {name: x[name].to_numpy() for name in x})[ir.Method.PREDICT][0, 0]
    sql = body(LINEAR, "region = 'US' AND tenure = 3 AND spend IS NULL")
    head, _, value = sql.partition("THEN ")
    assert "spend IS NULL" in head
    assert float(value.split("'")[1]) == pytest.approx(wanted)


def test_categories_that_cannot_occur_go() -> None:
    sql = body(LINEAR, "region IN ('EU', 'US')").partition("THEN")[2]
    assert sql.count("region") == 1
    assert "APAC" not in sql
    assert "'US'" not in sql  # what is not EU is US
    sql = body(LINEAR, "region <> 'EU'").partition("THEN")[2]
    assert "'EU'" not in sql
    assert "LATAM" in sql


def test_what_cannot_be_missing_is_not_imputed() -> None:
    assert "coalesce" in body(LINEAR, None)
    assert body(LINEAR, None).count("coalesce") == body(LINEAR, "tenure IS NOT NULL").count("coalesce") + 1
    assert "coalesce" not in body(LINEAR, "tenure < 99 AND spend < 99")
    # A double that is not NULL may be NaN, which is missing too.
    assert "coalesce" in body(LINEAR, "tenure < 99 AND spend IS NOT NULL")


@pytest.mark.parametrize("encoder", [OneHotEncoder(handle_unknown="ignore"), ORDINAL])
def test_splits_that_are_settled_go(encoder: object) -> None:
    program = fitted(RandomForestRegressor(5, max_depth=6, random_state=0), encoder)
    general, some = body(program, None), body(program, "region = 'EU' AND tenure BETWEEN 10 AND 19")
    assert "region" not in some.partition("THEN")[2]
    assert len(some) < len(general) / 3


def test_equal_leaves_and_unread_features_go() -> None:
    x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    model = DecisionTreeRegressor().fit(x, [1.0, 1.0, 2.0, 3.0])
    program = to_program(model)
    forest = next(node.forest for node in program.nodes if isinstance(node, ir.Trees))
    pruned, used = prune_forest(forest, [Domain(high=0.0, null=False, nan=False), Domain()])
    assert (used, len(pruned.feature), pruned.value[0, 0]) == ([], 1, 1.0)
    pruned, used = prune_forest(forest, [Domain(low=1.0, null=False, nan=False), Domain()])
    assert (used, len(pruned.feature)) == ([1], 3)
    # A missing value may take another way than all others.
    pruned, used = prune_forest(forest, [Domain(low=1.0), Domain()])
    assert 0 in used or not forest.missing_left[0]


def test_a_product_with_a_constant_is_a_weight() -> None:
    x = frame().dropna()[["tenure", "spend"]]
    model = make_pipeline(PolynomialFeatures(2, interaction_only=True), LinearRegression()).fit(x, x.tenure * x.spend)
    specialised = specialise(to_program(model), {0: Domain(3.0, 3.0, (3.0,), null=False, nan=False)})
    assert not any(isinstance(node, ir.Multiply) for node in specialised.nodes)
    found = reference.evaluate(specialised, {"tenure": np.full(5, 3.0), "spend": np.arange(5.0)})[ir.Method.PREDICT]
    wanted = model.predict(pd.DataFrame({"tenure": [3.0] * 5, "spend": np.arange(5.0)}))
    np.testing.assert_allclose(found[:, 0], wanted, rtol=1e-9, atol=1e-9)


def test_a_sum_that_is_kept_stays_so() -> None:
    kept = ir.Affine(programs.inputs(2), np.array([[1.0, -1.0]]), np.zeros(1), kept=True)
    specialised = specialise(
        programs.program([programs.N, programs.N], kept), {0: Domain(3.0, 3.0, (3.0,), null=False, nan=False)}
    )
    (affine,) = (node for node in specialised.nodes if isinstance(node, ir.Affine))
    assert (affine.kept, affine.bias.tolist()) == (True, [3.0])


def test_no_row_that_the_model_answers() -> None:
    model = LinearRegression().fit(frame()[["tenure"]], frame().tenure)
    with pytest.raises(UsageError, match="for no row that the model answers"):
        body(to_program(model), "tenure IS NULL")


def test_the_strategy_is_that_of_what_is_left() -> None:
    program = fitted(RandomForestRegressor(60, random_state=0), ORDINAL)
    parameters = [Parameter(column.name, TYPES[column.name]) for column in program.columns]
    sql = frozenset({Strategy.SQL, Strategy.PLPGSQL})
    assert build(program, parameters, available=sql).strategy is Strategy.PLPGSQL
    where = parse_where("region = 'EU' AND tenure = 7 AND spend BETWEEN 50 AND 51")
    assert build(program, parameters, available=sql, where=where).strategy is Strategy.SQL


def test_a_sum_that_trees_compare_keeps_its_order() -> None:
    """1e16 and -1e16 cancel out first, and 1 is left; added to one of them it would be lost."""
    block = programs.block
    stump = programs.forest(
        roots=[0],
        feature=[0, -1, -1],
        threshold=[0.5, 0.0, 0.0],
        left=[1, 1, 1],
        right=[2, 2, 2],
        missing_left=[False] * 3,
        value=[[0.0], [1.0], [2.0]],
        output=[-1],
        category_set=[-1] * 3,
        category_sets=(),
    )
    program = programs.program(
        [programs.N] * 3,
        ir.Affine(programs.inputs(3), np.array([[1.0, 1.0, 1.0]]), np.zeros(1)),
        ir.Standardize(block(3, 1), np.zeros(1), np.ones(1)),
        ir.Trees(block(4, 1), stump, np.zeros(1)),
        outputs=(ir.Output(ir.Method.PREDICT, block(5, 1)),),
    )
    one = Domain(1.0, 1.0, (1.0,), null=False, nan=False)
    (kept,) = (node for node in specialise(program, {2: one}).nodes if isinstance(node, ir.Affine))
    assert len(kept.inputs) == 3
    assert kept.bias.tolist() == [0.0]
