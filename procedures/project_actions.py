"""What makes a database what pgscore.toml says, as values: project_plan.py lists them, project_apply.py runs them."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from pgscore.compiler.artifact import Strategy

from .intervals import as_text

LIVE = "live"

SCHEDULE = ("target_lag", "every")
LIMITS = ("statement_timeout", "lock_timeout", "max_rows_per_second")
OPTIONAL = (*SCHEDULE, *LIMITS, "challenger", "canary", "live")
"""Settings of a job that change without making it anew, and stay where pgscore.toml does not name them."""

CREATED = (
    "query", "changes", "watermark", "lookback", "backfill_first", "outputs", "carry", "vanished",
    "top", "per", "order_by", "keep", "diverse", "max_per", "eligible",
)  # fmt: skip
"""Settings that take making it anew, and stay as well, but for the query."""


@dataclass(frozen=True)
class Action(ABC):
    """One change of the database. `sign` is +, ~ or -; the text of an action is its line in the plan."""

    kind: ClassVar[str]
    sign: ClassVar[str]

    @property
    @abstractmethod
    def title(self) -> str:
        """What is done to what: `deploy churn version 3`."""

    @property
    def details(self) -> str:
        """The rest of its line."""
        return ""

    def __str__(self) -> str:
        return self.title + self.details


@dataclass(frozen=True)
class DeployVersion(Action):
    """Make a version of `path` for `table`; `version` is its number, unless somebody else deploys meanwhile.

    `before` is the version that `alias` means now, and `lives` says that the version becomes live as the first one.
    """

    kind = "deploy"
    sign = "+"

    model: str
    version: int
    file: str
    path: Path
    sha256: str
    table: str
    strategy: Strategy | None
    trust: bool
    alias: str
    promote: bool
    before: int | None
    lives: bool
    reason: str
    condition: str | None = None

    @property
    def title(self) -> str:
        return f"deploy {self.model} version {self.version}"

    @property
    def details(self) -> str:
        moves = [_moves(self.alias, self.before, self.version)] if self.promote else []
        if self.lives and not (self.promote and self.alias == LIVE):
            moves.append("it becomes live, as a first version does")
        elif not self.promote:
            moves.append(f"{self.alias} stays {self.before}" if self.before else "not promoted")
        rows = f" where {self.condition}" if self.condition else ""
        return f" for {self.table}{rows}: {self.file} ({self.reason}); {'; '.join(moves)}"


@dataclass(frozen=True)
class Promote(Action):
    """Point `alias` to a version that is there and up to date."""

    kind = "promote"
    sign = "~"

    model: str
    version: int
    alias: str
    before: int | None
    file: str

    @property
    def title(self) -> str:
        return f"promote {self.model} version {self.version}"

    @property
    def details(self) -> str:
        return f": it is {self.file}; {_moves(self.alias, self.before, self.version)}"


@dataclass(frozen=True)
class Grant(Action):
    """Let `role` call the model."""

    kind = "grant"
    sign = "+"

    model: str
    role: str

    @property
    def title(self) -> str:
        return f"grant {self.model} to {self.role}"


@dataclass(frozen=True)
class Revoke(Action):
    """Take from `role` the right to call the model."""

    kind = "revoke"
    sign = "-"

    model: str
    role: str

    @property
    def title(self) -> str:
        return f"revoke {self.model} from {self.role}"


@dataclass(frozen=True)
class JobSettings:
    """A refresh job as the catalog has it: `source` (of a `query`, its view) and `target` are qualified and quoted."""

    model: str
    alias: str
    source: str
    keys: tuple[str, ...]
    target: str
    mode: str
    query: str | None = None
    changes: str = "triggers"
    watermark: str | None = None
    lookback: timedelta | None = None
    backfill_first: str | None = None
    outputs: tuple[str, ...] = ()
    carry: tuple[str, ...] = ()
    vanished: str = "remove"
    top: int | None = None
    per: tuple[str, ...] = ()
    order_by: str | None = None
    keep: int | None = None
    diverse: str | None = None
    max_per: int | None = None
    eligible: str | None = None
    target_lag: timedelta | None = None
    every: timedelta | None = None
    statement_timeout: timedelta | None = None
    lock_timeout: timedelta | None = None
    max_rows_per_second: int | None = None
    challenger: str | None = None
    canary: float = 0
    live: bool = False


@dataclass(frozen=True)
class CreateJob(Action):
    """Create a refresh job."""

    kind = "create job"
    sign = "+"

    job: str
    settings: JobSettings

    @property
    def title(self) -> str:
        return f"create job {self.job}"

    @property
    def details(self) -> str:
        it = self.settings
        more = "".join(
            f"; {key} {_text(getattr(it, key))}"
            for key in CREATED
            if key != "query" and getattr(it, key) != getattr(JobSettings, key)
        )
        return f": {'a query, ' if it.query else ''}{it.source} through {it.model} into {it.target}{more}"


@dataclass(frozen=True)
class ChangeJob(Action):
    """Give a refresh job other settings; where they are those of its table, by dropping and creating it."""

    kind = "change job"
    sign = "~"

    job: str
    before: JobSettings
    settings: JobSettings

    @property
    def anew(self) -> bool:
        """Whether the job is dropped and created, in one transaction: not for schedule, limits and challenger."""
        kept = {key: getattr(self.settings, key) for key in OPTIONAL}
        return replace(self.before, **kept) != self.settings

    @property
    def title(self) -> str:
        return f"change job {self.job}"

    @property
    def details(self) -> str:
        old, new = dataclasses.asdict(self.before), dataclasses.asdict(self.settings)
        changes = [
            "another query" if key == "query" else f"{key} {_text(old[key])} → {_text(new[key])}"
            for key in new
            if old[key] != new[key]
        ]
        stays = f"; {self.before.target} stays" if self.before.target != self.settings.target else ""
        begins = "; the record of its runs begins anew" if self.anew else ""
        return f": {', '.join(changes)}{stays}{begins}"


@dataclass(frozen=True)
class DropJob(Action):
    """Drop a refresh job; its table stays."""

    kind = "drop job"
    sign = "-"

    job: str
    target: str

    @property
    def title(self) -> str:
        return f"drop job {self.job}"

    @property
    def details(self) -> str:
        return f"; {self.target} stays"


def _moves(alias: str, before: int | None, version: int) -> str:
    return f"{alias} {before} → {version}" if before else f"{alias} → {version}"


def _text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, timedelta):
        return as_text(value)
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(value) or "none" if isinstance(value, tuple) else str(value)
