"""The set-up steps of the image run here on Debian; the Dockerfile and the compose file are read without an engine."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml

from ..support.servers import DEBIAN, Server

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
SCRIPTS = sorted((DOCKER / "setup").glob("*.sh"))
TOOLS = Path(sys.executable).parent


def instructions() -> list[list[str]]:
    """The Dockerfile's instructions, each as its words."""
    text = (DOCKER / "Dockerfile").read_text()
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    return [shlex.split(line) for line in text.splitlines() if line.strip()]


def compose() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    return parsed


def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a set-up script with these variables and the PATH of this environment, and nothing else."""
    path = f"{TOOLS}:{DEBIAN}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name == "HOME"}
    return subprocess.run(
        [DOCKER / "setup" / script],
        env=kept | {"PATH": path} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


class TestFiles:
    @pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
    def test_scripts_are_clean(self, script: Path) -> None:
        subprocess.run(["bash", "-n", script], check=True)
        done = subprocess.run([TOOLS / "shellcheck", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
        assert os.access(script, os.X_OK)
        assert script.read_text().startswith("#!/usr/bin/env bash\n")
        assert "set -euo pipefail" in script.read_text()

    def test_dockerfile_is_clean(self) -> None:
        done = subprocess.run([TOOLS / "hadolint", DOCKER / "Dockerfile"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout

    def test_what_the_dockerfile_copies_exists_and_reaches_the_build(self) -> None:
        ignore = (DOCKER / "Dockerfile.dockerignore").read_text().split()
        copied = [words for words in instructions() if words[0] == "COPY" and not words[1].startswith("--from")]
        assert copied
        for _, *sources, _ in copied:
            for source in sources:
                assert (ROOT / source).exists(), source
                assert f"!{source.rstrip('/')}" in ignore

    def test_the_image_has_all_that_the_package_is_built_from(self) -> None:
        """The wheel is built in the image: what pyproject.toml names and what pgscore/ links to must be there."""
        copied = {word.rstrip("/") for words in instructions() if words[0] == "COPY" for word in words[1:-1]}
        links = {path.resolve().name for path in (ROOT / "pgscore").iterdir() if path.is_symlink()}
        assert copied >= links | {"pgscore", "pyproject.toml", "README.md", "LICENSE"}

    def test_scripts_that_files_name_are_in_the_image(self) -> None:
        names = {path.name for path in SCRIPTS}
        for file in ("Dockerfile", "compose.yaml"):
            used = set(re.findall(r"/usr/local/share/pgscore/([\w.-]+)", (DOCKER / file).read_text()))
            assert used
            assert used <= names

    def test_compose(self) -> None:
        service = compose()["services"]["db"]
        build = (DOCKER / service["build"]["context"]).resolve()
        assert build == ROOT
        assert (build / service["build"]["dockerfile"]).is_file()
        assert service["healthcheck"]["test"] == ["CMD", "/usr/local/share/pgscore/healthy.sh"]
        assert set(service["secrets"]) == set(compose()["secrets"])
        assert {mount.split(":")[0] for mount in service["volumes"]} == set(compose()["volumes"])
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])

    def test_no_password_is_written_down(self) -> None:
        assert compose()["secrets"]["postgres_password"] == {"environment": "POSTGRES_PASSWORD"}
        assert set(compose()["services"]["db"]["environment"]) == {"POSTGRES_PASSWORD_FILE"}
        for words in instructions():
            assert not (words[0] in {"ENV", "ARG"} and "PASSWORD" in " ".join(words))

    def test_the_server_has_one_major_version(self) -> None:
        images = {words[1] for words in instructions() if words[0] == "FROM"}
        assert images == {"postgres:17-bookworm"}


class TestSteps:
    def test_plpython(self, server15: Server) -> None:
        """PL/Python for the tests' server; a second time changes nothing."""
        done = run("plpython.sh", PG_MAJOR=str(server15.major))
        assert done.returncode == 0, done.stderr
        assert "postgresql-plpython3-15 is installed" in done.stdout

    def test_runtime(self, runtime_folder: Path) -> None:
        done = run("runtime.sh", RUNTIME_DIR=str(runtime_folder))
        assert done.returncode == 0, done.stderr

    def test_runtime_for_a_python_without_pip(self, tmp_path: Path) -> None:
        """As in the image, where Debian's Python has none: pgscore's own pip installs for it."""
        bare = tmp_path / "bare"
        subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", bare], check=True)
        folder = tmp_path / "runtime"
        done = run("runtime.sh", RUNTIME_DIR=str(folder), SERVER_PYTHON=str(bare / "bin/python3"))
        assert done.returncode == 0, done.stderr
        assert (folder / "onnxruntime").is_dir()
        assert not any(path.stat().st_mode & 0o022 or not path.stat().st_mode & 0o004 for path in folder.rglob("*"))
        assert sorted(path.name for path in tmp_path.iterdir()) == ["bare", "runtime"]

    def test_init_and_health(self, server15: Server, database15: str, runtime_folder: Path) -> None:
        name = psycopg2.extensions.parse_dsn(database15)["dbname"]
        where = {"PGHOST": server15.host, "PGPORT": str(server15.port), "POSTGRES_DB": name}
        assert run("healthy.sh", **where).returncode == 1
        done = run("init.sh", RUNTIME_DIR=str(runtime_folder), **where)
        assert done.returncode == 0, done.stderr
        assert run("healthy.sh", **where).returncode == 0
        connection = psycopg2.connect(database15)
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT pgscore.runtime_info() ->> 'problem'")
            assert cursor.fetchone() == (None,)
        connection.close()

    def test_no_server_is_not_healthy(self, tmp_path: Path) -> None:
        assert run("healthy.sh", PGHOST=str(tmp_path)).returncode == 2

    @pytest.mark.parametrize("script", ["plpython.sh", "runtime.sh", "init.sh"])
    def test_a_missing_setting_is_named(self, script: str) -> None:
        done = run(script)
        assert done.returncode != 0
        assert re.search(r"(PG_MAJOR|RUNTIME_DIR): the ", done.stderr)
