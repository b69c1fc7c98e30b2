"""Bad input gets one clear line on stderr and its exit code, and changes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import make_dsn, parse_dsn

from tests.support.servers import Server

from .conftest import JOB, Outcome, pgscore, state


def refused(outcome: Outcome, code: int, *words: str) -> None:
    """Asserts the exit code, nothing on stdout, and one line on stderr that holds each of the words."""
    assert outcome.code == code, outcome
    assert outcome.out == ""
    assert outcome.err.startswith("pgscore: ")
    assert outcome.err.count("\n") == 1
    for word in words:
        assert word in outcome.err


def execute(dsn: str, *statements: str) -> None:
    with contextlib.closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def as_role(dsn: str, role: str, **more: str) -> str:
    return make_dsn(dsn, **(parse_dsn(dsn) | {"user": role} | more))


def deploy(file: Path, *more: str) -> tuple[object, ...]:
    return ("deploy", file, "--as", "churn", "--table", "customers", *more)


@pytest.mark.parametrize(
    "dsn",
    ["host=127.0.0.1 port=1 dbname=shop", "host=/nowhere dbname=shop", "postgresql://pgscore:secret@127.0.0.1:1/shop"],
)
def test_no_server(dsn: str, files: Path) -> None:
    outcome = pgscore(*deploy(files / "logistic.skops"), "--dsn", dsn)
    refused(outcome, 3, "no server is listening there")
    assert "secret" not in outcome.err


def test_no_such_database(server18: Server) -> None:
    refused(pgscore("list", "--dsn", server18.dsn("no_such_database")), 3, 'database "no_such_database" does not exist')


def test_unreadable_dsn() -> None:
    outcome = pgscore("list", "--dsn", "pass word=secret")
    refused(outcome, 2, "connection string")
    assert "secret" not in outcome.err


@pytest.fixture
def locked_role(shop: str) -> Iterator[str]:
    """A role that the server asks for a password: the first line of its pg_hba.conf says so."""
    with contextlib.closing(psycopg2.connect(shop)) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW hba_file")
        hba = Path(cursor.fetchone()[0])
    before = hba.read_text()
    execute(shop, "CREATE ROLE locked LOGIN PASSWORD 'right'")
    hba.write_text("local all locked scram-sha-256\n" + before)
    execute(shop, "SELECT pg_reload_conf()")
    yield "locked"
    hba.write_text(before)
    execute(shop, "SELECT pg_reload_conf()", "DROP ROLE locked")


def test_wrong_password(shop: str, locked_role: str) -> None:
    before = state(shop)
    outcome = pgscore("promote", "churn", 2, "--dsn", as_role(shop, locked_role, password="wrong"))
    refused(outcome, 3, "wrong password")
    assert "'wrong'" not in outcome.err
    assert state(shop) == before


@pytest.fixture
def stranger(shop: str) -> Iterator[str]:
    """The DSN of a role without any right."""
    execute(shop, "CREATE ROLE stranger LOGIN")
    yield as_role(shop, "stranger")
    execute(shop, "DROP ROLE stranger")


@pytest.mark.parametrize(
    "command",
    [
        ("install",),
        ("uninstall",),
        ("promote", "churn", 2),
        ("rollback", "churn"),
        ("drop", "churn"),
        ("refresh", "run", "churn_daily"),
        ("refresh", "drop", "churn_daily"),
        ("refresh", "challenge", "churn_daily", "--none"),
        ("refresh", "compare", "churn_daily"),
        ("refresh", "change", "churn_daily", "--every", "none"),
        ("refresh", "runs", "churn_daily"),
        ("refresh", "run", "--due"),
        ("schedule", "churn_daily", "--every", "1 day"),
        ("unschedule", "churn_daily"),
        ("status",),
    ],
    ids=lambda command: "-".join(map(str, command[:2])),
)
def test_no_rights(shop: str, stranger: str, command: tuple[object, ...]) -> None:
    before = state(shop)
    refused(pgscore(*command, "--dsn", stranger), 3)
    assert state(shop) == before


def test_no_rights_to_deploy(shop: str, stranger: str, files: Path) -> None:
    before = state(shop)
    refused(pgscore(*deploy(files / "logistic.skops"), "--dsn", stranger), 3)
    assert state(shop) == before


@pytest.mark.parametrize(
    "command", [["check"], ["compile", "--to", "sql"], ["deploy", "--as", "churn", "--table", "customers"]]
)
@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("text.skops", ["text.skops"]),
        ("missing.skops", ["missing.skops"]),
        ("pickle.pkl", ["pickle.pkl", "--trust"]),
    ],
)
def test_not_a_model_or_not_trusted(shop: str, files: Path, command: list[str], file: str, words: list[str]) -> None:
    before = state(shop)
    refused(pgscore(*command, files / file), 2, *words)
    assert state(shop) == before


def test_a_trusted_pickle_is_taken(shop: str, files: Path) -> None:
    assert pgscore(*deploy(files / "pickle.pkl", "--trust")).code == 0


def test_unsupported_step(shop: str, files: Path) -> None:
    before = state(shop)
    outcome = pgscore(*deploy(files / "unsupported.skops"))
    refused(outcome, 2, "labelspreading", "LabelSpreading", "pgscore check --list")
    assert state(shop) == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("ALTER TABLE others DROP COLUMN tenure", ["tenure", "others"]),
        ("ALTER TABLE others ALTER COLUMN tenure TYPE text", ["tenure", "text"]),
        ("ALTER TABLE others ALTER COLUMN plan TYPE int USING 1", ["plan", "integer"]),
        ("ALTER TABLE others ALTER COLUMN charges TYPE date USING now()", ["charges", "date"]),
    ],
)
def test_missing_or_mistyped_column(shop: str, files: Path, change: str, words: list[str]) -> None:
    execute(shop, "CREATE TABLE others AS SELECT * FROM customers", change)
    before = state(shop)
    refused(pgscore("deploy", files / "logistic.skops", "--as", "churn", "--table", "others"), 2, *words)
    refused(pgscore("check", files / "logistic.skops", "--table", "others"), 2, *words)
    assert state(shop) == before


def test_no_such_table(shop: str, files: Path) -> None:
    before = state(shop)
    for command in (
        ("deploy", files / "logistic.skops", "--as", "churn", "--table", "nowhere"),
        ("check", files / "logistic.skops", "--table", "nowhere"),
        (
            "refresh",
            "create",
            "nightly",
            "--model",
            "churn",
            "--from",
            "nowhere",
            "--key",
            "customer_id",
            "--into",
            "s",
        ),
    ):
        refused(pgscore(*command), 2, "nowhere")
    assert state(shop) == before


def test_onnx_without_plpython(shop: str, files: Path) -> None:
    before = state(shop)
    refused(pgscore(*deploy(files / "logistic.skops", "--strategy", "onnx")), 3, "PL/Python")
    assert state(shop) == before


@pytest.mark.parametrize(
    "name", ["Robert'); DROP TABLE customers; --", "1st", "Churn", "churn-model", "", "x" * 41, "a.b"]
)
def test_a_name_that_is_no_identifier(shop: str, files: Path, name: str) -> None:
    before = state(shop)
    refused(pgscore("deploy", files / "logistic.skops", "--as", name, "--table", "customers"), 2)
    assert state(shop) == before


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["promote", "nobody", "1"], 2, ["nobody"]),
        (["promote", "churn", "9"], 2, ["9"]),
        (["promote", "churn", "two"], 2, ["VERSION", "integer", "pgscore promote --help"]),
        (["rollback", "nobody"], 2, ["nobody"]),
        (["rollback", "churn"], 1, ["churn"]),
        (["show", "nobody"], 2, ["nobody"]),
        (["show", "churn@9"], 2, ["9"]),
        (["show", "churn@latest"], 2, ["churn@latest"]),
        (["history", "nobody"], 2, ["nobody"]),
        (["verify", "nobody"], 2, ["nobody"]),
        (["verify"], 2, ["--all"]),
        (["verify", "churn", "--all"], 2, ["--all"]),
        (["drop", "nobody"], 2, ["nobody"]),
        (["drop", "churn@9"], 2, ["9"]),
        (["drop", "churn@1"], 1, ["live"]),
        (["refresh", "run", "nothing"], 2, ["nothing"]),
        (["refresh", "drop", "nothing"], 2, ["nothing"]),
        (["refresh", "create", "recs", *JOB, "--per", "customer_id"], 2, ["--per", "--top"]),
        (["refresh", "create", "recs", *JOB, "--top", "0"], 2, ["recs", "at least 1"]),
        (["refresh", "compare", "nothing"], 2, ["nothing"]),
        (["refresh", "run"], 2, ["--due"]),
        (["refresh", "run", "churn_daily", "--due"], 2, ["--due"]),
        (["refresh", "runs", "nothing"], 2, ["nothing"]),
        (["refresh", "runs", "churn_daily", "--limit", "0"], 2, ["--limit"]),
        (["refresh", "change", "nothing", "--every", "1 day"], 2, ["nothing"]),
        (["refresh", "run", "churn_daily", "--plan"], 2, ["--explain"]),
        (["refresh", "run", "churn_daily", "--jobs", "2", "--chunk-rows", "5"], 2, ["--jobs", "--chunk-rows"]),
        (["refresh", "run", "--due", "--explain"], 2, ["--explain", "one job"]),
        (["refresh", "change", "churn_daily"], 2, ["--target-lag", "--every", "--lock-timeout"]),
        (["refresh", "change", "churn_daily", "--max-rows-per-second", "0"], 2, ["'0'", "no number of rows"]),
        (["refresh", "change", "churn_daily", "--statement-timeout", "30 days"], 2, ["statement_timeout", "24 days"]),
        (["refresh", "change", "churn_daily", "--every", "1 month"], 2, ["'1 month'", "no length of time"]),
        (["refresh", "change", "churn_daily", "--target-lag", "soon"], 2, ["'soon'", "no length of time"]),
        (["status", "nothing"], 2, ["nothing"]),
        (["status", "--ages"], 2, ["--ages", "JOB"]),
        (["status", "churn_daily", "--openmetrics"], 2, ["--openmetrics"]),
        (["status", "--openmetrics", "--json"], 2, ["--openmetrics"]),
        (["schedule", "churn_daily"], 2, ["--every", "--cron"]),
        (["schedule", "nothing", "--every", "1 day"], 2, ["nothing"]),
        (["schedule", "churn_daily", "--every", "now and then"], 2, ["no length of time"]),
        (["refresh", "challenge", "nothing", "--none"], 2, ["nothing"]),
        (["refresh", "challenge", "churn_daily"], 2, ["--challenger", "--none"]),
        (["refresh", "challenge", "churn_daily", "--none", "--challenger", "next"], 2, ["--challenger", "--none"]),
        (["refresh", "challenge", "churn_daily", "--none", "--canary", "0.1"], 2, ["--canary"]),
        (["refresh", "challenge", "churn_daily", "--challenger", "next", "--canary", "1.5"], 2, ["between 0 and 1"]),
        (["refresh", "challenge", "churn_daily", "--challenger", "next", "--canary", "nan"], 2, ["between 0 and 1"]),
        (["refresh", "challenge", "churn_daily", "--challenger", "live"], 1, ["live", "challenger"]),
        (["refresh", "challenge", "churn_daily", "--challenger", "the next"], 2, ["the next"]),
        (["refresh"], 2, ["pgscore refresh --help"]),
        (["check"], 2, ["--list"]),
        (["deploy"], 2, ["pgscore deploy --help"]),
        (["install", "--runtime", "/opt/runtime"], 2, ["--plpython"]),
        (["frobnicate"], 2, ["frobnicate"]),
        (["list", "--frobnicate"], 2, ["--frobnicate"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and "" not in value else None,
)
def test_what_does_not_exist(shop: str, command: list[str], code: int, words: list[str]) -> None:
    before = state(shop)
    refused(pgscore(*command), code, *words)
    assert state(shop) == before


def test_not_installed(database18: str, files: Path) -> None:
    execute(database18, "CREATE TABLE customers (customer_id int, tenure int, charges float8, plan text)")
    before = state(database18)
    for command in (("list",), ("status",), ("history", "churn"), deploy(files / "logistic.skops")):
        refused(pgscore(*command, "--dsn", database18), 3, "pgscore install")
    assert state(database18) == before


def test_a_parity_mismatch_found_by_verify(shop: str) -> None:
    """Someone replaces a version's function by hand: verify sees it, and says so with exit code 1."""
    assert pgscore("verify", "churn@1").code == 0
    execute(
        shop,
        """DO $$ DECLARE definition text; BEGIN
             SELECT pg_get_functiondef(p.oid) INTO definition FROM pg_proc p
             WHERE pronamespace = 'score'::regnamespace AND proname = 'churn_v1' AND pronargs > 1;
             EXECUTE regexp_replace(definition, 'RETURN .*', 'RETURN 0.5::double precision');
           END $$""",
    )
    before = state(shop)
    outcome = pgscore("verify", "churn@1")
    assert outcome.code == 1
    assert outcome.err.count("\n") <= 1
    assert "churn" in outcome.out + outcome.err
    assert state(shop) == before


def test_debug_adds_the_traceback() -> None:
    outcome = pgscore("list", "--dsn", "host=127.0.0.1 port=1", "--debug")
    assert outcome.code == 3
    assert "Traceback" in outcome.err


def test_an_unexpected_error_is_one_line_too(shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("the value of a row")

    monkeypatch.setattr("pgscore.procedures.lifecycle.list_models", broken)
    outcome = pgscore("list")
    refused(outcome, 70, "unexpected: RuntimeError in test_bad_input.py, line", "--debug")
    assert "row" not in outcome.err
