"""A version as scripts for a database without pgscore: deploy.sql, revert.sql and verify.sql, for `psql -f`.

The functions are written from the live ones, as pg_dump does: PostgreSQL gives each argument list and body back, quoted
and qualified. What belongs to this database stays here: owners, rights, SECURITY DEFINER.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any, NamedTuple

from pgscore.compiler.artifact import Strategy
from pgscore.errors import NotFoundError, RefusedError, SignatureError, UsageError
from pgscore.quoting import ident, literal

from .catalog import VersionDetails, show
from .connection import Connection, pinned, transaction
from .export_scripts import BoundTable, fill, script, template
from .export_verify import verify_script
from .functions import MAX_ARGUMENTS, dollar_tag, function_name
from .parity import ParityReport
from .plan import as_comment
from .verify import stored_cases, subject

SCHEMA_COMMENT = "pgscore: functions of exported models; score.NAME calls the version that was deployed last"


@dataclass(frozen=True)
class Export:
    """The scripts of one version: `files` maps their names to their text, which depends on the version alone."""

    name: str
    version: int
    files: Mapping[str, str]

    def write(self, directory: Path, *, force: bool = False) -> list[Path]:
        """Writes the scripts and gives their paths; the directory is made where it is not there.

        Raises UsageError where a file cannot be written, or differs from what would be written, unless `force`.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
            paths = {directory / name: text.encode() for name, text in self.files.items()}
            differ = [path.name for path, content in paths.items() if path.exists() and path.read_bytes() != content]
            if differ and not force:
                raise UsageError(f"{', '.join(differ)} in {directory} would change; --force writes over it")
            for path, content in paths.items():
                path.write_bytes(content)
        except OSError as error:
            raise UsageError(f"cannot write to {directory}: {error.strerror}") from error
        return list(paths)


class LiveFunction(NamedTuple):
    """A function of the version, as PostgreSQL has it. `body` is RETURN and an expression, or a plpgsql block."""

    name: str
    language: str
    arguments: str
    types: str
    result: str
    body: str
    comment: str
    by_row: bool

    def signature(self, name: str) -> str:
        """The function of this name with the same arguments."""
        return f"{ident('score', name)}({self.types})"


def export(connection: Connection, name: str, version: int | None = None, *, grant: Sequence[str] = ()) -> Export:
    """The version (default: the one that is live) as deploy.sql, revert.sql and verify.sql.

    deploy.sql gives the roles in `grant` EXECUTE; a function that runs an ONNX graph is left out. It takes the rights
    of a deployer. Raises NotFoundError, and RefusedError for a version that needs PL/Python or whose functions are not
    all there.
    """
    roles = [ident(role) for role in grant]
    details = show(connection, name, version)
    if details.strategy == Strategy.ONNX.value:
        raise RefusedError(
            f"{name} version {details.version} is ONNX, which runs in pgscore's PL/Python functions alone;"
            " deploy it with --strategy sql or plpgsql, and export that"
        )
    suffixes = [f["suffix"] for f in details.functions if f.get("strategy") != Strategy.ONNX.value]
    if "factors" in details.functions[0]:
        raise RefusedError(
            f"{name} version {details.version} is a recommender, whose factors are tables of pgscore's;"
            " deploy its file to the other database"
        )
    with transaction(connection) as cursor, pinned(cursor):
        cursor.execute("SET LOCAL extra_float_digits = 1")
        functions = _functions(cursor, details, suffixes)
        table = _bound_table(cursor, details)
        cursor.execute("SELECT prosrc FROM pg_proc WHERE oid = 'pgscore.dependants(oid[])'::regprocedure")
        (dependants,) = cursor.fetchone()
        it = subject(connection, name, details.version)
        it = replace(it, functions=tuple(f for f in it.functions if f.suffix in suffixes))
        cases, answers = stored_cases(cursor, it)
    if not len(cases):
        raise NotFoundError(f"{name} version {details.version} has no stored rows to verify; deploy it again")
    header = _header(details)
    values = {
        "MODEL": literal(name),
        "VERSION": str(details.version),
        "NAMES": _texts(dict.fromkeys(f.name for f in functions)),
        "MOVING_NAMES": _texts(dict.fromkeys(_moving(details, f) for f in functions)),
        "TABLE": literal(table.name),
        "COLUMNS": _texts(table.types),
        "TYPES": _texts(table.types.values()),
        "ROLES": _texts(grant),
        "SCHEMA_COMMENT": literal(SCHEMA_COMMENT),
        "FIND_MOVING": template("find_moving"),
        "FUNCTIONS": "\n".join(_create(f, details) for f in functions),
        "GRANTS": "".join(_grant(role, functions, details) for role in roles),
    }
    values["MOVE"] = fill(template("move"), {"DEPENDANTS": dependants.strip()})
    values["DEPENDANTS"] = dependants.strip()
    return Export(
        name,
        details.version,
        {
            "deploy.sql": script(header, template("deploy"), values),
            "revert.sql": script(header, template("revert"), values),
            "verify.sql": verify_script(
                header, it, cases, answers, table, {p["name"]: p["column"] for p in details.parameters}
            ),
        },
    )


def _texts(values: Any) -> str:
    return f"ARRAY[{', '.join(map(literal, values))}]::text[]"


def _header(details: VersionDetails) -> str:
    libraries = ", ".join(f"{library} {version}" for library, version in details.libraries.items())
    return "\n".join(
        [
            f"{details.model} version {details.version}, written by pgscore {package_version('pgscore')} for databases"
            " without pgscore.",
            "",
            f"model:     {details.estimator} ({details.kind})",
            f"file:      sha256 {details.model_sha256}",
            f"made with: {libraries}",
            f"table:     {details.bound_table}",
            *([f"rows:      {details.condition}; NULL for all others"] if details.condition else []),
            f"strategy:  {details.strategy}: {details.reason}",
            f"deployed:  {details.created_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC by {details.created_by}",
            f"parity:    {ParityReport.from_json(details.parity).summary()}",
        ]
    )


def _functions(cursor: Any, details: VersionDetails, suffixes: Sequence[str]) -> list[LiveFunction]:
    names = [function_name(details.model, details.version, suffix) for suffix in suffixes]
    cursor.execute(
        """
        SELECT p.proname::text, l.lanname::text, pg_get_function_arguments(p.oid),
               (SELECT coalesce(string_agg(format_type(a.type, NULL), ', ' ORDER BY a.place), '')
                FROM unnest(p.proargtypes) WITH ORDINALITY AS a (type, place)),
               pg_get_function_result(p.oid), coalesce(pg_get_function_sqlbody(p.oid), p.prosrc),
               coalesce(obj_description(p.oid, 'pg_proc'), ''),
               EXISTS (SELECT FROM unnest(p.proargtypes) AS a (type) JOIN pg_type AS t ON t.oid = a.type
                       WHERE t.typtype = 'c')
        FROM pg_proc AS p
        JOIN pg_namespace AS n ON n.oid = p.pronamespace
        JOIN pg_language AS l ON l.oid = p.prolang
        WHERE n.nspname = 'score' AND p.proname = ANY (%s)
        ORDER BY p.oid
        """,
        (names,),
    )
    found = [LiveFunction(*row) for row in cursor.fetchall()]
    forms = {(f.name, f.by_row) for f in found}
    wanted = {(name, True) for name in names}
    if len(details.parameters) <= MAX_ARGUMENTS:
        wanted |= {(name, False) for name in names}
    if forms != wanted:
        raise RefusedError(f"functions of {details.model} version {details.version} are gone; deploy the model again")
    return found


def _bound_table(cursor: Any, details: VersionDetails) -> BoundTable:
    """The table by the type of the row form's argument: it may have another name than at the deploy."""
    cursor.execute(
        """
        SELECT format('%%I.%%I', n.nspname, c.relname), a.attname::text, format_type(a.atttypid, NULL)
        FROM pg_proc AS p
        JOIN pg_namespace AS s ON s.oid = p.pronamespace AND s.nspname = 'score'
        JOIN pg_type AS t ON t.oid = p.proargtypes[0] AND t.typtype = 'c'
        JOIN pg_class AS c ON c.oid = t.typrelid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE p.proname = %s
        """,
        (function_name(details.model, details.version),),
    )
    rows = cursor.fetchall()
    table, types = rows[0][0], {name: kind for _, name, kind in rows}
    columns = [p["column"] for p in details.parameters]
    for column in columns:
        if column not in types:
            raise SignatureError(
                f"table {table} has no column {column!r} any more, which {details.model} version {details.version}"
                " reads; deploy the model again"
            )
    return BoundTable(table, {column: types[column] for column in columns})


def _create(function: LiveFunction, details: VersionDetails) -> str:
    """The function, with its comment and without rights for PUBLIC."""
    qualified = ident("score", function.name)
    if function.language == "sql":
        body = function.body.strip()
    else:
        tag = dollar_tag(function.body)
        body = f"SET search_path = pg_catalog, pg_temp\nAS {tag}{function.body}{tag}"
    comment = f"{function.comment}\nmodel: sha256 {details.model_sha256}"
    signature = function.signature(function.name)
    return (
        f"{as_comment(function.comment)}"
        f"CREATE FUNCTION {qualified}({function.arguments})\nRETURNS {function.result}\n"
        f"LANGUAGE {function.language} IMMUTABLE PARALLEL SAFE\n{body};\n"
        f"COMMENT ON FUNCTION {signature} IS {literal(comment)};\n"
        f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC;\n"
    )


def _moving(details: VersionDetails, function: LiveFunction) -> str:
    return details.model + function.name.removeprefix(function_name(details.model, details.version))


def _grant(role: str, functions: Sequence[LiveFunction], details: VersionDetails) -> str:
    signatures = [signature for f in functions for signature in (f.signature(f.name), f.signature(_moving(details, f)))]
    listed = ",\n    ".join(signatures)
    return f"\nGRANT USAGE ON SCHEMA score TO {role};\nGRANT EXECUTE ON FUNCTION\n    {listed}\nTO {role};\n"
