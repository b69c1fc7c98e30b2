"""The oracle gives what the model's own predict gives to a user's own Python, row by row, and None where it raises."""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelBinarizer, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from pgscore.compiler import ir
from pgscore.compiler import oracle as oracle_module
from pgscore.compiler.artifact import Function, Parameter, SqlType, Strategy, Template
from pgscore.compiler.frontends import to_program
from pgscore.compiler.oracle import Oracle
from pgscore.errors import UsageError

PREDICT = ("", "predict(X)", "double precision")
PROBA = ("", "predict_proba(X)[:, 1]", "double precision")
LABEL = ("label", "predict(X)", "text")
ALL = ("proba", "predict_proba(X)", "double precision[]")


def functions(*given: tuple[str, str, str]) -> list[Function]:
    return [Function(suffix, method, result, "sql", Template(""), ()) for suffix, method, result in given]


def parameters(**types: SqlType) -> list[Parameter]:
    return [Parameter(name, type_) for name, type_ in types.items()]


def alone(model: Any, method: str, frame: pd.DataFrame) -> list[Any]:
    """The reference: each row on its own, None where the model raises."""
    found: list[Any] = []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for row in range(len(frame)):
            try:
                found.append(getattr(model, method)(frame.iloc[[row]])[0])
            except ValueError:
                found.append(None)
    return found


def same(found: Sequence[Any], expected: Sequence[Any]) -> None:
    """Equal up to the last digit or two: a matrix product rounds one row otherwise than many."""
    assert [f is None for f in found] == [e is None for e in expected]
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, rel=1e-13) if isinstance(other, float) else one == other


@pytest.fixture(scope="module")
def customers() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    n = 300
    return pd.DataFrame(
        {
            "tenure": rng.integers(0, 70, n),
            "charge": rng.normal(50, 20, n),
            "plan": rng.choice(["basic", "gold", "it's"], n),
            "senior": rng.random(n) < 0.4,
            "note": rng.choice(["a", "b"], n),
        }
    )


@pytest.fixture(scope="module")
def churn(customers: pd.DataFrame) -> pd.Series[str]:
    return pd.Series(np.where((customers.tenure < 20) | (customers.plan == "gold"), "yes", "no"))


def test_a_pipeline_by_column_names_answers_as_for_its_own_frame(customers: pd.DataFrame, churn: Any) -> None:
    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    steps = make_column_transformer(
        (numbers, ["tenure", "charge"]), (OneHotEncoder(handle_unknown="ignore"), ["plan"]), ("passthrough", ["senior"])
    )
    model = make_pipeline(steps, LogisticRegression()).fit(customers, churn)
    types = parameters(
        plan=SqlType.TEXT, charge=SqlType.DOUBLE, tenure=SqlType.INTEGER, senior=SqlType.BOOLEAN
    )  # another order than the model's, and without the column that it drops
    rows = {
        "tenure": [1, 60, None, 7, 7, 7, 7],
        "charge": [1.5, None, math.nan, math.inf, 1e300, 5e-324, 20.0],
        "plan": ["gold", None, "never seen", "it's", "basic", "", "gold"],
        "senior": [True, False, True, False, True, False, None],
    }
    oracle = Oracle(model, types, functions(PROBA, LABEL, ALL))

    answers = oracle.answers(rows)

    frame = pd.DataFrame(rows).astype({"tenure": float, "charge": float}).assign(note="a")
    frame["senior"] = frame["senior"].astype(float)
    expected = alone(model, "predict_proba", frame)
    same(answers[""], [None if p is None else float(p[1]) for p in expected])
    same(answers["label"], alone(model, "predict", frame))
    assert [row is None for row in answers["proba"]] == [p is None for p in expected]
    assert answers[""][3] is None, "the model refuses infinity"
    assert answers[""][6] is None, "and a missing boolean that it passes through"
    assert sum(answer is None for answer in answers[""]) == 2
    assert all(type(label) is str for label in answers["label"] if label is not None)


def test_only_refused_rows_have_no_answer(churn: Any, customers: pd.DataFrame) -> None:
    frame = customers[["tenure", "charge"]]
    model = LogisticRegression().fit(frame, churn)
    types = parameters(tenure=SqlType.INTEGER, charge=SqlType.DOUBLE)
    rows = {"tenure": [i % 70 for i in range(500)], "charge": [float(i) for i in range(500)]}
    bad = {3: None, 77: math.nan, 78: math.inf, 400: None}
    rows["charge"] = [bad.get(i, value) for i, value in enumerate(rows["charge"])]

    answers = Oracle(model, types, functions(PROBA)).answers(rows)[""]

    assert [i for i, answer in enumerate(answers) if answer is None] == sorted(bad)
    good = [i for i in range(500) if i not in bad]
    expected = model.predict_proba(pd.DataFrame(rows).iloc[good].astype({"charge": float}))[:, 1]
    np.testing.assert_allclose([answers[i] for i in good], expected, rtol=1e-13)


def test_many_refused_rows_cost_few_calls(churn: Any, customers: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    answer_for = LogisticRegression.predict_proba

    def counting(self: Any, rows: Any) -> Any:
        calls.append(len(rows))
        return answer_for(self, rows)

    monkeypatch.setattr(LogisticRegression, "predict_proba", counting)
    model = LogisticRegression().fit(customers[["tenure", "charge"]], churn)
    types = parameters(tenure=SqlType.INTEGER, charge=SqlType.DOUBLE)
    rows = {"tenure": [5] * 2000, "charge": [None if i % 2 else float(i % 90) for i in range(2000)]}

    oracle = Oracle(model, types, functions(PROBA))
    answers = oracle.answers(rows)[""]

    assert [answer is None for answer in answers] == [i % 2 == 1 for i in range(2000)]
    assert 0 < len(calls) < 20
    calls.clear()
    assert oracle.answers(rows)[""] == answers
    assert len(calls) == 1, "what a gap does to a row is known"


def test_an_unseen_category_refuses_its_row_alone(customers: pd.DataFrame, churn: Any) -> None:
    model = make_pipeline(make_column_transformer((OneHotEncoder(), ["plan"])), DecisionTreeClassifier())
    model.fit(customers[["plan"]], churn)
    oracle = Oracle(model, parameters(plan=SqlType.TEXT), functions(LABEL))
    answers = oracle.answers({"plan": ["gold", "new", "basic", None, "", "gold"]})["label"]
    assert [answer is None for answer in answers] == [False, True, False, True, True, False]


def test_a_tree_refuses_what_float32_cannot_hold(customers: pd.DataFrame) -> None:
    model = DecisionTreeRegressor(max_depth=3).fit(customers[["charge"]], customers.tenure)
    oracle = Oracle(model, parameters(charge=SqlType.DOUBLE), functions(PREDICT))
    values = [1.0, 3.5e38, 3.4028235e38, -1e300, None, math.nan, -0.0]
    same(oracle.answers({"charge": values})[""], alone(model, "predict", pd.DataFrame({"charge": values}, dtype=float)))
    assert [answer is None for answer in oracle.answers({"charge": values})[""]][:4] == [False, True, False, True]


@pytest.mark.parametrize("gap", [None, math.nan])
def test_a_missing_text_is_what_the_encoder_learned(gap: float | None, churn: Any) -> None:
    plans = pd.DataFrame({"plan": pd.Series(["a", "b", gap] * 100, dtype=object)})
    target = np.arange(300) % 3 == 2
    model = make_pipeline(OneHotEncoder(handle_unknown="error"), LogisticRegression()).fit(plans, target)
    oracle = Oracle(model, parameters(plan=SqlType.TEXT), functions(PROBA))
    expected = model.predict_proba(plans[:3])[:, 1]
    np.testing.assert_allclose(oracle.answers({"plan": ["a", "b", None]})[""], expected, rtol=1e-13)
    assert expected[2] > 0.9


def test_an_imputer_of_none_gets_none(churn: Any) -> None:
    plans = pd.DataFrame({"plan": pd.Series(["a", "b", None] * 100, dtype=object)})
    imputer = SimpleImputer(missing_values=None, strategy="constant", fill_value="b")
    model = make_pipeline(imputer, OneHotEncoder(), LogisticRegression()).fit(plans, churn)
    oracle = Oracle(model, parameters(plan=SqlType.TEXT), functions(PROBA))
    answers = oracle.answers({"plan": ["a", "b", None]})[""]
    assert answers[1] == answers[2] is not None
    assert answers[0] != answers[1]


def test_a_model_of_an_array_takes_x0_x1(customers: pd.DataFrame) -> None:
    values = customers[["tenure", "charge"]].to_numpy()
    model = KMeans(3, random_state=0, n_init=1).fit(values)
    types = parameters(x1=SqlType.DOUBLE, x0=SqlType.INTEGER)
    found = Oracle(model, types, functions(("", "predict(X)", "integer"))).answers(
        {"x0": customers.tenure.tolist(), "x1": customers.charge.tolist()}
    )[""]
    assert found == model.predict(values).tolist()
    assert all(type(cluster) is int for cluster in found)


def test_text_in_an_array(churn: Any, customers: pd.DataFrame) -> None:
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    model.fit(customers[["plan", "note"]].to_numpy(dtype=object), churn)
    oracle = Oracle(model, parameters(x0=SqlType.TEXT, x1=SqlType.TEXT), functions(PROBA))
    rows = np.array([["gold", "a"], ["new", "b"]], dtype=object)
    np.testing.assert_allclose(
        oracle.answers({"x0": ["gold", "new"], "x1": ["a", "b"]})[""], model.predict_proba(rows)[:, 1], rtol=1e-13
    )


def test_transform_gives_rows_and_none_for_what_is_missing() -> None:
    model = make_pipeline(StandardScaler()).fit(np.array([[0.0, 1.0], [2.0, 5.0]]))
    oracle = Oracle(
        model, parameters(x0=SqlType.DOUBLE, x1=SqlType.DOUBLE), functions(("", "transform(X)", "double precision[]"))
    )
    answers = oracle.answers({"x0": [2.0, None, None], "x1": [3.0, 1.0, math.nan]})[""]
    assert answers == [[1.0, 0.0], [None, -1.0], None]


def test_a_sparse_result_is_an_array() -> None:
    model = OneHotEncoder().fit(np.array([["a"], ["b"]], dtype=object))
    oracle = Oracle(model, parameters(x0=SqlType.TEXT), functions(("", "transform(X)", "double precision[]")))
    assert oracle.answers({"x0": ["b", "c"]})[""] == [[0.0, 1.0], None]


def test_a_number_beyond_a_double_is_no_answer() -> None:
    model = LinearRegression().fit(np.array([[0.0], [1.0]]), np.array([0.0, 1e9]))
    oracle = Oracle(model, parameters(x0=SqlType.DOUBLE), functions(PREDICT))
    answers = oracle.answers({"x0": [1.0, 1e305, -1e305, 1e290]})[""]
    assert [answer is None for answer in answers] == [False, True, True, False]


def test_nothing_is_asked_twice_nor_what_leaves_the_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    predict = LinearRegression.predict

    def counting(self: Any, rows: Any) -> Any:
        calls.append(len(rows))
        return predict(self, rows)

    monkeypatch.setattr(LinearRegression, "predict", counting)
    model = LinearRegression().fit(np.array([[0.0], [1.0]]), np.array([0.0, 1e9]))
    oracle = Oracle(model, parameters(x0=SqlType.DOUBLE), functions(PREDICT))
    answers = oracle.answers({"x0": [1.0, 2.0, *[1e305] * 50]})[""]
    assert [answer is None for answer in answers] == [False] * 2 + [True] * 50
    assert calls == [2]


def test_a_label_behind_an_infinite_decision_is_no_answer() -> None:
    model = SGDClassifier(random_state=0).fit(np.array([[0.0], [1e9], [2e9]]), ["a", "b", "b"])
    model.coef_ = np.array([[1e10]])
    oracle = Oracle(
        model, parameters(x0=SqlType.DOUBLE), functions(LABEL, ("decision", "decision_function(X)", "double precision"))
    )
    answers = oracle.answers({"x0": [1.0, 1e300, 1e290]})
    assert answers["label"] == ["b", None, "b"]
    assert answers["decision"][1] is None


def test_a_method_that_refuses_what_the_first_one_takes_has_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_for = LogisticRegression.predict

    def picky(self: Any, rows: Any) -> Any:
        if (rows > 5).any():
            raise ValueError
        return answer_for(self, rows)

    model = LogisticRegression().fit(np.array([[0.0], [1.0], [9.0]]), ["a", "b", "b"])
    monkeypatch.setattr(LogisticRegression, "predict", picky)
    answers = Oracle(model, parameters(x0=SqlType.DOUBLE), functions(PROBA, LABEL)).answers(
        {"x0": [0.0, 7.0, 1.0, 8.0]}
    )
    assert [label is None for label in answers["label"]] == [False, True, False, True]
    assert all(answer is not None for answer in answers[""])


def test_a_huge_number_may_have_a_label_and_no_probability() -> None:
    """NearestCentroid squares distances in units of the spread for its probabilities, and not for its label."""
    rows = np.column_stack([np.arange(10.0), np.tile([0.0, 1e-3], 5)])
    model = NearestCentroid().fit(rows, np.arange(10) > 4)
    types = parameters(x0=SqlType.DOUBLE, x1=SqlType.DOUBLE)
    oracle = Oracle(model, types, functions(PROBA, LABEL), Strategy.SQL)
    answers = oracle.answers({"x0": [1.0, 1.0, None], "x1": [0.0, 1.7e308, 0.0]})
    assert [answer is None for answer in answers[""]] == [False, True, True]
    assert answers["label"] == [False, model.predict([[1.0, 1.7e308]])[0], None]


def test_sql_refuses_a_little_before_the_end_of_the_doubles() -> None:
    """1e300 times 1e8 is a double; SQL's limit of a sum of two is half of it, whatever the other term.

    A column that two sums read has the limit itself; of one sum the limit is its own.
    """
    targets = np.array([[0.0, 1.0], [1.0, 0.0], [9.0, 2.0]])
    model = LinearRegression().fit(np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 5.0]]), targets)
    model.coef_ = np.array([[1e8, 1.0], [1e8, 2.0]])
    types = parameters(x0=SqlType.DOUBLE, x1=SqlType.DOUBLE)
    function = functions(("", "predict(X)", "double precision[]"))
    rows = {"x0": [1.0, 1e300, 1e290], "x1": [1.0, 1.0, 1.0]}
    assert [a is None for a in Oracle(model, types, function).answers(rows)[""]] == [False, False, False]
    assert [a is None for a in Oracle(model, types, function, Strategy.ONNX).answers(rows)[""]] == [False] * 3
    in_sql = Oracle(model, types, function, Strategy.SQL).answers(rows)[""]
    assert [answer is None for answer in in_sql] == [False, True, False]


def test_only_overflow_makes_the_answer_for_a_huge_number_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that the program refuses for another reason keeps its answer: the gate then sees the difference."""
    model = LinearRegression().fit(np.array([[0.0], [1.0]]), np.array([0.0, 1.0]))
    program = to_program(model)
    nodes = tuple(replace(node, low=-1.0, high=1.0) if isinstance(node, ir.Check) else node for node in program.nodes)
    monkeypatch.setattr(oracle_module, "to_program", lambda _: replace(program, nodes=nodes))
    oracle = Oracle(model, parameters(x0=SqlType.DOUBLE), functions(PREDICT))
    same(oracle.answers({"x0": [0.5, 1e38]})[""], [0.5, 1e38])


def test_a_cosine_without_digits_is_no_answer() -> None:
    model = RBFSampler(n_components=2, random_state=0).fit(np.zeros((1, 1)))
    oracle = Oracle(model, parameters(x0=SqlType.DOUBLE), functions(("", "transform(X)", "double precision[]")))
    assert [answer is None for answer in oracle.answers({"x0": [1.0, 1e30, 1e40]})[""]] == [False, False, True]


def test_labels_are_binarized_one_at_a_time() -> None:
    """Together, an unknown label would bring both of two classes a column of their own."""
    model = LabelBinarizer().fit(["no", "yes"])
    assert model.transform(["no", "yes", "new"]).shape == (3, 2)
    oracle = Oracle(model, parameters(x0=SqlType.TEXT), functions(("", "transform(X)", "double precision[]")))
    assert oracle.answers({"x0": ["no", "yes", "new", None]})[""] == [[0], [1], [0], None]


def test_labels_are_python_values(customers: pd.DataFrame) -> None:
    for target, kind in ((customers.senior, bool), (customers.tenure % 3, int), (customers.tenure % 2 + 0.5, str)):
        labels = target.astype(str) if kind is str else target
        model = RandomForestClassifier(3, random_state=0).fit(customers[["charge"]], labels)
        oracle = Oracle(model, parameters(charge=SqlType.DOUBLE), functions(LABEL))
        found = oracle.answers({"charge": customers.charge.tolist()})["label"]
        assert found == model.predict(customers[["charge"]]).tolist()
        assert {type(label) for label in found} == {kind}


def test_integers_stay_integers_beside_a_gap_elsewhere(customers: pd.DataFrame) -> None:
    """A category 2 and a category 2.0 are one: a gap in one row must not change the answer of another."""
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    model.fit(customers[["tenure"]], customers.senior)
    oracle = Oracle(model, parameters(tenure=SqlType.INTEGER), functions(PROBA))
    assert oracle.answers({"tenure": [5, 7, None]})[""][:2] == oracle.answers({"tenure": [5, 7]})[""]


def test_a_column_that_the_model_does_not_have_is_an_error(customers: pd.DataFrame, churn: Any) -> None:
    model = LogisticRegression().fit(customers[["tenure"]], churn)
    with pytest.raises(ValueError, match="'age'"):
        Oracle(model, parameters(age=SqlType.DOUBLE), functions(PROBA))


def test_a_frame_model_without_pandas_says_what_to_install(
    customers: pd.DataFrame, churn: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = LogisticRegression().fit(customers[["tenure"]], churn)

    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(UsageError, match="pip install pandas"):
        Oracle(model, parameters(tenure=SqlType.INTEGER), functions(PROBA))
