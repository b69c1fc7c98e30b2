"""The functions that score ONNX graphs in PL/Python, with the source of procedures/runtime/ in their bodies.

Functions and modules come from one release and are replaced together, so they cannot drift apart.
"""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from pathlib import Path

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


def statements(runtime: Path) -> list[Statement]:
    """Creates the functions; a superuser applies them. `runtime` is the folder on the server with the libraries."""
    sources = {name: files(__package__).joinpath("runtime", f"{name}.py").read_text("utf-8") for name in MODULES}
    folder = ascii(str(runtime))
    digest = hashlib.sha256("\0".join([folder, *sources.values()]).encode()).hexdigest()[:16]
    text = files(__package__).joinpath("sql", _SQL).read_text("utf-8")
    text = text.replace("$body$", _dollar_quote([folder, *sources.values()]))
    text = text.replace("@FOLDER@", folder).replace("@DIGEST@", f'"{digest}"')
    text = _MODULE.sub(lambda match: _definition(match[1], sources[match[1]]), text)
    return [Statement(text, "plpython.sql.in: scoring ONNX graphs with onnxruntime")]


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
