"""Reading pgscore.toml: the models, jobs and grants that a database is to have.

Nothing of a model file is loaded here, only hashed. Each error names the file, the table and the key.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import parse_dsn

from pgscore.compiler.artifact import Strategy
from pgscore.compiler.where import parse_where
from pgscore.errors import InvalidNameError, ModelFileError, UsageError

from . import project_options
from .intervals import parse_interval
from .names import JOB_BYTES, MODEL_BYTES, check_name
from .project_actions import LIMITS, SCHEDULE

AUTO = "auto"
MODES = ("full", "incremental")

_LFS = b"version https://git-lfs.github.com/spec/"
"""What git has in place of a large file until `git lfs pull` brings it."""

_STRINGS = list
_NUMBER = float
_COUNT = int
_OR_FALSE = object
_TYPES = {
    str: "a string",
    bool: "true or false",
    _STRINGS: "a list of strings",
    _NUMBER: "a number",
    _COUNT: "a whole number, or false for none",
    _OR_FALSE: "a string, or false for none",
}

DATABASE_KEYS: Mapping[str, type] = {"dsn": str}
MODEL_KEYS: Mapping[str, type] = {
    "file": str,
    "table": str,
    "where": str,
    "strategy": str,
    "promote": bool,
    "alias": str,
    "grants": _STRINGS,
    "sha256": str,
    "trust": bool,
}
JOB_KEYS: Mapping[str, type] = {
    "model": str,
    "source": str,
    "query": str,
    "key": _STRINGS,
    "target": str,
    "alias": str,
    "mode": str,
    "changes": str,
    "watermark": str,
    "lookback": str,
    "backfill_first": _OR_FALSE,
    "outputs": _STRINGS,
    "carry": _STRINGS,
    "vanished": str,
    "top": _COUNT,
    "per": _STRINGS,
    "order_by": str,
    "keep": _COUNT,
    "diverse": str,
    "max_per": _COUNT,
    "eligible": str,
    "target_lag": _OR_FALSE,
    "every": _OR_FALSE,
    "statement_timeout": _OR_FALSE,
    "lock_timeout": _OR_FALSE,
    "max_rows_per_second": _COUNT,
    "challenger": _OR_FALSE,
    "canary": _NUMBER,
    "live": bool,
}
_TABLES = ("database", "models", "jobs")


@dataclass(frozen=True)
class ModelEntry:
    """`[models.NAME]`: a version of the file `path` (in the toml: `file`), whose hash is `sha256`, bound to `table`.

    `strategy` None leaves it to the cost model. `condition` (in the toml: `where`) says which rows it is for, as the
    catalog would; None: all. `trust`: the file may be a pickle. `grants` are the roles that may call the model; None:
    pgscore.toml says nothing of them.
    """

    name: str
    file: str
    path: Path
    sha256: str
    table: str
    strategy: Strategy | None
    trust: bool
    alias: str
    promote: bool
    grants: tuple[str, ...] | None
    condition: str | None = None


@dataclass(frozen=True)
class JobEntry:
    """`[jobs.NAME]`: a refresh job, as `pgscore refresh create` would make it of a `source` or a `query`.

    `optional` has the other settings that the file says, None for its `false`; what it does not say stays as it is.
    """

    name: str
    model: str
    alias: str
    source: str | None
    keys: tuple[str, ...]
    target: str
    mode: str
    optional: Mapping[str, Any] = field(default_factory=dict)
    query: str | None = None


@dataclass(frozen=True)
class Project:
    """A pgscore.toml, in its order. `dsn` is None where the file leaves the server to the command line."""

    path: Path
    dsn: str | None
    models: tuple[ModelEntry, ...]
    jobs: tuple[JobEntry, ...]

    def where(self, table: str, key: str | None = None) -> str:
        """How a message begins that is about this table of the file, or a key of it."""
        return TomlTable(self.path, table, None).where(key)


def read_project(path: Path) -> Project:
    """Reads and checks the file, and hashes the model files that it names, relative to its own folder.

    Raises UsageError for what is not TOML, unknown keys, wrong types and values, InvalidNameError for a name, and
    ModelFileError for a model file that is missing, or another one than its `sha256` says.
    """
    try:
        top = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist; --file names another, and docs/ci.md shows one") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no TOML: {error}") from None
    for name, value in top.items():
        if name not in _TABLES:
            raise UsageError(f"{path}: there is no table [{name}]{suggestion(name, _TABLES)}")
        _require_table(path, name, value)
    models = tuple(
        _model(TomlTable(path, f"models.{name}", value), name) for name, value in top.get("models", {}).items()
    )
    jobs = tuple(_job(TomlTable(path, f"jobs.{name}", value), name) for name, value in top.get("jobs", {}).items())
    if not models and not jobs:
        raise UsageError(f"{path} declares nothing: it has no [models.NAME] and no [jobs.NAME]")
    return Project(path, _dsn(TomlTable(path, "database", top.get("database", {}))), models, jobs)


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of a message about a name that is not known: which one may be meant, else nothing."""
    similar = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {similar[0]!r}?" if similar else ""


@dataclass(frozen=True)
class TomlTable:
    """One table of the file, and how a message about it begins."""

    path: Path
    name: str
    value: object

    def where(self, key: str | None = None) -> str:
        return f"{self.path}: [{self.name}]" + (f" {key}" if key else "")

    def checked(self, known: Mapping[str, type], required: tuple[str, ...]) -> Mapping[str, Any]:
        """Its keys, each known and of its type. Raises UsageError."""
        entry = _require_table(self.path, self.name, self.value)
        for key, given in entry.items():
            if key not in known:
                guess = suggestion(key, known) or f"; it may have {', '.join(known)}"
                raise UsageError(f"{self.where()} has no key {key!r}{guess}")
            texts = given if type(given) is list else [given] if type(given) is str else []
            if not _fits(given, known[key]):
                raise UsageError(f"{self.where(key)} must be {_TYPES[known[key]]}")
            if any(not text or "\0" in text for text in texts):
                raise UsageError(f"{self.where(key)} is empty, or holds a NUL character")
        for key in required:
            if key not in entry:
                raise UsageError(f"{self.where()} needs the key {key!r}")
        return entry

    def require_name(self, name: str, what: str, key: str | None = None, max_bytes: int = MODEL_BYTES) -> None:
        """Raises InvalidNameError unless the value of the key (None: the table's own name) is plain."""
        try:
            check_name(name, what, max_bytes)
        except InvalidNameError as error:
            raise InvalidNameError(f"{self.where(key)}: {error}") from None

    def require_one_of(self, known: Sequence[str], value: str, key: str) -> None:
        if value not in known:
            raise UsageError(f"{self.where(key)} is {value!r}; it must be {' or '.join(known)}")


def _require_table(path: Path, name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{path}: {name} must be a table: [{name}]")
    return value


def _fits(given: object, kind: type) -> bool:
    if kind is _OR_FALSE:
        return given is False or type(given) is str
    if kind is _COUNT:
        return given is False or type(given) is int
    if kind is _NUMBER:
        return type(given) in {int, float}
    return type(given) is kind and (kind is not _STRINGS or all(type(text) is str for text in given))  # type: ignore[attr-defined]


def _model(table: TomlTable, name: str) -> ModelEntry:
    entry = table.checked(MODEL_KEYS, ("file", "table"))
    table.require_name(name, "model")
    alias, strategy = entry.get("alias", "live"), entry.get("strategy", AUTO)
    table.require_name(alias, "alias", "alias")
    table.require_one_of([AUTO, *(s.value for s in Strategy)], strategy, "strategy")
    pin, trust = entry.get("sha256"), entry.get("trust", False)
    if pin is not None and not re.fullmatch("[0-9a-f]{64}", pin):
        raise UsageError(f"{table.where('sha256')} must be 64 hexadecimal digits, in lower case")
    if trust and pin is None:
        raise UsageError(
            f"{table.where('trust')} needs sha256 beside it: a pickle runs code, so say which file you trust;"
            f" `sha256sum {entry['file']}` prints it"
        )
    file = table.path.parent / entry["file"]
    digest = _digest(file, table.where("file"))
    if pin not in {None, digest}:
        raise ModelFileError(f"{table.where('sha256')} is not that of {file}, which is {digest}")
    return ModelEntry(
        name=name,
        file=entry["file"],
        path=file,
        sha256=digest,
        table=entry["table"],
        strategy=None if strategy == AUTO else Strategy(strategy),
        trust=trust,
        alias=alias,
        promote=entry.get("promote", True),
        grants=tuple(dict.fromkeys(entry["grants"])) if "grants" in entry else None,
        condition=_condition(table, entry),
    )


def _condition(table: TomlTable, entry: Mapping[str, Any]) -> str | None:
    if "where" not in entry:
        return None
    try:
        return str(parse_where(entry["where"]))
    except UsageError as error:
        raise UsageError(f"{table.where('where')}: {error}") from None


def _job(table: TomlTable, name: str) -> JobEntry:
    entry = table.checked(JOB_KEYS, ("model", "key", "target"))
    table.require_name(name, "refresh job", max_bytes=JOB_BYTES)
    table.require_name(entry["model"], "model", "model")
    alias, mode = entry.get("alias", "live"), entry.get("mode", "full")
    table.require_name(alias, "alias", "alias")
    table.require_one_of(MODES, mode, "mode")
    if not entry["key"]:
        raise UsageError(f"{table.where('key')} names no column")
    if ("source" in entry) is ("query" in entry):
        raise UsageError(f"{table.where()} needs one of the keys 'source' and 'query'")
    optional = {
        **_lengths(table, entry),
        **_rate(table, entry),
        **_challenger(table, entry, alias),
        **project_options.changes(table, entry, mode),
        **project_options.columns(table, entry),
        **project_options.ranking(table, entry),
    }
    if "live" in entry:
        optional["live"] = entry["live"]
    source, query, key = entry.get("source"), entry.get("query"), tuple(entry["key"])
    return JobEntry(name, entry["model"], alias, source, key, entry["target"], mode, optional, query)


def _lengths(table: TomlTable, entry: Mapping[str, Any]) -> dict[str, timedelta | None]:
    lengths: dict[str, timedelta | None] = {}
    for key in (*SCHEDULE, *LIMITS):
        if key in entry and JOB_KEYS[key] is _OR_FALSE:
            try:
                lengths[key] = parse_interval(entry[key]) if entry[key] else None
            except UsageError as error:
                raise UsageError(f"{table.where(key)}: {error}") from None
    return lengths


def _rate(table: TomlTable, entry: Mapping[str, Any]) -> dict[str, int | None]:
    key = "max_rows_per_second"
    if key not in entry:
        return {}
    if entry[key] is not False and entry[key] < 1:
        raise UsageError(f"{table.where(key)} must be at least 1, or false for none")
    return {key: entry[key] or None}


def _challenger(table: TomlTable, entry: Mapping[str, Any], alias: str) -> dict[str, Any]:
    """The challenger and its share, which go together."""
    canary = entry.get("canary", 0)
    if not 0 <= canary <= 1:
        raise UsageError(f"{table.where('canary')} must lie between 0 and 1, such as 0.1 for a tenth of the keys")
    challenger = entry.get("challenger", False)
    if "canary" in entry and not challenger:
        raise UsageError(f"{table.where('canary')} is the share of a challenger: name that beside it")
    if challenger:
        table.require_name(challenger, "alias", "challenger")
    if challenger == alias:
        raise UsageError(f"{table.where('challenger')} is the job's own alias; name another")
    return {"challenger": challenger or None, "canary": float(canary)} if "challenger" in entry else {}


def _dsn(table: TomlTable) -> str | None:
    dsn: str | None = table.checked(DATABASE_KEYS, ()).get("dsn")
    if dsn is None:
        return None
    try:
        given = parse_dsn(dsn)
    except psycopg2.ProgrammingError:
        # libpq quotes the part that it cannot read, which may be the password.
        raise UsageError(f"{table.where('dsn')} is no connection string, such as service=prod") from None
    if given.keys() & {"password", "sslpassword"}:
        raise UsageError(
            f"{table.where('dsn')} holds a password, and many read what is in git; use PGPASSWORD, ~/.pgpass or"
            " PGSCORE_DSN, and change that password"
        )
    return dsn


def _digest(file: Path, where: str) -> str:
    try:
        with file.open("rb") as stream:
            if stream.read(len(_LFS)) == _LFS:
                raise ModelFileError(f"{where}: {file} is a pointer of Git LFS; run `git lfs pull` first")
            stream.seek(0)
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        raise ModelFileError(f"{where}: {file} does not exist") from None
    except OSError as error:
        raise ModelFileError(f"{where}: {file} cannot be read: {error.strerror}") from None
