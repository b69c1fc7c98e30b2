"""`--help` of every command, the version, how quickly the command line starts, and the public API."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pgscore as package

from .conftest import pgscore

COMMANDS = [
    "", "demo", "install", "uninstall", "runtime", "runtime install", "check", "compile", "deploy", "promote",
    "rollback", "list", "show", "history", "verify", "drop", "export", "refresh", "refresh create", "refresh run",
    "refresh list", "refresh challenge", "refresh compare", "refresh drop", "refresh runs",
    "refresh change", "status", "schedule", "unschedule", "plan", "apply",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str) -> None:
    outcome = pgscore(*command.split(), "--help")
    assert outcome.code == 0
    assert outcome.err == ""
    assert f"Usage: pgscore {command}".strip() in " ".join(outcome.out.split())


def test_without_a_command_it_helps() -> None:
    assert pgscore().out == pgscore("--help").out


def test_exit_codes_are_in_the_help() -> None:
    text = " ".join(pgscore("--help").out.split())
    for words in (
        "0 done",
        "1 the answer is no",
        "2 wrong usage or input",
        "3 the server or its rights",
        "70 unexpected",
    ):
        assert words in text


def test_version() -> None:
    assert pgscore("--version").out == f"pgscore {package.__version__}\n"


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from pgscore.cli import run; run(['--help']); "
        "heavy = {'sklearn', 'numpy', 'pandas', 'onnx', 'psycopg2', 'skops', 'scipy'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)


def test_every_public_name_exists() -> None:
    for name in package.__all__:
        assert getattr(package, name) is not None
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = package.nothing
