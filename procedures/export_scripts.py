"""What the scripts of an export have in common: templates from procedures/sql/, and the frame for psql."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from textwrap import indent
from typing import NamedTuple

from .functions import dollar_tag
from .plan import as_comment

_PLACEHOLDER = re.compile(r"(?P<margin>^[ ]*)?@(?P<name>[A-Z_]+)@|\$body\$", re.MULTILINE)
_INDENTED = {"FIND_MOVING", "MOVE", "DEPENDANTS", "VERDICT"}  # pgscore's own text; a name may hold a newline


class BoundTable(NamedTuple):
    """The table whose rows the functions take: its name now, and the type of each column that the model reads."""

    name: str
    types: Mapping[str, str]


def template(name: str) -> str:
    """The text of procedures/sql/export_NAME.sql.in, without the comment on the file."""
    text = files(__package__).joinpath("sql", f"export_{name}.sql.in").read_text("utf-8")
    return re.sub(rf"\A-- {name}\.sql of an export\..*?\n\n", "", text, flags=re.DOTALL)


def fill(text: str, values: Mapping[str, str], tag: str = "$body$") -> str:
    """The template with its placeholders filled in, in one pass, and with `tag` for its dollar quotes."""

    def filled(match: re.Match[str]) -> str:
        if match["name"] is None:
            return tag
        value, margin = values[match["name"]], match["margin"] or ""
        return indent(value.rstrip("\n"), margin) if match["name"] in _INDENTED else margin + value

    return _PLACEHOLDER.sub(filled, text)


def script(header: str, text: str, values: Mapping[str, str]) -> str:
    """The filled template as a script for psql, which ends at the first error."""
    filled = fill(text, values, dollar_tag("\n".join(values.values())))
    return f"\\set ON_ERROR_STOP on\n\\encoding UTF8\n\n{as_comment(header)}\n{filled}"
