"""`pgscore export`: which files it writes where, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import pgscore


def test_it_writes_beside_nothing_of_yours(shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = pgscore("export", "churn", "--grant", "analyst", "--grant", "Web Site")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == "Wrote churn version 1 to churn_v1: deploy.sql, revert.sql, verify.sql\n"
    deploy = tmp_path / "churn_v1" / "deploy.sql"
    assert 'TO "Web Site";' in deploy.read_text()
    assert "scikit-learn" in deploy.read_text()
    assert "pgscore_scorer" not in deploy.read_text()
    outcome = pgscore("export", "churn")
    assert outcome.code == 2
    assert outcome.err == "pgscore: deploy.sql in churn_v1 would change; --force writes over it\n"
    assert "analyst" in deploy.read_text()
    assert pgscore("export", "churn", "--force").code == 0
    assert "analyst" not in deploy.read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["churn@9"], 2, "no model churn with a version 9"),
        (["nothing"], 2, "no model nothing"),
        (["churn", "--grant", ""], 2, "cannot be a PostgreSQL identifier"),
        (["churn", "--to", "/dev/null/x"], 2, "cannot write to /dev/null/x"),
    ],
)
def test_what_it_refuses(shop: str, arguments: list[str], code: int, message: str) -> None:
    outcome = pgscore("export", *arguments)
    assert outcome.code == code
    assert message in outcome.err
