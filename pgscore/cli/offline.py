"""Commands about a model file: check and compile. No database is needed, unless check is to look at a table."""

from __future__ import annotations

import base64
import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

import pgscore
from pgscore.errors import UnsupportedError, UsageError

from . import output, strategies
from .command import Reply, Session, command
from .options import MODEL_FILE, ModelFile, Output, Trust, Where
from .replies import plain, rows

if TYPE_CHECKING:
    from pgscore.compiler.artifact import Artifact, Function, Parameter
    from pgscore.compiler.forms import Form
    from pgscore.compiler.ir import Label, Program

PANEL = "Models"
MAX_CLASSES_NAMED = 20


def register(app: typer.Typer) -> None:
    """Adds this group to the application."""
    command(app, "check", panel=PANEL)(check)
    command(app, "compile", server=False, panel=PANEL)(compile_model)


def check(
    session: Session,
    model_file: Annotated[Path | None, MODEL_FILE] = None,
    table: Annotated[
        str | None, typer.Option("--table", metavar="TABLE", help="Also hold the inputs against this table's columns.")
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="List the estimators that pgscore compiles.")] = False,
    trust: Trust = False,
) -> Reply:
    """Say of each step how it can run, how large the model is in each form, and what `auto` would choose.

    Needs no database without --table. Exit code 1 where the model does not compile.
    """
    if listing:
        return _listing()
    if model_file is None:
        raise UsageError("which model file? Or --list for the estimators that pgscore compiles")
    from pgscore.compiler.build import build, default_parameters
    from pgscore.compiler.forms import forms
    from pgscore.compiler.frontends import to_program
    from pgscore.compiler.load import FACTORS, load_model

    from .verdicts import verdicts

    with output.progress("compiling"):
        model = load_model(model_file, trust=trust)
        output.warn(model.warnings)
        program, refusal = None, None
        try:
            program = to_program(model.estimator)
        except UnsupportedError as error:
            if model.format == FACTORS:  # it has no steps
                raise
            refusal = error
        steps = verdicts(model.estimator, refusal)
        artifact, elsewhere, found = None, None, []
        if program is not None:
            parameters = _bound(session, program, table) if table else default_parameters(program)
            artifact = build(program, parameters, estimator=model.description)
            elsewhere = _without_plpython(program, parameters, artifact)
            found = forms(program, parameters)

    data: dict[str, Any] = {
        "model": model.description,
        "file": str(model_file),
        "sha256": model.sha256,
        "compiles": artifact is not None,
        "steps": plain(steps),
        "refusal": _refusal(refusal) if refusal else None,
    }
    if artifact is not None:
        data |= _described(artifact)
        data["without_plpython"] = elsewhere
        data["forms"] = plain(found)

    def show(console: Console) -> None:
        console.print(f"{model.description}\n")
        console.print(output.table(["step", "estimator", "verdict"], [[v.step, v.estimator, v] for v in steps]))
        if artifact is None:
            console.print("\nIt does not compile, because of what is refused.")
            return
        _show(console, artifact, found, against=table)
        if elsewhere is None:
            console.print("and without PL/Python there is no way: it has no form in SQL")
        elif elsewhere["strategy"] != artifact.strategy.value:
            console.print(f"and without PL/Python {elsewhere['strategy']}: {elsewhere['reason']}")

    return Reply(data, show, exit_code=0 if artifact is not None else 1)


def _listing() -> Reply:
    from pgscore.compiler.support import table

    found = [
        {
            "family": row.family,
            "module": row.module,
            "estimator": row.estimator,
            "verdict": row.verdict.value,
            "difference": row.difference,
            "note": row.note,
        }
        for row in table()
    ]
    header = {
        "family": "family",
        "estimator": "estimator",
        "verdict": "verdict",
        "difference": "largest difference",
        "note": "note",
    }
    return rows(header, found, "")


def _without_plpython(program: Program, parameters: Sequence[Parameter], artifact: Artifact) -> dict[str, str] | None:
    """What `auto` would choose on a server without PL/Python; None if the model has no form there."""
    from pgscore.compiler.artifact import Strategy
    from pgscore.compiler.build import build

    if artifact.strategy is Strategy.ONNX:
        try:
            artifact = build(program, parameters, available=frozenset({Strategy.SQL, Strategy.PLPGSQL}))
        except UnsupportedError:
            return None
    return {"strategy": artifact.strategy.value, "reason": artifact.reason}


def _refusal(error: UnsupportedError) -> dict[str, str]:
    return {"step": error.step, "reason": error.reason, "way_forward": error.way_forward}


def _bound(session: Session, program: Program, table: str) -> tuple[Parameter, ...]:
    from pgscore.procedures.binding import bind

    with session.connection() as connection:
        return bind(connection, program.columns, table).parameters


def _described(artifact: Artifact) -> dict[str, Any]:
    return {
        "kind": artifact.kind.value,
        "strategy": artifact.strategy.value,
        "uses": {use.value: taken.value for use, taken in artifact.uses.items()},
        "reason": artifact.reason,
        "estimates": strategies.as_data(artifact),
        "inputs": [{"name": p.name, "type": p.type.value} for p in artifact.parameters],
        "functions": [{"suffix": f.suffix, "method": f.method, "result": f.result} for f in artifact.functions],
    }


def _show(console: Console, artifact: Artifact, found: Sequence[Form], *, against: str | None) -> None:
    types = f"as in {against}" if against else "without a table"
    n_inputs = len(artifact.parameters)
    console.print(f"\n{artifact.kind.value}, {n_inputs} input{'' if n_inputs == 1 else 's'} ({types}):")
    console.print(output.inputs((p.name, p.type.value) for p in artifact.parameters))
    console.print("\nFunctions:")
    functions = [["score.NAME" + (f"_{f.suffix}" if f.suffix else ""), f.result, f.method] for f in artifact.functions]
    console.print(output.table(["function", "gives", "equals"], functions))
    console.print("\nForms:")
    console.print(output.table(["form", "size", "before the first row", "memory"], map(_form, found)))
    for form in found:
        if form.against:
            console.print(f"{form.strategy.value} is a bad idea: {form.against}")
    console.print(f"\nauto chooses {artifact.strategy.value}: {artifact.reason}")
    console.print(strategies.as_table(artifact))


def _form(form: Form) -> list[str]:
    if form.bytes:
        return [form.strategy.value, f"{form.bytes:,} bytes", "", ""]
    about = "" if form.exactly else "over "
    return [
        form.strategy.value,
        f"{about}{form.characters:,} characters",
        f"{form.start:.1f} ms",
        f"{about}{form.memory:,.1f} MB",
    ]


class Target(str, Enum):  # noqa: UP042 (typer shows the values of a str Enum)
    """`--to`."""

    SQL = "sql"
    ONNX = "onnx"


def compile_model(  # noqa: PLR0913, PLR0917 (its options)
    session: Session,
    model_file: ModelFile,
    to: Annotated[Target, typer.Option("--to", help="A script that creates the functions, or the ONNX graph.")],
    destination: Output = None,
    name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="The SQL function's name. Default: the file's.")
    ] = None,
    where: Where = None,
    trust: Trust = False,
) -> Reply:
    """Compile a model without a database: numbers are double precision, strings text.

    The SQL script makes functions with named arguments; `deploy` makes more of a model, and checks its answers.
    """
    from pgscore.compiler.artifact import Strategy
    from pgscore.compiler.build import build, default_parameters
    from pgscore.compiler.frontends import to_program
    from pgscore.compiler.load import load_model
    from pgscore.compiler.where import parse_where

    if where is not None and to is Target.ONNX:
        raise UsageError("--where is for SQL: pgscore asks for the condition beside a graph, so deploy it")
    condition = None if where is None else parse_where(where)
    with output.progress("compiling"):
        model = load_model(model_file, trust=trust)
        output.warn(model.warnings)
        program = to_program(model.estimator)
        available = frozenset({Strategy.ONNX} if to is Target.ONNX else {Strategy.SQL, Strategy.PLPGSQL})
        artifact = build(
            program,
            default_parameters(program),
            available=available,
            estimator=model.description,
            model_sha256=model.sha256,
            libraries=model.libraries,
            where=condition,
        )
        content = _content(artifact, name or model_file.stem, model_file.name)
    if destination is None and to is Target.ONNX and not session.as_json and sys.stdout.isatty():
        raise UsageError("an ONNX graph is binary: name a file with -o")
    if destination is not None:
        try:
            destination.write_bytes(content)
        except OSError as error:
            raise UsageError(f"cannot write {destination}: {error.strerror}") from error

    data = {"to": to.value, "sha256": artifact.sha256, "bytes": len(content), **_described(artifact)}
    if destination is not None:
        data["file"] = str(destination)
    else:
        data["content"] = content.decode() if to is Target.SQL else base64.b64encode(content).decode()

    def show(console: Console) -> None:
        if destination is None:
            sys.stdout.flush()
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
        else:
            why = "" if to is Target.ONNX else f", {artifact.strategy.value} ({artifact.reason})"
            console.print(f"Wrote {destination}: {len(content):,} bytes{why}")

    return Reply(data, show)


_HEADER = """\
{estimator} from {file} (sha256 {sha256}),
compiled by pgscore {version}; as {strategy}: {reason}.{rows}

Numbers are written '0.1'::float8, since PostgreSQL reads 0.1 as numeric. NULL means that the model refuses the row: a
missing value that it does not take, an infinity, or a number so large that its arithmetic would overflow; the first
conditions of a function say which. PostgreSQL raises errors where Python goes on with 0 or infinity. So least() and
greatest() keep exp() in range, and x + 1e-306 - 1e-306 makes 0 of a number that is too small to multiply."""


def _content(artifact: Artifact, name: str, file: str) -> bytes:
    """The graph, or a script of functions with named arguments in the first schema of psql's search_path."""
    if artifact.onnx is not None:
        return artifact.onnx.content
    from pgscore.procedures.functions import MAX_ARGUMENTS, function_by_name
    from pgscore.procedures.plan import Statement, as_script
    from pgscore.quoting import ident

    if len(artifact.parameters) > MAX_ARGUMENTS:
        raise UsageError(
            f"the model has {len(artifact.parameters)} inputs, and PostgreSQL allows {MAX_ARGUMENTS} arguments;"
            " deploy it: its functions take a row of the table"
        )
    labels = next((f.labels for f in artifact.functions if f.labels), None)
    statements = [
        Statement(
            function_by_name(ident(f"{name}_{f.suffix}" if f.suffix else name), artifact.parameters, f),
            _said(f, labels),
        )
        for f in artifact.functions
    ]
    header = _HEADER.format(
        estimator=artifact.estimator,
        file=file,
        sha256=artifact.model_sha256[:12],
        version=pgscore.__version__,
        strategy=artifact.strategy.value,
        reason=artifact.reason,
        rows="" if artifact.where is None else f"\nFor rows where {artifact.where}; all others get NULL.",
    )
    return as_script(statements, header).encode()


def _said(function: Function, labels: Sequence[Label] | None) -> str:
    """What the function equals; of probabilities, which classes they are of."""
    if labels and function.method == "predict_proba(X)[:, 1]":
        return f"{function.method}: the probability of {labels[1]!r}"
    if labels and function.method == "predict_proba(X)" and len(labels) <= MAX_CLASSES_NAMED:
        return f"{function.method}: the probabilities of {', '.join(map(repr, labels))}"
    return function.method
