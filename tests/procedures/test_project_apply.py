"""Applying a plan: what fails in the middle, several at once, and a connection that breaks."""

from __future__ import annotations

import threading

import pytest

from pgscore.errors import ActionError, RefusedError
from pgscore.procedures.project import read_project
from pgscore.procedures.project_actions import Action
from pgscore.procedures.project_apply import apply_project

from ..support.projects import CHURN, DAILY, Checkout, checkout, checkout18, versions
from ..support.tiny import opened, query, value

__all__ = ["checkout", "checkout18"]


def test_it_stops_at_the_first_failure_and_goes_on_from_there(checkout18: Checkout) -> None:
    second = CHURN.replace("churn", "tiers").replace("a.skops", "mixed.skops")
    text = CHURN + second + DAILY
    query(checkout18.connection, "ALTER TABLE customers RENAME plan TO tariff")
    seen: list[str] = []
    path = checkout18.write(text)
    with pytest.raises(ActionError) as caught:
        apply_project(
            checkout18.connection,
            read_project(path),
            before=lambda action: seen.append(action.title),
            after=lambda done: seen.append(f"done: {done.action.title}"),
        )
    assert seen == ["deploy churn version 1", "done: deploy churn version 1", "deploy tiers version 1"]
    message = str(caught.value)
    assert message.startswith("stopped at `deploy tiers version 1`: table public.customers has no column 'plan'")
    assert "Applied before: deploy churn version 1; not begun: create job daily." in message
    assert caught.value.exit_code == 2
    assert versions(checkout18) == [("churn", 1, ["live"])]
    query(checkout18.connection, "ALTER TABLE customers RENAME tariff TO plan")
    assert [action.title for action in checkout18.apply(text)] == ["deploy tiers version 1", "create job daily"]


def test_what_the_server_refuses_keeps_its_exit_code(checkout18: Checkout) -> None:
    checkout18.apply(CHURN)
    query(checkout18.connection, "CREATE INDEX ON customers (score.churn(customers))")
    with pytest.raises(ActionError, match="would keep results of the old one") as caught:
        apply_project(checkout18.connection, read_project(checkout18.write(CHURN.replace("a.skops", "b.skops"))))
    assert caught.value.exit_code == RefusedError.exit_code
    assert versions(checkout18) == [("churn", 1, ["live"])]


def test_two_at_once_deploy_once(checkout: Checkout, installed: str) -> None:
    project = read_project(checkout.write(CHURN + DAILY))
    counts: list[int] = []
    both = threading.Barrier(2)

    def work() -> None:
        with opened(installed) as connection:
            both.wait()
            _, done = apply_project(connection, project)
            counts.append(len(done))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counts) == [0, 2]
    assert versions(checkout) == [("churn", 1, ["live"])]


def test_one_waits_for_another_but_not_for_ever(checkout18: Checkout, installed18: str) -> None:
    project = read_project(checkout18.write(CHURN))
    waited: list[bool] = []
    with opened(installed18) as other:
        started, ended = threading.Event(), threading.Event()

        def hold(_: object) -> None:
            started.set()
            ended.wait(60)

        holder = threading.Thread(target=lambda: apply_project(other, project, before=hold))
        holder.start()
        try:
            assert started.wait(60)
            with pytest.raises(RefusedError, match=r"did not end within 0.2 s; nothing was changed"):
                apply_project(checkout18.connection, project, wait=0.2, waiting=lambda: waited.append(True))
            plan, done = apply_project(checkout18.connection, project, waiting=ended.set)
        finally:
            ended.set()
            holder.join()
    assert waited == [True]
    # What it plans when its turn has come: the other has done all of it.
    assert (plan.actions, plan.unchanged, done) == ((), ("model churn",), [])
    # The setting was for that one statement.
    assert value(checkout18.connection, "SHOW lock_timeout") == "0"


def test_a_connection_that_breaks(checkout18: Checkout, installed18: str) -> None:
    project = read_project(checkout18.write(CHURN + DAILY))
    with opened(installed18) as connection:
        pid = value(connection, "SELECT pg_backend_pid()")

        def cut(action: Action) -> None:
            if action.kind == "create job":
                query(checkout18.connection, f"SELECT pg_terminate_backend({pid}, 10000)")

        with pytest.raises(
            ActionError, match=r"stopped at `create job daily`: .* Applied before: deploy churn"
        ) as caught:
            apply_project(connection, project, before=cut)
    assert caught.value.exit_code == 3
    assert [action.title for action in checkout18.apply(CHURN + DAILY)] == ["create job daily"]
