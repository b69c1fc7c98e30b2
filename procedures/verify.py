"""The parity gate: the model's own answers against the database's, for real rows and for adversarial ones.

A deploy passes this gate or is rolled back. `verify` repeats it any time: it replays the made-up rows stored with the
version, and where the model is at hand also compares real rows of the table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pgscore.compiler.artifact import Artifact, Function, Parameter, SqlType, Template
from pgscore.compiler.ir import TOLERANCE, Domain
from pgscore.compiler.where import parse_where
from pgscore.errors import NotFoundError

from .answers import Subject, Table
from .cases import Cases, Space, adversarial, synthetic_bases
from .conditional import Answers, Conditional, Judge
from .connection import Connection, errors, pinned, transaction
from .parity import FunctionParity, ParityReport
from .trial import Trial, is_exact

__all__ = [
    "FunctionParity",
    "Judge",
    "ParityReport",
    "Subject",
    "gate",
    "is_exact",
    "plain",
    "stored_cases",
    "subject",
    "verify",
]

MAX_ROWS = 10_000


def gate(  # noqa: PLR0913
    connection: Connection,
    artifact: Artifact,
    *,
    name: str,
    version: int,
    table: str,
    oracle: Judge,
    max_rows: int = MAX_ROWS,
) -> tuple[ParityReport, str]:
    """Compares the functions of `name`, version `version`, with the model, in the current transaction.

    Gives the report and, as JSON text, the made-up rows with the model's answers, for `verify` to replay. The table is
    read as the connected user; at most `max_rows` of its rows are used, fewer where the functions are slow.
    """
    it = Subject(
        name,
        version,
        table,
        artifact.parameters,
        artifact.functions,
        artifact.probes,
        artifact.tolerance,
        None if artifact.factors is None else artifact.factors.sha256,
        artifact.where,
        artifact.onnx is not None,
    )
    with errors(f"checking model {name}"), connection.cursor() as cursor, pinned(cursor):
        _settle(cursor)
        bound = Table(cursor, it, max_rows)
        space = Space(it.parameters, it.probes, bound.limits(), artifact.paths, _domains(it))
        made_up = adversarial(space, synthetic_bases(space, *bound.statistics()))
        judge = Conditional(oracle, cursor, bound, it)
        answers = judge.answers(made_up.columns)
        trial = Trial(cursor, bound, it)
        trial.factors()
        if artifact.approximation:
            trial.note(f"within {artifact.tolerance:.1e}: {artifact.approximation}")
        trial.made_up(made_up, answers)
        trial.real(judge, space)
        return trial.report(), _encode(it, made_up, answers)


def verify(
    connection: Connection, name: str, version: int | None = None, *, oracle: Judge | None = None
) -> ParityReport:
    """Repeats the gate for a deployed version (default: the one that is live), from what was stored with it.

    With `oracle` also real rows of the table are compared. Raises NotFoundError.
    """
    with transaction(connection) as cursor, pinned(cursor):
        it = subject(connection, name, version)
        _settle(cursor)
        made_up, answers = stored_cases(cursor, it)
        table = Table(cursor, it, MAX_ROWS)
        trial = Trial(cursor, table, it)
        trial.factors()
        trial.made_up(made_up, answers)
        if oracle is not None:
            trial.real(Conditional(oracle, cursor, table, it), None)
        return trial.report()


def subject(connection: Connection, name: str, version: int | None = None) -> Subject:
    """The version (default: the one that is live) as the catalog has it. Raises NotFoundError."""
    with errors(), connection.cursor() as cursor, pinned(cursor):
        cursor.execute(
            """
            SELECT v.version, v.bound_table, v.parameters, v.functions,
                (v.parity->>'tolerance')::double precision, v.functions->0->'factors'->>'sha256', v.condition,
                -- 0.1.0 made none.
                v.onnx_sha256 IS NOT NULL AND EXISTS (
                    SELECT FROM pg_catalog.pg_proc AS p
                    JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
                    WHERE n.nspname = 'score' AND p.proname = m.name || '_v' || v.version || '_features')
            FROM pgscore.models AS m
            JOIN pgscore.versions AS v USING (model_id)
            LEFT JOIN pgscore.aliases AS a ON a.version_id = v.version_id AND a.alias = 'live'
            WHERE m.name = %(name)s AND (v.version = %(version)s OR %(version)s IS NULL AND a.alias IS NOT NULL)
            """,
            {"name": name, "version": version},
        )
        row = cursor.fetchone()
    if row is None:
        what = f"no model {name} that is live" if version is None else f"no version {version} of model {name}"
        raise NotFoundError(f"there is {what}; `pgscore list` shows what there is")
    parameters = tuple(Parameter(p["name"], SqlType(p["type"])) for p in row[2])
    functions = tuple(_function(f) for f in row[3])
    tolerance = TOLERANCE if row[4] is None else row[4]
    where = None if row[6] is None else parse_where(row[6])
    return Subject(name, row[0], row[1], parameters, functions, {}, tolerance, row[5], where, row[7])


def _domains(it: Subject) -> dict[str, Domain]:
    """What the version's condition says of each column, by name."""
    found = {} if it.where is None else it.where.domains(it.parameters)
    return {it.parameters[index].name: domain for index, domain in found.items()}


def _function(given: Mapping[str, Any]) -> Function:
    labels = tuple(given["labels"]) if given["labels"] is not None else None
    outputs = tuple(given["outputs"])
    return Function(given["suffix"], given["method"], given["result"], given["language"], Template(""), outputs, labels)


def _settle(cursor: Any) -> None:
    """Until the end of the transaction: floats in full, and no compiling of plans that run once."""
    cursor.execute("SELECT set_config('extra_float_digits', '1', true), set_config('jit', 'off', true)")


def _encode(it: Subject, cases: Cases, answers: Answers) -> str:
    """The rows with their answers as JSON text."""
    return json.dumps(
        {
            "varied": cases.varied,
            "inputs": {name: [plain(value) for value in values] for name, values in cases.columns.items()},
            "answers": {f.suffix: [plain(answer) for answer in answers[f.suffix]] for f in it.functions},
        }
    )


def plain(value: object) -> object:
    """The value for JSON: a double is a string of the shortest digits that give it back."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    return repr(value) if isinstance(value, float) else value


def stored_cases(cursor: Any, it: Subject) -> tuple[Cases, dict[str, list[object]]]:
    """The made-up rows that the gate stored with the version, and the model's answers by function suffix."""
    cursor.execute(
        """
        SELECT c.cases
        FROM pgscore.parity_cases AS c
        JOIN pgscore.versions AS v USING (version_id)
        JOIN pgscore.models AS m USING (model_id)
        WHERE m.name = %s AND v.version = %s
        """,
        [it.name, it.version],
    )
    row = cursor.fetchone()
    if row is None:
        return Cases({p.name: [] for p in it.parameters}, ()), {f.suffix: [] for f in it.functions}
    content = row[0]
    inputs = {p.name: _revive(content["inputs"][p.name], p.type is SqlType.DOUBLE) for p in it.parameters}
    double = SqlType.DOUBLE.value
    answers = {f.suffix: _revive(content["answers"][f.suffix], f.result.startswith(double)) for f in it.functions}
    return Cases(inputs, tuple(content["varied"])), answers


def _revive(values: Sequence[Any], double: bool) -> list[Any]:
    if not double:
        return list(values)
    return [_revive(v, double) if isinstance(v, list) else None if v is None else float(v) for v in values]
