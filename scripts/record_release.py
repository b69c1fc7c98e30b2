"""Records what this release installs, for the test that later ones upgrade it: `make released`, before the tag.

Writes three scripts for `psql -f` to tests/procedures/released/: VERSION.sql, what `pgscore install --dry-run` prints;
VERSION-models.sql, models, aliases, a job and its runs as this release makes them; VERSION-onnx.sql, its functions in
PL/Python (the folder with the libraries is written as @RUNTIME@) and a version that is an ONNX graph.

A release that is recorded never changes: the script refuses to write over it.
"""

from __future__ import annotations

import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from pgscore.compiler.artifact import Strategy
from pgscore.compiler.load import LoadedModel
from pgscore.procedures.cases import adversarial
from pgscore.procedures.deploy import deploy
from pgscore.procedures.install import install
from pgscore.procedures.plan import apply, as_script
from pgscore.procedures.plpython import statements as plpython
from pgscore.procedures.runtime_install import install_runtime
from tests.support import servers
from tests.support.databases import copied
from tests.support.tiny import CUSTOMERS, ROWS, classifier, labeller, mixed, opened

FOLDER = Path(__file__).parent.parent / "tests/procedures/released"
PLACE = "@RUNTIME@"
MADE_UP_ROWS = 100
"""A deploy stores two thousand for `pgscore verify`, which would make a megabyte of each release."""

USERS = """\
-- What users have built on the models of this release.
GRANT pgscore_scorer TO released_analyst;
GRANT EXECUTE ON FUNCTION score.churn(public.customers), score.churn(integer, double precision) TO released_guest;
CREATE VIEW public.likely AS SELECT c.id, score.churn(c) AS churn FROM public.customers AS c;
CREATE INDEX churn_by_version ON public.customers (score.churn_v1(tenure, monthly));
SELECT pgscore.create_refresh('daily', 'churn', 'public.customers', '{id}', 'public.churn_scores');
CALL pgscore.refresh('daily');
SELECT pgscore.record_run('daily', now(), NULL, NULL, NULL, NULL, NULL, NULL, 'the disk was full');
"""


def models(connection: Any) -> str:
    """Deploys the models and gives the script that does it again."""
    rows = ",\n    ".join(repr(row) for row in ROWS)
    table = f"{CUSTOMERS};\nINSERT INTO public.customers VALUES\n    {rows};\n"
    run(connection, table)
    scripts = [
        "\\set ON_ERROR_STOP on\nSET client_min_messages = warning;\n",
        table,
        deployed(connection, classifier(), "churn"),
        deployed(connection, classifier(0.1), "churn", promote=True),
        deployed(connection, classifier(10.0), "churn", promote=True),
        deployed(connection, mixed(), "plan", strategy=Strategy.PLPGSQL),
        deployed(connection, labeller(), "tier"),
    ]
    moves = "SELECT pgscore.promote('churn', 1, 'champion');\nSELECT pgscore.rollback('churn');\n"
    run(connection, moves)
    return "\n".join([*scripts, moves, USERS])


def deployed(connection: Any, model: LoadedModel, name: str, **options: Any) -> str:
    """Deploys and gives the script of it."""
    return as_script(deploy(connection, model, name=name, table="public.customers", **options).statements)


def run(connection: Any, text: str) -> None:
    """Runs several statements, and commits."""
    with connection, connection.cursor() as cursor:
        cursor.execute(text)


def main() -> None:
    """Writes the three files of the version that is installed in this environment."""
    release = version("pgscore")
    files = {part: FOLDER / f"{release}{part}.sql" for part in ("", "-models", "-onnx")}
    if "dev" in release:
        sys.exit(f"{release} is no release: set the version in pyproject.toml first")
    if files[""].exists():
        sys.exit(f"{release} is recorded already")
    defaults: dict[str, Any] = adversarial.__kwdefaults__
    defaults["max_rows"] = MADE_UP_ROWS
    with (
        tempfile.TemporaryDirectory(prefix="pgscore-runtime-") as parent,
        servers.debian15() as server,
        copied(server) as dsn,
        opened(dsn) as connection,
    ):
        Path(parent).chmod(0o755)
        runtime = install_runtime(Path(parent) / "runtime").folder
        statements = install(connection).statements
        files[""].write_text(as_script(statements, f"What `pgscore install --dry-run` of {release} prints."))
        files["-models"].write_text(models(connection))
        functions = plpython(runtime)
        with connection:
            apply(connection, functions)
        scripts = [
            as_script(functions, f"The functions in PL/Python of {release}."),
            deployed(connection, mixed(), "graph", strategy=Strategy.ONNX),
        ]
        files["-onnx"].write_text("\n".join(scripts).replace(str(runtime), PLACE))
    for file in files.values():
        print(file.relative_to(FOLDER.parent.parent.parent))


if __name__ == "__main__":
    main()
