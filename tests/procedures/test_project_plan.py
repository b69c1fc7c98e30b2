"""Plans against real databases, and that applying them leaves nothing to do."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2
import pytest

from pgscore.errors import (
    ActionError,
    InvalidNameError,
    NotFoundError,
    NotInstalledError,
    PgscoreError,
    RefusedError,
    UntrustedModelError,
    UsageError,
)
from pgscore.procedures import lifecycle, refresh
from pgscore.procedures.catalog import list_models, list_versions
from pgscore.procedures.connection import transaction
from pgscore.procedures.costs import write_costs
from pgscore.procedures.project import read_project
from pgscore.procedures.project_actions import ChangeJob, CreateJob, DeployVersion, DropJob, Promote
from pgscore.procedures.project_apply import apply_project, check_plan
from pgscore.procedures.project_plan import plan_project

from ..support.projects import CHURN, DAILY, Checkout, checkout, checkout18, lines, versions
from ..support.tiny import FRAME, NUMBERS, SLOW_PLANS, opened, query, value

__all__ = ["checkout", "checkout18"]


def scores(checkout: Checkout, function: str = "score.churn") -> list[float]:
    return [score for (score,) in query(checkout.connection, f"SELECT {function}(c) FROM customers c ORDER BY id")]


def answers(checkout: Checkout, model: str) -> Any:
    return checkout.models[model].estimator.predict_proba(FRAME[NUMBERS])[:, 1]


def advisory_locks(checkout: Checkout) -> int:
    count: int = value(checkout.connection, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
    return count


# Models.


def test_from_nothing_to_a_revert(checkout: Checkout) -> None:
    plan = checkout.plan(CHURN + DAILY)
    assert lines(plan.actions) == [
        "+ deploy churn version 1 for public.customers: a.skops (a new file); live → 1",
        "+ create job daily: public.customers through churn into predictions.churn",
    ]
    assert (plan.unchanged, plan.unnamed) == ((), ())
    assert list_models(checkout.connection) == []

    first, job = checkout.apply(CHURN + DAILY)
    assert isinstance(first, DeployVersion)
    assert isinstance(job, CreateJob)
    np.testing.assert_allclose(scores(checkout), answers(checkout, "a"), rtol=1e-12)
    assert checkout.plan(CHURN + DAILY).unchanged == ("model churn", "job daily")
    assert refresh.run_job(checkout.connection, "daily").rows == len(FRAME)

    new = CHURN.replace("a.skops", "b.skops") + DAILY
    assert lines(checkout.plan(new).actions) == [
        "+ deploy churn version 2 for public.customers: b.skops (a new file); live 1 → 2"
    ]
    checkout.apply(new)
    np.testing.assert_allclose(scores(checkout), answers(checkout, "b"), rtol=1e-12)

    # A git revert brings the old file back: its version is there, and nothing is deployed twice.
    (back,) = checkout.apply(CHURN + DAILY)
    assert isinstance(back, Promote)
    assert str(back) == "promote churn version 1: it is a.skops; live 2 → 1"
    np.testing.assert_allclose(scores(checkout), answers(checkout, "a"), rtol=1e-12)
    assert versions(checkout) == [("churn", 1, ["live"]), ("churn", 2, [])]
    assert advisory_locks(checkout) == 0


def test_a_rollback_by_hand_lasts_until_the_next_apply(checkout18: Checkout) -> None:
    checkout18.apply(CHURN)
    checkout18.apply(CHURN.replace("a.skops", "b.skops"))
    lifecycle.rollback(checkout18.connection, "churn")
    plan = checkout18.plan(CHURN.replace("a.skops", "b.skops"))
    assert lines(plan.actions) == ["~ promote churn version 2: it is b.skops; live 1 → 2"]


def test_without_promote_a_version_waits(checkout18: Checkout) -> None:
    waits = CHURN + "promote = false\n"
    (first,) = checkout18.apply(waits)
    assert str(first).endswith("it becomes live, as a first version does")
    (second,) = checkout18.apply(waits.replace("a.skops", "b.skops"))
    assert str(second).endswith("live stays 1")
    assert versions(checkout18) == [("churn", 1, ["live"]), ("churn", 2, [])]
    # The file is deployed already: whichever is live, there is nothing to do.
    assert checkout18.plan(waits).actions == ()
    (promoted,) = checkout18.apply(CHURN.replace("a.skops", "b.skops"))
    assert isinstance(promoted, Promote)
    assert versions(checkout18) == [("churn", 1, []), ("churn", 2, ["live"])]


def test_another_alias_moves_and_live_stays(checkout18: Checkout) -> None:
    checkout18.apply(CHURN)
    challenger = CHURN.replace("a.skops", "b.skops") + 'alias = "challenger"\n'
    (action,) = checkout18.apply(challenger + DAILY.replace("key", 'alias = "challenger"\nkey'))[:1]
    assert str(action).endswith("challenger → 2")
    assert versions(checkout18) == [("churn", 1, ["live"]), ("churn", 2, ["challenger"])]
    assert refresh.run_job(checkout18.connection, "daily").version == 2


def test_a_first_version_under_another_alias_becomes_live_too(checkout18: Checkout) -> None:
    (action,) = checkout18.apply(CHURN + 'alias = "challenger"\n')
    assert str(action).endswith("challenger → 1; it becomes live, as a first version does")
    assert versions(checkout18) == [("churn", 1, ["challenger", "live"])]


def test_another_table_or_strategy_is_another_version(checkout18: Checkout) -> None:
    query(checkout18.connection, 'CREATE VIEW "New Customers" AS SELECT * FROM customers')
    checkout18.apply(CHURN)
    elsewhere = CHURN.replace('"customers"', "'\"New Customers\"'")
    (moved,) = checkout18.apply(elsewhere)
    assert str(moved) == (
        'deploy churn version 2 for public."New Customers": a.skops (version 1 of it is for public.customers);'
        " live 1 → 2"
    )
    (plpgsql,) = checkout18.apply(elsewhere + 'strategy = "plpgsql"\n')
    assert "(version 2 of it runs as sql)" in str(plpgsql)
    assert [v.strategy for v in list_versions(checkout18.connection)] == ["sql", "sql", "plpgsql"]
    # auto is content with what is live.
    assert checkout18.plan(elsewhere).actions == ()


def test_a_version_of_two_strategies_is_not_what_one_asks_for(checkout18: Checkout) -> None:
    with transaction(checkout18.connection):
        write_costs(checkout18.connection, SLOW_PLANS)
    checkout18.apply(CHURN)
    (deploy,) = checkout18.apply(CHURN + 'strategy = "sql"\n')
    assert "(version 1 of it runs as sql and plpgsql)" in str(deploy)
    assert [v.strategies for v in list_versions(checkout18.connection)] == [("sql", "plpgsql"), ("sql",)]
    assert checkout18.plan(CHURN + 'strategy = "sql"\n').actions == ()


def test_a_qualified_name_is_the_same_table(checkout18: Checkout) -> None:
    checkout18.apply(CHURN + DAILY)
    qualified = (CHURN + DAILY).replace('"customers"', '"public.customers"').replace("predictions.", "Predictions.")
    assert checkout18.plan(qualified).actions == ()


def test_models_that_the_file_does_not_name_stay(checkout18: Checkout) -> None:
    checkout18.apply(CHURN)
    other = CHURN.replace("churn", "other")
    for prune in (False, True):
        plan = checkout18.plan(other, prune=prune)
        assert [action.title for action in plan.actions] == ["deploy other version 1"]
        assert plan.unnamed == ("model churn",)


# Jobs.


def test_a_job_changes_and_its_table_stays(checkout: Checkout) -> None:
    query(checkout.connection, "CREATE VIEW active AS SELECT * FROM customers WHERE id > 2")
    checkout.apply(CHURN + DAILY)
    refresh.run_job(checkout.connection, "daily")
    changed = DAILY.replace('source = "customers"', 'source = "active"')
    (action,) = checkout.apply(CHURN + changed)
    assert isinstance(action, ChangeJob)
    assert str(action) == (
        "change job daily: source public.customers → public.active; the record of its runs begins anew"
    )
    assert value(checkout.connection, "SELECT count(*) FROM predictions.churn") == len(FRAME)
    assert [job.state for job in refresh.status(checkout.connection)] == ["never run"]
    assert refresh.run_job(checkout.connection, "daily").deleted == 2


def test_a_change_that_fails_leaves_the_job_as_it_was(checkout18: Checkout) -> None:
    checkout18.apply(CHURN + DAILY)
    refresh.run_job(checkout18.connection, "daily")
    before = refresh.status(checkout18.connection)[0]
    path = checkout18.write(CHURN + DAILY.replace('["id"]', '["customer_id"]'))
    with pytest.raises(ActionError, match=r"stopped at `change job daily`: public.customers has no column customer_id"):
        apply_project(checkout18.connection, read_project(path))
    now = refresh.status(checkout18.connection)[0]
    assert (now.keys, now.state, now.rows) == (before.keys, "fresh", len(FRAME))
    assert advisory_locks(checkout18) == 0


def test_another_target(checkout18: Checkout) -> None:
    checkout18.apply(CHURN + DAILY)
    (action,) = checkout18.apply(CHURN + DAILY.replace("predictions.churn", "scores"))
    assert str(action) == (
        "change job daily: target predictions.churn → public.scores; predictions.churn stays;"
        " the record of its runs begins anew"
    )
    assert value(checkout18.connection, "SELECT to_regclass('predictions.churn') IS NOT NULL")


def test_prune_drops_jobs_of_the_models_in_the_file_only(checkout18: Checkout) -> None:
    other = (CHURN + DAILY).replace("churn", "other").replace("daily", "nightly")
    checkout18.apply(CHURN + DAILY + other)
    plan = checkout18.plan(CHURN)
    assert plan.actions == ()
    assert plan.unnamed == ("model other", "job daily", "job nightly")
    (action,) = checkout18.apply(CHURN, prune=True)
    assert action == DropJob("daily", "predictions.churn")
    assert str(action) == "drop job daily; predictions.churn stays"
    assert [job.job for job in refresh.list_jobs(checkout18.connection)] == ["nightly"]
    assert checkout18.plan(CHURN, prune=True).unnamed == ("model other", "job nightly")


def test_a_renamed_job_takes_over_its_table_with_prune(checkout18: Checkout) -> None:
    checkout18.apply(CHURN + DAILY)
    renamed = CHURN + DAILY.replace("jobs.daily", "jobs.hourly")
    with pytest.raises(RefusedError, match=r"\[jobs.hourly\] target: predictions.churn is the target of job daily"):
        checkout18.plan(renamed)
    assert [action.kind for action in checkout18.apply(renamed, prune=True)] == ["drop job", "create job"]


def test_targets_that_move_on_in_a_row(checkout18: Checkout) -> None:
    def jobs(*targets: str) -> str:
        made = [
            DAILY.replace("daily", f"j{i}").replace("predictions.churn", target) for i, target in enumerate(targets)
        ]
        return CHURN + "".join(made)

    checkout18.apply(jobs("p.a", "p.b", "p.c"))
    actions = checkout18.apply(jobs("p.b", "p.c", "p.d"))
    assert [action.title for action in actions] == ["change job j2", "change job j1", "change job j0"]
    with pytest.raises(RefusedError, match="jobs j0, j1 exchange their targets"):
        checkout18.plan(jobs("p.c", "p.b", "p.d"))
    with pytest.raises(RefusedError, match=r"\[jobs.j1\] target: p.b is the target of job j0; take another"):
        checkout18.plan(jobs("p.b", "p.b", "p.d"))


# Mistakes that only the database knows.

MISTAKES = {
    "table": (CHURN.replace("customers", "custmers"), NotFoundError, r"\[models.churn\] table: .* 'custmers'"),
    "no name": (CHURN.replace('"customers"', '"a b c"'), NotFoundError, r"\[models.churn\] table: .* 'a b c'"),
    "source": (CHURN + DAILY.replace("customers", "nowhere"), NotFoundError, r"\[jobs.daily\] source: .* 'nowhere'"),
    "model": (
        CHURN + DAILY.replace('"churn"', '"chrun"'), NotFoundError, r"\[jobs.daily\] model: .* mean 'churn'",
    ),
    "alias": (
        CHURN + DAILY.replace("key", 'alias = "lve"\nkey'), NotFoundError, r"\[jobs.daily\] alias: .* mean 'live'",
    ),
    "no target": (CHURN + DAILY.replace("predictions.churn", "a b"), InvalidNameError, r"\[jobs.daily\] target"),
    "too deep": (CHURN + DAILY.replace("predictions.churn", "a.b.c"), InvalidNameError, r"\[jobs.daily\] target"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_found_by_the_plan(checkout18: Checkout, mistake: str) -> None:
    text, kind, words = MISTAKES[mistake]
    with pytest.raises(kind, match=words):
        checkout18.plan(text)
    with pytest.raises(kind, match=words):
        apply_project(checkout18.connection, read_project(checkout18.write(text)))
    assert list_models(checkout18.connection) == []
    assert advisory_locks(checkout18) == 0


def test_pgscore_is_not_installed(database18: str, tmp_path: Path) -> None:
    with opened(database18) as connection, pytest.raises(NotInstalledError, match="pgscore install"):
        Checkout(tmp_path, connection).plan(CHURN)


def test_a_plan_needs_the_rights_to_read_only(checkout18: Checkout, installed18: str) -> None:
    checkout18.apply(CHURN)
    query(checkout18.connection, "CREATE ROLE planner LOGIN; GRANT pgscore_promoter TO planner")
    try:
        with opened(psycopg2.extensions.make_dsn(installed18, user="planner")) as connection:
            path = checkout18.write(CHURN.replace("a.skops", "b.skops") + DAILY)
            kinds = [action.kind for action in plan_project(connection, read_project(path)).actions]
            assert kinds == ["deploy", "create job"]
            with pytest.raises(PgscoreError, match="stopped at `deploy churn version 2`"):
                apply_project(connection, read_project(path))
    finally:
        query(checkout18.connection, "DROP OWNED BY planner; DROP ROLE planner")


def test_a_pickle_takes_the_file_and_the_command_line(checkout18: Checkout) -> None:
    digest = hashlib.sha256((checkout18.folder / "a.pkl").read_bytes()).hexdigest()
    text = CHURN.replace("churn", "first") + CHURN.replace("a.skops", "a.pkl")
    # Only the command line: the pickle stays unread.
    with pytest.raises(ActionError, match="is a pickle"):
        apply_project(checkout18.connection, read_project(checkout18.write(text)), trust=True)
    assert versions(checkout18) == [("first", 1, ["live"])]
    # Only the file: nothing is begun.
    marked = text.replace("first", "second") + f'trust = true\nsha256 = "{digest}"\n'
    checked, (warning,) = check_plan(checkout18.connection, checkout18.plan(marked))
    assert checked == ["deploy second version 1"]
    assert "`deploy churn version 1` is not checked" in warning
    checked, warnings = check_plan(checkout18.connection, checkout18.plan(marked), trust=True)
    assert (checked, warnings) == (["deploy second version 1", "deploy churn version 1"], [])
    with pytest.raises(UntrustedModelError, match=r"\[models.churn\] trust: .* give --trust as well"):
        apply_project(checkout18.connection, read_project(checkout18.write(marked)))
    assert versions(checkout18) == [("first", 1, ["live"])]
    assert len(checkout18.apply(marked, trust=True)) == 2
    # With nothing to load, nothing needs trust.
    assert checkout18.apply(marked) == []


def test_check_compiles_and_holds_the_inputs_against_the_table(checkout18: Checkout) -> None:
    query(checkout18.connection, "ALTER TABLE customers RENAME plan TO tariff")
    project = read_project(checkout18.write(CHURN.replace("a.skops", "mixed.skops")))
    plan = plan_project(checkout18.connection, project)
    with pytest.raises(ActionError, match=r"`deploy churn version 1` would fail: .* no column 'plan'") as caught:
        check_plan(checkout18.connection, plan)
    assert caught.value.exit_code == 2
    onnx = read_project(checkout18.write(CHURN + 'strategy = "onnx"\n'))
    with pytest.raises(ActionError, match="PL/Python"):
        check_plan(checkout18.connection, plan_project(checkout18.connection, onnx))
    good = read_project(checkout18.write(CHURN))
    assert check_plan(checkout18.connection, plan_project(checkout18.connection, good)) == (
        ["deploy churn version 1"],
        [],
    )
    assert list_models(checkout18.connection) == []


def test_rows_that_a_version_is_for(checkout: Checkout) -> None:
    """Another condition is another version; the same one in other words is not."""
    some = CHURN + 'where = "tenure >= 12 and monthly < 60"\n'
    (action,) = checkout.apply(some)
    assert str(action).startswith(
        "deploy churn version 1 for public.customers where tenure >= 12 AND monthly < 60: a.skops"
    )
    inside = [row.tenure >= 12 and row.monthly < 60 for row in FRAME.itertuples()]
    wanted = [score if flag else None for score, flag in zip(answers(checkout, "a"), inside, strict=True)]
    assert scores(checkout) == pytest.approx(wanted)
    assert checkout.plan(CHURN + 'where = "(tenure>=12) AND monthly<60"\n').actions == ()
    (action,) = checkout.apply(CHURN)
    assert "(version 1 of it is for rows where tenure >= 12 AND monthly < 60)" in str(action)
    (action,) = checkout.plan(CHURN + 'where = "tenure >= 13"\n').actions
    assert "(version 2 of it is for all rows)" in str(action)
    assert lines(checkout.apply(some)) == ["~ promote churn version 1: it is a.skops; live 2 → 1"]
    with pytest.raises(UsageError, match=r"\[models.churn\] where: condition 'tenure like 1', at 'like 1'"):
        checkout.plan(CHURN + 'where = "tenure like 1"\n')
    plan = checkout.plan(CHURN + 'where = "region = 3"\n')
    with pytest.raises(ActionError, match="the condition names 'region', which is no input"):
        check_plan(checkout.connection, plan)
