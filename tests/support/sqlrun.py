"""Runs an artifact's functions in a database without the catalog: plain functions in a scratch schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pgscore.compiler.artifact import Artifact, Function, OnnxGraph, SqlType, Template
from pgscore.quoting import ident

SCHEMA = "scratch"


def name_of(function: Function) -> str:
    """The quoted name of a function in the scratch schema."""
    return ident(SCHEMA, f"model_{function.suffix}" if function.suffix else "model")


def create(connection: Any, artifact: Artifact) -> None:
    """Creates the functions, with named parameters; beyond 100 of them, over the row type `scratch.input`."""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA}")
        names = [ident(p.name) for p in artifact.parameters]
        typed = ", ".join(f"{n} {p.type.value}" for n, p in zip(names, artifact.parameters, strict=True))
        wide = len(names) > 100
        if wide:
            cursor.execute(f"CREATE TYPE {SCHEMA}.input AS ({typed})")
        for function in artifact.functions:
            text = function.body.text
            if artifact.onnx is not None:
                row = f"pgscore.onnx_row('{artifact.onnx.sha256}', {artifact.onnx.row.text})"
                text = text.replace(OnnxGraph.OUTPUTS.text, row)
            body = Template(text).render(lambda i: f"(r).{names[i]}" if wide else names[i])
            tag = "$body$"
            while tag in body:
                tag = tag[:-1] + "x$"
            written = f"RETURN {body}" if function.language == "sql" else f"AS {tag}{body}{tag}"
            arguments = f"r {SCHEMA}.input" if wide else typed
            cursor.execute(
                f"CREATE FUNCTION {name_of(function)}({arguments}) RETURNS {function.result} "
                f"LANGUAGE {function.language} IMMUTABLE PARALLEL SAFE {written}"
            )


def evaluate(connection: Any, artifact: Artifact, columns: Mapping[str, Sequence[object]]) -> dict[str, list[Any]]:
    """What each function (by suffix) gives for each row; `columns` hold Python values, None for NULL."""
    call = ", ".join(f"c{i}" for i in range(len(artifact.parameters)))
    if len(artifact.parameters) > 100:
        call = f"ROW({call})::{SCHEMA}.input"
    arrays = [array(p.type, columns[p.name]) for p in artifact.parameters]
    source = ", ".join(f"%s::{p.type.value}[]" for p in artifact.parameters) or "ARRAY[0]"
    calls = ", ".join(f"{name_of(function)}({call})" for function in artifact.functions)
    aliases = "".join(f"c{i}, " for i in range(len(arrays))) or "c, "
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {calls} FROM unnest({source}) WITH ORDINALITY AS t({aliases}n) ORDER BY n", arrays)
        rows = cursor.fetchall()
    return {f.suffix: [row[position] for row in rows] for position, f in enumerate(artifact.functions)}


def array(type_: SqlType, values: Sequence[Any]) -> object:
    """An array for PostgreSQL. Doubles go as text: a numeric literal has no -0, and is slower to read."""
    if type_ is SqlType.DOUBLE:
        return "{" + ",".join("NULL" if value is None else repr(float(value)) for value in values) + "}"
    return list(values)


def run(connection: Any, artifact: Artifact, columns: Mapping[str, Sequence[object]]) -> dict[str, list[Any]]:
    """`create`, then `evaluate`."""
    create(connection, artifact)
    return evaluate(connection, artifact, columns)
