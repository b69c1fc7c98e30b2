"""The condition of a specialised version: what is understood, what it says of each input, what is refused by name."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgscore.compiler.artifact import Parameter, SqlType
from pgscore.compiler.ir import Domain
from pgscore.compiler.where import parse_where
from pgscore.errors import UsageError

PARAMETERS = (
    Parameter("region", SqlType.TEXT),
    Parameter("tenure", SqlType.INTEGER),
    Parameter("clicks", SqlType.BIGINT),
    Parameter("spend", SqlType.DOUBLE),
    Parameter("active", SqlType.BOOLEAN),
    Parameter("Odd Name", SqlType.DOUBLE),
)
NAMES = ["region", "tenure", "clicks", "spend", "active", '"Odd Name"']


def domain(condition: str) -> Domain:
    (found,) = parse_where(condition).domains(PARAMETERS).values()
    return found


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("region='EU'", "region = 'EU'"),
        ("  region = 'it''s'\nand tenure>=12 ", "region = 'it''s' AND tenure >= 12"),
        ("(region = 'EU') AND ((tenure != 1e3 AND NOT active))", "region = 'EU' AND tenure <> 1E+3 AND NOT active"),
        ("(" * 5000 + "active" + ")" * 5000, "active"),
        ("active and region not in ('a','b')", "active AND region NOT IN ('a', 'b')"),
        ('"Odd Name" between -.5 and +2.', '"Odd Name" BETWEEN -0.5 AND 2'),
        ("spend is not null AND active is not true", "spend IS NOT NULL AND active IS NOT TRUE"),
        ("region = 'back\\slash -- ;'", "region = 'back\\slash -- ;'"),
        ("active = false AND region = ''", "active = FALSE AND region = ''"),
    ],
)
def test_what_is_understood(text: str, canonical: str) -> None:
    where = parse_where(text)
    assert str(where) == canonical
    assert parse_where(canonical) == where


literals = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])).map(
        lambda t: "'" + t.replace("'", "''") + "'"
    ),
    st.floats(-1e300, 1e300).map(repr),
    st.integers(-(10**30), 10**30).map(str),
    st.sampled_from(["TRUE", "false"]),
)
terms = st.one_of(
    st.builds("{} {} {}".format, st.sampled_from(NAMES), st.sampled_from(["=", "<>", "<", "<=", ">", ">="]), literals),
    st.builds("{} BETWEEN {} AND {}".format, st.sampled_from(NAMES), literals, literals),
    st.builds("{} NOT IN ({}, {})".format, st.sampled_from(NAMES), literals, literals),
    st.builds("{} IS {}".format, st.sampled_from(NAMES), st.sampled_from(["NULL", "NOT NULL", "NOT FALSE"])),
    st.sampled_from(["active", "NOT active"]),
)


@given(st.lists(terms, min_size=1).map(" AND ".join))
def test_a_condition_is_read_as_it_is_written(text: str) -> None:
    where = parse_where(text)
    assert parse_where(str(where)) == where


@given(st.text(alphabet="regionactvspd'\"()=<>! ANDORINTSULBEW,.0123456789e-+\n%\\", max_size=40))
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    try:
        where = parse_where(text)
        where.domains(PARAMETERS)
    except UsageError:
        return
    assert parse_where(str(where)) == where


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at its end: a column of the model should stand here"),
        ("region = 'EU' OR active", "at 'OR active': terms are joined by AND alone"),
        ("(active OR active)", "terms are joined by AND alone"),
        ("region = 'EU", 'at "\'EU": this is no word'),
        ("region LIKE 'E%'", "at \"LIKE 'E%'\": this is no comparison that a condition can have"),
        ("lower(region) = 'eu'", "this is no comparison"),
        ("tenure + 1 > 2", "this is no word"),
        ("tenure > spend", "at 'spend': a literal should stand here"),
        ("tenure > (12)", "a literal should stand here"),
        ("12 < tenure", "at '12 < tenure': a column of the model should stand here"),
        ("region = NULL", "write IS NULL or IS NOT NULL"),
        ("region IN ()", "a literal should stand here"),
        ("region IN 'a'", "IN is followed by literals in parentheses"),
        ("region IN ('a'", "a list holds literals"),
        ("tenure BETWEEN 1, 2", "BETWEEN takes two literals"),
        ("active IS MAYBE", "IS [NOT] is followed by NULL, TRUE or FALSE"),
        ("NOT (active)", "NOT stands before"),
        ("active active", "at 'active': this is no comparison"),
        ("active)", "the condition should end here"),
        ("(active", "a ) is missing"),
        ("spend > 1e500", "no double is that large or that small"),
        ("spend > 1e-99999999999999999999999", "no double is that large or that small"),
        ("(" * 100_000, "at its end: a column of the model should stand here"),
        ("spend > 1.2.3", "this is no word"),
        ("region = 'EU'; DROP TABLE t", "this is no word"),
        ("region = $1", "this is no word"),
        ("WHERE active", "at 'active': this is no comparison"),
    ],
)
def test_what_is_not_understood_is_named(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_where(text)
    assert message in str(caught.value)
    assert "a condition is terms joined by AND: column = literal" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("country = 'DE'", "'country', which is no input of the model: 'region', 'tenure'"),
        ("\"Region\" = 'EU'", "'Region', which is no input"),
        ("region > 'EU'", "column 'region' is text, and > depends on how it is sorted"),
        ("region = 3", "does not fit column 'region', which is text: compare it with a text in single quotes"),
        ("tenure = '3'", "does not fit column 'tenure', which is integer: compare it with a number"),
        ("tenure", "compare it with a number"),
        ("spend IS TRUE", "which is double precision: compare it with a number"),
        ("active = 1", "compare it with TRUE or FALSE"),
        ("active > FALSE", "is boolean; use it alone"),
        ("spend > 1e309", "a number that no double holds"),
        ("spend > 1e-330", "a number that no double holds"),
        ("tenure = 1.5", "no row can satisfy the condition 'tenure = 1.5': column 'tenure' has no value"),
        ("tenure > 3 AND tenure < 4", "no row can satisfy"),
        ("tenure > 2147483647", "no row can satisfy"),
        ("region = 'a' AND region IS NULL", "no row can satisfy"),
        ("active AND NOT active", "no row can satisfy"),
        ("spend BETWEEN 2 AND 1", "no row can satisfy"),
    ],
)
def test_what_does_not_fit_the_inputs_is_named(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_where(text).domains(PARAMETERS)
    assert message in str(caught.value)


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(UsageError, match="no Unicode text"):
        parse_where("region = '\udcff'")


def test_names_are_found_in_any_case_unless_quoted() -> None:
    assert parse_where("REGION = 'EU'").domains(PARAMETERS).keys() == {0}
    assert parse_where('"Odd Name" IS NULL').domains(PARAMETERS).keys() == {5}


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("spend >= 12", [12.0, math.inf, math.nan], [math.nextafter(12, 0), -math.inf, None]),
        ("spend > 12", [math.nextafter(12, 13), math.nan], [12.0, None]),
        ("spend < 0", [-5e-324, -math.inf], [0.0, -0.0, math.nan, None]),
        ("spend = 0", [0.0, -0.0], [5e-324, math.nan, None]),
        ("spend <> 0", [5e-324, math.nan, math.inf], [0.0, -0.0, None]),
        ("spend = 0.1", [0.1], [math.nextafter(0.1, 1), None]),
        ("spend IN (1, 2) AND spend <> 2", [1.0], [2.0, 3.0, math.nan, None]),
        ("spend IS NULL", [None], [math.nan, 0.0]),
        ("spend IS NOT NULL", [math.nan, 0.0, -math.inf], [None]),
        ("spend BETWEEN 1 AND 2", [1.0, 2.0], [0.5, math.nan, None]),
        ("tenure > 1.5", [2, 2**31 - 1], [1, None]),
        ("tenure < 1.5 AND tenure > -3000000000", [1, -(2**31)], [2, None]),
        ("clicks >= 9007199254740993", [2**53 + 1], [2**53, None]),
        ("clicks <= 9223372036854775807", [2**63 - 1, -(2**63)], [None]),
        ("active", [True], [False, None]),
        ("active IS NOT TRUE", [False, None], [True]),
        ("active IN (TRUE, FALSE)", [True, False], [None]),
        ("region <> 'EU'", ["eu", "EU ", ""], ["EU", None]),
        ("region NOT IN ('EU', '') AND region <> 'US'", ["x"], ["EU", "US", "", None]),
    ],
)
def test_what_it_says(text: str, inside: list[Any], outside: list[Any]) -> None:
    found = domain(text)
    assert [found.admits(value) for value in inside] == [True] * len(inside)
    assert [found.admits(value) for value in outside] == [False] * len(outside)
