"""The steps of the tour: from a trained pipeline to scores in SQL, a prediction table, a second version, and back."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import psycopg2

from pgscore import embedded
from pgscore.cli import output

from . import churn
from .stage import Stage

SCORES = """SELECT customer_id, contract, tenure, score.churn(c) AS probability, score.churn_label(c) AS label
FROM customers c ORDER BY customer_id LIMIT 5;"""
PLAN = """EXPLAIN (VERBOSE, COSTS OFF)
SELECT score.churn(c) FROM customers c;"""
WHO = "SELECT * FROM churn_scores ORDER BY score DESC LIMIT 3;"


def run(*, quiet: bool = False) -> dict[str, Any]:
    """Gives the tour and a summary of it. `quiet` tells it on stderr, so that stdout is free for the summary."""
    start = time.perf_counter()
    with redirect_stdout(sys.stderr if quiet else sys.stdout), _scene() as (dsn, folder):
        stage = Stage(dsn)
        _tour(stage, folder)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "timings": [{"step": step, "seconds": took} for step, took in stage.timings]}


@contextmanager
def _scene() -> Iterator[tuple[str, Path]]:
    """A private server and an empty working folder; PGSCORE_DSN points there, as a user would export it."""
    before, home = os.environ.get("PGSCORE_DSN"), Path.cwd()
    with tempfile.TemporaryDirectory(prefix="pgscore-demo-") as folder, embedded.server() as dsn:
        os.environ["PGSCORE_DSN"] = dsn
        os.chdir(folder)
        try:
            yield dsn, Path(folder)
        finally:
            os.chdir(home)
            if before is None:
                del os.environ["PGSCORE_DSN"]
            else:
                os.environ["PGSCORE_DSN"] = before


def _tour(stage: Stage, folder: Path) -> None:
    stage.title("A private PostgreSQL server is running, and a churn model is trained in Python, as ever")
    stage.say(f"export PGSCORE_DSN={stage.dsn}")
    frame = churn.customers()
    with stage.timed("train two models"):
        models = churn.train(frame, folder)
    stage.say(f"{len(frame):,} customers. churn_v1.skops: logistic regression behind a scaler and a one-hot encoder;")
    stage.say("churn_v2.skops: histogram gradient boosting. Saved with skops, which runs no code when loaded.")
    stage.say(
        f"{int(frame['total_charges'].isna().sum())} customers have no total charges: the models learned that too."
    )

    stage.title("The customers are in a table")
    stage.sql(churn.table_ddl(frame))
    _load(stage, frame)

    stage.title("Does the model compile? This needs no database")
    stage.shell("pgscore check churn_v1.skops")

    stage.title("Install pgscore into the database, once")
    stage.shell("pgscore install")

    stage.title("Deploy the first version: it is compiled, held against the model's own answers, and live")
    stage.shell("pgscore deploy churn_v1.skops --as churn --table customers --explain")

    stage.title("Score in SQL")
    stage.sql(SCORES)
    _python_says(stage, models["churn_v1"], frame)
    plan = stage.sql(PLAN)
    if not any("score.churn" in line for (line,) in plan):
        stage.say("No call of score.churn is left in the plan: PostgreSQL computes the model inline.")

    stage.title("Keep the scores in a table")
    stage.shell(
        "pgscore refresh create churn_daily --model churn --from customers --key customer_id --into churn_scores"
    )
    stage.shell("pgscore refresh run churn_daily")
    stage.sql(WHO)
    stage.shell("pgscore status")

    stage.title("A better model comes: version 2 is deployed beside version 1, which stays live")
    stage.shell("pgscore deploy churn_v2.skops --as churn --table customers")
    stage.sql(
        "SELECT customer_id, score.churn_v1(c) AS version_1, score.churn_v2(c) AS version_2\n"
        "FROM customers c ORDER BY customer_id LIMIT 3;"
    )

    stage.title("Promote it. The prediction table is behind now, and says so; psql alone can refresh it")
    stage.shell("pgscore promote churn 2")
    stage.shell("pgscore status", expect=1)
    stage.sql("CALL pgscore.refresh('churn_daily');")
    stage.shell("pgscore status")

    stage.title("Something is wrong with it? Roll back")
    stage.shell("pgscore rollback churn")
    stage.sql(SCORES)

    stage.title("Are the answers in the database still the model's own?")
    stage.shell("pgscore verify churn@1 --model churn_v1.skops")
    stage.shell("pgscore verify churn@2 --model churn_v2.skops")
    stage.shell("pgscore verify --all")

    stage.title("Who did what, and when")
    stage.shell("pgscore list")
    stage.shell("pgscore history churn")

    stage.title("How long it took")
    output.console().print(output.table(["seconds", "step"], [[f"{took:7.2f}", what] for what, took in stage.timings]))
    stage.say("The server stops now, and its data is deleted. Next: `pgscore install --dsn …` on a server of yours.")


def _load(stage: Stage, frame: Any) -> None:
    statement = "COPY customers FROM STDIN (FORMAT csv, HEADER)"
    connection = psycopg2.connect(stage.dsn)
    try:
        with stage.timed(statement), connection, connection.cursor() as cursor:
            cursor.copy_expert(statement, churn.as_csv(frame))
            cursor.execute("ANALYZE customers")
    finally:
        connection.close()
    stage.say(f"{statement}: {len(frame):,} rows")


def _python_says(stage: Stage, model: Any, frame: Any) -> None:
    """The same five customers through the model itself."""
    first = churn.inputs(frame.sort_values(churn.KEY).head(5))
    stage.python("model.predict_proba(first_five)[:, 1]", model.predict_proba(first)[:, 1].tolist())
    stage.python("model.predict(first_five)", model.predict(first).tolist())
