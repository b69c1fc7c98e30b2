"""Arguments and options that several commands take, with one help text each."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from pgscore.errors import UsageError


def interval(text: str) -> timedelta:
    """A length of time. Raises UsageError."""
    from pgscore.procedures.intervals import parse_interval

    return parse_interval(text)


MODEL_FILE = typer.Argument(
    metavar="MODEL_FILE",
    help="The trained model: .skops, .onnx, .npz of a recommender, a file of LightGBM, XGBoost or CatBoost, or"
    " .joblib/.pkl with --trust.",
)
ModelFile = Annotated[Path, MODEL_FILE]
Trust = Annotated[
    bool, typer.Option("--trust", help="Load a pickle or unknown types: it may run code. Only for files of your own.")
]
ModelName = Annotated[str, typer.Argument(metavar="NAME", help="The model's name.")]
ModelVersion = Annotated[str, typer.Argument(metavar="NAME[@V]", help="The model's name, with a version: `churn@3`.")]
Alias = Annotated[str, typer.Option("--alias", metavar="ALIAS", help="The alias that moves.")]
JobName = Annotated[str, typer.Argument(metavar="JOB", help="The job's name.")]
Every = Annotated[
    timedelta | None,
    typer.Option(
        "--every", metavar="TIME", parser=interval, help="How long after a run began the next is due, such as '1 day'."
    ),
]
TargetLag = Annotated[
    timedelta | None,
    typer.Option(
        "--target-lag", metavar="TIME", parser=interval, help="How old the predictions may become, such as '15 min'."
    ),
]
StatementTimeout = Annotated[
    timedelta | None,
    typer.Option("--statement-timeout", metavar="TIME", parser=interval, help="How long a run may take."),
]
LockTimeout = Annotated[
    timedelta | None,
    typer.Option("--lock-timeout", metavar="TIME", parser=interval, help="How long a run waits for a lock."),
]
MaxRowsPerSecond = Annotated[
    int | None,
    typer.Option(
        "--max-rows-per-second", metavar="N", min=1, help="Wait between the steps of a run, to score no more than N."
    ),
]
Why = Annotated[str | None, typer.Option("--why", metavar="TEXT", help="The reason, for the history.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the SQL, for `psql -f -`; change nothing.")]
Table = Annotated[str, typer.Option("--table", metavar="TABLE", help="The table or view whose rows the model scores.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write here. Default: stdout.")]


class StrategyChoice(str, Enum):  # noqa: UP042 (typer shows the values of a str Enum)
    """`--strategy`: `auto` leaves it to the cost model."""

    AUTO = "auto"
    SQL = "sql"
    PLPGSQL = "plpgsql"
    ONNX = "onnx"


Where = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="CONDITION",
        help="Only for rows such as \"region = 'EU' AND tenure >= 12\": leaner SQL; other rows get NULL.",
    ),
]
StrategyOption = Annotated[StrategyChoice, typer.Option("--strategy", help="How the model runs in the database.")]

_MODEL_VERSION = re.compile(r"(?P<name>[^@]+)(@(?P<version>[1-9][0-9]*))?")


def split_version(text: str) -> tuple[str, int | None]:
    """`churn@3` is ("churn", 3), `churn` is ("churn", None). Raises UsageError for anything else after the @."""
    match = _MODEL_VERSION.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is no model or model@version, such as churn or churn@3")
    return match["name"], int(match["version"]) if match["version"] else None


def rough(length: timedelta) -> str:
    """A length of time in its largest unit."""
    seconds = length.total_seconds()
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
