"""What a database lacks to be as pgscore.toml says: a list of actions, which project_apply.py runs.

A version is up to date when it was made from the file of the same hash, for the same table and rows of it, with the
strategy that the toml asks for (`auto`: any). Where several are, the alias's is taken, else the newest: so a `git
revert` promotes the version that is there already, and deploys nothing twice.

What the toml does not name is left alone. `prune` drops jobs and grants of the models that it names, never a model:
several projects may share a database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import psycopg2.errors

from pgscore.errors import InvalidNameError, NotFoundError, RefusedError

from .binding import find_relation
from .catalog import ModelSummary, VersionSummary, list_models, list_versions
from .connection import Connection, pinned, transaction
from .project import JobEntry, ModelEntry, Project, suggestion
from .project_actions import (
    CREATED,
    LIVE,
    OPTIONAL,
    Action,
    ChangeJob,
    CreateJob,
    DeployVersion,
    DropJob,
    Grant,
    JobSettings,
    Promote,
    Revoke,
)
from .refresh import CreatedWith, Freshness, created_with, list_jobs
from .rights import list_grants


@dataclass(frozen=True)
class Plan:
    """What is to be done, in order; what is as pgscore.toml says; and what is there that it does not name."""

    actions: tuple[Action, ...]
    unchanged: tuple[str, ...]
    unnamed: tuple[str, ...]


def plan_project(connection: Connection, project: Project, *, prune: bool = False) -> Plan:
    """Compares the database with the project; reads only, and no model file.

    Raises NotFoundError for a table, model, alias or role that is not there and will not be, InvalidNameError for a
    target, RefusedError for a target that belongs to another job, and NotInstalledError.
    """
    return _Planner(connection, project, prune).plan()


class _Planner:
    def __init__(self, connection: Connection, project: Project, prune: bool) -> None:
        self.connection = connection
        self.project = project
        self.prune = prune
        self.named = {entry.name for entry in project.models}
        self.models: dict[str, ModelSummary] = {model.model: model for model in list_models(connection)}
        self.versions: dict[str, list[VersionSummary]] = {name: [] for name in self.models}
        for version in list_versions(connection):
            self.versions[version.model].append(version)
        self.aliases = {name: set(model.aliases or ()) for name, model in self.models.items()}
        self.unchanged: list[str] = []
        self.unnamed = [f"model {name}" for name in self.models if name not in self.named]

    def plan(self) -> Plan:
        versions = [action for entry in self.project.models if (action := self._version(entry))]
        grants = self._grants()
        jobs = self._jobs()
        return Plan((*versions, *grants, *jobs), tuple(self.unchanged), tuple(self.unnamed))

    def _version(self, entry: ModelEntry) -> DeployVersion | Promote | None:
        table = self._relation(entry.table, f"models.{entry.name}", "table")
        model = self.models.get(entry.name)
        versions = self.versions.get(entry.name, [])
        before = (model.aliases or {}).get(entry.alias) if model else None
        same = [version for version in versions if version.model_sha256 == entry.sha256]
        asked = None if entry.strategy is None else (entry.strategy.value,)
        fitting = [
            version.version
            for version in same
            if version.bound_table == table
            and version.condition == entry.condition
            and asked in {None, version.strategies}
        ]
        aliases = self.aliases.setdefault(entry.name, set())
        if entry.promote:
            aliases.add(entry.alias)
        if fitting:
            if not entry.promote or before in fitting:
                self.unchanged.append(f"model {entry.name}")
                return None
            return Promote(entry.name, fitting[-1], entry.alias, before, entry.file)
        lives = model is None or model.live is None
        if lives:
            aliases.add(LIVE)
        return DeployVersion(
            model=entry.name,
            version=model.newest + 1 if model else 1,
            file=entry.file,
            path=entry.path,
            sha256=entry.sha256,
            table=table,
            strategy=entry.strategy,
            trust=entry.trust,
            alias=entry.alias,
            promote=entry.promote,
            before=before,
            lives=lives,
            reason=_reason(same, table, entry.condition),
            condition=entry.condition,
        )

    def _grants(self) -> list[Grant | Revoke]:
        managed = {entry.name: entry.grants for entry in self.project.models if entry.grants is not None}
        if not managed:
            return []
        self._require_roles(managed)
        there = {(grant.model, grant.role) for grant in list_grants(self.connection) if grant.model in managed}
        wanted = [(model, role) for model, roles in managed.items() for role in roles]
        self.unchanged += [f"grant of {model} to {role}" for model, role in wanted if (model, role) in there]
        more = sorted(there.difference(wanted))
        if not self.prune:
            self.unnamed += [f"grant of {model} to {role}" for model, role in more]
            more = []
        grants = [Grant(model, role) for model, role in wanted if (model, role) not in there]
        return [*grants, *(Revoke(model, role) for model, role in more)]

    def _require_roles(self, managed: dict[str, tuple[str, ...]]) -> None:
        with transaction(self.connection) as cursor, pinned(cursor):
            cursor.execute("SELECT rolname::text FROM pg_catalog.pg_roles")
            known = {role for (role,) in cursor.fetchall()}
        for model, roles in managed.items():
            for role in roles:
                if role not in known:
                    where = self.project.where(f"models.{model}", "grants")
                    raise NotFoundError(f"{where}: there is no role {role!r}{suggestion(role, known)}")

    def _jobs(self) -> list[DropJob | ChangeJob | CreateJob]:
        there = {job.job: job for job in list_jobs(self.connection)}
        created = created_with(self.connection)
        named = {entry.name for entry in self.project.jobs}
        drops = []
        for job in there.values():
            if job.job in named:
                continue
            if self.prune and job.model in self.named:
                drops.append(DropJob(job.job, job.target))
            else:
                self.unnamed.append(f"job {job.job}")
        dropped = {drop.job for drop in drops}
        held = {job.target: job.job for job in there.values() if job.job not in dropped}
        changes, creations = [], []
        targets: dict[str, str] = {}
        for entry in self.project.jobs:
            before = _settings_of(there[entry.name], created[entry.name]) if entry.name in there else None
            wanted = self._settings(entry, before)
            other = targets.setdefault(wanted.target, entry.name)
            if other == entry.name and held.get(wanted.target, entry.name) not in named | {entry.name}:
                other = held[wanted.target]
            if other != entry.name:
                raise RefusedError(
                    f"{self.project.where(f'jobs.{entry.name}', 'target')}: {wanted.target} is the target of job"
                    f" {other}; " + ("take another" if other in named else "drop that one, or name it in the file")
                )
            if before is None:
                creations.append(CreateJob(entry.name, wanted))
            elif before != wanted:
                changes.append(ChangeJob(entry.name, before, wanted))
            else:
                self.unchanged.append(f"job {entry.name}")
        return [*drops, *self._in_order(changes, held), *creations]

    def _in_order(self, changes: Sequence[ChangeJob], held: dict[str, str]) -> list[ChangeJob]:
        """The changes in such an order that no job takes a target which another has still to leave."""
        ordered, waiting = [], list(changes)
        while waiting:
            ready = next((c for c in waiting if held.get(c.settings.target, c.job) == c.job), None)
            if ready is None:
                names = ", ".join(change.job for change in waiting)
                raise RefusedError(f"{self.project.path}: jobs {names} exchange their targets; drop one of them first")
            del held[ready.before.target]
            held[ready.settings.target] = ready.job
            waiting.remove(ready)
            ordered.append(ready)
        return ordered

    def _settings(self, entry: JobEntry, before: JobSettings | None) -> JobSettings:
        """The job's settings as the catalog would have them: what the file does not say as `before`.

        Raises NotFoundError, InvalidNameError.
        """
        table = f"jobs.{entry.name}"
        aliases = self.aliases.get(entry.model)
        if aliases is None:
            raise NotFoundError(
                f"{self.project.where(table, 'model')}: there is no model {entry.model!r}, in the file or in the"
                f" database{suggestion(entry.model, self.aliases)}"
            )
        if entry.alias not in aliases:
            raise NotFoundError(
                f"{self.project.where(table, 'alias')}: model {entry.model} has no alias {entry.alias!r}"
                f"{suggestion(entry.alias, aliases)}"
            )
        if entry.source is None:
            # What create_job calls the view of a query.
            source = self._target(entry, "_source")
        else:
            source = self._relation(entry.source, table, "source")
        said = JobSettings(entry.model, entry.alias, source, entry.keys, self._target(entry), entry.mode)
        if before is not None:
            said = replace(said, **{key: getattr(before, key) for key in (*OPTIONAL, *CREATED)})
        if entry.mode == "full":
            said = replace(said, changes="triggers", watermark=None, lookback=None, backfill_first=None)
        said = replace(said, query=entry.query, **entry.optional)
        eligible = entry.optional.get("eligible")
        return replace(said, eligible=self._relation(eligible, table, "eligible")) if eligible else said

    def _relation(self, name: str, table: str, key: str) -> str:
        """The table or view, qualified and quoted."""
        with transaction(self.connection) as cursor:
            found = find_relation(cursor, name)
        if found is None:
            raise NotFoundError(
                f"{self.project.where(table, key)}: there is no table or view {name!r} that this role can see"
            )
        return found[2]

    def _target(self, entry: JobEntry, suffix: str = "") -> str:
        """The prediction table, or what stands beside it, qualified and quoted; it may not be there yet."""
        with transaction(self.connection) as cursor:
            try:
                cursor.execute("SELECT pg_catalog.parse_ident(%s), pg_catalog.current_schema()", (entry.target,))
            except psycopg2.errors.InvalidParameterValue:
                parts, schema = [], None
            else:
                parts, schema = cursor.fetchone()
            if len(parts) == 1 and schema is not None:
                parts = [schema, *parts]
            if len(parts) != 2:
                where = self.project.where(f"jobs.{entry.name}", "target")
                raise InvalidNameError(f"{where}: {entry.target!r} is no name for a table; write schema.table")
            cursor.execute("SELECT pg_catalog.format('%%I.%%I', %s, %s)", (parts[0], parts[1] + suffix))
            target: str = cursor.fetchone()[0]
            return target


def _reason(same: Sequence[VersionSummary], table: str, condition: str | None) -> str:
    """Why a version is deployed, where those of `same` were made from the same file."""
    if not same:
        return "a new file"
    last = same[-1]
    if last.bound_table != table:
        return f"version {last.version} of it is for {last.bound_table}"
    if last.condition != condition:
        return f"version {last.version} of it is for {f'rows where {last.condition}' if last.condition else 'all rows'}"
    return f"version {last.version} of it runs as {' and '.join(last.strategies)}"


def _settings_of(job: Freshness, created: CreatedWith) -> JobSettings:
    return JobSettings(
        job.model,
        job.alias,
        job.source,
        tuple(job.keys),
        job.target,
        job.mode,
        **{key: getattr(created, key) for key in CREATED},
        **{key: getattr(job, key) for key in OPTIONAL},
    )
