"""Running a plan: one apply at a time in a database, each action a transaction, stopping at the first error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg2
import psycopg2.errors

from pgscore.compiler.load import LoadedModel, load_model
from pgscore.compiler.where import parse_where
from pgscore.errors import ActionError, PgscoreError, RefusedError, UntrustedModelError

from . import lifecycle, refresh, rights
from .binding import bind
from .connection import Connection, pinned, transaction
from .deploy import Deployment, artifact_of, deploy, program_of
from .project import Project
from .project_actions import (
    LIMITS,
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
from .project_plan import Plan, plan_project

WAIT = 600.0
"""Seconds to wait for another apply: it may be comparing the answers of several large models."""

_LOCK = (0x70677363, 1)
"""The advisory lock's key: "pgsc", and which of its locks."""


@dataclass(frozen=True)
class Done:
    """An action that was run; of a deploy also what it did, and what there is to warn of in its file."""

    action: Action
    deployment: Deployment | None = None
    warnings: tuple[str, ...] = ()


def apply_project(  # noqa: PLR0913 (three of them are callbacks)
    connection: Connection,
    project: Project,
    *,
    prune: bool = False,
    trust: bool = False,
    wait: float = WAIT,
    waiting: Callable[[], None] = lambda: None,
    before: Callable[[Action], None] = lambda _: None,
    after: Callable[[Done], None] = lambda _: None,
) -> tuple[Plan, list[Done]]:
    """Makes the database what the project says, and gives the plan and what was done of it: all.

    Takes a lock of the session, for which it waits `wait` seconds at most, and plans when it holds that: of two at once
    the second finds nothing to do. `trust` lets pickles be loaded that the project trusts, and no others. `waiting` is
    called when another apply has the lock, `before` and `after` with each action.

    Raises what `plan_project` raises, UntrustedModelError before anything is done, RefusedError where another apply
    does not end, and ActionError for an action that failed: those before it are done, and applying again goes on.
    """
    with _alone(connection, wait, waiting):
        plan = plan_project(connection, project, prune=prune)
        _require_trust(plan, project, trust)
        done: list[Done] = []
        for number, action in enumerate(plan.actions):
            before(action)
            try:
                done.append(_run(connection, action))
            except PgscoreError as error:
                raise _stopped(error, plan.actions, number) from error
            after(done[-1])
        return plan, done


def check_plan(connection: Connection, plan: Plan, *, trust: bool = False) -> tuple[list[str], list[str]]:
    """Compiles what the plan would deploy, and holds its inputs against the table. Changes nothing.

    Gives the actions that were checked, and warnings: what apply loads only with `trust` is passed over without it.
    Raises ActionError for the first model that does not compile, or does not fit its table.
    """
    checked: list[str] = []
    warnings: list[str] = []
    for action in plan.actions:
        if not isinstance(action, DeployVersion):
            continue
        if action.trust and not trust:
            warnings.append(f"`{action.title}` is not checked: {action.path} may run code; --trust loads it")
            continue
        try:
            warnings += _compiled(connection, action).warnings
        except PgscoreError as error:
            raise ActionError(f"`{action.title}` would fail: {error}", error.exit_code) from error
        checked.append(action.title)
    return checked, warnings


def _require_trust(plan: Plan, project: Project, trust: bool) -> None:
    for action in plan.actions:
        if isinstance(action, DeployVersion) and action.trust and not trust:
            raise UntrustedModelError(
                f"{project.where(f'models.{action.model}', 'trust')}: {action.path} may run code when it is loaded, and"
                " a file in git alone must not decide that; give --trust as well"
            )


def _compiled(connection: Connection, action: DeployVersion) -> LoadedModel:
    model = _load(action)
    program = program_of(model)
    with transaction(connection):
        binding = bind(connection, program.columns, action.table)
        where = None if action.condition is None else parse_where(action.condition)
        artifact_of(connection, program, binding, model, action.strategy, name=action.model, where=where)
    return model


def _load(action: DeployVersion) -> LoadedModel:
    return load_model(action.path, trust=action.trust, sha256=action.sha256)


def _run(connection: Connection, action: Action) -> Done:
    match action:
        case DeployVersion():
            model = _load(action)
            deployment = deploy(
                connection,
                model,
                name=action.model,
                table=action.table,
                strategy=action.strategy,
                where=action.condition,
                alias=action.alias,
                promote=action.promote,
            )
            return Done(action, deployment, model.warnings)
        case Promote():
            lifecycle.promote(connection, action.model, action.version, alias=action.alias)
        case Grant():
            rights.grant(connection, action.model, action.role)
        case Revoke():
            rights.revoke(connection, action.model, action.role)
        case ChangeJob(anew=False):
            _change_job(connection, action)
        case CreateJob() | ChangeJob():
            to = action.settings
            refresh.create_job(
                connection,
                action.job,
                model=to.model,
                source=None if to.query else to.source,
                query=to.query,
                keys=to.keys,
                target=to.target,
                alias=to.alias,
                mode=to.mode,
                replace=isinstance(action, ChangeJob),
                changes=None if to.changes == "triggers" else to.changes,
                watermark=to.watermark,
                lookback=to.lookback,
                backfill_first=to.backfill_first,
                outputs=to.outputs,
                carry=to.carry,
                vanished=to.vanished,
                top=_top(to),
                **{key: getattr(to, key) for key in OPTIONAL},
            )
        case DropJob():
            refresh.drop_job(connection, action.job)
        case _:
            raise TypeError(f"no way to run {action}")
    return Done(action)


def _top(it: JobSettings) -> refresh.Top | None:
    if it.top is None:
        return None
    return refresh.Top(it.top, it.per, it.order_by or "score", it.keep, it.diverse, it.max_per, it.eligible)


def _change_job(connection: Connection, action: ChangeJob) -> None:
    """One transaction. A challenger goes as well as comes."""
    to = action.settings
    with transaction(connection) as cursor, pinned(cursor):
        cursor.execute("SELECT pgscore.set_schedule(%s, %s, %s)", [action.job, to.target_lag, to.every])
        cursor.execute(
            "SELECT pgscore.set_limits(%s, %s, %s, %s)", [action.job, *(getattr(to, limit) for limit in LIMITS)]
        )
        if action.before.live and not to.live:
            cursor.execute("SELECT pgscore.set_live(%s, false)", [action.job])
        if (to.challenger, to.canary) != (action.before.challenger, action.before.canary):
            cursor.execute("SELECT pgscore.set_challenger(%s, %s, %s)", [action.job, to.challenger, to.canary])
        if to.live and not action.before.live:
            cursor.execute("SELECT pgscore.set_live(%s)", [action.job])


def _stopped(error: PgscoreError, actions: tuple[Action, ...], number: int) -> ActionError:
    done, left = _listed(actions[:number]), _listed(actions[number + 1 :])
    return ActionError(
        f"stopped at `{actions[number].title}`: {error}. Applied before: {done}; not begun: {left}."
        " Applying again goes on from here",
        error.exit_code,
    )


def _listed(actions: tuple[Action, ...]) -> str:
    return ", ".join(action.title for action in actions) or "nothing"


@contextmanager
def _alone(connection: Connection, wait: float, waiting: Callable[[], None]) -> Iterator[None]:
    """Holds the lock of apply, which outlives transactions; the end of a session releases its own."""
    with transaction(connection) as cursor, pinned(cursor):
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", _LOCK)
        if not cursor.fetchone()[0]:
            waiting()
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", (f"{max(1, round(wait * 1000))}ms",))
            try:
                cursor.execute("SELECT pg_advisory_lock(%s, %s)", _LOCK)
            except psycopg2.errors.LockNotAvailable:
                raise RefusedError(
                    f"another apply is changing this database, and did not end within {wait:g} s; nothing was changed"
                ) from None
    try:
        yield
    finally:
        # Where the connection broke, the lock went with the session, and the error on its way says more.
        with suppress(psycopg2.Error, PgscoreError), transaction(connection) as cursor, pinned(cursor):
            cursor.execute("SELECT pg_advisory_unlock(%s, %s)", _LOCK)
