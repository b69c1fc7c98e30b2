"""7,043 customers of a phone company into 6 segments, refreshed into a table, with a campaign query on top.

`python examples/segments/segments.py` tells it on a private server; README.md explains the steps.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import psycopg2
import skops.io
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from pgscore import embedded
from pgscore.compiler.load import load_model
from pgscore.demo import churn
from pgscore.procedures.connection import connect
from pgscore.procedures.deploy import deploy
from pgscore.procedures.install import install
from pgscore.procedures.refresh import RunResult, create_job, run_job

JOB = "segments"
NUMBERS = ["tenure", "monthly_charges", "total_charges"]
TEXTS = ["contract", "internet_service", "payment_method"]
SIZES = "SELECT run_id, segment, rows, stayed, moved_in FROM pgscore.segment_sizes WHERE job = 'segments' ORDER BY 1, 2"
DRIFT = "SELECT run_id, moved_share, psi FROM pgscore.segment_drift WHERE job = 'segments' ORDER BY run_id"
CAMPAIGN = """
SELECT s.customer_id
FROM (
    SELECT s.customer_id, row_number() OVER (PARTITION BY s.score ORDER BY s.distance, s.customer_id) AS place
    FROM customer_segments s
    JOIN customers c USING (customer_id)
    WHERE c.contract = 'Month-to-month' AND s.score IN (
        SELECT s.score FROM customer_segments s JOIN customers c USING (customer_id)
        GROUP BY s.score ORDER BY avg((c.churn = 'Yes')::integer) DESC LIMIT 2)
) s
WHERE s.place <= 100
ORDER BY s.customer_id
"""
"""Of the two segments that most customers leave, the 100 most typical ones each with a contract to be prolonged."""


def trained(frame: Any) -> Any:
    """The pipeline that finds 6 segments."""
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    prepare = ColumnTransformer([("numbers", numbers, NUMBERS), ("texts", OneHotEncoder(), TEXTS)])
    return make_pipeline(prepare, KMeans(6, n_init=4, random_state=0)).fit(frame[NUMBERS + TEXTS])


def prepare(connection: Any, frame: Any, model: Any) -> None:
    """The table of customers, the model, and the job."""
    with connection, connection.cursor() as cursor:
        cursor.execute(churn.table_ddl(frame))
        cursor.copy_expert("COPY customers FROM STDIN (FORMAT csv, HEADER)", churn.as_csv(frame))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "segments.skops"
        skops.io.dump(model, path)
        deploy(connection, load_model(path), name="segments", table="customers")
    create_job(
        connection,
        JOB,
        model="segments",
        source="customers",
        keys=[churn.KEY],
        target="customer_segments",
        outputs=["distance"],
    )


def refresh(connection: Any) -> RunResult:
    """One run, as a nightly job does it."""
    return run_job(connection, JOB)


def raise_prices(connection: Any) -> None:
    """A change of the world: the dearest third of month-to-month customers pay a fifth more."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "UPDATE customers SET monthly_charges = monthly_charges * 1.2"
            " WHERE contract = 'Month-to-month' AND monthly_charges > 80"
        )


def query(connection: Any, text: str) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    with connection, connection.cursor() as cursor:
        cursor.execute(text)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def main() -> None:
    """Tells the example on a private server."""
    frame = churn.customers()
    with tempfile.TemporaryDirectory() as folder, embedded.server(Path(folder)) as dsn:
        connection: psycopg2.extensions.connection = connect(dsn)
        install(connection)
        prepare(connection, frame, trained(frame))
        result = refresh(connection)
        print(f"{result.rows:,} customers in {result.seconds:.2f} s")
        raise_prices(connection)
        refresh(connection)
        print("run, segment, customers, stayed, moved in:", *query(connection, SIZES), sep="\n  ")
        print("run, share that moved, population stability index:", *query(connection, DRIFT), sep="\n  ")
        print(f"{len(query(connection, CAMPAIGN))} customers for the campaign")
        connection.close()


if __name__ == "__main__":
    main()
