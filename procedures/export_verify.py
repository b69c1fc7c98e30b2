"""verify.sql of an export: the made-up rows that the parity gate stored, replayed by SQL alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from pgscore.compiler.artifact import Function
from pgscore.quoting import ident, literal

from .answers import Subject
from .cases import Cases
from .export_scripts import BoundTable, fill, script, template
from .functions import function_name
from .parity import NOTHING, floors
from .verify import is_exact, plain

_REAL_ROWS = 100
"""Rows of the table on which the row form is held against the named one: a column that is mistaken shows in each."""


def verify_script(  # noqa: PLR0913, PLR0917
    header: str,
    it: Subject,
    cases: Cases,
    answers: Mapping[str, Sequence[object]],
    table: BoundTable,
    columns: Mapping[str, str],
) -> str:
    """The script. `columns` maps each parameter to its column of the table."""
    comparisons = [
        _comparison(it, place, function, answers[function.suffix], table, columns)
        for place, function in enumerate(it.functions)
    ]
    if it.parameters and not it.by_row:
        comparisons.append(_forms_agree(it, table, columns))
    values = {
        "CASES": literal(_rows(it, cases, answers)),
        "TOLERANCE": _double(it.tolerance),
        "COMPARISONS": "\n".join(comparisons),
        "VERSION": literal(f"{it.name} version {it.version}"),
        "COUNT": str(len(it.functions)),
        "TABLE": literal(table.name),
    }
    return script(header, template("verify"), values)


def _rows(it: Subject, cases: Cases, answers: Mapping[str, Sequence[object]]) -> str:
    lines = []
    for row, varied in enumerate(cases.varied):
        inputs = [plain(cases.columns[p.name][row]) for p in it.parameters]
        given = [_as_list(answers[f.suffix][row]) for f in it.functions]
        lines.append(json.dumps([inputs, given, varied], ensure_ascii=False, separators=(",", ":")))
    return "[\n" + ",\n".join(lines) + "\n]"


def _as_list(answer: object) -> object:
    return plain(answer) if isinstance(answer, list) else [] if answer is None else [plain(answer)]


def _double(value: float) -> str:
    return f"'{value!r}'::float8"


def _comparison(  # noqa: PLR0913, PLR0917
    it: Subject,
    place: int,
    function: Function,
    expected: Sequence[object],
    table: BoundTable,
    columns: Mapping[str, str],
) -> str:
    source = "jsonb_array_elements(cases) AS c (row)"
    if it.by_row:
        names = ", ".join(literal(columns[p.name]) for p in it.parameters)
        source += (
            f"\nCROSS JOIN LATERAL jsonb_populate_record(\n    NULL::{table.name},\n"
            f"    jsonb_object(ARRAY[{names}], ARRAY(SELECT jsonb_array_elements_text(c.row -> 0)))) AS r"
        )
        call = it.call(function.suffix, "r.*")
    else:
        call = it.call(
            function.suffix,
            ", ".join(f"{ident(p.name)} => (c.row -> 0 ->> {i})::{p.type.value}" for i, p in enumerate(it.parameters)),
        )
    array = function.result.endswith("[]")
    verdict = "SELECT n.expected IS DISTINCT FROM n.actual, 0::float8"
    if not is_exact(function):
        sizes = f"ARRAY[{', '.join(_double(size) for size in floors(expected))}]::float8[]"
        verdict = fill(template("numbers"), {"NOTHING": _double(NOTHING), "FLOORS": sizes})
    name = f"score.{function_name(it.name, it.version, function.suffix)}"
    return fill(
        template("compare"),
        {
            "TITLE": f"{name}: {function.method}",
            "TYPE": function.result.removesuffix("[]"),
            "INDEX": str(place),
            "ACTUAL": call if array else f"ARRAY[{call}]",
            "FROM": source,
            "VERDICT": verdict,
            "FUNCTION": literal(f"{name} ({function.method})"),
        },
    )


def _forms_agree(it: Subject, table: BoundTable, columns: Mapping[str, str]) -> str:
    named = ", ".join(f"{ident(p.name)} => (r.{ident(columns[p.name])})::{p.type.value}" for p in it.parameters)
    differs = [f"{it.call(f.suffix, 'r.*')} IS DISTINCT FROM {it.call(f.suffix, named)}" for f in it.functions]
    return fill(
        template("forms"),
        {
            "TABLE": table.name,
            "TABLE_TEXT": literal(table.name),
            "LIMIT": str(_REAL_ROWS),
            "DIFFERS": "\nOR ".join(differs),
        },
    )
