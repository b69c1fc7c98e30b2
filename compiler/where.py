"""The condition of a specialised version: `region = 'EU' AND tenure >= 12`.

A conjunction of terms about single columns, which are inputs of the model, in SQL's words and with its meaning: a row
for which a term is NULL does not satisfy it, and PostgreSQL holds NaN equal to itself and above all numbers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation

from pgscore.errors import UsageError
from pgscore.quoting import literal

from .artifact import Parameter, SqlType
from .ir import Domain, Scalar
from .narrowing import narrowed, of_type

Literal = Decimal | str | bool

TERMS = (
    "column = literal (or <>, <, <=, >, >=), column [NOT] IN (…), column BETWEEN … AND …, column IS [NOT] NULL,"
    " column IS [NOT] TRUE or FALSE, and a boolean column or NOT before it"
)
MAX_EXPONENT = 400
"""Numbers of more digits before or behind the point are no doubles."""

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>'(?:[^']|'')*')
    | (?P<quoted>"(?:[^"]|"")+")
    | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])
    | (?P<sign><=|>=|<>|!=|[=<>(),])
    | (?P<word>[^\W\d]\w*))""",
    re.VERBOSE,
)
_COMPARISONS = ("=", "<>", "!=", "<", "<=", ">", ">=")
_RESERVED = {"AND", "OR", "NOT", "IN", "BETWEEN", "IS", "NULL", "TRUE", "FALSE", "LIKE", "ILIKE", "CASE"}


@dataclass(frozen=True)
class Term:
    """One condition on one column. `test` is an operator, or words such as IN; `TRUE` is the mere boolean column.

    A column that was written in double quotes is one of exactly that name.
    """

    column: str
    quoted: bool
    test: str
    literals: tuple[Literal, ...] = ()

    def __str__(self) -> str:
        return self.sql('"' + self.column.replace('"', '""') + '"' if self.quoted else self.column, _quoted)

    def sql(self, column: str, text: Callable[[str], str] = literal) -> str:
        """The term, with `column` for its column, and texts as literals."""
        given = [_written(value, text) for value in self.literals]
        match self.test:
            case "TRUE":
                return column
            case "NOT":
                return f"NOT {column}"
            case "IN" | "NOT IN":
                return f"{column} {self.test} ({', '.join(given)})"
            case _:
                return " ".join([column, self.test, " AND ".join(given)]).rstrip()


@dataclass(frozen=True)
class Where:
    """A condition: all of its terms."""

    terms: tuple[Term, ...]

    def __str__(self) -> str:
        """The condition as it would be parsed again, always in the same form."""
        return " AND ".join(map(str, self.terms))

    def sql(self, parameters: Sequence[Parameter], reference: Callable[[int], str]) -> str:
        """The condition for a server to judge; `reference(i)` is SQL for parameter `i`, of its type."""

        def column(index: int) -> str:
            of_text = parameters[index].type is SqlType.TEXT
            return f'({reference(index)}) COLLATE "C"' if of_text else reference(index)

        return " AND ".join(f"({term.sql(column(_index(term, parameters)))})" for term in self.terms)

    def domains(self, parameters: Sequence[Parameter]) -> dict[int, Domain]:
        """What the condition says of each parameter that it names.

        Raises UsageError for a column that the model does not read, a literal of another type, and a condition that no
        row can satisfy.
        """
        found: dict[int, Domain] = {}
        for term in self.terms:
            index = _index(term, parameters)
            parameter = parameters[index]
            before = found.get(index, of_type(parameter.type))
            found[index] = narrowed(before, term, parameter).settled()
            if found[index].empty:
                raise UsageError(
                    f"no row can satisfy the condition {str(self)!r}: column {parameter.name!r} has no value"
                )
        return found


def parse_where(text: str) -> Where:
    """The condition that the text says. Raises UsageError, saying which part is not understood, and what is."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError("the condition is no Unicode text") from None
    return _Parser(text).parse()


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int

    def says(self, *words: str) -> bool:
        return self.kind in {"word", "sign", "end"} and self.text.upper() in words


class _Parser:
    """Reads terms from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._split())
        self._at = 0

    def parse(self) -> Where:
        return Where(tuple(self._conjunction()))

    def _split(self) -> Iterator[_Token]:
        at, end = 0, len(self._text.rstrip())
        while at < end:
            found = _TOKEN.match(self._text, at)
            if found is None:
                raise self._error("this is no word, number, text in quotes or comparison", at)
            kind = str(found.lastgroup)
            yield _Token(kind, found[kind], found.start(kind))
            at = found.end()
        yield _Token("end", "", end)

    def _conjunction(self) -> Iterator[Term]:
        """The terms; parentheses around several of them change nothing."""
        depth = 0
        while True:
            while self._take("("):
                depth += 1
            yield self._term()
            while depth and self._take(")"):
                depth -= 1
            if not self._take("AND"):
                break
        if self._next.says("OR"):
            raise self._error("terms are joined by AND alone")
        if depth:
            raise self._error("a ) is missing")
        if not self._next.says(""):
            raise self._error("the condition should end here")

    def _term(self) -> Term:
        if self._take("NOT"):
            if self._next.says("("):
                raise self._error("NOT stands before a boolean column, IN or NULL only")
            return self._of_column("NOT")
        term = self._of_column("TRUE")
        for sign in _COMPARISONS:
            if self._take(sign):
                return replace(term, test="<>" if sign == "!=" else sign, literals=(self._literal(),))
        if self._take("IS"):
            return replace(term, test=self._is())
        if self._take("BETWEEN"):
            low = self._literal()
            if not self._take("AND"):
                raise self._error("BETWEEN takes two literals, joined by AND")
            return replace(term, test="BETWEEN", literals=(low, self._literal()))
        negated = self._take("NOT")
        if self._take("IN"):
            return replace(term, test="NOT IN" if negated else "IN", literals=tuple(self._list()))
        if negated or not self._next.says("", "AND", "OR", ")"):
            raise self._error("this is no comparison that a condition can have")
        return term

    def _is(self) -> str:
        words = ["IS", *(["NOT"] if self._take("NOT") else [])]
        for word in ("NULL", "TRUE", "FALSE"):
            if self._take(word):
                return " ".join([*words, word])
        raise self._error("IS [NOT] is followed by NULL, TRUE or FALSE")

    def _list(self) -> Iterator[Literal]:
        if not self._take("("):
            raise self._error("IN is followed by literals in parentheses")
        yield self._literal()
        while self._take(","):
            yield self._literal()
        if not self._take(")"):
            raise self._error("a list holds literals, with commas between them")

    def _of_column(self, test: str) -> Term:
        token = self._next
        if token.kind == "quoted":
            self._at += 1
            return Term(token.text[1:-1].replace('""', '"'), True, test)
        if token.kind != "word" or token.text.upper() in _RESERVED:
            raise self._error("a column of the model should stand here")
        self._at += 1
        return Term(token.text, False, test)

    def _literal(self) -> Literal:
        token = self._next
        if token.says("TRUE", "FALSE"):
            self._at += 1
            return token.text.upper() == "TRUE"
        if token.kind == "text" and "\0" not in token.text:
            self._at += 1
            return token.text[1:-1].replace("''", "'")
        if token.kind == "number":
            try:
                number = Decimal(token.text)
            except InvalidOperation:
                raise self._error("no double is that large or that small") from None
            if abs(number.adjusted()) > MAX_EXPONENT:
                raise self._error("no double is that large or that small")
            self._at += 1
            return number
        if token.says("NULL"):
            raise self._error("a comparison with NULL is never true; write IS NULL or IS NOT NULL")
        raise self._error("a literal should stand here: a number, a text in single quotes, TRUE or FALSE")

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, word: str) -> bool:
        """Whether the next token is the word, which is then read."""
        taken = self._next.says(word)
        self._at += taken
        return taken

    def _error(self, why: str, at: int | None = None) -> UsageError:
        rest = self._text[self._next.start if at is None else at :].strip()
        where = f"at {rest[:40]!r}" if rest else "at its end"
        return UsageError(f"condition {self._text!r}, {where}: {why}; a condition is terms joined by AND: {TERMS}")


def _written(value: Literal, text: Callable[[str], str]) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    return str(value) if isinstance(value, Decimal) else text(value)


def _quoted(value: str) -> str:
    """The text in quotes; a backslash is a character as any other."""
    return "'" + value.replace("'", "''") + "'"


def _index(term: Term, parameters: Sequence[Parameter]) -> int:
    """The parameter of that name; without quotes also the only one that differs in case."""
    exact = [i for i, p in enumerate(parameters) if p.name == term.column]
    near = [i for i, p in enumerate(parameters) if p.name.casefold() == term.column.casefold() and not term.quoted]
    found = exact or near
    if len(found) != 1:
        names = ", ".join(repr(p.name) for p in parameters[:20])
        raise UsageError(
            f"the condition names {term.column!r}, which is no input of the model: {names}"
            f"{', …' if len(parameters) > 20 else ''}; a function sees its inputs alone"
        )
    return found[0]


def examples(domains: Mapping[int, Domain], parameters: Sequence[Parameter]) -> dict[str, tuple[Scalar, ...]]:
    """For each parameter of the condition the values at which it changes its mind, for the parity gate to try."""
    found: dict[str, tuple[Scalar, ...]] = {}
    for index, domain in domains.items():
        kind = parameters[index].type
        bounds = [] if kind is SqlType.TEXT else [b for b in (domain.low, domain.high) if math.isfinite(b)]
        found[parameters[index].name] = tuple(dict.fromkeys([*bounds, *(domain.among or ()), *domain.excluded]))
    return found
