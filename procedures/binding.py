"""Binding a model's inputs to the columns of a table: which column each input is, and of which type."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg2
import psycopg2.errors

from pgscore.compiler.artifact import Parameter, SqlType
from pgscore.compiler.ir import Column, Dtype
from pgscore.errors import NotFoundError, RefusedError, RightsError, SignatureError
from pgscore.quoting import ident

from .connection import Connection, errors, pinned

TYPES = {
    "int2": SqlType.INTEGER,
    "int4": SqlType.INTEGER,
    "int8": SqlType.BIGINT,
    "float4": SqlType.DOUBLE,
    "float8": SqlType.DOUBLE,
    "numeric": SqlType.DOUBLE,
    "bool": SqlType.BOOLEAN,
    "text": SqlType.TEXT,
    "varchar": SqlType.TEXT,
}
"""PostgreSQL's types and the parameter's type for each (docs/sql.md); an enum is text.

char(n) is none of them: clients read its values padded with spaces, which its cast to text drops. A model that learned
the categories from either would not know the other, without a word.
"""

_KINDS = {"r": "table", "p": "table", "v": "view", "m": "materialized view", "f": "foreign table"}


@dataclass(frozen=True)
class Binding:
    """A model's inputs as columns of a table. `parameters[i]` is read from column `columns[i]`.

    `table` is qualified, and quoted where it needs to be; `schema` is its schema. `exact[i]` says that the
    column has the parameter's type already. `immutable` says that a row's inputs are always the same: the labels of an
    enum may be renamed.
    """

    table: str
    schema: str
    parameters: tuple[Parameter, ...]
    columns: tuple[str, ...]
    exact: tuple[bool, ...]
    immutable: bool = True

    def reference(self, index: int, row: str) -> str:
        """SQL for parameter `index`, of its type, over the row `row`: an argument `(r)`, or the alias `r` of a table.

        The two differ where the table has a column r: `r."x"` is still the alias, `(r)."x"` would be that column.
        """
        text = f"{row}.{ident(self.columns[index])}"
        return text if self.exact[index] else f"({text})::{self.parameters[index].type.value}"


@dataclass(frozen=True)
class _TableColumn:
    name: str
    type: str
    enum: bool
    shown: str

    @property
    def parameter_type(self) -> SqlType | None:
        return SqlType.TEXT if self.enum else TYPES.get(self.type)


def bind(connection: Connection, columns: Sequence[Column], table: str) -> Binding:
    """Finds each input's column in `table`, which is named as in SQL: `customers`, `sales."Order Lines"`.

    A column's name fits exactly, or as the only one that differs in case. Raises NotFoundError for the table,
    SignatureError naming the column that is missing or has another type, RightsError, and RefusedError for a temporary
    table.
    """
    with errors(f"table {table}"), connection.cursor() as cursor:
        oid, schema, qualified = _find_table(cursor, table)
        with pinned(cursor):
            found = _columns(cursor, oid)
    chosen = _match(columns, found, qualified)
    parameters, exact = [], []
    for column, source in zip(columns, chosen, strict=True):
        kind = source.parameter_type
        if kind is None or kind.dtype is not column.dtype:
            raise SignatureError(
                f"column {source.name!r} of {qualified} is {source.shown}, and the model takes"
                f" {'text' if column.dtype is Dtype.TEXT else 'a number'} there; bind the model to a view that casts it"
            )
        parameters.append(Parameter(column.name, kind))
        exact.append(source.type == _INTERNAL[kind])
    names = tuple(source.name for source in chosen)
    immutable = not any(source.enum for source in chosen)
    return Binding(qualified, schema, tuple(parameters), names, tuple(exact), immutable)


_INTERNAL = {
    SqlType.INTEGER: "int4",
    SqlType.BIGINT: "int8",
    SqlType.DOUBLE: "float8",
    SqlType.BOOLEAN: "bool",
    SqlType.TEXT: "text",
}


def find_relation(cursor: Any, name: str) -> tuple[int, str, str, str, bool, bool] | None:
    """The table or view that `name` means, as in SQL; None if this role sees none.

    Its oid, its schema, its name qualified and quoted, its relkind, whether it is temporary, and whether this role may
    read it.
    """
    try:
        # The one thing that is looked up in the user's search_path.
        cursor.execute("SELECT pg_catalog.to_regclass(%s)::pg_catalog.oid", (name,))
    except (psycopg2.errors.InvalidName, psycopg2.errors.SyntaxError, psycopg2.errors.FeatureNotSupported):
        return None
    (oid,) = cursor.fetchone()
    with pinned(cursor):
        cursor.execute(
            """
            SELECT c.oid, n.nspname::text, format('%%I.%%I', n.nspname, c.relname), c.relkind::text,
                   c.relpersistence = 't', has_table_privilege(c.oid, 'SELECT')
            FROM pg_catalog.pg_class AS c
            JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
            WHERE c.oid = %s::oid
            """,
            (oid,),
        )
        row: tuple[int, str, str, str, bool, bool] | None = cursor.fetchone()
    return row


def _find_table(cursor: Any, table: str) -> tuple[int, str, str]:
    row = find_relation(cursor, table)
    if row is None:
        raise NotFoundError(
            f"there is no table {table!r} that this role can see; name it as in SQL: customers, sales.customers,"
            ' "Weird Name"'
        )
    oid, schema, qualified, kind, temporary, readable = row
    if kind not in _KINDS:
        raise NotFoundError(f"{qualified} is no table, view or materialized view")
    if temporary:
        raise RefusedError(f"{qualified} is temporary: the model's functions would vanish with it")
    if not readable:
        raise RightsError(
            f"this role may not read {qualified}, whose rows the parity gate scores; GRANT SELECT ON {qualified} to it"
        )
    return oid, schema, qualified


def _columns(cursor: Any, oid: int) -> list[_TableColumn]:
    cursor.execute(
        """
        WITH RECURSIVE base (attnum, name, shown, type) AS (
            SELECT a.attnum, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), a.atttypid
            FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
            UNION ALL
            SELECT b.attnum, b.name, b.shown, t.typbasetype
            FROM base AS b
            JOIN pg_catalog.pg_type AS t ON t.oid = b.type
            WHERE t.typtype = 'd'
        )
        SELECT b.name, CASE WHEN n.nspname = 'pg_catalog' THEN t.typname::text ELSE '' END, t.typtype = 'e', b.shown
        FROM base AS b
        JOIN pg_catalog.pg_type AS t ON t.oid = b.type
        JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
        WHERE t.typtype <> 'd'
        ORDER BY b.attnum
        """,
        (oid,),
    )
    return [_TableColumn(*row) for row in cursor.fetchall()]


def _match(columns: Sequence[Column], found: Sequence[_TableColumn], table: str) -> list[_TableColumn]:
    by_name = {column.name: column for column in found}
    taken = {column.name for column in columns if column.name in by_name}
    chosen: list[_TableColumn] = []
    missing: list[str] = []
    for column in columns:
        close = [f for f in found if f.name.casefold() == column.name.casefold() and f.name not in taken]
        if column.name in by_name:
            chosen.append(by_name[column.name])
        elif len(close) == 1:
            chosen.append(close[0])
            taken.add(close[0].name)
        else:
            missing.append(column.name)
    if missing:
        similar = difflib.get_close_matches(missing[0], by_name, n=1)
        raise SignatureError(
            f"table {table} has no column {', '.join(map(repr, missing))}, which the model reads"
            + (f"; is it {similar[0]!r}?" if similar else "")
        )
    return chosen
