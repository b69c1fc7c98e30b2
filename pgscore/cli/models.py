"""Commands of a model's life: deploy, promote, rollback, list, show, history, drop, verify."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from pgscore.errors import PgscoreError, UsageError

from . import output, strategies
from .command import Reply, Session, command
from .options import (
    Alias,
    DryRun,
    ModelFile,
    ModelName,
    ModelVersion,
    StrategyChoice,
    StrategyOption,
    Table,
    Trust,
    Where,
    Why,
    split_version,
)
from .replies import plain, rows

if TYPE_CHECKING:
    from pgscore.compiler.artifact import Use
    from pgscore.compiler.load import LoadedModel
    from pgscore.procedures.verify import Judge

PANEL = "Models"


def register(app: typer.Typer) -> None:
    """Adds this group to the application."""
    for name, function in (
        ("deploy", deploy),
        ("promote", promote),
        ("rollback", rollback),
        ("list", list_models),
        ("show", show),
        ("history", history),
        ("verify", verify),
        ("drop", drop),
    ):
        command(app, name, panel=PANEL)(function)


def deploy(  # noqa: PLR0913, PLR0917 (its options)
    session: Session,
    model_file: ModelFile,
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="The model's name: score.NAME calls it.")],
    table: Table,
    trust: Trust = False,
    strategy: StrategyOption = StrategyChoice.AUTO,
    where: Where = None,
    alias: Alias = "live",
    promote: Annotated[
        bool, typer.Option("--promote", help="Make it the alias's version. A first version becomes that by itself.")
    ] = False,
    dry_run: DryRun = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Also say what was compiled, why so, and what a row costs.")
    ] = False,
) -> Reply:
    """Compile a model, create its next version, and hold its answers against the model's own: one transaction.

    A version whose answers differ is refused (exit code 1) and leaves nothing behind.
    """
    from pgscore.compiler.artifact import Strategy
    from pgscore.compiler.load import load_model
    from pgscore.procedures.deploy import deploy as apply
    from pgscore.procedures.plan import as_script
    from pgscore.procedures.timing import measured as time_uses

    with output.progress(f"deploying {name}") as progress:
        progress("loading the model")
        model = load_model(model_file, trust=trust)
        output.warn(model.warnings)
        with session.connection() as connection:
            deployment = apply(
                connection,
                model,
                name=name,
                table=table,
                strategy=None if strategy is StrategyChoice.AUTO else Strategy(strategy.value),
                where=where,
                alias=alias,
                promote=promote,
                dry_run=dry_run,
                progress=progress,
            )
            measured: Mapping[Use, float] = {}
            if explain and not dry_run:
                progress("measuring")
                try:
                    measured = time_uses(connection, name, deployment.version, deployment.table, deployment.artifact)
                except PgscoreError as error:  # the version is there
                    output.warn([f"what it costs is not measured: {error}"])
    artifact = deployment.artifact
    data: dict[str, Any] = {
        "model": deployment.name,
        "version": deployment.version,
        "promoted": deployment.promoted,
        "alias": alias,
        "estimator": artifact.estimator,
        "strategy": artifact.strategy.value,
        "uses": {use.value: taken.value for use, taken in artifact.uses.items()},
        "reason": artifact.reason,
        "condition": None if artifact.where is None else str(artifact.where),
        "estimates": strategies.as_data(artifact),
        "measured": {use.value: microseconds for use, microseconds in measured.items()},
        "sha256": artifact.sha256,
        "functions": [{"suffix": f.suffix, "method": f.method, "result": f.result} for f in artifact.functions],
        "parity": json.loads(deployment.report.to_json()),
        "seconds": dict(deployment.seconds),
    }
    if dry_run:
        data["script"] = as_script(deployment.statements)

    def display(console: Console) -> None:
        if dry_run:
            sys.stdout.write(data["script"])
            return
        behind = f"not yet {alias}: pgscore promote {name} {deployment.version}"
        alive = f"{alias} now" if deployment.promoted else behind
        console.print(f"Deployed {name} version {deployment.version} ({artifact.strategy.value}); {alive}")
        if explain:
            console.print(f"Model:    {artifact.estimator}")
            console.print(f"Strategy: {artifact.strategy.value}: {artifact.reason}")
            if artifact.where is not None:
                console.print(f"Rows:     {artifact.where}; NULL for all others")
            console.print(strategies.as_table(artifact, measured))
            functions = [
                [_function_name(name, f.suffix), f.result, f.method, f.strategy.value] for f in artifact.functions
            ]
            console.print(output.table(["function", "gives", "equals", "runs as"], functions))
            console.print("Seconds:  " + ", ".join(f"{what} {took:.2f}" for what, took in deployment.seconds.items()))
        console.print(deployment.report.summary().capitalize())

    return Reply(data, display)


def promote(
    session: Session,
    name: ModelName,
    version: Annotated[int, typer.Argument(metavar="VERSION", help="The version to make live.")],
    alias: Alias = "live",
    why: Why = None,
) -> Reply:
    """Make a version the one that `score.NAME` calls. The version before stays, one `rollback` away."""
    from pgscore.procedures.lifecycle import promote as apply

    with session.connection() as connection:
        before = apply(connection, name, version, alias=alias, why=why)
    data = {"model": name, "alias": alias, "version": version, "before": before}
    was = f" (it was version {before})" if before else ""
    return Reply(data, lambda console: console.print(f"{name}: {alias} is version {version} now{was}"))


def rollback(session: Session, name: ModelName, alias: Alias = "live", why: Why = None) -> Reply:
    """Give `score.NAME` back the version that it called before."""
    from pgscore.procedures.lifecycle import rollback as apply

    with session.connection() as connection:
        version = apply(connection, name, alias=alias, why=why)
    data = {"model": name, "alias": alias, "version": version}
    return Reply(data, lambda console: console.print(f"{name}: {alias} is version {version} again"))


def list_models(session: Session) -> Reply:
    """List the models: which version is live, how many there are, and what they are made of."""
    from pgscore.procedures.lifecycle import list_models as read

    with session.connection() as connection:
        models = read(connection)
    header = {
        "model": "model",
        "live": "live",
        "versions": "versions",
        "strategy": "strategy",
        "bound_table": "table",
        "estimator": "estimator",
    }
    return rows(header, models, "No models yet: pgscore deploy MODEL_FILE --as NAME --table TABLE")


def show(
    session: Session,
    name: ModelVersion,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL that creates the version's functions.")] = False,
) -> Reply:
    """Show one version (the live one, unless you say which): inputs, functions, strategy, parity, who and when."""
    from pgscore.procedures.lifecycle import show as read
    from pgscore.procedures.verify import ParityReport

    model, version = split_version(name)
    with session.connection() as connection:
        found = read(connection, model, version)
    parity = ParityReport.from_json(found.parity).summary().removeprefix("parity ")

    def display(console: Console) -> None:
        if sql:
            sys.stdout.write(found.sql.rstrip() + "\n")
            return
        aliases = f" ({', '.join(found.aliases)})" if found.aliases else ""
        console.print(f"{found.model} version {found.version}{aliases}: {found.kind}")
        facts = {
            "model": found.estimator,
            "table": found.bound_table,
            **({"rows": f"{found.condition}; NULL for all others"} if found.condition else {}),
            "strategy": f"{found.strategy}: {found.reason}",
            "parity": parity,
            "deployed": f"{found.created_at:%Y-%m-%d %H:%M:%S} by {found.created_by}",
            "file": f"sha256 {found.model_sha256}",
            "made with": ", ".join(f"{library} {version}" for library, version in found.libraries.items()),
        }
        console.print(output.table(["", ""], facts.items()))
        console.print()
        console.print(output.inputs((p["name"], p["type"]) for p in found.parameters))
        console.print()
        names = [
            [
                _function_name(found.model, f["suffix"], found.version),
                f["result"],
                f["method"],
                f.get("strategy", found.strategy),  # 0.1.0 recorded the version's alone
            ]
            for f in found.functions
        ]
        console.print(output.table(["function", "gives", "equals", "runs as"], names))

    return Reply(plain(found), display)


def _function_name(model: str, suffix: str, version: int | None = None) -> str:
    return "score." + "_".join(part for part in (model, f"v{version}" if version else "", suffix) if part)


def history(session: Session, name: ModelName) -> Reply:
    """Show each deploy, promote, rollback and drop of a model: who, when, from which version to which."""
    from pgscore.procedures.lifecycle import history as read

    with session.connection() as connection:
        events = read(connection, name)
    header = {"at": "at", "action": "action", "alias": "alias", "from_version": "from", "to_version": "to", "by": "by"}
    header["note"] = "why"
    return rows(header, events, f"{name} has no history")


def drop(
    session: Session,
    name: ModelVersion,
    alias: Annotated[
        str | None, typer.Option("--alias", metavar="ALIAS", help="Drop this alias; the version stays.")
    ] = None,
    why: Why = None,
) -> Reply:
    """Drop a model with all its versions, one version that no alias points to, or an alias. The history stays."""
    from pgscore.procedures.lifecycle import drop as apply
    from pgscore.procedures.lifecycle import drop_alias

    model, version = split_version(name)
    if alias is not None and version is not None:
        raise UsageError(f"an alias is the model's: pgscore drop {model} --alias {alias}")
    with session.connection() as connection:
        if alias is None:
            apply(connection, model, version, why=why)
        else:
            drop_alias(connection, model, alias, why=why)
    what = f"{model} version {version}" if version else f"{model} and all its versions"
    what = what if alias is None else f"alias {alias} of {model}"
    data = {"model": model, "version": version, "alias": alias, "dropped": True}
    return Reply(data, lambda console: console.print(f"Dropped {what}"))


def verify(
    session: Session,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME[@V]", help="The model, perhaps with a version: `churn@3`.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every version of every model.")] = False,
    model_file: Annotated[
        Path | None,
        typer.Option("--model", metavar="FILE", help="The version's model file: then real rows are compared too."),
    ] = None,
    trust: Trust = False,
) -> Reply:
    """Hold the database's answers against the model's own, recorded at deploy. Exit code 1 on a difference."""
    if (name is None) is not every:
        raise UsageError("name one model, or --all")
    if every and model_file is not None:
        raise UsageError("--model is the file of one version: name that, not --all")
    from pgscore.procedures.verify import verify as apply

    loaded = None
    if model_file is not None:
        from pgscore.compiler.load import load_model

        loaded = load_model(model_file, trust=trust)
        output.warn(loaded.warnings)
    reports = []
    with session.connection() as connection:
        targets = _all_versions(connection) if name is None else [_version(connection, name)]
        with output.counted(len(targets), "verifying") as progress:
            for model, version in targets:
                progress(f"verifying {model} version {version}")
                oracle = _judge(connection, model, version, loaded) if loaded else None
                reports.append((model, version, apply(connection, model, version, oracle=oracle)))
    data = [{"model": model, "version": version, **json.loads(report.to_json())} for model, version, report in reports]

    def display(console: Console) -> None:
        for model, version, report in reports:
            console.print(f"{model} version {version}: {report.summary()}")
        if not reports:
            console.print("No models to verify")

    passed = all(report.passed for _, _, report in reports)
    return Reply(data if every else data[0], display, exit_code=0 if passed else 1)


def _version(connection: Any, name: str) -> tuple[str, int]:
    """The model and the version that NAME[@V] means; without a version the live one."""
    from pgscore.procedures.lifecycle import show as read

    model, version = split_version(name)
    return model, read(connection, model, version).version


def _all_versions(connection: Any) -> list[tuple[str, int]]:
    from pgscore.procedures.catalog import list_models, versions

    return [(row.model, row.version) for found in list_models(connection) for row in versions(connection, found.model)]


def _judge(connection: Any, model: str, version: int, loaded: LoadedModel) -> Judge:
    """The model in the file. Raises UsageError unless it is the very file that the version was deployed from."""
    from pgscore.compiler.artifact import Strategy
    from pgscore.procedures.deploy import judge_of
    from pgscore.procedures.lifecycle import show as read
    from pgscore.procedures.verify import subject

    details = read(connection, model, version)
    if details.model_sha256 != loaded.sha256:
        raise UsageError(f"{loaded.path} is not the file that {model} version {version} was deployed from")
    found = subject(connection, model, version)
    return judge_of(loaded, found.parameters, found.functions, Strategy(details.strategy), found.where)
