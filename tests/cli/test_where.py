"""`--where`: a version for the rows of a condition, in every command that tells of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import pgscore, state

SAID = "plan = 'basic' AND tenure >= 12"


def test_deploy_show_list_history_verify_export(shop: str, files: Path, tmp_path: Path) -> None:
    model = files / "logistic.skops"
    where = ("--where", "plan='basic' and (tenure >= 12)")
    done = pgscore("deploy", model, "--as", "some", "--table", "customers", *where, "--explain")
    assert done.code == 0, done
    assert f"Rows:     {SAID}; NULL for all others" in done.out
    assert "parity holds" in done.out.lower()
    again = json.loads(pgscore("deploy", model, "--as", "some", "--table", "customers", *where, "--json").out)
    assert again["condition"] == SAID
    assert f"{SAID}; NULL for all others" in pgscore("show", "some").out
    assert json.loads(pgscore("show", "some", "--json").out)["condition"] == SAID
    listed = {row["model"]: row["condition"] for row in json.loads(pgscore("list", "--json").out)}
    assert listed == {"churn": None, "some": SAID}
    assert json.loads(pgscore("history", "some", "--json").out)[0]["note"] == f"for rows where {SAID}"
    assert pgscore("verify", "some@2", "--model", model).code == 0
    assert pgscore("export", "some", "--to", tmp_path / "out").code == 0
    for name in ("deploy.sql", "verify.sql", "revert.sql"):
        assert f"-- rows:      {SAID}; NULL for all others\n" in (tmp_path / "out" / name).read_text()


def test_a_dry_run_prints_the_condition(shop: str, files: Path) -> None:
    before = state(shop)
    command = ("deploy", files / "logistic.skops", "--as", "some", "--table", "customers", "--where", SAID, "--dry-run")
    assert "plan = 'basic'" in pgscore(*command).out.replace('"', "")
    assert state(shop) == before


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("plan = 'basic' OR tenure = 1", "at 'OR tenure = 1': terms are joined by AND alone"),
        ("region = 'EU'", "'region', which is no input of the model"),
        ("tenure > 3 AND tenure < 2", "no row can satisfy the condition"),
    ],
)
def test_what_is_refused_changes_nothing(shop: str, files: Path, where: str, message: str) -> None:
    before = state(shop)
    done = pgscore("deploy", files / "logistic.skops", "--as", "some", "--table", "customers", "--where", where)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert state(shop) == before


def test_compile(files: Path) -> None:
    general = pgscore("compile", files / "forest.skops", "--to", "sql").out
    some = pgscore("compile", files / "forest.skops", "--to", "sql", "--where", SAID)
    assert some.code == 0
    assert f"\n-- For rows where {SAID}; all others get NULL.\n" in some.out
    assert len(some.out) < len(general)
    refused = pgscore("compile", files / "forest.skops", "--to", "onnx", "--where", SAID)
    assert (refused.code, refused.out) == (2, "")
    assert "--where is for SQL" in refused.err
