"""SQL identifiers and literals as text, without a connection: plans are made, printed and tested without a server.

Names and categories come from data, so an attacker may have chosen them. Every identifier is quoted, and a literal with
a backslash takes the E'' form, which means the same whatever standard_conforming_strings says.
"""

from __future__ import annotations

import math

from pgscore.errors import InvalidNameError

MAX_IDENTIFIER_BYTES = 63


def ident(*names: str) -> str:
    """The quoted identifier, dotted for several names. Raises InvalidNameError for "", NUL or over 63 bytes."""
    for name in names:
        if not name or "\0" in name:
            raise InvalidNameError(f"{name!r} cannot be a PostgreSQL identifier")
        if len(name.encode()) > MAX_IDENTIFIER_BYTES:
            raise InvalidNameError(f"{name!r} is longer than {MAX_IDENTIFIER_BYTES} bytes; PostgreSQL would cut it off")
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def literal(text: str) -> str:
    """The text as a string literal. Raises ValueError for NUL, which PostgreSQL's text cannot hold."""
    if "\0" in text:
        raise ValueError("PostgreSQL text cannot hold NUL")
    quoted = text.replace("'", "''")
    return "E'" + quoted.replace("\\", "\\\\") + "'" if "\\" in text else f"'{quoted}'"


def number(value: float) -> str:
    """The double as a typed literal with the shortest digits that give it back.

    Quoted, it is a double from the parser on: 0.1 would be numeric, and 0.1::float8 a numeric with a cast, which makes
    the parse tree of a large model twice as large and is folded anew in every plan.
    """
    if math.isnan(value):
        return "'NaN'::float8"
    if math.isinf(value):
        return "'Infinity'::float8" if value > 0 else "'-Infinity'::float8"
    return f"'{float(value)!r}'::float8"
