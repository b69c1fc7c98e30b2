"""Reading pgscore.toml: what it may say, and that each mistake is named with its file, table and key."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from pgscore.compiler.artifact import Strategy
from pgscore.errors import InvalidNameError, ModelFileError, PgscoreError, UsageError
from pgscore.procedures.project import JobEntry, ModelEntry, read_project

CONTENT = b"only hashed, never loaded"
SHA256 = hashlib.sha256(CONTENT).hexdigest()

MODEL = """
[models.churn]
file = "models/churn.skops"
table = "public.customers"
"""
JOB = """
[jobs.churn_daily]
model = "churn"
source = "public.customers"
key = ["customer_id"]
target = "predictions.churn"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/churn.skops").write_bytes(CONTENT)
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{SHA256}\nsize {len(CONTENT)}\n"
    (tmp_path / "models/lfs.skops").write_text(pointer)
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "pgscore.toml"
    path.write_text(text)
    return path


def test_what_is_left_out_has_its_default(folder: Path) -> None:
    path = write(folder, MODEL + JOB)
    project = read_project(path)
    assert (project.path, project.dsn) == (path, None)
    file = folder / "models/churn.skops"
    assert project.models == (
        ModelEntry(
            "churn", "models/churn.skops", file, SHA256, "public.customers", None, False, "live", True, None
        ),
    )  # fmt: skip
    assert project.jobs == (
        JobEntry(
            "churn_daily", "churn", "live", "public.customers", ("customer_id",), "predictions.churn", "full"
        ),
    )  # fmt: skip


def test_every_key(folder: Path) -> None:
    text = f"""
    [database]
    dsn = "service=prod"
    {MODEL}
    strategy = "plpgsql"
    trust = true
    sha256 = "{SHA256}"
    alias = "champion"
    promote = false
    grants = ["analyst", "reporting", "analyst"]
    {JOB}
    alias = "champion"
    mode = "full"
    target_lag = "1 h 30 min"
    every = false
    statement_timeout = "2 h"
    lock_timeout = false
    max_rows_per_second = 5000
    challenger = "next"
    canary = 1
    """
    project = read_project(write(folder, text))
    assert project.dsn == "service=prod"
    (model,), (job,) = project.models, project.jobs
    assert (model.strategy, model.trust, model.sha256) == (Strategy.PLPGSQL, True, SHA256)
    assert (model.alias, model.promote, model.grants) == ("champion", False, ("analyst", "reporting"))
    assert (job.alias, job.mode) == ("champion", "full")
    assert job.optional == {
        "target_lag": timedelta(minutes=90), "every": None,
        "statement_timeout": timedelta(hours=2), "lock_timeout": None, "max_rows_per_second": 5000,
        "challenger": "next", "canary": 1,
    }  # fmt: skip


def test_no_role_is_not_the_same_as_nothing_said(folder: Path) -> None:
    assert read_project(write(folder, MODEL + "grants = []")).models[0].grants == ()


def test_model_files_are_beside_the_toml_wherever_pgscore_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, MODEL)
    monkeypatch.chdir(folder.parent)
    assert read_project(Path(folder.name) / "pgscore.toml").models[0].sha256 == SHA256


def database(dsn: str) -> str:
    return f'[database]\ndsn = "{dsn}"\n{MODEL}'


MISTAKES = {
    "not toml": ("[models.churn\nfile = 3", UsageError, ["is no TOML", "line 1"]),
    "a key twice": (MODEL + 'table = "b"', UsageError, ["is no TOML", "overwrite"]),
    "nothing": ("# later", UsageError, ["declares nothing"]),
    "only a server": ('[database]\ndsn = "service=prod"', UsageError, ["declares nothing"]),
    "another table": ("[model.churn]", UsageError, ["no table [model]", "did you mean 'models'"]),
    "a key of the top": ("prune = true", UsageError, ["no table [prune]"]),
    "models is no table": ("models = 3", UsageError, ["models must be a table"]),
    "a model is no table": ('[models]\nchurn = "churn.skops"', UsageError, ["models.churn must be a table"]),
    "database is no table": (f'database = "service=prod"\n{MODEL}', UsageError, ["database must be a table"]),
    "a near miss": (MODEL + 'startegy = "sql"', UsageError, ["[models.churn]", "'startegy'", "mean 'strategy'"]),
    "a key of a job": (JOB + 'into = "a.b"', UsageError, ["[jobs.churn_daily]", "'into'", "it may have model"]),
    "a key that is missing": ('[models.churn]\nfile = "a"', UsageError, ["[models.churn]", "needs the key 'table'"]),
    "a number for text": (MODEL + "alias = 3", UsageError, ["[models.churn] alias", "a string"]),
    "text for a truth": (MODEL + 'promote = "yes"', UsageError, ["[models.churn] promote", "true or false"]),
    "a number for a truth": (MODEL + "promote = 1", UsageError, ["[models.churn] promote", "true or false"]),
    "text for a list": (MODEL + 'grants = "analyst"', UsageError, ["grants", "a list of strings"]),
    "a list of numbers": (MODEL + "grants = [1]", UsageError, ["grants", "a list of strings"]),
    "an empty text": (MODEL + 'alias = ""', UsageError, ["alias", "empty"]),
    "NUL": (MODEL + 'grants = ["a\\u0000b"]', UsageError, ["grants", "NUL"]),
    "no key columns": (JOB.replace('["customer_id"]', "[]"), UsageError, ["[jobs.churn_daily] key", "no column"]),
    "a strategy": (MODEL + 'strategy = "SQL"', UsageError, ["strategy is 'SQL'", "auto or sql or plpgsql or onnx"]),
    "a mode": (JOB + 'mode = "hourly"', UsageError, ["[jobs.churn_daily] mode is 'hourly'", "full"]),
    "an interval": (JOB + 'every = "1 month"', UsageError, ["[jobs.churn_daily] every", "'1 month'", "15 min"]),
    "true for an interval": (JOB + "every = true", UsageError, ["[jobs.churn_daily] every", "a string, or false"]),
    "a timeout": (JOB + 'lock_timeout = "soon"', UsageError, ["[jobs.churn_daily] lock_timeout", "'soon'"]),
    "no rows": (JOB + "max_rows_per_second = 0", UsageError, ["max_rows_per_second must be at least 1", "false"]),
    "true for rows": (JOB + "max_rows_per_second = true", UsageError, ["must be a whole number, or false"]),
    "half a row": (JOB + "max_rows_per_second = 0.5", UsageError, ["must be a whole number, or false"]),
    "a number for an interval": (JOB + "target_lag = 15", UsageError, ["target_lag must be a string, or false"]),
    "an empty challenger": (JOB + 'challenger = ""', UsageError, ["[jobs.churn_daily] challenger", "empty"]),
    "a challenger's name": (JOB + 'challenger = "The next"', InvalidNameError, ["challenger", "no name for an alias"]),
    "its own challenger": (JOB + 'challenger = "live"', UsageError, ["challenger is the job's own alias"]),
    "a canary alone": (JOB + "canary = 0.1", UsageError, ["[jobs.churn_daily] canary", "name that beside it"]),
    "a canary of none": (JOB + "challenger = false\ncanary = 0.1", UsageError, ["canary", "name that beside it"]),
    "a large canary": (JOB + 'challenger = "next"\ncanary = 1.5', UsageError, ["canary must lie between 0 and 1"]),
    "no share": (JOB + 'challenger = "next"\ncanary = nan', UsageError, ["canary must lie between 0 and 1"]),
    "text for a share": (JOB + 'challenger = "next"\ncanary = "all"', UsageError, ["canary must be a number"]),
    "a truth for a share": (JOB + 'challenger = "next"\ncanary = true', UsageError, ["canary must be a number"]),
    "a model's name": (MODEL.replace("churn]", "Churn]"), InvalidNameError, ["[models.Churn]", "lower-case"]),
    "a quoted name": (MODEL.replace("churn]", '"a.b"]'), InvalidNameError, ["[models.a.b]", "no name for a model"]),
    "an alias": (MODEL + 'alias = "Live"', InvalidNameError, ["[models.churn] alias", "no name for an alias"]),
    "a job's name": (JOB.replace("churn_daily", "2daily"), InvalidNameError, ["[jobs.2daily]", "refresh job"]),
    "a job's model": (JOB.replace('"churn"', '"Churn"'), InvalidNameError, ["[jobs.churn_daily] model"]),
    "a missing file": (MODEL.replace("churn.sk", "chrun.sk"), ModelFileError, ["[models.churn] file", "chrun.skops"]),
    "a folder": (MODEL.replace("/churn.skops", ""), ModelFileError, ["[models.churn] file", "cannot be read"]),
    "git lfs": (MODEL.replace("churn.sk", "lfs.sk"), ModelFileError, ["[models.churn] file", "git lfs pull"]),
    "another file": (MODEL + f'sha256 = "{"0" * 64}"', ModelFileError, ["[models.churn] sha256", SHA256]),
    "no hash": (MODEL + 'sha256 = "00"', UsageError, ["[models.churn] sha256", "64"]),
    "trust without a hash": (MODEL + "trust = true", UsageError, ["[models.churn] trust", "sha256"]),
    "no dsn": (database("pass word=secret"), UsageError, ["[database] dsn", "no connection string"]),
    "a password": (database("host=db password=secret"), UsageError, ["[database] dsn", "a password", "~/.pgpass"]),
    "one in a URI": (database("postgresql://me:secret@db/shop"), UsageError, ["[database] dsn", "a password"]),
    "one in its query": (database("postgresql://db/shop?password=secret"), UsageError, ["a password"]),
    "a key's": (database("sslkey=k sslpassword=secret"), UsageError, ["a password"]),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(folder: Path, mistake: str) -> None:
    text, kind, words = MISTAKES[mistake]
    path = write(folder, text)
    with pytest.raises(PgscoreError) as caught:
        read_project(path)
    assert type(caught.value) is kind
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "secret" not in message
    for word in words:
        assert word in message


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"pgscore.toml does not exist; --file"):
        read_project(tmp_path / "pgscore.toml")
    with pytest.raises(UsageError, match="cannot be read"):
        read_project(tmp_path)
    path = tmp_path / "latin.toml"
    path.write_bytes(b"# \xe9t\xe9")
    with pytest.raises(UsageError, match="is no TOML"):
        read_project(path)


def test_a_plan_imports_no_modelling_library() -> None:
    script = (
        "import sys, pgscore.procedures.project_plan; "
        "heavy = {'sklearn', 'skops', 'onnx', 'onnxruntime', 'joblib'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
