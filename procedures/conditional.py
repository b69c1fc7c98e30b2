"""Who knows the right answers, also of a version that answers for some rows only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from .answers import Subject, Table, satisfy
from .cases import Cases

Answers = Mapping[str, Sequence[object]]


class Judge(Protocol):
    """What knows the right answers: compiler.oracle.Oracle, for a model."""

    def answers(self, columns: Mapping[str, Sequence[object]]) -> Answers:
        """The answers for each row, by function suffix; None where the model refuses the row."""


class Conditional:
    """A judge that has no answer for rows that do not satisfy the version's condition."""

    def __init__(self, judge: Judge, cursor: Any, table: Table, it: Subject) -> None:
        self._judge, self._cursor, self._table, self._it = judge, cursor, table, it

    def answers(self, columns: Mapping[str, Sequence[Any]]) -> Answers:
        """The judge's answers, None for other rows."""
        given = self._judge.answers(columns)
        if self._it.where is None:
            return given
        cases = Cases(
            {name: list(values) for name, values in columns.items()}, ("",) * len(next(iter(columns.values())))
        )
        flags = satisfy(self._cursor, self._table, self._it, cases)
        return {
            suffix: [answer if flag else None for answer, flag in zip(answers, flags, strict=True)]
            for suffix, answers in given.items()
        }
