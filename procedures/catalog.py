"""Reading the catalog: the models, one version whole, the history."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from pgscore.compiler.artifact import ONE_ROW, Strategy
from pgscore.errors import NotFoundError

from .connection import Connection, pinned, transaction

T = TypeVar("T")


@dataclass(frozen=True)
class ModelSummary:
    """A model in `list`. `live` is the version that score.NAME calls; `aliases` maps each alias to its version."""

    model: str
    live: int | None
    newest: int
    versions: int
    aliases: Mapping[str, int]
    estimator: str | None
    kind: str | None
    strategy: str | None
    bound_table: str | None
    condition: str | None
    created_at: datetime
    created_by: str


@dataclass(frozen=True)
class VersionSummary:
    """What a version was made from, and how it runs: all that a plan compares. Its SQL may be megabytes."""

    model: str
    version: int
    aliases: Sequence[str]
    strategy: str
    functions: Sequence[Mapping[str, Any]]
    onnx_sha256: str | None
    bound_table: str
    condition: str | None
    model_sha256: str

    @property
    def strategies(self) -> tuple[str, ...]:
        """How its uses run, queries first: one, unless `auto` chose more."""
        one = [f["strategy"] for f in self.functions if f["suffix"] == ONE_ROW]
        graph = [Strategy.ONNX.value] if self.onnx_sha256 else []
        return tuple(dict.fromkeys([self.strategy, *one, *graph]))


@dataclass(frozen=True)
class VersionDetails:
    """One version, as the catalog has it; the fields are documented as comments on pgscore.versions."""

    model: str
    version: int
    aliases: Sequence[str]
    estimator: str
    kind: str
    strategy: str
    reason: str
    bound_table: str
    condition: str | None
    parameters: Sequence[Mapping[str, Any]]
    functions: Sequence[Mapping[str, Any]]
    onnx_sha256: str | None
    sha256: str
    model_sha256: str
    libraries: Mapping[str, str]
    parity: Mapping[str, Any]
    created_at: datetime
    created_by: str
    sql: str


@dataclass(frozen=True)
class Event:
    """One line of a model's history."""

    history_id: int
    model: str
    alias: str | None
    action: str
    from_version: int | None
    to_version: int | None
    at: datetime
    by: str
    note: str | None
    sha256: str | None
    parity: Mapping[str, Any] | None


def list_models(connection: Connection) -> list[ModelSummary]:
    """All models, by name."""
    return read(connection, ModelSummary, "model_overview", "ORDER BY model")


def show(connection: Connection, name: str, version: int | None = None) -> VersionDetails:
    """One version of a model; by default the live one. Raises NotFoundError."""
    if version is None:
        condition, values = "WHERE model = %s AND 'live' = ANY (aliases)", (name,)
    else:
        condition, values = "WHERE model = %s AND version = %s", (name, version)  # type: ignore[assignment]
    found = read(connection, VersionDetails, "version_overview", condition, values)
    if not found:
        which = "a live version" if version is None else f"a version {version}"
        raise NotFoundError(f"there is no model {name} with {which}; `pgscore list` shows what there is")
    return found[0]


def versions(connection: Connection, name: str) -> list[VersionDetails]:
    """All versions of a model, oldest first; none if there is no such model."""
    return read(connection, VersionDetails, "version_overview", "WHERE model = %s ORDER BY version", (name,))


def list_versions(connection: Connection) -> list[VersionSummary]:
    """All versions of all models in short, by model, oldest first."""
    return read(connection, VersionSummary, "version_overview", "ORDER BY model, version")


def history(connection: Connection, name: str) -> list[Event]:
    """What happened to the model, oldest first; also to one that was dropped. Raises NotFoundError if nothing did."""
    found = read(connection, Event, "history_overview", "WHERE model = %s ORDER BY history_id", (name,))
    if not found:
        raise NotFoundError(f"there is and was no model {name}; `pgscore list` shows what there is")
    return found


def read(connection: Connection, kind: type[T], view: str, rest: str, values: tuple[object, ...] = ()) -> list[T]:
    """The rows of a view of schema pgscore as values of `kind`, whose fields name the columns."""
    names = ", ".join(field.name for field in dataclasses.fields(kind))  # type: ignore[arg-type]
    with transaction(connection) as cursor, pinned(cursor):
        cursor.execute(f"SELECT {names} FROM pgscore.{view} {rest}", values)  # noqa: S608 (names are our own fields)
        return [kind(*row) for row in cursor.fetchall()]
