"""The functions that score ONNX graphs in PL/Python, with the source of procedures/runtime/ in their bodies.

Functions and modules come from one release and are replaced together, so they cannot drift apart.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from .plan import Statement

MODULES = (
    "libraries",
    "interrupts",
    "guard",
    "arrays",
    "wire",
    "operators",
    "reader",
    "ensembles",
    "graphs",
    "sessions",
)
"""The modules of procedures/runtime/, each after those it imports."""

_SQL = "plpython.sql.in"
_MODULE = re.compile(r"^@MODULE (\w+)@$", re.MULTILINE)
_FOLDER = re.compile(r"^libraries\.load\((.+)\)$", re.MULTILINE)
_DIGEST = re.compile(r'^if "([0-9a-f]+)" in GD', re.MULTILINE)

# PL/Python makes a body a function's, and indents its lines by a tab: also those of this string.
_DEFINITION = """\
import sys, types
{name} = types.ModuleType("pgscore_runtime.{name}")
{name}.__package__ = "pgscore_runtime"
sys.modules.setdefault("pgscore_runtime", types.ModuleType("pgscore_runtime")).{name} = {name}
sys.modules[{name}.__name__] = {name}
exec(compile(r'''
{source}'''.replace("\\n\\t", "\\n"), "pgscore_runtime/{name}.py", "exec"), {name}.__dict__)
"""


@dataclass(frozen=True)
class Build:
    """The functions that are in a database: the folder they import from, and whether this package would write them."""

    folder: Path
    current: bool


def installed_build(cursor: Any) -> Build | None:
    """What the functions in this database were made from, as their source says, which any role may read."""
    cursor.execute(
        """
        SELECT p.prosrc
        FROM pg_catalog.pg_proc AS p
        JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
        WHERE n.nspname = 'pgscore' AND p.proname = 'runtime_load'
        """
    )
    found = cursor.fetchone()
    if found is None:
        return None
    folder, digest = _FOLDER.search(found[0]), _DIGEST.search(found[0])
    if folder is None or digest is None:
        return None
    runtime = Path(ast.literal_eval(folder[1]))
    return Build(runtime, digest[1] == _digest(runtime, _sources(), _template()))


def statements(runtime: Path) -> list[Statement]:
    """Creates the functions; a superuser applies them. `runtime` is the folder on the server with the libraries."""
    sources, text, folder = _sources(), _template(), ascii(str(runtime))
    digest = _digest(runtime, sources, text)
    text = text.replace("$body$", _dollar_quote([folder, *sources.values()]))
    text = text.replace("@FOLDER@", folder).replace("@DIGEST@", f'"{digest}"')
    text = _MODULE.sub(lambda match: _definition(match[1], sources[match[1]]), text)
    return [Statement(text, "plpython.sql.in: scoring ONNX graphs with onnxruntime")]


def _sources() -> dict[str, str]:
    return {name: files(__package__).joinpath("runtime", f"{name}.py").read_text("utf-8") for name in MODULES}


def _template() -> str:
    return files(__package__).joinpath("sql", _SQL).read_text("utf-8")


def _digest(runtime: Path, sources: Mapping[str, str], template: str) -> str:
    """Names this build: all that the functions are made of."""
    return hashlib.sha256("\0".join([ascii(str(runtime)), *sources.values(), template]).encode()).hexdigest()[:16]


def _definition(name: str, source: str) -> str:
    """The module as a part of a PL/Python body. It stays readable there: `\\sf pgscore.runtime_load`."""
    if "'''" in source or "\t" in source:
        raise ValueError(f"module {name} holds ''' or a tab, and cannot be embedded")
    return _DEFINITION.format(name=name, source=source)


def _dollar_quote(texts: list[str]) -> str:
    """A dollar quote that none of the texts holds."""
    number = 0
    while any(f"$pgscore{number or ''}$" in text for text in texts):
        number += 1
    return f"$pgscore{number or ''}$"
