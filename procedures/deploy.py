"""Deploying a model: compile, bind, create the version, hold its answers against the model's own, perhaps promote.

One transaction: whatever fails, nothing has changed. The user creates the functions and reads the table; what needs the
owner's rights is behind the functions of sql/23_deploy.sql.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pgscore.compiler.artifact import ONE_ROW, Artifact, Function, Parameter, Strategy
from pgscore.compiler.build import build
from pgscore.compiler.factorisation import Factorisation
from pgscore.compiler.frontends import to_program
from pgscore.compiler.ir import Program
from pgscore.compiler.load import LoadedModel
from pgscore.compiler.oracle import Oracle
from pgscore.compiler.where import Where, parse_where
from pgscore.errors import NotInstalledError, ParityError, RightsError, UsageError
from pgscore.quoting import ident, literal

from .binding import Binding, bind
from .connection import PINNED, Connection, pinned, savepoint, transaction
from .contention import retried
from .costs import read_costs
from .factors import statements as factor_statements
from .functions import STAGING, VersionPlan
from .install import has_plpython, require_current
from .names import check_name
from .plan import Statement, apply, as_text
from .verify import Judge, ParityReport, gate

LIVE = "live"


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
    table: str
    """The table that it is bound to, qualified and quoted."""


def deploy(  # noqa: PLR0913 (the options of one command)
    connection: Connection,
    model: LoadedModel,
    *,
    name: str,
    table: str,
    strategy: Strategy | None = None,
    where: str | None = None,
    alias: str = LIVE,
    promote: bool = False,
    dry_run: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Deployment:
    """Deploys the model as the next version of `name`, for rows of `table`; `strategy` None chooses by cost.

    With `where`, such as "region = 'EU' AND tenure >= 12", the version is for rows that satisfy it, and gives NULL for
    all others. The first version becomes live by itself; with `promote` the version gets `alias`. With `dry_run` all of
    it runs, the parity gate too, and is rolled back: the statements are what a deploy would do now.

    Raises InvalidNameError, UsageError (where), NotFoundError (table), SignatureError (columns), UnsupportedError (a
    step of the model), NotInstalledError, RightsError, and ParityError where the database's answers differ from the
    model's.
    """
    check_name(name, "model")
    check_name(alias, "alias")
    run = _Run(connection, name, progress, None if where is None else parse_where(where))
    with transaction(connection) as cursor:
        run.cursor = cursor
        try:
            return run.deploy(model, table, strategy, alias, promote)
        finally:
            if dry_run:
                connection.rollback()


def strategies(connection: Connection, wanted: Strategy | None) -> frozenset[Strategy]:
    """What this database can run. Raises NotInstalledError where `wanted` is none of it."""
    if has_plpython(connection):
        return frozenset(Strategy)
    if wanted is Strategy.ONNX:
        raise NotInstalledError(
            "strategy onnx needs the PL/Python functions, which are not in this database;"
            " a superuser runs `pgscore install --plpython` once, or choose --strategy sql or plpgsql"
        )
    return frozenset(Strategy) - {Strategy.ONNX}


def program_of(model: LoadedModel) -> Program | Factorisation:
    """What a deploy makes a version of. Raises UnsupportedError."""
    return model.estimator if isinstance(model.estimator, Factorisation) else to_program(model.estimator)


def artifact_of(  # noqa: PLR0913 - keywords
    connection: Connection,
    program: Program | Factorisation,
    binding: Binding,
    model: LoadedModel,
    strategy: Strategy | None,
    *,
    name: str,
    where: Where | None = None,
) -> Artifact:
    """The artifact of a model's program for a table: that of the next version of `name`.

    Raises UnsupportedError, SignatureError and NotInstalledError.
    """
    if isinstance(program, Factorisation):
        if strategy is not None:
            raise UsageError(
                "a recommender reads its factors from tables: it has no other strategy; leave out --strategy"
            )
        if where is not None:
            raise UsageError("a recommender scores pairs of user and item, whatever they are; leave out --where")
        return program.artifact(binding.parameters, model)
    return build(
        program,
        binding.parameters,
        strategy=strategy,
        available=strategies(connection, strategy),
        estimator=model.description,
        model_sha256=model.sha256,
        libraries=model.libraries,
        where=where,
        costs=read_costs(connection),
        one_row=_has_function_for_one_row(connection, name),
    )


def _has_function_for_one_row(connection: Connection, name: str) -> bool:
    """Whether a version has one: then the next ones have it too, since score.NAME_one must survive their promote."""
    with connection.cursor() as cursor, pinned(cursor):
        cursor.execute(
            """
            SELECT EXISTS (
                SELECT FROM pgscore.version_overview AS v
                WHERE v.model = %s AND v.functions @> jsonb_build_array(jsonb_build_object('suffix', %s)))
            """,
            (name, ONE_ROW),
        )
        found: bool = cursor.fetchone()[0]
        return found


def judge_of(
    model: LoadedModel,
    parameters: Sequence[Parameter],
    functions: Sequence[Function],
    strategy: Strategy,
    where: Where | None = None,
) -> Judge:
    """What knows the model's own answers."""
    if isinstance(model.estimator, Factorisation):
        return model.estimator
    return Oracle(model.estimator, parameters, functions, strategy, where)


@dataclass
class _Run:
    """One deploy: its cursor, what it did so far, and how long that took."""

    connection: Connection
    name: str
    progress: Callable[[str], None]
    where: Where | None = None
    cursor: Any = None
    deployer: str | None = None
    """The role of deployers, where this installation has one."""
    statements: list[Statement] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def deploy(
        self, model: LoadedModel, table: str, strategy: Strategy | None, alias: str, promote: bool
    ) -> Deployment:
        with pinned(self.cursor):
            self._require_rights(promote)
        with self._stage("compile", f"compiling {self.name}"):
            program = program_of(model)
        with self._stage("bind", f"binding {self.name} to {table}"):
            binding = bind(self.connection, program.columns, table)
            with pinned(self.cursor):
                self._require_usage(binding)
        with self._stage("compile", f"compiling {self.name}"):
            artifact = artifact_of(self.connection, program, binding, model, strategy, name=self.name, where=self.where)
        self.statements.append(Statement(PINNED, "Nothing below depends on the session's search_path."))
        with self._stage("create", "creating the functions"), pinned(self.cursor):
            version = self._begin()
            plan = VersionPlan(self.name, version, artifact, binding)
            self._create(plan)
        with self._stage("check", "comparing with the model's own answers"):
            oracle = judge_of(model, artifact.parameters, artifact.functions, artifact.strategy, self.where)
            report, cases = gate(
                self.connection, artifact, name=self.name, version=version, table=binding.table, oracle=oracle
            )
        if not report.passed:
            raise ParityError(
                f"model {self.name} is not deployed: {report.summary()}; largest difference {report.max_difference:.1e}"
            )
        with self._stage("record", "recording the version"), pinned(self.cursor):
            first = not self._has_a_live_version()
            self._execute(_version(plan, report, cases))
            if promote and not (first and alias == LIVE):
                call = f"SELECT pgscore.promote({literal(self.name)}, {version}, {literal(alias)})"
                self._move(Statement(call, f"Version {version} becomes {alias}."))
        promoted = promote or (first and alias == LIVE)
        return Deployment(self.name, version, artifact, report, promoted, self.statements, self.seconds, binding.table)

    def _execute(self, statement: Statement) -> None:
        self.statements.append(statement)
        apply(self.connection, [statement])

    def _move(self, statement: Statement) -> None:
        """Runs a promote, again where another session is in its way: the answers need not be compared once more."""
        self.statements.append(statement)
        retried(self.connection, savepoint, lambda cursor: cursor.execute(statement.text))

    @contextmanager
    def _stage(self, what: str, says: str) -> Iterator[None]:
        self.progress(says)
        started = time.perf_counter()
        yield
        self.seconds[what] = self.seconds.get(what, 0.0) + time.perf_counter() - started

    def _require_rights(self, promote: bool) -> None:
        require_current(self.connection)
        self.cursor.execute(
            """
            SELECT current_user::text, n.nspowner::regrole::text,
                   (SELECT r.rolname::text FROM pg_catalog.pg_roles AS r
                    WHERE r.rolname = 'pgscore_deployer' AND pg_has_role(n.nspowner, r.oid, 'USAGE')),
                   has_schema_privilege(n.oid, 'USAGE')
                   AND has_function_privilege(to_regprocedure('pgscore.begin_version(text, integer)'), 'EXECUTE'),
                   has_schema_privilege(n.oid, 'USAGE')
                   AND has_function_privilege(to_regprocedure('pgscore.promote(text, integer, text, text)'), 'EXECUTE')
            FROM pg_catalog.pg_namespace AS n
            WHERE n.nspname = 'pgscore'
            """
        )
        user, owner, self.deployer, may_deploy, may_promote = self.cursor.fetchone()
        if not may_deploy:
            raise RightsError(
                f"role {user} may not deploy models here; GRANT {self.deployer or owner} TO {ident(user)}"
            )
        if promote and not may_promote:
            raise RightsError(
                f"role {user} may deploy and not promote; GRANT pgscore_promoter TO {ident(user)}, or deploy without"
                " --promote"
            )

    def _require_usage(self, binding: Binding) -> None:
        self.cursor.execute(
            """
            SELECT n.nspowner::regrole::text
            FROM pg_catalog.pg_namespace AS n
            WHERE n.nspname = 'pgscore' AND NOT has_schema_privilege(n.nspowner, %s, 'USAGE')
            """,
            (binding.schema,),
        )
        for (owner,) in self.cursor.fetchall():
            raise RightsError(
                f"role {owner}, which owns the functions, may not use schema {binding.schema};"
                f" GRANT USAGE ON SCHEMA {ident(binding.schema)} TO {owner}"
            )

    def _begin(self) -> int:
        """The next version number; holds the model, so that another deploy of it waits for this one."""
        self.cursor.execute("SELECT pgscore.begin_version(%s)", (self.name,))
        number: int = self.cursor.fetchone()[0]
        call = f"SELECT pgscore.begin_version({literal(self.name)}, {number})"
        self.statements.append(Statement(call, f"Version {number}; refused if there is one meanwhile."))
        return number

    def _create(self, plan: VersionPlan) -> None:
        called = f"{literal(plan.name)}, {plan.version}"
        graph = plan.artifact.onnx
        if graph is not None:
            content = f"decode('{graph.content.hex()}', 'hex')"
            self._execute(Statement(f"SELECT pgscore.add_graph({called}, {content})", "The ONNX graph."))
        if plan.artifact.factors is not None:
            for statement in factor_statements(plan.name, plan.version, plan.artifact, plan.artifact.factors):
                self._execute(statement)
            self._execute(Statement(f"SELECT pgscore.seal_factors({called})", "They never change from here on."))
        for statement in plan.statements(STAGING):
            self._execute(statement)
        if self.deployer is not None:
            self.cursor.execute(
                """
                SELECT format('ALTER FUNCTION %s OWNER TO pgscore_deployer', p.oid::regprocedure)
                FROM pg_catalog.pg_proc AS p
                JOIN pg_catalog.pg_roles AS r ON r.oid = p.proowner
                WHERE p.pronamespace = 'pgscore_staging'::regnamespace AND r.rolname = current_user
                ORDER BY p.oid
                """
            )
            given = ";\n".join(text for (text,) in self.cursor.fetchall())
            self._execute(Statement(given, "The owner may take over what is a deployer's."))
        says = "To schema score, out of this role's hands; refused unless the functions only compute."
        self._execute(Statement(f"SELECT pgscore.publish_functions({called})", says))

    def _has_a_live_version(self) -> bool:
        self.cursor.execute("SELECT live IS NOT NULL FROM pgscore.model_overview WHERE model = %s", (self.name,))
        return bool(self.cursor.fetchone()[0])


def _version(plan: VersionPlan, report: ParityReport, cases: str) -> Statement:
    artifact, binding = plan.artifact, plan.binding
    sources = zip(artifact.parameters, binding.columns[: len(artifact.parameters)], strict=True)
    functions = [_function(f) for f in artifact.functions]
    if artifact.factors is not None:
        rating = None if artifact.factors.rating is None else binding.columns[-1]
        functions[0]["factors"] = {"sha256": artifact.factors.sha256, "rating": rating}
    details = {
        "estimator": artifact.estimator,
        "kind": artifact.kind.value,
        "strategy": artifact.strategy.value,
        "reason": artifact.reason,
        "bound_table": binding.table,
        "condition": None if artifact.where is None else str(artifact.where),
        "parameters": [{"name": p.name, "type": p.type.value, "column": column} for p, column in sources],
        "functions": functions,
        "onnx_sha256": artifact.onnx.sha256 if artifact.onnx else None,
        "sql": as_text(plan.statements()),
        "sha256": artifact.sha256,
        "model_sha256": artifact.model_sha256,
        "libraries": dict(artifact.libraries),
        "parity": json.loads(report.to_json()),
    }
    return Statement(
        f"SELECT pgscore.add_version({literal(plan.name)}, {plan.version},\n"
        f"    {_jsonb(details)},\n    {literal(cases)}::jsonb)",
        "The version, with the made-up rows that `pgscore verify` replays; from here on it never changes.",
    )


def _function(function: Function) -> dict[str, object]:
    return {
        "suffix": function.suffix,
        "method": function.method,
        "result": function.result,
        "language": function.language,
        "strategy": function.strategy.value,
        "outputs": list(function.outputs),
        "labels": None if function.labels is None else list(function.labels),
    }


def _jsonb(value: object) -> str:
    return literal(json.dumps(value, ensure_ascii=False)) + "::jsonb"
