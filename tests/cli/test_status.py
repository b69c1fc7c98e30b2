"""`pgscore status` as a check and as metrics, and the commands about schedules and runs."""

from __future__ import annotations

import json
import re
from typing import Any

import psycopg2
import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

import pgscore as pgscore_package
from pgscore.cli.openmetrics import STATES

from .conftest import JOB, pgscore


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are not folded: how long a name of a folder or an age is decides nothing."""
    monkeypatch.setenv("COLUMNS", "200")


def run(dsn: str, statement: str) -> None:
    connection = psycopg2.connect(dsn)
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()


def later(dsn: str, length: str) -> None:
    """As if that much time had passed."""
    run(dsn, f"UPDATE pgscore.runs SET started_at = started_at - interval '{length}'")


def done(*arguments: object) -> str:
    outcome = pgscore(*arguments)
    assert (outcome.code, outcome.err) == (0, "")
    return outcome.out


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_a_missed_target_is_exit_code_1(shop: str) -> None:
    assert done("refresh", "change", "churn_daily", "--target-lag", "1 h 30 min") == (
        "churn_daily: target lag 1 h 30 min, every none\n"
    )
    later(shop, "80 min")
    told = " ".join(lines(done("status"))[1])
    assert re.fullmatch(r"churn_daily fresh public\.churn_scores 120 1 1 8\d min of 1 h 30 min", told)
    later(shop, "20 min")
    missed = pgscore("status")
    assert missed.code == 1
    told = " ".join(lines(missed.out)[1])
    assert re.fullmatch(r"churn_daily stale public\.churn_scores 120 1 1 10\d min > 1 h 30 min", told)
    (job,) = json.loads(pgscore("status", "--json").out)
    assert (job["state"], job["fresh"], job["target_lag"], job["target_missed"]) == ("stale", False, 5400, True)
    done("refresh", "run", "churn_daily")
    done("status")


def test_one_job_and_its_ages(shop: str) -> None:
    done("refresh", "create", "weekly", *JOB[:-1], "weekly_scores", "--every", "1 week", "--target-lag", "8 days")
    assert pgscore("status").code == 1
    assert [line[0] for line in lines(done("status", "churn_daily"))] == ["job", "churn_daily"]
    run(shop, "UPDATE churn_scores SET scored_at = now() - make_interval(mins => customer_id)")
    text = done("status", "churn_daily", "--ages")
    assert text.splitlines()[-1] == (
        "120 rows; since their score was written: half 60 min, 95 % 114 min, all 2 h at most;"
        " the oldest is customer_id 120"
    )
    (job,) = json.loads(done("status", "churn_daily", "--ages", "--json"))
    assert (job["ages"]["rows"], job["ages"]["oldest_key"]) == (120, {"customer_id": 120})
    assert [job["ages"][name] // 60 for name in ("p50", "p95", "max")] == [60, 114, 120]
    empty = pgscore("status", "weekly", "--ages")
    assert (empty.code, empty.out.splitlines()[-1]) == (1, "0 rows")


def test_what_is_due_runs(shop: str) -> None:
    assert done("refresh", "run", "--due") == "Nothing is due\n"
    done("refresh", "change", "churn_daily", "--every", "1 hour")
    assert done("refresh", "run", "--due") == "Nothing is due\n"
    later(shop, "2 hours")
    assert done("refresh", "run", "--due").startswith("Refreshed churn_daily: 120 rows with version 1")
    later(shop, "2 hours")
    run(shop, "ALTER TABLE churn_scores DROP COLUMN score")
    failed = pgscore("refresh", "run", "--due")
    assert failed.code == 1
    assert failed.out.startswith("churn_daily: public.churn_scores has no column score")
    done("refresh", "change", "churn_daily", "--every", "none")
    assert done("refresh", "run", "--due") == "Nothing is due\n"


def test_the_runs_of_a_job(shop: str) -> None:
    done("refresh", "run", "churn_daily")
    run(shop, "ALTER TABLE churn_scores DROP COLUMN score")
    assert pgscore("refresh", "run", "churn_daily").code != 0
    header, last, second, first, error = lines(done("refresh", "runs", "churn_daily"))
    assert header[:4] == ["run", "state", "version", "started"]
    assert [last[1], second[1], first[1]] == ["failed", "done", "done"]
    assert " ".join(error).startswith(f"run {last[0]}: public.churn_scores has no column score")
    (only,) = json.loads(done("refresh", "runs", "churn_daily", "--limit", "1", "--json"))
    assert (only["state"], only["rows"]) == ("failed", None)


def test_changing_one_leaves_the_other(shop: str) -> None:
    done("refresh", "change", "churn_daily", "--target-lag", "2 days", "--every", "1 day")
    assert done("refresh", "change", "churn_daily", "--every", "none") == (
        "churn_daily: target lag 2 days, every none\n"
    )
    changed = json.loads(done("refresh", "change", "churn_daily", "--every", "90 s", "--json"))
    assert changed == {"job": "churn_daily", "target_lag": 172_800, "every": 90}


def test_limits(shop: str) -> None:
    given = ("--statement-timeout", "2 hours", "--max-rows-per-second", "5000")
    created = json.loads(done("refresh", "create", "weekly", *JOB[:-1], "weekly_scores", *given, "--json"))
    assert (created["statement_timeout"], created["lock_timeout"], created["max_rows_per_second"]) == (7200, None, 5000)
    assert done("refresh", "change", "weekly", "--lock-timeout", "5 s", "--max-rows-per-second", "none") == (
        "weekly: statement timeout 2 h, lock timeout 5 s, max rows per second none\n"
    )
    weekly = json.loads(done("refresh", "list", "--json"))[-1]
    assert (weekly["statement_timeout"], weekly["lock_timeout"], weekly["max_rows_per_second"]) == (7200, 5, None)


def test_explaining_a_run(shop: str) -> None:
    told = {line.split()[0]: line for line in done("refresh", "run", "churn_daily", "--explain").splitlines()}
    assert told["version"].split(maxsplit=1)[1].strip() == "version 1 of churn, which alias live means"
    assert "Seq Scan" in done("refresh", "run", "churn_daily", "--explain", "--plan")
    run(shop, "ALTER TABLE churn_scores DROP COLUMN score")
    failing = pgscore("refresh", "run", "churn_daily", "--explain", "--json")
    data = json.loads(failing.out)
    assert (failing.code, data["would_run"], data["reasons"][-2]["topic"]) == (1, False, "version")
    assert data["reasons"][-1] == {
        "topic": "problem", "value": "PS004",
        "says": "public.churn_scores has no column score, of type double precision",
    }  # fmt: skip
    assert [len(json.loads(done("refresh", "runs", "churn_daily", "--json")))] == [1]


# OpenMetrics.


def metrics() -> dict[tuple[str, tuple[str, ...]], float]:
    """The samples by name and the values of their labels, job and model first; read strictly."""
    text = done("status", "--openmetrics")
    assert text.endswith("# EOF\n")
    found = {}
    for family in openmetrics.text_string_to_metric_families(text):
        assert family.documentation
        for sample in family.samples:
            assert sample.timestamp is None
            found[sample.name, tuple(sample.labels.values())] = sample.value
    # The textfile collector reads the older format.
    older = list(parser.text_string_to_metric_families(text))
    assert sum(len(family.samples) for family in older) == len(found)
    assert {family.type for family in older} <= {"gauge", "counter", "unknown"}
    return found


def test_openmetrics(shop: str) -> None:
    done("refresh", "change", "churn_daily", "--target-lag", "1 hour", "--every", "30 min")
    done("refresh", "create", "weekly", *JOB[:-1], "weekly_scores")
    job = ("churn_daily", "churn")
    found = metrics()
    assert found["pgscore_job_info", (*job, "live", "public.customers", "public.churn_scores", "full")] == 1
    assert 0 < found["pgscore_job_lag_seconds", job] < 3600
    assert found["pgscore_job_target_lag_seconds", job] == 3600
    assert found["pgscore_job_every_seconds", job] == 1800
    assert found["pgscore_job_target_missed", job] == 0
    assert found["pgscore_job_last_run_success", job] == 1
    assert (found["pgscore_job_rows", job], found["pgscore_job_refused_rows", job]) == (120, 0)
    assert (found["pgscore_job_version", job], found["pgscore_job_current_version", job]) == (1, 1)
    assert found["pgscore_job_last_duration_seconds", job] > 0
    assert found["pgscore_job_runs_total", (*job, "done")] == 1
    # A job that never ran has neither lag nor rows.
    names = {name for name, labels in found if labels[:1] == ("weekly",)}
    assert names == {"pgscore_job_info", "pgscore_job_state", "pgscore_job_current_version"}

    later(shop, "2 hours")
    run(shop, "ALTER TABLE churn_scores DROP COLUMN score")
    assert pgscore("refresh", "run", "churn_daily").code != 0
    found = metrics()
    assert found["pgscore_job_target_missed", job] == 1
    assert found["pgscore_job_last_run_success", job] == 0
    assert found["pgscore_job_runs_total", (*job, "failed")] == 1
    assert [found["pgscore_job_state", (*job, state)] for state in STATES] == [0, 0, 0, 1, 0]
    assert found["pgscore_job_lag_seconds", job] > 7200, "of the last good run"


def test_openmetrics_of_no_job(shop: str) -> None:
    done("refresh", "drop", "churn_daily")
    assert metrics() == {("pgscore_info", (pgscore_package.__version__,)): 1}


@pytest.mark.parametrize("name", ['a "quoted" one', "back\\slash", "two\nlines", "ünï % {}"])
def test_openmetrics_escapes_labels(shop: str, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    run(shop, f"CREATE VIEW {quoted} AS SELECT * FROM customers")
    done("refresh", "create", "odd", *JOB[:2], "--from", quoted, *JOB[4:-1], f'public.{quoted[:-1]}2"')
    labels: set[Any] = {labels for metric, labels in metrics() if metric == "pgscore_job_info" and labels[0] == "odd"}
    assert labels == {("odd", "churn", "live", f"public.{quoted}", f'public.{quoted[:-1]}2"', "full")}
