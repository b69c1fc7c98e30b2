"""Commands about challengers of refresh jobs: give a job one, and see how it scores beside live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pgscore.errors import UsageError

from . import output
from .command import Reply, Session
from .options import JobName
from .replies import plain, rows

if TYPE_CHECKING:
    from pgscore.procedures.challenger import Comparison

Challenger = Annotated[
    str | None,
    typer.Option("--challenger", metavar="ALIAS", help="The alias whose version is scored beside, and compared."),
]
Canary = Annotated[
    float,
    typer.Option("--canary", metavar="SHARE", help="This share of the keys, 0 to 1, gets the challenger's score."),
]

READING = (
    ("agreement", "same label; of probabilities, same side of 0.5; of decisions, of 0"),
    ("mean_live", "the scores of live on average"),
    ("mean_challenger", "those of the challenger"),
    ("mean_shift", "challenger - live, on average: below 0, it scores lower"),
    ("mean_abs_shift", "how far a score moves, on average"),
    ("max_abs_shift", "how far the one that moves most does"),
    ("ks", "distance of the distributions: 0 the same, 1 apart; thresholds may need moving"),
    ("rank_correlation", "Spearman: 1 the same order of keys, 0 no relation, -1 reversed"),
    ("overlap_top_1pct", "share of the 1 % of keys with the highest scores that both name"),
    ("overlap_top_10pct", "the same of 10 %: who would be called, mailed, checked"),
)
"""The figures of a comparison, and how to read them."""


def challenge(
    session: Session,
    job: JobName,
    challenger: Challenger = None,
    canary: Canary = 0,
    none: Annotated[bool, typer.Option("--none", help="Take the challenger away.")] = False,
) -> Reply:
    """Give a job a challenger: runs score both and compare them; with --canary, a share of the keys gets its scores."""
    if (challenger is None) is not none:
        raise UsageError("name the challenger with --challenger ALIAS, or take it away with --none")
    check_canary(challenger, canary)
    from pgscore.procedures.challenger import set_challenger

    with session.connection() as connection:
        version = set_challenger(connection, job, challenger, canary)
    if challenger is None:
        says = f"{job} has no challenger"
    elif version is None:
        says = f"{job} has challenger {challenger}, which points to no version yet: runs go on with live alone"
    else:
        says = f"{job} has challenger {challenger}, now version {version}" + (
            f", for {canary:g} of the keys" if canary else ", in the shadow of live"
        )
    data = {"job": job, "challenger": challenger, "canary": canary, "version": version}
    return Reply(data, lambda console: console.print(says))


def check_canary(challenger: str | None, canary: float) -> None:
    """Raises UsageError for a canary without a challenger."""
    if canary and challenger is None:
        raise UsageError("--canary is the share of a challenger: pass --challenger ALIAS")


def compare(
    session: Session,
    job: JobName,
    every: Annotated[bool, typer.Option("--all", help="All runs that had a challenger, the last first.")] = False,
) -> Reply:
    """Show how a job's challenger scored beside live in the last run that had one, and how to read the figures."""
    from pgscore.procedures.challenger import comparisons

    with session.connection() as connection:
        found = comparisons(connection, job)
    nothing = f"{job} has compared nothing yet: pgscore refresh challenge {job} --challenger ALIAS, then refresh run"
    if every:
        header = {
            "run_id": "run", "at": "at", "version": "live", "challenger_version": "challenger", "rows": "rows",
            "agreement": "agreement", "mean_shift": "mean shift", "ks": "ks", "rank_correlation": "rank",
            "overlap_top_1pct": "top 1 %", "overlap_top_10pct": "top 10 %",
        }  # fmt: skip
        return rows(header, found, nothing)
    if not found:
        return Reply(None, lambda console: console.print(nothing))
    last = found[0]
    return Reply(plain(last), lambda console: _show(console, last))


def _show(console: Console, it: Comparison) -> None:
    console.print(
        f"{it.job}, run {it.run_id} of {it.at:%Y-%m-%d %H:%M:%S}: {it.model} version {it.version} ({it.alias}) beside"
        f" version {it.challenger_version} ({it.challenger})"
    )
    scored = it.rows - it.both_refused - it.only_live_refused - it.only_challenger_refused
    console.print(
        f"{it.rows:,} rows, {scored:,} scored by both; refused by both {it.both_refused:,}, by live alone"
        f" {it.only_live_refused:,}, by the challenger alone {it.only_challenger_refused:,}"
    )
    if it.canary:
        console.print(f"canary {it.canary:g}: {it.canary_rows:,} rows have the challenger's score")
    figures = [[name, getattr(it, name), how] for name, how in READING if getattr(it, name) is not None]
    if figures:
        console.print(output.table(["figure", "", "of the rows that both scored"], figures))
