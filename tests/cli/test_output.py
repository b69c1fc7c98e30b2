"""What commands print: JSON that parses and stands alone, tables without colour in a pipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import Outcome, pgscore


def parsed(outcome: Outcome, code: int = 0) -> Any:
    assert outcome.code == code, outcome
    assert outcome.err == ""
    return json.loads(outcome.out)


def test_json_of_every_command(shop: str, files: Path, tmp_path: Path) -> None:
    def json_of(*command: object, code: int = 0) -> Any:
        return parsed(pgscore(*command, "--json"), code)

    assert json_of("install")["installed"] is True
    assert "CREATE" in json_of("install", "--dry-run")["script"] or json_of("install", "--dry-run")["statements"] == 0
    check = json_of("check", files / "forest.skops")
    assert check["compiles"] is True
    assert check["strategy"] in {"sql", "plpgsql", "onnx"}
    assert [step["way"] for step in check["steps"]] == ["SQL exact"] * 4
    assert [form["strategy"] for form in check["forms"]] == ["sql", "plpgsql", "onnx"]
    listed = {row["estimator"]: row for row in json_of("check", "--list")}
    assert listed["LogisticRegression"]["verdict"] == "exact"
    assert listed["LogisticRegression"]["module"] == "sklearn.linear_model"
    assert "CREATE" in json_of("compile", files / "logistic.skops", "--to", "sql")["content"]
    assert json_of("compile", files / "logistic.skops", "--to", "onnx")["bytes"] > 100

    deployed = json_of("deploy", files / "logistic.skops", "--as", "churn", "--table", "customers")
    assert (deployed["model"], deployed["version"], deployed["promoted"]) == ("churn", 3, False)
    assert deployed["parity"]["passed"] is True
    assert deployed["parity"]["rows"] > 120
    assert json_of("promote", "churn", 2) == {"model": "churn", "alias": "live", "version": 2, "before": 1}
    behind = json_of("status", code=1)
    assert [row["job"] for row in behind] == ["churn_daily"]
    assert json_of("rollback", "churn") == {"model": "churn", "alias": "live", "version": 1}
    assert [model["model"] for model in json_of("list")] == ["churn"]
    assert json_of("show", "churn@2")["version"] == 2
    assert [event["action"] for event in json_of("history", "churn")].count("deploy") == 3
    assert json_of("verify", "churn@3", "--model", files / "logistic.skops")["passed"] is True
    assert [report["passed"] for report in json_of("verify", "--all")] == [True, True, True]

    create = "refresh create weekly --model churn --from customers --key customer_id --into weekly_scores"
    assert json_of(*create.split())["job"] == "weekly"
    assert json_of("refresh", "run", "weekly")["rows"] == 120
    assert [run["rows"] for run in json_of("refresh", "runs", "weekly")] == [120]
    assert json_of("refresh", "change", "weekly", "--every", "1 week")["every"] == 604_800
    assert json_of("refresh", "run", "--due") == []
    assert list(json_of("schedule", "weekly", "--print", "cron")["recipes"]) == ["crontab"]
    assert json_of("unschedule", "weekly") == {"job": "weekly", "unscheduled": False}
    assert sorted(job["job"] for job in json_of("refresh", "list")) == ["churn_daily", "weekly"]
    assert len(json_of("status")) == 2
    assert json_of("refresh", "compare", "weekly") is None
    json_of("promote", "churn", 2, "--alias", "next")
    challenge = json_of("refresh", "challenge", "weekly", "--challenger", "next", "--canary", "0.5")
    assert challenge == {"job": "weekly", "challenger": "next", "canary": 0.5, "version": 2}
    assert 30 < json_of("refresh", "run", "weekly")["updated"] < 90
    compared = json_of("refresh", "compare", "weekly")
    assert (compared["version"], compared["challenger_version"], compared["rows"]) == (1, 2, 120)
    assert json_of("refresh", "compare", "weekly", "--all") == [compared]
    assert json_of("refresh", "challenge", "weekly", "--none")["challenger"] is None
    json_of("drop", "churn", "--alias", "next")
    assert json_of("refresh", "drop", "weekly")["dropped"] is True
    assert json_of("export", "churn@2", "--to", tmp_path / "v2") == {
        "model": "churn",
        "version": 2,
        "files": [str(tmp_path / "v2" / f"{name}.sql") for name in ("deploy", "revert", "verify")],
    }
    assert json_of("drop", "churn@3")["dropped"] is True
    assert json_of("uninstall", "--dry-run")["statements"] > 0


def test_json_of_a_model_that_does_not_compile(files: Path) -> None:
    answer = parsed(pgscore("check", files / "unsupported.skops", "--json"), code=1)
    assert answer["compiles"] is False
    assert answer["refusal"]["step"] == "labelspreading"
    ways = {step["step"]: step["way"] for step in answer["steps"]}
    assert [step for step, way in ways.items() if way == "refused"] == ["labelspreading"]
    assert set(ways.values()) == {"refused", "SQL exact"}


@pytest.mark.parametrize(
    "command", ["list", "show churn", "history churn", "refresh list", "status", "verify churn", "check --list"]
)
def test_tables_are_plain_text_in_a_pipe(shop: str, command: str) -> None:
    outcome = pgscore(*command.split())
    assert outcome.code == 0, outcome
    assert outcome.err == ""
    assert "\x1b" not in outcome.out
    assert outcome.out.strip()


def test_check_needs_no_database(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSCORE_DSN", "host=127.0.0.1 port=1")
    outcome = pgscore("check", files / "logistic.skops")
    assert outcome.code == 0
    for words in ("columntransformer.numbers.simpleimputer", "tenure", "predict_proba(X)[:, 1]", "auto chooses sql"):
        assert words in outcome.out


def test_names_are_printed_as_they_are(shop: str, files: Path) -> None:
    """No markup is read in names: a bracket stays a bracket."""
    outcome = pgscore("check", files / "no[red]such.skops")
    assert "no[red]such.skops" in outcome.err
