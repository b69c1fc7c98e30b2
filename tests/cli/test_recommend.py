"""A recommender from the shell: deployed from its file, its job, promoted and rolled back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import psycopg2
import pytest

from pgscore.compiler.factorisation import Factorisation

from .conftest import pgscore


def printed(*command: object) -> str:
    outcome = pgscore(*command)
    assert (outcome.code, outcome.err) == (0, ""), outcome
    return " ".join(outcome.out.split())


def test_a_recommender(shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with psycopg2.connect(shop) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE ratings (user_id integer, item_id integer, PRIMARY KEY (user_id, item_id))")
        cursor.execute("INSERT INTO ratings SELECT u, i FROM generate_series(1, 4) u, generate_series(1, u) i")
    connection.close()
    factors = np.random.default_rng(3).normal(size=(9, 3))
    for version, scale in enumerate((1.0, -1.0), start=1):
        path = tmp_path / f"{version}.npz"
        Factorisation("NMF", np.arange(1, 5), np.arange(1, 10), scale * factors[:4], factors).save(path)
        assert f"Deployed taste version {version}" in printed("deploy", path, "--as", "taste", "--table", "ratings")
        assert "bit-equal" in printed("verify", f"taste@{version}", "--model", path)
    listed = ["--model", "taste", "--from", "ratings", "--key", "user_id", "--key", "item_id", "--into", "recs"]
    printed("refresh", "create", "recs", *listed, "--top", 3, "--mode", "incremental")
    assert "12 new" in printed("refresh", "run", "recs")
    assert "recommender" in printed("show", "taste")
    assert "SELECT pgscore.add_factors('taste', 3, 'items'" in pgscore(
        "deploy", path, "--as", "taste", "--table", "ratings", "--dry-run"
    ).out  # fmt: skip
    printed("promote", "taste", 2)
    assert "version 2" in printed("refresh", "run", "recs")
    printed("rollback", "taste")
    assert "version 1" in printed("refresh", "run", "recs")
    assert "recs fresh public.recs" in printed("status", "recs")
    assert "used by refresh job recs" in pgscore("drop", "taste").err
    printed("refresh", "drop", "recs")
    printed("drop", "taste")
