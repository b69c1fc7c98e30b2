"""`pgscore plan` and `pgscore apply` as CI runs them: in a checkout, with the model files that git brought."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from tests.support.servers import Server

from .conftest import pgscore, state
from .test_bad_input import refused

MODEL = """
[models.churn]
file = "models/churn.skops"
table = "public.customers"
"""
JOB = """
[jobs.churn_daily]
model = "churn"
source = "public.customers"
key = ["customer_id"]
target = "public.churn_scores"
"""


@pytest.fixture
def repository(tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with the model and the job of `shop`, which is the current folder."""
    folder = tmp_path / "repository"
    (folder / "models").mkdir(parents=True)
    monkeypatch.chdir(folder)
    for variable in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{variable}_NAME", "ci")
        monkeypatch.setenv(f"GIT_{variable}_EMAIL", "ci@example.com")
    git("init", "--quiet", "--initial-branch=main")
    (folder / "pgscore.toml").write_text(MODEL + JOB)
    commit(folder, files / "logistic.skops", "models/churn.skops")
    return folder


def git(*words: str) -> None:
    subprocess.run(["git", *words], check=True, capture_output=True)


def commit(repository: Path, source: Path, name: str) -> None:
    shutil.copy(source, repository / name)
    git("add", "--all")
    git("commit", "--quiet", "--message", "A model")


@pytest.fixture
def empty_shop(shop: str) -> Iterator[str]:
    """The shop's customers, with no models yet."""
    for command in (["refresh", "drop", "churn_daily"], ["drop", "churn"]):
        assert pgscore(*command).code == 0
    return shop


def test_from_a_commit_to_its_revert(empty_shop: str, repository: Path, files: Path) -> None:
    before = state(empty_shop)
    planned = pgscore("plan")
    assert (planned.code, planned.err) == (0, "")
    assert planned.out.splitlines() == [
        "+ deploy churn version 1 for public.customers: models/churn.skops (a new file); live → 1",
        "+ create job churn_daily: public.customers through churn into public.churn_scores",
        "Plan: 2 to do, 0 as pgscore.toml says",
    ]
    assert pgscore("plan", "--exit-code").code == 1
    assert state(empty_shop) == before

    applied = pgscore("apply")
    assert (applied.code, applied.err) == (0, "")
    assert [line.split()[0] for line in applied.out.splitlines()] == ["+", "parity", "+", "Applied"]
    nothing = "Nothing to do: the database is as pgscore.toml says\n"
    for command in (["plan", "--exit-code"], ["plan", "--check"], ["apply"]):
        outcome = pgscore(*command)
        assert (outcome.code, outcome.out, outcome.err) == (0, nothing, "")

    commit(repository, files / "forest.skops", "models/churn.skops")
    checked = pgscore("plan", "--check").out
    assert "live 1 → 2" in checked
    assert "Checked, compiles and fits its table: deploy churn version 2\n" in checked
    assert pgscore("apply").out.endswith("Applied 1 action\n")
    assert pgscore("plan", "--exit-code").code == 0

    git("revert", "--no-edit", "HEAD")
    assert pgscore("plan").out.startswith("~ promote churn version 1: it is models/churn.skops; live 2 → 1\n")
    assert pgscore("apply").code == 0
    assert [row["live"] for row in json.loads(pgscore("list", "--json").out)] == [1]


def test_a_database_that_was_made_by_hand_is_taken_as_it_is(shop: str, repository: Path) -> None:
    before = state(shop)
    assert pgscore("plan", "--exit-code").out == "Nothing to do: the database is as pgscore.toml says\n"
    assert pgscore("apply", "--prune").code == 0
    assert state(shop) == before


def test_json(empty_shop: str, repository: Path) -> None:
    planned = json.loads(pgscore("plan", "--json").out)
    assert (planned["file"], planned["unchanged"], planned["unnamed"]) == ("pgscore.toml", [], [])
    deploy, job = planned["actions"]
    digest = hashlib.sha256((repository / "models/churn.skops").read_bytes()).hexdigest()
    assert (
        deploy
        | {
            "action": "deploy",
            "model": "churn",
            "sha256": digest,
            "table": "public.customers",
            "strategy": None,
            "promote": True,
            "before": None,
            "reason": "a new file",
        }
        == deploy
    )
    assert deploy["text"].startswith("deploy churn version 1 for public.customers")
    assert job["settings"]["keys"] == ["customer_id"]

    applied = pgscore("apply", "--json")
    data = json.loads(applied.out)
    assert [(one["action"], one.get("version")) for one in data["applied"]] == [("deploy", 1), ("create job", None)]
    assert data["applied"][0]["strategy"] == "sql"
    assert data["applied"][0]["parity"]["passed"] is True
    assert json.loads(pgscore("plan", "--json").out)["unchanged"] == ["model churn", "job churn_daily"]


def test_what_the_file_does_not_name(shop: str, repository: Path) -> None:
    (repository / "pgscore.toml").write_text(MODEL)
    assert "Not in pgscore.toml, left alone: job churn_daily\n" in pgscore("plan", "--exit-code").out
    assert "- drop job churn_daily; public.churn_scores stays\n" in pgscore("plan", "--prune").out
    assert pgscore("apply", "--prune").out.endswith("Applied 1 action\n")
    assert json.loads(pgscore("status", "--json").out) == []


def test_a_failure_says_what_was_done(empty_shop: str, repository: Path, files: Path) -> None:
    shutil.copy(files / "unsupported.skops", repository / "models/broken.skops")
    broken = MODEL.replace("churn", "broken")
    (repository / "pgscore.toml").write_text(MODEL + broken + JOB)
    checked = pgscore("plan", "--check")
    refused(checked, 2, "`deploy broken version 1` would fail", "labelspreading")

    outcome = pgscore("apply")
    assert outcome.code == 2
    assert outcome.out.splitlines()[-1].startswith("+ deploy broken version 1")
    assert outcome.err.count("\n") == 1
    assert outcome.err.startswith("pgscore: stopped at `deploy broken version 1`: step labelspreading")
    assert "Applied before: deploy churn version 1; not begun: create job churn_daily." in outcome.err
    refused(pgscore("apply", "--json"), 2, "Applied before: nothing")

    (repository / "pgscore.toml").write_text(MODEL + JOB)
    assert pgscore("apply").out.endswith("Applied 1 action\n")


def test_which_server(
    empty_shop: str, server18: Server, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = server18.dsn("nowhere")
    text = MODEL + JOB
    file = repository / "pgscore.toml"
    file.write_text(f'[database]\ndsn = "{nowhere}"\n{text}')
    assert pgscore("plan").code == 0  # PGSCORE_DSN says another
    monkeypatch.delenv("PGSCORE_DSN")
    refused(pgscore("plan"), 3, 'database "nowhere" does not exist')
    assert pgscore("plan", "--dsn", empty_shop).code == 0
    file.write_text(f'[database]\ndsn = "{empty_shop}"\n{text}')
    monkeypatch.chdir(tmp_path)
    assert pgscore("apply", "--file", file).code == 0


def test_mistakes_change_nothing(shop: str, repository: Path) -> None:
    before = state(shop)
    for text, words in (
        (MODEL.replace("table", "tabel"), ["pgscore.toml: [models.churn]", "did you mean 'table'"]),
        (MODEL + f'sha256 = "{"0" * 64}"', ["[models.churn] sha256"]),
        (MODEL.replace("customers", "custmers"), ["[models.churn] table"]),
    ):
        (repository / "pgscore.toml").write_text(text)
        for command in ("plan", "apply"):
            refused(pgscore(command), 2, *words)
    (repository / "pgscore.toml").unlink()
    refused(pgscore("plan"), 2, "pgscore.toml does not exist", "--file")
    assert state(shop) == before


def test_a_pickle_needs_the_file_and_the_command_line(shop: str, repository: Path, files: Path) -> None:
    pickle = repository / "models/churn.pkl"
    shutil.copy(files / "pickle.pkl", pickle)
    digest = hashlib.sha256(pickle.read_bytes()).hexdigest()
    (repository / "pgscore.toml").write_text(
        MODEL.replace(".skops", ".pkl") + f'trust = true\nsha256 = "{digest}"\n' + JOB
    )
    before = state(shop)
    checked = pgscore("plan", "--check")
    assert (checked.code, checked.err.count("is not checked")) == (0, 1)
    refused(pgscore("apply"), 2, "[models.churn] trust", "give --trust as well")
    assert state(shop) == before
    assert pgscore("apply", "--trust").code == 0


def test_another_apply_is_waited_for(shop: str, repository: Path) -> None:
    with contextlib.closing(psycopg2.connect(shop)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(x'70677363'::integer, 1)")
        outcome = pgscore("apply", "--wait", "0.1")
    assert (outcome.code, outcome.out) == (1, "")
    first, second = outcome.err.splitlines()
    assert first == "pgscore: warning: another apply is changing this database; waiting for it"
    assert second.startswith("pgscore: another apply is changing this database, and did not end within 0.1 s")
