"""Values as SQL text, and the text they are made of: literals, conditions, CASE, arithmetic that cannot raise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from pgscore.quoting import literal, number

from .. import ir
from ..fact import SMALLEST, UNDERFLOW

EXACT_INTEGER = 2.0**53
"""Up to here a bigint and the double it is cast to are the same number."""
SEARCH_FROM = 32
"""From this many categories on, a CASE over them is a binary search."""
SEARCH_LEAF = 8
INFINITY = "'Infinity'::float8"


class Kind(Enum):
    """What the SQL text of a value is."""

    FLOAT = "double precision"
    INT = "bigint"
    BOOL = "boolean"
    """A boolean, NULL where it is missing."""
    FLAG = "condition"
    """1 where the condition is true, 0 where it is false or NULL; never missing."""
    CODE = "code"
    """A position among categories, not rendered yet: see `Coded`."""
    TEXT = "text"


class Form(Enum):
    """How the text may be used again."""

    SIMPLE = "simple"
    """A parameter, variable or literal: repeating it costs nothing."""
    ATOM = "atom"
    """An expression that needs no parentheses."""
    COMPOUND = "compound"
    """An expression that needs parentheses next to an operator."""


@dataclass(frozen=True)
class Value:
    """One column of the program in SQL. `null` and `nan` say how it may be missing."""

    sql: str
    kind: Kind
    form: Form = Form.COMPOUND
    null: bool = False
    nan: bool = False
    coded: Coded | None = None

    @property
    def missing(self) -> bool:
        return self.null or self.nan

    @property
    def operand(self) -> str:
        """The text as an operand."""
        if self.form is not Form.COMPOUND:
            return self.sql
        return "(" + indent("\n" + self.sql) + "\n)" if "\n" in self.sql else f"({self.sql})"


@dataclass(frozen=True)
class Coded:
    """The codes of a value among categories, kept apart so that what reads them can name the categories."""

    scrutinee: Value
    categories: tuple[str, ...] | tuple[float, ...]
    missing: float
    unknown: float


def text(value: str) -> str:
    """The string literal, on one line: reindenting must not change it."""
    quoted = literal(value)
    if "\n" not in value:
        return quoted
    return (quoted if quoted.startswith("E") else "E" + quoted).replace("\n", "\\n")


def constant(value: float) -> Value:
    """A number; NaN is a NULL."""
    if math.isnan(value):
        return Value("NULL::float8", Kind.FLOAT, Form.SIMPLE, null=True)
    return Value(number(value), Kind.FLOAT, Form.SIMPLE)


def indent(sql: str, by: int = 2) -> str:
    """The text with each line but the first moved to the right."""
    return sql.replace("\n", "\n" + " " * by)


def case(branches: Sequence[tuple[str, str]], otherwise: str | None, scrutinee: str = "") -> str:
    """`CASE [scrutinee] WHEN … THEN … ELSE … END`, on one line if it is short."""
    if not branches and otherwise is not None:
        return otherwise
    head = f"CASE {scrutinee}" if scrutinee else "CASE"
    parts = [f"WHEN {indent(condition)} THEN {indent(result, 4)}" for condition, result in branches]
    if otherwise is not None:
        parts.append(f"ELSE {indent(otherwise, 4)}")
    if len(branches) == 1 and sum(map(len, parts)) <= 90 and not any("\n" in part for part in parts):
        return " ".join([head, *parts, "END"])
    if len(branches) == 1 and "\n" not in branches[0][0]:
        return f"{head} " + "\n  ".join(parts) + "\nEND"
    return head + "".join(f"\n  {part}" for part in parts) + "\nEND"


def double(value: Value) -> Value:
    """The value as a double precision expression."""
    match value.kind:
        case Kind.FLOAT:
            return value
        case Kind.INT:
            return replace(value, sql=f"{value.operand}::float8", kind=Kind.FLOAT, form=Form.ATOM)
        case Kind.BOOL:
            return replace(value, sql=f"{value.operand}::int::float8", kind=Kind.FLOAT, form=Form.ATOM)
        case Kind.FLAG:
            sql = case([(value.sql, number(1.0))], number(0.0))
            return replace(value, sql=sql, kind=Kind.FLOAT, form=Form.ATOM)
        case Kind.CODE:
            return double(rendered_codes(value))
        case Kind.TEXT:
            raise TypeError("text is no number")


def integer(value: Value) -> Value:
    """A boolean or code as an integer expression; other values as they are."""
    match value.kind:
        case Kind.BOOL:
            return replace(value, sql=f"{value.operand}::int", kind=Kind.INT, form=Form.ATOM)
        case Kind.FLAG:
            return replace(value, sql=case([(value.sql, "1")], "0"), kind=Kind.INT, form=Form.ATOM)
        case Kind.CODE:
            return rendered_codes(value)
        case _:
            return value


def is_missing(value: Value) -> str:
    """The condition that the value is missing."""
    if value.kind is Kind.CODE:
        return member(value, [math.nan])
    conditions = [f"{value.operand} IS NULL"] if value.null else []
    if value.nan:
        conditions.append(f"{value.operand} = 'NaN'::float8")
    return " OR ".join(conditions) if conditions else "FALSE"


def without_nan(value: Value) -> Value:
    """The value with NULL for NaN."""
    if not value.nan:
        return value
    return replace(value, sql=f"nullif({value.sql}, 'NaN'::float8)", form=Form.ATOM, null=True, nan=False)


def either(conditions: Iterable[str]) -> str:
    """The conditions joined by OR, in parentheses where there are several."""
    known = [c for c in conditions if c != "FALSE"]
    if not known:
        return "FALSE"
    return known[0] if len(known) == 1 else "(" + " OR ".join(known) + ")"


def literals(kind: Kind, values: Iterable[float | str]) -> list[str]:
    """The values that a column of this kind can equal, as literals of its type."""
    result = []
    for value in values:
        if isinstance(value, str):
            if "\0" not in value:
                result.append(text(value))
        elif kind is not Kind.INT:
            result.append(number(value))
        elif value == math.floor(value) and abs(value) < EXACT_INTEGER:
            result.append(str(int(value)))
    return result


def equals(value: Value, values: Iterable[float | str]) -> str:
    """The condition that the value equals one of these; NULL or false for a missing value."""
    options = literals(value.kind, values)
    if not options:
        return "FALSE"
    return f"{value.operand} = {options[0]}" if len(options) == 1 else f"{value.operand} IN ({', '.join(options)})"


def member(value: Value, codes: Iterable[float]) -> str:
    """The condition that a code is one of `codes`, of which NaN is the missing code. NULL counts as false."""
    wanted = list(codes)
    known, missing = {c for c in wanted if c == c}, any(c != c for c in wanted)
    if value.coded is None:
        plain = integer(value)
        return either([equals(plain, sorted(known)), is_missing(plain) if missing else "FALSE"])
    coded = value.coded

    def has(code: float) -> bool:
        return code in known or (missing and code != code)

    scrutinee = coded.scrutinee
    missing_in, unknown_in = scrutinee.missing and has(coded.missing), has(coded.unknown)
    if not unknown_in:
        inside = equals(scrutinee, [c for c, here in _positions(coded) if here in known])
        return either([inside, is_missing(scrutinee) if missing_in else "FALSE"])
    scrutinee = without_nan(scrutinee)
    outside = literals(scrutinee.kind, [c for c, here in _positions(coded) if here not in known])
    if not outside:
        return "TRUE" if missing_in or not scrutinee.missing else f"{scrutinee.operand} IS NOT NULL"
    condition = (
        f"{scrutinee.operand} <> {outside[0]}"
        if len(outside) == 1
        else f"{scrutinee.operand} NOT IN ({', '.join(outside)})"
    )
    return either([condition, is_missing(scrutinee) if missing_in else "FALSE"])


def _positions(coded: Coded) -> list[tuple[float | str, float]]:
    """The categories with their codes."""
    categories: Sequence[float | str] = coded.categories
    return [(category, float(position)) for position, category in enumerate(categories)]


def possible_codes(value: Value) -> list[float]:
    """Every code that can come out of a code; NaN is the missing code."""
    coded = value.coded
    if coded is None:
        raise TypeError("not a code")
    codes = [float(position) for position in range(len(coded.categories))]
    extra = [coded.unknown, *([coded.missing] if coded.scrutinee.missing else [])]
    return codes + [c for c in dict.fromkeys(extra) if c not in codes]


def by_code(value: Value, results: Mapping[float, str], default: str) -> str:
    """The text `results[code]`, and `default` for any other code or none, as a CASE over the categories."""
    if value.coded is None:
        plain = integer(value)
        pairs = {code: result for code, result in results.items() if result != default}
        return _choose(plain, list(pairs.items()), default)
    coded = value.coded
    of_unknown = results.get(coded.unknown, default)
    of_missing = results.get(coded.missing, default)
    pairs_of = [(c, results.get(here, default)) for c, here in _positions(coded)]
    chosen = _choose(coded.scrutinee, [(c, result) for c, result in pairs_of if result != of_unknown], of_unknown)
    if coded.scrutinee.missing and of_missing != of_unknown:
        return case([(is_missing(coded.scrutinee), of_missing)], chosen)
    return chosen


def _choose(value: Value, pairs: Sequence[tuple[float | str, str]], otherwise: str) -> str:
    """The CASE that maps a value to the text it is paired with: a binary search where there are many."""
    groups: dict[str, list[float | str]] = {}
    for key, result in pairs:
        if literals(value.kind, [key]):
            groups.setdefault(result, []).append(key)
    shared = [(equals(value, keys), result) for result, keys in groups.items() if len(keys) > 1]
    single = [(keys[0], result) for result, keys in groups.items() if len(keys) == 1]
    sortable = [(key, result) for key, result in single if not isinstance(key, str) or key.isascii()]
    if len(sortable) >= SEARCH_FROM:
        # Text of other characters is sorted by its bytes, which differ from encoding to encoding.
        rest = [(key, result) for key, result in single if isinstance(key, str) and not key.isascii()]
        sortable.sort(key=lambda pair: pair[0])
        if rest:
            shared.append((equals(value, [key for key, _ in rest]), _chain(value, rest, otherwise)))
        return case(shared, _search(value, sortable, otherwise))
    if shared:
        return case([*((equals(value, [key]), result) for key, result in single), *shared], otherwise)
    return _chain(value, single, otherwise)


def _chain(value: Value, pairs: Sequence[tuple[float | str, str]], otherwise: str) -> str:
    """One WHEN for each pair."""
    if len(pairs) == 1:
        return case([(equals(value, [pairs[0][0]]), pairs[0][1])], otherwise)
    return case([(literals(value.kind, [key])[0], result) for key, result in pairs], otherwise, value.operand)


def _search(value: Value, pairs: Sequence[tuple[float | str, str]], otherwise: str) -> str:
    """A binary search in sorted keys. Text is compared by its bytes, so that no collation matters."""
    if len(pairs) <= SEARCH_LEAF:
        return _chain(value, pairs, otherwise)
    middle = len(pairs) // 2
    low, high = _search(value, pairs[:middle], otherwise), _search(value, pairs[middle:], otherwise)
    collation = ' COLLATE "C"' if value.kind is Kind.TEXT else ""
    return case([(f"{value.operand}{collation} < {literals(value.kind, [pairs[middle][0]])[0]}", low)], high)


def rendered_codes(value: Value) -> Value:
    """A code as an integer expression (a double where a code is no whole number), NULL for the missing code."""
    codes = possible_codes(value)
    whole = all(c != c or (c == math.floor(c) and abs(c) < 2**31) for c in codes)
    null = "NULL::int" if whole else "NULL::float8"
    results = {c: (str(int(c)) if whole else number(c)) for c in codes if c == c}
    kind = Kind.INT if whole else Kind.FLOAT
    form = Form.ATOM if len(set(results.values())) > 1 else Form.COMPOUND
    return Value(by_code(value, results, null), kind, form, null=any(c != c for c in codes))


def flushed(value: Value, tiny: float, factor: float) -> Value:
    """A double that can be multiplied by `factor` without underflow: adding and subtracting makes the smallest ones 0.

    `tiny` is the smallest magnitude of the value that is not 0. PostgreSQL raises where a product of numbers that are
    not 0 rounds to 0. x + c - c is a multiple of half a unit in c's last place; it is x itself for every x above
    2^54 c, and differs from x by half of that unit at most below. c is as small as the factor allows, about 1e-305.
    """
    grain = grain_of(tiny, factor)
    if not grain:
        return value
    c = number(grain)
    return replace(value, sql=f"{value.operand} + {c} - {c}", form=Form.COMPOUND)


def grain_of(tiny: float, factor: float) -> float:
    """The number that `flushed` adds; 0 where nothing can underflow."""
    magnitude = abs(factor)
    if tiny * magnitude >= UNDERFLOW or magnitude >= 1 or magnitude == 0:
        return 0.0
    exponent = math.ceil(math.log10(UNDERFLOW * 2.0**53) - math.log10(magnitude))
    while math.ulp(10.0**exponent) / 2 * magnitude < UNDERFLOW:
        exponent += 1
    return float(f"1e{exponent}")


def strict(function: str, sql: str, bound: float) -> str:
    """The `larger` or `smaller` one of a double and a bound, NULL for NULL, where GREATEST and LEAST would skip it.

    These are the functions behind max() and min(). To them, too, NaN is the largest number.
    """
    return f"float8{function}({sql}, {number(bound)})"


def refusing(value: Value, low: float, high: float) -> Value:
    """The double, or NULL unless it lies in [low, high]; its text, which may be a whole model, is there only once."""
    if (low, high) == (-math.inf, math.inf):
        return replace(without_nan(value), null=False)
    below, above = math.nextafter(low, -math.inf), math.nextafter(high, math.inf)
    sql, comma = ("\n  " + indent(value.sql) + "\n", "\n, ") if "\n" in value.sql else (value.sql, ", ")
    if below > -math.inf:
        sql = strict("larger", sql, below)
    sql = f"nullif(nullif({strict('smaller', sql, above)}{comma}{number(above)}), {number(below)})"
    return replace(value, sql=sql, form=Form.ATOM, null=False, nan=False)


def times(value: Value, tiny: float, factor: float) -> Value:
    """value * factor."""
    if factor == 1:
        return double(value)
    if value.kind is Kind.FLAG:
        sql = case([(value.sql, number(factor))], number(0.0))
        return replace(value, sql=sql, kind=Kind.FLOAT, form=Form.ATOM)
    if factor == -1:
        operand = double(value)
        return replace(operand, sql=f"- {operand.operand}", form=Form.COMPOUND)
    operand = flushed(double(value), tiny, factor)
    return replace(operand, sql=f"{operand.operand} * {number(factor)}", form=Form.COMPOUND)


def divided(value: Value, tiny: float, divisor: float) -> Value:
    """value / divisor."""
    if divisor == 1:
        return double(value)
    operand = flushed(double(value), tiny, max(1 / abs(divisor), SMALLEST))
    return replace(operand, sql=f"{operand.operand} / {number(divisor)}", form=Form.COMPOUND)


def plus(value: Value, offset: float) -> Value:
    """value + offset, written as a difference where the offset is negative."""
    if offset == 0:
        return double(value)
    operand = double(value)
    sign, magnitude = ("-", -offset) if offset < 0 else ("+", offset)
    return replace(operand, sql=f"{operand.operand} {sign} {number(magnitude)}", form=Form.COMPOUND)


def label(value: ir.Label) -> str:
    """A class label as a literal of its SQL type."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, str):
        return text(value)
    return f"'{value}'::bigint" if isinstance(value, int) else number(value)
