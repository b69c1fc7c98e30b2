"""Deploying a model: compile, bind, create the version, hold its answers against the model's own, perhaps promote.

One transaction: whatever fails, nothing has changed. All DDL runs as the owner of schema pgscore; the user's table is
read as the user.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pgscore.compiler.artifact import Artifact, Function, OnnxGraph, Strategy
from pgscore.compiler.build import build
from pgscore.compiler.frontends import to_program
from pgscore.compiler.load import LoadedModel
from pgscore.compiler.oracle import Oracle
from pgscore.errors import InvalidNameError, NotInstalledError, ParityError, RightsError
from pgscore.quoting import ident, literal

from .binding import Binding, bind
from .connection import Connection, transaction
from .functions import VersionPlan
from .install import has_plpython, require_current
from .plan import Statement, apply, as_text
from .verify import ParityReport, gate

LIVE = "live"

_PINNED = "SET LOCAL search_path = pg_catalog, pg_temp"

_NAME = re.compile("[a-z][a-z0-9_]*")
_MAX_NAME_BYTES = 40


@dataclass(frozen=True)
class Deployment:
    """What a deploy did, or with `dry_run` would do. `seconds` says how long each stage took."""

    name: str
    version: int
    artifact: Artifact
    report: ParityReport
    promoted: bool
    statements: list[Statement]
    seconds: Mapping[str, float]


def deploy(  # noqa: PLR0913 (the options of one command)
    connection: Connection,
    model: LoadedModel,
    *,
    name: str,
    table: str,
    strategy: Strategy | None = None,
    alias: str = LIVE,
    promote: bool = False,
    dry_run: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Deployment:
    """Deploys the model as the next version of `name`, for rows of `table`; `strategy` None chooses by cost.

    The first version becomes live by itself; with `promote` the version gets `alias`. With `dry_run` all of it runs,
    the parity gate too, and is rolled back: the statements are what a deploy would do now.

    Raises InvalidNameError, NotFoundError (table), SignatureError (columns), UnsupportedError (a step of the model),
    NotInstalledError, RightsError, and ParityError where the database's answers differ from the model's.
    """
    check_name(name, "model")
    check_name(alias, "alias")
    run = _Run(connection, name, progress)
    with transaction(connection) as cursor:
        run.cursor = cursor
        try:
            return run.deploy(model, table, strategy, alias, promote)
        finally:
            if dry_run:
                connection.rollback()


def check_name(name: str, what: str) -> None:
    """Raises InvalidNameError unless the name is plain and leaves room for what functions append to it."""
    if not _NAME.fullmatch(name) or len(name) > _MAX_NAME_BYTES:
        raise InvalidNameError(
            f"{name!r} is no name for a {what}: use at most {_MAX_NAME_BYTES} lower-case letters, digits and _,"
            " and begin with a letter"
        )


@dataclass
class _Run:
    """One deploy: its cursor, what it did so far, and how long that took."""

    connection: Connection
    name: str
    progress: Callable[[str], None]
    cursor: Any = None
    statements: list[Statement] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def deploy(
        self, model: LoadedModel, table: str, strategy: Strategy | None, alias: str, promote: bool
    ) -> Deployment:
        owner, scorer = self._installation()
        with self._stage("compile", f"compiling {self.name}"):
            program = to_program(model.estimator)
        with self._stage("bind", f"binding {self.name} to {table}"):
            binding = bind(self.connection, program.columns, table)
            self._require_usage(owner, binding)
        with self._stage("compile", f"compiling {self.name}"):
            artifact = build(
                program,
                binding.parameters,
                strategy=strategy,
                available=self._strategies(strategy),
                estimator=model.description,
                model_sha256=model.sha256,
                libraries=model.libraries,
            )
        self.statements.append(Statement(_PINNED, "Nothing below depends on the session's search_path."))
        self.statements.append(Statement(f"SET LOCAL ROLE {ident(owner)}", f"All that follows is {owner}'s."))
        with self._stage("create", "creating the functions"), self._as_owner(owner):
            version = self._number()
            if artifact.onnx is not None:
                self._execute(_graph(artifact.onnx))
            plan = VersionPlan(self.name, version, artifact, binding, scorer)
            functions = plan.statements()
            for statement in functions:
                self._execute(statement)
        with self._stage("check", "comparing with the model's own answers"):
            oracle = Oracle(model.estimator, artifact.parameters, artifact.functions, artifact.strategy)
            report, cases = gate(
                self.connection, artifact, name=self.name, version=version, table=binding.table, oracle=oracle
            )
        if not report.passed:
            raise ParityError(
                f"model {self.name} is not deployed: {report.summary()}; largest difference {report.max_difference:.1e}"
            )
        with self._stage("record", "recording the version"), self._as_owner(owner):
            self._execute(_version(plan, functions, report))
            self._execute(_cases(self.name, version, cases))
            self._execute(_event(self.name, version))
            targets = [alias] if promote else []
            if self._has_no_live_version() and LIVE not in targets:
                targets.append(LIVE)
            for target in targets:
                call = f"SELECT pgscore.promote({literal(self.name)}, {version}, {literal(target)})"
                self._execute(Statement(call, f"Version {version} becomes {target}."))
        return Deployment(self.name, version, artifact, report, alias in targets, self.statements, self.seconds)

    def _execute(self, statement: Statement) -> None:
        self.statements.append(statement)
        apply(self.connection, [statement])

    @contextmanager
    def _stage(self, what: str, says: str) -> Iterator[None]:
        self.progress(says)
        started = time.perf_counter()
        yield
        self.seconds[what] = self.seconds.get(what, 0.0) + time.perf_counter() - started

    @contextmanager
    def _as_owner(self, owner: str) -> Iterator[None]:
        """Acts as the owner, with a pinned search_path; afterwards as before: the gate reads the table as the user."""
        self.cursor.execute("SELECT current_setting('role'), current_setting('search_path')")
        role, path = self.cursor.fetchone()
        self.cursor.execute(f"{_PINNED}; SET LOCAL ROLE {ident(owner)}")
        yield
        self.cursor.execute("SELECT set_config('role', %s, true), set_config('search_path', %s, true)", (role, path))

    def _installation(self) -> tuple[str, bool]:
        """The owner of the catalog, as whom the DDL runs, and whether there is a role of scorers."""
        require_current(self.connection)
        self.cursor.execute(
            """
            SELECT r.rolname::text, current_user::text,
                   pg_has_role(r.oid, CASE WHEN current_setting('server_version_num')::integer >= 160000
                                           THEN 'SET' ELSE 'MEMBER' END),
                   to_regrole('pgscore_scorer') IS NOT NULL
            FROM pg_catalog.pg_namespace AS n
            JOIN pg_catalog.pg_roles AS r ON r.oid = n.nspowner
            WHERE n.nspname = 'pgscore'
            """
        )
        owner, user, may_act, scorer = self.cursor.fetchone()
        if not may_act:
            raise RightsError(f"role {user} may not deploy models here; GRANT {ident(owner)} TO {ident(user)}")
        return owner, scorer

    def _require_usage(self, owner: str, binding: Binding) -> None:
        self.cursor.execute("SELECT has_schema_privilege(%s, %s, 'USAGE')", (owner, binding.schema))
        if not self.cursor.fetchone()[0]:
            raise RightsError(
                f"role {owner}, which owns the functions, may not use schema {binding.schema};"
                f" GRANT USAGE ON SCHEMA {ident(binding.schema)} TO {ident(owner)}"
            )

    def _strategies(self, wanted: Strategy | None) -> frozenset[Strategy]:
        if has_plpython(self.connection):
            return frozenset(Strategy)
        if wanted is Strategy.ONNX:
            raise NotInstalledError(
                "strategy onnx needs the PL/Python functions, which are not in this database;"
                " a superuser runs `pgscore install --plpython` once, or choose --strategy sql or plpgsql"
            )
        return frozenset(Strategy) - {Strategy.ONNX}

    def _number(self) -> int:
        """The next version number; holds the model's row, so that another deploy of it waits for this one."""
        self._execute(
            Statement(
                f"INSERT INTO pgscore.models AS m (name, last_version) VALUES ({literal(self.name)}, 1)\n"  # noqa: S608
                "ON CONFLICT (name) DO UPDATE SET last_version = m.last_version + 1",
                "The model, and the number of its next version.",
            )
        )
        self.cursor.execute("SELECT last_version FROM pgscore.models WHERE name = %s", (self.name,))
        number: int = self.cursor.fetchone()[0]
        return number

    def _has_no_live_version(self) -> bool:
        self.cursor.execute("SELECT live IS NULL FROM pgscore.model_overview WHERE model = %s", (self.name,))
        return bool(self.cursor.fetchone()[0])


def _graph(graph: OnnxGraph) -> Statement:
    return Statement(
        f"INSERT INTO pgscore.onnx_graphs (sha256, content)\n"
        f"VALUES ({literal(graph.sha256)}, decode('{graph.content.hex()}', 'hex'))\nON CONFLICT DO NOTHING",
        "The ONNX graph.",
    )


def _version(plan: VersionPlan, functions: list[Statement], report: ParityReport) -> Statement:
    artifact, binding = plan.artifact, plan.binding
    sources = zip(artifact.parameters, binding.columns, strict=True)
    parameters = [{"name": p.name, "type": p.type.value, "column": column} for p, column in sources]
    graph = artifact.onnx
    features = "NULL"
    if graph is not None:
        texts = [feature.render(lambda i: binding.reference(i, "r")) for feature in graph.features]
        features = f"ARRAY[{', '.join(map(literal, texts))}]::text[]"
    values = {
        "estimator": literal(artifact.estimator),
        "kind": literal(artifact.kind.value),
        "strategy": literal(artifact.strategy.value),
        "reason": literal(artifact.reason),
        "bound_table": literal(binding.table),
        "parameters": _jsonb(parameters),
        "functions": _jsonb([_function(f) for f in artifact.functions]),
        "onnx_sha256": literal(graph.sha256) if graph else "NULL",
        "features": features,
        "sql": literal(as_text(functions)),
        "sha256": literal(artifact.sha256),
        "model_sha256": literal(artifact.model_sha256),
        "libraries": _jsonb(dict(artifact.libraries)),
        "parity": literal(report.to_json()) + "::jsonb",
    }
    return Statement(
        f"INSERT INTO pgscore.versions (model_id, version, {', '.join(values)})\n"
        f"SELECT m.model_id, {plan.version},\n    " + ",\n    ".join(values.values()) + "\n"
        f"FROM pgscore.models AS m WHERE m.name = {literal(plan.name)}",
        "The version; from here on it never changes.",
    )


def _function(function: Function) -> dict[str, object]:
    return {
        "suffix": function.suffix,
        "method": function.method,
        "result": function.result,
        "language": function.language,
        "outputs": list(function.outputs),
        "labels": None if function.labels is None else list(function.labels),
    }


def _cases(name: str, version: int, cases: str) -> Statement:
    return Statement(
        f"INSERT INTO pgscore.parity_cases (version_id, cases)\nSELECT v.version_id, {literal(cases)}::jsonb\n"
        "FROM pgscore.versions AS v JOIN pgscore.models AS m USING (model_id)\n"
        f"WHERE m.name = {literal(name)} AND v.version = {version}",
        "The made-up rows that `pgscore verify` replays.",
    )


def _event(name: str, version: int) -> Statement:
    return Statement(
        "INSERT INTO pgscore.history (model_id, model, action, to_version)\n"
        f"SELECT m.model_id, m.name, 'deploy', {version} FROM pgscore.models AS m WHERE m.name = {literal(name)}"
    )


def _jsonb(value: object) -> str:
    return literal(json.dumps(value, ensure_ascii=False)) + "::jsonb"
