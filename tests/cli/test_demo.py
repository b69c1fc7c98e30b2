"""The tour runs to its end, tells what it should, and leaves nothing behind; Ctrl-C ends it cleanly."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from .conftest import pgscore


def test_the_tour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(tmp_path)
    outcome = pgscore("demo", "--json")
    assert outcome.code == 0, outcome.err
    summary = json.loads(outcome.out)
    assert summary["seconds"] < 180
    told = [
        "7,043 customers",
        "11 customers have no total charges",
        "$ pgscore check churn_v1.skops",
        "$ pgscore install",
        "$ pgscore deploy churn_v1.skops --as churn --table customers",
        "Deployed churn version 1 (sql); live now",
        "SELECT customer_id",
        ">>> model.predict_proba(first_five)[:, 1]",
        "EXPLAIN (VERBOSE",
        "No call of score.churn is left in the plan",
        "$ pgscore refresh run churn_daily",
        "7,043 rows with version 1",
        "$ pgscore deploy churn_v2.skops",
        "$ pgscore promote churn 2",
        "behind",
        "CALL pgscore.refresh('churn_daily');",
        "$ pgscore rollback churn",
        "live is version 1 again",
        "$ pgscore verify churn@1",
        "parity holds",
        "$ pgscore history churn",
        "How long it took",
        "The server stops now",
    ]
    at = 0
    for words in told:
        assert words in outcome.err[at:], words
        at = outcome.err.index(words, at)
    assert not list(tmp_path.glob("pgscore-*"))


def test_the_scores_in_sql_are_the_model_s_own_in_the_tour_text() -> None:
    """What the audience compares by eye: psql's lines of an answer."""
    from pgscore.demo.stage import as_psql

    assert as_psql(["id", "label"], [(1, "No"), (22, None), (3, "x")], rows=2) == [
        " id | label",
        "----+-------",
        "  1 | No",
        " 22 |",
        "…",
        "(3 rows)",
    ]


def test_ctrl_c_ends_it(tmp_path: Path) -> None:
    # A shell that runs the tests in the background has them ignore the signal, and what they start with them.
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [sys.executable, "-c", f"{heeding}; from pgscore.cli import main; main()", "demo"]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    running = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in running.stdout:
        if "export PGSCORE_DSN" in line:
            folder = re.search(r"host=(\S+)", line)[1]
            break
    servers = [p for p in psutil.process_iter(["cmdline"]) if folder in " ".join(p.info["cmdline"] or [])]
    assert servers
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert err == "pgscore: interrupted\n"
    assert not any(server.is_running() and server.status() != psutil.STATUS_ZOMBIE for server in servers)
    assert not Path(folder).exists()
